"""Principals and scopes, and the one function that decides."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from minoots.errors import Failure, FailureKind


class Scope(StrEnum):
    """What a key may be allowed to do."""

    TIMERS_READ = "timers:read"
    TIMERS_WRITE = "timers:write"
    """Includes reading them."""
    EVENTS_READ = "events:read"
    AGENTS_READ = "agents:read"
    AGENTS_WRITE = "agents:write"
    """Register agents, command them, take their commands and answer; includes reading them."""
    ESCALATIONS_READ = "escalations:read"
    ESCALATIONS_WRITE = "escalations:write"
    """Begin and answer escalations, call heartbeats, save people, rotations and policies; and read them."""
    SESSIONS_READ = "sessions:read"
    """Read what was captured of sessions with agents: every word that was said."""
    SOURCES_READ = "sources:read"
    """Read files and texts that were taken in."""
    SOURCES_WRITE = "sources:write"
    """Take files and texts in, and remove them; includes reading them."""
    JOBS_READ = "jobs:read"
    """Read jobs, what was written in them, and what they made; of agents that look up sessions and documents
    only with the scopes for these."""
    JOBS_WRITE = "jobs:write"
    """Submit and cancel jobs: have models asked and programs run; includes reading them."""
    SANDBOXES_READ = "sandboxes:read"
    """Read sandboxes that stand, their files included."""
    SANDBOXES_WRITE = "sandboxes:write"
    """Open, change and close them; includes reading them. Programs in them need ``jobs:write``, too."""
    MODELS_READ = "models:read"
    """See which language models there are, and what the tenant's calls of them took."""
    ADMIN = "admin"
    """Everything, secrets included."""


_INCLUDED = {
    Scope.TIMERS_READ: frozenset({Scope.TIMERS_WRITE}),
    Scope.AGENTS_READ: frozenset({Scope.AGENTS_WRITE}),
    Scope.ESCALATIONS_READ: frozenset({Scope.ESCALATIONS_WRITE}),
    Scope.SOURCES_READ: frozenset({Scope.SOURCES_WRITE}),
    Scope.JOBS_READ: frozenset({Scope.JOBS_WRITE}),
    Scope.SANDBOXES_READ: frozenset({Scope.SANDBOXES_WRITE}),
}


@dataclass(frozen=True)
class Principal:
    """Who is asking. The tenant comes from here and from nowhere else."""

    tenant: str
    subject: str
    scopes: frozenset[Scope]
    acts_as: str | None = None
    """Whom it acts as, and only as them: ``agent:builder``, ``person:ada``."""

    def allows(self, scope: Scope) -> bool:
        """Tell whether the principal may do what ``scope`` stands for."""
        granted = self.scopes & ({scope, Scope.ADMIN} | _INCLUDED.get(scope, frozenset()))
        return bool(granted)

    def require(self, scope: Scope) -> None:
        """Refuse what the principal may not do.

        Raises:
            Failure: denied, naming the scope that is missing.
        """
        if not self.allows(scope):
            held = ", ".join(sorted(self.scopes)) or "none"
            raise Failure(
                FailureKind.DENIED,
                f"this needs the scope {scope}; the key holds {held}",
                remedy=f"Use a key made with: minoots keys create --scope {scope}",
            )
