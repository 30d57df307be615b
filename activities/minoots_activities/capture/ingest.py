"""Reading on in a transcript: what was appended becomes events, and the mark moves, in one transaction.

A process that dies anywhere in between reads the same again, and the same events have the same ids.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final

import sqlalchemy as sa

from minoots.contracts import EventType
from minoots.contracts.conversations import ConversationEvent, Enclosed
from minoots_platform.clock import Clock
from minoots_platform.records import Database, conversations
from minoots_platform.records import events as feed
from minoots_platform.records.conversations import File, Kept, Reading, Whose
from minoots_platform.redaction import Found, Redactor
from minoots_platform.telemetry import get_logger

from .answering import Answering, beating
from .compressed import expanded
from .lines import Mark, is_continued
from .parts import BATCH, LOUD_AFTER, beginning_of, bounded, counted, fed, parts_of, problem_of
from .readers import Draft, Identity, Parsed, Reader
from .readers.identity import held
from .readers.store import Listed, Store, known
from .recovery import holdable
from .roots import ReadRoots

KEPT: Final = 500
"""Events of one transaction: SQLite has one writer, and everything else that is written waits for it."""

_FIRST: Final = 1024
"""Bytes of an enclosure by which it is known whether it is a text."""


@dataclass
class Ingested:
    """What came of reading on."""

    conversation_id: str | None = None
    new: int = 0
    revised: int = 0
    again: bool = False
    """The file was written anew, so that it was read from its beginning."""
    damaged: int = 0
    dropped: int = 0
    """Events that a redaction rule failed on; they are not kept."""
    redacted: Counter[str] = field(default_factory=Counter)
    problem: str | None = None


class Ingest:
    """Reads transcripts of one host into the records of one tenant."""

    def __init__(
        self,
        database: Database,
        roots: ReadRoots,
        redactor: Redactor,
        clock: Clock,
        *,
        tenant: str,
        host: str,
    ) -> None:
        self._database = database
        self._roots = roots
        self._redactor = redactor
        self._clock = clock
        self._tenant = tenant
        self._host = host
        self._answering = Answering()

    async def file(self, reader: Reader, path: Path, beat: Callable[[], None] = lambda: None) -> Ingested:
        """Read on in a file, as far as it is complete; call ``beat`` after each part that was kept.

        Raises:
            ReadDenied: it is not below a folder that may be read.
            Damaged: it is compressed, and cannot be expanded.
            OSError: it is gone, or may not be read.
        """
        await self._require_open(path, beat)
        raw = self._roots.open(path)
        # Before it is read: what is appended meanwhile makes another size.
        about = os.fstat(raw.fileno())
        with await _expanded(raw, path, beat) as file:
            begun = await beating(partial(beginning_of, reader, file), beat)
            identity = held(reader.identify(path, begun.head))
            if identity is None:
                return Ingested()
            where = File(self._host, str(path), reader.provider)
            async with self._database.read() as connection:
                before = await conversations.reading(connection, self._tenant, where.key)
            reading = replace(before or Reading(), size=about.st_size, modified_ns=about.st_mtime_ns)
            done = Ingested()
            mark = Mark(reading.offset, reading.fingerprint)
            if reader.cursor == "lines" and not await beating(partial(is_continued, file, mark), beat):
                state = reader.written_anew(reading.state)
                reading, done.again = replace(reading, offset=0, fingerprint="", state=state), True
            whose = _whose(reader, identity)
            last = None
            parts = parts_of(reader, identity, file, reading, begun)
            del begun  # of a file that is read as a whole, all of it
            # Apart, like all reading: of much at once, everybody else on this host would wait.
            while (part := await beating(partial(next, parts, None), beat)) is not None:
                parsed, last = part
                await self._keep(whose, where, parsed, last, done, beat)
            if last is None and before is not None and before != reading:
                # Nothing complete is new, and that need not be looked for again.
                await self._keep(whose, where, Parsed(), reading, done, beat)
            elif last is None and before is not None:
                done.problem = before.problem  # still: it was told, and is not told anew
            return done

    async def session(
        self, reader: Reader, path: Path, session_id: str, beat: Callable[[], None] = lambda: None
    ) -> Ingested:
        """Read a session of a store as a whole, if anything in it is another; call ``beat`` after each part.

        Raises:
            ReadDenied: the store is not below a folder that may be read.
            Damaged: it cannot be read as what it should be.
            OSError: it is gone, or may not be read.
        """
        # Whether it may be read is found out before anything takes time.
        await self._require_open(path, beat)
        store = reader.store_of(path, self._roots.open)
        if store is None:
            return Ingested()
        listed = await beating(lambda: _listed(store, session_id), beat)
        if listed is None:
            return Ingested()
        identity = listed.identity
        where = File(self._host, session_key(str(path), session_id), reader.provider)
        async with self._database.read() as connection:
            before = await conversations.reading(connection, self._tenant, where.key) or Reading()
        done = Ingested()
        if before.fingerprint == listed.mark:
            done.problem = before.problem
            return done
        whose = _whose(reader, identity)
        parser, reading = reader.parser(identity), Reading(fingerprint=before.fingerprint)
        batch: list[Mapping[str, Any]] = []
        odd = 0
        records = await beating(lambda: list(store.records(session_id)), beat)
        for record in (*records, None):
            if record is not None:
                batch.append(holdable(dict(record)))
            if record is not None and len(batch) < BATCH:
                continue
            parser.more = record is not None
            parser, parsed, failed = await beating(partial(fed, reader, identity, parser, batch), beat)
            odd += failed
            batch = []
            unknown = counted(reading.unknown, parsed.unknown)
            understood = reading.understood + parsed.understood
            # The mark moves with the last part: until then it is read again.
            mark = listed.mark if record is None else before.fingerprint
            reading = Reading(
                fingerprint=mark,
                unknown=unknown,
                understood=understood,
                damaged=odd,
                problem=problem_of(understood, unknown, odd, LOUD_AFTER),
            )
            await self._keep(whose, where, parsed, reading, done, beat)
        return done

    async def _require_open(self, path: Path, beat: Callable[[], None]) -> None:
        """Make sure that a file can be opened: on a disk that does not answer, everybody here would wait.

        Raises:
            ReadDenied: it is not below a folder that may be read.
            OSError: it is gone, may not be read, or does not answer.
        """

        def look() -> None:
            self._roots.open(path).close()

        # By its folder: a thread is held for each that does not answer, and there may be many files.
        await beating(partial(self._answering.ask, str(path.parent), look), beat)

    async def _keep(
        self,
        whose: Whose,
        where: File,
        parsed: Parsed,
        reading: Reading,
        done: Ingested,
        beat: Callable[[], None],
    ) -> None:
        """Keep what comes of a part of a file, and with the last of it how far that was read.

        Who dies in between reads all of it again, and what was kept has the same ids.
        """
        drafts = _once(parsed.drafts)
        for first in range(0, len(drafts) - KEPT, KEPT):
            await self._keep_some(whose, where, drafts[first : first + KEPT], {}, None, done, beat)
        rest = drafts[(len(drafts) - 1) // KEPT * KEPT :] if drafts else []
        await self._keep_some(whose, where, rest, parsed.facts, reading, done, beat)

    async def _keep_some(
        self,
        whose: Whose,
        where: File,
        drafts: Sequence[Draft],
        facts: Mapping[str, Any],
        reading: Reading | None,
        done: Ingested,
        beat: Callable[[], None],
    ) -> None:
        # Apart: for a text of megabytes that is full of words like `token` the rules take many seconds, and
        # everybody else on this host would wait.
        events, enclosures = await beating(lambda: self._clean_all(drafts, done), beat)
        secrets = Found()
        facts = self._redactor.value(bounded(facts), secrets)
        if reading is not None:
            unknown = self._redactor.value(dict(reading.unknown), secrets)
            reading = replace(
                reading,
                unknown=Counter(unknown),
                problem=reading.problem and self._redactor.text(reading.problem, secrets),
            )
        done.redacted += secrets.counts
        now = self._clock()
        async with self._database.write() as connection:
            conversation = await conversations.ensure(connection, self._tenant, whose, now)
            kept = await conversations.keep(connection, conversation, events, facts, now, enclosures)
            if reading is not None:
                await conversations.keep_reading(
                    connection, self._tenant, where, conversation.id, reading, now
                )
            told = _told(conversation, kept, now)
            if told:
                await feed.append(connection, self._tenant, told)
        beat()
        done.conversation_id = conversation.id
        done.new += kept.new
        done.revised += kept.revised
        if reading is not None:
            done.damaged = reading.damaged
            done.problem = reading.problem

    def _clean_all(
        self, drafts: Sequence[Draft], done: Ingested
    ) -> tuple[list[ConversationEvent], dict[Enclosed, bytes]]:
        """Return what may be kept of what was read."""
        events: list[ConversationEvent] = []
        enclosures: dict[Enclosed, bytes] = {}
        for draft in drafts:
            event = self._clean(draft.event, done)
            if event is not None:
                events.append(event)
                enclosures |= {blob.about: blob.data for blob in draft.blobs}
        secrets = Found()
        enclosures = {
            about: data for about, data in enclosures.items() if self._may_be_kept(about, data, secrets)
        }
        done.redacted += secrets.counts
        return events, enclosures

    def _may_be_kept(self, about: Enclosed, data: bytes, found: Found) -> bool:
        """Tell whether an enclosure is kept: a text with secrets in it is only described.

        Its bytes tell as well whether it is a text: it may be called anything.
        """
        called = about.media_type.startswith(("text/", "application/json", "application/xml"))
        text = _text_in(data) or (data.decode("utf-8", "replace") if called else None)
        if text is None:
            return True
        before = found.counts.total()
        try:
            return self._redactor.text(text, found) == text or found.counts.total() == before
        except Exception:
            get_logger("minoots.capture").warning("transcript.enclosure_dropped", size=len(data))
            return False  # closed, as with events

    def _clean(self, event: ConversationEvent, done: Ingested) -> ConversationEvent | None:
        found = Found()
        try:
            event = self._redactor.event(event, found)
        except Exception:
            # Closed: what could not be looked through is not kept, and that is told.
            done.dropped += 1
            return None
        done.redacted += found.counts
        return event


async def _expanded(raw: BinaryIO, path: Path, beat: Callable[[], None]) -> BinaryIO:
    if path.suffix != ".zst":
        return raw
    return await beating(lambda: expanded(raw, path), beat)


def session_key(path: str, session_id: str) -> str:
    """Return what a session of a store is found by, where a file is found by its path."""
    return f"{path}#{session_id}"


def _whose(reader: Reader, identity: Identity) -> Whose:
    return Whose(
        reader.provider, identity.session_id, identity.parent_id, identity.relation, identity.agent_id
    )


def _text_in(data: bytes) -> str | None:
    """Return the text that bytes are; ``None`` for those of pictures and the like."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    try:
        # A text may have odd bytes in it, but hardly among its first.
        data[:_FIRST].decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < min(len(data), _FIRST) - 4:
            return None
    return None if b"\x00" in data[:_FIRST] else data.decode("utf-8", "replace")


def _once(drafts: Sequence[Draft]) -> list[Draft]:
    """Return each event once, the last of several with one id in the place of the first."""
    found: dict[str, Draft] = {}
    for draft in drafts:
        before = found.get(draft.event.id)
        found[draft.event.id] = draft if before is None else replace(draft, blobs=before.blobs + draft.blobs)
    return list(found.values())


def _listed(store: Store, session_id: str) -> Listed | None:
    return next((one for one in known(store) if one.identity.session_id == session_id), None)


def _told(conversation: sa.Row[Any], kept: Kept, now: datetime) -> list[feed.NewEvent]:
    """Return what the feed is told: never what was said."""
    told = []
    about = {"provider": conversation.provider, "session": conversation.session_id}
    if not conversation.events and kept.new:
        told.append(feed.NewEvent(EventType.CONVERSATION_BEGUN, conversation.id, now, about))
    if kept.new or kept.revised:
        last = conversation.events + kept.new
        grew = about | {"first": conversation.events + 1, "last": last, "revised": kept.revised}
        told.append(feed.NewEvent(EventType.CONVERSATION_GREW, conversation.id, now, grew))
    return told
