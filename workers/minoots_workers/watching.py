"""A host that captures: watches transcripts, and serves the queue on which its files are read and written."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Final, TypeVar

import sqlalchemy as sa
from temporalio.client import Client
from temporalio.worker import Worker

from minoots._version import __version__
from minoots.errors import Failure, FailureKind
from minoots_activities.capture.adapter import Capture
from minoots_activities.capture.answering import apart
from minoots_activities.capture.flags import WorkspaceFlags
from minoots_activities.capture.ingest import Ingest
from minoots_activities.capture.obeying import Obeying
from minoots_activities.capture.registry import Registry
from minoots_activities.capture.roots import ReadRoots
from minoots_activities.capture.sources import Source, sources_of
from minoots_activities.capture.unread import Unread
from minoots_activities.capture.watcher import Watcher
from minoots_activities.capture.writing import Writing
from minoots_platform.clock import utc_now
from minoots_platform.records import Database, capture_hosts, conversations, recordings, revision, tenants
from minoots_platform.redaction import Redactor
from minoots_platform.settings import CaptureSettings, Settings
from minoots_platform.telemetry import Telemetry, get_logger
from minoots_workflows.capture.contracts import CaptureStart, FileChanged, WriterStart
from minoots_workflows.capture.telling import has_work, tell_changed, tell_writer
from minoots_workflows.queues import files_of

from .host_identity import identity_of
from .namespace import ensure_search_attributes
from .parts import policy_of, temporal_client
from .process import DEPLOYMENT
from .registry import Serving, serving_host
from .reminders import Reminders

_BEAT: Final = 5.0
"""Seconds between two signs of life of a host, and between two looks for what was left behind."""
_BATCH: Final = 100
"""So many are told again at a time."""
_MOST: Final = 10_000
"""Of those that were told already, so many are looked past: no statement takes much more."""


T = TypeVar("T")


class _Stopped(Exception):
    """A stop was asked for before capturing could begin."""


@dataclass
class Health:
    """What looks have found that may take long, as of the last one that came to an end."""

    workspaces: tuple[str, ...] = ()
    """What is wrong with them."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True)
class Host:
    """What a host that captures is made of."""

    name: str
    tenant: str
    serving: Serving
    obeying: Obeying
    registry: Registry
    watcher: Watcher
    sources: tuple[Source, ...]
    identity: str = ""
    """Of its data directory; without one nobody looks whether the name is another's."""
    started_at: datetime = field(default_factory=utc_now)
    health: Health = field(default_factory=Health)
    unobeyed: Reminders = field(default_factory=Reminders)
    """Conversations that were told of files, so that what is typed in them is obeyed."""
    unwritten: Reminders = field(default_factory=Reminders)
    """Recordings whose writers were told, by the keys of their files."""


def host_name(settings: CaptureSettings) -> str:
    """Return the name of this machine, as queues and rows know it."""
    name = settings.host or socket.gethostname()
    return re.sub(r"[^a-z0-9.-]+", "-", name.lower()).strip("-")[:60] or "host"


def host_of(settings: Settings, database: Database, client: Client, identity: str = "") -> Host:
    """Return the parts of this host.

    Raises:
        Failure: invalid, for settings that cannot work.
    """
    capture = settings.capture
    tenant, name = capture.tenant, host_name(capture)
    sources = sources_of(capture, os.environ)
    roots = ReadRoots(source.root for source in sources)
    registry, unread = Registry(capture.registry), Unread()
    obeying = Obeying(
        database,
        registry,
        capture.write_roots,
        WorkspaceFlags(),
        utc_now,
        tenant=tenant,
        host=name,
        notify=capture.notify,
        patience=timedelta(seconds=capture.command_patience),
    )
    serving = serving_host(
        Capture(
            database,
            Ingest(database, roots, Redactor(policy_of(capture)), utc_now, tenant=tenant, host=name),
            obeying,
            Writing(database, utc_now, tenant=tenant, host=name),
            client,
            utc_now,
            tenant=tenant,
            host=name,
            unread=unread,
        )
    )

    reminders = Reminders()

    async def tell(start: CaptureStart, file: FileChanged) -> None:
        await tell_changed(client, start, file)
        reminders.told(start.conversation_id, time.monotonic())

    watcher = Watcher(
        sources,
        roots,
        tell,
        tenant=tenant,
        host=name,
        settle=capture.settle,
        rescan=capture.rescan,
        idle=capture.idle,
        unread=unread,
    )
    return Host(
        name,
        tenant,
        serving,
        obeying,
        registry,
        watcher,
        tuple(sources),
        identity=identity,
        unobeyed=reminders,
    )


