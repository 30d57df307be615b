"""The clients and the command line of jobs, against a gateway with Temporal and workers behind it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
import typer
from dev_stacks import run
from gateways import Door

from minoots import AsyncMinoots, Conflict, InvalidRequest, JobEvent, JobState, Minoots, NotFound
from minoots.cli.job_files import file_fields
from minoots.contracts.job_requests import MAX_TEXT
from minoots.contracts.jobs import ExecResult, JobEventType
from minoots.job_following import Transcript
from minoots_platform.clock import utc_now

SCRIPT = "cat in.txt; for one in 1 2 3; do echo $one; done; cp in.txt out.txt"


async def test_a_run_is_followed_and_its_artifacts_are_fetched(full: Door) -> None:
    async with AsyncMinoots(full.url) as client:
        sha256 = await client.jobs.hand_in(b"handed in\n")
        run = await client.jobs.run(
            command=SCRIPT,
            tier="process",
            files=[{"path": "in.txt", "artifact": sha256}],
            outputs=["out.*"],
            labels={"team": "red"},
        )
        seen = [event async for event in run]
        assert [event.sequence for event in seen] == list(range(1, len(seen) + 1))
        assert run.job.state is JobState.SUCCEEDED
        assert isinstance(run.job.result, ExecResult)
        assert run.text == run.transcript.text("stdout") == "handed in\n1\n2\n3\n"
        made = {one.name: one async for one in client.jobs.artifacts(run.job.id)}
        assert await client.jobs.download(made["out.txt"]) == b"handed in\n"
        assert (await client.jobs.get(run.job.id)).request["labels"] == {"team": "red"}
        assert [job.id async for job in client.jobs.list(kind="exec", label={"team": "red"})] == [run.job.id]
        with pytest.raises(Conflict):
            await client.jobs.cancel(run.job.id)
        with pytest.raises(NotFound):
            await client.jobs.download("0" * 64)


async def test_the_other_client_does_the_same(full: Door) -> None:
    def use() -> None:
        with Minoots(full.url) as client:
            run = client.jobs.run(command=["cat"], stdin="hello", tier="process", idempotency_key="k")
            assert run.wait().state is JobState.SUCCEEDED
            assert run.text == "hello"
            again = client.jobs.submit(command=["cat"], stdin="hello", tier="process", idempotency_key="k")
            assert again.id == run.job.id
            assert client.jobs.wait(run.job.id, timeout=60).state is JobState.SUCCEEDED
            [made] = client.jobs.artifacts(run.job.id)
            assert client.jobs.download(made) == b"hello"

    await asyncio.to_thread(use)


async def test_what_is_no_job_is_refused_before_anything_is_sent(full: Door) -> None:
    async with AsyncMinoots(full.url) as client:
        with pytest.raises(InvalidRequest, match="command"):
            await client.jobs.submit(command=[])
        with pytest.raises(InvalidRequest, match="messages"):
            await client.jobs.submit(model="m")
        assert [job async for job in client.jobs.list()] == []


def test_a_transcript_leaves_out_what_is_void() -> None:
    def event(number: int, kind: JobEventType, **data: object) -> JobEvent:
        return JobEvent(sequence=number, time=utc_now(), type=kind, attempt=1, data=data)

    seen = Transcript()
    assert not seen.add(event(1, JobEventType.STATUS, state="running"))
    seen.add(event(2, JobEventType.TOKEN, text="half"))
    assert seen.add(event(3, JobEventType.STATUS, drop_after=0))
    seen.add(event(4, JobEventType.TOKEN, text="all"))
    assert seen.text() == "all"
    assert [one.sequence for one in seen.events] == [3, 4]


def _never(data: bytes) -> str:
    raise AssertionError(f"expected nothing to be handed in; got {data!r}")


def test_a_file_of_a_job_has_the_white_space_that_it_was_given(tmp_path: Path) -> None:
    found = file_fields([" in/a.txt =  two words \n\n", "b="], _never)
    assert found == [{"path": "in/a.txt", "text": "  two words \n\n"}, {"path": "b", "text": ""}]
    lines = tmp_path / "lines"
    lines.write_bytes("ä\r\nb\r\n".encode())
    assert file_fields([f"c=@{lines}"], _never) == [{"path": "c", "text": "ä\r\nb\r\n"}]


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\xff", b"a\x00b", b"a" * (MAX_TEXT + 1)])
def test_a_file_that_no_request_holds_as_text_is_handed_in_and_named_by_its_hash(
    data: bytes, tmp_path: Path
) -> None:
    picture, handed = tmp_path / "picture", []

    def hand_in(given: bytes) -> str:
        handed.append(given)
        return "5" * 64

    picture.write_bytes(data)
    assert file_fields([f"in.png=@{picture}"], hand_in) == [{"path": "in.png", "artifact": "5" * 64}]
    assert handed == [data]


@pytest.mark.parametrize("digest", ["", "00", "A" * 64, "0" * 65])
def test_a_hash_that_is_none_is_no_text_of_a_file(digest: str) -> None:
    assert file_fields([f"a=sha256:{'0' * 64}"], _never) == [{"path": "a", "artifact": "0" * 64}]
    with pytest.raises(typer.BadParameter, match="64 digits of 0-9a-f for a"):
        file_fields([f"a=sha256:{digest}"], _never)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--output", "../x"], "body.exec.outputs.0: expected a path or pattern below the working folder"),
        (["--output", "/x"], "body.exec.outputs.0: expected a path or pattern below the working folder"),
        (["--file", "../x=1"], "body.exec.files.0.path: expected a path below the working folder"),
        (
            ["--file", "a=1", "--file", "a=2"],
            "expected files of different paths; got a twice",
        ),
        (["--file", "a/b=1", "--file", "a=2"], "none is a folder of another; got a and a/b"),
    ],
)
def test_the_command_line_refuses_paths_that_cannot_be_before_it_sends_them(
    options: list[str], said: str, tmp_path: Path
) -> None:
    # Nobody is there: nothing is asked.
    ran = run("jobs", "submit", "--url", "http://127.0.0.1:1", *options, "--", "true", cwd=tmp_path)
    assert ran.returncode == 4, ran.stdout + ran.stderr
    assert said in ran.stderr
    assert "nothing was sent" in ran.stderr


async def test_the_command_line_submits_follows_lists_and_fetches(full: Door, tmp_path: Path) -> None:
    async def minoots(command: str, *arguments: str, code: int = 0) -> str:
        # A process of its own: the gateway of this one writes its log where a command would be read.
        ran = await asyncio.to_thread(
            run, "jobs", command, "--url", full.url, *arguments, cwd=tmp_path, timeout=120
        )
        assert ran.returncode == code, ran.stdout + ran.stderr
        return ran.stdout

    words = tmp_path / "words"
    words.write_text("some words\n")
    (tmp_path / "bytes").write_bytes(bytes(range(256)))
    options = ["--tier", "process", "--file", f"in.txt=@{words}", "--output", "*.txt", "--name", "greet"]
    watched = await minoots("submit", *options, "--watch", "--", "sh", "-c", "cat in.txt; echo x > out.txt")
    assert "some words" in watched
    assert "succeeded" in watched
    listed = await minoots("list", "--json", "--name", "greet")
    [job] = [json.loads(line) for line in listed.splitlines()]
    assert job["state"] == "succeeded"
    assert await minoots("logs", job["id"]) == "some words\n"
    shown = await minoots("artifacts", job["id"])
    assert "out.txt" in shown
    assert await minoots("artifacts", job["id"], "out.txt") == "x\n"
    await minoots("artifacts", job["id"], "--save", str(tmp_path / "made"))
    assert (tmp_path / "made" / "in.txt").read_text() == "some words\n"
    counted = ["--tier", "process", "--file", "all.bin=@bytes", "--watch", "--", "wc", "-c", "all.bin"]
    assert "256 all.bin" in await minoots("submit", *counted)
    await minoots("artifacts", job["id"], "nothing", code=3)
    await minoots("cancel", job["id"], code=4)
    failing = await minoots("submit", "--tier", "process", "--watch", "--", "false", code=8)
    assert "exited with 1" in failing
    await minoots("submit", code=2)
