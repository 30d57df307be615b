"""Asking one model once: breaker, budget and rate before it, the provider, and the settling after it.

Owns what one attempt does and leaves behind: its span and metrics, its row of usage, what breakers learn of
it. However it ends, with an answer, a failure, or because nobody listens any more, what was held is settled.
Longer than most: how an attempt is begun, read and settled shares one state, and is read as one.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.trace import Tracer

from minoots.contracts import EventType
from minoots.contracts.models import (
    Delta,
    EmbeddingRequest,
    ModelErrorKind,
    ModelUsage,
)
from minoots_platform.clock import Clock
from minoots_platform.ids import new_id
from minoots_platform.models import Catalogue, Price
from minoots_platform.records import events, usage
from minoots_platform.settings import ModelsSettings
from minoots_platform.telemetry import get_logger
from minoots_platform.telemetry.model_metrics import ModelMetrics
from minoots_workflows.models.failures import ModelFailure

from .answering import Answering
from .attempts import Attempt, Told
from .breakers import Breakers, Pass, Stopped
from .providers.provider import Call, Done, Piece
from .reporting import Reporting
from .spending import Spending, cost_at_most
from .tokens import Estimates

ANSWERED: Final = "answered"
_BILLED: Final = frozenset(
    {
        ModelErrorKind.TIMEOUT,
        ModelErrorKind.BROKEN_STREAM,
        ModelErrorKind.BAD_ANSWER,
        ModelErrorKind.TRUNCATED,
        ModelErrorKind.CANCELLED,
    }
)
"""After these a provider may have worked unseen, and may send a bill: nobody knows, so they are charged."""


class _NotItsFault(ModelFailure):
    """A request's own deadline has passed, or we have failed: the model is not to blame."""


