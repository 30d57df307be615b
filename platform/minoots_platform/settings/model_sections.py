"""The settings of language models: who is asked, in which order, and for how much.

Owns names, defaults and the form of the lists. Must not know a provider's wire, nor read files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import entry_points
from ipaddress import ip_address
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator

from .kinds import HAS_PASSWORD, LocalPath, Text
from .sections import Section, require_known

_PROVIDER: Final = re.compile(r"([a-z0-9][a-z0-9_-]{0,62})(?::([a-z0-9][a-z0-9_-]{0,62}))?(?:=(\S+))?")
_NAMED: Final = re.compile(r"([a-z0-9][a-z0-9_-]{0,62})=(\S+)")
_PINNED: Final = re.compile(r"([a-z0-9][a-z0-9_-]{0,62})/(\S+)=(?:sha256:)?([0-9a-f]{12,64})")
_RATE: Final = re.compile(r"([a-z0-9][a-z0-9_-]{0,62})=(\d{1,9})?:(\d{1,12})?")

BUILT_IN: Final = frozenset({"ollama", "compatible", "openai", "anthropic"})


def _provider(value: str) -> str:
    found = _PROVIDER.fullmatch(value)
    if found is not None:
        url = found[3]
        if url is None or (urlsplit(url).scheme in {"http", "https"} and urlsplit(url).hostname):
            return value
    raise ValueError('a provider, such as "ollama=http://127.0.0.1:11434", "vllm:compatible=http://gpu/v1"')


def _named(value: str) -> str:
    if _NAMED.fullmatch(value):
        return value
    raise ValueError('a provider and what is set for it, such as "ollama=qwen3:8b"')


def _pinned(value: str) -> str:
    if _PINNED.fullmatch(value):
        return value
    raise ValueError('a provider, a model and its digest, such as "ollama/qwen3:8b=sha256:500a1f067a9f"')


def _rate(value: str) -> str:
    found = _RATE.fullmatch(value)
    if found and (found[2] or found[3]) and all(int(one) > 0 for one in found.groups()[1:] if one):
        return value
    raise ValueError('requests and tokens a minute, such as "openai=500:200000" or "vllm=:9000"')


def _key(value: SecretStr) -> SecretStr:
    if _NAMED.fullmatch(value.get_secret_value()):
        return value
    raise ValueError("a provider and its key, such as openai=sk-…")


Provider = Annotated[Text, AfterValidator(_provider), HAS_PASSWORD]
Named = Annotated[Text, AfterValidator(_named)]
Pinned = Annotated[Text, AfterValidator(_pinned)]
Rate = Annotated[Text, AfterValidator(_rate)]
Key = Annotated[SecretStr, AfterValidator(_key)]


@dataclass(frozen=True)
class RateSpec:
    """What a provider may be asked in a minute."""

    requests: int | None = None
    tokens: int | None = None


@dataclass(frozen=True)
class ProviderSpec:
    """A provider as it is set up.

    Attributes:
        name: what requests call it.
        kind: which plug-in speaks to it.
        url: where it is; ``None`` for the kind's usual address.
        key: what it wants to be shown.
        local: whether what is sent there stays with the operator.
        default: the model where none is named.
        pins: digests that models must have, by the model's name.
        rate: what it may be asked in a minute.
        keep_alive: how long it keeps a model in memory, where that can be said.
        truncate: whether it may drop what is beyond a model's context, where it can be told not to.
    """

    name: str
    kind: str
    url: str | None = None
    key: SecretStr | None = None
    local: bool = False
    default: str | None = None
    pins: tuple[tuple[str, str], ...] = ()
    rate: RateSpec = RateSpec()
    keep_alive: str | None = None
    truncate: bool = True

    def pin_of(self, name: str) -> str | None:
        """Return the digest that a model must have; ``None`` for one that is not pinned."""
        return next((digest for model, digest in self.pins if _whole(model) == _whole(name)), None)

    def is_pinned(self, name: str, digest: str | None) -> bool | None:
        """Tell whether a digest is the pinned one, of which at least twelve digits are given."""
        pin = self.pin_of(name)
        return None if pin is None else (digest or "").removeprefix("sha256:").startswith(pin)


class BreakerSettings(Section):
    """When a model is left alone for a while."""

    window: float = Field(60.0, ge=1, le=3600, description="Seconds of which attempts count.")
    minimum: int = Field(
        5, ge=1, le=1000, description="With fewer attempts in the window the breaker stays closed."
    )
    failure_rate: float = Field(
        0.5, gt=0, le=1, description="Share of the attempts in the window that opens it."
    )
    open_seconds: float = Field(
        10.0,
        ge=0.1,
        le=1800,
        description="Seconds until one request tries again; twice as long each time, up to a minute.",
    )


class BudgetSettings(Section):
    """The most that models may take; local ones cost nothing and are never held back."""

    day_tokens: int | None = Field(
        None, ge=1, le=10**15, description="Tokens a day (UTC) of everybody together."
    )
    day_cost: float | None = Field(
        None, ge=0, le=10**9, description="Money a day (UTC) of everybody together."
    )
    tenant_day_tokens: int | None = Field(None, ge=1, le=10**15, description="Tokens a day of one tenant.")
    tenant_day_cost: float | None = Field(None, ge=0, le=10**9, description="Money a day of one tenant.")
    key_day_tokens: int | None = Field(None, ge=1, le=10**15, description="Tokens a day of one API key.")
    key_day_cost: float | None = Field(None, ge=0, le=10**9, description="Money a day of one API key.")
    job_tokens: int | None = Field(
        None, ge=1, le=10**15, description="Tokens of one job that has no budget of its own."
    )
    job_cost: float | None = Field(
        None, ge=0, le=10**9, description="Money of one job that has no budget of its own."
    )
    count: Literal["bound", "estimate"] = Field(
        "bound",
        description="What a call reserves for its input: its most, or what was learnt of texts.",
    )
    hold_seconds: float = Field(
        60.0,
        ge=1,
        le=3600,
        description="Seconds after which a reservation ends whose worker gave no sign.",
    )


class ModelsSettings(Section):
    """Language models."""

    providers: tuple[Provider, ...] = Field(
        ("ollama=http://127.0.0.1:11434",),
        max_length=32,
        description="Who is asked, in order: `name=address` or `name:kind=address`.",
    )
    keys: tuple[Key, ...] = Field((), max_length=32, description="Keys of providers: `openai=sk-…`.")
    local: tuple[Text, ...] = Field(
        (),
        max_length=32,
        description="Providers that count as local though their address is not this machine's.",
    )
    cloud: tuple[Text, ...] = Field(
        (),
        max_length=32,
        description="Providers that count as cloud though they are here: what passes words on.",
    )
    locality: Literal["local_only", "allow_cloud"] = Field(
        "local_only", description="Where requests may go that do not say it themselves."
    )
    policy: Literal["local_first", "as_listed"] = Field(
        "local_first", description="In which order providers are asked."
    )
    defaults: tuple[Named, ...] = Field(
        (), max_length=32, description="A provider's model where none is named: `ollama=qwen3:8b`."
    )
    warm: tuple[Named, ...] = Field(
        (), max_length=32, description="Models that Ollama is to have in memory: `ollama=qwen3:8b`."
    )
    pins: tuple[Pinned, ...] = Field(
        (),
        max_length=256,
        description="Digests that models must have: `ollama/qwen3:8b=sha256:500a1f067a9f`.",
    )
    rates: tuple[Rate, ...] = Field(
        (), max_length=32, description="Requests and tokens a minute of a provider: `openai=500:200000`."
    )
    catalogue: LocalPath | None = Field(
        None, description="TOML file with models and prices, on top of those that come along."
    )
    max_tokens: int = Field(
        4096,
        ge=1,
        le=1_000_000,
        description="Tokens of an answer at most, where the request does not say.",
    )
    min_context: int = Field(
        8192,
        ge=256,
        le=10_000_000,
        description="Tokens of context that Ollama loads a model with at least; a larger one loads it anew.",
    )
    keep_alive: Text = Field(
        "5m", description="How long Ollama keeps a model in memory: `5m`, `0` not at all, `-1` for ever."
    )
    on_truncation: Literal["warn", "fail"] = Field(
        "warn", description="What follows when a model has not read all that was sent."
    )
    connect_seconds: float = Field(5.0, ge=0.05, le=300, description="Seconds to reach a provider.")
    first_seconds: float = Field(
        300.0, ge=0.05, le=3600, description="Seconds until a provider begins to answer."
    )
    stall_seconds: float = Field(
        60.0, ge=0.05, le=3600, description="Seconds without a word in the middle of an answer."
    )
    wait_seconds: float = Field(
        10.0, ge=0, le=600, description="Seconds that a call waits for its turn at a provider's rate."
    )
    at_once: int = Field(1000, ge=1, le=100_000, description="Calls of jobs of one worker at a time.")
    look_seconds: float = Field(
        60.0, ge=0.5, le=3600, description="Seconds between looks at which models there are."
    )
    breaker: BreakerSettings = Field(
        default_factory=BreakerSettings, description="When a model is left alone for a while."
    )
    budget: BudgetSettings = Field(
        default_factory=BudgetSettings, description="The most that models may take."
    )

    @field_validator("providers")
    @classmethod
    def _known_kinds(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not BUILT_IN.issuperset(_kind(one) for one in value):
            # Looked up only for others: every command loads the settings.
            kinds = frozenset(point.name for point in entry_points(group="minoots.providers"))
            require_known("kinds of providers", (_kind(one) for one in value), kinds)
        names = [_name(one) for one in value]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"providers of different names; got two of {name!r}")
        return value

    @model_validator(mode="after")
    def _of_known_providers(self) -> ModelsSettings:
        known = frozenset(_name(one) for one in self.providers)
        keys = (one.get_secret_value().partition("=")[0] for one in self.keys)
        require_known("keys: names of providers", keys, known)
        require_known("local: names of providers", self.local, known)
        require_known("cloud: names of providers", self.cloud, known)
        require_known("defaults: names of providers", (one.partition("=")[0] for one in self.defaults), known)
        require_known("warm: names of providers", (one.partition("=")[0] for one in self.warm), known)
        require_known("pins: names of providers", (one.partition("/")[0] for one in self.pins), known)
        require_known("rates: names of providers", (one.partition("=")[0] for one in self.rates), known)
        return self

    def specs(self) -> tuple[ProviderSpec, ...]:
        """Return the providers, in the order in which they are asked."""
        keys = _by_name(key.get_secret_value() for key in self.keys)
        defaults = _by_name(self.defaults)
        pins = [found.groups() for found in map(_PINNED.fullmatch, self.pins) if found]
        rates = {found[1]: found for found in map(_RATE.fullmatch, self.rates) if found}
        made = []
        for text in self.providers:
            found = _PROVIDER.fullmatch(text)
            if found is None:
                raise ValueError(f"expected a provider; got {text!r}")
            name, kind, url = found[1], found[2] or found[1], found[3]
            rate = rates.get(name)
            made.append(
                ProviderSpec(
                    name=name,
                    kind=kind,
                    url=url,
                    key=SecretStr(keys[name]) if name in keys else None,
                    local=self._is_local(name, kind, url),
                    default=defaults.get(name),
                    keep_alive=self.keep_alive,
                    truncate=self.on_truncation != "fail",
                    pins=tuple((model, digest) for whose, model, digest in pins if whose == name),
                    rate=RateSpec()
                    if rate is None
                    else RateSpec(int(rate[2]) if rate[2] else None, int(rate[3]) if rate[3] else None),
                )
            )
        if self.policy == "local_first":
            made.sort(key=lambda spec: not spec.local)
        return tuple(made)

    def _is_local(self, name: str, kind: str, url: str | None) -> bool:
        if name in self.local or name in self.cloud:
            return name not in self.cloud
        # What speaks to a company's own service through its own package passes words on, wherever it is.
        return kind not in ("openai", "anthropic") and url is not None and _is_here(url)


def _name(provider: str) -> str:
    return re.split("[:=]", provider, maxsplit=1)[0]


def _whole(model: str) -> str:
    """Return the name of a model as Ollama has it: one without a tag has this one."""
    return model if ":" in model.rpartition("/")[2] else f"{model}:latest"


def _kind(provider: str) -> str:
    found = _PROVIDER.fullmatch(provider)
    return "" if found is None else found[2] or found[1]


def _by_name(pairs: Iterable[str]) -> dict[str, str]:
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}


def _is_here(url: str) -> bool:
    """Tell whether an address is this machine's own, by its spelling: a name is resolved by somebody else."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
