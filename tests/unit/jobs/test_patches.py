"""Patches: what they say, and that git agrees."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minoots_activities.jobs.agents.patches import Change, patch_of

TEXTS = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\n", b"\n", b"d"]), max_size=12).map(b"".join)


def applied(before: bytes | None, after: bytes | None, folder: Path) -> bytes | None:
    """What git makes of the one by the patch to the other."""
    patch = patch_of([Change("dir/file", before, after)])
    here = folder / "dir" / "file"
    here.parent.mkdir(parents=True, exist_ok=True)
    here.unlink(missing_ok=True)
    if before is not None:
        here.write_bytes(before)
    done = subprocess.run(
        ["git", "apply", "--whitespace=nowarn", "-"], input=patch, cwd=folder, capture_output=True
    )
    assert done.returncode == 0, done.stderr + patch
    return here.read_bytes() if here.exists() else None


def test_a_patch_shows_what_was_changed_with_what_is_around_it() -> None:
    before = b"".join(b"%d\n" % number for number in range(20))
    after = before.replace(b"10\n", b"ten\n")
    assert patch_of([Change("n.txt", before, after)]).decode() == (
        "diff --git a/n.txt b/n.txt\n--- a/n.txt\n+++ b/n.txt\n"
        "@@ -8,7 +8,7 @@\n 7\n 8\n 9\n-10\n+ten\n 11\n 12\n 13\n"
    )


def test_new_and_removed_files_ends_without_a_line_and_modes_are_told() -> None:
    new = patch_of([Change("a", None, b"x", executable_after=True)]).decode()
    assert new == (
        "diff --git a/a b/a\nnew file mode 100755\n--- /dev/null\n+++ b/a\n"
        "@@ -0,0 +1,1 @@\n+x\n\\ No newline at end of file\n"
    )
    gone = patch_of([Change("a", b"x\n", None)]).decode()
    assert "deleted file mode 100644" in gone
    assert "@@ -1,1 +0,0 @@\n-x\n" in gone
    moded = patch_of([Change("a", b"x\n", b"x\n", executable_after=True)]).decode()
    assert moded == "diff --git a/a b/a\nold mode 100644\nnew mode 100755\n"
    assert b"Binary files differ: a\n" in patch_of([Change("a", b"\x00", b"\x01\x00")])


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"a\nb\nc\n", b"a\nB\nc\n"),
        (b"a\nb", b"a\nb\nc\n"),
        (b"a\n", b"a"),
        (None, b"new\n"),
        (b"old\n", None),
        (b"".join(b"%d\n" % n for n in range(3000)), b"".join(b"%d\n" % (n * 3) for n in range(3000))),
    ],
)
def test_git_takes_it(before: bytes | None, after: bytes | None, tmp_path: Path) -> None:
    assert applied(before, after, tmp_path) == after


@given(TEXTS, TEXTS)
def test_taken_backwards_and_forwards_no_line_is_lost(before: bytes, after: bytes) -> None:
    lines = patch_of([Change("f", before, after)]).split(b"\n")
    removed = sum(line.startswith(b"-") and not line.startswith(b"---") for line in lines)
    added = sum(line.startswith(b"+") and not line.startswith(b"+++") for line in lines)

    def count(text: bytes) -> int:
        return text.count(b"\n") + (not text.endswith(b"\n") and bool(text))

    assert count(after) - count(before) == added - removed
    assert (before == after) == (lines == [b"diff --git a/f b/f", b""])
