"""What calls cost: held before they are made, settled after, and kept as rows of usage.

Owns the reservations of this process and says that they are alive. Local models are free: their usage is
written later and together, so that nobody waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import sqlalchemy as sa

from minoots.contracts.models import ModelErrorKind
from minoots_platform.clock import Clock
from minoots_platform.models import Price
from minoots_platform.models.catalogue import MILLION
from minoots_platform.records import Database, budgets, events, model_rates, usage
from minoots_platform.settings import ModelsSettings, ProviderSpec
from minoots_platform.telemetry import get_logger
from minoots_workflows.models.contracts import ModelCaller
from minoots_workflows.models.failures import ModelFailure

_MOST_WAITING: Final = 2000
_AT_ONCE: Final = 40


class Spending:
    """Budgets, rates and usage of this process."""

    def __init__(
        self, database: Database, settings: ModelsSettings, clock: Clock, currency: str = "USD"
    ) -> None:
        self._database = database
        self._settings = settings
        self._clock = clock
        self._currency = currency
        self._hold = timedelta(seconds=settings.budget.hold_seconds)
        self._alive: set[str] = set()
        self._later: list[usage.NewUsage] = []
        self._log = get_logger("minoots.models")

    def accounts(self, caller: ModelCaller) -> tuple[budgets.Account, ...]:
        """Return the budgets that a call of somebody has to fit into."""
        budget, day = self._settings.budget, usage.day_of(self._clock())
        of_job = caller.budget
        job_tokens = budget.job_tokens if of_job is None else of_job.tokens
        job_micros = budgets.micros_of(budget.job_cost) if of_job is None else of_job.cost_micros
        found = budgets.of_day(budget, caller.tenant, caller.key, day)
        if caller.job_id is None:
            return found
        job = budgets.Account("job", caller.tenant, caller.job_id, "", job_tokens, job_micros)
        return (*found, job) if job.limited else found

    async def hold(
        self,
        caller: ModelCaller,
        spec: ProviderSpec,
        model: str,
        *,
        tokens: int,
        micros: int | None,
        accounts: tuple[budgets.Account, ...],
    ) -> str | None:
        """Hold what a call may take; ``None`` where nothing limits it.

        Raises:
            ModelFailure: over_budget; not_configured, when money is limited and the price is not known.
        """
        if not accounts:
            return None
        if micros is None and any(one.micros is not None for one in accounts):
            raise ModelFailure(
                ModelErrorKind.NOT_CONFIGURED,
                f"a budget of money limits this call, and no price of {spec.name}/{model} is known",
                remedy="Put its price into the file of the setting models.catalogue.",
            )
        wanted = budgets.Spending(
            tenant=caller.tenant,
            key=caller.key,
            job_id=caller.job_id,
            call_id=caller.call_id,
            provider=spec.name,
            model=model,
            tokens=tokens,
            micros=micros or 0,
        )
        answer = await self._reserve(wanted, accounts)
        if isinstance(answer, budgets.Refused) and await self.sweep():
            # What the dead held stood in the way; what was charged for them may still do.
            answer = await self._reserve(wanted, accounts)
        if isinstance(answer, budgets.Refused):
            raise _over(answer, self._currency)
        self._alive.add(answer)
        return answer

    async def turn(self, spec: ProviderSpec, tokens: int, patience: float) -> float:
        """Take a turn at a provider's rate; return the seconds until it comes.

        Raises:
            ModelFailure: rate_limited, when that is longer than ``patience``.
        """
        rate = spec.rate
        if rate.requests is None and rate.tokens is None:
            return 0.0
        async with self._database.write() as connection:
            turn = await model_rates.take(connection, spec.name, rate, tokens, self._clock(), patience)
        if not turn.taken:
            raise ModelFailure(
                ModelErrorKind.RATE_LIMITED,
                f"{spec.name} may be asked {_told(spec)} a minute; this call would wait for its turn for "
                f"longer than {patience:g} s",
                retry_after=round(turn.wait, 3),
            )
        return turn.wait

    async def give_back(self, spec: ProviderSpec, tokens: int, *, request: bool = False) -> None:
        """Give back of a provider's rate what a call did not need."""
        if (spec.rate.tokens is not None and tokens > 0) or (spec.rate.requests is not None and request):
            async with self._database.write() as connection:
                await model_rates.give_back(
                    connection, spec.name, spec.rate, max(tokens, 0), requests=int(request)
                )

    async def settle(
        self,
        reservation: str | None,
        row: usage.NewUsage,
        *,
        paid: bool,
        told: tuple[events.NewEvent, ...] = (),
    ) -> None:
        """Charge what a call took, keep its row, and append what is to be told of it."""
        if reservation is None and not told and (row.local or not paid):
            if paid:
                self._later.append(row)
                if len(self._later) >= _MOST_WAITING:
                    await self.flush()
            return
        await self._unhurried(self._settle(reservation, row, paid=paid, told=told))

    async def _settle(
        self,
        reservation: str | None,
        row: usage.NewUsage,
        *,
        paid: bool,
        told: tuple[events.NewEvent, ...],
    ) -> None:
        try:
            async with self._database.write() as connection:
                if reservation is not None:
                    settled = replace(row, id=reservation)
                    await budgets.settle(connection, reservation, settled, self._clock(), paid=paid)
                elif paid:
                    await usage.add(connection, [row])
                if told:
                    await events.append(connection, row.tenant, told)
        except sa.exc.SQLAlchemyError as error:
            # The answer is there and paid for; what was held expires and is charged in full.
            self._log.error("models.not_settled", call_id=row.call_id, error=type(error).__name__)
        finally:
            if reservation is not None:
                self._alive.discard(reservation)

    async def tell(self, tenant: str, event: events.NewEvent) -> None:
        """Append one event."""
        async with self._database.write() as connection:
            await events.append(connection, tenant, [event])

    async def flush(self) -> None:
        """Write the usage that waits."""
        rows, self._later = self._later, []
        try:
            while rows:
                async with self._database.write() as connection:
                    await usage.add(connection, rows[:_AT_ONCE])
                rows = rows[_AT_ONCE:]
                # SQLite works where it is called: others must come in between.
                await asyncio.sleep(0)
        finally:
            self._later = rows + self._later

    async def keep(self) -> None:
        """Say that what this process holds is held by the living."""
        if self._alive:
            async with self._database.write() as connection:
                await budgets.renew(connection, tuple(self._alive), self._clock(), self._hold)

    async def forget(self) -> None:
        """Let go of the accounts of days that are long over."""
        async with self._database.write() as connection:
            await budgets.forget(connection, self._clock())

    async def sweep(self) -> int:
        """Charge what the dead still hold; return for how many calls."""
        async with self._database.write() as connection:
            return await budgets.expire(connection, self._clock())

    async def _reserve(
        self, wanted: budgets.Spending, accounts: tuple[budgets.Account, ...]
    ) -> str | budgets.Refused:
        async with self._database.write() as connection:
            return await budgets.reserve(connection, wanted, accounts, self._clock(), self._hold)

    async def _unhurried(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something to its end, even when who waits for it is cancelled."""
        task = asyncio.create_task(work)
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            with suppress(asyncio.CancelledError):
                await task
            raise


def cost_at_most(price: Price | None, tokens_in: int, tokens_out: int) -> int | None:
    """Return the most that a call can cost; ``None`` where no price is known."""
    if price is None:
        return None
    exact = tokens_in * round(price.dearest_input * MILLION) + tokens_out * round(price.output * MILLION)
    return -(-exact // MILLION)


def _told(spec: ProviderSpec) -> str:
    limits = ((spec.rate.requests, "requests"), (spec.rate.tokens, "tokens"))
    return " and ".join(f"{most} {what}" for most, what in limits if most is not None)


def _over(refused: budgets.Refused, currency: str) -> ModelFailure:
    account = refused.account
    whose = {
        "job": "this job",
        "key": "this key for today",
        "tenant": "this tenant for today",
        "all": "everybody for today",
    }[account.kind]
    if refused.unit == "tokens":
        wanted, left, limit = f"{refused.wanted} tokens", f"{refused.left}", f"{refused.limit}"
    else:
        wanted, left, limit = (
            f"{amount / MILLION:.6f} {currency}" for amount in (refused.wanted, refused.left, refused.limit)
        )
    return ModelFailure(
        ModelErrorKind.OVER_BUDGET,
        f"the call may take up to {wanted}; of the {limit} that {whose} may take, {left} are left",
        remedy="Raise the budget, send a smaller max_tokens or a shorter conversation, or use a local model.",
    )
