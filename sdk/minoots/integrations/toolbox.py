"""What a model may do with Minoots, apart from any framework: name, description, arguments, and the doing.

Texts here are read by models. What a tool answers is plain JSON.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, Field

from minoots.async_client import AsyncMinoots
from minoots.contracts.actions import AgentAction
from minoots.contracts.timers import Timer
from minoots.errors import WaitTimeout

LONGEST_WAIT: Final = 3600.0
"""Seconds that one call of a tool waits at most; whoever wants more sets a timer and ends its turn."""


class SetTimer(BaseModel):
    """Arguments of ``set_timer``."""

    name: str = Field(description="What is to be done when the time has come, in a few words.")
    after: str | None = Field(None, description='In how long: "90s", "20m", "1h30m". Give this or at.')
    at: str | None = Field(None, description="When, with an offset: 2027-01-31T09:00:00+01:00.")
    note: str | None = Field(None, description="What you will need to know then.")


class Wait(BaseModel):
    """Arguments of ``wait``."""

    length: str | None = Field(None, description='How long to wait: "90s", "20m". Give this or timer_id.')
    timer_id: str | None = Field(None, description="Wait until this timer is over, for an hour at most.")


class Acknowledge(BaseModel):
    """Arguments of ``acknowledge``."""

    id: str = Field(description="Id of an escalation (esc_…), or of a timer that requires it (tmr_…).")
    note: str | None = Field(None, description="What you do about it.")


@dataclass(frozen=True)
class ToolSpec:
    """One tool.

    Attributes:
        name: what models call it.
        description: when to use it.
        arguments: the model of its arguments.
        call: does it; takes an instance of ``arguments`` and returns JSON. Raises `minoots.MinootsError`.
    """

    name: str
    description: str
    arguments: type[BaseModel]
    call: Callable[[Any], Awaitable[dict[str, Any]]]


def toolbox(client: AsyncMinoots, *, agent: str) -> tuple[ToolSpec, ...]:
    """Return the tools of one agent: the timers that it sets come back to its own inbox, and nowhere else."""

    async def set_timer(wanted: SetTimer) -> dict[str, Any]:
        when: Any = {"after": wanted.after, "fire_at": wanted.at}
        timer = await client.timers.create(
            name=wanted.name,
            payload={"note": wanted.note},
            actions=[AgentAction(agent=agent)],
            **{name: value for name, value in when.items() if value is not None},
        )
        return _timer(timer)

    async def wait(wanted: Wait) -> dict[str, Any]:
        if wanted.timer_id is not None:
            try:
                return _timer(await client.timers.wait(wanted.timer_id, timeout=LONGEST_WAIT))
            except WaitTimeout:
                return _timer(await client.timers.get(wanted.timer_id))
        woken = await client.sleep(wanted.length or "0s", name=f"{agent} waits")
        return {"woken": woken.reason, "early": woken.early, "by": woken.by, "detail": woken.detail}

    async def acknowledge(wanted: Acknowledge) -> dict[str, Any]:
        found = await client.escalations.acknowledge(
            wanted.id, by=f"agent:{agent}", result=None if wanted.note is None else {"note": wanted.note}
        )
        return {"id": found.id, "state": found.state.value, "name": found.name}

    return (
        ToolSpec(
            "set_timer",
            "Have yourself called again later: when the time has come, a command of this name is in your "
            "inbox. Survives restarts. Use it instead of waiting for longer than a few minutes.",
            SetTimer,
            set_timer,
        ),
        ToolSpec(
            "wait",
            "Wait for a while, or until a timer is over. Somebody may wake you early; the answer says why.",
            Wait,
            wait,
        ),
        ToolSpec(
            "acknowledge",
            "Tell that you take care of an escalation, so that nobody else is called.",
            Acknowledge,
            acknowledge,
        ),
    )


def _timer(timer: Timer) -> dict[str, Any]:
    at = timer.fire_at.isoformat()
    return {"timer_id": timer.id, "name": timer.name, "state": timer.state.value, "at": at}
