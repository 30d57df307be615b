"""Conversations: their events once, whichever file they stand in, and how far each file was read."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts.conversations import ConversationEvent, ConversationEventKind, Enclosed
from minoots_platform.ids import derived_id

from . import schema
from .enclosures import keep_enclosures
from .inserting import insert_new
from .words import words_of

TABLE = schema.conversations
EVENTS = schema.conversation_events
FILES = schema.transcripts
CLEANED = schema.cleaned_events
_TITLE: Final = 500
_RESUMES: Final = "resume"
"""Of a conversation whose file begins with another: its program does not say so, but what is copied does."""
_ANCESTORS: Final = 50
_WORDS: Final = (ConversationEventKind.USER, ConversationEventKind.ASSISTANT)


@dataclass(frozen=True)
class Whose:
    """Which conversation a file tells of."""

    provider: str
    session_id: str
    parent_session: str | None = None
    relation: str | None = None
    agent_id: str | None = None

    def id_for(self, tenant: str) -> str:
        """The public id: made of provider and session, never of a path."""
        return derived_id("cnv", tenant, self.provider, self.session_id)


@dataclass(frozen=True)
class Reading:
    """How far a file was read."""

    offset: int = 0
    fingerprint: str = ""
    size: int = 0
    modified_ns: int = 0
    """Size and time of the file when reading began: one that still has them has nothing new."""
    state: Mapping[str, Any] = field(default_factory=dict)
    damaged: int = 0
    unknown: Mapping[str, int] = field(default_factory=dict)
    understood: int = 0
    problem: str | None = None


@dataclass(frozen=True)
class Kept:
    """What came of keeping events."""

    new: int
    revised: int
    """Events that were known with other content."""


@dataclass(frozen=True)
class File:
    """A file of a host."""

    host: str
    path: str
    provider: str = ""

    @property
    def key(self) -> str:
        """What it is found by."""
        return hashlib.sha256(f"{self.host}\x1f{self.path}".encode("utf-8", "surrogatepass")).hexdigest()


async def ensure(connection: AsyncConnection, tenant: str, whose: Whose, now: datetime) -> sa.Row[Any]:
    """Return the row of a conversation, locked; make it where there is none."""
    parent = None
    if whose.parent_session is not None:
        parent = Whose(whose.provider, whose.parent_session).id_for(tenant)
    fresh: dict[str, Any] = {
        "id": whose.id_for(tenant),
        "tenant": tenant,
        "provider": whose.provider,
        "session_id": whose.session_id,
        "parent_id": parent,
        "relation": whose.relation,
        "agent_id": whose.agent_id,
        "facts": {},
        "created_at": now,
        "updated_at": now,
    }
    await insert_new(connection, TABLE, fresh)
    query = sa.select(TABLE).where(TABLE.c.id == fresh["id"]).with_for_update()
    return (await connection.execute(query)).one()


async def keep(
    connection: AsyncConnection,
    conversation: sa.Row[Any],
    events: Sequence[ConversationEvent],
    facts: Mapping[str, Any],
    now: datetime,
    enclosures: Mapping[Enclosed, bytes] = MappingProxyType({}),
) -> Kept:
    """Keep events of a conversation whose row is locked, each once for its id, and what came with them.

    One that is known with other content becomes the next revision in its place. One that stands in another
    conversation already, because this one is a copy, stays there; if that one is the copy, it comes here.
    """
    # Of several with one id the last counts, in the place of the first.
    latest = {event.id: event for event in events}
    known = {
        row.id: row
        for row in await connection.execute(
            sa.select(
                EVENTS.c.id, EVENTS.c.hash, EVENTS.c.revision, EVENTS.c.conversation_id, TABLE.c.relation
            )
            .join(TABLE, TABLE.c.id == EVENTS.c.conversation_id)
            .where(EVENTS.c.tenant == conversation.tenant, EVENTS.c.id.in_(latest))
        )
    }
    latest = await _not_let_go(connection, conversation, latest, known)
    wanted = {about for event in latest.values() for about in event.enclosed}
    with_data = {about: data for about, data in enclosures.items() if about in wanted}
    await keep_enclosures(connection, conversation.tenant, with_data, now)
    number = conversation.events
    fresh: list[dict[str, Any]] = []
    revised = taken = 0
    resumed: str | None = None
    for event in latest.values():
        body = event.model_dump(mode="json", exclude={"id", "revision", "kind", "ts"}, exclude_defaults=True)
        told = hashlib.sha256(
            event.model_dump_json(exclude={"revision"}).encode("utf-8", "replace")
        ).hexdigest()
        before = known.get(event.id)
        if before is None:
            number += 1
            fresh.append(
                {
                    "tenant": conversation.tenant,
                    "id": event.id,
                    "conversation_id": conversation.id,
                    "number": number,
                    "revision": 1,
                    "kind": event.kind.value,
                    "ts": event.ts,
                    "words": " ".join(words_of(searched(event))) or None,
                    "body": body,
                    "hash": told,
                }
            )
        elif (
            before.conversation_id != conversation.id
            and before.relation not in (None, _RESUMES)
            and conversation.relation in (None, _RESUMES)
        ):
            # A copy was read first: a fork, or a file that passes for a sub-agent's. It is said here.
            number += 1
            taken += 1
            await connection.execute(
                sa.update(EVENTS)
                .where(EVENTS.c.tenant == conversation.tenant, EVENTS.c.id == event.id)
                .values(conversation_id=conversation.id, number=number)
            )
        elif before.hash != told and before.conversation_id == conversation.id:
            revised += 1
            body = await _with_refusals(connection, conversation.tenant, event.id, body)
            await connection.execute(
                sa.update(EVENTS)
                .where(EVENTS.c.tenant == conversation.tenant, EVENTS.c.id == event.id)
                .values(
                    revision=before.revision + 1,
                    kind=event.kind.value,
                    revised=conversation.revised + 1,
                    ts=event.ts,
                    words=" ".join(words_of(searched(event))) or None,
                    body=body,
                    hash=told,
                )
            )
        elif before.conversation_id != conversation.id and event.kind in _WORDS and not event.injected:
            # The last: a copy of a copy goes on from that one.
            resumed = before.conversation_id
    if fresh:
        await connection.execute(sa.insert(EVENTS), fresh)
    about: dict[str, Any] = {"events": number, "revised": conversation.revised + bool(revised)}
    if resumed is not None and await _may_resume(connection, conversation, resumed):
        about |= {"parent_id": resumed, "relation": _RESUMES}
    await _follow(connection, conversation, list(latest.values()), facts, about, now)
    return Kept(len(fresh) + taken, revised)


async def _may_resume(connection: AsyncConnection, conversation: sa.Row[Any], other: str) -> bool:
    """Tell whether a conversation can go on from another: its program says nothing else, nor the other's."""
    if conversation.relation not in (None, _RESUMES):
        return False
    above: str | None = other
    for _ in range(_ANCESTORS):
        if above is None or above == conversation.id:
            break
        query = sa.select(TABLE.c.parent_id).where(TABLE.c.tenant == conversation.tenant, TABLE.c.id == above)
        above = (await connection.execute(query)).scalar_one_or_none()
    return above is None


