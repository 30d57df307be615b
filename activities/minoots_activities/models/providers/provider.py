"""The provider port: what the router may ask of whatever serves models.

Plug-ins are classes of `ProviderKind` below the entry point group ``minoots.providers``. A provider speaks
one wire and turns everything that can go wrong there into `ModelFailure`; it never retries, never chooses
another model, and knows neither budgets nor breakers. Nothing reaches out at import or at `open`.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from minoots.contracts.models import Capability, FinishReason, Message, ModelRequest
from minoots_platform.models import Catalogue
from minoots_platform.settings import ProviderSpec

_MOST_TOKENS: Final = 2_000_000_000
"""No answer has as many; sums of more would not fit a column of usage."""


@dataclass(frozen=True)
class Patience:
    """Seconds that a provider has."""

    connect: float = 5.0
    first: float = 300.0
    """Until it begins to answer."""
    stall: float = 60.0
    """Without a word in the middle of an answer."""


@dataclass(frozen=True)
class FoundModel:
    """A model that a provider has."""

    name: str
    context: int | None = None
    max_output: int | None = None
    capabilities: frozenset[Capability] | None = None
    """``None`` where the provider does not say: then everything is tried."""
    digest: str | None = None
    remote: bool = False
    """It runs elsewhere though its provider is here, as those of Ollama's cloud do."""
    known: bool = True
    """Whether anybody but who asked for it says that it is there."""

    def can(self, needs: frozenset[Capability]) -> frozenset[Capability]:
        """Return what of ``needs`` it is known not to do."""
        return frozenset() if self.capabilities is None else needs - self.capabilities


@dataclass(frozen=True)
class Call:
    """One request as one model is to get it: everything named is there, everything chosen is chosen."""

    model: str
    request: ModelRequest
    messages: Sequence[Message]
    images: dict[str, bytes] = field(default_factory=dict)
    """By hash."""
    max_tokens: int | None = None
    context_tokens: int | None = None
    output_field: str | None = None


@dataclass(frozen=True)
class Text:
    """A piece of the answer."""

    text: str


@dataclass(frozen=True)
class Thinking:
    """A piece of what the model thinks before it answers."""

    text: str


@dataclass(frozen=True)
class ToolPart:
    """A piece of a call of a tool."""

    index: int
    arguments: str = ""
    """A piece of JSON."""
    id: str | None = None
    name: str | None = None


@dataclass(frozen=True)
class Done:
    """The answer is whole."""

    finish: FinishReason = FinishReason.STOP
    input_tokens: int | None = None
    """Those that were evaluated, the cached ones included; ``None`` where the provider does not say."""
    output_tokens: int | None = None
    cached_tokens: int = 0
    written_tokens: int = 0
    model: str | None = None
    """As the provider names it."""


@dataclass(frozen=True)
class Counted:
    """What is known of an answer's cost before it is whole."""

    input_tokens: int
    cached_tokens: int = 0
    written_tokens: int = 0


def count_of(value: object) -> int | None:
    """Return a number of tokens that a provider told; ``None`` for what cannot be one, as if it had not."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _MOST_TOKENS:
        # Below zero it would give money back; what is no number would keep the call from being settled.
        return None
    return int(value)


def text_of(value: object) -> str:
    """Return what a provider told where it should have told a text: nothing for null, else JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def name_of(value: object) -> str | None:
    """Return a name that a provider told; ``None`` for what is none, as if it had not."""
    return value if isinstance(value, str) and value else None


def rows_of(value: object) -> list[Mapping[str, Any]]:
    """Return the objects of a list that a provider told; nothing for null.

    Raises:
        ValueError: it is no list of objects.
    """
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, Mapping) for one in value):
        raise ValueError("expected a list of objects")
    return value


def mapping_of(value: object) -> Mapping[str, Any]:
    """Return an object that a provider told; an empty one for what is none."""
    return value if isinstance(value, Mapping) else {}


Piece = Text | Thinking | ToolPart | Counted | Done


@dataclass(frozen=True)
class Vectors:
    """What came of texts."""

    vectors: tuple[tuple[float, ...], ...]
    input_tokens: int | None = None


class Provider(ABC):
    """A provider that is set up."""

    def __init__(self, spec: ProviderSpec, catalogue: Catalogue, patience: Patience) -> None:
        self.spec = spec
        self.catalogue = catalogue
        self.patience = patience

    @property
    def name(self) -> str:
        """What requests call it."""
        return self.spec.name

    def lacks(self) -> str | None:
        """Return what it lacks to be asked at all, such as its key; ``None`` when nothing is missing."""
        return None

    @abstractmethod
    async def models(self) -> tuple[FoundModel, ...]:
        """Return the models that it has. Providers of the cloud answer from the catalogue, without asking.

        Raises:
            ModelFailure: when it cannot be asked.
        """

    async def look(self, model: str) -> FoundModel | None:
        """Return one model; ``None`` where there is none of this name.

        Raises:
            ModelFailure: when it cannot be asked.
        """
        return next((found for found in await self.models() if found.name == model), None)

    @abstractmethod
    def stream(self, call: Call) -> AsyncGenerator[Piece, None]:
        """Yield an answer as it comes, `Done` last. Closing the generator stops the model.

        Raises:
            ModelFailure: for everything that goes wrong.
        """

    @abstractmethod
    async def embed(self, model: str, texts: Sequence[str], dimensions: int | None) -> Vectors:
        """Return a vector of each text.

        Raises:
            ModelFailure: for everything that goes wrong.
        """

    async def close(self) -> None:
        """Give connections back."""
        return None


class ProviderKind(ABC):
    """A plug-in: opens providers of one kind."""

    kind: ClassVar[str]

    @abstractmethod
    def open(self, spec: ProviderSpec, catalogue: Catalogue, patience: Patience) -> Provider:
        """Return a provider. Nothing is asked yet, and packages that it needs may be missing."""
