"""Patterns of outputs: what they mean, and that none takes for ever."""

from __future__ import annotations

import pytest

from minoots_activities.jobs.globs import matches


@pytest.mark.parametrize(
    ("pattern", "path", "means"),
    [
        ("a.txt", "a.txt", True),
        ("a.txt", "b/a.txt", False),
        ("*.txt", "a.txt", True),
        ("*.txt", "a.text", False),
        ("*.txt", "b/a.txt", False),
        ("**/*.txt", "a.txt", True),
        ("**/*.txt", "b/c/a.txt", True),
        ("**", "b/c/a.txt", True),
        ("b/**/a.txt", "b/a.txt", True),
        ("b/**/a.txt", "b/x/y/a.txt", True),
        ("b/**/a.txt", "c/a.txt", False),
        ("out", "out/a/b", True),
        ("out/", "out/a/b", True),
        ("out", "outer/a", False),
        ("?.txt", "a.txt", True),
        ("?.txt", "ab.txt", False),
        ("a*b*c", "a1b2c", True),
        ("a*b*c", "a1c2b", False),
        ("*", ".hidden", True),
    ],
)
def test_a_pattern_means_these_paths(pattern: str, path: str, means: bool) -> None:
    assert matches(pattern, path) is means


@pytest.mark.timeout(150)
def test_no_pattern_takes_for_ever() -> None:
    assert not matches("*a" * 200 + "b", "a" * 500)
    assert not matches("/".join(["**", "*a*a*a*b"] * 40), "/".join(["a" * 12] * 40))
