"""The tier ``bubblewrap``: namespaces, no network, a read-only system, a filter of system calls.

What a program sees: the system's programs and libraries, read-only; a working folder, /tmp and /dev/shm in
memory, each of a size; its own processes; no network but a loopback of its own. Run by root, the sandbox
belongs to the user ``nobody``: what gets out of it finds nothing that it may write.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from minoots.contracts.sandboxes import Limits, Tier
from minoots.errors import Failure

from . import seccomp
from .cgroups import Group, Place
from .channel import Channel
from .guest_code import compiled
from .guested import GuestedSandbox
from .names import name_of
from .port import PATH, NeverStarted, Sandbox, Sandboxes, never_started
from .ready import Ready
from .starting import Started, environment, held, interpreter, limits_of, start

WORK: Final = "/work"
_NOBODY: Final = 65534
_MEGABYTE: Final = 1024 * 1024
_SYSTEM: Final = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_ETC: Final = (
    "alternatives",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "protocols",
    "services",
    "ssl/certs",
    "ssl/openssl.cnf",
)
_PASSWD: Final = b"sandbox:x:1000:1000::/work:/bin/sh\n"
_GROUP: Final = b"sandbox:x:1000:\n"
_HOSTS: Final = b"127.0.0.1 localhost sandbox\n::1 localhost\n"
_NAMESPACES: Final = ("user", "ipc", "pid", "net", "uts")


class Bubblewrap(Sandboxes):
    """Sandboxes of namespaces, by the program ``bwrap``.

    Args:
        place: where control groups can be made, if anywhere.
        read_only: folders of the machine beside the system's that programs may read.
        ready: how many are begun before they are asked for, once one was.
    """

    tier = Tier.BUBBLEWRAP

    def __init__(self, place: Place | None = None, read_only: Sequence[Path] = (), ready: int = 0) -> None:
        self._place = place
        self._read_only = tuple(read_only)
        self._as = _NOBODY if os.geteuid() == 0 else None
        self._works: bool | None = None
        self._found: _Found | None = None
        self._trying = asyncio.Lock()
        # Of a size of its files: that cannot be changed any more; everything else is its owner's to say.
        self._ready: Ready[int, _Begun] = Ready(
            ready, lambda disk_mb: self._begin("ready", disk_mb), _end, lambda begun: begun.lives
        )

    async def missing(self) -> tuple[str, ...]:
        """Return what this machine lacks, found out by starting one."""
        if self._works:
            return ()
        lacks = self._lacks()
        if lacks:
            return lacks
        async with self._trying:
            if self._works:
                return ()
            try:
                sandbox = await self._own(await self._begin("probe", Limits().disk_mb), Limits())
            except Failure as failure:
                return (f"bwrap cannot make namespaces here ({failure.detail})",)
            await sandbox.destroy()
            self._works = True
        return ()

    async def create(self, name: str, limits: Limits, image: str | None = None) -> Sandbox:
        """Return a new sandbox."""
        lacks = () if self._works else self._lacks()
        if lacks:
            raise never_started(
                f"this machine cannot give the tier {self.tier}: {'; '.join(lacks)}",
                "Install what is missing, or choose another tier.",
            )
        ready = await self._ready.take(limits.disk_mb)
        sandbox = await self._own(ready or await self._begin(name, limits.disk_mb), limits)
        if ready is not None and ready.group is not None:
            sandbox.known_as = ready.group.name
        return sandbox

    async def aclose(self) -> None:
        """End what was begun and not asked for."""
        await self._ready.aclose()

    def _lacks(self) -> tuple[str, ...]:
        lacks = []
        if shutil.which("bwrap") is None:
            lacks.append("the program bwrap is not installed (apt install bubblewrap)")
        if self._as is not None and shutil.which("setpriv") is None:
            lacks.append("the program setpriv is not installed (apt install util-linux)")
        if not seccomp.supported():
            lacks.append(f"there is no table of system calls for {os.uname().machine}")
        if interpreter(self._as) is None:
            lacks.append("there is no Python that the user nobody may read (apt install python3)")
        return tuple(lacks)

    async def _find(self) -> _Found:
        """Return what every start needs of this machine, looked for once."""
        if self._found is None:
            bwrap, python = shutil.which("bwrap"), interpreter(self._as)
            assert bwrap is not None  # noqa: S101 - `_lacks` has found them
            assert python is not None  # noqa: S101
            first = [bwrap]
            if self._as is not None:
                # By a program: whoever changes the user between fork and exec has the kernel copy the tables
                # of all our memory first, which takes longer than everything else.
                own = f"--reuid={self._as}", f"--regid={self._as}", "--clear-groups"
                first = [shutil.which("setpriv") or "setpriv", *own, bwrap]
            code = await asyncio.to_thread(compiled, python)
            self._found = _Found(tuple(first), python, code, seccomp.program(), tuple(self._folders(python)))
        return self._found

    async def _begin(self, name: str, disk_mb: int) -> _Begun:
        """Begin a sandbox that is nobody's yet: none of its limits holds but the size of its files."""
        found = await self._find()
        group = await self._group(name)
        try:
            started = await self._start(found, disk_mb, group)
        except BaseException:
            if group is not None:
                await group.remove()
            raise
        return _Begun(started.process, started.channel, group, found.path)

    async def _own(self, begun: _Begun, limits: Limits) -> Sandbox:
        """Return a sandbox that has begun as its owner's."""
        each, held_by = limits_of(limits, begun.group, processes=True)
        sandbox = GuestedSandbox(
            self.tier,
            limits,
            {**held_by, "disk": "tmpfs"},
            each,
            begun.process,
            begun.channel,
            begun.group,
            environment(WORK, begun.path),
        )
        if begun.group is not None:
            try:
                begun.group.hold(limits)
            except OSError as error:
                await sandbox.destroy()
                raise _no_group(error) from error
        return sandbox

    async def _group(self, name: str) -> Group | None:
        if self._place is None:
            return None
        group = Group(self._place, name_of(name))
        try:
            group.make()
        except OSError as error:
            await group.remove()
            raise _no_group(error) from error
        return group

    async def _start(self, found: _Found, disk_mb: int, group: Group | None) -> Started:
        told, telling = os.pipe()
        fds = {
            "guest": held(found.code),
            "passwd": held(_PASSWD),
            "group": held(_GROUP),
            "hosts": held(_HOSTS),
            "seccomp": held(found.filter),
            "info": telling,
        }

        async def confine(pid: int) -> bool:
            """Put what bwrap has made into its group; ``False`` when it made nothing.

            That takes the kernel as long as our guest takes to begin, which it does meanwhile: nothing of a
            stranger's runs before both are done.
            """
            os.close(fds.pop("info"))
            inside = await _child_of(told)
            if group is None:
                return True
            if inside is None:
                # What nobody knows of is not limited by the group: it must not go on.
                return False
            adding = asyncio.ensure_future(asyncio.to_thread(group.add, inside))
            try:
                await asyncio.shield(adding)
            except asyncio.CancelledError:
                # Until it is through the process is left alone: its number must not be another's.
                await asyncio.wait({adding})
                raise
            except OSError as error:
                raise never_started(
                    f"the sandbox cannot be put into its control group: {error.strerror}",
                    "Give the worker control groups that it may write, or none at all.",
                ) from error
            return True

        try:
            return await start(
                lambda sock: _command(found, disk_mb, fds, sock),
                tuple(fds.values()),
                beforehand=confine,
                env={"PATH": PATH},
            )
        finally:
            for fd in (*fds.values(), told):
                os.close(fd)

    def _folders(self, python: Path) -> list[Path]:
        """Return what is bound beside the system: what settings name, and the guest's Python."""
        folders = list(self._read_only)
        for one in (python.parent.parent, python.resolve().parent.parent):
            if not one.is_relative_to("/usr"):
                folders.append(one)
        return list(dict.fromkeys(folders))


