"""The tables. One `MetaData` for SQLite and Postgres; Alembic migrations are checked against it.

Owns names, types and indexes; no queries. Long on purpose: declarations only, which migrations, foreign keys
and whoever looks for a column find in one place.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect

from .words import Words


class Moment(sa.types.TypeDecorator[datetime]):
    """A UTC moment with microseconds: ``timestamptz`` on Postgres, sortable ISO text on SQLite."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive datetimes: their zone would be guessed by whoever reads them."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("records keep aware datetimes only")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give UTC back on both databases."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = sa.MetaData(naming_convention=NAMING)

_ID = sa.String(40)
_TENANT = sa.String(63)


def _tenant() -> sa.Column[str]:
    return sa.Column("tenant", _TENANT, sa.ForeignKey("tenants.id"), nullable=False)


def _json(name: str, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, sa.JSON(none_as_null=False), nullable=False, **options)


tenants = sa.Table(
    "tenants",
    metadata,
    sa.Column("id", _TENANT, primary_key=True),
    sa.Column("created_at", Moment, nullable=False),
    # The number of the tenant's newest event. Locked last in every writing transaction, so that sequence
    # order is commit order and a reader that tails by sequence never skips a row.
    sa.Column("last_sequence", sa.BigInteger, nullable=False, server_default="0"),
)

api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    _tenant(),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False, unique=True),
    sa.Column("hint", sa.String(16), nullable=False),
    sa.Column("scopes", sa.JSON, nullable=False),
    # Whom it acts as, and only as them: agent:builder, person:ada.
    sa.Column("acts_as", sa.String(80)),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("expires_at", Moment),
    sa.Column("last_used_at", Moment),
    sa.Column("revoked_at", Moment),
)

signing_secrets = sa.Table(
    "signing_secrets",
    metadata,
    sa.Column("tenant", _TENANT, sa.ForeignKey("tenants.id"), primary_key=True),
    sa.Column("name", sa.String(63), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Column("public_key", sa.String(80), nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("expires_at", Moment),
)

idempotency_keys = sa.Table(
    "idempotency_keys",
    metadata,
    sa.Column("tenant", _TENANT, sa.ForeignKey("tenants.id"), primary_key=True),
    sa.Column("key", sa.String(255), primary_key=True),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    _json("answer"),
    sa.Column("created_at", Moment, nullable=False),
    sa.Index(None, "created_at"),
)

schedules = sa.Table(
    "schedules",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    _tenant(),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("state_reason", sa.Text),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("armed_generation", sa.Integer, nullable=False, server_default="0"),
    _json("spec"),
    # The newest time of the rules that was dealt with: it has its timer, or was left out.
    sa.Column("cursor", Moment, nullable=False),
    # The time after it, for people to see; null when there is none.
    sa.Column("next_at", Moment),
    # How many times are left of the count; null without one.
    sa.Column("remaining", sa.Integer),
    sa.Column("occurrences", sa.Integer, nullable=False, server_default="0"),
    sa.Column("missed", sa.Integer, nullable=False, server_default="0"),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment, nullable=False),
    sa.Column("ended_at", Moment),
    _json("payload"),
    _json("actions"),
    _json("retry"),
    _json("labels"),
    _json("meta"),
    sa.Column("created_by", sa.String(255), nullable=False),
    sa.Column("traceparent", sa.String(64)),
    sa.Column("acknowledge", sa.JSON),
    sa.Index(None, "tenant", "created_at", "id"),
    sa.Index(
        "ix_schedules_active",
        "cursor",
        sqlite_where=sa.text("state = 'active'"),
        postgresql_where=sa.text("state = 'active'"),
    ),
    sa.Index(
        "ix_schedules_behind",
        "updated_at",
        sqlite_where=sa.text("armed_generation < generation"),
        postgresql_where=sa.text("armed_generation < generation"),
    ),
)

plans = sa.Table(
    "plans",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    _tenant(),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("state_reason", sa.Text),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("armed_generation", sa.Integer, nullable=False, server_default="0"),
    _json("payload"),
    _json("labels"),
    _json("meta"),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment, nullable=False),
    sa.Column("paused_at", Moment),
    sa.Column("ended_at", Moment),
    sa.Column("created_by", sa.String(255), nullable=False),
    sa.Column("traceparent", sa.String(64)),
    sa.Index(None, "tenant", "created_at", "id"),
    sa.Index(
        "ix_plans_behind",
        "updated_at",
        sqlite_where=sa.text("armed_generation < generation"),
        postgresql_where=sa.text("armed_generation < generation"),
    ),
)

