"""What is asked of a language model, and what comes back: one form for every provider.

Owns the wire. Texts stand in a message or are named by their SHA-256, so that a history or an event never
carries them; images are always named. Money is whole millionths of the currency of the price table: no
rounding can make a budget overspend.
"""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, JsonValue, model_validator

from .base import MAX_INTEGER, Instant, Matching, Part, Request, View

MAX_TEXT: Final = 8 * 1024 * 1024
"""Characters of one message."""
MAX_SCHEMA_BYTES: Final = 64 * 1024
MAX_ARGUMENT_BYTES: Final = 1024 * 1024
MAX_TOKENS: Final = 100_000_000


def _within(most: int, what: str) -> AfterValidator:
    def check(value: Any) -> Any:
        size = len(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))
        if size > most:
            raise ValueError(f"expected {what} of at most {most} bytes of JSON; got {size}")
        return value

    return AfterValidator(check)


def _no_arguments() -> dict[str, JsonValue]:
    return {"type": "object", "properties": {}}


ContentHash = Annotated[
    str, Matching(r"^[0-9a-f]{64}$", "a SHA-256 in 64 small hexadecimal digits, of a content that is kept")
]
"""By what a content that was handed in before is known."""
ProviderName = Annotated[
    str, Matching(r"^[a-z0-9][a-z0-9_-]{0,62}$", "a provider's name of small letters, digits and _ -")
]
ModelName = Annotated[
    str,
    Matching(r"^[^\s\x00-\x1f\x7f]{1,200}$", "a model's name of 1 to 200 characters without spaces"),
]
Tokens = Annotated[int, Field(ge=1, le=MAX_TOKENS)]
Micros = Annotated[int, Field(ge=0, le=MAX_INTEGER)]
"""Millionths of the currency of the price table."""
JsonSchema = Annotated[
    dict[str, JsonValue], Field(max_length=256), _within(MAX_SCHEMA_BYTES, "a JSON Schema")
]
Arguments = Annotated[dict[str, JsonValue], Field(max_length=1024), _within(MAX_ARGUMENT_BYTES, "arguments")]


class Role(StrEnum):
    """Who says a message."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


class Capability(StrEnum):
    """What a request may need of a model."""

    COMPLETION = "completion"
    TOOLS = "tools"
    IMAGES = "images"
    JSON = "json"
    """An answer of a given JSON Schema."""
    THINKING = "thinking"
    EMBEDDING = "embedding"


class Locality(StrEnum):
    """Where a request may go: whether words leave the machines of the operator is decided here."""

    LOCAL_ONLY = "local_only"
    ALLOW_CLOUD = "allow_cloud"


class OnBreak(StrEnum):
    """What happens when an answer breaks off after some of it was delivered."""

    FAIL = "fail"
    RESTART = "restart"
    """Another attempt begins from the start; readers drop what came before."""
    CONTINUE = "continue"
    """Another attempt is given what was said so far, and goes on from there; readers keep it."""


class FinishReason(StrEnum):
    """Why an answer ended."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    FILTERED = "filtered"


class ModelErrorKind(StrEnum):
    """The closed set of what can go wrong between us and a model."""

    INVALID = "invalid"
    """The provider refuses the request as it is."""
    UNSUPPORTED = "unsupported"
    """No model that may be asked can do what is needed."""
    UNKNOWN_MODEL = "unknown_model"
    UNKNOWN_PROVIDER = "unknown_provider"
    CONTEXT_TOO_LONG = "context_too_long"
    NOT_CONFIGURED = "not_configured"
    """A provider without its key or its package."""
    UNAUTHENTICATED = "unauthenticated"
    DENIED = "denied"
    OUT_OF_FUNDS = "out_of_funds"
    """The provider's account is used up."""
    OVER_BUDGET = "over_budget"
    """A budget of ours is used up."""
    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    PROVIDER_FAULT = "provider_fault"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    BROKEN_STREAM = "broken_stream"
    """The answer broke off after it had begun."""
    BAD_ANSWER = "bad_answer"
    """What came is not what the provider's wire or the asked-for schema says."""
    TRUNCATED = "truncated"
    """The model evaluated fewer tokens than were sent: it has not read all of it."""
    FILTERED = "filtered"
    CIRCUIT_OPEN = "circuit_open"
    """It failed too often lately, and is left alone for a while."""
    NOT_ALLOWED = "not_allowed"
    """Only providers are left that the request may not go to."""
    CANCELLED = "cancelled"


class ToolCall(Part):
    """A tool that the model wants called."""

    id: Annotated[str, Field(min_length=1, max_length=200)]
    name: Annotated[str, Field(min_length=1, max_length=200)]
    arguments: Arguments = Field(default_factory=dict)
    malformed: Annotated[str, Field(max_length=MAX_ARGUMENT_BYTES)] | None = None
    """What the model sent where it is no JSON object; ``arguments`` is empty then."""


class ToolSpec(Part):
    """A tool that the model may call."""

    name: Annotated[str, Matching(r"^[A-Za-z0-9_-]{1,64}$", "a tool's name of letters, digits and _ -")]
    description: Annotated[str, Field(max_length=16_384)] = ""
    parameters: JsonSchema = Field(default_factory=_no_arguments)
    """JSON Schema of its arguments, sent to the model as it stands."""