class Asking:
    """Asks models."""

    def __init__(
        self,
        breakers: Breakers,
        spending: Spending,
        estimates: Estimates,
        catalogue: Catalogue,
        settings: ModelsSettings,
        tracer: Tracer,
        metrics: ModelMetrics,
        clock: Clock,
    ) -> None:
        self.catalogue = catalogue
        self._breakers = breakers
        self._spending = spending
        self._estimates = estimates
        self._settings = settings
        self._reporting = Reporting(tracer, metrics)
        self._metrics = metrics
        self._clock = clock
        self._log = get_logger("minoots.models")

    async def stream(
        self, attempt: Attempt, call: Call, answering: Answering
    ) -> AsyncGenerator[Delta | None, None]:
        """Ask; yield ``None`` once it is certain that it is asked, then the pieces of the answer.

        Raises:
            ModelFailure: whatever went wrong, before or after it was asked.
        """
        run = await self._begin(attempt, call.max_tokens or 0)
        failure: ModelFailure | None = None
        try:
            yield None
            async with aclosing(attempt.candidate.provider.stream(call)) as pieces:
                while answering.done is None:
                    piece = await self._next(attempt, pieces)
                    if attempt.first_at is None:
                        await self._answered(attempt, run)
                    delta = answering.take(piece)
                    if delta is not None:
                        yield delta
            self._read(attempt, call, answering.done, run)
        except ModelFailure as error:
            failure = error
            raise
        except (asyncio.CancelledError, GeneratorExit):
            failure = ModelFailure(ModelErrorKind.CANCELLED, "nobody waits for the answer any more")
            raise
        except Exception as error:
            failure = _NotItsFault(ModelErrorKind.BROKEN_STREAM, type(error).__name__)
            raise
        finally:
            await self._end(attempt, run, failure, answering)

    async def embed(self, attempt: Attempt, request: EmbeddingRequest) -> tuple[tuple[float, ...], ...]:
        """Ask for vectors.

        Raises:
            ModelFailure: whatever went wrong.
        """
        run = await self._begin(attempt, 0)
        failure: ModelFailure | None = None
        answering = Answering(attempt.number)
        provider = attempt.candidate.provider
        try:
            patience, late = self._patience(attempt, self._settings.first_seconds)
            try:
                async with asyncio.timeout(patience):
                    found = await provider.embed(
                        attempt.candidate.model.name, request.texts, request.dimensions
                    )
            except TimeoutError:
                raise self._timeout(attempt, patience, late=late) from None
            except ModelFailure:
                raise
            except Exception as error:
                raise self._unforeseen(attempt, error) from error
            await self._answered(attempt, run)
            answering.take(Done(input_tokens=found.input_tokens, output_tokens=0))
            return found.vectors
        except ModelFailure as error:
            failure = error
            raise
        except asyncio.CancelledError:
            failure = ModelFailure(ModelErrorKind.CANCELLED, "nobody waits for the vectors any more")
            raise
        except Exception as error:
            failure = _NotItsFault(ModelErrorKind.BROKEN_STREAM, type(error).__name__)
            raise
        finally:
            await self._end(attempt, run, failure, answering)

    async def conclude(self, attempt: Attempt, fallback: Told | None) -> tuple[str, ...]:
        """Tell that another model answered than the first choice; return what a reader should know."""
        if fallback is not None:
            self._metrics.fell_back(*fallback.first, fallback.why)
            caller = attempt.caller
            event = events.NewEvent(
                EventType.MODEL_FELL_BACK,
                caller.job_id or "/".join(attempt.key),
                self._clock(),
                {**fallback.data, "call_id": caller.call_id},
            )
            await self._spending.tell(caller.tenant, event)
        return tuple(attempt.warnings)

    async def _begin(self, attempt: Attempt, max_tokens: int) -> _Run:
        """Pass breaker, budget and rate.

        Raises:
            ModelFailure: circuit_open, over_budget, rate_limited, timeout, not_configured.
        """
        try:
            return await self._pass(attempt, max_tokens)
        except ModelFailure as failure:
            self._metrics.passed_over(*attempt.label, failure.kind.value)
            raise

    async def _pass(self, attempt: Attempt, max_tokens: int) -> _Run:
        candidate, spec = attempt.candidate, attempt.candidate.provider.spec
        passed = await self._breakers.gate(attempt.key)
        if isinstance(passed, Stopped):
            until = "" if passed.until is None else f", until {passed.until.isoformat(timespec='seconds')}"
            left = None if passed.until is None else (passed.until - self._clock()).total_seconds()
            raise ModelFailure(
                ModelErrorKind.CIRCUIT_OPEN,
                f"{'/'.join(attempt.key)} is left alone{until}: {passed.reason}",
                retry_after=None if left is None else max(left, 0.0),
            )
        run = _Run(passed)
        try:
            whose = (attempt.caller.tenant, attempt.key, attempt.size)
            likely = round(self._estimates.likely(*whose) * 1.2)
            if not candidate.local:
                bound = self._settings.budget.count == "bound"
                tokens_in = attempt.size.most if bound else self._estimates.at_most(*whose)
                run.price = self.catalogue.price(
                    spec.name, spec.kind, candidate.model.name, self._clock().date()
                )
                run.tokens_in = tokens_in
                if run.price is None:
                    attempt.warnings.append(
                        f"no price of {'/'.join(attempt.key)} is known: it counts for nothing"
                    )
                run.reservation = await self._spending.hold(
                    attempt.caller,
                    spec,
                    candidate.model.name,
                    tokens=tokens_in + max_tokens,
                    micros=cost_at_most(run.price, tokens_in, max_tokens),
                    accounts=self._spending.accounts(attempt.caller),
                )
            else:
                run.tokens_in = likely
            run.rated = likely + max_tokens
            patience, late = self._patience(attempt, self._settings.wait_seconds)
            wait = await self._spending.turn(spec, run.rated, patience)
            run.rated_taken = True
            if wait > 0:
                await asyncio.sleep(wait)
            if late and attempt.deadline is not None and attempt.deadline <= _now():
                raise _NotItsFault(ModelErrorKind.TIMEOUT, "the deadline of the request has passed")
        except BaseException:
            try:
                # First what is held, for nobody else lets go of it while this process lives.
                await self._undo(attempt, run)
            finally:
                await self._breakers.nothing(attempt.key, passed)
            raise
        attempt.sent, attempt.sent_at = True, _now()
        run.span = self._reporting.span(attempt)
        return run

    async def _undo(self, attempt: Attempt, run: _Run) -> None:
        if run.reservation is not None:
            await self._spending.settle(run.reservation, self._row(attempt, "not_sent", 0), paid=False)
        if run.rated_taken:
            await self._spending.give_back(attempt.candidate.provider.spec, run.rated, request=True)

    async def _next(self, attempt: Attempt, pieces: AsyncGenerator[Piece, None]) -> Piece:
        usual = self._settings.first_seconds if attempt.first_at is None else self._settings.stall_seconds
        patience, late = self._patience(attempt, usual)
        try:
            async with asyncio.timeout(patience):
                return await anext(pieces)
        except TimeoutError:
            raise self._timeout(attempt, patience, late=late) from None
        except StopAsyncIteration:
            raise ModelFailure(
                ModelErrorKind.BROKEN_STREAM, f"{attempt.key[0]} ended without an answer"
            ) from None
        except ModelFailure:
            raise
        except Exception as error:
            raise self._unforeseen(attempt, error) from error

    def _unforeseen(self, attempt: Attempt, error: Exception) -> ModelFailure:
        """Return the failure of an answer on which its wire was not prepared, which is told to the log."""
        self._log.exception("model.unforeseen_answer", provider=attempt.key[0], model=attempt.key[1])
        return ModelFailure(
            ModelErrorKind.BAD_ANSWER,
            f"expected an answer on the wire of {attempt.key[0]}; got one that cannot be read "
            f"({type(error).__name__})",
        )

    def _patience(self, attempt: Attempt, usual: float) -> tuple[float, bool]:
        """Return the seconds to wait, and whether it is the deadline that says so."""
        if attempt.deadline is None:
            return usual, False
        left = max(attempt.deadline - _now(), 0.0)
        return (left, True) if left <= usual else (usual, False)

    def _timeout(self, attempt: Attempt, patience: float, *, late: bool) -> ModelFailure:
        if late:
            return _NotItsFault(
                ModelErrorKind.TIMEOUT,
                f"the deadline of the request passed before {'/'.join(attempt.key)} had answered",
                remedy="Send a later deadline, or choose a faster model.",
            )
        what = "began to answer" if attempt.first_at is None else "said another word"
        return ModelFailure(
            ModelErrorKind.TIMEOUT, f"expected that {'/'.join(attempt.key)} {what} within {patience:g} s"
        )

    async def _answered(self, attempt: Attempt, run: _Run) -> None:
        attempt.first_at = _now()
        if await self._breakers.answered(attempt.key, run.passed):
            self._metrics.breaker(*attempt.label, left_alone=False)
            run.tell(EventType.MODEL_CLOSED, attempt, self._clock(), {})
        run.known_well = True

    def _read(self, attempt: Attempt, call: Call, done: Done | None, run: _Run) -> None:
        """Look whether the model read all that was sent, and learn how many tokens that was.

        Raises:
            ModelFailure: truncated, where the settings want that.
        """
        kind = attempt.candidate.provider.spec.kind
        if done is None or done.input_tokens is None:
            return
        whose = (attempt.caller.tenant, attempt.key, attempt.size)
        if kind not in ("ollama", "compatible"):
            self._estimates.learn(*whose, done.input_tokens)
            return
        context = call.context_tokens if kind == "ollama" else None
        unread = self._estimates.unread(*whose, done.input_tokens, context)
        if unread is None:
            # A template renders tools as it likes, and shows no model a schema.
            self._estimates.learn(*whose, done.input_tokens, whole=False)
            return
        told = (
            f"{'/'.join(attempt.key)} evaluated {done.input_tokens} tokens of about "
            f"{done.input_tokens + unread}: it has not read all of the request"
        )
        attempt.warnings.append(told)
        self._metrics.truncated(*attempt.label)
        data = {"evaluated": done.input_tokens, "sent_about": done.input_tokens + unread, "context": context}
        run.tell(EventType.MODEL_TRUNCATED, attempt, self._clock(), data)
        if self._settings.on_truncation == "fail":
            raise ModelFailure(ModelErrorKind.TRUNCATED, told)

    async def _end(
        self, attempt: Attempt, run: _Run, failure: ModelFailure | None, answering: Answering
    ) -> None:
        """Settle, whatever ended it."""
        ended = _now()
        paid = failure is None or _billed(attempt, failure)
        try:
            attempt.usage = self._usage(attempt, run, failure, answering)
            self._reporting.report(attempt, run.span, failure, answering, ended)
            if failure is not None:
                await self._learn(attempt, run, failure)
        finally:
            row = self._row(attempt, ANSWERED if failure is None else failure.kind.value, ended)
            await self._spending.settle(run.reservation, row, paid=paid, told=tuple(run.told))
        took = attempt.usage.input_tokens + attempt.usage.output_tokens
        await self._spending.give_back(attempt.candidate.provider.spec, run.rated - took)

    async def _learn(self, attempt: Attempt, run: _Run, failure: ModelFailure) -> None:
        """Have the breaker hear of a failure."""
        silent = (ModelErrorKind.CANCELLED, ModelErrorKind.RATE_LIMITED)
        if isinstance(failure, _NotItsFault) or failure.kind in silent:
            await self._breakers.nothing(attempt.key, run.passed)
        elif failure.rule.unwell:
            await self._unwell(attempt, run, failure)
        elif not run.known_well and await self._breakers.answered(attempt.key, run.passed):
            # It refuses this request: so it is there.
            self._metrics.breaker(*attempt.label, left_alone=False)
            run.tell(EventType.MODEL_CLOSED, attempt, self._clock(), {})

    async def _unwell(self, attempt: Attempt, run: _Run, failure: ModelFailure) -> None:
        # Never what the provider said: that may repeat a tenant's words, and every tenant reads the reason.
        reason = failure.kind.value
        if failure.status is not None:
            reason += f", status {failure.status}"
        opened = await self._breakers.failed(attempt.key, run.passed, reason, answered=run.known_well)
        if opened is not None:
            self._metrics.breaker(*attempt.label, left_alone=True)
            data = {
                "reason": opened.reason,
                "trips": opened.trips,
                "probe_at": opened.probe_at and opened.probe_at.isoformat(),
            }
            run.tell(EventType.MODEL_OPENED, attempt, self._clock(), data)

    def _usage(
        self, attempt: Attempt, run: _Run, failure: ModelFailure | None, answering: Answering
    ) -> ModelUsage:
        done, counted = answering.done, answering.counted
        cached = written = 0
        if done is not None and done.input_tokens is not None:
            tokens_in, cached, written = done.input_tokens, done.cached_tokens, done.written_tokens
        elif failure is not None and not _billed(attempt, failure):
            return ModelUsage()
        elif counted is not None:
            tokens_in, cached, written = counted.input_tokens, counted.cached_tokens, counted.written_tokens
        else:
            # Nobody said it: of a paid call the most that it can be.
            tokens_in = run.tokens_in
        if done is not None and done.output_tokens is not None:
            tokens_out = done.output_tokens
        elif attempt.candidate.local:
            tokens_out = math.ceil(answering.received / 4)
        else:
            tokens_out = min(answering.received, attempt.candidate.max_tokens or answering.received)
        cost = 0
        if run.price is not None and not attempt.candidate.local:
            cost = run.price.cost(
                input_tokens=tokens_in, output_tokens=tokens_out, cached=cached, written=written
            )
        return ModelUsage(
            input_tokens=tokens_in, output_tokens=tokens_out, cached_tokens=cached, cost_micros=cost
        )

    def _row(self, attempt: Attempt, outcome: str, ended: float) -> usage.NewUsage:
        caller, took, now = attempt.caller, attempt.usage, self._clock()
        first = attempt.first_at
        return usage.NewUsage(
            id=new_id("use", now),
            tenant=caller.tenant,
            call_id=caller.call_id,
            key=caller.key,
            job_id=caller.job_id,
            provider=attempt.key[0],
            model=attempt.key[1],
            local=attempt.candidate.local,
            outcome=outcome,
            input_tokens=took.input_tokens,
            output_tokens=took.output_tokens,
            cached_tokens=took.cached_tokens,
            cost_micros=took.cost_micros,
            first_token_ms=None if first is None else round((first - attempt.sent_at) * 1000),
            total_ms=max(0, round((ended - attempt.sent_at) * 1000)) if attempt.sent else 0,
            at=now,
        )


@dataclass
class _Run:
    """What an attempt holds while it runs."""

    passed: Pass
    reservation: str | None = None
    price: Price | None = None
    tokens_in: int = 0
    """What its input is taken for where the provider does not say."""
    rated: int = 0
    rated_taken: bool = False
    known_well: bool = False
    span: trace.Span | None = None
    told: list[events.NewEvent] = field(default_factory=list)

    def tell(self, kind: EventType, attempt: Attempt, now: Any, data: Mapping[str, Any]) -> None:
        about = {"provider": attempt.key[0], "model": attempt.key[1], "call_id": attempt.caller.call_id}
        subject = "/".join(attempt.key)
        if kind is EventType.MODEL_TRUNCATED and attempt.caller.job_id is not None:
            subject = attempt.caller.job_id
        self.told.append(events.NewEvent(kind, subject, now, {**about, **data}))


def _billed(attempt: Attempt, failure: ModelFailure) -> bool:
    """Tell whether a provider may send a bill in spite of a failure: it may once it has begun to answer."""
    return attempt.first_at is not None or failure.kind in _BILLED


def _now() -> float:
    return asyncio.get_running_loop().time()
