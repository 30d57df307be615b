"""Files that are compared for a patch are in memory a few at a time."""

from __future__ import annotations

from minoots_activities.jobs.agents.ending import _groups
from minoots_activities.jobs.agents.trees import Entry

MEGABYTE = 1024 * 1024


def tree(**sizes: int) -> dict[str, Entry]:
    """Files of so many megabytes."""
    return {name: Entry("0" * 64, size * MEGABYTE, False) for name, size in sizes.items()}


def test_every_file_is_in_one_group_in_order_and_groups_are_small() -> None:
    before = tree(a=1, b=1, gone=3, large=30)
    after = tree(a=1, b=1, large=30, new=1)
    assert list(_groups(("a", "b", "gone", "large", "new"), before, after)) == [
        ["a", "b"],
        ["gone"],
        ["large"],
        ["new"],
    ]
    assert list(_groups((), before, after)) == []
