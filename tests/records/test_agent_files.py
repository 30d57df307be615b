"""Files of agents: however little a model or a command says, they take no more than there is room for."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
from stacks import TENANT

from minoots.contracts import AgentTool, ToolRule
from minoots.errors import Failure, FailureKind
from minoots_activities.jobs.agents.arguments import EditFile, ListFiles
from minoots_activities.jobs.agents.file_tools import edit_file, list_files
from minoots_activities.jobs.agents.files import Files
from minoots_activities.jobs.agents.running import Commands
from minoots_activities.jobs.agents.trees import Entry
from minoots_activities.sandboxes.port import File, Listing, Sandbox
from minoots_activities.sandboxes.tiers import Tiers
from minoots_platform.clock import utc_now
from minoots_platform.records import Database

MEGABYTE = 1024 * 1024
EDIT = ToolRule(name=AgentTool.EDIT_FILE)


class Lying:
    """A sandbox whose files are larger than it says."""

    def __init__(self, files: int, size: int) -> None:
        self._files = files
        self._size = size
        self.taken = 0

    async def list(self, most: int) -> Listing:
        """Tell of files without a byte."""
        return Listing(tuple(File(f"{number}.bin", 0, False) for number in range(self._files)), False)

    async def get(self, path: str, most: int) -> bytes:
        """Hand over what nobody was told of."""
        self.taken += 1
        return path.encode() * (self._size // len(path))


def files_of(database: Database, most: int = MEGABYTE) -> Files:
    """Files of an agent that has none yet."""
    return Files(database, TENANT, {}, most, utc_now())


async def test_an_edit_that_would_take_more_than_there_is_room_for_is_never_made(
    sqlite_database: Database,
) -> None:
    files = files_of(sqlite_database)
    await files.write("a.txt", b"a" * 256 * 1024, executable=False)
    # Sixteen gigabytes, if it were made.
    wanted = EditFile(path="a.txt", old="a", new="\u00e4" * 32 * 1024, everywhere=True)
    with pytest.raises(Failure, match=f"has {2**34} bytes, and there is room") as refused:
        await edit_file(files, EDIT, wanted)
    assert refused.value.kind is FailureKind.TOO_LARGE
    assert await files.read("a.txt") == b"a" * 256 * 1024


async def test_an_edit_may_fill_the_room_and_make_some(sqlite_database: Database) -> None:
    files = files_of(sqlite_database, 8)
    await files.write("a.txt", b"a\xc3\xa4a", executable=False)
    await edit_file(files, EDIT, EditFile(path="a.txt", old="a", new="bbb", everywhere=True))
    assert await files.read("a.txt") == b"bbb\xc3\xa4bbb"
    await edit_file(files, EDIT, EditFile(path="a.txt", old="bbb\u00e4", new=""))
    assert await files.read("a.txt") == b"bbb"


async def test_a_sandbox_that_lies_about_sizes_hands_over_no_more_than_is_kept(
    sqlite_database: Database,
) -> None:
    lying = Lying(files=1000, size=MEGABYTE)
    files = files_of(sqlite_database)
    before = files.tree
    with pytest.raises(Failure, match="as they were before") as refused:
        await Commands(Tiers(vm_image=Path("none")), MEGABYTE, 2 * MEGABYTE).take_over(
            cast(Sandbox, lying), files
        )
    assert refused.value.kind is FailureKind.TOO_LARGE
    assert lying.taken <= 4
    assert files.tree is before


async def test_patterns_of_rules_share_their_work_between_all_files(sqlite_database: Database) -> None:
    files = files_of(sqlite_database)
    deep = "/".join(["a" * 100] * 5)
    files.tree = {f"{deep}{number}": Entry("0" * 64, 0) for number in range(10_000)}
    slow = "/".join(["*a" * 20 + "b"] * 5)
    rule = ToolRule(name=AgentTool.LIST_FILES, paths=tuple(f"{slow}{number}" for number in range(64)))
    with pytest.raises(Failure, match="too much work"):
        await list_files(files, rule, ListFiles())
