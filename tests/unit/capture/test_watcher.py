"""Watching transcripts in real folders: what is new is told once, whatever happens to files and telling."""

from __future__ import annotations

import asyncio
import io
import json
import os
import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
import zstandard
from misbehaving import bound_by_permissions
from pydantic import ValidationError
from watchfiles import Change

from minoots.errors import Failure, FailureKind
from minoots_activities.capture.readers import Reader
from minoots_activities.capture.readers.claude import Claude
from minoots_activities.capture.readers.codex import Codex
from minoots_activities.capture.readers.gemini import Gemini
from minoots_activities.capture.readers.goose import Goose
from minoots_activities.capture.readers.qwen import Qwen
from minoots_activities.capture.roots import ReadRoots
from minoots_activities.capture.sources import About, Source, owner_of, sources_of
from minoots_activities.capture.watcher import Watcher
from minoots_platform.records.conversations import Whose
from minoots_platform.settings import CaptureSettings, TelemetrySettings
from minoots_platform.telemetry import start_logs
from minoots_workflows.capture.contracts import CaptureStart, FileChanged

TENANT = "acme"
LINE = b'{"type": "user", "message": {"content": "hello"}}\n'
DEADLINE = 90.0
"""Seconds that no test needs, however busy the machine is, unless something is broken."""
SELDOM = 300.0


def session(number: int) -> str:
    return f"{number:08}-0000-4000-8000-000000000000"


class Ground:
    """Folders of transcripts, and everything that was told of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "transcripts"
        self.outside = folder / "outside"
        for made in (self.folder, self.outside):
            made.mkdir()
        self.told: list[FileChanged] = []
        self.starts: list[CaptureStart] = []
        self.away = False
        """Whether telling fails."""

    async def tell(self, start: CaptureStart, file: FileChanged) -> None:
        await asyncio.sleep(0)
        if self.away:
            raise Failure(FailureKind.UNAVAILABLE, "Temporal is away")
        assert file.model_dump_json(), "it is told as JSON"
        self.starts.append(start)
        self.told.append(file)

    def watcher(self, *sources: Source, rescan: float = 0.1) -> Watcher:
        sources = sources or (Source(Claude(), self.folder),)
        return Watcher(
            sources,
            ReadRoots(source.root for source in sources),
            self.tell,
            tenant=TENANT,
            host="here",
            settle=0.01,
            rescan=rescan,
            idle=60,
        )

    def path(self, number: int = 1, folder: str = "project") -> Path:
        path = self.folder / folder / f"{session(number)}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def write(self, number: int = 1, data: bytes = LINE, folder: str = "project") -> Path:
        """Append to a transcript."""
        path = self.path(number, folder)
        with path.open("ab") as file:
            file.write(data)
        return path

    def of(self, path: Path) -> list[bool]:
        """How a file was told of, each time: whether as fresh."""
        return [file.fresh for file in self.told if file.path == str(path)]


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path.resolve())


@pytest.fixture
def logs() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """What was logged so far."""
    stream = io.StringIO()
    with start_logs(TelemetrySettings(), "watch", stream=stream):
        yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    structlog.reset_defaults()


Logs = Callable[[], list[dict[str, Any]]]


def known_of(*paths: Path) -> dict[str, tuple[int, int]]:
    """How files are now, as the records keep it."""
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in paths}


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.01)


async def looked(watcher: Watcher, times: int = 2) -> None:
    """Wait until it has looked at everything as often again."""
    before = watcher.stats.looks
    await until(lambda: watcher.stats.looks >= before + times)


@asynccontextmanager
async def running(
    watcher: Watcher, known: Mapping[str, tuple[int, int]] | None = None
) -> AsyncIterator[None]:
    """Watch, from when everything that was there has been looked at. What it dies of is raised at once."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(watcher.run(known or {}))
        await until(lambda: watcher.stats.looks)
        yield
        assert not task.done(), "it has stopped watching"
        task.cancel()


async def test_what_was_there_before_is_told_and_is_not_fresh(ground: Ground) -> None:
    path = ground.write()
    async with running(ground.watcher()):
        pass
    assert ground.of(path) == [False]


async def test_what_comes_while_it_is_watched_is_told_once_and_is_fresh(ground: Ground) -> None:
    watcher = ground.watcher()
    async with running(watcher):
        path = ground.write()
        await until(lambda: ground.of(path))
        await looked(watcher)
    assert ground.of(path) == [True]
    assert (watcher.stats.files, watcher.stats.told, watcher.stats.failures) == (1, 1, 0)


