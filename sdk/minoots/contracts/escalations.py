"""Escalations on the wire: who is told, in which order, until somebody acknowledges."""

from __future__ import annotations

import re
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self, get_args

from pydantic import Discriminator, Field, JsonValue, Tag, field_validator, model_validator

from .actions import WebhookAction
from .base import Duration, Instant, Labels, Matching, Name, Part, Request, View
from .payloads import Metadata, Note, Payload

MAX_RUNGS: Final = 16
MAX_REPEAT: Final = 10
MAX_ROUNDS: Final = 10
MAX_TARGETS: Final = 16

SLUG_PATTERN: Final = r"^[a-z0-9][a-z0-9_-]{0,62}$"
Slug = Annotated[
    str,
    Matching(
        SLUG_PATTERN, "an id of 1 to 63 lower-case letters, digits, - and _, beginning with a letter or digit"
    ),
]
"""What a person, rotation, policy or heartbeat is called; its owner chooses."""

WHO_PATTERN: Final = r"^(agent|person|rotation):[a-z0-9][a-z0-9_-]{0,62}$"
Who = Annotated[str, Matching(WHO_PATTERN, "agent:<id>, person:<id> or rotation:<id>, such as agent:builder")]
"""Somebody who can be told and can acknowledge. A rotation is whoever is on call at the time."""

SOMEBODY_PATTERN: Final = r"^(agent|person):[a-z0-9][a-z0-9_-]{0,62}$"
Somebody = Annotated[str, Matching(SOMEBODY_PATTERN, "agent:<id> or person:<id>, such as person:ada")]
"""One agent or person."""

_CLOCK: Final = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]|24:00")
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: Final[tuple[Day, ...]] = get_args(Day)


def _target_kind(value: Any) -> str:
    return "who" if isinstance(value, str) else "webhook"


Target = Annotated[
    Annotated[Who, Tag("who")] | Annotated[WebhookAction, Tag("webhook")], Discriminator(_target_kind)
]
"""Somebody, or a plain receiver."""


class Hours(Part):
    """Local times of day, on some days of the week; ``until`` before ``since`` reaches into the next day."""

    zone: Annotated[str, Field(min_length=1, max_length=64)] = "UTC"
    since: Annotated[str, Field(max_length=5)] = "00:00"
    until: Annotated[str, Field(max_length=5)] = "24:00"
    days: Annotated[tuple[Day, ...], Field(min_length=1, max_length=7)] = DAYS
    """``mon`` to ``sun``: the days on which the hours begin."""

    @field_validator("since", "until")
    @classmethod
    def _clock(cls, value: str) -> str:
        if _CLOCK.fullmatch(value) is None:
            raise ValueError("expected a local time such as 09:00 or 24:00")
        return value


class Rung(Part):
    """One step of a ladder."""

    after: Duration = timedelta(0)
    """How long after the step before it, or after the start."""
    targets: Annotated[tuple[Target, ...], Field(min_length=1, max_length=MAX_TARGETS)]
    when: Annotated[str, Field(min_length=1, max_length=300)] | None = None
    """A CEL expression over ``payload``, ``labels`` and ``round``; the rung is left out unless it is true."""
    hours: Hours | None = None
    """The rung is left out at other times."""
    repeat: Annotated[int, Field(ge=0, le=MAX_REPEAT)] = 0
    """Tell them so many times more, ..."""
    every: Duration = timedelta(minutes=5)
    """... so long apart."""

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if self.repeat and self.every < timedelta(seconds=1):
            raise ValueError("expected every to be at least 1s")
        return self


class Ladder(Part):
    """Rungs, one after the other, until somebody acknowledges."""

    rungs: Annotated[tuple[Rung, ...], Field(min_length=1, max_length=MAX_RUNGS)]
    rounds: Annotated[int, Field(ge=1, le=MAX_ROUNDS)] = 1
    """How often the whole ladder is gone through, ..."""
    again_after: Duration = timedelta(minutes=5)
    """... so long after its last notice."""
    patience: Duration = timedelta(minutes=5)
    """It is exhausted when nobody has acknowledged so long after the very last notice."""


