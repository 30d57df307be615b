"""What becomes of the files of a sandbox: whatever they are called, and however many there are."""

from __future__ import annotations

import pytest

from minoots_activities.jobs.outputs import BINARY, choose, media_type_of
from minoots_activities.sandboxes.port import File

STREAMS = ("stdout", "stderr")


def files(*paths: str) -> list[File]:
    """Files of these paths."""
    return [File(path, 1) for path in paths]


def test_no_two_artifacts_have_one_name() -> None:
    listed = files("stdout", "stderr", "files/stdout", "files/files/stdout", "a", "a")
    chosen = choose(["**"], listed, STREAMS)
    names = {file.path: name for file, name in chosen.files}
    assert len(set(names.values())) == len(chosen.files) == 5
    assert not set(names.values()) & set(STREAMS)
    assert names["files/stdout"] == "files/stdout", "what has a name of its own keeps it"
    assert names["stderr"] == "files/stderr"


@pytest.mark.timeout(150)
def test_many_long_names_and_patterns_come_to_an_end_and_what_is_left_out_is_told() -> None:
    listed = [File("a" * 480 + str(number), 1) for number in range(10_000)]
    chosen = choose(["*a" * 200 + "b"] * 64, [*files("first"), *listed], STREAMS, steps=1_000_000)
    assert not chosen.files
    assert 9_000 < chosen.left_out <= 10_000


def test_a_path_that_is_too_long_for_a_name_is_left_out_and_told() -> None:
    chosen = choose(["**"], files("a/" * 300 + "b", "c"), STREAMS)
    assert [file.path for file, _ in chosen.files] == ["c"]
    assert chosen.left_out == 1


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a.txt", "text/plain"),
        ("a/b.json", "application/json"),
        ("a", BINARY),
        (f"data:{'x' * 300}/y,z", BINARY),
        ("data:nonsense,", BINARY),
        ("http://[", BINARY),
    ],
)
def test_the_type_of_a_file_is_a_media_type(path: str, expected: str) -> None:
    assert media_type_of(path) == expected
