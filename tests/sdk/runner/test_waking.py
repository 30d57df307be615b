"""Waking sessions: only what is allowed is run, nothing reaches a shell, and only a turn counts."""

import asyncio
import json
import os
import stat
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
import stand_in_cli

from minoots.runner import load
from minoots.runner.settings import Kind, RunnerFault
from minoots.runner.waking import WakeFailed, session_of, wake

SESSION = "0199aaaa-bbbb-7ccc-8ddd-eeeeffff0001"
ASKED = {"program": "cli", "id": "a" * 12, "directory": "/", "prompt": "x"}
STAND_IN = Path(stand_in_cli.__file__)
FILES = {
    Kind.CLAUDE_CODE: f"-home-me-work/{SESSION}.jsonl",
    Kind.CODEX: f"2026/11/21/rollout-2026-11-21T10-00-00-{SESSION}.jsonl",
    Kind.GEMINI_CLI: f"work/chats/session-2026-11-21T10-00-{SESSION[:8]}.jsonl",
}


@pytest.fixture(params=list(Kind))
def kind(request):
    return request.param


@pytest.fixture
def work(tmp_path):
    """The directory that is allowed."""
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.fixture
def root(tmp_path, kind):
    """The transcripts, with one session that has a turn of an hour ago."""
    folder = tmp_path / "transcripts"
    file = folder / FILES[kind]
    file.parent.mkdir(parents=True)
    before = datetime.now(UTC) - timedelta(hours=1)
    stand_in_cli.append(file, stand_in_cli.record(kind, "assistant", "an old turn", before))
    return folder


@pytest.fixture
def settings(tmp_path, kind, root, work):
    path = tmp_path / "runner.toml"
    arguments = json.dumps([str(STAND_IN), kind.value, str(root)])
    path.write_text(
        f"""
agent = "builder"
directories = ["{work}"]
confirm_within = "3s"
turn_within = "8s"

[programs.cli]
kind = "{kind.value}"
path = "{sys.executable}"
arguments = {arguments}
transcripts = "{root}"
"""
    )
    return load(path)


def session(work, **fields):
    return session_of(
        {"session": {"program": "cli", "id": SESSION, "directory": str(work), "prompt": "go"} | fields}
    )


async def woken(settings, wanted):
    results = []

    async def note(result):
        results.append(result)

    await wake(settings, wanted, note)
    return results


async def test_a_session_is_awake_when_the_assistant_has_taken_a_turn(settings, work, root, monkeypatch):
    monkeypatch.setenv("MINOOTS_API_KEY", "mnt_secret")
    assert await woken(settings, session(work, prompt="slow")) == [{"session": SESSION, "program": "cli"}]
    seen = json.loads((root / "seen.json").read_text())
    assert SESSION in seen["arguments"]
    assert seen["cwd"] == str(work)
    assert "MINOOTS_API_KEY" not in seen["environment"]


@pytest.mark.parametrize(
    "prompt", ["; touch pwned", "$(touch pwned)", "--dangerously", "`touch pwned`\n-x", "ü\t🐟"]
)
async def test_a_prompt_is_only_ever_a_prompt(settings, work, root, prompt):
    await woken(settings, session(work, prompt=prompt))
    seen = json.loads((root / "seen.json").read_text())
    assert seen["prompt"] == prompt
    assert all(prompt not in argument for argument in seen["arguments"])
    assert list(work.iterdir()) == []


@pytest.mark.parametrize(
    ("prompt", "why"),
    [
        ("silent", "ended with 0 before the assistant spoke"),
        ("crash", "ended with 3 before the assistant spoke: the model is not there"),
        ("hang", "no turn of the assistant after 3 s"),
    ],
)
async def test_no_growth_is_a_failure(settings, work, prompt, why):
    with pytest.raises(WakeFailed, match=why):
        await woken(settings, session(work, prompt=prompt))
    left = [child for child in psutil.Process().children(recursive=True) if str(STAND_IN) in child.cmdline()]
    assert left == [], "nothing goes on in the background"


@pytest.mark.parametrize("kind", [Kind.CLAUDE_CODE], indirect=True)
async def test_an_error_in_the_name_of_the_assistant_is_no_turn(settings, work):
    with pytest.raises(WakeFailed, match="before the assistant spoke"):
        await woken(settings, session(work, prompt="refused"))


