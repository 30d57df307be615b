"""The files of one agent: a listing, and the bytes behind it in the records.

Owns what is true about them between two commands: a tool for files never opens a sandbox, so a path can lead
nowhere else. Nothing here changes the listing of the job; that is kept with the result of the call.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from minoots.contracts import AgentJob
from minoots.errors import Failure, FailureKind
from minoots_platform.records import Database, contents

from .trees import MOST_FILES, Entry, Tree, decode, encode, size_of

_SMALL = 4 * 1024 * 1024
"""Bytes of files that are read at once."""


class Files:
    """Files of an agent, at one moment.

    Args:
        database: the records.
        tenant: whose they are.
        tree: the listing.
        most_bytes: that they may have together.
        now: the time.
    """

    def __init__(self, database: Database, tenant: str, tree: Tree, most_bytes: int, now: datetime) -> None:
        self._database = database
        self._tenant = tenant
        self._most_bytes = most_bytes
        self._now = now
        self.tree: dict[str, Entry] = dict(tree)
        self.added: set[str] = set()
        """Contents that were kept meanwhile."""

    async def read(self, path: str) -> bytes:
        """Return a file.

        Raises:
            Failure: not_found.
        """
        entry = self.tree.get(path)
        if entry is None:
            raise Failure(FailureKind.NOT_FOUND, f"there is no file {path}")
        return await contents.read(self._database, self._tenant, entry.sha256)

    async def read_all(self, paths: list[str]) -> dict[str, bytes]:
        """Return several files, in few statements."""
        found: dict[str, bytes] = {}
        some: list[str] = []
        size = 0
        for path in [*paths, None]:
            if path is None or size > _SMALL:
                hashes = {self.tree[one].sha256 for one in some}
                kept = await contents.read_many(self._database, self._tenant, hashes)
                found |= {one: kept[self.tree[one].sha256] for one in some}
                some, size = [], 0
            if path is not None:
                some.append(path)
                size += self.tree[path].bytes
        return found

    async def write(self, path: str, data: bytes, *, executable: bool) -> None:
        """Write a file.

        Raises:
            Failure: invalid, where a folder or a file is in the way; too_large, when there is no room.
        """
        if any(other.startswith(f"{path}/") for other in self.tree):
            raise Failure(FailureKind.INVALID, f"{path} is a folder")
        parts = path.split("/")
        for upto in range(1, len(parts)):
            if "/".join(parts[:upto]) in self.tree:
                raise Failure(FailureKind.INVALID, f"{'/'.join(parts[:upto])} is a file, and no folder")
        self.require_room(path, len(data))
        if path not in self.tree and len(self.tree) >= MOST_FILES:
            raise Failure(FailureKind.TOO_LARGE, f"there are {MOST_FILES} files already")
        self.tree[path] = Entry(await self.keep(data), len(data), executable)

    def require_room(self, path: str, size: int) -> None:
        """Refuse a file that is to have so many bytes where there is no room for it.

        Raises:
            Failure: too_large.
        """
        before = self.tree.get(path)
        room = self._most_bytes - size_of(self.tree) + (before.bytes if before else 0)
        if size > room:
            raise Failure(
                FailureKind.TOO_LARGE,
                f"{path} has {size} bytes, and there is room for {room}",
                remedy="Raise limits.disk_mb, or send less.",
            )

    async def keep(self, data: bytes) -> str:
        """Keep bytes that a file is going to have; return their hash."""
        sha256 = await contents.keep(self._database, self._tenant, data, self._now)
        self.added.add(sha256)
        return sha256

    async def keep_listing(self) -> str:
        """Keep the listing as it stands; return its hash."""
        return await self.keep(encode(self.tree))


async def files_of(database: Database, run: sa.Row[Any], job: AgentJob, now: datetime) -> Files:
    """Return the files of an agent as they are kept."""
    tree = await listing(database, run.tenant, run.tree)
    return Files(database, run.tenant, tree, job.limits.disk_mb * 1024 * 1024, now)


async def listing(database: Database, tenant: str, sha256: str) -> dict[str, Entry]:
    """Return a listing that is kept."""
    return decode(await contents.read(database, tenant, sha256))