async def test_what_was_copied_here_with_its_times_is_not_fresh(ground: Ground, tmp_path: Path) -> None:
    aside = tmp_path / "aside"
    aside.write_bytes(ground.write().read_bytes())
    os.utime(aside, ns=(1, 1))
    async with running(ground.watcher()):
        path = aside.rename(ground.folder / f"{session(2)}.jsonl")
        await until(lambda: ground.of(path))
    assert ground.of(path) == [False]


async def test_telling_says_whose_file_it_is(ground: Ground) -> None:
    path = ground.write()
    await ground.watcher().look()
    conversation_id = Whose("claude", session(1)).id_for(TENANT)
    assert ground.told == [
        FileChanged(
            tenant=TENANT, host="here", provider="claude", path=str(path), conversation_id=conversation_id
        )
    ]
    assert ground.starts == [
        CaptureStart(
            tenant=TENANT,
            conversation_id=conversation_id,
            host="here",
            name=f"claude {session(1)}",
            idle_seconds=60,
        )
    ]


async def test_what_is_appended_is_told_again_and_is_not_fresh_any_more(ground: Ground) -> None:
    async with running(ground.watcher()):
        path = ground.write()
        for times in (1, 2, 3):
            async with asyncio.timeout(DEADLINE):
                while len(ground.of(path)) < times:
                    await asyncio.sleep(0.01)
            ground.write()
        await until(lambda: len(ground.of(path)) >= 4)
    assert ground.of(path)[:2] == [True, False]
    assert not any(ground.of(path)[1:])


async def test_what_is_appended_raises_an_event(ground: Ground) -> None:
    watcher = ground.watcher(rescan=SELDOM)
    path = ground.write()
    async with running(watcher):
        async with asyncio.timeout(DEADLINE):
            # More than once: following begins a little after the first look.
            while len(ground.of(path)) < 2:
                ground.write()
                await asyncio.sleep(0.1)
        new = ground.write(2)
        await until(lambda: ground.of(new))
    assert watcher.stats.looks == 1
    assert ground.of(new) == [True]


async def test_a_look_finds_what_raised_no_event(ground: Ground) -> None:
    watcher = ground.watcher()
    path = ground.write()
    await watcher.look()
    ground.write()
    await watcher.look()
    await watcher.look()
    assert ground.of(path) == [False, False]


class Waiting(Source):
    """A folder on a disk that takes its time, or on a machine that is busy with other things."""

    def files(
        self,
        begin: str | None = None,
        entered: dict[str, int] | None = None,
        closed: dict[str, str] | None = None,
    ) -> Iterator[tuple[str, About]]:
        time.sleep(1)
        yield from super().files(begin, entered, closed)


async def test_a_look_that_had_to_wait_does_not_put_off_the_next_ones(ground: Ground) -> None:
    watcher = ground.watcher(Waiting(Claude(), ground.folder))
    await watcher.look()
    # It was 50 s for a second of waiting: what raised no event was told that much later.
    assert watcher.stats.waited >= 1
    assert watcher.stats.looked_in < 0.5


async def test_what_an_event_and_a_look_find_at_once_is_told_once(ground: Ground) -> None:
    watcher = ground.watcher()
    path = ground.write()
    await asyncio.gather(watcher.look(), watcher.changed([str(path)]), watcher.look())
    assert ground.of(path) == [False]


async def test_what_has_not_changed_is_not_told_again(ground: Ground) -> None:
    watcher = ground.watcher()
    path = ground.write()
    async with running(watcher):
        await looked(watcher, 3)
        await watcher.changed([str(path)])
    assert ground.of(path) == [False]


async def test_what_was_read_is_not_told_again_after_a_restart(ground: Ground) -> None:
    old, grown, new = (ground.write(number) for number in (1, 2, 3))
    known = known_of(old, grown)
    ground.write(2)
    async with running(ground.watcher(), known):
        later = ground.write(4)
        await until(lambda: ground.of(later))
        ground.write(1)
        await until(lambda: ground.of(old))
    assert {path: ground.of(path)[0] for path in (old, grown, new, later)} == {
        old: False,
        grown: False,
        new: False,
        later: True,
    }
    assert len(ground.of(grown)) == 1


