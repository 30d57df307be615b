"""Every recorded history replays on today's workflow code.

Histories are recorded by ``python tests/replay/record.py`` from the real parts and committed. A change in the
order of commands breaks the replay: it needs a patch (`minoots_workflows.patches`) and a newly recorded
history beside the old.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from temporalio import workflow
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer

from minoots_workers.registry import WORKFLOWS

HISTORIES = sorted((Path(__file__).parent / "histories").glob("*.json"))


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
async def test_a_recorded_history_replays(path: Path) -> None:
    history = WorkflowHistory.from_json(path.stem, path.read_text())
    replayer = Replayer(workflows=WORKFLOWS, data_converter=pydantic_data_converter)
    await replayer.replay_workflow(history)


def test_every_workflow_has_a_recorded_history() -> None:
    recorded = {path.stem.split("-")[0] for path in HISTORIES}
    names = {workflow._Definition.must_from_class(one).name for one in WORKFLOWS}
    assert {name.lower() for name in names if name} == recorded


async def test_a_changed_order_of_commands_is_noticed() -> None:
    """The control: the suite can fail."""
    path = next(path for path in HISTORIES if path.stem == "timer-settled")
    text = path.read_text().replace("timers.fire", "timers.other")
    history = WorkflowHistory.from_json("changed", text)
    replayer = Replayer(workflows=WORKFLOWS, data_converter=pydantic_data_converter)
    with pytest.raises(workflow.NondeterminismError):
        await replayer.replay_workflow(history)
