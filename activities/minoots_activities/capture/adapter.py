"""`CapturePort`: transcripts are read and recordings written, on the host that has the files."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from temporalio import activity
from temporalio.client import Client

from minoots.contracts import EventType
from minoots_platform.clock import Clock
from minoots_platform.records import Database, conversations, events, recordings
from minoots_platform.telemetry import audit, get_logger
from minoots_workflows.capture.contracts import FileChanged, Obey, Obeyed, Read, WriterStart, Written
from minoots_workflows.capture.port import CapturePort
from minoots_workflows.capture.telling import tell_writer

from .compressed import Damaged
from .ingest import Ingest, Ingested, session_key
from .obeying import Obeying
from .readers import installed
from .recent import Recent
from .roots import ReadDenied
from .unread import Unread
from .writing import Writing


class Capture(CapturePort):
    """Capture on one host, for one tenant."""

    def __init__(
        self,
        database: Database,
        ingest: Ingest,
        obeying: Obeying,
        writing: Writing,
        client: Client,
        clock: Clock,
        *,
        tenant: str,
        host: str,
        unread: Unread | None = None,
    ) -> None:
        self._unread = unread or Unread()
        self._database = database
        self._ingest = ingest
        self._obeying = obeying
        self._writing = writing
        self._client = client
        self._clock = clock
        self._tenant = tenant
        self._host = host
        self._told_of: Recent[str, str] = Recent()
        self._log = get_logger("minoots.capture")

    @activity.defn(name="capture.read")
    async def read(self, file: FileChanged) -> Read:
        """Read on in a file. One that is gone is no error: what was kept of it stays.

        One that cannot be read is told, and whoever watches has it read again when it can be: meanwhile other
        files of the conversation are read, and what was typed in them is obeyed.
        """
        self._require_own(file.tenant)
        reader = installed().get(file.provider)
        if reader is None:
            return await self._troubled(file, f"there is no reader of {file.provider} on this host")
        try:
            if file.session_id:
                done = await self._ingest.session(
                    reader, Path(file.path), file.session_id, activity.heartbeat
                )
            else:
                done = await self._ingest.file(reader, Path(file.path), activity.heartbeat)
        except FileNotFoundError:
            await self._well(file)
            return Read()
        except ReadDenied as denied:
            reason = str(denied)
            audit(
                "transcript.read",
                actor=f"host/{self._host}",
                tenant=self._tenant,
                decision="deny",
                path=file.path,
                reason=reason,
            )
            return await self._missed(file, reason)
        except (Damaged, OSError) as error:
            return await self._missed(file, str(error))
        return await self._told(file, done)

    @activity.defn(name="capture.obey")
    async def obey(self, request: Obey) -> Obeyed:
        """Obey what was typed, and tell the writers of what there is to be written."""
        self._require_own(request.tenant)
        done = await self._obeying.conversation(
            request.conversation_id, fresh=request.fresh, beat=activity.heartbeat
        )
        # Told again if this process dies in between: what is pending stays so until it is written.
        for key, name in recordings.writer_names(done.pending).items():
            start = WriterStart(tenant=self._tenant, host=self._host, path_key=key, name=name)
            await tell_writer(self._client, start)
        return Obeyed(
            obeyed=done.obeyed, refused=done.refused, writing=len(done.pending), problem=done.problem
        )

    @activity.defn(name="capture.write")
    async def write(self, file: WriterStart) -> Written:
        """Write what there is to be written into a file."""
        self._require_own(file.tenant)
        done = await self._writing.file(file.path_key, activity.heartbeat)
        return Written(over=done.over, wake_at=done.again_at, problem=done.problem)

    def _require_own(self, tenant: str) -> None:
        # A queue has no password: what comes over it for somebody else is refused.
        if tenant != self._tenant:
            raise PermissionError(f"this host captures for {self._tenant} only")

    async def _told(self, file: FileChanged, done: Ingested) -> Read:
        if done.redacted:
            audit(
                "secrets.redacted",
                actor=f"host/{self._host}",
                tenant=self._tenant,
                decision="allow",
                conversation=done.conversation_id,
                rules=[{"rule": rule, "count": many} for rule, many in done.redacted.items()],
            )
        problem = done.problem
        if done.dropped:
            problem = f"{done.dropped} events were dropped: a rule of redaction failed on them"
        self._unread.over(_place(file))
        if problem is not None:
            await self._troubled(file, problem)
        else:
            await self._well(file)
        return Read(
            new=done.new,
            revised=done.revised,
            damaged=done.damaged,
            dropped=done.dropped,
            redacted=done.redacted.total(),
            problem=problem,
        )

    async def _missed(self, file: FileChanged, problem: str) -> Read:
        """Tell what is wrong with a transcript, and have it tried again."""
        self._unread.missed(_place(file), file.path, problem, fresh=file.fresh)
        return await self._troubled(file, problem)

    async def _troubled(self, file: FileChanged, problem: str) -> Read:
        """Tell what is wrong with a transcript, once for each problem."""
        self._log.warning("transcript.troubled", path=file.path, provider=file.provider, reason=problem)
        table = conversations.FILES
        key = _key(self._host, file)
        mine = (table.c.tenant == self._tenant, table.c.key == key)
        async with self._database.write() as connection:
            row = (await connection.execute(sa.select(table.c.told).where(*mine))).one_or_none()
            # Of a file that was never read there is no row: it is remembered as long as this process lives.
            known = self._told_of.get(key) if row is None else row.told
            if known != problem:
                await connection.execute(sa.update(table).where(*mine).values(told=problem))
                about = {"path": file.path, "provider": file.provider, "host": self._host, "reason": problem}
                told = events.NewEvent(
                    EventType.CONVERSATION_TROUBLED, file.conversation_id, self._clock(), about
                )
                await events.append(connection, self._tenant, [told])
        self._told_of[key] = problem
        return Read(problem=problem)

    async def _well(self, file: FileChanged) -> None:
        """Forget what was wrong with a transcript: if it comes again, it is told again."""
        table, key = conversations.FILES, _key(self._host, file)
        self._unread.over(_place(file))
        self._told_of.pop(key, None)
        mine = (table.c.tenant == self._tenant, table.c.key == key, table.c.told.is_not(None))
        async with self._database.read() as connection:
            known = (await connection.execute(sa.select(table.c.key).where(*mine))).first()
        if known is not None:
            async with self._database.write() as connection:
                await connection.execute(sa.update(table).where(*mine).values(told=None))


def _key(host: str, file: FileChanged) -> str:
    """Return what the reading of a file is kept under."""
    return conversations.File(host, _place(file)).key


def _place(file: FileChanged) -> str:
    return session_key(file.path, file.session_id) if file.session_id else file.path
