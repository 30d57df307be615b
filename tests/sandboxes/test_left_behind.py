"""What a killed worker has left of its sandboxes is removed by the next one, and nobody else's."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from shut_in import of_the_dead

from minoots.contracts.sandboxes import Limits
from minoots_activities.sandboxes import cgroups
from minoots_activities.sandboxes.cgroups import Group, Place
from minoots_activities.sandboxes.names import PREFIX, is_left_behind, name_of
from minoots_activities.sandboxes.process import remove_folders_left_behind


def test_names_tell_whether_their_maker_lives() -> None:
    assert not is_left_behind(name_of("mine"))
    assert is_left_behind(of_the_dead("theirs"))
    # The number may be another's by now.
    assert is_left_behind(f"{PREFIX}{os.getpid()}-1-old")
    assert not is_left_behind("somebody-elses")


def test_folders_of_the_dead_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left, mine, other = (tmp_path / name for name in (of_the_dead("x"), name_of("x"), "notes"))
    for folder in (left, mine, other):
        folder.mkdir()
        (folder / "file").write_text("x")
    assert remove_folders_left_behind() == 1
    assert sorted(tmp_path.iterdir()) == sorted([mine, other])


async def test_groups_of_the_dead_are_removed_with_what_runs_in_them() -> None:
    place = cgroups.place()
    if place is None:
        pytest.skip("control groups cannot be written here")
    left, mine = Group(place, of_the_dead("x")), Group(place, name_of("x"))
    for group in (left, mine):
        group.make(Limits())
    sleeping = subprocess.Popen(["sleep", "600"])
    try:
        left.add(sleeping.pid)
        # Those of other tests that were killed may be there, too.
        cgroups.remove_left_behind(place)
        assert sleeping.wait(30) < 0
        assert await left.remove()
        assert all(folder.exists() for folder in mine._folders.values())
    finally:
        sleeping.kill()
        assert await mine.remove()


async def test_groups_of_the_dead_under_another_parent_are_removed_when_nothing_runs_in_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = cgroups.place()
    if place is None:
        pytest.skip("control groups cannot be written here")
    elsewhere = {name: folder / f"service-{os.getpid()}" for name, folder in place.folders.items()}
    for folder in dict.fromkeys(elsewhere.values()):
        folder.mkdir()
    other = Place(elsewhere, place.version)
    # Elsewhere others may be at the same.
    assert all(
        any(folder.is_relative_to(root) for root in cgroups._roots(place)) for folder in elsewhere.values()
    )
    monkeypatch.setattr(cgroups, "_roots", lambda found: list(dict.fromkeys(elsewhere.values())))
    empty, busy = Group(other, of_the_dead("empty")), Group(other, of_the_dead("busy"))
    mine, strangers = Group(other, name_of("x")), Group(other, "somebody-elses")
    groups = [empty, busy, mine, strangers]
    for group in groups:
        group.make()
    sleeping = subprocess.Popen(["sleep", "600"])
    try:
        busy.add(sleeping.pid)
        cgroups.remove_left_behind(place)
        assert all(folder.exists() for folder in empty._folders.values()), "it may be about to be used"
        cgroups.remove_left_behind(place, empty_for=0.0)
        assert not any(folder.exists() for folder in empty._folders.values())
        for group in (busy, mine, strangers):
            assert all(folder.exists() for folder in group._folders.values())
        assert sleeping.poll() is None
    finally:
        sleeping.kill()
        sleeping.wait()
        for group in groups:
            assert await group.remove()
        for folder in dict.fromkeys(elsewhere.values()):
            folder.rmdir()