@dataclass(frozen=True)
class _Found:
    """What every start needs of this machine.

    Attributes:
        begin: the program that makes namespaces, with what gives up our rights before.
        python: what runs the guest.
        code: the guest, compiled for it.
        filter: the filter of system calls.
        folders: what is bound beside the system.
    """

    begin: tuple[str, ...]
    python: Path
    code: bytes
    filter: bytes
    folders: tuple[Path, ...]

    @property
    def path(self) -> str:
        """Where programs are looked for."""
        return ":".join([*(str(one / "bin") for one in self.folders if (one / "bin").is_dir()), PATH])


@dataclass(frozen=True)
class _Begun:
    """A sandbox with a guest that has answered, and nothing of anybody's in it.

    Attributes:
        path: where its programs are looked for.
    """

    process: asyncio.subprocess.Process
    channel: Channel
    group: Group | None
    path: str

    @property
    def lives(self) -> bool:
        """Whether its guest is still there."""
        return self.channel.lives


async def _end(begun: _Begun) -> None:
    """End one that nobody takes."""
    await GuestedSandbox(
        Tier.BUBBLEWRAP, Limits(), {}, {}, begun.process, begun.channel, begun.group, {}
    ).destroy()


def _no_group(error: OSError) -> NeverStarted:
    return never_started(
        f"the control group of the sandbox cannot be made: {error.strerror}",
        "Give the worker control groups that it may write, or none at all.",
    )


