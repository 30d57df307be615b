"""Ingests through Temporal: files are taken in once, whatever happens meanwhile."""

from __future__ import annotations

from collections import Counter

from ingesting import chunks_of, ended, files_of, send, source_named, taken, text_of
from stacks import TENANT, Stack, eventually, short_histories

from minoots.contracts import FileState, IngestState
from minoots_platform.records import Database
from minoots_platform.telemetry import Telemetry
from minoots_workflows.ids import workflow_id
from minoots_workflows.ingest.workflow import IngestWorkflow

NOTES = {f"notes/{number}.md": f"# Note {number}\n\nSome words of it.\n" for number in range(7)}


async def test_files_are_taken_in_and_what_cannot_be_read_is_told(stack: Stack) -> None:
    done, files = await ended(stack, await send(stack, NOTES | {"junk.bin": bytes(range(256)) * 9}))
    assert done.state is IngestState.COMPLETED
    assert done.counts == {FileState.CREATED: 7, FileState.FAILED: 1}
    assert [file.name for file in files] == [*NOTES, "junk.bin"]
    assert files[-1].problem == "these bytes are no text"
    assert files[-1].remedy is not None
    for name, text in NOTES.items():
        assert await text_of(stack.database, TENANT, name) == text


async def test_the_same_content_is_no_version_and_other_content_is_one(stack: Stack) -> None:
    text = "# Tea\n\nLeaves.\n\n# Milk\n\nOf a cow.\n"
    await taken(stack, {"tea.md": text})
    [again] = await taken(stack, {"tea.md": text})
    assert (again.state, again.version, again.chunks_new) == (FileState.UNCHANGED, 1, 0)
    [changed] = await taken(stack, {"tea.md": text.replace("cow", "goat")})
    assert (changed.state, changed.version) == (FileState.UPDATED, 2)
    assert (changed.chunks, changed.chunks_new) == (2, 1)
    first, second = [await chunks_of(stack.database, TENANT, "tea.md", version) for version in (1, 2)]
    assert first[0].sha256 == second[0].sha256
    assert first[1].sha256 != second[1].sha256


async def test_nothing_of_a_file_enters_a_history(stack: Stack) -> None:
    ingest = await send(stack, {"secret-name.md": "# Hidden title\n\nhidden words"})
    await ended(stack, ingest)
    handle = stack.client.get_workflow_handle(workflow_id("ingest", TENANT, ingest.id))
    told = (await handle.fetch_history()).to_json()
    assert "idden" not in told


async def test_an_ingest_crosses_histories_and_loses_nothing(
    sqlite_database: Database, telemetry: Telemetry
) -> None:
    async with short_histories(sqlite_database, telemetry) as stack:
        names = {f"{number:03}.txt": f"number {number}" for number in range(120)}
        ingest = await send(stack, names)
        done, files = await ended(stack, ingest)
        assert Counter(file.state for file in files) == {FileState.CREATED: 120}
        handle = stack.client.get_workflow_handle_for(
            IngestWorkflow.run, workflow_id("ingest", TENANT, ingest.id)
        )
        assert (await handle.result()).state == IngestState.COMPLETED
        runs = [run async for run in stack.client.list_workflows(f"WorkflowId = '{handle.id}'")]
        assert len(runs) > 1
        assert done.counts == {FileState.CREATED: 120}


async def test_it_goes_on_where_workers_left_off(stack: Stack) -> None:
    ingest = await send(stack, {f"{number}.txt": f"number {number}" for number in range(30)})

    async def some() -> int:
        files = await files_of(stack.database, TENANT, ingest.id)
        return sum(file.state is FileState.CREATED for file in files)

    await eventually(some, lambda many: many >= 3)
    await stack.stop_workers()
    await stack.start_workers()
    done, files = await ended(stack, ingest)
    assert done.counts == {FileState.CREATED: 30}
    assert {(await source_named(stack.database, TENANT, file.name)).version for file in files} == {1}
