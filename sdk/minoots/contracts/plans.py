"""Plans on the wire: timers that follow from one another, as data.

A node is a timer that is set when the nodes before it have ended as it asks for. Done means that its actions
succeeded, not that the clock struck.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, JsonValue, field_validator, model_validator

from .actions import Action
from .base import Duration, Instant, Labels, Matching, Name, Part, Request, View
from .escalations import Acknowledgement
from .payloads import Metadata, Payload
from .retries import RetryPolicy
from .timers import MAX_ACTIONS, Misfire

MAX_NODES: Final = 1000
MAX_PREDECESSORS: Final = 100
MAX_CONDITION: Final = 300
"""Characters of an expression: enough for a rule, too few for a program."""

NODE_ID_PATTERN: Final = r"^[A-Za-z][A-Za-z0-9_-]{0,62}$"
NodeId = Annotated[
    str, Matching(NODE_ID_PATTERN, "an id of 1 to 63 letters, digits, _ and -, beginning with a letter")
]
"""What a node is called within its plan."""


class PlanState(StrEnum):
    """Where a plan stands. ``settled``, ``failed`` and ``cancelled`` are final."""

    RUNNING = "running"
    PAUSED = "paused"
    """Nothing new begins, and timers that wait are held."""
    SETTLED = "settled"
    """Every node has ended, and no failure was left without an answer."""
    FAILED = "failed"
    """Every node has ended, and one failed to which no later node answered."""
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether nothing more will begin by itself."""
        return self in (PlanState.SETTLED, PlanState.FAILED, PlanState.CANCELLED)