async def _not_let_go(
    connection: AsyncConnection,
    conversation: sa.Row[Any],
    events: Mapping[str, ConversationEvent],
    known: Collection[str],
) -> dict[str, ConversationEvent]:
    """Return events without those that were let go of: a file that was moved or copied tells them again.

    They are known by their ids, so that what is written late counts as new, whatever its time. Those that
    went before ids were kept are known by their time; one of them without a time passes for a new one.
    """
    fresh = [name for name in events if name not in known]
    if not fresh:
        return dict(events)
    query = sa.select(CLEANED.c.id).where(CLEANED.c.tenant == conversation.tenant, CLEANED.c.id.in_(fresh))
    gone = set(await connection.scalars(query))
    if (until := conversation.cleaned_until) is not None:
        times = ((name, events[name].ts) for name in fresh)
        gone |= {name for name, ts in times if ts is not None and ts <= until}
    return {name: event for name, event in events.items() if name not in gone}


async def lock(connection: AsyncConnection, conversation_id: str) -> sa.Row[Any] | None:
    """Return the row of a conversation, locked; ``None`` where there is none."""
    query = sa.select(TABLE).where(TABLE.c.id == conversation_id).with_for_update()
    return (await connection.execute(query)).one_or_none()


async def obeyed(connection: AsyncConnection, conversation_id: str, number: int) -> None:
    """Remember up to which event commands were looked for."""
    await connection.execute(sa.update(TABLE).where(TABLE.c.id == conversation_id).values(obeyed=number))


