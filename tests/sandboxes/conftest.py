"""Sandboxes of each tier that this machine gives."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from shut_in import Open, Try

from minoots.contracts.sandboxes import Limits, Tier
from minoots_activities.sandboxes.tiers import Tiers


@pytest.fixture
async def tiers() -> Tiers:
    """What this machine gives."""
    return Tiers(allow_process=True)


@pytest.fixture
async def open_sandbox(tiers: Tiers) -> AsyncIterator[Open]:
    """Open a sandbox of a tier; skip, with the reason, where the machine cannot give it."""
    async with AsyncExitStack() as stack:

        async def open_one(tier: Tier, **limits: Any) -> Try:
            lacks = await tiers._given[tier].missing()
            if lacks:
                pytest.skip("; ".join(lacks))
            sandbox = await tiers.create(tier, "test", Limits(**{"time": "30s", **limits}))
            stack.push_async_callback(sandbox.destroy)
            return Try(sandbox)

        yield open_one
