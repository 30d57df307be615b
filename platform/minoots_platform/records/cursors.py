"""Cursors of paged lists: where the next page begins, as an opaque text.

A cursor holds the sort key and the id of the last row, not an offset: rows that come or go in front of it
move nothing.
"""

from __future__ import annotations

import base64
import binascii
import json
from datetime import UTC, datetime

from minoots.contracts import FieldProblem
from minoots.errors import Failure, FailureKind


def encode(order: str, key: datetime, row_id: str) -> str:
    """Return the cursor that continues after this row in this order."""
    text = json.dumps([order, key.isoformat(), row_id], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode(cursor: str, order: str) -> tuple[datetime, str]:
    """Return the sort key and id to continue after.

    Raises:
        Failure: invalid, when the cursor is not ours or belongs to another order.
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        found_order, key, row_id = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        moment = datetime.fromisoformat(key)
        if found_order != order or not isinstance(row_id, str) or moment.tzinfo is None or "\x00" in row_id:
            raise ValueError
        moment = moment.astimezone(UTC)
        row_id.encode()
    except (ValueError, TypeError, AttributeError, OverflowError, binascii.Error, RecursionError):
        raise Failure(
            FailureKind.INVALID,
            "the cursor does not belong to this list",
            remedy="Pass next_cursor of the page before, with the same sort; begin without a cursor.",
            errors=(
                FieldProblem(
                    field="query.cursor", expected="next_cursor of the page before", got=cursor[:60]
                ),
            ),
        ) from None
    return moment, row_id
