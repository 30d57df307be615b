"""Sandboxes of each tier that this machine gives."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from shut_in import Open, Try
from vm_images import image_for, shared_folder

from minoots.contracts.sandboxes import Limits, Tier
from minoots_activities.sandboxes.tiers import Tiers


@pytest.fixture(scope="session")
async def tiers(tmp_path_factory: pytest.TempPathFactory) -> Tiers:
    """What this machine gives."""
    return Tiers(allow_process=True, vm_image=shared_folder(tmp_path_factory) / "vm-image")


@pytest.fixture
async def open_sandbox(tiers: Tiers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Open]:
    """Open a sandbox of a tier; skip, with the reason, where the machine cannot give it."""
    shared = shared_folder(tmp_path_factory)
    async with AsyncExitStack() as stack:

        async def open_one(tier: Tier, **limits: Any) -> Try:
            if tier is Tier.VM:
                image_for(shared)
            lacks = await tiers._given[tier].missing()
            if lacks:
                pytest.skip("; ".join(lacks))
            sandbox = await tiers.create(tier, "test", Limits(**{"time": "30s", **limits}))
            stack.push_async_callback(sandbox.destroy)
            return Try(sandbox)

        yield open_one
