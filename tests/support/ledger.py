"""The records as gateway and workers use them, one transaction a call, at a time that the test chooses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection
from stacks import TENANT

from minoots.contracts import AttemptError, DeadLetter, Event, Page, Timer, TimerCreate, TimerState, Why
from minoots_platform.records import (
    Database,
    attempts,
    commands,
    dead_letters,
    deliveries,
    events,
    firing,
    handovers,
    timers,
    why,
)

START = datetime(2027, 3, 1, 12, tzinfo=UTC)
URL = "https://receiver.example/hook"


def seconds(count: float) -> timedelta:
    """A length of time."""
    return timedelta(seconds=count)


def asked(**spec: Any) -> TimerCreate:
    """A request for a timer, with one webhook where nothing else is said."""
    return TimerCreate.model_validate({"name": "t", "after": 60, "actions": [{"url": URL}], **spec})


@dataclass
class Ledger:
    """One tenant's records."""

    database: Database
    tenant: str = TENANT
    now: datetime = START

    def of(self, tenant: str) -> Ledger:
        """The same records at the same time, as another tenant."""
        return Ledger(self.database, tenant, self.now)

    def pass_time(self, count: float) -> datetime:
        """Let ``count`` seconds pass."""
        self.now += seconds(count)
        return self.now

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A writing transaction."""
        async with self.database.write() as connection:
            yield connection

    async def accept_in(self, connection: AsyncConnection, due: float = 60, **spec: Any) -> Timer:
        """Keep a timer in a transaction that is open."""
        return await timers.accept(
            connection,
            self.tenant,
            asked(**spec),
            fire_at=self.now + seconds(due),
            now=self.now,
            actor="tester",
            traceparent=None,
        )

    async def accept(self, due: float = 60, **spec: Any) -> Timer:
        """Keep a timer that is due in ``due`` seconds."""
        async with self.writing() as connection:
            return await self.accept_in(connection, due, **spec)

    async def get(self, timer: Timer) -> Timer:
        """A timer as it stands."""
        async with self.database.read() as connection:
            return await timers.get(connection, self.tenant, timer.id)

    async def page(self, **wanted: Any) -> Page[Timer]:
        """One page of timers."""
        async with self.database.read() as connection:
            return await timers.page(connection, self.tenant, timers.TimerQuery(**wanted))

    async def change(
        self, timer: Timer, command: commands.Command, if_generation: int | None = None
    ) -> Timer:
        """Apply a command."""
        async with self.writing() as connection:
            return await commands.change(
                connection,
                self.tenant,
                timer.id,
                command,
                now=self.now,
                actor="tester",
                if_generation=if_generation,
            )

    async def cancel(self, timer: Timer, reason: str | None = None) -> Timer:
        """Call a timer off."""
        return await self.change(timer, commands.CancelIt(reason))

    async def outstanding(self, timer: Timer) -> handovers.TimerHandover | None:
        """What the engine does not know of a timer."""
        async with self.database.read() as connection:
            return await handovers.timer(connection, timer.id)

    async def arm(self, timer: Timer) -> Timer:
        """Tell the engine of a timer."""
        done = await self.outstanding(timer)
        assert done is not None
        async with self.writing() as connection:
            await handovers.confirm_timer(connection, done, self.now)
        return await self.get(timer)

    async def spec(self, timer: Timer) -> firing.Spec:
        """What a firing activity reads first."""
        async with self.database.read() as connection:
            return await firing.spec(connection, self.tenant, timer.id)

    async def claim(
        self, spec: firing.Spec, execution: int = 1
    ) -> firing.Claimed | firing.Skipped | firing.Overtaken:
        """Try to take a timer for sending."""
        async with self.writing() as connection:
            return await firing.claim(connection, spec, execution=execution, now=self.now)

    async def fire(self, timer: Timer, execution: int = 1) -> tuple[attempts.Claim, ...]:
        """Take a timer for sending; return what is to be sent."""
        claimed = await self.claim(await self.spec(timer), execution)
        assert isinstance(claimed, firing.Claimed)
        return claimed.claims

    async def record(self, *outcomes: attempts.Outcome) -> dict[str, attempts.Standing]:
        """Record what came of attempts."""
        async with self.writing() as connection:
            recorded = await deliveries.record(connection, self.tenant, outcomes, self.now)
        return dict(recorded.standings)

    async def attempt(
        self, delivery_id: str, planned_at: datetime, execution: int = 1
    ) -> attempts.Claim | attempts.Standing:
        """Claim an attempt after the first."""
        async with self.writing() as connection:
            return await deliveries.claim_attempt(
                connection,
                self.tenant,
                delivery_id,
                planned_at=planned_at,
                execution=execution,
                now=max(self.now, planned_at),
            )

    async def states(self, timer: Timer) -> list[str]:
        """The states of a timer's deliveries, in the order of making."""
        async with self.database.read() as connection:
            rows = await deliveries.of_timer(connection, timer.id)
        return [row.state for row in sorted(rows, key=lambda row: (row.created_at, row.action))]

    async def events(self, **wanted: Any) -> tuple[Event, ...]:
        """The events of this tenant."""
        async with self.database.read() as connection:
            page = await events.read(
                connection, self.tenant, after=0, limit=10_000, wanted=events.EventFilter(**wanted)
            )
        return page.events

    async def told(self, timer: Timer) -> list[str]:
        """The types of a timer's events."""
        return [event.type for event in await self.events(subject=timer.id)]

    async def why(self, timer: Timer) -> Why:
        """The account of a timer."""
        async with self.database.read() as connection:
            return await why.why(connection, self.tenant, timer.id, self.now)

    async def dead_letters(self, **wanted: Any) -> Page[DeadLetter]:
        """One page of dead letters."""
        async with self.database.read() as connection:
            return await dead_letters.page(connection, self.tenant, dead_letters.DeadLetterQuery(**wanted))

    async def replay(self, delivery_id: str) -> attempts.Claim:
        """Replay a dead letter; return the claim of its first attempt."""
        async with self.writing() as connection:
            made = await dead_letters.replay_one(
                connection, self.tenant, delivery_id, now=self.now, actor="tester"
            )
        claim = await self.attempt(made.delivery_id, self.now)
        assert isinstance(claim, attempts.Claim)
        return claim

    async def dead(self, count: int = 1, **spec: Any) -> list[attempts.Claim]:
        """Let the deliveries of ``count`` new timers die; return their claims."""
        claims: list[attempts.Claim] = []
        async with self.writing() as connection:
            for _ in range(count):
                timer = await self.accept_in(connection, 0, **spec)
                wanted = await firing.spec(connection, self.tenant, timer.id)
                claimed = await firing.claim(connection, wanted, execution=1, now=self.now)
                assert isinstance(claimed, firing.Claimed)
                # A 400: of many 500s the circuit would open.
                outcomes = [self.failed(claim, status=400) for claim in claimed.claims]
                await deliveries.record(connection, self.tenant, outcomes, self.now)
                claims += claimed.claims
        return claims

    async def in_state(self, state: TimerState, **spec: Any) -> Timer:
        """A timer that got into ``state`` as timers do."""
        timer = await self.accept(**spec)
        if state is TimerState.SCHEDULED:
            return timer
        timer = await self.arm(timer)
        if state is TimerState.PAUSED:
            return await self.change(timer, commands.Pause())
        if state is TimerState.CANCELLED:
            return await self.cancel(timer)
        if state is not TimerState.ARMED:
            self.now = timer.fire_at
            claims = await self.fire(timer)
            if state is TimerState.SETTLED:
                await self.record(*map(self.succeeded, claims))
            elif state is TimerState.FAILED:
                await self.record(*map(self.failed, claims))
        return await self.get(timer)

    def succeeded(self, claim: attempts.Claim) -> attempts.Outcome:
        """The receiver took it."""
        return self._outcome(claim, 204, None, None, None)

    def failed(
        self,
        claim: attempts.Claim,
        *,
        status: int | None = 500,
        error: AttemptError = AttemptError.STATUS,
        again_in: float | None = None,
    ) -> attempts.Outcome:
        """The receiver did not; try again in so many seconds, or give up."""
        next_at = None if again_in is None else self.now + seconds(again_in)
        return self._outcome(claim, status, error, f"answered {status}", next_at)

    def _outcome(
        self,
        claim: attempts.Claim,
        status: int | None,
        error: AttemptError | None,
        detail: str | None,
        next_at: datetime | None,
    ) -> attempts.Outcome:
        return attempts.Outcome(
            claim=claim,
            started_at=self.now,
            finished_at=self.now + seconds(0.02),
            status=status,
            error=error,
            detail=detail,
            response="body",
            next_at=next_at,
        )