class NodeState(StrEnum):
    """Where a node stands. All but ``waiting`` and ``running`` are final."""

    WAITING = "waiting"
    """For nodes before it."""
    RUNNING = "running"
    """It has a timer: one that waits for its time, or is being delivered."""
    SUCCEEDED = "succeeded"
    """Every action of its timer succeeded."""
    FAILED = "failed"
    """An action could not be delivered, its deadline passed, or an expression could not be evaluated."""
    SKIPPED = "skipped"
    """What it asks of the nodes before it can no longer come, or its condition is false."""
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether it has ended."""
        return self not in (NodeState.WAITING, NodeState.RUNNING)


class NodeTimer(Part):
    """What a node does when its time comes; ``TimerCreate`` without the due time.

    Anywhere in ``payload`` an object ``{"$cel": "<expression>"}`` is replaced by the expression's value at
    the moment when the node begins: ``nodes.build.response.id``, ``payload.branch``, ``labels.env``.
    """

    name: Name | None = None
    """The plan's name and the node's id, if not given."""
    payload: Payload = None
    actions: Annotated[tuple[Action, ...], Field(min_length=1, max_length=MAX_ACTIONS)]
    retry: RetryPolicy = RetryPolicy()
    misfire: Misfire = Misfire()
    labels: Labels = Field(default_factory=dict)
    metadata: Metadata = Field(default_factory=dict)
    acknowledge: Acknowledgement | None = None
    """Somebody has to acknowledge it after it fired; the node succeeds when they have."""


def _join(value: Any) -> Any:
    if value in ("all", "any") or (
        isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 100
    ):
        return value
    raise ValueError('expected "all", "any", or how many: a whole number from 1 to 100')


class PlanNode(Part):
    """One node: when it begins, and what it does."""

    id: NodeId
    after: Annotated[tuple[NodeId, ...], Field(max_length=MAX_PREDECESSORS)] = ()
    """The nodes before it; without any it begins with the plan."""
    join: Literal["all", "any"] | Annotated[int, Field(ge=1, le=MAX_PREDECESSORS)] = "all"
    """How many of them have to have ended as ``when`` asks."""
    when: Annotated[str, Field(min_length=1, max_length=MAX_CONDITION)] = "succeeded"
    """``succeeded``, ``failed``, ``settled`` (one of the two), ``always`` (skipped and cancelled, too), or a
    CEL expression over ``nodes``, ``payload`` and ``labels`` that has to be true once enough have settled."""
    delay: Duration | None = None
    """How long after that its timer is due; at once, if neither this nor ``at`` is given."""
    at: Instant | None = None
    """When its timer is due; at once, if that has passed by then."""
    deadline: Duration | None = None
    """It has failed if it has not succeeded this long after its due time."""
    race: NodeId | None = None
    """Nodes with the same word race: the first that succeeds cancels the others."""
    timer: NodeTimer

    @field_validator("join", mode="before")
    @classmethod
    def _known_join(cls, value: Any) -> Any:
        return _join(value)

    @field_validator("after")
    @classmethod
    def _once_each(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError("expected each node once")
        return value

    @field_validator("deadline")
    @classmethod
    def _some_time(cls, value: timedelta | None) -> timedelta | None:
        if value is not None and value < timedelta(seconds=1):
            raise ValueError("expected a deadline of at least 1s")
        return value

    @model_validator(mode="after")
    def _one_time(self) -> Self:
        if self.delay is not None and self.at is not None:
            raise ValueError("give at most one of delay and at")
        return self


class PlanCreate(Request):
    """A plan to carry out."""

    name: Name
    payload: Payload = None
    """For the expressions of all nodes."""
    nodes: Annotated[tuple[PlanNode, ...], Field(min_length=1, max_length=MAX_NODES)]
    labels: Labels = Field(default_factory=dict)
    metadata: Metadata = Field(default_factory=dict)


class NodeMove(Part):
    """A new time for a node that has not fired."""

    id: NodeId
    delay: Duration | None = None
    at: Instant | None = None

    @model_validator(mode="after")
    def _one_time(self) -> Self:
        if (self.delay is None) == (self.at is None):
            raise ValueError("give exactly one of delay and at")
        return self


class PlanPatch(Request):
    """Changes to a plan that has not ended."""

    add: Annotated[tuple[PlanNode, ...], Field(max_length=MAX_NODES)] = ()
    """New nodes; they may come after any node, also after one that has ended."""
    move: Annotated[tuple[NodeMove, ...], Field(max_length=MAX_NODES)] = ()
    """Nodes that get another time."""
    cancel: Annotated[tuple[NodeId, ...], Field(max_length=MAX_NODES)] = ()
    """Nodes to call off."""

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not (self.add or self.move or self.cancel):
            raise ValueError("give at least one of add, move and cancel")
        return self


class NodeView(View):
    """A node as it stands."""

    id: str
    state: NodeState
    state_reason: str | None = None
    after: tuple[str, ...]
    join: Literal["all", "any"] | int
    when: str
    delay: Duration | None = None
    at: Instant | None = None
    deadline: Duration | None = None
    race: str | None = None
    timer: NodeTimer
    timer_id: str | None = None
    ready_at: Instant | None = None
    """When the nodes before it had ended as it asks."""
    due_at: Instant | None = None
    """When its timer is, or was, due."""
    ended_at: Instant | None = None
    result: JsonValue = None
    """What later nodes see of it: ``response`` (of the first action) and ``actions``."""


class PlanSummary(View):
    """A plan without its nodes."""

    id: str
    name: str
    state: PlanState
    state_reason: str | None = None
    generation: int
    """Rises with every change that somebody asks for; send it as ``If-Match`` to change only what you saw."""
    counts: dict[NodeState, int]
    """How many nodes stand how."""
    labels: dict[str, str]
    created_at: Instant
    updated_at: Instant
    ended_at: Instant | None = None
    created_by: str


class Plan(PlanSummary):
    """A plan as it stands."""

    payload: JsonValue = None
    metadata: dict[str, JsonValue]
    nodes: tuple[NodeView, ...]


class PlanGraph(View):
    """A plan as a drawing, in two notations."""

    mermaid: str
    dot: str
