"""The two kinds of wire model, and the hygiene of JSON that is kept.

`Request` models are what clients send: unknown fields are refused. `View` models are what the service
answers: clients ignore fields that they do not know, so that a newer service can speak to them.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from minoots import durations

MAX_DEPTH: Final = 64
"""Deeper JSON than this is refused: parsers on the way to the receiver give up at different depths."""

MAX_INTEGER: Final = 2**63 - 1
"""Larger integers lose digits in most JSON parsers."""

RFC3339: Final = "an RFC 3339 time with an offset, such as 2026-11-20T09:00:00Z"

LABEL_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$"
LABEL_KEY: Final = "a key of 1 to 63 letters, digits and . _ / -, beginning with a letter or digit"


@dataclass(frozen=True)
class Matching:
    """Text of a pattern; who sends another is told in ``words`` what was expected, not the pattern."""

    pattern: str
    words: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(schema), "pattern": self.pattern}

    def check(self, value: str) -> str:
        """Return ``value`` if it matches.

        Raises:
            ValueError: otherwise.
        """
        if re.fullmatch(self.pattern, value) is None:
            raise ValueError(f"expected {self.words}")
        return value


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
    if isinstance(value, datetime) or (isinstance(value, str) and re.match(r"\s*[0-9]{4}-", value)):
        return value
    raise ValueError(f"expected {RFC3339}")


def _to_utc(value: datetime) -> datetime:
    if value.tzinfo is None or value.utcoffset() is None:
        raise ValueError(f"expected {RFC3339} or …+01:00")
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
        Annotated[str, Matching(LABEL_PATTERN, LABEL_KEY)],
        Annotated[str, Field(max_length=256)],
    ],
    Field(max_length=32),
]
"""Up to 32 pairs; keys match `LABEL_PATTERN`, values have at most 256 characters."""