class Message(Part):
    """Something said."""

    role: Role
    text: Annotated[str, Field(max_length=MAX_TEXT)] = ""
    content: ContentHash | None = None
    """A kept text in place of ``text``."""
    images: Annotated[tuple[ContentHash, ...], Field(max_length=32)] = ()
    tool_calls: Annotated[tuple[ToolCall, ...], Field(max_length=128)] = ()
    """Of an assistant."""
    tool_call_id: Annotated[str, Field(max_length=200)] | None = None
    """Of a tool's result: which call it answers."""
    name: Annotated[str, Field(max_length=200)] | None = None
    """Of a tool's result: the tool's."""

    @model_validator(mode="after")
    def _of_its_role(self) -> Message:
        if self.text and self.content is not None:
            raise ValueError("expected text or content, not both")
        if self.tool_calls and self.role is not Role.ASSISTANT:
            raise ValueError(f"expected tool_calls on an assistant's message; got them on one of {self.role}")
        if self.role is Role.TOOL and self.tool_call_id is None:
            raise ValueError("expected tool_call_id on a tool's message: the id of the call that it answers")
        return self


class ModelRequest(Request):
    """What is asked of a model."""

    messages: Annotated[tuple[Message, ...], Field(min_length=1, max_length=10_000)]
    provider: ProviderName | None = None
    """Only this one; without it the router chooses."""
    model: ModelName | None = None
    """Without it each provider's default."""
    needs: Annotated[frozenset[Capability], Field(max_length=len(Capability))] = frozenset()
    """Beside what follows from the request: tools, images, a JSON Schema."""
    locality: Locality | None = None
    """Without it what the setting ``models.locality`` says, which is ``local_only`` unless it was changed."""
    max_tokens: Tokens | None = None
    """Of the answer."""
    context_tokens: Tokens | None = None
    """The context to provide, where the provider lets that be chosen; without it what the request needs."""
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    stop: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=200)], ...], Field(max_length=16)
    ] = ()
    think: bool | None = None
    """Whether the model thinks before it answers; without it as the model does by itself."""
    json_schema: JsonSchema | None = None
    """The answer is JSON of this schema."""
    tools: Annotated[tuple[ToolSpec, ...], Field(max_length=128)] = ()
    on_break: OnBreak = OnBreak.FAIL
    deadline: Instant | None = None
    """Until when the whole of it must be there, every attempt included."""


class ModelUsage(View):
    """What an answer took."""

    input_tokens: int = 0
    """Those that were read, the cached ones included."""
    output_tokens: int = 0
    cached_tokens: int = 0
    """Of the input: those that the provider had read before and bills for less."""
    cost_micros: int = 0
    """Millionths of the currency of the price table; 0 for a local model."""


class ModelTimings(View):
    """How long it took, in milliseconds from the call of the router."""

    queue_ms: float = 0
    """Until the last attempt was sent: breaker, limits, budget, earlier attempts."""
    first_token_ms: float | None = None
    total_ms: float = 0


class ModelAttempt(View):
    """One provider that was asked, or passed over, and why."""

    number: int
    """From 1, of those that were asked; 0 for one that was passed over."""
    provider: str
    model: str
    error: ModelErrorKind | None = None
    detail: str | None = None
    broke_off: bool = False
    """Its answer ended before its end, and some of it had been delivered."""
    usage: ModelUsage = Field(default_factory=ModelUsage)


class ModelAnswer(View):
    """What came back."""

    text: str = ""
    thinking: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish: FinishReason = FinishReason.STOP
    provider: str
    model: str
    local: bool
    """Whether it was given by a machine of the operator's."""
    usage: ModelUsage
    """Of all attempts together."""
    currency: str = "USD"
    attempts: tuple[ModelAttempt, ...] = ()
    """In order; the last one gave the answer."""
    fell_back: bool = False
    """Another than the first choice gave it."""
    warnings: tuple[str, ...] = ()
    """What the reader of the answer should know, such as that the model has not read all of the request."""
    timings: ModelTimings = Field(default_factory=ModelTimings)


class DeltaKind(StrEnum):
    """What a piece of an answer is."""

    ATTEMPT = "attempt"
    """A provider begins to be asked."""
    TEXT = "text"
    THINKING = "thinking"
    TOOL_CALL = "tool_call"


class Delta(View):
    """A piece of an answer, as it comes."""

    kind: DeltaKind
    attempt: int
    """From 1."""
    drop: bool = False
    """Of ``attempt``: what came before is void, and readers drop it."""
    provider: str | None = None
    """Of ``attempt``."""
    model: str | None = None
    """Of ``attempt``."""
    reason: str | None = None
    """Of ``attempt`` beyond the first: why the one before did not do."""
    text: str = ""
    """Of ``text`` and ``thinking``; of ``tool_call`` a part of its arguments, as JSON text."""
    index: int | None = None
    """Of ``tool_call``: which one, from 0."""
    call_id: str | None = None
    name: str | None = None


class EmbeddingRequest(Request):
    """Texts to be made vectors of."""

    texts: Annotated[
        tuple[Annotated[str, Field(max_length=1024 * 1024)], ...], Field(min_length=1, max_length=2048)
    ]
    provider: ProviderName | None = None
    model: ModelName | None = None
    locality: Locality | None = None
    dimensions: Annotated[int, Field(ge=1, le=65_536)] | None = None
    deadline: Instant | None = None


class EmbeddingAnswer(View):
    """Vectors, in the order of the texts."""

    vectors: tuple[tuple[float, ...], ...]
    provider: str
    model: str
    local: bool
    usage: ModelUsage
    currency: str = "USD"
    attempts: tuple[ModelAttempt, ...] = ()
    fell_back: bool = False
    timings: ModelTimings = Field(default_factory=ModelTimings)


class Budget(Part):
    """The most that something may take; what is not said is not limited."""

    tokens: Tokens | None = None
    """Input and output together, of models that cost something."""
    cost_micros: Micros | None = None
