"""Sandboxes of each tier that this machine gives."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import container_images
import pytest
from container_images import made_image
from shut_in import Open, Try
from vm_images import image_for, shared_folder

from minoots.contracts.sandboxes import Limits, Tier
from minoots_activities.sandboxes.tiers import Tiers


@pytest.fixture(scope="session")
def images() -> Iterator[tuple[str, ...]]:
    """The image of containers, where one can be made."""
    with made_image() as image:
        yield () if image is None else (image,)


@pytest.fixture(scope="session")
def vm_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the image of machines, which is there once one was opened."""
    return shared_folder(tmp_path_factory) / "vm-image"


@pytest.fixture(scope="session")
async def tiers(vm_image: Path, images: tuple[str, ...]) -> Tiers:
    """What this machine gives."""
    return Tiers(allow_process=True, vm_image=vm_image, images=images)


@pytest.fixture
async def open_sandbox(tiers: Tiers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Open]:
    """Open a sandbox of a tier; skip, with the reason, where the machine cannot give it."""
    shared = shared_folder(tmp_path_factory)
    async with AsyncExitStack() as stack:

        async def open_one(tier: Tier, **limits: Any) -> Try:
            if tier is Tier.VM:
                image_for(shared)
            if tier is Tier.CONTAINER and (no_image := container_images.lacks()):
                pytest.skip(no_image)
            lacks = await tiers._given[tier].missing()
            if lacks:
                pytest.skip("; ".join(lacks))
            sandbox = await tiers.create(tier, "test", Limits(**{"time": "30s", **limits}))
            stack.push_async_callback(sandbox.destroy)
            return Try(sandbox)

        yield open_one