@asynccontextmanager
async def serving(host: Host, client: Client, settings: Settings) -> AsyncIterator[None]:
    """Serve the queue of a host."""
    worker = Worker(
        client,
        task_queue=files_of(host.name),
        activities=host.serving.activities,
        # Reading is work for one processor; more at a time would only take turns.
        max_concurrent_activities=8,
        graceful_shutdown_timeout=timedelta(seconds=settings.workers.graceful_shutdown),
        deployment_config=DEPLOYMENT,
        max_heartbeat_throttle_interval=timedelta(seconds=1),
    )
    async with worker:
        yield


async def watch(host: Host, database: Database, client: Client) -> None:
    """Watch until cancelled, and see to what was left behind."""
    known, marks = await _until_it_works(lambda: _known(host, database))
    async with asyncio.TaskGroup() as group:
        group.create_task(host.watcher.run(known, marks))
        group.create_task(_live(host, database))
        group.create_task(_see_to(host, database, client))
        group.create_task(_look_at_workspaces(host))


async def _known(host: Host, database: Database) -> tuple[dict[str, tuple[int, int]], dict[str, str]]:
    async with database.read() as connection:
        known = await conversations.files_of(connection, host.tenant, host.name)
        return known, await conversations.marks_of(connection, host.tenant, host.name)


async def _until_it_works(
    step: Callable[[], Awaitable[T]],
    stop: asyncio.Event | None = None,
    troubled: Callable[[str], None] = lambda _: None,
) -> T:
    """Return what a step gives, as soon as anything can be written: a full disk is only waited for.

    ``troubled`` is told why it does not work, once for each reason.

    Raises:
        _Stopped: ``stop`` was set before it did.
        Failure: what waiting does not mend.
    """
    told = None
    while True:
        try:
            return await step()
        except (Failure, sa.exc.SQLAlchemyError) as error:
            if isinstance(error, Failure) and error.kind is not FailureKind.UNAVAILABLE:
                raise
            why = error.detail if isinstance(error, Failure) else str(getattr(error, "orig", error))
        if why != told:
            told = why
            get_logger("minoots.capture").warning("capture.waits", reason=why)
            troubled(f"it begins when this is over: {why}.")
        try:
            await asyncio.wait_for((stop or asyncio.Event()).wait(), _BEAT)
        except TimeoutError:
            continue
        raise _Stopped


async def _live(host: Host, database: Database) -> None:
    """Give signs of life, whatever else takes long."""
    log = get_logger("minoots.capture")
    while True:
        try:
            await _claim(host, database)
        except (Failure, sa.exc.SQLAlchemyError, OSError) as error:
            if isinstance(error, Failure) and error.kind is FailureKind.CONFLICT:
                raise  # what two hosts of one name keep, they take from each other
            log.warning("capture.unheard", reason=str(error))
        with suppress(TimeoutError):
            await asyncio.wait_for(host.health.changed.wait(), _BEAT)
        host.health.changed.clear()


async def _see_to(host: Host, database: Database, client: Client) -> None:
    """Tell again what nobody sees to."""
    log = get_logger("minoots.capture")
    while True:
        try:
            await _catch_up(host, database, client)
        except (Failure, sa.exc.SQLAlchemyError, OSError) as error:
            log.warning("capture.behind", reason=str(error))
        await asyncio.sleep(_BEAT)


async def _look_at_workspaces(host: Host) -> None:
    """Find out what is wrong with workspaces. A disk that does not answer holds up nothing but this."""
    while True:
        found = tuple(await apart(host.registry.problems))
        if found != host.health.workspaces:
            host.health.workspaces = found
            host.health.changed.set()
        await asyncio.sleep(_BEAT)


async def _claim(host: Host, database: Database) -> None:
    """Say that this host captures, and how it stands.

    Raises:
        Failure: conflict, when another has its name.
    """
    status = asdict(host.watcher.stats)
    status["workspaces"] = list(host.health.workspaces)
    status["problem"] = status["problem"] or next(iter(host.health.workspaces), None)
    async with database.write() as connection:
        await tenants.ensure(connection, host.tenant, utc_now())
        await capture_hosts.seen(
            connection,
            host.tenant,
            host.name,
            status,
            version=__version__,
            started_at=host.started_at,
            now=utc_now(),
            identity=host.identity,
        )


