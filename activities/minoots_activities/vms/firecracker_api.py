"""What Firecracker is asked for over its socket: the requests for one machine, in their order.

Owns the words of its API (the tests hold each request against its published description). It must not start
anything itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx

DRIVE: Final = "work"
GUEST_CID: Final = 3
"""The lowest that a guest may have; each Firecracker has one guest, so that all may have the same."""
HOST_PORT: Final = 1024
"""On which the guest reaches the host; as in `guest/init.c`."""
_SECONDS: Final = 30.0
_MOST_SAID: Final = 500


class Refused(Exception):
    """Firecracker does not do what it was asked for."""


@dataclass(frozen=True)
class Request:
    """One of them; answered without content."""

    path: str
    body: dict[str, Any]


def requests(
    *,
    kernel: Path,
    initramfs: Path,
    boot_line: str,
    memory_mb: int,
    processors: int,
    disk: Path,
    way: Path,
    root: Path | None = None,
) -> list[Request]:
    """Return what makes a machine and starts it.

    Args:
        kernel: as an ELF file.
        initramfs: its first file system.
        boot_line: the kernel's command line; Firecracker adds what it needs itself.
        memory_mb: all that it has.
        processors: likewise, 32 at most.
        disk: the file of its disk.
        root: the file of a second disk, which it may only read.
        way: where sockets to the guest are; the host listens at this path, an underscore and `HOST_PORT`.
    """
    return [
        Request(
            "/machine-config",
            {"vcpu_count": processors, "mem_size_mib": memory_mb, "smt": False, "track_dirty_pages": False},
        ),
        Request(
            "/boot-source",
            {"kernel_image_path": str(kernel), "initrd_path": str(initramfs), "boot_args": boot_line},
        ),
        _drive(DRIVE, disk, read_only=False),
        *([_drive("root", root, read_only=True)] if root else []),
        Request("/vsock", {"guest_cid": GUEST_CID, "uds_path": str(way)}),
        Request("/entropy", {}),
        Request("/actions", {"action_type": "InstanceStart"}),
    ]


def _drive(name: str, file: Path, *, read_only: bool) -> Request:
    about = {
        "drive_id": name,
        "path_on_host": str(file),
        # Of the kernel, which has its first file system in memory.
        "is_root_device": False,
        "is_read_only": read_only,
        # Nobody needs what is on it when the host has gone down.
        "cache_type": "Unsafe",
    }
    return Request(f"/drives/{name}", about)


class Api:
    """The API of one Firecracker.

    Args:
        socket: where it listens.
    """

    def __init__(self, socket: Path) -> None:
        self._client = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(socket)),
            base_url="http://localhost",
            timeout=_SECONDS,
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def version(self) -> str:
        """Return its version.

        Raises:
            Refused: it does not say.
        """
        answer = await self._ask("GET", "/version", None)
        try:
            return str(answer.json()["firecracker_version"])[:64]
        except (ValueError, KeyError, TypeError):
            raise Refused("it does not say which version it is") from None

    async def put(self, request: Request) -> None:
        """Ask for one thing.

        Raises:
            Refused: it is not done; the error has its words.
        """
        await self._ask("PUT", request.path, request.body)

    async def _ask(self, method: str, path: str, body: dict[str, Any] | None) -> httpx.Response:
        try:
            answer = await self._client.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise Refused(f"{method} {path} was not answered: {type(error).__name__}") from error
        if not answer.is_success:
            raise Refused(f"{method} {path} was refused ({answer.status_code}): {_fault(answer)}")
        return answer


def _fault(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["fault_message"])[:_MOST_SAID]
    except (ValueError, KeyError, TypeError):
        return answer.text[:_MOST_SAID]