async def test_a_file_that_was_known_and_is_gone_is_no_error(ground: Ground) -> None:
    path = ground.write()
    known = known_of(path)
    path.unlink()
    async with running(ground.watcher(), known):
        ground.write()
        await until(lambda: ground.of(path))
    assert ground.of(path) == [False], "it has been there before"


async def test_a_file_that_is_written_anew_with_the_same_length_is_told(ground: Ground) -> None:
    watcher = ground.watcher()
    path = ground.write()
    await watcher.look()
    os.utime(path, ns=(1, 1))
    await watcher.look()
    assert len(ground.of(path)) == 2


async def test_an_empty_file_is_told_when_something_is_in_it(ground: Ground) -> None:
    watcher = ground.watcher()
    async with running(watcher):
        path = ground.write(data=b"")
        await looked(watcher)
        assert (ground.told, watcher.stats.files) == ([], 1)
        ground.write()
        await until(lambda: ground.of(path))
    assert ground.of(path) == [True]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("journal.jsonl", LINE),
        ("notes.jsonl", b'{"a": 1}\n'),
        ("notes.jsonl", b"no record\n\xff\x00"),
        ("notes.txt", LINE),
        (f"{session(1)}.jsonl.bak", LINE),
        (f"{session(1)}.json", LINE),
        (f".{session(1)}.jsonl.tmp", LINE),
    ],
)
async def test_what_is_no_transcript_is_not_told(ground: Ground, name: str, data: bytes) -> None:
    watcher = ground.watcher()
    async with running(watcher):
        (ground.folder / name).write_bytes(data)
        await looked(watcher)
        await watcher.changed([str(ground.folder / name)])
        await watcher.again([str(ground.folder / name)])
    assert ground.told == []
    assert watcher.stats.problem is None


async def test_a_file_is_told_when_it_becomes_clear_whose_it_is(ground: Ground) -> None:
    watcher = ground.watcher(Source(Qwen(), ground.folder))
    path = ground.write(data=b'{"sessionId": "a')
    await watcher.look()
    assert ground.told == []
    ground.write(data=b'bc"}\n')
    await watcher.look()
    assert [file.conversation_id for file in ground.told] == [Whose("qwen", "abc").id_for(TENANT)]
    assert ground.of(path) == [False]


async def test_a_fresh_file_whose_beginning_was_seen_half_written_is_fresh(ground: Ground) -> None:
    watcher = ground.watcher(Source(Qwen(), ground.folder))
    async with running(watcher):
        path = ground.write(data=b'{"sessionId": "a')
        await looked(watcher)
        ground.write(data=b'bc"}\n')
        await until(lambda: ground.of(path))
    assert ground.of(path) == [True]


async def test_what_could_not_be_told_is_told_at_the_next_look(ground: Ground) -> None:
    watcher = ground.watcher()
    path = ground.write()
    ground.away = True
    async with running(watcher):
        await looked(watcher)
        assert ground.told == []
        assert watcher.stats.failures >= 2
        assert watcher.stats.problem == "Temporal is away"
        ground.away = False
        await until(lambda: ground.of(path))
        await looked(watcher)
    assert ground.of(path) == [False]
    assert watcher.stats.told == 1


async def test_a_fresh_file_that_could_not_be_told_is_fresh(ground: Ground) -> None:
    watcher = ground.watcher()
    async with running(watcher):
        ground.away = True
        path = ground.write()
        await until(lambda: watcher.stats.failures)
        ground.away = False
        await until(lambda: ground.of(path))
    assert ground.of(path) == [True]


async def test_a_problem_that_is_over_is_not_told_any_more(ground: Ground) -> None:
    watcher = ground.watcher()
    path = ground.write()
    ground.away = True
    await watcher.look()
    ground.away = False
    await watcher.look()
    assert ground.of(path) == [False]
    assert watcher.stats.problem is None


async def test_what_is_appended_while_it_is_told_is_told_again(ground: Ground) -> None:
    watcher = ground.watcher()
    path = ground.write()
    tell = ground.tell

    async def telling(start: CaptureStart, file: FileChanged) -> None:
        if not ground.told:
            ground.write()
        await tell(start, file)

    watcher._announcer._tell = telling
    await watcher.look()
    await watcher.look()
    await watcher.look()
    assert len(ground.of(path)) == 2


