"""The catalogue of models: a table that comes along, and a file of the operator's on top of it.

Owns prices and their dates. Pure once it is loaded; must not ask a provider. Money is whole millionths,
rounded up: what is charged is never less than what was used.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from minoots.contracts.models import Capability
from minoots.contracts.wording import expected_and_got, findings, place
from minoots.errors import Failure, FailureKind

MILLION: Final = 1_000_000
_Money = Annotated[float, Field(ge=0, le=1_000_000)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Price(_Part):
    """What a million tokens cost from a day on."""

    since: Annotated[date, Field(alias="from")]
    input: _Money
    output: _Money = 0
    cached: _Money | None = None
    """Of input that the provider had read before; without it as other input."""
    written: _Money | None = None
    """Of input that the provider keeps for later; without it as other input."""

    def cost(self, *, input_tokens: int, output_tokens: int, cached: int = 0, written: int = 0) -> int:
        """Return millionths of the currency; ``cached`` and ``written`` are parts of the input."""
        plain = max(0, input_tokens - cached - written)
        parts = (
            (plain, self.input),
            (cached, self.input if self.cached is None else self.cached),
            (written, self.input if self.written is None else self.written),
            (output_tokens, self.output),
        )
        # The price of a million tokens is that of one in millionths. Summed up before anything is rounded.
        exact = sum(tokens * round(price * MILLION) for tokens, price in parts)
        return -(-exact // MILLION)

    @property
    def dearest_input(self) -> float:
        """The most that a token of input can cost, a million of them."""
        return max(self.input, self.cached or 0, self.written or 0)


class KnownModel(_Part):
    """What is known of a model; what is not said is asked of the provider, or not known."""

    provider: str
    """Name of a provider, or a kind of providers."""
    name: str
    """A name, or the beginning of names with a ``*``."""
    context: Annotated[int, Field(ge=1)] | None = None
    max_output: Annotated[int, Field(ge=1)] | None = None
    capabilities: frozenset[Capability] | None = None
    output_field: Literal["max_completion_tokens", "max_tokens"] | None = None
    """How the provider wants to be told ``max_tokens``."""
    prices: tuple[Price, ...] = ()

    def matches(self, name: str) -> bool:
        """Tell whether it is about this model."""
        return name.startswith(self.name[:-1]) if self.name.endswith("*") else name == self.name


class _File(_Part):
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "USD"
    model: tuple[KnownModel, ...] = ()


class Catalogue:
    """Models by provider and name."""

    def __init__(self, models: Iterable[KnownModel], currency: str = "USD") -> None:
        # Exact names before beginnings, longer beginnings before shorter ones; what was added last wins.
        latest_first = tuple(models)[::-1]
        self._models = sorted(latest_first, key=lambda model: (model.name.endswith("*"), -len(model.name)))
        self.currency = currency

    def of(self, provider: str, kind: str) -> tuple[KnownModel, ...]:
        """Return the models of a provider that have a whole name."""
        return tuple(
            model
            for model in self._models
            if model.provider in (provider, kind) and not model.name.endswith("*")
        )

    def find(self, provider: str, kind: str, name: str) -> KnownModel | None:
        """Return what is known of a model: by the provider's name first, then by its kind."""
        for owner in dict.fromkeys((provider, kind)):
            for model in self._models:
                if model.provider == owner and model.matches(name):
                    return model
        return None

    def price(self, provider: str, kind: str, name: str, on: date) -> Price | None:
        """Return what a model costs on a day; ``None`` where that is not known."""
        model = self.find(provider, kind, name)
        if model is None:
            return None
        then = [price for price in model.prices if price.since <= on]
        return max(then, key=lambda price: price.since) if then else None


def load_catalogue(path: Path | None = None) -> Catalogue:
    """Return the catalogue that comes along, with the operator's file on top of it.

    Raises:
        Failure: invalid, naming the file and every field that is wrong.
    """
    own = files(__package__).joinpath("catalogue.toml").read_text("utf-8")
    first = _parsed(own, "the catalogue of models")
    if path is None:
        return Catalogue(first.model, first.currency)
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _bad(str(path), f"expected a readable file; {error}") from error
    more = _parsed(text, str(path))
    if "currency" in more.model_fields_set and more.currency != first.currency:
        # Prices of two currencies in one sum would be no money at all.
        return Catalogue(more.model, more.currency)
    return Catalogue((*first.model, *more.model), first.currency)


def _parsed(text: str, where: str) -> _File:
    try:
        return _File.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise _bad(where, f"expected TOML; {error}") from error
    except ValidationError as error:
        told = []
        for item in findings(error.errors(include_url=False)):
            expected, got = expected_and_got(item)
            told.append(f"{'.'.join(place(item))}: expected {expected}; got {got}")
        raise _bad(where, "; ".join(told)) from error


def _bad(where: str, why: str) -> Failure:
    return Failure(
        FailureKind.INVALID,
        f"models.catalogue, {where}: {why}",
        remedy="Correct the file; docs/how-to/models.md shows one.",
    )
