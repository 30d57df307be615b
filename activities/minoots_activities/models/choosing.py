"""Who may be asked, and in which order: by what is wanted, what models can, and where words may go.

Owns the choice before anything is sent. It says of everybody who was passed over why; breakers, rates and
budgets come after it, when one is about to be asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from minoots.contracts.models import (
    Capability,
    Locality,
    ModelAttempt,
    ModelErrorKind,
)
from minoots_platform.settings import ModelsSettings
from minoots_platform.telemetry.model_metrics import OTHER
from minoots_workflows.models.failures import MODEL_ERRORS, ModelFailure

from .pins import require_pinned
from .providers.provider import FoundModel, Provider
from .remembering import remember
from .shelf import Shelf
from .tokens import Estimates, Size

_TELLING: Final = (
    # What a caller can do something about first.
    ModelErrorKind.CONTEXT_TOO_LONG,
    ModelErrorKind.UNSUPPORTED,
    ModelErrorKind.DENIED,
    ModelErrorKind.NOT_CONFIGURED,
    ModelErrorKind.NOT_ALLOWED,
    ModelErrorKind.UNKNOWN_MODEL,
)
_LEAST_ANSWER: Final = 16
_REMEMBERED: Final = 900.0
"""Seconds for which a model keeps a larger context than is needed."""


@dataclass(frozen=True)
class Wanted:
    """What is wanted of a model."""

    provider: str | None
    model: str | None
    needs: frozenset[Capability]
    locality: Locality
    tenant: str
    """Whose words they are: what texts have in tokens is learnt of each."""
    size: Size | None = None
    """Of a conversation; ``None`` where the length is not looked at."""
    max_tokens: int | None = None
    context_tokens: int | None = None


@dataclass(frozen=True)
class Candidate:
    """A model that may be asked."""

    provider: Provider
    model: FoundModel
    max_tokens: int | None
    context_tokens: int | None

    @property
    def key(self) -> tuple[str, str]:
        """Provider and model."""
        return (self.provider.name, self.model.name)

    @property
    def label(self) -> tuple[str, str]:
        """Provider and model as metrics name them: a name that somebody made up is none of theirs."""
        return (self.provider.name, self.model.name if self.model.known else OTHER)

    @property
    def local(self) -> bool:
        """Whether words stay with the operator."""
        return self.provider.spec.local and not self.model.remote


@dataclass(frozen=True)
class Refused:
    """A model that would have been the first to be asked, were it the one that is pinned."""

    key: tuple[str, str]
    failure: ModelFailure

    @property
    def label(self) -> tuple[str, str]:
        """Provider and model as metrics name them: it stands in a setting."""
        return self.key


@dataclass(frozen=True)
class Choice:
    """Who may be asked, and who was passed over."""

    candidates: tuple[Candidate, ...]
    passed: tuple[ModelAttempt, ...]
    refused: Refused | None = None

    @property
    def first(self) -> Candidate | Refused:
        """Who was to answer: that another one does is told."""
        return self.refused or self.candidates[0]


class Chooser:
    """Chooses."""

    def __init__(self, shelf: Shelf, estimates: Estimates, settings: ModelsSettings) -> None:
        self._shelf = shelf
        self._estimates = estimates
        self._settings = settings
        self._contexts: dict[tuple[str, str], tuple[int, float]] = {}

    async def choose(self, wanted: Wanted) -> Choice:
        """Return who may be asked, in order.

        Raises:
            ModelFailure: when nobody may be.
        """
        candidates: list[Candidate] = []
        passed: list[tuple[ModelAttempt, ModelFailure]] = []
        refused: Refused | None = None
        for provider in self._asked(wanted):
            try:
                candidates += [await self._candidate(provider, wanted)]
            except ModelFailure as failure:
                name = wanted.model or provider.spec.default or ""
                passed.append((passed_over(provider.name, name, failure), failure))
                if failure.kind is ModelErrorKind.DENIED and not candidates and refused is None:
                    refused = Refused((provider.name, name), failure)
        attempts = tuple(attempt for attempt, _ in passed)
        if candidates:
            return Choice(tuple(candidates), attempts, refused)
        raise self._none([failure for _, failure in passed], attempts, wanted)

    def _asked(self, wanted: Wanted) -> Sequence[Provider]:
        every = self._shelf.providers
        if wanted.provider is None:
            return tuple(every.values())
        if wanted.provider not in every:
            near = get_close_matches(wanted.provider, every, n=1)
            meant = f"; did you mean {near[0]}?" if near else ""
            raise ModelFailure(
                ModelErrorKind.UNKNOWN_PROVIDER,
                f"provider: expected one of {', '.join(every) or 'no provider, for none is set up'}; "
                f"got {wanted.provider}{meant}",
            )
        return (every[wanted.provider],)

    async def _candidate(self, provider: Provider, wanted: Wanted) -> Candidate:
        if wanted.locality is Locality.LOCAL_ONLY and not provider.spec.local:
            # Nothing is asked of it, not even its list.
            spec = provider.spec
            known = wanted.model and provider.catalogue.find(spec.name, spec.kind, wanted.model)
            if wanted.model is None or known or wanted.provider is not None:
                raise _stays(provider.name)
            raise ModelFailure(
                ModelErrorKind.UNKNOWN_MODEL, f"{provider.name} is not known to have {wanted.model}"
            )
        lacks = provider.lacks()
        if lacks is not None:
            what, _, remedy = lacks.partition(". ")
            raise ModelFailure(
                ModelErrorKind.NOT_CONFIGURED, f"{provider.name} lacks {what}", remedy=remedy or None
            )
        return self._fitting(provider, await self._model(provider, wanted), wanted)

    async def _model(self, provider: Provider, wanted: Wanted) -> FoundModel:
        name = wanted.model or provider.spec.default
        if name is None and not provider.spec.local:
            # Somebody's money: which of its models is asked is nobody's guess.
            raise ModelFailure(
                ModelErrorKind.NOT_CONFIGURED,
                f"{provider.name} has no default model, and none was named",
                remedy=f"Name a model, or set models.defaults to {provider.name}=<model>.",
            )
        if name is None:
            models = await self._shelf.all(provider)
            able = [model for model in models if not model.can(wanted.needs) and _stays_here(model, wanted)]
            if not able:
                raise ModelFailure(
                    ModelErrorKind.UNSUPPORTED,
                    f"no model of {provider.name} does {_listed(wanted.needs)}"
                    if models
                    else f"{provider.name} has no model",
                    remedy="Pull one, or name one that can do it." if not models else None,
                )
            name = next((model for model in able if self._takes(provider, model, wanted)), able[0]).name
        pinned = provider.spec.pin_of(name) is not None
        try:
            # A pin is held against what the provider has now, not against what it had a minute ago.
            found = await self._shelf.find(provider, name, fresh=pinned)
        except ModelFailure:
            if pinned:
                raise
            # It cannot be asked what it has; asking it for an answer says the same, and the breaker hears it.
            return FoundModel(name, known=name == provider.spec.default)
        if found is None:
            raise ModelFailure(ModelErrorKind.UNKNOWN_MODEL, f"{provider.name} has no model {name}")
        return found

    def _fitting(self, provider: Provider, model: FoundModel, wanted: Wanted) -> Candidate:
        if not _stays_here(model, wanted):
            raise _stays(f"{provider.name}/{model.name}, which runs elsewhere,")
        require_pinned(provider.spec, model.name, model.digest)
        lacking = model.can(wanted.needs)
        if lacking:
            raise ModelFailure(
                ModelErrorKind.UNSUPPORTED, f"{provider.name}/{model.name} does not do {_listed(lacking)}"
            )
        if wanted.size is None:
            return Candidate(provider, model, None, None)
        return self._sized(provider, model, wanted, wanted.size)

    def _sized(self, provider: Provider, model: FoundModel, wanted: Wanted, size: Size) -> Candidate:
        key = (provider.name, model.name)
        likely = self._estimates.likely(wanted.tenant, key, size)
        limits = [one for one in (model.context, wanted.context_tokens) if one is not None]
        context = min(limits, default=None)
        most = wanted.max_tokens or self._settings.max_tokens
        if model.max_output is not None:
            most = min(most, model.max_output)
        if context is not None:
            if likely * 0.9 > context - _LEAST_ANSWER:
                raise self._too_long(key, likely, context, wanted)
            most = max(min(most, context - round(likely * 1.1)), _LEAST_ANSWER)
        return Candidate(provider, model, most, self._context(key, model, wanted, likely + most))

    def _context(self, key: tuple[str, str], model: FoundModel, wanted: Wanted, needed: int) -> int | None:
        """Return the context to load a model with: rarely less than before, for each change loads it anew."""
        if wanted.context_tokens is not None:
            return min(wanted.context_tokens, model.context or wanted.context_tokens)
        least = self._settings.min_context
        while least < needed * 1.25:
            least *= 2
        now = asyncio.get_running_loop().time()
        size, since = self._contexts.get(key, (0, now))
        if least >= size or now - since > _REMEMBERED:
            # A long conversation of long ago must not keep the memory for its context.
            size, since = least, now
        remember(self._contexts, key, (size, since))
        return size if model.context is None else min(size, model.context)

    def _takes(self, provider: Provider, model: FoundModel, wanted: Wanted) -> bool:
        """Tell whether a request is short enough for a model, as far as anybody says how long it may be."""
        if wanted.size is None or model.context is None:
            return True
        likely = self._estimates.likely(wanted.tenant, (provider.name, model.name), wanted.size)
        return likely * 0.9 <= model.context - _LEAST_ANSWER

    def _too_long(self, key: tuple[str, str], likely: int, context: int, wanted: Wanted) -> ModelFailure:
        if context == wanted.context_tokens:
            return ModelFailure(
                ModelErrorKind.CONTEXT_TOO_LONG,
                f"the request has about {likely} tokens, {likely - context} more than its context_tokens "
                f"of {context}",
                remedy="Send more context_tokens, or none: then the context is as large as it has to be.",
            )
        longer = [
            f"{name}/{model.name} ({model.context})"
            for name, model in self._shelf.names()
            if model.context is not None
            and model.context > likely
            and (name, model.name) != key
            # What cannot do it, and what makes vectors alone, is no way out.
            and not model.can(wanted.needs)
        ]
        offered = f"; {', '.join(longer[:3])} would take it" if longer else ""
        return ModelFailure(
            ModelErrorKind.CONTEXT_TOO_LONG,
            f"the request has about {likely} tokens, {likely - context} more than the {context} that "
            f"{key[0]}/{key[1]} takes{offered}",
            remedy="Shorten the conversation by that much"
            + (", name another model or none, or allow the cloud where it is there." if longer else "."),
        )

    def _none(
        self, failures: Sequence[ModelFailure], attempts: tuple[ModelAttempt, ...], wanted: Wanted
    ) -> ModelFailure:
        if not failures:
            return ModelFailure(
                ModelErrorKind.UNSUPPORTED,
                "no provider is set up",
                remedy="Set models.providers (MINOOTS_MODELS__PROVIDERS).",
            )
        if wanted.model is not None and all(
            failure.kind is ModelErrorKind.UNKNOWN_MODEL for failure in failures
        ):
            return self._unknown(wanted.model, attempts, wanted)
        first = min(failures, key=lambda failure: _rank(failure.kind))
        said = first.detail
        if len(failures) > 1:
            others = [one.detail for one in failures if one is not first]
            said += f" ({'; '.join(others)})"
        return ModelFailure(first.kind, said, remedy=first.remedy, attempts=attempts)

    def _unknown(self, model: str, attempts: tuple[ModelAttempt, ...], wanted: Wanted) -> ModelFailure:
        known = sorted({found.name for _, found in self._shelf.names()})
        near = get_close_matches(model, known, n=3, cutoff=0.4) or known[:3]
        told = f"; the nearest are {', '.join(near)}" if near else "; no provider has any"
        every = dict.fromkeys(attempt.provider for attempt in attempts)
        stays = wanted.locality is Locality.LOCAL_ONLY
        unasked = [name for name in every if stays and not self._shelf.providers[name].spec.local]
        who = ", ".join(name for name in every if name not in unasked)
        # Who was not asked is not said to have nothing: it may well be what is meant.
        left = f" ({', '.join(unasked)} may not be asked: the request is local_only)" if unasked else ""
        return ModelFailure(
            ModelErrorKind.UNKNOWN_MODEL,
            f"no model {model}{f' at {who}' if who else ''}{left}{told}",
            attempts=attempts,
        )


def passed_over(provider: str, model: str, failure: ModelFailure) -> ModelAttempt:
    """Return the attempt that was not made."""
    return ModelAttempt(number=0, provider=provider, model=model, error=failure.kind, detail=failure.detail)


def _stays(what: str) -> ModelFailure:
    return ModelFailure(
        ModelErrorKind.NOT_ALLOWED,
        f"the request is local_only, and {what} is not on a machine of the operator's",
    )


def _stays_here(model: FoundModel, wanted: Wanted) -> bool:
    return wanted.locality is Locality.ALLOW_CLOUD or not model.remote


def _listed(needs: frozenset[Capability]) -> str:
    return ", ".join(sorted(needs))


def _rank(kind: ModelErrorKind) -> int:
    if MODEL_ERRORS[kind].again:
        # It passes by itself: what others lack must not end a job that it would answer in a moment.
        return -1
    return _TELLING.index(kind) if kind in _TELLING else len(_TELLING)