async def test_each_of_many_files_is_told_once_and_few_at_a_time(ground: Ground) -> None:
    watcher = ground.watcher()
    now = most = 0
    tell = ground.tell

    async def telling(start: CaptureStart, file: FileChanged) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await tell(start, file)
        now -= 1

    watcher._announcer._tell = telling
    paths = [ground.write(number, folder=f"project-{number % 7}") for number in range(200)]
    async with running(watcher):
        await looked(watcher)
    assert Counter(file.path for file in ground.told) == Counter(map(str, paths))
    assert 1 < most <= 20
    assert watcher.stats.files == 200


async def test_a_folder_that_comes_into_being_later_is_followed(ground: Ground) -> None:
    later = ground.folder / "later"
    watcher = ground.watcher(Source(Claude(), later))
    async with running(watcher):
        await looked(watcher)
        path = ground.write(folder="later/project")
        await until(lambda: ground.of(path))
    assert ground.of(path) == [True]


async def test_a_folder_that_goes_away_and_comes_back_is_followed(ground: Ground) -> None:
    watcher = ground.watcher()
    path = ground.write()
    async with running(watcher):
        await until(lambda: ground.of(path))
        ground.folder.rename(ground.folder.with_name("away"))
        await looked(watcher, 3)
        assert watcher.stats.files == 0
        ground.folder.with_name("away").rename(ground.folder)
        await looked(watcher)
        ground.write()
        await until(lambda: len(ground.of(path)) >= 2)
        new = ground.write(2)
        await until(lambda: ground.of(new))
    assert ground.of(path) == [False, False]
    assert ground.of(new) == [True]


async def test_new_folders_are_followed_without_a_gap(ground: Ground) -> None:
    watcher = ground.watcher(rescan=SELDOM)
    async with running(watcher):
        # Whatever comes right after its folder, before anybody can follow that.
        for number in range(40):
            ground.write(number, folder=f"project-{number % 7}/deep/er-{number}")
        await until(lambda: len({file.path for file in ground.told}) == 40)
        (ground.folder / "project-1").rename(ground.folder / "moved")
        await until(lambda: len({file.path for file in ground.told}) == 46)
        shutil.rmtree(ground.folder / "project-0")
        again = ground.write(0, folder="project-0/deep/er-0")
        await until(lambda: len(ground.of(again)) == 2)
        ground.write(0, folder="project-0/deep/er-0")
        await until(lambda: len(ground.of(again)) == 3)
    assert watcher.stats.looks == 1


async def test_a_root_that_was_made_anew_is_followed_from_the_next_look_on(ground: Ground) -> None:
    watcher = ground.watcher(rescan=SELDOM)
    ground.write()
    async with running(watcher):
        shutil.rmtree(ground.folder)
        await watcher.look()
        ground.folder.mkdir()
        await watcher.look()
        new = ground.write(2)
        await until(lambda: ground.of(new))
        ground.write(2)
        await until(lambda: len(ground.of(new)) == 2)
    assert watcher.stats.looks == 3


async def test_late_news_that_a_folder_has_gone_ends_nothing_where_another_has_taken_its_place(
    ground: Ground,
) -> None:
    watcher = ground.watcher(rescan=SELDOM)
    ground.write()
    await watcher.look()
    await watcher._happened([(Change.deleted, str(ground.folder))])
    assert watcher._following.knows(str(ground.folder))
    shutil.rmtree(ground.folder)
    await watcher._happened([(Change.deleted, str(ground.folder))])
    assert not watcher._following.knows(str(ground.folder))


async def test_many_folders_are_followed(ground: Ground) -> None:
    watcher = ground.watcher(rescan=SELDOM)
    paths = [ground.write(number, folder=f"project-{number}") for number in range(300)]
    async with running(watcher):
        for number in range(0, 300, 30):
            ground.write(number, folder=f"project-{number}")
        await until(lambda: all(len(ground.of(path)) == 2 for path in paths[::30]))
        new = ground.write(300, folder="one-more")
        await until(lambda: ground.of(new))
    assert (watcher.stats.looks, watcher.stats.problem) == (1, None)


async def test_what_is_behind_a_link_is_not_followed(ground: Ground) -> None:
    (ground.folder / "out").symlink_to(ground.outside)
    ground.write()
    watcher = ground.watcher(rescan=SELDOM)
    async with running(watcher):
        (ground.folder / "later").symlink_to(ground.outside)
        (ground.outside / f"{session(7)}.jsonl").write_bytes(LINE)
        new = ground.write(2)
        await until(lambda: ground.of(new))
        assert not any(watcher._following.knows(str(ground.folder / name)) for name in ("out", "later"))
    assert {file.path for file in ground.told} == {str(ground.path()), str(new)}
    assert watcher.stats.denied == 0


