"""What the stand-in says and how it fails: models, and turns that answer to what they match.

A turn that has been used as often as it may is passed over, so that turns of the same words make a
conversation. Without a turn that matches, the answer is an echo.
"""

from __future__ import annotations

import hashlib
import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from minoots.contracts.wording import expected_and_got, findings, place
from minoots.errors import Failure, FailureKind

BYTES_PER_TOKEN: Final = 4
_PIECE: Final = re.compile(r"\S+\s*|\s+")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Model(_Part):
    """A model that the server has, or could pull."""

    name: str
    context_length: Annotated[int, Field(ge=16)] = 32_768
    embedding_length: Annotated[int, Field(ge=1, le=8192)] = 64
    capabilities: tuple[str, ...] = ("completion", "tools", "thinking")
    remote: bool = False
    """Whether Ollama's wire says that it runs in the cloud."""
    size: int = 1_000_000_000
    pulled: bool = True
    """Whether it is there from the beginning."""
    changes: bool = False
    """Whether a pull brings another version than the one that is there from the beginning."""

    @property
    def digest(self) -> str:
        """What pins it."""
        return hashlib.sha256(self.name.encode()).hexdigest()

    @property
    def newest(self) -> str:
        """What pins the version that a pull brings."""
        return hashlib.sha256(f"{self.name} anew".encode()).hexdigest() if self.changes else self.digest


class ToolCall(_Part):
    """A call that the model makes."""

    name: str
    arguments: dict[str, Any] | str = Field(default_factory=dict)
    """A text is sent as it is, whether it is JSON or not."""


class Fault(_Part):
    """How an answer fails.

    ``status``: with an HTTP status, before anything is said. ``error``: with an error in the middle of the
    stream. ``cut``: the connection ends there. ``hang``: nothing more comes. ``garbage``: a line that is no
    JSON.
    """

    kind: Literal["status", "error", "cut", "hang", "garbage"]
    status: Annotated[int, Field(ge=400, le=599)] = 503
    message: str = "the model has failed"
    after: Annotated[int, Field(ge=0)] = 0
    """Pieces of the answer that come before."""
    retry_after: int | None = None


class Turn(_Part):
    """What is answered, and to what."""

    when: str = ""
    """A pattern that the last message has to match somewhere."""
    model: str | None = None
    nth: Annotated[int, Field(ge=1)] | None = None
    """Which answer of its conversation it is: 1 is the first. So an agent's script is played the same way
    however often it is asked for an answer again."""
    times: Annotated[int, Field(ge=1)] | None = None
    """How often it answers; then the next one that matches does."""
    text: str = ""
    """``{last}`` stands for the last message."""
    thinking: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    raw: tuple[str, ...] = ()
    """Texts, sent as they are instead of an answer, each as a line of Ollama's wire or an event of OpenAI's:
    what a server may get wrong."""
    fault: Fault | None = None
    cached: Annotated[int, Field(ge=0)] = 0
    """Tokens of the request that the server had read before, by the wires that tell it."""
    pace: Annotated[float, Field(ge=0, le=60)] = 0.0
    """Seconds before each piece."""

    @field_validator("when")
    @classmethod
    def _pattern(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"expected a regular expression; {error}") from error
        return value

    def answers(self, model: str, last: str, nth: int) -> bool:
        """Tell whether it answers to this."""
        if self.model is not None and with_tag(self.model) != with_tag(model):
            return False
        if self.nth not in (None, nth):
            return False
        return re.search(self.when, last) is not None


_ECHO: Final = Turn(text="You said: {last}")
_MODELS: Final = (Model(name="fake:latest"), Model(name="fake-embed:latest", capabilities=("embedding",)))


class Script(_Part):
    """Everything that the server says and does."""

    models: Annotated[tuple[Model, ...], Field(min_length=1)] = _MODELS
    turns: tuple[Turn, ...] = ()
    api_key: str | None = None
    """Wanted as ``Authorization: Bearer …`` by the paths of OpenAI and Anthropic, by Anthropic's also as
    ``x-api-key``."""
    context: Annotated[int, Field(ge=16)] = 4096
    """Tokens that Ollama's wire looks at unless ``num_ctx`` says otherwise. What is beyond is dropped from
    the front without a word, as the real one does."""
    most_context: Annotated[int, Field(ge=16)] | None = None
    """The most that Ollama's wire looks at, whatever ``num_ctx`` says: a server that has less memory."""
    refuses: bool = True
    """Whether Ollama's wire refuses what is too long when it is told not to truncate; old ones do not."""

    def model(self, name: str) -> Model | None:
        """Return a model by its name, with or without ``:latest``."""
        return next((one for one in self.models if with_tag(one.name) == with_tag(name)), None)


class Playing:
    """A script that is being played: how often each turn has answered."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.pulled = {model.name: model.digest for model in script.models if model.pulled}
        """Models that are there, each with the digest that it has."""
        self._used = [0] * len(script.turns)

    def next(self, model: str, messages: Sequence[Mapping[str, Any]]) -> Turn:
        """Return the turn that answers to the messages, with the words filled in."""
        last = text_of(messages[-1]) if messages else ""
        nth = 1 + sum(message.get("role") == "assistant" for message in messages)
        for number, turn in enumerate(self.script.turns):
            if turn.answers(model, last, nth) and (turn.times is None or self._used[number] < turn.times):
                self._used[number] += 1
                return turn.model_copy(update={"text": turn.text.replace("{last}", last)})
        return _ECHO.model_copy(update={"text": _ECHO.text.replace("{last}", last)})

    def model(self, name: str) -> Model | None:
        """Return a model that is there."""
        found = self.script.model(name)
        return found if found is not None and found.name in self.pulled else None


def with_tag(name: str) -> str:
    """Return a model's name as Ollama has it: a script may leave the tag out, as its users do."""
    return name if ":" in name else f"{name}:latest"


def text_of(message: Mapping[str, Any]) -> str:
    """Return the text of a message of either wire."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(str(part["text"]) for part in parts if isinstance(part, Mapping) and "text" in part)


def tokens_in(*texts: str) -> int:
    """Return how many tokens texts have: one for every four bytes of each, begun ones included."""
    return sum(math.ceil(len(text.encode("utf-8", "replace")) / BYTES_PER_TOKEN) for text in texts)


def pieces(text: str) -> list[str]:
    """Divide a text as it is streamed: word by word."""
    return _PIECE.findall(text)


def embedding(text: str, length: int) -> list[float]:
    """Return a vector of length one, the same for the same text, near for texts that share words."""
    vector = [0.0] * length
    for word in re.findall(r"\w+", text.lower()) or [""]:
        told = hashlib.blake2b(word.encode(), digest_size=8).digest()
        vector[int.from_bytes(told[:4], "big") % length] += 1.0 if told[4] % 2 else -1.0
    norm = math.sqrt(sum(one * one for one in vector))
    return [one / norm for one in vector] if norm else [1.0, *[0.0] * (length - 1)]


def load(path: Path) -> Script:
    """Return the script in a TOML file.

    Raises:
        Failure: invalid, naming every field that is wrong.
    """
    try:
        return Script.model_validate(tomllib.loads(path.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Failure(
            FailureKind.INVALID, f"{path}: expected a readable TOML file; {error}", remedy="Correct the file."
        ) from error
    except ValidationError as error:
        told = []
        for item in findings(error.errors(include_url=False)):
            expected, got = expected_and_got(item)
            told.append(f"{'.'.join(place(item))}: expected {expected}; got {got}")
        raise Failure(
            FailureKind.INVALID, f"{path} is no script: {'; '.join(told)}", remedy="Correct these fields."
        ) from error