class Terms(Part):
    """What acknowledging takes."""

    quorum: Annotated[int, Field(ge=1, le=MAX_TARGETS)] = 1
    """How many have to acknowledge; of more than one, ``by`` names who may."""
    by: Annotated[tuple[Who, ...], Field(max_length=MAX_TARGETS)] = ()
    """Who may; anybody with the scope, if nobody is named."""
    resolve_within: Duration | None = None
    """An acknowledgement holds so long: unless it is resolved by then, the ladder begins anew."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if len(set(self.by)) != len(self.by):
            raise ValueError("expected each of by once")
        if self.quorum > 1 and self.quorum > len(self.by):
            raise ValueError(
                f"expected by to name at least {self.quorum} who may acknowledge; got {len(self.by)}"
            )
        if self.resolve_within is not None and self.resolve_within < timedelta(seconds=1):
            raise ValueError("expected resolve_within to be at least 1s")
        return self


class Acknowledgement(Terms):
    """What a timer requires after it fired: that somebody acknowledges, or a ladder begins."""

    within: Duration
    """How long after it fired."""
    policy: Slug | None = None
    """The ladder of this policy begins then; give this, ``ladder`` or neither (it has failed then)."""
    ladder: Ladder | None = None

    @model_validator(mode="after")
    def _one_ladder(self) -> Self:
        if self.policy is not None and self.ladder is not None:
            raise ValueError("give at most one of policy and ladder")
        return self


class PolicySave(Request):
    """A ladder under a name; saving it again replaces it for escalations to come."""

    id: Slug
    description: Annotated[str, Field(max_length=500)] | None = None
    ladder: Ladder


class Policy(View):
    """A policy as it stands."""

    id: str
    description: str | None = None
    ladder: Ladder
    updated_at: Instant


class EscalationState(StrEnum):
    """Where an escalation stands. ``resolved``, ``exhausted`` and ``cancelled`` are final."""

    TRIGGERED = "triggered"
    """The ladder is gone through."""
    ACKNOWLEDGED = "acknowledged"
    """Enough have acknowledged; nobody is told any more."""
    SNOOZED = "snoozed"
    RESOLVED = "resolved"
    EXHAUSTED = "exhausted"
    """Everybody was told, and nobody acknowledged."""
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether nothing more will happen."""
        return self in (EscalationState.RESOLVED, EscalationState.EXHAUSTED, EscalationState.CANCELLED)


class EscalationCreate(Request):
    """An escalation that begins now: exactly one of ``policy`` and ``ladder``."""

    name: Name
    payload: Payload = None
    policy: Slug | None = None
    ladder: Ladder | None = None
    terms: Terms = Terms()
    labels: Labels = Field(default_factory=dict)
    metadata: Metadata = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_ladder(self) -> Self:
        if (self.policy is None) == (self.ladder is None):
            raise ValueError("give exactly one of policy and ladder")
        return self


class Act(View):
    """What somebody did about an escalation."""

    at: Instant
    act: str
    """``acknowledged``, ``declined``, ``handed_on``, ``snoozed``, ``resolved``, ``cancelled``, ..."""
    who: str
    via: str
    """``api``, ``inbox`` or ``link``."""
    trigger: int
    reason: str | None = None
    result: JsonValue = None


class NoticeState(StrEnum):
    """Whether a notice arrived."""

    PLANNED = "planned"
    SENDING = "sending"
    TOLD = "told"
    FAILED = "failed"
    """It did not arrive; its timer says why."""
    CANCELLED = "cancelled"
    """It was no longer needed."""


class Notice(View):
    """One that was told, or is about to be."""

    who: str
    """``webhook`` for a plain receiver."""
    state: NoticeState | None = None
    """Absent where its timer is kept no longer."""
    trigger: int
    round: int
    rung: int
    timer_id: str
    """The timer that tells them: ``GET /v1/timers/{id}/why`` says whether it arrived."""
    due_at: Instant
    acknowledged_at: Instant | None = None


class Escalation(View):
    """An escalation as it stands."""

    id: str
    name: str
    state: EscalationState
    state_reason: str | None = None
    generation: int
    trigger: int
    """From 1; rises each time it goes back to triggered."""
    payload: JsonValue = None
    policy: str | None = None
    ladder: Ladder | None
    """``None`` of a timer that requires acknowledgement and names no ladder."""
    terms: Terms
    labels: dict[str, str]
    metadata: dict[str, JsonValue]
    timer_id: str | None = None
    """The timer whose acknowledgement is awaited."""
    next_at: Instant | None = None
    """When the next are told, it is exhausted, the snooze is over, or the acknowledgement times out."""
    acknowledged_by: tuple[str, ...]
    """Since it was last triggered."""
    acts: tuple[Act, ...]
    notices: tuple[Notice, ...]
    created_at: Instant
    updated_at: Instant
    ended_at: Instant | None = None
    created_by: str


class AcknowledgeEscalation(Request):
    """I have seen it and take it on."""

    by: Somebody | None = None
    """As whom; a key that is bound to somebody can only name them, and need not."""
    result: Note = None
    """Anything to hand back, for the timer's plan, say."""


class DeclineEscalation(Request):
    """Not me."""

    by: Somebody | None = None
    reason: Annotated[str, Field(max_length=500)] | None = None


class HandOn(Request):
    """Let somebody else be told at once; they may acknowledge."""

    to: Who
    by: Somebody | None = None
    reason: Annotated[str, Field(max_length=500)] | None = None


class ResolveEscalation(Request):
    """It is dealt with."""

    by: Somebody | None = None
    reason: Annotated[str, Field(max_length=500)] | None = None


class SnoozeEscalation(Request):
    """Tell nobody for a while; then the ladder begins anew."""

    after: Duration
    by: Somebody | None = None


class AcknowledgeTimes(View):
    """How quickly somebody acknowledges."""

    who: str
    notices: int
    acknowledged: int
    median_s: float | None
    p95_s: float | None
