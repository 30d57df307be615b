"""States of machines that have come up and are nobody's yet: others go on from them.

Owns the files and what tells one from another. A state fits one kind of machine on one host: it is used where
all of that is the same, and removed, with a warning, where it is not. There is nothing of a job in it: it is
kept before a machine is told what is its own (`frames.begin_frame`).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import platform
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from qemu.qmp import ExecuteError, QMPClient, QMPError

from minoots_platform.telemetry import get_logger

_VERSION: Final = 1
_NAME: Final = re.compile(r"^[a-z]+-[0-9]+m-[0-9]+c-[0-9]d-[0-9a-f]{32}\.state$")
_UNBOUNDED: Final = 2**60
_GOES_ON: Final = 15.0
"""Seconds in which a machine whose state was kept runs again."""
_OF_PROCESSOR: Final = ("vendor_id", "cpu family", "model", "stepping", "microcode", "flags")


@dataclass(frozen=True)
class Kind:
    """Which machines a state fits.

    Attributes:
        shape: what a job may ask for: accelerator, memory, processors, disks.
        fingerprint: of all that has to be the same besides.
    """

    shape: str
    fingerprint: str

    @classmethod
    def of(
        cls,
        command: Sequence[str],
        image: str,
        accelerator: str,
        memory_mb: int,
        processors: int,
        *,
        disks: int = 1,
    ) -> Kind:
        """Return the kind of a machine.

        Args:
            command: what starts it, without what differs from one machine to the next.
            image: the digest of what it comes up from.
            accelerator: by which it runs.
            memory_mb: all that it has.
            processors: likewise.
            disks: how many.
        """
        binary = Path(command[0]).resolve()
        about = binary.stat()
        host: list[Any] = [str(binary), about.st_size, about.st_mtime_ns]
        if accelerator != "tcg":
            # Its processor is the host's, and so is part of the state.
            host += [platform.release(), _processor()]
        told = json.dumps([_VERSION, list(command), image, host])
        digest = hashlib.sha256(told.encode()).hexdigest()[:32]
        return cls(f"{accelerator}-{memory_mb}m-{processors}c-{disks}d", digest)

    @property
    def file(self) -> str:
        """The name of its file."""
        return f"{self.shape}-{self.fingerprint}.state"


class States:
    """The states of one host.

    Args:
        folder: where they are.
        most: how many of them; those that were not used for longest are removed. None are kept for 0.
    """

    def __init__(self, folder: Path, most: int) -> None:
        self._folder = folder
        self._most = most
        self._keeping: set[Kind] = set()
        self._log = get_logger("minoots.vms")

    def find(self, kind: Kind) -> Path | None:
        """Return the state for machines of this kind; removes those that machines of its shape had before."""
        if self._most == 0:
            return None
        for other in self._folder.glob(f"{kind.shape}-*.state"):
            if other.name != kind.file:
                self._log.warning("vm.state_stale", shape=kind.shape, file=other.name)
                other.unlink(missing_ok=True)
        path = self._folder / kind.file
        try:
            # That it was used.
            os.utime(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return path

    def drop(self, kind: Kind, why: str) -> None:
        """Remove a state from which no machine went on."""
        self._log.warning("vm.state_refused", shape=kind.shape, file=kind.file, why=why)
        (self._folder / kind.file).unlink(missing_ok=True)

    async def keep(self, kind: Kind, monitor: QMPClient) -> None:
        """Keep the state of a machine that has come up and goes on afterwards.

        What keeps a state from being kept is told in the log, and the machine goes on.

        Raises:
            QMPError: the machine does not go on.
        """
        if self._most == 0 or kind in self._keeping:
            return
        self._keeping.add(kind)
        half = self._folder / f"{kind.file}.{os.getpid()}"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                await _write(monitor, half)
            except ExecuteError as error:
                # Of some machines it keeps none, whose processor or devices cannot be told.
                raise OSError(f"QEMU does not write it: {error}") from error
            finally:
                await _go_on(monitor)
            os.replace(half, self._folder / kind.file)
            self.prune()
        except OSError as error:
            self._log.warning("vm.state_not_kept", shape=kind.shape, why=str(error)[:300])
        finally:
            with suppress(OSError):
                half.unlink(missing_ok=True)
            self._keeping.discard(kind)

    def prune(self) -> None:
        """Remove those that were not used for longest, until as many are left as may be.

        And what a worker that was killed has left half written.
        """
        for half in self._folder.glob("*.state.*"):
            if not _runs(half.suffix.removeprefix(".")):
                half.unlink(missing_ok=True)
        kept = [path for path in self._folder.iterdir() if _NAME.match(path.name)]
        kept.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
        for path in kept[self._most :]:
            path.unlink(missing_ok=True)


async def _write(monitor: QMPClient, path: Path) -> None:
    """Write the state of a machine into a new file; it stands still afterwards.

    Raises:
        OSError: it cannot be written.
        QMPError: QEMU does not answer.
    """
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        monitor.send_fd_scm(file)
        await monitor.execute("getfd", {"fdname": "state"})
    finally:
        os.close(file)
    await monitor.execute(
        "migrate-set-capabilities", {"capabilities": [{"capability": "events", "state": True}]}
    )
    await monitor.execute("migrate-set-parameters", {"max-bandwidth": _UNBOUNDED})
    with monitor.listener("MIGRATION") as told:
        await monitor.execute("migrate", {"uri": "fd:state"})
        async for event in told:
            status = cast(dict[str, str], event["data"])["status"]
            if status in ("completed", "failed", "cancelled"):
                break
    if status != "completed":
        about = cast(dict[str, str], await monitor.execute("query-migrate"))
        raise OSError(f"QEMU could not write it: {about.get('error-desc', status)}")


async def _go_on(monitor: QMPClient) -> None:
    """Have a machine run again.

    Raises:
        QMPError: it does not.
    """
    try:
        # Whoever waits for the machine may have given up before: nobody else sets an end to this.
        async with asyncio.timeout(_GOES_ON):
            # It tells that a state is written a moment before it may run again.
            while True:
                status = cast(dict[str, str], await monitor.execute("query-status"))["status"]
                if status != "finish-migrate":
                    break
                await asyncio.sleep(0.005)
            await monitor.execute("cont")
    except TimeoutError as error:
        raise QMPError(f"it did not go on within {_GOES_ON:g} s after its state was kept") from error


def _runs(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, ValueError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _processor() -> list[str]:
    """Return what a machine sees of this host's processor, where the system tells."""
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().partition("\n\n")[0].splitlines()
        return [line for line in lines if line.partition("\t")[0].strip() in _OF_PROCESSOR]
    return [platform.processor()]