async def note_history(connection: AsyncConnection, conversation_id: str, number: int) -> None:
    """Remember which events were there when commands were first looked for."""
    await connection.execute(sa.update(TABLE).where(TABLE.c.id == conversation_id).values(history=number))


async def note_waiting(
    connection: AsyncConnection, conversation: sa.Row[Any], number: int | None, since: datetime | None
) -> None:
    """Remember which event of a conversation has commands that wait, and since when; ``None``: none has."""
    if (conversation.waits_at, conversation.waits_since) != (number, since):
        waiting = {"waits_at": number, "waits_since": since}
        await connection.execute(sa.update(TABLE).where(TABLE.c.id == conversation.id).values(**waiting))


async def note_refusals(
    connection: AsyncConnection, tenant: str, event_id: str, refusals: Sequence[str]
) -> None:
    """Keep with an event which of its commands were refused, and why: recordings show it."""
    where = (EVENTS.c.tenant == tenant, EVENTS.c.id == event_id)
    body = (await connection.execute(sa.select(EVENTS.c.body).where(*where))).scalar_one()
    told = {**body.get("details", {}), "refused": list(refusals)}
    # No revision: it is not what the program wrote.
    await connection.execute(sa.update(EVENTS).where(*where).values(body={**body, "details": told}))


async def _with_refusals(
    connection: AsyncConnection, tenant: str, event_id: str, body: dict[str, Any]
) -> dict[str, Any]:
    """Return the new body of an event with what was noted with the old."""
    query = sa.select(EVENTS.c.body).where(EVENTS.c.tenant == tenant, EVENTS.c.id == event_id)
    before = (await connection.execute(query)).scalar_one()
    refused = before.get("details", {}).get("refused")
    if refused is None:
        return body
    return {**body, "details": {**body.get("details", {}), "refused": refused}}


async def title_by(connection: AsyncConnection, tenant: str, conversation_id: str, number: int) -> str:
    """Return what a conversation was called when its event ``number`` came."""
    mine = (EVENTS.c.tenant == tenant, EVENTS.c.conversation_id == conversation_id, EVENTS.c.number <= number)
    titles = sa.select(EVENTS).where(*mine, EVENTS.c.kind == ConversationEventKind.TITLE.value)
    best = max(
        (event_of(row) for row in await connection.execute(titles.order_by(EVENTS.c.number))),
        key=lambda event: event.rank,
        default=None,
    )
    if best is not None and best.text:
        return best.text[:_TITLE]
    asked = sa.select(EVENTS).where(*mine, EVENTS.c.kind == ConversationEventKind.USER.value)
    for row in await connection.execute(asked.order_by(EVENTS.c.number).limit(50)):
        event = event_of(row)
        if not event.injected and event.text and event.text.strip():
            return first_line(event.text)[:_TITLE]
    return ""


def first_line(text: str) -> str:
    """Return the first line of a text that is no command."""
    lines = (line.strip() for line in text.strip().split("\n"))
    return next((line for line in lines if line and not line.startswith("::")), "")


