"""The two kinds of wire model, and the hygiene of JSON that is kept.

`Request` models are what clients send: unknown fields are refused. `View` models are what the service
answers: clients ignore fields that they do not know, so that a newer service can speak to them.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)

from minoots import durations

MAX_DEPTH: Final = 64
"""Deeper JSON than this is refused: parsers on the way to the receiver give up at different depths."""

MAX_INTEGER: Final = 2**63 - 1
"""Larger integers lose digits in most JSON parsers."""

LABEL_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$"


def _check_text(text: str, where: str) -> None:
    if "\x00" in text:
        raise ValueError(f"{where} holds a NUL byte (U+0000); remove it")
    if re.search("[\ud800-\udfff]", text):
        raise ValueError(
            f"{where} holds half of a surrogate pair, which is no Unicode text; send the whole character"
        )


def check_json(value: Any, where: str = "body", depth: int = 0) -> None:
    """Refuse JSON that could not be stored and given back unchanged.

    Raises:
        ValueError: for NUL bytes, lone surrogates, NaN or infinite numbers, integers beyond 64 bits and
            nesting beyond `MAX_DEPTH`; the text names the place.
    """
    if depth > MAX_DEPTH:
        raise ValueError(f"{where} is nested more than {MAX_DEPTH} levels deep; flatten it")
    if isinstance(value, str):
        _check_text(value, where)
    elif isinstance(value, bool):
        return
    elif isinstance(value, int):
        if abs(value) > MAX_INTEGER:
            raise ValueError(f"{where} is an integer beyond 64 bits; send it as a string")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{where} is not a finite number; JSON has neither NaN nor Infinity")
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_text(str(key), f"a key in {where}")
            check_json(item, f"{where}.{key}", depth + 1)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            check_json(item, f"{where}.{index}", depth + 1)


class Part(BaseModel):
    """A piece of a request: frozen, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Request(Part):
    """A whole request body."""

    @model_validator(mode="before")
    @classmethod
    def _storable(cls, value: Any) -> Any:
        check_json(value)
        return value


class View(BaseModel):
    """An answer of the service: frozen, unknown fields ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


def _aware(value: Any) -> Any:
    # Only RFC 3339 text or a datetime: pydantic would also read a bare number as seconds since 1970.
    if isinstance(value, str | datetime):
        return value
    raise ValueError("expected an RFC 3339 time with an offset, such as 2026-11-20T09:00:00Z")


def _to_utc(value: datetime) -> datetime:
    if value.tzinfo is None or value.utcoffset() is None:
        raise ValueError("expected an RFC 3339 time with an offset, such as 2026-11-20T09:00:00Z or …+01:00")
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("expected a time between the years 1 and 9999") from error


Instant = Annotated[datetime, BeforeValidator(_aware), AfterValidator(_to_utc)]
"""A moment: RFC 3339 with an offset on the wire, always UTC in Python."""

Duration = Annotated[
    timedelta,
    BeforeValidator(durations.parse_duration),
    PlainSerializer(durations.format_duration, return_type=str, when_used="json"),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": durations.SHORT_PATTERN, "examples": ["90s", "1h30m"]},
                {"type": "string", "pattern": durations.ISO_PATTERN, "examples": ["PT1H30M"]},
                {"type": "number", "minimum": 0, "maximum": durations.MAX_DURATION.total_seconds()},
            ]
        }
    ),
]
"""A length of time; see `minoots.durations.parse_duration` for what is read. Printed in the short form."""

Name = Annotated[str, Field(min_length=1, max_length=200)]
Labels = Annotated[
    dict[
        Annotated[str, Field(pattern=LABEL_PATTERN)],
        Annotated[str, Field(max_length=256)],
    ],
    Field(max_length=32),
]
"""Up to 32 pairs; keys match `LABEL_PATTERN`, values have at most 256 characters."""
