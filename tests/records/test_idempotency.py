"""The first answer to a request, given again to its repetitions."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from ledger import Ledger

from minoots.errors import Failure, FailureKind
from minoots_platform.records import idempotency
from minoots_platform.records.idempotency import KEPT_FOR, Stored

ANSWER = {"id": "tmr_1", "payload": None, "text": "ü"}


async def keep(ledger: Ledger, key: str = "k", fingerprint: str = "f") -> None:
    """Keep the first answer."""
    async with ledger.writing() as connection:
        await idempotency.keep(
            connection, ledger.tenant, key, fingerprint, status=201, answer=ANSWER, now=ledger.now
        )


async def find(ledger: Ledger, key: str = "k", fingerprint: str = "f") -> Stored | None:
    """Look for it."""
    async with ledger.database.read() as connection:
        return await idempotency.find(connection, ledger.tenant, key, fingerprint)


async def test_the_same_request_gets_the_first_answer(ledger: Ledger) -> None:
    assert await find(ledger) is None
    await keep(ledger)
    assert await find(ledger) == Stored(201, ANSWER)
    assert await find(ledger, key="K") is None
    assert await find(ledger.of("globex")) is None, "keys are each tenant's own"


async def test_another_request_under_the_same_key_is_refused(ledger: Ledger) -> None:
    await keep(ledger)
    with pytest.raises(Failure, match="used for another request") as caught:
        await find(ledger, fingerprint="g")
    assert caught.value.kind is FailureKind.INVALID
    assert caught.value.errors[0].field == "header.Idempotency-Key"


async def test_of_two_first_answers_the_second_is_not_kept(ledger: Ledger) -> None:
    await keep(ledger)
    with pytest.raises(sa.exc.IntegrityError):
        await keep(ledger, fingerprint="g")
    assert await find(ledger) == Stored(201, ANSWER)


async def test_keys_are_forgotten_after_their_time_and_not_before(ledger: Ledger) -> None:
    await keep(ledger, "old")
    ledger.pass_time(1)
    await keep(ledger, "young")
    ledger.now += KEPT_FOR
    async with ledger.writing() as connection:
        assert await idempotency.forget_old(connection, ledger.now) == 1
    assert await find(ledger, "old") is None
    assert await find(ledger, "young") is not None