async def test_one_folder_that_is_missing_is_in_no_other_s_way(ground: Ground) -> None:
    watcher = ground.watcher(
        Source(Claude(), ground.folder / "missing"), Source(Claude(), ground.folder / "project")
    )
    async with running(watcher):
        path = ground.write()
        await until(lambda: ground.of(path))
    assert ground.of(path) == [True]


async def test_files_that_are_removed_are_no_error(ground: Ground) -> None:
    watcher = ground.watcher()
    paths = [ground.write(number) for number in range(5)]
    async with running(watcher):
        for path in paths:
            path.unlink()
        await watcher.changed(map(str, paths))
        await watcher.again(map(str, paths))
        await looked(watcher)
    assert (watcher.stats.files, watcher.stats.problem) == (0, None)
    assert len(ground.told) == 5


async def test_a_file_that_moves_is_told_where_it_is(ground: Ground) -> None:
    watcher = ground.watcher()
    path = ground.write()
    async with running(watcher):
        moved = ground.path(folder="archive")
        path.rename(moved)
        await until(lambda: ground.of(moved))
    one, other = ground.told
    assert one.conversation_id == other.conversation_id


async def test_a_file_that_is_replaced_by_another_conversation_is_told_as_that(ground: Ground) -> None:
    watcher = ground.watcher(Source(Qwen(), ground.folder))
    path = ground.write(data=b'{"sessionId": "one"}\n')
    await watcher.look()
    aside = ground.folder / "aside"
    aside.write_bytes(b'{"sessionId": "other"}\n')
    aside.replace(path)
    await watcher.look()
    assert [file.conversation_id for file in ground.told] == [
        Whose("qwen", name).id_for(TENANT) for name in ("one", "other")
    ]


@pytest.mark.parametrize("behind", [b"", b'{"type": "user"}\n' * 9])
async def test_a_file_that_is_written_over_with_another_conversation_is_told_as_that(
    ground: Ground, behind: bytes
) -> None:
    watcher = ground.watcher(Source(Qwen(), ground.folder))
    path = ground.write(data=b'{"sessionId": "the first"}\n')
    await watcher.look()
    with path.open("r+b") as file:  # the same file, as `cp` leaves it
        file.truncate()
        file.write(b'{"sessionId": "other"}\n' + behind)
    await watcher.look()
    # Whoever finds that commands in it were not looked for has it told again.
    await watcher.again([str(path)])
    assert ground.told[-1].conversation_id == Whose("qwen", "other").id_for(TENANT)


async def test_a_look_while_files_are_told_again_finds_out_anew_whose_they_are(ground: Ground) -> None:
    watcher = ground.watcher(Source(Qwen(), ground.folder))
    first = ground.write(1, b'{"sessionId": "the first"}\n')
    second = ground.write(2, b'{"sessionId": "the second"}\n')
    await watcher.look()
    with second.open("r+b") as file:  # the same file, and no shorter
        file.truncate()
        file.write(b'{"sessionId": "other"}\n' + b'{"type": "user"}\n' * 9)
    tell, looks = ground.tell, 0

    async def telling(start: CaptureStart, file: FileChanged) -> None:
        nonlocal looks
        await tell(start, file)
        looks += 1
        if looks == 1:
            await watcher.look()

    watcher._announcer._tell = telling
    ground.told.clear()
    await watcher.again([str(first), str(second)])
    told = {file.conversation_id for file in ground.told if file.path == str(second)}
    assert told == {Whose("qwen", "other").id_for(TENANT)}


async def test_files_are_told_again_when_that_is_asked_for(ground: Ground) -> None:
    watcher = ground.watcher()
    path = ground.write()
    async with running(watcher):
        await watcher.again([str(path), str(ground.folder / "gone.jsonl"), "/etc/passwd"])
        await looked(watcher)
    assert ground.of(path) == [False, False]


async def test_what_belongs_to_nobody_is_left_alone(ground: Ground) -> None:
    watcher = ground.watcher()
    strange = ground.outside / f"{session(1)}.jsonl"
    strange.write_bytes(LINE)
    await watcher.changed([str(strange), "", "relative.jsonl", str(ground.folder)])
    assert (ground.told, watcher.stats.denied) == ([], 0)


