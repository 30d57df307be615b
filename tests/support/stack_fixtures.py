"""Whole stacks as processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import dev_stacks
import pytest
from dev_stacks import DevStack


@pytest.fixture
def dev_stack(tmp_path: Path) -> Iterator[Callable[..., DevStack]]:
    """Starts stacks in this test's folder; whatever still runs at the end is killed."""
    started: list[DevStack] = []

    def start(*arguments: str) -> DevStack:
        started.append(dev_stacks.start(tmp_path, *arguments))
        return started[-1]

    yield start
    for stack in started:
        stack.close()


@pytest.fixture(scope="session")
def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevStack]:
    """One stack for all tests that do not harm it."""
    stack = dev_stacks.start(tmp_path_factory.mktemp("stack"))
    yield stack
    code = stack.stop()
    stack.close()
    assert code == 0
    assert stack.leftovers() == []
