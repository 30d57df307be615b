"""Places that do not answer cost patience once, and hold up nobody else."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from misbehaving import Patient, that_hangs

from minoots.errors import Failure, FailureKind
from minoots_activities.capture import registry as registry_module
from minoots_activities.capture import workspaces
from minoots_activities.capture.answering import Answering, apart
from minoots_activities.capture.registry import Registry
from minoots_activities.capture.workspaces import FILE

DEADLINE = 60.0


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Path]:
    """A pipe: whoever opens it waits until somebody writes."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    yield path
    # Whoever still waits is let go of.
    os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))


def opening(path: Path) -> Callable[[], str]:
    def look() -> str:
        with path.open() as file:
            return file.read()

    return look


def test_an_answer_comes_back_and_so_does_an_error(tmp_path: Path) -> None:
    answering = Answering(DEADLINE)
    assert answering.ask("here", lambda: 42) == 42
    with pytest.raises(FileNotFoundError):
        answering.ask("here", (tmp_path / "nothing").stat)
    assert answering.ask("here", lambda: 43) == 43


def test_a_place_that_does_not_answer_is_asked_again_only_when_it_has(pipe: Path) -> None:
    answering = Answering(0.01)
    asked: list[threading.Thread] = []
    begun = threading.Event()

    def look() -> str:
        asked.append(threading.current_thread())
        begun.set()
        return opening(pipe)()

    for _ in range(3):
        with pytest.raises(TimeoutError, match="does not answer") as failed:
            answering.ask("there", look)
        assert failed.value.errno == errno.ETIMEDOUT
    assert begun.wait(DEADLINE)
    [held] = asked  # one thread, not one for each who asks
    answering._patience = DEADLINE  # from here on there is an answer, however busy this machine is
    assert answering.ask("elsewhere", lambda: 1) == 1
    pipe.open("w").close()
    held.join(DEADLINE)
    assert answering.ask("there", lambda: "back") == "back"


async def test_looks_that_are_held_do_not_hold_up_others(pipe: Path) -> None:
    held = [asyncio.create_task(apart(opening(pipe))) for _ in range(40)]
    async with asyncio.timeout(DEADLINE):
        assert await apart(lambda: 42) == 42
        with pytest.raises(FileNotFoundError):
            await apart((pipe.parent / "nothing").stat)
    assert not any(one.done() for one in held)
    for one in held:
        one.cancel()
    await asyncio.gather(*held, return_exceptions=True)
    alive = [thread for thread in threading.enumerate() if thread.name == "capture-look"]
    while any(thread.is_alive() for thread in alive):
        os.close(os.open(pipe, os.O_RDWR | os.O_NONBLOCK))
        for thread in alive:
            thread.join(0.01)


def made(folder: Path, number: int) -> Path:
    folder.mkdir()
    (folder / FILE).write_text(f'id = "wsp_{number:016}"\n')
    return folder


def test_a_workspace_whose_disk_does_not_answer_is_told_and_holds_up_no_other(tmp_path: Path) -> None:
    answering = Patient()
    registry = Registry(tmp_path / "registry.json", answering)
    there = made(tmp_path / "there", 1)
    registry.add("there", there)
    registry.add("notes", made(tmp_path / "notes", 2))
    with that_hangs(there) as mount:
        answering.silent = there
        [problem] = registry.problems()
        assert problem.startswith("nothing is recorded for there: ")
        assert "does not answer" in problem
        with pytest.raises(Failure, match="does not answer") as failed:
            registry.get("there")
        assert failed.value.kind is FailureKind.UNAVAILABLE
        assert registry.get("notes").root == tmp_path / "notes"
        assert [one.alias for one in registry.all()] == ["notes"]
        assert registry.answering() == {"notes": tmp_path / "notes"}
        mount.let_go()
        answering.silent = None
    assert registry.problems() == []
    assert registry.get("there").root == there


def test_files_of_workspaces_are_read_when_they_are_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    text_of = workspaces._text_of

    def counted(file: Path) -> str:
        read.append(file.parent.name)
        return text_of(file)

    monkeypatch.setattr(workspaces, "_text_of", counted)
    registry = Registry(tmp_path / "registry.json")
    many = 12
    for number in range(many):
        folder = made(tmp_path / f"w{number}", number)
        registry.add(f"w{number}", folder)
        os.utime(folder / FILE, ns=(0, 0))
    # What was written just now is not trusted to stay as it is.
    monkeypatch.setattr(registry_module, "_TICK_NS", 0)
    read.clear()
    for _ in range(3):
        assert len(registry.all()) == many
        assert registry.problems() == []
        assert registry.get("w1").alias == "w1"
    assert sorted(read) == sorted(f"w{number}" for number in range(many)), "each once, not each for each"
    read.clear()
    (tmp_path / "w1" / FILE).write_text('id = "wsp_0000000000000001"\nauto_record = true\n')
    assert registry.get("w1").config.auto_record
    assert read == ["w1"]
