"""What is the tier ``container``'s alone: images by digest and policy, and what is left behind."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from shut_in import Open, of_the_dead

from minoots.contracts.sandboxes import Limits, Tier
from minoots.errors import FailureKind
from minoots_activities.sandboxes.containers import Containers
from minoots_activities.sandboxes.engines import ContainerEngine
from minoots_activities.sandboxes.names import name_of
from minoots_activities.sandboxes.port import NeverStarted
from minoots_activities.sandboxes.tiers import Tiers

OTHER = f"registry.example/other@sha256:{'0' * 64}"


async def test_an_image_that_is_not_allowed_is_refused(open_sandbox: Open, tiers: Tiers) -> None:
    await open_sandbox(Tier.CONTAINER)
    with pytest.raises(NeverStarted, match="may not be used here") as refused:
        await tiers.create(Tier.CONTAINER, "x", Limits(), image=OTHER)
    assert refused.value.kind is FailureKind.DENIED
    assert "sandbox.container.images" in str(refused.value.remedy)


async def test_an_image_that_is_not_there_is_not_fetched(open_sandbox: Open, images: tuple[str, ...]) -> None:
    await open_sandbox(Tier.CONTAINER)
    more = Tiers(vm_image=Path("none"), images=(*images, OTHER))
    with pytest.raises(NeverStarted, match=r"did not begin: .*registry\.example/other"):
        await more.create(Tier.CONTAINER, "x", Limits(), image=OTHER)


async def test_other_tiers_have_no_images(tiers: Tiers) -> None:
    with pytest.raises(NeverStarted, match="the tier process has no images"):
        await tiers.create(Tier.PROCESS, "x", Limits(), image=OTHER)


async def test_without_an_image_that_is_allowed_the_tier_is_not_given() -> None:
    lacks = await Containers(None, ContainerEngine()).missing()
    assert any("sandbox.container.images names none" in one for one in lacks)


async def test_files_of_the_image_are_seen_and_cannot_be_changed(open_sandbox: Open) -> None:
    box = await open_sandbox(Tier.CONTAINER)
    said = await box.sh("cat /etc/passwd; ls -A /work; echo x > /bin/sh || rm /bin/sh || echo held")
    assert said.out.endswith("held\n")
    assert "of-the-image" not in said.out


async def test_volumes_of_the_image_are_no_way_to_the_disk_of_the_machine(open_sandbox: Open) -> None:
    box = await open_sandbox(Tier.CONTAINER)
    said = await box.sh("ls -d /cache && { echo x > /cache/y || echo held; }")
    assert said.out == "/cache\nheld\n"


async def test_containers_of_the_dead_are_removed(
    open_sandbox: Open, images: tuple[str, ...], tiers: Tiers
) -> None:
    await open_sandbox(Tier.CONTAINER)
    engine = ContainerEngine()
    left, mine = of_the_dead("x"), name_of("x")
    try:
        for name in (left, mine):
            code, told = await engine.ask(
                "create", "--name", name, "--pull", "never", "--network", "none", *images, "true"
            )
            assert code == 0, told
        await tiers._containers.remove_left_behind()
        _, told = await engine.ask("ps", "--all", "--format", "{{.Names}}")
        assert left not in told.split()
        assert mine in told.split()
    finally:
        await asyncio.gather(*(engine.ask("rm", "--force", "--ignore", name) for name in (left, mine)))
