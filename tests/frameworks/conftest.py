"""A client of a real service, whose address the surroundings give, and an agent of its own for each test."""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest

from minoots import AsyncMinoots
from minoots.contracts.agents import Command

_numbers = itertools.count()


@pytest.fixture
async def client() -> AsyncIterator[AsyncMinoots]:
    """A client of the service that the test run has started."""
    async with AsyncMinoots(os.environ["MINOOTS_URL"]) as made:
        yield made


class Builder:
    """An agent, as those see it who send it commands."""

    def __init__(self, client: AsyncMinoots, name: str) -> None:
        self.client = client
        self.name = name

    async def send(self, what: str, payload: Any = None) -> Command:
        """Queue a command."""
        return await self.client.agents.command(self.name, what, payload=payload)

    async def now(self, command: Command) -> Command:
        """A command as it stands."""
        return await self.client.agents.look_up(self.name, command.id)


@pytest.fixture
async def builder(client: AsyncMinoots) -> Builder:
    """A registered agent."""
    name = f"builder-{os.getpid()}-{next(_numbers)}"
    await client.agents.register(name)
    return Builder(client, name)