async def test_a_link_that_leads_outside_is_refused_and_audited(ground: Ground, logs: Logs) -> None:
    strange = ground.outside / "strange.jsonl"
    strange.write_bytes(LINE)
    link = ground.path()
    link.symlink_to(strange)
    watcher = ground.watcher()
    async with running(watcher):
        await looked(watcher)
        other = ground.write(2)
        await until(lambda: ground.of(other))
    assert {file.path for file in ground.told} == {str(other)}
    assert watcher.stats.denied == 1
    [line] = [line for line in logs() if line["event"] == "transcript.read"]
    assert (line["decision"], line["actor"], line["tenant"], line["path"]) == (
        "deny",
        "host/here",
        TENANT,
        str(link),
    )
    assert "not below a folder that may be read" in line["reason"]


async def test_a_link_that_stays_inside_is_told(ground: Ground) -> None:
    path = ground.write()
    link = ground.path(2)
    link.symlink_to(path)
    await ground.watcher().look()
    assert (ground.of(path), ground.of(link)) == ([False], [False])


async def test_linked_folders_are_not_entered(ground: Ground) -> None:
    (ground.outside / f"{session(1)}.jsonl").write_bytes(LINE)
    (ground.folder / "out").symlink_to(ground.outside)
    (ground.folder / "round").symlink_to(ground.folder)
    (ground.folder / "gone.jsonl").symlink_to("nowhere.jsonl")
    (ground.folder / "self.jsonl").symlink_to("self.jsonl")
    watcher = ground.watcher()
    await watcher.look()
    assert (ground.told, watcher.stats.files, watcher.stats.problem) == ([], 0, None)


async def test_a_pipe_is_not_waited_for(ground: Ground) -> None:
    os.mkfifo(ground.path())
    watcher = ground.watcher()
    async with asyncio.timeout(DEADLINE):
        await watcher.look()
    assert ground.told == []


async def test_a_link_to_a_folder_keeps_nothing_open(ground: Ground) -> None:
    ground.path().symlink_to(ground.path().parent)
    watcher = ground.watcher()
    await watcher.look()
    before = set(os.listdir("/proc/self/fd"))
    for _ in range(3):
        await watcher.look()
    left = [int(handle) for handle in set(os.listdir("/proc/self/fd")) - before]
    for handle in left:
        os.close(handle)
    assert (ground.told, left) == ([], [])


@pytest.mark.parametrize("name", [b"\xff", b"caf\xe9"])
async def test_a_name_that_is_no_utf_8_is_in_no_other_s_way(ground: Ground, name: bytes) -> None:
    ground.write(1, folder=os.fsdecode(name))
    path = ground.write(2)
    await ground.watcher().look()
    assert ground.of(path) == [False]


async def test_an_event_of_a_name_that_is_no_utf_8_is_in_no_other_s_way(ground: Ground) -> None:
    watcher = ground.watcher()
    async with running(watcher):
        # More than one: following begins a little after the first look. Nothing is in them to be told.
        for number in range(20):
            (ground.folder / os.fsdecode(b"\xff%d" % number)).touch()
            await looked(watcher, 1)
        path = ground.write()
        await until(lambda: ground.of(path))
    assert ground.of(path) == [True]


def warnings(logs: Logs) -> list[dict[str, Any]]:
    return [line for line in logs() if line["event"] == "transcript.unreadable"]


async def test_a_damaged_file_is_warned_of_once_and_tried_again(ground: Ground, logs: Logs) -> None:
    watcher = ground.watcher(Source(Codex(), ground.folder))
    head = b'{"type": "session_meta", "payload": {"id": "%s"}}\n' % session(1).encode()
    whole = zstandard.compress(head * 100)
    path = ground.path().with_suffix(".jsonl.zst")
    path.write_bytes(whole[:-5])
    async with running(watcher):
        await looked(watcher, 3)
        assert ground.told == []
        assert str(path) in str(watcher.stats.problem)
        assert [line["path"] for line in warnings(logs)] == [str(path)]
        path.write_bytes(whole)
        await until(lambda: ground.of(path))
        await looked(watcher)
    assert len(ground.of(path)) == 1
    assert len(warnings(logs)) == 1


async def test_an_unreadable_file_is_warned_of_once_and_tried_again(ground: Ground, logs: Logs) -> None:
    watcher = ground.watcher()
    path = ground.write()
    path.chmod(0)
    with bound_by_permissions():
        await unreadable(ground, watcher, path, logs)


