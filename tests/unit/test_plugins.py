"""Entry points of other packages: a broken one is told by its name."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from minoots.errors import Failure
from minoots_activities.capture.readers.installed import installed as readers
from minoots_platform.connectors.installed import installed as connectors


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Installs a package that names one object in a group."""

    def install(group: str, source: str) -> None:
        (tmp_path / "brought.py").write_text(source)
        info = tmp_path / "brought-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: brought\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{group}]\nx = brought:X\n")
        monkeypatch.syspath_prepend(tmp_path)

    readers.cache_clear()
    connectors.cache_clear()
    yield install
    sys.modules.pop("brought", None)
    readers.cache_clear()
    connectors.cache_clear()


@pytest.mark.parametrize(
    ("group", "noun", "found"),
    [("minoots.transcripts", "reader", readers), ("minoots.connectors", "connector", connectors)],
)
@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("import no_such_module", "it cannot be loaded: ModuleNotFoundError"),
        ("Y = 1", "it cannot be loaded: AttributeError"),
        ("X = 1", "expected a "),
    ],
)
def test_a_broken_one_is_told_by_its_name(
    package: Callable[[str, str], None],
    group: str,
    noun: str,
    found: Callable[[], Any],
    source: str,
    why: str,
) -> None:
    package(group, source)
    with pytest.raises(Failure, match=rf"the {noun} brought:X is broken: {why}"):
        found()


def test_two_readers_of_one_program_are_refused(package: Callable[[str, str], None]) -> None:
    package(
        "minoots.transcripts",
        "from minoots_activities.capture.readers.qwen import Qwen\nclass X(Qwen): pass\n",
    )
    with pytest.raises(Failure, match="there are two readers of qwen"):
        readers()