plan_nodes = sa.Table(
    "plan_nodes",
    metadata,
    sa.Column("plan_id", _ID, sa.ForeignKey("plans.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("id", sa.String(63), primary_key=True),
    # In the order in which they were given.
    sa.Column("position", sa.Integer, nullable=False),
    _json("spec"),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("state_reason", sa.Text),
    sa.Column("timer_id", _ID),
    # When the nodes before it had ended as it asks.
    sa.Column("ready_at", Moment),
    sa.Column("due_at", Moment),
    sa.Column("deadline_at", Moment),
    sa.Column("ended_at", Moment),
    _json("result"),
    # Who added it; NULL for those of before it was kept, which are the plan's.
    sa.Column("created_by", sa.String(255)),
    sa.Index(
        "ix_plan_nodes_running",
        "timer_id",
        sqlite_where=sa.text("state = 'running'"),
        postgresql_where=sa.text("state = 'running'"),
    ),
)

timers = sa.Table(
    "timers",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    _tenant(),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("state_reason", sa.Text),
    sa.Column("generation", sa.Integer, nullable=False),
    # The generation that the engine knows. Behind ``generation`` until the hand-over is confirmed.
    sa.Column("armed_generation", sa.Integer, nullable=False, server_default="0"),
    # What the engine is to be told: start, reschedule, pause, resume, fire, cancel.
    sa.Column("handover", sa.String(16), nullable=False),
    sa.Column("fire_at", Moment, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment, nullable=False),
    sa.Column("fired_at", Moment),
    sa.Column("settled_at", Moment),
    # Which execution of the firing activity holds the claim; a later one takes over after a crash.
    sa.Column("claim", sa.Integer),
    _json("payload"),
    _json("actions"),
    _json("retry"),
    _json("misfire"),
    _json("labels"),
    _json("meta"),
    sa.Column("created_by", sa.String(255), nullable=False),
    sa.Column("closed_by", sa.String(255)),
    sa.Column("traceparent", sa.String(64)),
    # Of an occurrence of a schedule: which one it is. No foreign key: SQLite cannot add one later.
    sa.Column("schedule_id", _ID),
    sa.Column("number", sa.Integer),
    sa.Column("nominal_at", Moment),
    sa.Column("kind", sa.String(16)),
    sa.Column("overlap", sa.String(16)),
    # It waits for an earlier occurrence, and was not paused by anybody.
    sa.Column("held", sa.Boolean, nullable=False, server_default=sa.false()),
    # It is late because it waited or was paused, so that it was not missed.
    sa.Column("excused", sa.Boolean, nullable=False, server_default=sa.false()),
    # Of a timer that a plan or an escalation set: which, and which part of it.
    sa.Column("parent_id", _ID),
    sa.Column("part", sa.String(63)),
    # What acknowledging takes, of a timer that requires it, and the escalation that sees to it once it fired.
    sa.Column("acknowledge", sa.JSON),
    sa.Column("escalation_id", _ID),
    sa.Index(None, "schedule_id", "number", unique=True),
    sa.Index(None, "parent_id", "part"),
    sa.Index(
        "ix_timers_unfinished",
        "schedule_id",
        "number",
        sqlite_where=sa.text("schedule_id IS NOT NULL AND settled_at IS NULL"),
        postgresql_where=sa.text("schedule_id IS NOT NULL AND settled_at IS NULL"),
    ),
    sa.Index(None, "tenant", "created_at", "id"),
    sa.Index(None, "tenant", "fire_at", "id"),
    sa.Index(None, "tenant", "name"),
    sa.Index(
        "ix_timers_armed",
        "fire_at",
        sqlite_where=sa.text("state = 'armed'"),
        postgresql_where=sa.text("state = 'armed'"),
    ),
    sa.Index(
        "ix_timers_behind",
        "updated_at",
        sqlite_where=sa.text("armed_generation < generation"),
        postgresql_where=sa.text("armed_generation < generation"),
    ),
)

timer_labels = sa.Table(
    "timer_labels",
    metadata,
    sa.Column("timer_id", _ID, sa.ForeignKey("timers.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("key", sa.String(63), primary_key=True),
    sa.Column("tenant", _TENANT, nullable=False),
    sa.Column("value", sa.String(256), nullable=False),
    sa.Index(None, "tenant", "key", "value"),
)

# People, rotations and policies: documents with an id that their owner chose.
documents = sa.Table(
    "documents",
    metadata,
    sa.Column("tenant", _TENANT, sa.ForeignKey("tenants.id"), primary_key=True),
    sa.Column("kind", sa.String(16), primary_key=True),
    sa.Column("id", sa.String(63), primary_key=True),
    _json("spec"),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment, nullable=False),
    sa.Column("created_by", sa.String(255), nullable=False),
)

escalations = sa.Table(
    "escalations",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    _tenant(),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("state_reason", sa.Text),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("armed_generation", sa.Integer, nullable=False, server_default="0"),
    _json("payload"),
    _json("labels"),
    _json("meta"),
    sa.Column("policy", sa.String(63)),
    _json("ladder"),
    _json("terms"),
    # The timer whose acknowledgement is awaited.
    sa.Column("timer_id", _ID),
    # How often it went to triggered; what was acknowledged before no longer counts.
    sa.Column("trigger", sa.Integer, nullable=False),
    # The next step of the ladder, and when something happens by itself.
    sa.Column("step", sa.Integer, nullable=False),
    sa.Column("next_at", Moment),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment, nullable=False),
    sa.Column("ended_at", Moment),
    sa.Column("created_by", sa.String(255), nullable=False),
    sa.Column("traceparent", sa.String(64)),
    sa.Index(None, "tenant", "created_at", "id"),
    sa.Index(None, "timer_id"),
    sa.Index(
        "ix_escalations_open",
        "next_at",
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    ),
    sa.Index(
        "ix_escalations_behind",
        "updated_at",
        sqlite_where=sa.text("armed_generation < generation"),
        postgresql_where=sa.text("armed_generation < generation"),
    ),
)

escalation_acts = sa.Table(
    "escalation_acts",
    metadata,
    sa.Column("escalation_id", _ID, sa.ForeignKey("escalations.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("at", Moment, nullable=False),
    sa.Column("act", sa.String(16), nullable=False),
    sa.Column("who", sa.String(255), nullable=False),
    sa.Column("via", sa.String(16), nullable=False),
    sa.Column("trigger", sa.Integer, nullable=False),
    sa.Column("reason", sa.Text),
    _json("result"),
)

notices = sa.Table(
    "notices",
    metadata,
    sa.Column("timer_id", _ID, primary_key=True),
    sa.Column("escalation_id", _ID, sa.ForeignKey("escalations.id", ondelete="CASCADE"), nullable=False),
    _tenant(),
    sa.Column("who", sa.String(80), nullable=False),
    sa.Column("trigger", sa.Integer, nullable=False),
    sa.Column("round", sa.Integer, nullable=False),
    sa.Column("rung", sa.Integer, nullable=False),
    sa.Column("due_at", Moment, nullable=False),
    sa.Column("acknowledged_at", Moment),
    # The link that came with it was used.
    sa.Column("used_at", Moment),
    sa.Index(None, "escalation_id"),
    sa.Index(None, "tenant", "due_at"),
)

heartbeats = sa.Table(
    "heartbeats",
    metadata,
    sa.Column("tenant", _TENANT, sa.ForeignKey("tenants.id"), primary_key=True),
    sa.Column("id", sa.String(63), primary_key=True),
    _json("spec"),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("last_at", Moment),
    sa.Column("silent_at", Moment),
    sa.Column("escalation_id", _ID),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment, nullable=False),
    sa.Column("created_by", sa.String(255), nullable=False),
    sa.Index(
        "ix_heartbeats_alive",
        "silent_at",
        sqlite_where=sa.text("state = 'alive'"),
        postgresql_where=sa.text("state = 'alive'"),
    ),
)

agents = sa.Table(
    "agents",
    metadata,
    sa.Column("tenant", _TENANT, sa.ForeignKey("tenants.id"), primary_key=True),
    sa.Column("id", sa.String(63), primary_key=True),
    sa.Column("description", sa.String(500)),
    _json("labels"),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("last_seen_at", Moment),
    # The number of its newest command. Locked by whoever queues or hands out: order is order of commit.
    sa.Column("last_sequence", sa.BigInteger, nullable=False, server_default="0"),
)

agent_commands = sa.Table(
    "agent_commands",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    _tenant(),
    sa.Column("agent_id", sa.String(63), nullable=False),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("name", sa.String(200), nullable=False),
    _json("payload"),
    sa.Column("state", sa.String(16), nullable=False),
    # What makes it once: the webhook id of the action that sent it. Null for those sent by hand.
    sa.Column("key", sa.String(64)),
    sa.Column("timer_id", _ID),
    sa.Column("lease_id", _ID),
    sa.Column("leased_until", Moment),
    sa.Column("leases", sa.Integer, nullable=False, server_default="0"),
    _json("progress"),
    _json("result"),
    sa.Column("reason", sa.Text),
    sa.Column("created_by", sa.String(255), nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("expires_at", Moment),
    sa.Column("closed_at", Moment),
    sa.Column("traceparent", sa.String(64)),
    sa.ForeignKeyConstraint(["tenant", "agent_id"], ["agents.tenant", "agents.id"]),
    sa.UniqueConstraint("tenant", "agent_id", "sequence"),
    sa.UniqueConstraint("tenant", "key"),
    sa.Index(
        "ix_agent_commands_open",
        "tenant",
        "agent_id",
        "sequence",
        sqlite_where=sa.text("closed_at IS NULL"),
        postgresql_where=sa.text("closed_at IS NULL"),
    ),
)

deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    _tenant(),
    sa.Column("timer_id", _ID, sa.ForeignKey("timers.id"), nullable=False),
    sa.Column("action", sa.Integer, nullable=False),
    sa.Column("url", sa.String(2048), nullable=False),
    # Of the destination, as in ``destinations``; none for inboxes of agents, which nothing holds back.
    sa.Column("url_hash", sa.String(64)),
    sa.Column("fifo_key", sa.String(200)),
    # With ``waiting``: what it is held back by; none once it may ask again.
    sa.Column("held_by", sa.String(16)),
    sa.Column("webhook_id", sa.String(64), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    # When the next attempt is planned; for ``sending``, when the attempt under way was planned.
    sa.Column("planned_at", Moment, nullable=False),
    sa.Column("claim", sa.Integer),
    sa.Column("error", sa.String(16)),
    sa.Column("detail", sa.Text),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("closed_at", Moment),
    sa.Column("replay_of", _ID, sa.ForeignKey("deliveries.id")),
    sa.Column("replayed_by", _ID),
    sa.Column("handed_over", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("traceparent", sa.String(64)),
    sa.Index(None, "timer_id"),
    sa.Index(None, "tenant", "state", "closed_at", "id"),
    sa.Index(
        "ix_deliveries_behind",
        "created_at",
        sqlite_where=sa.text("NOT handed_over AND state IN ('retrying', 'waiting')"),
        postgresql_where=sa.text("NOT handed_over AND state IN ('retrying', 'waiting')"),
    ),
    sa.Index(
        "ix_deliveries_planned",
        "planned_at",
        sqlite_where=sa.text("state IN ('retrying', 'waiting')"),
        postgresql_where=sa.text("state IN ('retrying', 'waiting')"),
    ),
    sa.Index(
        "ix_deliveries_unfinished",
        "tenant",
        "url_hash",
        "state",
        "held_by",
        "created_at",
        sqlite_where=sa.text("state IN ('sending', 'retrying', 'waiting')"),
        postgresql_where=sa.text("state IN ('sending', 'retrying', 'waiting')"),
    ),
    sa.Index(
        "ix_deliveries_in_line",
        "tenant",
        "url_hash",
        "fifo_key",
        "created_at",
        sqlite_where=sa.text("fifo_key IS NOT NULL AND state IN ('sending', 'retrying', 'waiting')"),
        postgresql_where=sa.text("fifo_key IS NOT NULL AND state IN ('sending', 'retrying', 'waiting')"),
    ),
)

attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("delivery_id", _ID, sa.ForeignKey("deliveries.id"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("tenant", _TENANT, nullable=False),
    sa.Column("timer_id", _ID, nullable=False),
    sa.Column("action", sa.Integer, nullable=False),
    sa.Column("planned_at", Moment, nullable=False),
    sa.Column("started_at", Moment, nullable=False),
    sa.Column("finished_at", Moment, nullable=False),
    sa.Column("status", sa.Integer),
    sa.Column("succeeded", sa.Boolean, nullable=False),
    sa.Column("error", sa.String(16)),
    sa.Column("detail", sa.Text),
    sa.Column("response", sa.Text),
    sa.Column("next_attempt_at", Moment),
    sa.Column("url_hash", sa.String(64)),
    # Whether it tells of a receiver that is not well.
    sa.Column("unwell", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Index(None, "timer_id"),
    sa.Index(None, "tenant", "url_hash", "finished_at"),
)

destinations = sa.Table(
    "destinations",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    _tenant(),
    sa.Column("url", sa.String(2048), nullable=False),
    # SHA-256 of the URL: a long one does not fit into an index of Postgres.
    sa.Column("url_hash", sa.String(64), nullable=False),
    # Of its circuit.
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("status", sa.Integer),
    sa.Column("changed_at", Moment, nullable=False),
    sa.Column("reason", sa.Text),
    _json("limits", server_default="{}"),
    # With ``open``: when one delivery tries; none when it was opened by hand.
    sa.Column("probe_at", Moment),
    # With ``half_open``: the delivery that tries, and until when nobody else does.
    sa.Column("probe_id", _ID),
    sa.Column("probe_until", Moment),
    sa.Column("trips", sa.Integer, nullable=False, server_default="0"),
    sa.UniqueConstraint("tenant", "url_hash"),
)

destination_slots = sa.Table(
    "destination_slots",
    metadata,
    # The moments that a rate limit has given away, past and to come; older ones are forgotten.
    sa.Column("destination_id", _ID, sa.ForeignKey("destinations.id"), primary_key=True),
    sa.Column("delivery_id", _ID, primary_key=True),
    sa.Column("at", Moment, primary_key=True),
    sa.Index(None, "destination_id", "at"),
)

replays = sa.Table(
    "replays",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    _tenant(),
    _json("filter"),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("total", sa.Integer, nullable=False),
    sa.Column("replayed", sa.Integer, nullable=False, server_default="0"),
    sa.Column("skipped", sa.Integer, nullable=False, server_default="0"),
    # Where the walk through the dead letters stands: the id of the last one looked at.
    sa.Column("position", _ID, nullable=False, server_default=""),
    sa.Column("created_by", sa.String(255), nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("finished_at", Moment),
    sa.Column("handed_over", sa.Boolean, nullable=False, server_default=sa.false()),
)

events = sa.Table(
    "events",
    metadata,
    sa.Column("tenant", _TENANT, sa.ForeignKey("tenants.id"), primary_key=True),
    sa.Column("sequence", sa.BigInteger, primary_key=True),
    sa.Column("id", _ID, nullable=False, unique=True),
    sa.Column("type", sa.String(64), nullable=False),
    sa.Column("subject", sa.String(80), nullable=False),
    sa.Column("time", Moment, nullable=False),
    _json("labels"),
    _json("data"),
    sa.Column("traceparent", sa.String(64)),
    sa.Index(None, "tenant", "subject", "sequence"),
    sa.Index(None, "tenant", "type", "sequence"),
)

wake_leads = sa.Table(
    "wake_leads",
    metadata,
    # How early timers have to wake, as each worker observes it; the newest rows are merged by whoever arms.
    sa.Column("worker", sa.String(80), primary_key=True),
    sa.Column("lead_ms", sa.Integer, nullable=False),
    sa.Column("observed_ms", sa.Float, nullable=False),
    sa.Column("updated_at", Moment, nullable=False),
)

conversations = sa.Table(
    "conversations",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    _tenant(),
    sa.Column("provider", sa.String(32), nullable=False),
    # The program's own id; with the provider it makes the public one.
    sa.Column("session_id", sa.String(255), nullable=False),
    sa.Column("parent_id", _ID),
    sa.Column("relation", sa.String(16)),
    sa.Column("agent_id", sa.String(255)),
    # Where it was held, with which model and version: what the transcript says of it.
    _json("facts"),
    sa.Column("title", sa.String(500)),
    sa.Column("title_rank", sa.Integer, nullable=False, server_default="0"),
    sa.Column("events", sa.BigInteger, nullable=False, server_default="0"),
    # How often events that were known came with other content.
    sa.Column("revised", sa.BigInteger, nullable=False, server_default="0"),
    # Up to this event nothing is kept any more.
    sa.Column("cleaned", sa.BigInteger, nullable=False, server_default="0"),
    # The time of the last of them, where their ids were not kept: by now they are in `cleaned_events`.
    sa.Column("cleaned_until", Moment),
    # Up to this event commands were looked for.
    sa.Column("obeyed", sa.BigInteger, nullable=False, server_default="0"),
    # The event whose commands wait for what cannot be read, and since when they do.
    sa.Column("waits_at", sa.BigInteger),
    sa.Column("waits_since", Moment),
    # Events up to this one were there when commands were first looked for: without a time, they are old.
    sa.Column("history", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("started_at", Moment),
    # Of the last event that has a time.
    sa.Column("last_at", Moment),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment, nullable=False),
    sa.UniqueConstraint("tenant", "provider", "session_id"),
    sa.Index(None, "tenant", "updated_at", "id"),
    sa.Index(None, "parent_id"),
)

transcripts = sa.Table(
    "transcripts",
    metadata,
    _tenant(),
    # SHA-256 of host and path; the path is for people.
    sa.Column("key", sa.String(64), nullable=False),
    sa.Column("host", sa.String(63), nullable=False, server_default=""),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("provider", sa.String(32), nullable=False, server_default=""),
    sa.Column("conversation_id", _ID, sa.ForeignKey("conversations.id"), nullable=False),
    # Read up to here, and what stood before it.
    sa.Column("offset", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("fingerprint", sa.String(64), nullable=False, server_default=""),
    # As the file was when reading began: one that still is so has nothing new.
    sa.Column("size", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("modified_ns", sa.BigInteger, nullable=False, server_default="0"),
    _json("state"),
    sa.Column("damaged", sa.Integer, nullable=False, server_default="0"),
    _json("unknown"),
    sa.Column("understood", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("problem", sa.Text),
    # The last problem that was told to the feed.
    sa.Column("told", sa.Text),
    sa.Column("read_at", Moment, nullable=False),
    sa.PrimaryKeyConstraint("tenant", "key"),
    sa.Index(None, "conversation_id"),
    sa.Index(None, "tenant", "host"),
)

conversation_events = sa.Table(
    "conversation_events",
    metadata,
    # What the search index knows it by.
    sa.Column(
        "key", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True
    ),
    _tenant(),
    sa.Column("id", _ID, nullable=False),
    sa.Column("conversation_id", _ID, sa.ForeignKey("conversations.id"), nullable=False),
    # In the order in which they were first read.
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    # What `conversations.revised` was when it last came with other content.
    sa.Column("revised", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("ts", Moment),
    # What can be searched for.
    sa.Column("words", Words),
    _json("body"),
    # Of the body: the same content is no revision.
    sa.Column("hash", sa.String(64), nullable=False),
    sa.UniqueConstraint("tenant", "id"),
    sa.UniqueConstraint("conversation_id", "number"),
    # On SQLite, the table conversation_words and its triggers: see migration 0008.
    sa.Index(None, "words", postgresql_using="gin").ddl_if("postgresql"),
)

# Events that were let go of: whatever file tells them again, they do not come back.
cleaned_events = sa.Table(
    "cleaned_events",
    metadata,
    _tenant(),
    sa.Column("id", _ID, nullable=False),
    sa.PrimaryKeyConstraint("tenant", "id"),
    sqlite_with_rowid=False,
)

blobs = sa.Table(
    "blobs",
    metadata,
    _tenant(),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("media_type", sa.String(100), nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.PrimaryKeyConstraint("tenant", "sha256"),
)

recordings = sa.Table(
    "recordings",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    _tenant(),
    sa.Column("conversation_id", _ID, sa.ForeignKey("conversations.id"), nullable=False),
    sa.Column("host", sa.String(63), nullable=False),
    # Of the workspace, whose registry is a file of the host; none of what was exported by hand.
    sa.Column("workspace_id", sa.String(40)),
    sa.Column("alias", sa.String(63)),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("problem", sa.Text),
    sa.Column("format", sa.String(32), nullable=False),
    # Where it is written; the key is SHA-256 of host and path.
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("path_key", sa.String(64), nullable=False),
    # The root of the write gate below which that is, and how the file is to look: as it was at the start.
    sa.Column("root", sa.Text, nullable=False),
    _json("options"),
    # The first event, and the line in it from which on; the last event, and the line before which.
    sa.Column("from_number", sa.BigInteger, nullable=False),
    sa.Column("from_line", sa.Integer),
    sa.Column("until_number", sa.BigInteger),
    sa.Column("until_line", sa.Integer),
    # Written up to this event; with what the rest depends on; as the file was then.
    sa.Column("written", sa.BigInteger, nullable=False),
    sa.Column("revised", sa.BigInteger, nullable=False),
    _json("rendering"),
    sa.Column("size", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("modified_ns", sa.BigInteger, nullable=False, server_default="0"),
    # What is being written at this moment: enough to tell after a crash whether it was.
    sa.Column("intent", sa.JSON(none_as_null=True)),
    sa.Column("started_at", Moment, nullable=False),
    sa.Column("stopped_at", Moment),
    sa.Column("written_at", Moment),
    sa.Index(None, "conversation_id"),
    sa.Index(None, "tenant", "started_at", "id"),
    sa.Index(
        "ix_recordings_active_path",
        "tenant",
        "path_key",
        unique=True,
        sqlite_where=sa.text("state = 'active'"),
        postgresql_where=sa.text("state = 'active'"),
    ),
)

capture_hosts = sa.Table(
    "capture_hosts",
    metadata,
    _tenant(),
    sa.Column("host", sa.String(63), nullable=False),
    sa.Column("version", sa.String(32), nullable=False),
    sa.Column("started_at", Moment, nullable=False),
    sa.Column("seen_at", Moment, nullable=False),
    # How many files and bytes it looks after, how far behind it is, what went wrong last.
    _json("status"),
    sa.PrimaryKeyConstraint("tenant", "host"),
)

ingests = sa.Table(
    "ingests",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    _tenant(),
    # For people: the first of its files.
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("generation", sa.Integer, nullable=False, server_default="1"),
    sa.Column("armed_generation", sa.Integer, nullable=False, server_default="0"),
    sa.Column("files", sa.Integer, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    _json("labels"),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment, nullable=False),
    sa.Column("ended_at", Moment),
    sa.Column("created_by", sa.String(255), nullable=False),
    sa.Column("traceparent", sa.String(64)),
    sa.Index(None, "tenant", "created_at", "id"),
    sa.Index(
        "ix_ingests_running",
        "updated_at",
        sqlite_where=sa.text("state = 'running'"),
        postgresql_where=sa.text("state = 'running'"),
    ),
)

ingest_files = sa.Table(
    "ingest_files",
    metadata,
    sa.Column("ingest_id", _ID, sa.ForeignKey("ingests.id"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    _tenant(),
    # The source that it is of, by its name.
    sa.Column("source_id", _ID, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    # What its sender says of it: media type, title, labels, metadata.
    _json("about"),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("problem", sa.Text),
    sa.Column("remedy", sa.Text),
    sa.Column("version", sa.Integer),
    sa.Column("chunks", sa.Integer),
    sa.Column("chunks_new", sa.Integer),
    sa.Column("redacted", sa.Integer),
    sa.Column("ended_at", Moment),
    sa.Index(
        "ix_ingest_files_waiting",
        "tenant",
        "bytes",
        sqlite_where=sa.text("state = 'waiting'"),
        postgresql_where=sa.text("state = 'waiting'"),
    ),
)

ingest_pieces = sa.Table(
    "ingest_pieces",
    metadata,
    # What was sent, sealed, until it has been read. Pieces come before their ingest, which is made when all
    # of them are there: small transactions, for others wait for each.
    sa.Column("ingest_id", _ID, primary_key=True),
    sa.Column("file", sa.Integer, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    _tenant(),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Index(None, "created_at"),
)

sources = sa.Table(
    "sources",
    metadata,
    # Made of tenant and name: the same name is the same source.
    sa.Column("id", _ID, primary_key=True),
    _tenant(),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("title", sa.String(500), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    _json("labels"),
    _json("meta"),
    # When the newest version was sent: what was sent before it comes too late.
    sa.Column("sent_at", Moment, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment, nullable=False),
    sa.Index(None, "tenant", "updated_at", "id"),
)

source_texts = sa.Table(
    "source_texts",
    metadata,
    # What was found in some bytes, kept once however many sources have them.
    sa.Column("id", _ID, primary_key=True),
    _tenant(),
    sa.Column("sha256", sa.String(64), nullable=False),
    # By what it was read, redacted and divided; what does it otherwise makes another text.
    sa.Column("pipeline", sa.String(64), nullable=False),
    # Whether all of its chunks are there.
    sa.Column("ready", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("title", sa.String(500)),
    sa.Column("characters", sa.BigInteger, nullable=False),
    sa.Column("chunks", sa.Integer, nullable=False),
    sa.Column("redacted", sa.Integer, nullable=False),
    _json("found"),
    sa.Column("created_at", Moment, nullable=False),
)

source_chunks = sa.Table(
    "source_chunks",
    metadata,
    sa.Column("text_id", _ID, sa.ForeignKey("source_texts.id"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("begin", sa.BigInteger, nullable=False),
    sa.Column("end", sa.BigInteger, nullable=False),
    _json("headings"),
    sa.Column("page", sa.Integer),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("text", sa.Text, nullable=False),
)

source_versions = sa.Table(
    "source_versions",
    metadata,
    sa.Column("source_id", _ID, sa.ForeignKey("sources.id"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    _tenant(),
    sa.Column("text_id", _ID, sa.ForeignKey("source_texts.id"), nullable=False),
    sa.Column("ingest_id", _ID, nullable=False),
    sa.Column("media_type", sa.String(200), nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("chunks_new", sa.Integer, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Index(None, "text_id"),
)

model_accounts = sa.Table(
    "model_accounts",
    metadata,
    # Made of kind, tenant, subject and day: of whose money it is, and of which day's.
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("kind", sa.String(8), nullable=False),
    # Without one: everybody's together.
    sa.Column("tenant", _TENANT),
    sa.Column("subject", sa.String(255), nullable=False),
    # A day in UTC; empty for a job, which has one budget for all of its days.
    sa.Column("day", sa.String(10), nullable=False),
    sa.Column("used_tokens", sa.BigInteger, nullable=False),
    sa.Column("used_micros", sa.BigInteger, nullable=False),
    sa.Column("held_tokens", sa.BigInteger, nullable=False),
    sa.Column("held_micros", sa.BigInteger, nullable=False),
    sa.Column("updated_at", Moment, nullable=False),
    sa.Index(None, "updated_at"),
)

model_reservations = sa.Table(
    "model_reservations",
    metadata,
    # Also the id of the row of usage that it becomes.
    sa.Column("id", _ID, primary_key=True),
    _tenant(),
    sa.Column("call_id", sa.String(200), nullable=False),
    sa.Column("key", sa.String(255), nullable=False),
    sa.Column("job_id", _ID),
    sa.Column("provider", sa.String(63), nullable=False),
    sa.Column("model", sa.String(200), nullable=False),
    _json("accounts"),
    sa.Column("tokens", sa.BigInteger, nullable=False),
    sa.Column("micros", sa.BigInteger, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    # Moved on by the living: after it the holder is dead.
    sa.Column("expires_at", Moment, nullable=False),
    sa.Index(None, "expires_at"),
    sa.Index(None, "tenant", "call_id"),
)

model_usage = sa.Table(
    "model_usage",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    _tenant(),
    sa.Column("day", sa.String(10), nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("call_id", sa.String(200), nullable=False),
    sa.Column("key", sa.String(255), nullable=False),
    sa.Column("job_id", _ID),
    sa.Column("provider", sa.String(63), nullable=False),
    sa.Column("model", sa.String(200), nullable=False),
    sa.Column("local", sa.Boolean, nullable=False),
    # ``answered``, ``lost`` with its holder, or what went wrong.
    sa.Column("outcome", sa.String(24), nullable=False),
    sa.Column("input_tokens", sa.BigInteger, nullable=False),
    sa.Column("output_tokens", sa.BigInteger, nullable=False),
    sa.Column("cached_tokens", sa.BigInteger, nullable=False),
    sa.Column("cost_micros", sa.BigInteger, nullable=False),
    sa.Column("first_token_ms", sa.Integer),
    sa.Column("total_ms", sa.Integer, nullable=False),
    # Of one that was lost: what was charged for it, and to whom, until its holder tells.
    sa.Column("charged", sa.JSON(none_as_null=True)),
    sa.Index(None, "tenant", "day"),
    sa.Index(None, "job_id"),
    sa.Index(None, "created_at"),
)

model_breakers = sa.Table(
    "model_breakers",
    metadata,
    sa.Column("provider", sa.String(63), primary_key=True),
    sa.Column("model", sa.String(200), primary_key=True),
    sa.Column("state", sa.String(9), nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("changed_at", Moment, nullable=False),
    sa.Column("probe_at", Moment),
    # Until when one request tries; after it another one may.
    sa.Column("probe_until", Moment),
    sa.Column("trips", sa.Integer, nullable=False),
    # Attempts and failures of the window, by slices of it.
    _json("slices"),
)

model_rates = sa.Table(
    "model_rates",
    metadata,
    sa.Column("provider", sa.String(63), primary_key=True),
    # What may be asked at once; below zero, somebody waits already.
    sa.Column("requests", sa.Float, nullable=False),
    sa.Column("tokens", sa.Float, nullable=False),
    sa.Column("at", Moment, nullable=False),
)

known_models = sa.Table(
    "known_models",
    metadata,
    sa.Column("provider", sa.String(63), primary_key=True),
    # Empty: the provider itself.
    sa.Column("model", sa.String(200), primary_key=True),
    _json("about"),
    sa.Column("seen_at", Moment, nullable=False),
)

model_ratios = sa.Table(
    "model_ratios",
    metadata,
    # Empty: all tenants together.
    sa.Column("tenant", sa.String(63), primary_key=True),
    sa.Column("provider", sa.String(63), primary_key=True),
    sa.Column("model", sa.String(200), primary_key=True),
    # Bytes that a token has: of the last answers, and of the densest of them.
    sa.Column("mean", sa.Float, nullable=False),
    sa.Column("least", sa.Float, nullable=False),
    sa.Column("answers", sa.Integer, nullable=False),
    sa.Column("updated_at", Moment, nullable=False),
    sa.Index("ix_model_ratios_updated", "updated_at"),
)

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    _tenant(),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("priority", sa.Integer, nullable=False),
    # What it was told, as it was sent.
    _json("spec"),
    _json("labels"),
    sa.Column("generation", sa.Integer, nullable=False, server_default="1"),
    sa.Column("armed_generation", sa.Integer, nullable=False, server_default="0"),
    # How often a worker has begun it: what an earlier one still writes is refused. And the number of the
    # newest event before this one began.
    sa.Column("attempt", sa.Integer, nullable=False, server_default="0"),
    # How many of them asked no model: all were left alone.
    sa.Column("waits", sa.Integer, nullable=False, server_default="0"),
    # Of a program that runs: until when its worker is taken to be at it, whatever Temporal knows of that.
    sa.Column("held_until", Moment),
    sa.Column("attempt_from", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("last_event", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("event_bytes", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("cancel_requested_at", Moment),
    sa.Column("deadline_at", Moment, nullable=False),
    sa.Column("result", sa.JSON(none_as_null=True)),
    sa.Column("problem", sa.JSON(none_as_null=True)),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment, nullable=False),
    sa.Column("started_at", Moment),
    sa.Column("ended_at", Moment),
    sa.Column("created_by", sa.String(255), nullable=False),
    sa.Column("traceparent", sa.String(64)),
    # Of one whose program runs in a sandbox that stands: which.
    sa.Column("sandbox_id", _ID),
    sa.Index(None, "sandbox_id"),
    sa.Index(None, "tenant", "created_at", "id"),
    sa.Index(None, "ended_at"),
    sa.Index(
        "ix_jobs_unfinished",
        "tenant",
        "deadline_at",
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    ),
)

job_events = sa.Table(
    "job_events",
    metadata,
    # Its own numbers, beside those of the tenant's log: tokens would drown everything else there.
    sa.Column("job_id", _ID, sa.ForeignKey("jobs.id"), primary_key=True),
    sa.Column("sequence", sa.BigInteger, primary_key=True),
    sa.Column("time", Moment, nullable=False),
    sa.Column("type", sa.String(16), nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    _json("data"),
)

job_effects = sa.Table(
    "job_effects",
    metadata,
    # What a job has begun that may not happen twice, and in which attempt.
    sa.Column("job_id", _ID, sa.ForeignKey("jobs.id"), primary_key=True),
    sa.Column("key", sa.String(200), primary_key=True),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("begun_at", Moment, nullable=False),
)

contents = sa.Table(
    "contents",
    metadata,
    _tenant(),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    # Whether all of its pieces are there.
    sa.Column("ready", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("created_at", Moment, nullable=False),
    sa.PrimaryKeyConstraint("tenant", "sha256"),
)

content_pieces = sa.Table(
    "content_pieces",
    metadata,
    _tenant(),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
    sa.PrimaryKeyConstraint("tenant", "sha256", "number"),
)

content_holds = sa.Table(
    "content_holds",
    metadata,
    # Contents of jobs that begin later: those of a timer, a schedule, a plan, a contact of a person.
    sa.Column("tenant", _TENANT, sa.ForeignKey("tenants.id"), primary_key=True),
    sa.Column("sha256", sa.String(64), primary_key=True),
    sa.Column("kind", sa.String(16), primary_key=True),
    sa.Column("holder", sa.String(80), primary_key=True),
    sa.Index(None, "kind", "holder"),
)

handed_in = sa.Table(
    "handed_in",
    metadata,
    # How many bytes a tenant has handed in on a day in UTC.
    sa.Column("tenant", _TENANT, sa.ForeignKey("tenants.id"), primary_key=True),
    sa.Column("day", sa.String(10), primary_key=True),
    sa.Column("bytes", sa.BigInteger, nullable=False),
)

job_inputs = sa.Table(
    "job_inputs",
    metadata,
    # Contents that a job was told of, so that they stay as long as it does.
    sa.Column("job_id", _ID, sa.ForeignKey("jobs.id"), primary_key=True),
    sa.Column("sha256", sa.String(64), primary_key=True),
    _tenant(),
    sa.Index(None, "tenant", "sha256"),
)

job_artifacts = sa.Table(
    "job_artifacts",
    metadata,
    sa.Column("job_id", _ID, sa.ForeignKey("jobs.id"), primary_key=True),
    sa.Column("name", sa.String(512), primary_key=True),
    _tenant(),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("media_type", sa.String(200), nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Index(None, "tenant", "sha256"),
)

agent_runs = sa.Table(
    "agent_runs",
    metadata,
    # How far the agent of a job is. What it does is done in steps: each is begun under a number, and counts
    # only when nothing else has been done under that number.
    sa.Column("job_id", _ID, sa.ForeignKey("jobs.id"), primary_key=True),
    _tenant(),
    sa.Column("step", sa.Integer, nullable=False, server_default="1"),
    # The newest step that somebody has begun, and how often.
    sa.Column("begun_step", sa.Integer, nullable=False, server_default="0"),
    sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
    sa.Column("turns", sa.Integer, nullable=False, server_default="0"),
    sa.Column("calls", sa.Integer, nullable=False, server_default="0"),
    sa.Column("refused", sa.Integer, nullable=False, server_default="0"),
    sa.Column("messages", sa.Integer, nullable=False, server_default="0"),
    # The end of the hash chain over the messages; empty before the first.
    sa.Column("head", sa.String(64), nullable=False, server_default=""),
    # Listings of its files, by their hash: as they were at the beginning, and as they are.
    sa.Column("first_tree", sa.String(64)),
    sa.Column("tree", sa.String(64)),
    # Turns in a row with a call that could not be understood or was not allowed, and calls in a row that
    # brought nothing new.
    sa.Column("faults", sa.Integer, nullable=False, server_default="0"),
    sa.Column("stale", sa.Integer, nullable=False, server_default="0"),
    _json("usage"),
    # Messages to it: how many were sent, and how many it has read.
    sa.Column("told", sa.Integer, nullable=False, server_default="0"),
    sa.Column("heard", sa.Integer, nullable=False, server_default="0"),
    # What its MCP servers offer, by hash; empty until they were asked, nothing where it has none.
    sa.Column("offers", sa.String(64)),
)

agent_messages = sa.Table(
    "agent_messages",
    metadata,
    sa.Column("job_id", _ID, sa.ForeignKey("jobs.id"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("role", sa.String(16), nullable=False),
    # The message itself is a content; the chain is over the hashes.
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("head", sa.String(64), nullable=False),
    sa.Column("created_at", Moment, nullable=False),
)

agent_inbox = sa.Table(
    "agent_inbox",
    metadata,
    sa.Column("job_id", _ID, sa.ForeignKey("jobs.id"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("sent_by", sa.String(255), nullable=False),
    sa.Column("created_at", Moment, nullable=False),
)

agent_calls = sa.Table(
    "agent_calls",
    metadata,
    sa.Column("job_id", _ID, sa.ForeignKey("jobs.id"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("turn", sa.Integer, nullable=False),
    # Of a name that the model made up, the beginning.
    sa.Column("tool", sa.String(64), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    # The beginning of its arguments, for whoever approves of them.
    sa.Column("preview", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("decided_by", sa.String(255)),
    sa.Column("wakes_at", Moment),
    # Of one that has ended: what was called and what it brought, as one hash.
    sa.Column("signature", sa.String(64)),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("ended_at", Moment),
    sa.Index(None, "job_id", "signature"),
)

sandboxes = sa.Table(
    "sandboxes",
    metadata,
    # Sandboxes that stand. Each time one is opened raises the epoch: whoever held it before holds nothing.
    sa.Column("id", _ID, primary_key=True),
    _tenant(),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    # What was asked for, as it was sent.
    _json("spec"),
    _json("labels"),
    sa.Column("generation", sa.Integer, nullable=False, server_default="1"),
    sa.Column("armed_generation", sa.Integer, nullable=False, server_default="0"),
    sa.Column("epoch", sa.Integer, nullable=False, server_default="0"),
    # How often it stood, and how often it failed to since.
    sa.Column("opened", sa.Integer, nullable=False, server_default="0"),
    sa.Column("failures", sa.Integer, nullable=False, server_default="0"),
    # The task queue of the worker that holds it.
    sa.Column("queue", sa.String(200)),
    sa.Column("held_by", sa.JSON(none_as_null=True)),
    # The last snapshot of it, by hash.
    sa.Column("snapshot", sa.String(64)),
    sa.Column("idle_seconds", sa.Float, nullable=False),
    # Until when it has to stand, and until when it may.
    sa.Column("open_by", Moment, nullable=False),
    sa.Column("expires_at", Moment, nullable=False),
    sa.Column("used_at", Moment),
    sa.Column("close_requested_at", Moment),
    sa.Column("reason", sa.String(16)),
    sa.Column("problem", sa.JSON(none_as_null=True)),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment, nullable=False),
    sa.Column("opened_at", Moment),
    sa.Column("ended_at", Moment),
    sa.Column("created_by", sa.String(255), nullable=False),
    sa.Column("traceparent", sa.String(64)),
    sa.Index(None, "tenant", "created_at", "id"),
    sa.Index(None, "ended_at"),
    sa.Index(
        "ix_sandboxes_unfinished",
        "tenant",
        "expires_at",
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    ),
)

sandbox_contents = sa.Table(
    "sandbox_contents",
    metadata,
    # Snapshots that were taken of a sandbox, and the one that it began with: kept as long as its row.
    sa.Column("sandbox_id", _ID, sa.ForeignKey("sandboxes.id"), primary_key=True),
    sa.Column("sha256", sa.String(64), primary_key=True),
    _tenant(),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Index(None, "tenant", "sha256"),
)