async def behind(
    connection: AsyncConnection, tenant: str, host: str, limit: int, but: Collection[str] = ()
) -> list[tuple[str, str]]:
    """Return conversations of a host in which commands are still to be looked for, and their files' paths.

    Those in which something was said last come first.
    ``limit`` counts conversations, each of which may have many files; ``but`` are the ids of those that are
    left out.
    """
    mine = (FILES.c.tenant == tenant, FILES.c.host == host)
    waiting = (
        sa.select(TABLE.c.id)
        .where(TABLE.c.tenant == tenant, TABLE.c.obeyed < TABLE.c.events)
        .where(sa.exists().where(*mine, FILES.c.conversation_id == TABLE.c.id))
        # The latest first: of old ones the files may be gone, so that nothing comes of telling of them.
        .order_by(TABLE.c.updated_at.desc(), TABLE.c.id)
        .limit(limit + len(but))
    )
    wanted = [one for one in await connection.scalars(waiting) if one not in but][:limit]
    query = sa.select(FILES.c.conversation_id, FILES.c.path)
    found = await connection.execute(query.where(*mine, FILES.c.conversation_id.in_(wanted)))
    rank = {one: number for number, one in enumerate(wanted)}
    return sorted(((row.conversation_id, row.path) for row in found), key=lambda one: (rank[one[0]], one[1]))


async def reading(connection: AsyncConnection, tenant: str, key: str) -> Reading | None:
    """Return how far a file was read; ``None`` for one that is new."""
    query = sa.select(FILES).where(FILES.c.tenant == tenant, FILES.c.key == key)
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        return None
    names = Reading.__dataclass_fields__
    return Reading(**{name: row._mapping[name] for name in names})


async def keep_reading(
    connection: AsyncConnection,
    tenant: str,
    file: File,
    conversation_id: str,
    reading: Reading,
    now: datetime,
) -> None:
    """Remember how far a file was read, in the transaction that kept what was read."""
    values = {
        "conversation_id": conversation_id,
        "offset": reading.offset,
        "fingerprint": reading.fingerprint,
        "size": reading.size,
        "modified_ns": reading.modified_ns,
        "state": dict(reading.state),
        "damaged": reading.damaged,
        "unknown": dict(reading.unknown),
        "understood": reading.understood,
        "problem": reading.problem,
        "read_at": now,
    }
    where = {"tenant": tenant, "key": file.key, "host": file.host, "path": file.path}
    made = await insert_new(connection, FILES, where | {"provider": file.provider} | values)
    if not made:
        await connection.execute(
            sa.update(FILES).where(FILES.c.tenant == tenant, FILES.c.key == file.key).values(**values)
        )


async def files_of(connection: AsyncConnection, tenant: str, host: str) -> dict[str, tuple[int, int]]:
    """Return size and time of every file of a host as it was last read, by its path."""
    query = sa.select(FILES.c.path, FILES.c.size, FILES.c.modified_ns).where(
        FILES.c.tenant == tenant, FILES.c.host == host
    )
    return {row.path: (row.size, row.modified_ns) for row in await connection.execute(query)}


async def marks_of(connection: AsyncConnection, tenant: str, host: str) -> dict[str, str]:
    """Return the mark of every session of a store of a host as it was last read, by what it is found by."""
    query = sa.select(FILES.c.path, FILES.c.fingerprint).where(
        FILES.c.tenant == tenant, FILES.c.host == host, FILES.c.size == 0
    )
    return {row.path: row.fingerprint for row in await connection.execute(query)}


async def events_of(
    connection: AsyncConnection, tenant: str, conversation_id: str, *, after: int = 0, limit: int = 1000
) -> tuple[ConversationEvent, ...]:
    """Return events of a conversation in their order, after a number."""
    query = (
        sa.select(EVENTS)
        .where(
            EVENTS.c.tenant == tenant,
            EVENTS.c.conversation_id == conversation_id,
            EVENTS.c.number > after,
        )
        .order_by(EVENTS.c.number)
        .limit(limit)
    )
    return tuple(event_of(row) for row in await connection.execute(query))


