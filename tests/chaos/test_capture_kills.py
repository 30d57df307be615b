"""kill -9 of watcher, workers and Temporal while 20 transcripts grow: kept and recorded as if nothing was."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from capturing import Chat
from dev_stacks import DevStack

from minoots.contracts.conversations import ConversationEvent
from minoots_activities.capture.flags import WorkspaceFlags
from minoots_activities.capture.ingest import Ingest
from minoots_activities.capture.obeying import Obeying
from minoots_activities.capture.readers.claude import Claude
from minoots_activities.capture.registry import Registry
from minoots_activities.capture.roots import ReadRoots
from minoots_activities.capture.workspaces import FILE
from minoots_activities.capture.writing import Writing
from minoots_platform.clock import utc_now
from minoots_platform.records import Database, conversations, tenants
from minoots_platform.records.conversations import Whose
from minoots_platform.records.migrate import migrate
from minoots_platform.redaction import Policy, Redactor

pytestmark = [pytest.mark.chaos, pytest.mark.e2e, pytest.mark.timeout(240)]

FILES = 20
LINES = 1600
RATE = 200
PARTS = ("watch", "worker-io", "worker-core", "temporal")
TENANT, HOST = "dev", "chaos"
CONFIG = 'id = "{id}"\ntimezone = "UTC"\nformat = "{format}"\n'

Start = Callable[..., DevStack]


class Scene:
    """Transcripts that grow, and the workspaces that they are recorded into."""

    def __init__(self, folder: Path, dice: random.Random) -> None:
        self.folder = folder
        self.dice = dice
        self.transcripts = folder / "transcripts"
        self.chats = [self._chat(number) for number in range(FILES)]

    def _chat(self, number: int) -> Chat:
        session = f"{number:08d}-0000-4000-8000-{self.dice.randrange(16**12):012x}"
        return Chat(self.transcripts / f"p{number % 3}" / f"{session}.jsonl", session)

    def workspaces(self, folder: Path) -> Registry:
        """Make the workspaces below a folder."""
        registry = Registry(folder / "registry.json")
        kinds = (("notes", "markdown", "wsp_0123456789abcdef"), ("lines", "jsonl", "wsp_0123456789abcdf0"))
        for alias, kind, name in kinds:
            root = folder / alias
            root.mkdir(parents=True)
            (root / FILE).write_text(CONFIG.format(id=name, format=kind))
            registry.add(alias, root)
        return registry

    def settings(self, folder: Path) -> Path:
        """The settings of the stack."""
        file = folder / "minoots.toml"
        file.write_text(
            "schema_version = 2\n[capture]\nenabled = true\n"
            f'tenant = "{TENANT}"\nhost = "{HOST}"\nproviders = ["claude"]\nidle = 3\n'
            f'roots = ["claude={self.transcripts}"]\nregistry = "{folder / "registry.json"}"\n'
        )
        return file

    async def grow(self) -> None:
        """Let the transcripts grow, 200 lines a second in all."""
        for number, chat in enumerate(self.chats):
            chat.say(f"please\n::record-notes chat-{number}.md\n::record-lines chat-{number}.jsonl\ngo on")
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number in range(LINES):
            chat = self.dice.choice(self.chats)
            text = f"line {number} " + self.dice.choice(
                ("ü🦉", "```\nopen", "- a\n  ```\n  b", "x" * 3000, "<!--")
            )
            (chat.say if self.dice.random() < 0.4 else chat.answer)(text)
            await asyncio.sleep(max(0.0, began + number / RATE - loop.time()))
        for chat in self.chats:
            chat.say("::stop\nnothing of this")
            chat.answer("nor of this")


async def at_once(scene: Scene, folder: Path, now: datetime) -> tuple[dict[str, Any], dict[str, bytes]]:
    """What is kept and recorded when each transcript is read at once, and nobody disturbs.

    ``now`` is when the transcripts began: they are seen as early as that. They are looked through when they
    have grown, for nothing is obeyed that was typed in the future.
    """
    registry = scene.workspaces(folder)
    async with Database(f"sqlite:///{folder / 'records.db'}") as database:
        await migrate(database)
        async with database.write() as connection:
            await tenants.ensure(connection, TENANT, now)
        whose: dict[str, Any] = {"tenant": TENANT, "host": HOST}
        ingest = Ingest(database, ReadRoots([scene.transcripts]), Redactor(Policy()), lambda: now, **whose)
        obeying = Obeying(database, registry, (), WorkspaceFlags(), utc_now, **whose)
        writing = Writing(database, lambda: now, **whose)
        for chat in scene.chats:
            await ingest.file(Claude(), chat.path)
            done = await obeying.conversation(_id_of(chat), fresh=True)
            for key in {row.path_key for row in done.pending}:
                await writing.file(key)
        return await kept(database, scene), files_in(folder)


async def kept(database: Database, scene: Scene) -> dict[str, list[ConversationEvent]]:
    """The events of every conversation."""
    found = {}
    async with database.read() as connection:
        for chat in scene.chats:
            events = await conversations.events_of(connection, TENANT, _id_of(chat), limit=100_000)
            found[chat.session] = list(events)
    return found


def files_in(folder: Path) -> dict[str, bytes]:
    """Every recording below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for alias in ("notes", "lines")
        for path in sorted((folder / alias).rglob("chat-*"))
        if path.is_file()
    }


def _id_of(chat: Chat) -> str:
    return Whose("claude", chat.session).id_for(TENANT)


@pytest.mark.parametrize("seed", range(20))
async def test_what_is_kept_and_recorded_is_what_reading_at_once_gives(
    dev_stack: Start, tmp_path: Path, seed: int
) -> None:
    dice = random.Random(seed)
    live, quiet = tmp_path / "live", tmp_path / "quiet"
    live.mkdir()
    quiet.mkdir()
    scene = Scene(live, dice)
    scene.workspaces(live)
    stack = await asyncio.to_thread(dev_stack, "--config", str(scene.settings(live)))
    began = utc_now()
    growing = asyncio.create_task(scene.grow())
    # None three times: the supervisor takes a part that keeps dying for broken, and stops.
    for part in dice.sample(PARTS * 2, 6):
        await asyncio.sleep(dice.uniform(0.3, 1.8))
        try:
            os.kill(stack.pid(part), signal.SIGKILL)
        except (AssertionError, ProcessLookupError):
            continue  # it is down already
    await growing
    expected, recorded = await at_once(scene, quiet, began)
    assert len(recorded) == 2 * FILES
    assert all(b"of this" not in content for content in recorded.values()), "each was stopped"
    async with (
        Database(f"sqlite:///{stack.folder / 'data' / 'minoots.db'}") as database,
        asyncio.timeout(120),
    ):
        while await kept(database, scene) != expected or files_in(live) != recorded:
            await asyncio.sleep(0.5)
