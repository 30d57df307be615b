"""Parameters that several routes share: ids, generations, keys, limits."""

from __future__ import annotations

import re
from typing import Annotated, Final

from fastapi import Depends, Header, Path, Query
from pydantic import AfterValidator

from minoots.contracts import FieldProblem
from minoots.contracts.base import Matching
from minoots.errors import Failure, FailureKind
from minoots_platform.ids import ULID_PATTERN, Prefix, is_id

KEY_PATTERN: Final = r"^[\x21-\x7e]{1,255}$"


def _plain(value: str) -> str:
    if "\x00" in value:
        raise ValueError("expected text without NUL bytes; got one that holds U+0000")
    return value


Text = Annotated[str, AfterValidator(_plain)]
"""Text that a database can hold."""

LabelFilter = Annotated[Text, Matching(r"^[^:]{1,63}:.{0,256}$", "key:value, such as team:red")]
"""A label that must match."""

IdempotencyKey = Annotated[
    Annotated[str, Matching(KEY_PATTERN, "1 to 255 ASCII characters without spaces")] | None,
    Header(
        alias="Idempotency-Key",
        description="The same key with the same request gets the first answer again.",
    ),
]
Limit = Annotated[int, Query(ge=1, le=200, description="Items on a page.")]
Cursor = Annotated[
    Text | None, Query(max_length=500, description="`next_cursor` of the page before, with the same filters.")
]


def if_match(
    value: Annotated[
        str | None,
        Header(
            alias="If-Match",
            max_length=40,
            description='The generation that you have seen, such as `"3"`; 412 when it is another by now.',
        ),
    ] = None,
) -> int | None:
    """Return the generation that a client expects, or ``None`` when any will do."""
    if value is None or value.strip() == "*":
        return None
    found = re.fullmatch(r'\s*(?:"([0-9]{1,9})"|([0-9]{1,9}))\s*', value)
    if found is None:
        raise Failure(
            FailureKind.INVALID,
            "the header If-Match is not a generation",
            remedy='Send the ETag of the timer, such as If-Match: "3".',
            errors=(
                FieldProblem(field="header.If-Match", expected='a generation, such as "3"', got=value[:40]),
            ),
        )
    return int(found[1] or found[2])


IfMatch = Annotated[int | None, Depends(if_match)]


def known_form(public_id: str, prefix: Prefix, noun: str) -> str:
    """Return ``public_id`` if it has the form of one; what has not is simply not there.

    Raises:
        Failure: not_found.
    """
    if not is_id(public_id, prefix):
        raise Failure(
            FailureKind.NOT_FOUND,
            f"there is no {noun} {public_id[:60]!r}",
            remedy=f"Such an id is {prefix}_ and 26 letters and digits; look it up in the list.",
        )
    return public_id


def timer_id(id: Annotated[str, Path(examples=["tmr_01JD3Z5E8S9V8QG8ZJ6ZC4T2XK"])]) -> str:
    """Return the id of a timer from the path."""
    return known_form(id, "tmr", "timer")


TimerId = Annotated[str, Depends(timer_id)]

TIMER_ID_PATTERN: Final = rf"^tmr_{ULID_PATTERN}$"


def number_of(cursor: str | None) -> int | None:
    """Return the number that the cursor of a list in order stands for.

    Raises:
        Failure: invalid, for one that is none of ours.
    """
    if cursor is None:
        return None
    if not cursor.isascii() or not cursor.isdecimal() or len(cursor) > 18:
        expected = "next_cursor of the page before"
        raise Failure(
            FailureKind.INVALID,
            "the cursor does not belong to this list",
            remedy="Pass next_cursor of the page before; begin without a cursor.",
            errors=(FieldProblem(field="query.cursor", expected=expected, got=cursor[:60]),),
        )
    return int(cursor)