async def numbered(
    connection: AsyncConnection,
    tenant: str,
    conversation_id: str,
    *,
    after: int,
    until: int | None = None,
    limit: int = 1000,
) -> list[tuple[int, ConversationEvent]]:
    """Return events of a conversation with their numbers, after one and up to another."""
    mine = [EVENTS.c.tenant == tenant, EVENTS.c.conversation_id == conversation_id, EVENTS.c.number > after]
    if until is not None:
        mine.append(EVENTS.c.number <= until)
    query = sa.select(EVENTS).where(*mine).order_by(EVENTS.c.number).limit(limit)
    return [(row.number, event_of(row)) for row in await connection.execute(query)]


async def last_of(
    connection: AsyncConnection, tenant: str, conversation_id: str, *, limit: int
) -> list[tuple[int, ConversationEvent]]:
    """Return the last events of a conversation with their numbers, in their order."""
    mine = (EVENTS.c.tenant == tenant, EVENTS.c.conversation_id == conversation_id)
    query = sa.select(EVENTS).where(*mine).order_by(EVENTS.c.number.desc()).limit(limit)
    return [(row.number, event_of(row)) for row in (await connection.execute(query)).all()[::-1]]


async def revised_since(
    connection: AsyncConnection,
    conversation_id: str,
    revised: int,
    *,
    first: int,
    last: int,
    without: Iterable[ConversationEventKind] = (),
) -> bool:
    """Tell whether one of these events has come with other content since; some kinds do not count."""
    query = sa.select(EVENTS.c.key).where(
        EVENTS.c.conversation_id == conversation_id,
        EVENTS.c.revised > revised,
        EVENTS.c.number.between(first, last),
        EVENTS.c.kind.not_in([kind.value for kind in without]),
    )
    return (await connection.execute(query.limit(1))).first() is not None


def event_of(row: Any) -> ConversationEvent:
    """Return an event as it is kept."""
    return ConversationEvent.model_validate(
        {**row.body, "id": row.id, "revision": row.revision, "kind": row.kind, "ts": row.ts}
    )


async def children_of(connection: AsyncConnection, tenant: str, conversation_id: str) -> list[sa.Row[Any]]:
    """Return the conversations that were begun in one, the oldest first."""
    query = sa.select(TABLE).where(TABLE.c.tenant == tenant, TABLE.c.parent_id == conversation_id)
    return list(await connection.execute(query.order_by(TABLE.c.created_at, TABLE.c.id)))


def searched(event: ConversationEvent) -> str:
    """Return what of an event can be searched for."""
    if event.tool is None:
        return event.text or ""
    parts = [event.tool.name or "", *_texts_in(event.tool.input), event.tool.output or "", event.text or ""]
    return "\n".join(part for part in parts if part)


def _texts_in(value: Any) -> Iterator[str]:
    """Yield the texts in a value, and the names of what holds them."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield str(name)
            yield from _texts_in(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts_in(inner)
    elif value is not None:
        yield str(value)


async def _follow(
    connection: AsyncConnection,
    conversation: sa.Row[Any],
    events: Sequence[ConversationEvent],
    facts: Mapping[str, Any],
    about: Mapping[str, Any],
    now: datetime,
) -> None:
    """Bring the conversation's own row up to date."""
    title, rank = conversation.title, conversation.title_rank
    for event in events:
        # The last of the highest rank; without any, what was asked first.
        if event.kind is ConversationEventKind.TITLE and event.text and event.rank >= rank:
            title, rank = event.text, event.rank
        elif title is None and event.kind is ConversationEventKind.USER and not event.injected and event.text:
            title = first_line(event.text) or None
    times = [event.ts for event in events if event.ts is not None]
    first = min((one for one in (conversation.started_at, *times) if one is not None), default=None)
    last = max((one for one in (conversation.last_at, *times) if one is not None), default=None)
    await connection.execute(
        sa.update(TABLE)
        .where(TABLE.c.id == conversation.id)
        .values(
            facts={**conversation.facts, **facts},
            title=title and title[:_TITLE],
            title_rank=rank,
            **about,
            started_at=first,
            last_at=last,
            updated_at=now,
        )
    )
