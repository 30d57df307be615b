"""Whether new work is accepted at the moment."""

from __future__ import annotations

from minoots.errors import Failure, FailureKind
from minoots_api.gateway import Gateway


async def require_open(gateway: Gateway, tenant: str) -> None:
    """Refuse new timers, schedules and plans while the flag ``timers.accept`` is off.

    Raises:
        Failure: unavailable.
    """
    if not await gateway.flags.timers_accepted(tenant):
        raise Failure(
            FailureKind.UNAVAILABLE,
            "new timers are not accepted at the moment (flag timers.accept)",
            remedy="Try again later; timers that are set already fire as ever.",
        )
