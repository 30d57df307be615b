"""Events on the wire: CloudEvents 1.0 with a per-tenant sequence number."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from pydantic import Field

from .base import Instant, View


class EventType(StrEnum):
    """Every event that Minoots records."""

    TIMER_SCHEDULED = "timer.scheduled"
    TIMER_ARMED = "timer.armed"
    TIMER_RESCHEDULED = "timer.rescheduled"
    TIMER_UPDATED = "timer.updated"
    """Payload or labels changed."""
    TIMER_PAUSED = "timer.paused"
    TIMER_RESUMED = "timer.resumed"
    TIMER_FIRE_REQUESTED = "timer.fire_requested"
    TIMER_FIRED = "timer.fired"
    TIMER_SKIPPED = "timer.skipped"
    """Too late by its misfire or catch-up policy, or in the way by its overlap policy; it is cancelled."""
    TIMER_SETTLED = "timer.settled"
    TIMER_FAILED = "timer.failed"
    TIMER_CANCELLED = "timer.cancelled"
    TIMER_HELD = "timer.held"
    """It waits for an earlier occurrence of its schedule."""
    TIMER_RELEASED = "timer.released"
    SCHEDULE_CREATED = "schedule.created"
    SCHEDULE_UPDATED = "schedule.updated"
    SCHEDULE_PAUSED = "schedule.paused"
    SCHEDULE_RESUMED = "schedule.resumed"
    SCHEDULE_TRIGGERED = "schedule.triggered"
    SCHEDULE_BACKFILLED = "schedule.backfilled"
    SCHEDULE_MISSED = "schedule.missed"
    """Times were left out by the catch-up policy."""
    SCHEDULE_ENDED = "schedule.ended"
    SCHEDULE_CANCELLED = "schedule.cancelled"
    PLAN_CREATED = "plan.created"
    PLAN_CHANGED = "plan.changed"
    """Nodes were added, moved or cancelled."""
    PLAN_PAUSED = "plan.paused"
    PLAN_RESUMED = "plan.resumed"
    PLAN_SETTLED = "plan.settled"
    PLAN_FAILED = "plan.failed"
    PLAN_CANCELLED = "plan.cancelled"
    NODE_BEGUN = "node.begun"
    """It has its timer."""
    NODE_SUCCEEDED = "node.succeeded"
    NODE_FAILED = "node.failed"
    NODE_SKIPPED = "node.skipped"
    NODE_CANCELLED = "node.cancelled"
    ESCALATION_AWAITED = "escalation.awaited"
    """A timer fired whose acknowledgement is awaited."""
    ESCALATION_TRIGGERED = "escalation.triggered"
    ESCALATION_NOTIFIED = "escalation.notified"
    ESCALATION_ACKNOWLEDGED = "escalation.acknowledged"
    ESCALATION_DECLINED = "escalation.declined"
    ESCALATION_HANDED_ON = "escalation.handed_on"
    ESCALATION_SNOOZED = "escalation.snoozed"
    ESCALATION_REOPENED = "escalation.reopened"
    """Its acknowledgement timed out, or its snooze is over: the ladder begins anew."""
    ESCALATION_RESOLVED = "escalation.resolved"
    ESCALATION_EXHAUSTED = "escalation.exhausted"
    ESCALATION_CANCELLED = "escalation.cancelled"
    DOCUMENT_SAVED = "document.saved"
    """A person, rotation or policy was saved."""
    DOCUMENT_REMOVED = "document.removed"
    HEARTBEAT_SAVED = "heartbeat.saved"
    HEARTBEAT_SILENT = "heartbeat.silent"
    HEARTBEAT_RECOVERED = "heartbeat.recovered"
    HEARTBEAT_REMOVED = "heartbeat.removed"
    AGENT_REGISTERED = "agent.registered"
    COMMAND_QUEUED = "command.queued"
    COMMAND_LEASED = "command.leased"
    COMMAND_RETURNED = "command.returned"
    """Its lease ended without an answer, or the agent gave it back."""
    COMMAND_PROGRESSED = "command.progressed"
    COMMAND_ACKNOWLEDGED = "command.acknowledged"
    COMMAND_DECLINED = "command.declined"
    COMMAND_EXPIRED = "command.expired"
    COMMAND_DIED = "command.died"
    DELIVERY_SUCCEEDED = "delivery.succeeded"
    DELIVERY_HELD = "delivery.held"
    """It waits for its turn: a limit, a circuit or a FIFO key holds it back."""
    DELIVERY_PROGRESSED = "delivery.progressed"
    """The receiver told how far it is."""
    DELIVERY_RETRIED = "delivery.retried"
    """An attempt failed and the next one is planned."""
    DELIVERY_DIED = "delivery.died"
    DELIVERY_REPLAYED = "delivery.replayed"
    DESTINATION_SAVED = "destination.saved"
    DESTINATION_REMOVED = "destination.removed"
    """What was known of it is forgotten."""
    DESTINATION_OPENED = "destination.opened"
    """Its circuit opened: deliveries wait."""
    DESTINATION_CLOSED = "destination.closed"
    """Its circuit closed: deliveries go there again."""
    DESTINATION_DISABLED = "destination.disabled"
    """Its circuit opened too often: deliveries become dead letters."""
    DESTINATION_GONE = "destination.gone"
    CONVERSATION_BEGUN = "conversation.begun"
    """A transcript was seen for the first time."""
    CONVERSATION_GREW = "conversation.grew"
    """Events came to it, or some that were known came with other content."""
    CONVERSATION_TROUBLED = "conversation.troubled"
    """A transcript cannot be read, or nothing in it is understood."""
    CHAT_COMMAND_REFUSED = "chat_command.refused"
    """Somebody typed a command into a chat that cannot be obeyed."""
    RECORDING_STARTED = "recording.started"
    RECORDING_STOPPED = "recording.stopped"
    RECORDING_TROUBLED = "recording.troubled"
    """It cannot be written at the moment; it is tried again."""
    RECORDING_RECOVERED = "recording.recovered"
    RECORDING_FAILED = "recording.failed"
    """It cannot be written, and is given up."""
    SECRET_CREATED = "secret.created"  # noqa: S105 - an event type
    SECRET_ROTATED = "secret.rotated"  # noqa: S105 - an event type
    REPLAY_STARTED = "replay.started"
    REPLAY_FINISHED = "replay.finished"


class Event(View):
    """One thing that happened."""

    specversion: Literal["1.0"] = "1.0"
    id: str
    source: str
    type: str
    subject: str
    """Public id of what it happened to."""
    time: Instant
    datacontenttype: Literal["application/json"] = "application/json"
    sequence: int
    """Per tenant, from 1, without gaps; resume a feed from here."""
    traceparent: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    data: dict[str, Any]