async def unreadable(ground: Ground, watcher: Watcher, path: Path, logs: Logs) -> None:
    async with running(watcher):
        await looked(watcher, 3)
        assert ground.told == []
        assert "Permission denied" in str(watcher.stats.problem)
        assert [line["path"] for line in warnings(logs)] == [str(path)]
        path.chmod(0o600)
        await until(lambda: ground.of(path))
        await looked(watcher)
        assert len(ground.of(path)) == 1
        path.chmod(0)
        ground.path(2).write_bytes(LINE)
        ground.path(2).chmod(0)
        await until(lambda: len(warnings(logs)) >= 2)
    assert [line["path"] for line in warnings(logs)] == [str(path), str(ground.path(2))]


async def test_a_file_that_cannot_be_read_is_tried_again_at_each_look(
    ground: Ground, logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher = ground.watcher()
    path = ground.write()
    with monkeypatch.context() as broken:

        def refuse(*_: object) -> None:
            raise PermissionError(13, "Permission denied", str(path))

        broken.setattr(ReadRoots, "open", refuse)
        for _ in range(3):
            await watcher.look()
    assert ground.told == []
    assert len(warnings(logs)) == 1
    for _ in range(2):
        await watcher.look()
    assert ground.of(path) == [False]


async def test_a_folder_that_may_not_be_entered_is_in_no_other_s_way(ground: Ground) -> None:
    closed = ground.write(folder="closed").parent
    closed.chmod(0)
    try:
        watcher = ground.watcher()
        with bound_by_permissions():
            async with running(watcher):
                path = ground.write(2)
                await until(lambda: ground.of(path))
                assert watcher.stats.troubles == (f"{closed}: Permission denied",)
                assert {file.path for file in ground.told} == {str(path)}
                closed.chmod(0o700)
                await until(lambda: len(ground.told) == 2)
                await looked(watcher)
                assert (watcher.stats.troubles, watcher.stats.problem) == ((), None)
    finally:
        closed.chmod(0o700)


async def test_events_that_are_lost_leave_the_looking(
    ground: Ground, logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*_: object, **__: object) -> None:
        raise OSError("inotify watch limit reached")

    monkeypatch.setattr("minoots_activities.capture.following.RustNotify", none_left)
    watcher = ground.watcher()
    async with running(watcher):
        await until(lambda: watcher.stats.problem)
        path = ground.write()
        await until(lambda: ground.of(path))
    assert watcher.stats.problem == "no events of files: inotify watch limit reached"
    assert any(line["event"] == "capture.events_lost" for line in logs())


async def test_each_program_s_files_are_told_as_its_own(ground: Ground) -> None:
    sources = [Source(Claude(), ground.folder / "claude"), Source(Gemini(), ground.folder / "gemini")]
    whole = ground.folder / "gemini" / "chats" / "session.json"
    whole.parent.mkdir(parents=True)
    whole.write_text(json.dumps({"sessionId": "abc", "messages": []}))
    ground.write(folder="claude")
    (ground.folder / "claude" / "other.json").write_bytes(whole.read_bytes())
    await ground.watcher(*sources).look()
    assert {(file.provider, file.conversation_id) for file in ground.told} == {
        ("claude", Whose("claude", session(1)).id_for(TENANT)),
        ("gemini", Whose("gemini", "abc").id_for(TENANT)),
    }


def roots(found: list[Source], provider: str) -> list[Path]:
    return [source.root for source in found if source.reader.provider == provider]


def test_without_settings_the_usual_folders_are_watched(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(ground.folder))
    found = sources_of(CaptureSettings(), {})
    assert {source.reader.provider for source in found} == {
        "claude",
        "codex",
        "copilot",
        "cursor",
        "gemini",
        "goose",
        "iflow",
        "opencode",
        "pi",
        "qwen",
    }
    assert roots(found, "claude") == [ground.folder / ".claude" / "projects"]
    assert roots(found, "codex") == [
        ground.folder / ".codex" / "sessions",
        ground.folder / ".codex" / "archived_sessions",
    ]


def test_a_program_may_say_where_its_folder_is(ground: Ground) -> None:
    found = sources_of(CaptureSettings(providers=("claude",)), {"CLAUDE_CONFIG_DIR": str(ground.outside)})
    assert [source.root for source in found] == [ground.outside / "projects"]


def test_folders_of_the_settings_take_the_place_of_the_usual(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(ground.folder))
    (ground.folder / "link").symlink_to(ground.outside)
    settings = CaptureSettings(
        providers=("claude", "qwen"),
        roots=("claude=~/a", f"claude={ground.folder}/link", f"claude={ground.folder}/with=sign"),
    )
    found = sources_of(settings, {"CLAUDE_CONFIG_DIR": "/elsewhere"})
    assert roots(found, "claude") == [
        ground.folder / "a",
        ground.outside,
        ground.folder / "with=sign",
    ]
    assert roots(found, "qwen") == [ground.folder / ".qwen" / name for name in ("projects", "tmp")]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"providers": ("cluade",)}, "did you mean claude?"),
        ({"roots": ("cluade=/x",)}, "did you mean claude?"),
        ({"roots": ("/x",)}, "such as claude=/srv/claude"),
        ({"roots": ("=/x",)}, "programs whose transcripts can be read"),
        ({"roots": ("claude=",)}, "an absolute folder"),
        ({"roots": ("claude=x",)}, "an absolute folder"),
        ({"roots": ("claude",)}, "an absolute folder"),
        ({"write_roots": ("notes",)}, "absolute folders"),
        ({"redaction_disabled": ("github-patt",)}, "did you mean github-pat?"),
        ({"redaction_allowed": ("/([/",)}, "unterminated character set"),
        ({"notify": ("ada",)}, "person:ada"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as failed:
        CaptureSettings(**settings)
    assert told in str(failed.value)


@pytest.mark.parametrize(
    ("reader", "name", "held"),
    [
        (Claude(), "a.jsonl", True),
        (Claude(), "a/b/..c.jsonl", True),
        (Claude(), "a.json", False),
        (Claude(), "a.jsonl.zst", False),
        (Codex(), "a.jsonl.zst", True),
        (Gemini(), "a.json", True),
        (Claude(), "", False),
        (Claude(), "../transcripts.jsonl/a.txt", False),
    ],
)
def test_names_tell_what_may_be_a_transcript(ground: Ground, reader: Reader, name: str, held: bool) -> None:
    source = Source(reader, ground.folder)
    assert source.holds(f"{ground.folder}/{name}") is held
    assert not source.holds(f"{ground.folder}bc/{name}")
    assert not source.holds(name)


def test_every_file_is_found_however_deep(ground: Ground) -> None:
    paths = {ground.write(number, folder="/".join(["a", ".b", "..c"][:number])) for number in range(4)}
    ground.write(9).with_suffix(".jsonl").rename(ground.folder / "no.txt")
    found = dict(Source(Claude(), ground.folder).files())
    assert set(found) == {str(path) for path in paths}
    assert {about.size for about in found.values()} == {len(LINE)}
    assert list(Source(Claude(), ground.folder / "missing").files()) == []


def test_a_path_belongs_to_the_first_that_holds_it(ground: Ground) -> None:
    claude, qwen = Source(Claude(), ground.folder), Source(Qwen(), ground.folder / "qwen")
    assert owner_of([qwen, claude], f"{ground.folder}/qwen/a.jsonl") is qwen
    assert owner_of([qwen, claude], f"{ground.folder}/a.jsonl") is claude
    assert owner_of([qwen, claude], "/a.jsonl") is None
    assert owner_of([], f"{ground.folder}/a.jsonl") is None


async def test_a_session_of_a_database_is_told_when_it_changes_also_in_the_log_beside(ground: Ground) -> None:
    path = ground.folder / "sessions.db"
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode=WAL")
    database.executescript(
        "CREATE TABLE sessions (id TEXT, updated_at TEXT);"
        "CREATE TABLE messages (id INTEGER PRIMARY KEY, session_id TEXT, content_json TEXT);"
        "INSERT INTO sessions VALUES ('s1', 'a'), ('s2', 'a');"
    )
    watcher = ground.watcher(Source(Goose(), ground.folder))
    async with running(watcher):
        await until(lambda: len(ground.told) == 2)
        assert [(file.session_id, file.fresh) for file in ground.told] == [("s1", False), ("s2", False)]
        database.execute("INSERT INTO messages (session_id, content_json) VALUES ('s2', '[]')")
        database.commit()
        await until(lambda: len(ground.told) == 3)
    assert (ground.told[-1].session_id, ground.told[-1].path) == ("s2", str(path))
    database.close()
