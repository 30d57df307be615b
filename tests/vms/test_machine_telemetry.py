"""How long a machine takes to start is a metric, as a scraper reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from minoots.contracts.sandboxes import Limits, Tier
from minoots_activities.sandboxes.tiers import Tiers
from minoots_activities.sandboxes.watching import Watching
from minoots_platform.telemetry import Telemetry

pytestmark = pytest.mark.timeout(300)


async def test_the_start_of_a_machine_is_measured(image: Path, telemetry: Telemetry) -> None:
    tiers = Tiers(vm_image=image, watching=Watching(telemetry.tracer, telemetry.metrics.jobs))
    machine = await tiers.create(Tier.VM, "measured", Limits(memory_mb=64, disk_mb=16))
    await machine.destroy()
    labels = {"tier": "vm", "outcome": "started"}
    value = telemetry.registry.get_sample_value
    assert value("minoots_sandboxes_start_seconds_count", labels) == 1
    assert (value("minoots_sandboxes_start_seconds_sum", labels) or 0) > 0
