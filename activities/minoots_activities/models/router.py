"""The router: has a request answered by the first model that may, can and does.

Owns the order of things for one call: choose, then for each candidate breaker, budget, rate, the provider,
and the settling of what it took. Nobody is asked beyond what a request allows, nothing of an answer is told
twice unless the reader is told to drop it, and everything that was held is settled, whatever ends the call.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from typing import Any, Final

from minoots.contracts.models import (
    Capability,
    Delta,
    DeltaKind,
    EmbeddingAnswer,
    EmbeddingRequest,
    Locality,
    Message,
    ModelAnswer,
    ModelAttempt,
    ModelErrorKind,
    ModelRequest,
    ModelTimings,
    ModelUsage,
    OnBreak,
    Role,
)
from minoots_platform.clock import Clock
from minoots_platform.settings import ModelsSettings
from minoots_workflows.models.contracts import ModelCaller
from minoots_workflows.models.failures import ModelFailure
from minoots_workflows.models.ports import Contents, ModelRouter

from .answering import Answering
from .asking import Asking
from .attempts import Attempt, Told
from .choosing import Candidate, Chooser, Refused, Wanted, passed_over
from .pins import require_still_pinned
from .providers.provider import Call
from .tokens import Size, size_of

CONTINUE: Final = (
    "Your answer broke off there. Continue exactly where it ends; repeat nothing, add no preface."
)
_TRIES: Final = 2
"""Of one model in one call: once more after its answer broke off."""


class Router(ModelRouter):
    """Models, behind limits, budgets and breakers."""

    def __init__(
        self, chooser: Chooser, asking: Asking, contents: Contents, settings: ModelsSettings, clock: Clock
    ) -> None:
        self._chooser = chooser
        self._asking = asking
        self._contents = contents
        self._settings = settings
        self._clock = clock

    async def stream(
        self, request: ModelRequest, caller: ModelCaller
    ) -> AsyncGenerator[Delta | ModelAnswer, None]:
        """Ask a model: yield pieces as they come, and the whole answer last."""
        async with aclosing(self._run(request, caller, request.on_break)) as run:
            async for one in run:
                yield one

    async def complete(self, request: ModelRequest, caller: ModelCaller) -> ModelAnswer:
        """Ask a model and return the whole answer; nothing is delivered before it, so a break is no loss."""
        answer: Delta | ModelAnswer | None = None
        async with aclosing(self._run(request, caller, OnBreak.RESTART)) as run:
            async for one in run:
                answer = one
        if not isinstance(answer, ModelAnswer):
            raise AssertionError("a run ends with its answer")
        return answer

    async def embed(self, request: EmbeddingRequest, caller: ModelCaller) -> EmbeddingAnswer:
        """Return a vector of each text."""
        began = _now()
        locality = request.locality or Locality(self._settings.locality)
        needs = frozenset({Capability.EMBEDDING})
        wanted = Wanted(request.provider, request.model, needs, locality, caller.tenant)
        size = Size(sum(len(text.encode("utf-8", "surrogatepass")) for text in request.texts), 0, 0, False)
        choice = await self._chooser.choose(wanted)
        attempts = list(choice.passed)
        failures: list[ModelFailure] = []
        first, number = choice.first, 0
        for candidate in choice.candidates:
            number += 1
            attempt = Attempt(number, candidate, caller, size, "embeddings", self._left(request.deadline))
            try:
                vectors = await self._asking.embed(attempt, request)
                await require_still_pinned(candidate.provider, candidate.model.name)
            except ModelFailure as failure:
                failures.append(failure)
                attempts.append(_failed(attempt, failure))
                number -= not attempt.sent
                if not failure.rule.next:
                    raise self._ended(failure, failures, attempts) from None
                continue
            fell_back = candidate is not first
            await self._asking.conclude(attempt, _fallback(first, candidate, failures) if fell_back else None)
            return EmbeddingAnswer(
                vectors=vectors,
                provider=candidate.provider.name,
                model=candidate.model.name,
                local=candidate.local,
                usage=attempt.usage,
                currency=self._asking.catalogue.currency,
                attempts=(*attempts, _made(attempt)),
                fell_back=fell_back,
                timings=ModelTimings(queue_ms=_ms(attempt.sent_at - began), total_ms=_ms(_now() - began)),
            )
        raise self._exhausted(failures, attempts)

    async def _run(
        self, request: ModelRequest, caller: ModelCaller, on_break: OnBreak
    ) -> AsyncGenerator[Delta | ModelAnswer, None]:
        began = _now()
        messages, images = await self._resolved(request, caller.tenant)
        size = size_of(request, messages)
        wanted = self._wanted(request, caller.tenant, size)
        choice = await self._chooser.choose(wanted)
        attempts = list(choice.passed)
        failures: list[ModelFailure] = []
        queue = deque(choice.candidates)
        tries: dict[tuple[str, str], int] = {}
        number, delivered, kept, spent = 0, False, "", ModelUsage()
        while queue:
            candidate = queue.popleft()
            tries[candidate.key] = tries.get(candidate.key, 0) + 1
            going_on = [*messages, *_partial(kept)] if kept else messages
            call = Call(
                candidate.model.name,
                request,
                going_on,
                images,
                candidate.max_tokens,
                candidate.context_tokens,
                self._output_field(candidate),
            )
            attempt = Attempt(
                number + 1,
                candidate,
                caller,
                size_of(request, going_on) if kept else size,
                "chat",
                self._left(request.deadline),
            )
            answering = Answering(attempt.number, kept)
            told = False
            try:
                async with aclosing(self._asking.stream(attempt, call, answering)) as deltas:
                    async for delta in deltas:
                        if not told:
                            # Only now is it certain that it is asked at all.
                            told, number = True, attempt.number
                            yield _attempt(attempt, failures, drop=delivered and not kept)
                            if not kept:
                                delivered = False
                        if delta is not None:
                            delivered = True
                            yield delta
                await require_still_pinned(candidate.provider, candidate.model.name)
                if request.json_schema is not None:
                    # Bounded, and still work of up to a second: others go on meanwhile.
                    await asyncio.to_thread(answering.check, request)
                calls = answering.tool_calls()
            except ModelFailure as failure:
                spent = _sum(spent, attempt.usage)
                failures.append(failure)
                # One that is whole and does not fit its schema, or its pin, did not break off.
                broke_off = answering.began and answering.done is None
                attempts.append(_failed(attempt, failure, broke_off=broke_off))
                if not failure.rule.next:
                    raise self._ended(failure, failures, attempts) from None
                if answering.began and failure.kind is not ModelErrorKind.OVER_BUDGET:
                    if on_break is OnBreak.FAIL:
                        raise self._ended(failure, failures, attempts) from None
                    # With what another model than the pinned one has said, none goes on.
                    sound = failure.kind is not ModelErrorKind.DENIED
                    kept = answering.text if sound and _goes_on(on_break, request, answering) else ""
                    if sound and tries[candidate.key] < _TRIES:
                        queue.append(candidate)
                continue
            spent = _sum(spent, attempt.usage)
            first = choice.first
            fell_back = candidate is not first and candidate.key != first.key
            warnings = await self._asking.conclude(
                attempt, _fallback(first, candidate, failures) if fell_back else None
            )
            done = answering.done
            if done is None:
                raise AssertionError("an answer that is whole says so")
            yield ModelAnswer(
                text=answering.text,
                thinking=answering.thinking,
                tool_calls=calls,
                finish=done.finish,
                provider=candidate.provider.name,
                model=candidate.model.name,
                local=candidate.local,
                usage=spent,
                currency=self._asking.catalogue.currency,
                attempts=(*attempts, _made(attempt)),
                fell_back=fell_back,
                warnings=warnings,
                timings=ModelTimings(
                    queue_ms=_ms(attempt.sent_at - began),
                    first_token_ms=None if attempt.first_at is None else _ms(attempt.first_at - began),
                    total_ms=_ms(_now() - began),
                ),
            )
            return
        raise self._exhausted(failures, attempts)

    def _wanted(self, request: ModelRequest, tenant: str, size: Size) -> Wanted:
        needs = {Capability.COMPLETION, *request.needs}
        if request.tools:
            needs.add(Capability.TOOLS)
        if request.json_schema is not None:
            needs.add(Capability.JSON)
        if size.images:
            needs.add(Capability.IMAGES)
        if request.think:
            needs.add(Capability.THINKING)
        return Wanted(
            request.provider,
            request.model,
            frozenset(needs),
            request.locality or Locality(self._settings.locality),
            tenant,
            size,
            request.max_tokens,
            request.context_tokens,
        )

    async def _resolved(self, request: ModelRequest, tenant: str) -> tuple[list[Message], dict[str, bytes]]:
        """Return the messages with the texts that they name, and the images that they name."""
        if request.json_schema is not None:
            from .schemas import check_schema

            await asyncio.to_thread(check_schema, request.json_schema)
        messages: list[Message] = []
        images: dict[str, bytes] = {}
        for message in request.messages:
            if message.content is not None:
                raw = await self._contents.read(tenant, message.content)
                message = message.model_copy(update={"text": raw.decode("utf-8", "replace"), "content": None})
            for image in message.images:
                if image not in images:
                    images[image] = await self._contents.read(tenant, image)
            messages.append(message)
        return messages, images

    def _output_field(self, candidate: Candidate) -> str | None:
        spec = candidate.provider.spec
        known = self._asking.catalogue.find(spec.name, spec.kind, candidate.model.name)
        return None if known is None else known.output_field

    def _left(self, deadline: datetime | None) -> float | None:
        """Return the seconds until a deadline, on the clock of the event loop."""
        if deadline is None:
            return None
        return _now() + (deadline - self._clock()).total_seconds()

    def _exhausted(self, failures: list[ModelFailure], attempts: list[ModelAttempt]) -> ModelFailure:
        """Return the failure of a call for which nobody is left: the last one, and what went wrong besides.

        One that passes by itself goes before one that does not: that a fallback is out of its budget, or has
        a wrong key, must not end a job whose own model is away for a moment.
        """
        passing = (one for one in reversed(failures) if one.rule.again)
        return self._ended(next(passing, failures[-1]), failures, attempts)

    def _ended(
        self, last: ModelFailure, failures: list[ModelFailure], attempts: list[ModelAttempt]
    ) -> ModelFailure:
        """Return the failure of a call that one failure has ended, with the others."""
        detail = last.detail
        if len(failures) > 1:
            others = "; ".join(f"{one.kind}: {one.detail}" for one in failures if one is not last)
            detail = f"{detail} (besides: {others})"
        return ModelFailure(
            last.kind,
            detail[:2000],
            remedy=last.remedy,
            retry_after=_soonest(last, failures),
            attempts=tuple(attempts),
        )


def _soonest(last: ModelFailure, failures: list[ModelFailure]) -> float | None:
    """Return after how many seconds somebody may answer, where the last one is left alone for longer."""
    if last.kind is not ModelErrorKind.CIRCUIT_OPEN:
        return last.retry_after
    told = [one.retry_after for one in failures if one.rule.again and one.retry_after is not None]
    return min(told, default=None)


def _goes_on(on_break: OnBreak, request: ModelRequest, answering: Answering) -> bool:
    """Tell whether another attempt can go on from what was said: a call or a JSON cannot be."""
    return (
        on_break is OnBreak.CONTINUE
        and bool(answering.text)
        and not answering.calling
        and request.json_schema is None
        and answering.done is None
    )


def _partial(kept: str) -> tuple[Message, Message]:
    return Message(role=Role.ASSISTANT, text=kept), Message(role=Role.USER, text=CONTINUE)


def _attempt(attempt: Attempt, failures: list[ModelFailure], *, drop: bool) -> Delta:
    return Delta(
        kind=DeltaKind.ATTEMPT,
        attempt=attempt.number,
        drop=drop,
        provider=attempt.candidate.provider.name,
        model=attempt.candidate.model.name,
        reason=failures[-1].kind.value if failures else None,
    )


def _fallback(first: Candidate | Refused, given: Candidate, failures: list[ModelFailure]) -> Told:
    why = failures[0] if failures else None
    if isinstance(first, Refused):
        why = first.failure
    data: dict[str, Any] = {
        "from": "/".join(first.key),
        "to": "/".join(given.key),
        "local": given.local,
        "error": None if why is None else why.kind.value,
        "detail": None if why is None else why.detail[:500],
    }
    return Told(first.label, "" if why is None else why.kind.value, data)


def _failed(attempt: Attempt, failure: ModelFailure, *, broke_off: bool = False) -> ModelAttempt:
    if not attempt.sent:
        return passed_over(attempt.candidate.provider.name, attempt.candidate.model.name, failure)
    return ModelAttempt(
        number=attempt.number,
        provider=attempt.candidate.provider.name,
        model=attempt.candidate.model.name,
        error=failure.kind,
        detail=failure.detail,
        broke_off=broke_off,
        usage=attempt.usage,
    )


def _made(attempt: Attempt) -> ModelAttempt:
    return ModelAttempt(
        number=attempt.number,
        provider=attempt.candidate.provider.name,
        model=attempt.candidate.model.name,
        usage=attempt.usage,
    )


def _sum(one: ModelUsage, other: ModelUsage) -> ModelUsage:
    return ModelUsage(
        input_tokens=one.input_tokens + other.input_tokens,
        output_tokens=one.output_tokens + other.output_tokens,
        cached_tokens=one.cached_tokens + other.cached_tokens,
        cost_micros=one.cost_micros + other.cost_micros,
    )


def _now() -> float:
    return asyncio.get_running_loop().time()


def _ms(seconds: float) -> float:
    return round(max(seconds, 0.0) * 1000, 3)