def _command(found: _Found, disk_mb: int, fds: dict[str, int], sock: int) -> list[str]:
    size = str(disk_mb * _MEGABYTE)
    command = [*found.begin, *(f"--unshare-{one}" for one in _NAMESPACES)]
    command += ["--unshare-cgroup-try", "--die-with-parent", "--as-pid-1", "--new-session"]
    command += ["--hostname", "sandbox", "--uid", "1000", "--gid", "1000", "--clearenv"]
    command += ["--ro-bind", "/usr", "/usr", *_system()]
    for name in _ETC:
        command += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    for name in ("passwd", "group", "hosts"):
        command += ["--perms", "0644", "--ro-bind-data", str(fds[name]), f"/etc/{name}"]
    for folder in found.folders:
        command += ["--ro-bind", str(folder), str(folder)]
    command += ["--proc", "/proc", "--dev", "/dev"]
    for mode, memory in (("1777", "/tmp"), ("1777", "/dev/shm"), ("0755", WORK)):  # noqa: S108
        command += ["--perms", mode, "--size", size, "--tmpfs", memory]
    command += ["--perms", "0444", "--ro-bind-data", str(fds["guest"]), "/run/guest.pyc"]
    command += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", WORK]
    command += ["--seccomp", str(fds["seccomp"]), "--info-fd", str(fds["info"])]
    return [*command, str(found.python), "-I", "-S", "-B", "/run/guest.pyc", str(sock), WORK, "first"]


def _system() -> list[str]:
    """Return how the folders beside /usr come in: as links where they are links, read-only otherwise."""
    found = []
    for folder in _SYSTEM:
        if os.path.islink(folder):
            found += ["--symlink", os.readlink(folder), folder]
        elif Path(folder).is_dir():
            found += ["--ro-bind", folder, folder]
    return found


async def _child_of(told: int) -> int | None:
    """Return the number of the process that bwrap tells of; ``None`` when it ends without a word."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    file = os.fdopen(os.dup(told), "rb", buffering=0)
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), file)
    try:
        with suppress(ValueError, KeyError, TypeError):
            async with asyncio.timeout(10):
                return int(json.loads(await reader.read())["child-pid"])
    except TimeoutError:
        return None
    finally:
        transport.close()
    return None
