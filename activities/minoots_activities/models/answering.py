"""Putting an answer together from its pieces, and holding it against what was asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any, Final

from pydantic import ValidationError

from minoots.contracts.models import (
    MAX_TEXT,
    Delta,
    DeltaKind,
    FinishReason,
    ModelErrorKind,
    ModelRequest,
    ToolCall,
)
from minoots_workflows.models.failures import ModelFailure

from .providers.provider import Counted, Done, Piece, Text, Thinking, ToolPart, count_of
from .providers.wire import parsed

_MOST_CALLS: Final = 1024
"""Calls of tools in one answer: an agent makes 64 of them."""
_HALVES: Final = re.compile("[\ud800-\udfff]")


@dataclass
class _Calling:
    id: str | None = None
    name: str = ""
    arguments: list[str] = field(default_factory=list)


class Answering:
    """The answer of one attempt, as far as it has come."""

    def __init__(self, attempt: int, before: str = "") -> None:
        self.attempt = attempt
        self.before = before
        """What an earlier attempt had said, which this one goes on from."""
        self.done: Done | None = None
        self.counted: Counted | None = None
        self.received = 0
        """Bytes of the answer."""
        self._text: list[str] = []
        self._thinking: list[str] = []
        self._calls: dict[int, _Calling] = {}

    def take(self, piece: Piece) -> Delta | None:
        """Add a piece; return what a reader is told of it.

        Raises:
            ModelFailure: bad_answer, when it becomes more than an answer can be.
        """
        delta = self._taken(piece)
        if self.received > MAX_TEXT - len(self.before) or len(self._calls) > _MOST_CALLS:
            raise ModelFailure(
                ModelErrorKind.BAD_ANSWER,
                f"the model said more than an answer has: {MAX_TEXT} bytes and {_MOST_CALLS} calls of tools",
                remedy="Set max_tokens, and see whether the server of the model heeds it.",
            )
        return delta

    def _taken(self, piece: Piece) -> Delta | None:
        match piece:
            case Text(text):
                text = _whole(text)
                self._text.append(text)
                self.received += len(text.encode())
                return Delta(kind=DeltaKind.TEXT, attempt=self.attempt, text=text)
            case Thinking(text):
                text = _whole(text)
                self._thinking.append(text)
                self.received += len(text.encode())
                return Delta(kind=DeltaKind.THINKING, attempt=self.attempt, text=text)
            case ToolPart():
                return self._called(piece)
            case Counted():
                # Plug-ins too are read as if they were a wire: what is no count has not been told.
                read = count_of(piece.input_tokens)
                if read is not None:
                    cached, written = count_of(piece.cached_tokens) or 0, count_of(piece.written_tokens) or 0
                    self.counted = Counted(read, cached, written)
            case Done():
                self.done = replace(
                    piece,
                    input_tokens=count_of(piece.input_tokens),
                    output_tokens=count_of(piece.output_tokens),
                    cached_tokens=count_of(piece.cached_tokens) or 0,
                    written_tokens=count_of(piece.written_tokens) or 0,
                )
        return None

    @property
    def text(self) -> str:
        """What was said, by earlier attempts too where this one goes on from them."""
        return self.before + "".join(self._text)

    @property
    def thinking(self) -> str:
        """What was thought."""
        return "".join(self._thinking)

    @property
    def began(self) -> bool:
        """Whether something of an answer has come."""
        return bool(self._text or self._thinking or self._calls)

    @property
    def calling(self) -> bool:
        """Whether a tool is being called."""
        return bool(self._calls)

    def tool_calls(self) -> tuple[ToolCall, ...]:
        """Return the calls of tools; one whose arguments are no JSON object says so.

        Raises:
            ModelFailure: bad_answer, for a call that names no tool, or is larger than one may be.
        """
        made: list[ToolCall] = []
        ids: set[str] = set()
        for number, index in enumerate(sorted(self._calls)):
            calling = self._calls[index]
            sent = "".join(calling.arguments)
            arguments: dict[str, Any] = {}
            malformed = None
            try:
                found = parsed(sent) if sent.strip() else {}
            except ValueError:
                malformed = sent
            else:
                if isinstance(found, dict):
                    arguments = found
                else:
                    malformed = sent
            # Of two calls of one name nobody could tell which one a result belongs to.
            try:
                made.append(
                    ToolCall(
                        id=_free(calling.id, f"call_{self.attempt}_{number}", ids),
                        name=calling.name,
                        arguments=arguments,
                        malformed=malformed,
                    )
                )
            except ValidationError as error:
                raise ModelFailure(
                    ModelErrorKind.BAD_ANSWER,
                    f"the model calls a tool in a way that none can be called: {error.error_count()} faults",
                ) from error
        return tuple(made)

    def check(self, request: ModelRequest) -> None:
        """Hold the answer against the schema that was asked for.

        Raises:
            ModelFailure: bad_answer, when it is not of the schema; invalid, when that cannot be applied.
        """
        if request.json_schema is None or self.done is None or self.calling:
            return
        if self.done.finish is not FinishReason.STOP:
            return
        from .schemas import hold

        hold(self.text, request.json_schema)

    def _called(self, part: ToolPart) -> Delta:
        part = replace(
            part,
            arguments=_whole(part.arguments),
            id=None if part.id is None else _whole(part.id),
            name=None if part.name is None else _whole(part.name),
        )
        calling = self._calls.setdefault(part.index, _Calling())
        calling.id = part.id or calling.id
        calling.name = part.name or calling.name
        calling.arguments.append(part.arguments)
        self.received += len(part.arguments.encode()) + len(part.name or "")
        return Delta(
            kind=DeltaKind.TOOL_CALL,
            attempt=self.attempt,
            index=part.index,
            call_id=part.id,
            name=part.name,
            text=part.arguments,
        )


def _free(told: str | None, ours: str, taken: set[str]) -> str:
    """Return the id of a call: what was told, unless another call has it already."""
    found = told if told and told not in taken else ours
    while found in taken:
        # What was told may look like ours.
        found += "_"
    taken.add(found)
    return found


def _whole(text: str) -> str:
    """Return a text without halves of characters, which JSON can bring and nothing else can hold."""
    return text if text.isascii() else _HALVES.sub("\N{REPLACEMENT CHARACTER}", text)