@pytest.mark.parametrize("kind", [Kind.CLAUDE_CODE], indirect=True)
async def test_directories_that_are_not_allowed_are_refused(settings, work, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (work / "way-out").symlink_to(outside)
    (work / "file").write_text("")
    wrong = [
        outside,
        work / "way-out",
        work / ".." / "outside",
        work / "none",
        work / "file",
        "relative",
        "/",
    ]
    for directory in wrong:
        with pytest.raises(WakeFailed, match=r"payload\.session\.directory"):
            await woken(settings, session(work, directory=str(directory)))
    inside = work / "deeper"
    inside.mkdir()
    assert await woken(settings, session(work, directory=str(inside)))


@pytest.mark.parametrize("kind", [Kind.CLAUDE_CODE], indirect=True)
async def test_programs_and_sessions_that_are_not_there_are_refused(settings, work):
    with pytest.raises(WakeFailed, match="expected one of cli; got 'bash'"):
        await woken(settings, session(work, program="bash"))
    with pytest.raises(WakeFailed, match="no transcript of the session"):
        await woken(settings, session(work, id="another-session"))


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        (None, "payload.session"),
        ({"session": "x"}, "payload.session"),
        ({"session": {"program": "cli"}}, "payload.session.id"),
        (
            {"session": {"program": "cli", "id": "--help-me", "directory": "/", "prompt": "x"}},
            "payload.session.id",
        ),
        (
            {"session": {"program": "cli", "id": "../../etc", "directory": "/", "prompt": "x"}},
            "payload.session.id",
        ),
        (
            {"session": {"program": "cli", "id": "*" * 12, "directory": "/", "prompt": "x"}},
            "payload.session.id",
        ),
        (
            {"session": {"program": "cli", "id": "a" * 12, "directory": "/", "prompt": "\x00"}},
            "payload.session",
        ),
    ],
)
def test_what_names_no_session_is_refused(payload, field):
    with pytest.raises(WakeFailed, match=field.replace(".", r"\.")):
        session_of(payload)


@pytest.mark.parametrize("kind", [Kind.CLAUDE_CODE], indirect=True)
async def test_a_transcript_that_is_written_anew_shows_only_what_is_new(settings, work, root):
    file = root / FILES[Kind.CLAUDE_CODE]

    async def rewrite():
        await asyncio.sleep(0.3)
        fresh = file.with_suffix(".new")
        old = datetime.now(UTC) - timedelta(minutes=5)
        stand_in_cli.append(fresh, stand_in_cli.record(Kind.CLAUDE_CODE, "assistant", "copied", old))
        fresh.replace(file)

    with pytest.raises(WakeFailed, match="no turn"):
        await asyncio.gather(woken(settings, session(work, prompt="hang")), rewrite())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "agent: expected a value"),
        ("agent = 'b'\ndirectories = []\nprograms = {}", "directories: expected at least 1 item"),
        ("agent = 'b'\ndirectories = ['x']\nprograms = {}", "expected an absolute path"),
        (
            "agent = 'b'\ndirectories = ['/tmp']\n[programs.x]\nkind = 'claude-code'\npath = '/none/such'",
            "there is none at /none/such",
        ),
        ("agent = 'b'\ncolour = 1", "colour: expected no such field"),
        ("agent =", "expected a readable TOML file"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(tmp_path, text, told):
    path = tmp_path / "runner.toml"
    path.write_text(text)
    with pytest.raises(RunnerFault, match=told):
        load(path)


def test_a_program_that_may_not_be_run_is_told(tmp_path, work):
    script = tmp_path / "script"
    script.write_text("no program")
    script.chmod(stat.S_IRUSR)
    (tmp_path / "t" / "p").mkdir(parents=True)
    (tmp_path / "t" / "p" / f"{SESSION}.jsonl").write_text("")
    path = tmp_path / "runner.toml"
    path.write_text(
        f"agent = 'b'\ndirectories = ['{work}']\n"
        f"[programs.cli]\nkind = 'claude-code'\npath = '{script}'\ntranscripts = '{tmp_path / 't'}'\n"
    )
    if os.geteuid() == 0:
        script.write_bytes(b"\0\0")
    with pytest.raises(WakeFailed, match="cannot be run"):
        asyncio.run(woken(load(path), session(work)))