async def _catch_up(host: Host, database: Database, client: Client) -> None:
    waiting = await apart(host.obeying.waiting)
    async with database.read() as connection:
        # With those that wait for their next time, so that they hide no others.
        unwritten = recordings.writer_names(
            await recordings.behind(connection, host.tenant, host.name, _BATCH + host.unwritten.known)
        )
        behind = await conversations.behind(
            connection,
            host.tenant,
            host.name,
            _BATCH + min(host.unobeyed.known, _MOST),
            but=waiting,
        )
    for key in host.unwritten.due(unwritten, time.monotonic())[:_BATCH]:
        if not await has_work(client, "writer", host.tenant, key):
            start = WriterStart(tenant=host.tenant, host=host.name, path_key=key, name=unwritten[key])
            await tell_writer(client, start)
        host.unwritten.told(key, time.monotonic())
    for conversation_id in host.unobeyed.due((one for one, _ in behind), time.monotonic())[:_BATCH]:
        if await has_work(client, "capture", host.tenant, conversation_id):
            host.unobeyed.told(conversation_id, time.monotonic())
            continue
        # A change in one file of a conversation has everything in it obeyed that was not. Of all of them, as
        # some may have gone; that it was told is remembered where that is done.
        await host.watcher.again([path for one, path in behind if one == conversation_id])
        if not host.unobeyed.left_alone(conversation_id, time.monotonic()):
            # All its files are gone, or Temporal is away: it must not stand before others at every look.
            host.unobeyed.told(conversation_id, time.monotonic())


async def run_watch(
    settings: Settings,
    telemetry: Telemetry,
    stop: asyncio.Event,
    ready: Callable[[], None] = lambda: None,
    troubled: Callable[[str], None] = lambda _: None,
) -> None:
    """Watch and serve until ``stop``; call ``ready`` when capturing has begun.

    While nothing can be written it waits, and tells ``troubled`` why.

    Raises:
        Failure: unavailable, when Temporal or the records are away; invalid, for settings that cannot work;
            conflict, when another process captures as this host.
    """

    async def held() -> str:
        return identities.enter_context(identity_of(settings.data_dir))

    with ExitStack() as identities, suppress(_Stopped):
        identity = await _until_it_works(held, stop, troubled)
        await _run_as(identity, settings, telemetry, stop, ready, troubled)


async def _run_as(
    identity: str,
    settings: Settings,
    telemetry: Telemetry,
    stop: asyncio.Event,
    ready: Callable[[], None],
    troubled: Callable[[str], None],
) -> None:
    log = get_logger("minoots.capture")
    async with (
        temporal_client(settings, telemetry) as client,
        Database(
            settings.records.url,
            pool_size=settings.records.pool_size,
            busy_timeout_ms=settings.records.busy_timeout_ms,
        ) as database,
    ):
        await revision.wait_until_current(database)
        await ensure_search_attributes(client)
        host = host_of(settings, database, client, identity)
        # Before its queue is served: what is on it may be another's of this name.
        await _until_it_works(lambda: _claim(host, database), stop, troubled)
        async with serving(host, client, settings):
            watching = asyncio.create_task(watch(host, database, client))
            stopping = asyncio.create_task(stop.wait())
            listed = asyncio.create_task(host.watcher.listed.wait())
            await asyncio.wait([watching, stopping, listed], return_when=asyncio.FIRST_COMPLETED)
            if listed.done():
                log.info("capture.started", host=host.name, folders=[str(one.root) for one in host.sources])
                ready()
            await asyncio.wait([watching, stopping], return_when=asyncio.FIRST_COMPLETED)
            log.info("capture.stopping")
            for task in (stopping, listed, watching):
                task.cancel()
            try:
                with suppress(asyncio.CancelledError):
                    await watching
            except* Failure as failures:
                raise failures.exceptions[0] from None
        try:
            async with database.write() as connection:
                await capture_hosts.left(connection, host.tenant, host.name, identity)
        except sa.exc.SQLAlchemyError as error:
            log.warning("capture.name_kept", reason=str(error))  # for some seconds, then it is free
