"""Budgets of language models: what a call may take is held before it is made, and settled after it.

Owns accounts and reservations. One transaction locks every account of a call in one statement, in one order,
looks, and holds: however many ask at once, what is used and held together never exceeds a limit. What was
held for a call whose holder died is charged in full, because nobody knows what the provider did; should the
holder be alive after all and tell, it is corrected.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots_platform.ids import new_id
from minoots_platform.settings import BudgetSettings

from . import schema, usage

ACCOUNTS: Final = schema.model_accounts
HELD: Final = schema.model_reservations
LOST: Final = "lost"
_AT_ONCE: Final = 200
_KEPT: Final = timedelta(days=30)

Kind = Literal["job", "key", "tenant", "all"]
Unit = Literal["tokens", "micros"]


@dataclass(frozen=True)
class Account:
    """A budget, and whose it is."""

    kind: Kind
    tenant: str | None
    subject: str
    """The job, the key; empty for a tenant and for everybody."""
    day: str
    """Empty for one that does not begin anew every day."""
    tokens: int | None
    """The most; ``None`` for no limit."""
    micros: int | None

    @property
    def limited(self) -> bool:
        """Whether there is any limit."""
        return self.tokens is not None or self.micros is not None

    @property
    def id(self) -> str:
        """What its row is found by."""
        told = "\x1f".join((self.kind, self.tenant or "", self.subject, self.day))
        return hashlib.sha256(told.encode()).hexdigest()


def of_day(budget: BudgetSettings, tenant: str, key: str, day: str) -> tuple[Account, ...]:
    """Return the budgets of a day that a tenant and a key have, those of everybody first."""
    found = (
        Account("all", None, "", day, budget.day_tokens, micros_of(budget.day_cost)),
        Account("tenant", tenant, "", day, budget.tenant_day_tokens, micros_of(budget.tenant_day_cost)),
        Account("key", tenant, key, day, budget.key_day_tokens, micros_of(budget.key_day_cost)),
    )
    return tuple(one for one in found if one.limited)


def micros_of(cost: float | None) -> int | None:
    """Return an amount of money in millionths."""
    return None if cost is None else round(cost * 1_000_000)


@dataclass(frozen=True)
class Spending:
    """A call that is about to be made, by what it may take at most."""

    tenant: str
    key: str
    job_id: str | None
    call_id: str
    provider: str
    model: str
    tokens: int
    micros: int


@dataclass(frozen=True)
class Refused:
    """An account that cannot pay for it."""

    account: Account
    unit: Unit
    used: int
    held: int
    wanted: int

    @property
    def limit(self) -> int:
        """The most that it allows."""
        return (self.account.tokens if self.unit == "tokens" else self.account.micros) or 0

    @property
    def left(self) -> int:
        """What of it is neither used nor held."""
        return max(0, self.limit - self.used - self.held)


async def reserve(
    connection: AsyncConnection,
    spending: Spending,
    accounts: Sequence[Account],
    now: datetime,
    hold: timedelta,
) -> str | Refused:
    """Hold what a call may take; return the id of the reservation, or the account that cannot pay.

    What an earlier attempt of the same call still holds is charged first: its holder is dead, or is not the
    one any more that is waited for.
    """
    before = (
        await connection.execute(
            sa.select(HELD).where(HELD.c.tenant == spending.tenant, HELD.c.call_id == spending.call_id)
        )
    ).all()
    others = {one for row in before for one in row.accounts}
    rows = await _lock(connection, accounts, others, now)
    for row in before:
        if await _charge(connection, row, now):
            for one in row.accounts:
                if one in rows:
                    rows[one]["held_tokens"] -= row.tokens
                    rows[one]["used_tokens"] += row.tokens
                    rows[one]["held_micros"] -= row.micros
                    rows[one]["used_micros"] += row.micros
    for account in accounts:
        found = rows[account.id]
        units: tuple[tuple[Unit, int | None, int], ...] = (
            ("tokens", account.tokens, spending.tokens),
            ("micros", account.micros, spending.micros),
        )
        for unit, most, wanted in units:
            used, held = found[f"used_{unit}"], found[f"held_{unit}"]
            if most is not None and used + held + wanted > most:
                return Refused(account, unit, used, held, wanted)
    ids = [account.id for account in accounts]
    await _add(connection, ids, now, held_tokens=spending.tokens, held_micros=spending.micros)
    reservation = new_id("use", now)
    await connection.execute(
        sa.insert(HELD).values(
            id=reservation,
            tenant=spending.tenant,
            call_id=spending.call_id,
            key=spending.key,
            job_id=spending.job_id,
            provider=spending.provider,
            model=spending.model,
            accounts=ids,
            tokens=spending.tokens,
            micros=spending.micros,
            created_at=now,
            expires_at=now + hold,
        )
    )
    return reservation


async def settle(
    connection: AsyncConnection, reservation: str, row: usage.NewUsage, now: datetime, *, paid: bool = True
) -> None:
    """Charge what a call took in place of what was held for it, and keep the row of its usage.

    A call that was never made takes nothing, and leaves no row: ``paid`` is false then.
    """
    accounts = (
        await connection.execute(sa.select(HELD.c.accounts).where(HELD.c.id == reservation))
    ).scalar_one_or_none()
    # Accounts first, as everywhere: who takes the reservation over locks them before he lets go of it.
    await _lock(connection, (), accounts or (), now)
    held = (
        await connection.execute(sa.delete(HELD).where(HELD.c.id == reservation).returning(HELD))
    ).one_or_none()
    if held is None:
        await _correct(connection, reservation, row, now)
        return
    await _add(
        connection,
        held.accounts,
        now,
        held_tokens=-held.tokens,
        held_micros=-held.micros,
        used_tokens=row.tokens if paid else 0,
        used_micros=row.cost_micros if paid else 0,
    )
    if paid:
        await usage.add(connection, [row])


async def renew(
    connection: AsyncConnection, reservations: Collection[str], now: datetime, hold: timedelta
) -> None:
    """Say that the holders of some reservations are alive."""
    await connection.execute(sa.update(HELD).where(HELD.c.id.in_(reservations)).values(expires_at=now + hold))


async def expire(connection: AsyncConnection, now: datetime) -> int:
    """Charge what the dead still hold; return for how many calls."""
    dead = (
        await connection.execute(
            sa.select(HELD).where(HELD.c.expires_at < now).order_by(HELD.c.expires_at).limit(_AT_ONCE)
        )
    ).all()
    await _lock(connection, (), {one for row in dead for one in row.accounts}, now)
    charged = [row for row in dead if await _charge(connection, row, now, only_before=now)]
    return len(charged)


async def forget(connection: AsyncConnection, now: datetime) -> None:
    """Let go of the accounts of days that are long over."""
    await connection.execute(
        sa.delete(ACCOUNTS).where(ACCOUNTS.c.day != "", ACCOUNTS.c.updated_at < now - _KEPT)
    )


async def _charge(
    connection: AsyncConnection, row: sa.Row[Any], now: datetime, only_before: datetime | None = None
) -> bool:
    """Charge all that is held; return whether it was still held. Its accounts are locked."""
    gone = sa.delete(HELD).where(HELD.c.id == row.id).returning(HELD.c.id)
    if only_before is not None:
        gone = gone.where(HELD.c.expires_at < only_before)
    if (await connection.execute(gone)).one_or_none() is None:
        return False
    await _add(
        connection,
        row.accounts,
        now,
        held_tokens=-row.tokens,
        held_micros=-row.micros,
        used_tokens=row.tokens,
        used_micros=row.micros,
    )
    lost = usage.NewUsage(
        id=row.id,
        tenant=row.tenant,
        call_id=row.call_id,
        key=row.key,
        job_id=row.job_id,
        provider=row.provider,
        model=row.model,
        local=False,
        outcome=LOST,
        input_tokens=row.tokens,
        output_tokens=0,
        cached_tokens=0,
        cost_micros=row.micros,
        first_token_ms=None,
        total_ms=0,
        at=row.created_at,
    )
    await usage.add(connection, [lost], charged={"accounts": row.accounts})
    return True


async def _correct(connection: AsyncConnection, reservation: str, row: usage.NewUsage, now: datetime) -> None:
    """Put what a call took in the place of what was charged when its holder seemed to be dead."""
    table = schema.model_usage
    lost = (
        await connection.execute(
            sa.select(table).where(table.c.id == reservation, table.c.outcome == LOST).with_for_update()
        )
    ).one_or_none()
    if lost is None:
        return
    await _add(
        connection,
        lost.charged["accounts"],
        now,
        used_tokens=row.tokens - lost.input_tokens,
        used_micros=row.cost_micros - lost.cost_micros,
    )
    await connection.execute(
        sa.update(table).where(table.c.id == reservation).values(**row.values(), charged=None)
    )


async def _lock(
    connection: AsyncConnection, accounts: Sequence[Account], others: Iterable[str], now: datetime
) -> dict[str, dict[str, Any]]:
    """Return the rows of accounts, locked, by their ids; those that are missing are made.

    All in one statement and in one order: two calls that share two accounts cannot wait for each other.
    """
    ids = sorted({account.id for account in accounts} | set(others))
    query = sa.select(ACCOUNTS).where(ACCOUNTS.c.id.in_(ids)).order_by(ACCOUNTS.c.id).with_for_update()
    found = {row.id: dict(row._mapping) for row in await connection.execute(query)}
    missing = [account for account in accounts if account.id not in found]
    if not missing:
        return found
    insert = (sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert)(ACCOUNTS)
    for account in sorted(missing, key=lambda one: one.id):
        # A limit that is set in the middle of a day counts what was used of it before.
        tokens, micros = await usage.so_far(
            connection,
            tenant=account.tenant,
            key=account.subject if account.kind == "key" else None,
            job_id=account.subject if account.kind == "job" else None,
            day=account.day or None,
        )
        values = {
            "id": account.id,
            "kind": account.kind,
            "tenant": account.tenant,
            "subject": account.subject,
            "day": account.day,
            "used_tokens": tokens,
            "used_micros": micros,
            "held_tokens": 0,
            "held_micros": 0,
            "updated_at": now,
        }
        await connection.execute(insert.values(values).on_conflict_do_nothing())
    return {row.id: dict(row._mapping) for row in await connection.execute(query)}


async def _add(connection: AsyncConnection, ids: Sequence[str], now: datetime, **amounts: int) -> None:
    """Add amounts to the accounts, which are locked in one order by the statement itself or before."""
    if not ids:
        return
    # One after the other in the order of their ids: an update of many locks them in any order.
    for one in sorted(ids):
        changed = {name: ACCOUNTS.c[name] + amount for name, amount in amounts.items()}
        await connection.execute(
            sa.update(ACCOUNTS).where(ACCOUNTS.c.id == one).values(**changed, updated_at=now)
        )


@dataclass(frozen=True)
class State:
    """How an account stands."""

    used_tokens: int
    used_micros: int
    held_tokens: int
    held_micros: int


async def state(connection: AsyncConnection, account: Account) -> State:
    """Return how an account stands; one that nobody used yet is empty."""
    columns = (
        ACCOUNTS.c.used_tokens,
        ACCOUNTS.c.used_micros,
        ACCOUNTS.c.held_tokens,
        ACCOUNTS.c.held_micros,
    )
    row = (await connection.execute(sa.select(*columns).where(ACCOUNTS.c.id == account.id))).one_or_none()
    return State(0, 0, 0, 0) if row is None else State(*row)
