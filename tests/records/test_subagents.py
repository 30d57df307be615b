"""What sub-agents said lies beside the recording that tells of them, whenever it comes."""

from __future__ import annotations

from pathlib import Path

import pytest
from recordings import SESSION, Chat, Desk

from minoots_platform.records import Database

AGENT = "1a2b3c4d"
FOLDER = "tea.files"


@pytest.fixture
def desk(database: Database, tmp_path: Path) -> Desk:
    desk = Desk(database, tmp_path)
    desk.workspace()
    return desk


def helper(desk: Desk, agent: str = AGENT) -> Chat:
    return Chat(desk, desk.folder / "chats" / SESSION / "subagents" / f"agent-{agent}.jsonl")


def result(chat: Chat, agent: str = AGENT) -> None:
    """The tool with which a sub-agent was begun has ended."""
    block = {"type": "tool_result", "tool_use_id": f"call-{agent}", "content": "done"}
    chat.hears(block, toolUseResult={"agentId": agent})


async def begun(desk: Desk) -> Chat:
    chat = desk.chat()
    await chat.tell("::record-notes tea.md")
    chat.answers("I ask another.")
    return chat


async def test_the_recording_links_to_what_a_sub_agent_said(desk: Desk) -> None:
    chat, agent = await begun(desk), helper(desk)
    agent.says("Look for tea, please.")
    agent.answers("Found some.")
    await agent.look()
    result(chat)
    chat.answers("It found some.")
    await chat.look()
    await desk.write()
    assert f"[Sub-agent {AGENT}](<{FOLDER}/agent-{AGENT}.md>)" in desk.body("tea.md")
    said = (desk.root / FOLDER / f"agent-{AGENT}.md").read_text()
    assert "Look for tea, please." in said
    assert "Found some." in said


async def test_what_comes_of_it_later_is_added_and_the_recording_stays_as_it_is(desk: Desk) -> None:
    chat, agent = await begun(desk), helper(desk)
    result(chat)
    await chat.look()
    await desk.write()
    before = (desk.root / "tea.md").read_bytes()
    assert not (desk.root / FOLDER).exists(), "nothing is known of it yet"
    for word in ("one", "two"):
        agent.answers(word)
        done = await agent.look()
        assert len(done.pending) == 1, "the writer of the recording is told"
        await desk.again("tea.md")
        assert word in (desk.root / FOLDER / f"agent-{AGENT}.md").read_text()
    assert (desk.root / "tea.md").read_bytes() == before


async def test_each_has_an_id_of_its_own_that_stays(desk: Desk) -> None:
    chat = await begun(desk)
    for name in (AGENT, "9f8e7d6c"):
        agent = helper(desk, name)
        agent.answers("Found some.")
        await agent.look()
        result(chat, name)
    await chat.look()
    await desk.write()
    files = [desk.root / "tea.md", *sorted((desk.root / FOLDER).iterdir())]
    ids = [file.read_text().split("\n")[1] for file in files]
    assert ids == [ids[0], f"{ids[0]}-{AGENT}", f"{ids[0]}-9f8e7d6c"]


async def test_one_that_no_result_names_is_not_written(desk: Desk) -> None:
    chat, agent = await begun(desk), helper(desk, "stranger")
    agent.answers("unheard")
    await agent.look()
    result(chat)
    await chat.look()
    await desk.write()
    assert not (desk.root / FOLDER).exists()


async def test_an_id_that_is_no_name_of_a_file_stays_in_the_folder(desk: Desk) -> None:
    chat = await begun(desk)
    result(chat, "../../out")
    await chat.look()
    await desk.write()
    [line] = [line for line in desk.body("tea.md").split("\n") if line.startswith("[Sub-agent")]
    assert "](<tea.files/agent-" in line
    assert "out" not in line.partition("](<")[2]


async def test_a_new_process_writes_what_the_one_before_left_out(desk: Desk) -> None:
    chat, agent = await begun(desk), helper(desk)
    agent.answers("kept")
    await agent.look()
    result(chat)
    await chat.look()
    await desk.write()
    (desk.root / FOLDER / f"agent-{AGENT}.md").unlink()
    agent.answers("more")
    await agent.look()
    await desk.again("tea.md")
    said = (desk.root / FOLDER / f"agent-{AGENT}.md").read_text()
    assert "kept" in said
    assert "more" in said
