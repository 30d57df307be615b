"""Which state of a machine fits, and how many are kept."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from pathlib import Path

from qemu.qmp import QMPClient

from minoots.contracts.sandboxes import Limits
from minoots_activities.vms.images import About, Image
from minoots_activities.vms.qemu import Host, kind_of
from minoots_activities.vms.states import Kind, States


def kind(binary: Path, *options: str, image: str = "i", accelerator: str = "tcg", memory: int = 64) -> Kind:
    return Kind.of([str(binary), *options], image, accelerator, memory, 1)


def test_a_state_fits_where_all_is_the_same(tmp_path: Path) -> None:
    binary = tmp_path / "qemu"
    binary.write_text("a")
    first = kind(binary, "-m", "64")
    assert first == kind(binary, "-m", "64")
    assert first.shape == "tcg-64m-1c-1d"
    others = [
        kind(binary, "-m", "65"),
        kind(binary, "-m", "64", image="j"),
        kind(binary, "-m", "64", accelerator="kvm"),
    ]
    binary.write_text("another one")
    others.append(kind(binary, "-m", "64"))
    assert len({first.fingerprint, *(one.fingerprint for one in others)}) == 5


def test_a_state_fits_however_the_folder_of_the_image_is_named(tmp_path: Path) -> None:
    binary = tmp_path / "qemu"
    binary.touch()
    host, about = Host(str(binary), str(binary)), About(1, "x86_64", {}, {"kernel": "a" * 64})
    # A command that somebody runs beside a worker names it from its own working folder.
    first, again = (
        kind_of(host, Image(folder, about), "tcg", Limits())
        for folder in (Path(".minoots/vm-image"), tmp_path / "vm-image")
    )
    assert first == again
    another = Image(tmp_path, About(1, "x86_64", {}, {"kernel": "b" * 64}))
    assert kind_of(host, another, "tcg", Limits()) != first


def test_a_state_of_the_same_shape_that_does_not_fit_is_removed(tmp_path: Path) -> None:
    states = States(tmp_path, 2)
    mine, old, other = (
        Kind("tcg-64m-1c-1d", "a" * 32),
        Kind("tcg-64m-1c-1d", "b" * 32),
        Kind("tcg-65m-1c-1d", "c" * 32),
    )
    assert states.find(mine) is None
    for one in (mine, old, other):
        (tmp_path / one.file).touch()
    assert states.find(mine) == tmp_path / mine.file
    assert sorted(os.listdir(tmp_path)) == sorted([mine.file, other.file])
    states.drop(mine, "no reason")
    assert states.find(mine) is None


def test_those_that_were_used_last_are_kept_and_nothing_else_is_touched(tmp_path: Path) -> None:
    kinds = [Kind(f"tcg-{number}m-1c-1d", "a" * 32) for number in range(4)]
    for age, one in enumerate(kinds):
        path = tmp_path / one.file
        path.touch()
        os.utime(path, (1000 - age, 1000 - age))
    (tmp_path / "notes").touch()
    states = States(tmp_path, 2)
    states.find(kinds[3])
    states.prune()
    assert sorted(os.listdir(tmp_path)) == sorted([kinds[0].file, kinds[3].file, "notes"])


def test_what_a_killed_worker_left_half_written_is_removed(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    kept = Kind("tcg-64m-1c-1d", "a" * 32).file
    mine, theirs = f"{kept}.{os.getpid()}", f"{kept}.{gone.pid}"
    for name in (kept, mine, theirs):
        (tmp_path / name).touch()
    States(tmp_path, 2).prune()
    assert sorted(os.listdir(tmp_path)) == sorted([kept, mine])


def test_none_is_looked_for_where_none_is_to_be_kept(tmp_path: Path) -> None:
    one = Kind("tcg-64m-1c-1d", "a" * 32)
    (tmp_path / one.file).touch()
    assert States(tmp_path, 0).find(one) is None
    assert States(tmp_path / "none", 1).find(one) is None


async def test_a_machine_of_which_qemu_keeps_no_state_goes_on_without(tmp_path: Path) -> None:
    asked: list[str] = []
    greeting = {"QMP": {"version": {"qemu": {"major": 8, "minor": 0, "micro": 0}}, "capabilities": []}}

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(json.dumps(greeting).encode() + b"\n")
        said_to_it = ""
        while more := await reader.read(65536):
            said_to_it = f"{said_to_it}{more.decode()}".lstrip()
            try:
                command, end = json.JSONDecoder().raw_decode(said_to_it)
            except ValueError:
                continue
            said_to_it = said_to_it[end:]
            asked.append(command["execute"])
            said: dict[str, object] = {"return": {"status": "running"}}
            if command["execute"] == "migrate":
                said = {"error": {"class": "GenericError", "desc": "State blocked by a device"}}
            known = {"id": command["id"]} if "id" in command else {}
            writer.write(json.dumps(said | known).encode() + b"\n")
        writer.close()

    server = await asyncio.start_unix_server(answer, tmp_path / "qmp")
    client = QMPClient("machine")
    try:
        async with asyncio.timeout(60):
            await client.connect(str(tmp_path / "qmp"))
            await States(tmp_path / "states", 1).keep(Kind("kvm-64m-1c-1d", "a" * 32), client)
        assert asked[-2:] == ["query-status", "cont"]
        assert os.listdir(tmp_path / "states") == []
    finally:
        await client.disconnect()
        server.close()
