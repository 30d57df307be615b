"""Queues, options of activities and search attributes: the numbers and names that a cluster is set up by."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio import workflow
from temporalio.workflow import ActivityCancellationType

import minoots_workflows
from minoots.contracts.actions import MAX_TIMEOUT
from minoots.contracts.sandboxes import MAX_TIME
from minoots_platform.settings import Settings
from minoots_workers.registry import WORKFLOWS
from minoots_workflows import options, search_attributes
from minoots_workflows.patches import PATCHES
from minoots_workflows.queues import Queue
from minoots_workflows.timers.wake import MAX_LEAD

SOURCES = Path(minoots_workflows.__file__).parent
NAMED: dict[str, Any] = {
    name: value for name, value in vars(options).items() if name.isupper() and name[0] != "_"
}


def trees() -> Iterator[tuple[Path, ast.Module]]:
    """Every file of workflow code."""
    for path in sorted(SOURCES.rglob("*.py")):
        yield path, ast.parse(path.read_text())


def test_queues_are_named_by_what_a_machine_needs() -> None:
    assert {queue.name: queue.value for queue in Queue} == {
        "CORE": "core",
        "IO": "io",
        "FILES": "files",
        "LLM": "llm",
        "SANDBOX": "sandbox",
    }


def test_the_named_option_sets_are_these() -> None:
    assert NAMED.keys() == {"SENDING", "RECORDS", "LOOKING", "FILES", "MODEL", "PROGRAM", "OPENING"}


@pytest.mark.parametrize("name", NAMED)
def test_an_option_set_never_gives_up_and_never_waits_long(name: str) -> None:
    chosen = NAMED[name]
    elsewhere = {
        "FILES": Queue.FILES,
        "MODEL": Queue.LLM,
        "PROGRAM": Queue.SANDBOX,
        "OPENING": Queue.SANDBOX,
    }
    assert chosen["task_queue"] is elsewhere.get(name, Queue.IO)
    policy = chosen["retry_policy"]
    assert policy.maximum_attempts == 0, "what was accepted is never given up for a fault of ours"
    assert policy.initial_interval == timedelta(milliseconds=100)
    assert policy.maximum_interval == timedelta(seconds=10)
    assert not policy.non_retryable_error_types
    assert "schedule_to_close_timeout" not in chosen


def test_sending_has_time_for_the_wait_the_receiver_and_the_records() -> None:
    records = timedelta(milliseconds=Settings().records.busy_timeout_ms)
    assert options.SENDING["start_to_close_timeout"] >= MAX_LEAD + MAX_TIMEOUT + 2 * records
    assert options.SENDING["heartbeat_timeout"] <= timedelta(seconds=2), (
        "a killed worker is replaced within it"
    )
    assert options.RECORDS["start_to_close_timeout"] > records


def test_what_jobs_do_may_last_as_long_as_they_and_ends_before_they_do() -> None:
    for chosen in (options.MODEL, options.PROGRAM):
        assert chosen["start_to_close_timeout"] >= MAX_TIME
        assert chosen["heartbeat_timeout"] <= timedelta(seconds=3)
        waits = ActivityCancellationType.WAIT_CANCELLATION_COMPLETED
        assert chosen["cancellation_type"] is waits, "a job is not cancelled while its program still runs"


def test_every_activity_is_called_with_a_named_option_set() -> None:
    used = set()
    for path, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and re.search(
                r"^workflow\.(execute|start)_(local_)?activity", ast.unparse(node.func)
            ):
                spread = [ast.unparse(one.value) for one in node.keywords if one.arg is None]
                assert len(spread) == 1, f"{path.name}:{node.lineno} takes no option set"
                if spread[0].startswith(("options.on_host(", "options.holder_")):
                    continue
                # A summary for the Temporal UI may be added; no number may.
                known = re.fullmatch(r"options\.([A-Z]+)( \| \{'summary': [^,]*\})?", spread[0])
                assert known, f"{path.name}:{node.lineno} passes {spread[0]}"
                assert known[1] in NAMED, f"{path.name}:{node.lineno}"
                assert [one.arg for one in node.keywords if one.arg not in (None, "summary")] == []
                used.add(known[1])
    assert used == NAMED.keys(), "an option set that nobody uses is a number that nobody checks"


def test_every_workflow_is_named_in_so_many_words_and_served() -> None:
    found = {}
    for path, tree in trees():
        for node in ast.walk(tree):
            if not isinstance(node, ast.ClassDef):
                continue
            for decorator in node.decorator_list:
                text = ast.unparse(decorator)
                if text.startswith("workflow.defn"):
                    assert "name='" in text, f"{path.name}: {node.name} is named by its class"
                    found[node.name] = text
    assert found.keys() == {one.__name__ for one in WORKFLOWS}


@pytest.mark.parametrize("one", WORKFLOWS)
def test_every_update_query_and_signal_is_named_like_its_method_and_sandboxed(one: type) -> None:
    definition = workflow._Definition.must_from_class(one)
    assert definition.sandboxed
    assert "state" in definition.queries, "an operator can always ask how it stands"
    for handlers in (definition.updates, definition.queries, definition.signals):
        for name in handlers:
            assert name is not None, "no handler takes what is unknown"
            assert name.isidentifier()


def test_the_registry_of_search_attributes_is_what_workflows_set() -> None:
    assert search_attributes.REGISTRY == (
        ("MinootsTenant", "Keyword"),
        ("MinootsName", "Keyword"),
        ("MinootsFireAt", "Datetime"),
    )
    due = datetime(2027, 1, 1, tzinfo=UTC)
    types = dict(search_attributes.REGISTRY)
    for pairs in (search_attributes.of_timer("acme", "n", due), search_attributes.of_tenant("acme")):
        for pair in pairs.search_attributes:
            assert types[pair.key.name] == pair.key.indexed_value_type.name.title()
    assert search_attributes.of_timer("acme", "n", due)[search_attributes.FIRE_AT] == due
    assert search_attributes.of_tenant("acme")[search_attributes.TENANT] == "acme"


def test_every_patch_that_the_code_asks_for_is_listed_and_no_other() -> None:
    asked = {
        match
        for path, _ in trees()
        for match in re.findall(r"workflow\.patched\(\"([^\"]+)\"", path.read_text())
    }
    assert asked == {patch.id for patch in PATCHES}


def test_what_one_host_alone_can_do_is_tried_there_until_it_works() -> None:
    chosen = options.on_host("ada", "write")
    assert chosen["task_queue"] == "files-ada"
    assert chosen["retry_policy"] == options.RECORDS["retry_policy"]
    assert chosen["heartbeat_timeout"] < chosen["start_to_close_timeout"]


@pytest.mark.parametrize(
    "chosen",
    [options.holder_watch("q"), options.holder_call("q", "put"), options.holder_program("q")],
    ids=["watch", "call", "program"],
)
def test_what_only_the_holder_of_a_sandbox_can_do_is_asked_of_it_once_and_taken_soon(chosen: Any) -> None:
    assert chosen["task_queue"] == "q"
    assert chosen["retry_policy"].maximum_attempts == 1, "nobody else can do it"
    assert chosen["schedule_to_start_timeout"] <= timedelta(seconds=20), "a dead worker is noticed"
    assert chosen["heartbeat_timeout"] <= timedelta(seconds=10)


def test_a_sandbox_is_watched_for_longer_than_any_stands() -> None:
    assert options.holder_watch("q")["start_to_close_timeout"] > MAX_TIME
    assert Settings().sandbox.standing.max_lifetime <= MAX_TIME.total_seconds()
