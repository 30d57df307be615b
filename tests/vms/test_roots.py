"""Root file systems for machines: what was added by its hash is what programs see, and only to read."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from minoots.contracts.sandboxes import Limits
from minoots_activities.sandboxes.carrying import INSIDE, carry, command
from minoots_activities.sandboxes.port import Ended, NeverStarted, Program, Sandbox
from minoots_activities.sandboxes.starting import interpreter
from minoots_activities.vms.faults import ImageFault
from minoots_activities.vms.machines import Machines
from minoots_activities.vms.roots import Roots
from minoots_activities.vms.starting import Qemu
from minoots_activities.vms.states import States

pytestmark = pytest.mark.timeout(300)

DEADLINE = 200.0
LOOK = """
import os, sys
print(sys.version_info.major, os.getuid(), os.getcwd(), sorted(os.listdir("/")), open("/etc/motto").read())
open("/work/made", "w").write("by python"); open("/tmp/x", "w").write("x")
for path in ("/etc/motto", "/new"):
    try:
        open(path, "w")
    except OSError as error:
        print(type(error).__name__, os.strerror(error.errno))
"""


def packed(path: Path, *files: tuple[str, bytes], folder: Path | None = None, at: str = "") -> Path:
    """A tar archive."""
    with tarfile.open(path, "w") as archive:
        for name, data in files:
            about = tarfile.TarInfo(name)
            about.size = len(data)
            archive.addfile(about, io.BytesIO(data))
        if folder is not None:
            archive.add(folder, at)
    return path


async def said_by(machine: Sandbox, *program: str) -> str:
    heard = bytearray()

    async def hear(stream: str, data: bytes) -> None:
        heard.extend(data)

    ran = await machine.exec(Program(program, seconds=DEADLINE), hear)
    assert (ran.ended, ran.exit_code) == (Ended.EXITED, 0), heard
    return heard.decode()


async def test_a_job_in_a_machine_has_python_from_its_root_and_the_next_starts_from_a_state(
    image: Path, tmp_path: Path
) -> None:
    python = interpreter(None)
    if python is None:
        pytest.skip("there is no Python of the system to put into a root")
    carried = tmp_path / "carried"
    carried.mkdir()
    carry(python, carried)
    archive = packed(tmp_path / "root.tar", ("etc/motto", b"mine"), folder=carried, at=INSIDE.lstrip("/"))
    roots = Roots(tmp_path / "roots")
    root = roots.add("tests/python", archive)
    assert roots.all() == [root]
    machines = Machines(Qemu(image, states=States(tmp_path / "states", 2)), roots)
    for start in ("booted", "restored"):
        machine = await machines.create("root", Limits(memory_mb=128, disk_mb=16), root.reference)
        try:
            assert machine.held_by["start"] == start
            said = await said_by(machine, *command("")[:4], "-I", "-S", "-c", LOOK)
            folders = sorted([".minoots", "dev", "etc", "lost+found", "proc", "sys", "tmp", "work"])
            assert said.splitlines()[0] == f"3 1000 /work {folders} mine"
            # Whose the files are, or that nobody may write there: which is told first is the kernel's affair.
            assert len(said.splitlines()) == 3
            assert "made" not in said
            assert await machine.get("made", 100) == b"by python"
        finally:
            await machine.destroy()


def test_a_root_is_what_was_added_and_nothing_else(tmp_path: Path) -> None:
    roots = Roots(tmp_path / "roots")
    root = roots.add("mine", packed(tmp_path / "a.tar", ("bin/x", b"x")))
    found = roots.find(root.reference)
    assert found.stat().st_mode & 0o777 == 0o444
    digest = root.reference.rpartition(":")[2]
    for reference in (
        f"mine@sha256:{'0' * 64}",
        f"../{digest}",
        f"mine@sha256:../{digest}",
        digest,
    ):
        with pytest.raises(NeverStarted, match="no root for machines"):
            roots.find(reference)
    # Torn, as by a disk that was full.
    found.chmod(0o644)
    with found.open("ab") as file:
        file.truncate(4096)
    with pytest.raises(NeverStarted, match="no root for machines"):
        roots.find(root.reference)


@pytest.mark.parametrize("name", ["Mine", "", "a b", "../a"])
def test_a_name_that_jobs_could_not_say_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ImageFault, match="is no name"):
        Roots(tmp_path / "roots").add(name, packed(tmp_path / "a.tar", ("bin/x", b"x")))


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ([("../../outside", b"x")], "cannot be unpacked"),
        ([("proc", b"no folder")], "/proc in the archive is no folder"),
    ],
)
def test_an_archive_that_reaches_out_or_stands_in_the_way_is_refused(
    tmp_path: Path, files: list[tuple[str, bytes]], says: str
) -> None:
    roots = Roots(tmp_path / "deep" / "roots")
    with pytest.raises(ImageFault, match=says):
        roots.add("mine", packed(tmp_path / "a.tar", *files))
    assert roots.all() == []
    assert not list(tmp_path.rglob("outside"))


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"no archive at all")
    with pytest.raises(ImageFault, match="cannot be unpacked"):
        Roots(tmp_path / "roots").add("mine", tmp_path / "a.tar")


async def test_without_roots_an_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NeverStarted, match="no root for machines"):
        await Machines(Qemu(tmp_path)).create("x", Limits(), f"mine@sha256:{'0' * 64}")


def test_links_in_an_archive_reach_nothing_of_this_machine(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the host's")
    secret.chmod(0o600)
    roots = Roots(tmp_path / "roots")

    def links(*named: tuple[str, bytes, str]) -> Path:
        with tarfile.open(tmp_path / "root.tar", "w") as archive:
            for name, kind, target in named:
                about = tarfile.TarInfo(name)
                about.type, about.linkname, about.mode = kind, target, 0o777
                archive.addfile(about)
        return tmp_path / "root.tar"

    for outside in ("../" * 20 + str(secret).lstrip("/"), "a/../" + "../" * 20 + str(secret).lstrip("/")):
        with pytest.raises(ImageFault, match="outside"):
            roots.add("a", links(("a", tarfile.LNKTYPE, outside)))
    with pytest.raises(ImageFault):
        # From the root of the archive on: there it is not.
        roots.add("a", links(("a", tarfile.LNKTYPE, str(secret))))
    # A link may lead anywhere, for the machine has its own files there; so may the second name of one.
    roots.add("a", links(("a", tarfile.SYMTYPE, str(secret)), ("b", tarfile.LNKTYPE, "a")))
    about = secret.stat()
    assert (about.st_mode & 0o777, about.st_nlink) == (0o600, 1)
