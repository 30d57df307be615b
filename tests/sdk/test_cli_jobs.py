"""`minoots jobs` and interruptions: every field can be said, and what goes on without its reader is told."""

import json
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from minoots.cli.root import app
from minoots.contracts.job_requests import AgentJob, ExecJob, LlmJob

HASH = "ab" * 32
IMAGE = f"registry.example/x@sha256:{HASH}"


@pytest.fixture
def sent(gateway, make):
    """Submits by the command line; returns the body."""
    gateway.answer("POST", "/v1/jobs", make.reply({"kind": "invalid", "title": "x", "status": 422}, 422))

    def submit(*arguments):
        done = CliRunner().invoke(app, ["--url", gateway.url, "jobs", "submit", *arguments])
        assert done.exit_code == 4, done.output
        return gateway.seen[-1].body

    return submit


COMMON = [
    "--name", "n", "--priority", "2", "--label", "a=b", "--metadata", '{"x": 1}',
    "--deadline", "2040-01-01T12:00:00+01:00", "--budget", "tokens=500", "--budget", "cost=0.25",
]  # fmt: skip
COMMON_SENT = {
    "name": "n",
    "priority": 2,
    "labels": {"a": "b"},
    "metadata": {"x": 1},
    "deadline": "2040-01-01T11:00:00Z",
    "budget": {"tokens": 500, "cost_micros": 250_000},
}
MODEL = ["--model", "m", "--provider", "ollama", "--locality", "allow_cloud", "--max-tokens", "9"]
MODEL += ["--context-tokens", "99", "--temperature", "0", "--seed", "0", "--no-think"]
MODEL_SENT = {
    "model": "m",
    "provider": "ollama",
    "locality": "allow_cloud",
    "max_tokens": 9,
    "context_tokens": 99,
    "temperature": 0,
    "seed": 0,
    "think": False,
}
SANDBOX = [
    "--file", "a=x", "--file", f"b=sha256:{HASH}", "--output", "o", "--tier", "container", "--image", IMAGE,
    "--network", "example.org", "--time", "2m", "--memory", "64", "--disk", "32", "--cpus", "0.5",
    "--set", "limits.processes=8", "--set", "limits.output_kb=9",
]  # fmt: skip
SANDBOX_SENT = {
    "files": [{"path": "a", "text": "x"}, {"path": "b", "artifact": HASH}],
    "outputs": ["o"],
    "tier": "container",
    "image": IMAGE,
    "network": ["example.org"],
    "limits": {
        "time": "2m",
        "memory_mb": 64,
        "disk_mb": 32,
        "cpus": 0.5,
        "processes": 8,
        "output_kb": 9,
    },
}


def test_every_field_of_a_question_can_be_said(sent):
    body = sent(
        "--prompt", "why?", "--system", "short", *COMMON, *MODEL, "--schema", '{"type": "object"}',
        "--on-break", "restart", "--set", 'needs=["json"]', "--set", 'stop=["."]',
        "--set", 'tools=[{"name": "t", "parameters": {}}]',
    )  # fmt: skip
    assert body == {
        **COMMON_SENT,
        **MODEL_SENT,
        "kind": "llm",
        "messages": [{"role": "system", "text": "short"}, {"role": "user", "text": "why?"}],
        "json_schema": {"type": "object"},
        "on_break": "restart",
        "needs": ["json"],
        "stop": ["."],
        "tools": [{"name": "t", "parameters": {}}],
    }
    assert set(body) == set(LlmJob.model_fields)


def test_every_field_of_a_program_can_be_said(sent):
    body = sent(
        *COMMON, *SANDBOX, "--env", "A= b=c ", "--stdin", "words", "--on-lost", "fail",
        "--", "echo", "-n", "x",
    )  # fmt: skip
    expected = {**COMMON_SENT, **SANDBOX_SENT, "kind": "exec", "command": ["echo", "-n", "x"]}
    assert body == {**expected, "env": {"A": " b=c "}, "stdin": "words", "on_lost": "fail"}
    assert set(body) | {"sandbox"} == set(ExecJob.model_fields)
    standing = f"sbx_{'0' * 26}"
    assert sent("--set", f"sandbox={standing}", "--", "x")["sandbox"] == standing
    assert sent("--set", "kind=vm", "--", "x")["kind"] == "vm"


def test_every_field_of_an_agent_can_be_said(sent):
    body = sent(
        "--task", "go", "--system", "short", *COMMON, *MODEL, *SANDBOX, "--tool", "run=never", "--turns", "3",
        "--mcp", "a=python3 a.py", "--set", "max_calls=4", "--set", "stuck_after=5",
    )  # fmt: skip
    assert body == {
        **COMMON_SENT,
        **MODEL_SENT,
        **SANDBOX_SENT,
        "kind": "agent",
        "task": "go",
        "system": "short",
        "tools": [{"name": "run", "approval": "never"}],
        "mcp": [{"name": "a", "command": ["python3", "a.py"]}],
        "max_turns": 3,
        "max_calls": 4,
        "stuck_after": 5,
    }
    assert set(body) == set(AgentJob.model_fields)


def test_a_deadline_may_be_from_now_on(sent):
    before = datetime.now(UTC)
    found = datetime.fromisoformat(sent("--deadline", "2h", "--", "x")["deadline"])
    assert found - before >= timedelta(hours=2)


@pytest.mark.parametrize(
    "wrong",
    [
        ["--deadline", "soon"],
        ["--budget", "500"],
        ["--budget", "tokens=many"],
        ["--budget", "cost=inf"],
        ["--budget", "time=5"],
        ["--env", "A"],
        ["--set", "limits"],
        ["--metadata", "{"],
    ],
)
def test_what_means_nothing_is_wrong_usage(gateway, wrong):
    done = CliRunner().invoke(app, ["--url", gateway.url, "jobs", "submit", *wrong, "--", "true"])
    assert done.exit_code == 2, done.output
    assert gateway.seen == []


def test_a_field_that_there_is_not_is_refused_before_it_is_sent(gateway):
    told = ["--url", gateway.url, "--json", "jobs", "submit", "--set", "colour=red", "--", "true"]
    done = CliRunner().invoke(app, told)
    assert done.exit_code == 4, done.output
    assert "colour" in json.loads(done.stderr)["errors"][0]["field"]
    assert gateway.seen == []


AT = "2026-07-01T10:00:00Z"
JOB = {
    "id": "job_1", "kind": "exec", "name": "x", "state": "running", "priority": 3, "labels": {}, "attempt": 1,
    "events": 1, "created_at": AT, "created_by": "me", "deadline": AT,
}  # fmt: skip
LOG = {"sequence": 1, "time": AT, "type": "log", "attempt": 1, "data": {"stream": "stdout", "text": "half"}}
INGEST = {
    "id": "ing_1", "state": "completed", "files": 100, "bytes": 3, "counts": {"created": 100}, "labels": {},
    "created_at": AT, "created_by": "me",
}  # fmt: skip


class Interrupted:
    """A command in a process of its own, which Ctrl-C meets while it waits for an answer."""

    def __init__(self, gateway, make):
        self.gateway = gateway
        self.reply = make.reply
        self.process = None

    def answer(self, seen):
        self.process.send_signal(signal.SIGINT)
        return self.reply({"items": [], "state": "running", "next_after": 1})(seen)

    def run(self, *arguments):
        code = "from minoots.cli import main; main()"
        told = [sys.executable, "-c", code, *arguments, "--url", self.gateway.url]
        with subprocess.Popen(
            told, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as self.process:
            out, err = self.process.communicate(timeout=120)
        return self.process.returncode, out, err


@pytest.fixture
def ctrl_c(gateway, make):
    return Interrupted(gateway, make)


@pytest.mark.parametrize("command", [["watch", "job_1"], ["submit", "--prompt", "why?", "--watch"]])
def test_who_stops_following_is_told_that_the_job_goes_on(gateway, make, ctrl_c, command):
    gateway.answer("POST", "/v1/jobs", make.reply(JOB, 201))
    first = make.reply({"items": [LOG], "state": "running", "next_after": 1})
    gateway.answer("GET", "/v1/jobs/job_1/events", first, ctrl_c.answer)
    code, out, err = ctrl_c.run("jobs", *command)
    assert (code, out) == (130, "half\n"), err
    assert "the job job_1 any more, which goes on" in err
    assert "minoots jobs watch job_1" in err
    assert "minoots jobs cancel job_1" in err
    assert not [seen for seen in gateway.seen if seen.path.endswith("/cancel")]
    gateway.answer("GET", "/v1/jobs/job_1/events", first, ctrl_c.answer)
    code, out, err = ctrl_c.run("jobs", *command, "--json")
    assert (code, json.loads(out)["sequence"]) == (130, 1)
    assert json.loads(err)["kind"] == "cancelled"


def test_a_job_whose_answer_had_not_come_may_have_been_submitted(gateway, ctrl_c):
    gateway.answer("POST", "/v1/jobs", ctrl_c.answer)
    code, out, err = ctrl_c.run("jobs", "submit", "--prompt", "why?")
    assert (code, out) == (130, "")
    assert "may have been submitted" in err
    assert "--idempotency-key" in err


def test_logs_that_are_interrupted_are_quiet(gateway, ctrl_c):
    gateway.answer("GET", "/v1/jobs/job_1/events", ctrl_c.answer)
    assert ctrl_c.run("jobs", "logs", "job_1") == (130, "", "")


def test_who_interrupts_taking_in_is_told_how_much_was_accepted_and_how_to_go_on(
    gateway, make, ctrl_c, tmp_path
):
    for number in range(150):
        (tmp_path / f"{number}.txt").write_text("x")
    gateway.answer("POST", "/v1/ingest", make.reply(INGEST, 202), ctrl_c.answer)
    code, _, err = ctrl_c.run("ingest", "add", str(tmp_path), "--no-wait")
    assert code == 130, err
    assert "100 files were accepted, and 50 more may have been; they are read on" in err
    assert "The same command again goes on" in err
    assert "minoots ingest show ing_1" in err
    gateway.answer("POST", "/v1/ingest", ctrl_c.answer)
    code, _, err = ctrl_c.run("ingest", "add", str(tmp_path), "--no-wait")
    assert code == 130
    assert "0 files were accepted, and 100 more may have been" in err


def files_of(sent, *given):
    """The files of a job that are sent for what is given, by their paths."""
    told = [part for one in given for part in ("--file", one)]
    return {file.pop("path"): file for file in sent(*told, "--", "true")["files"]}


def test_a_folder_goes_along_as_it_is_without_the_history_of_git(sent, tmp_path):
    (tmp_path / "src" / "deep").mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text("ref: refs/heads/main")
    (tmp_path / "check.sh").write_text("#!/bin/sh\n")
    (tmp_path / "check.sh").chmod(0o755)
    (tmp_path / "src" / "deep" / "a.py").write_text("a = 1\n")
    whole = {"check.sh": {"text": "#!/bin/sh\n", "executable": True}, "src/deep/a.py": {"text": "a = 1\n"}}
    assert files_of(sent, f".=@{tmp_path}") == whole
    assert files_of(sent, f"here/=@{tmp_path}/src") == {"here/deep/a.py": {"text": "a = 1\n"}}
    assert files_of(sent, f"run=@{tmp_path}/check.sh") == {"run": whole["check.sh"]}
    assert files_of(sent, f".git=@{tmp_path}/.git") == {".git/HEAD": {"text": "ref: refs/heads/main"}}


def test_no_link_of_a_folder_is_followed_and_it_is_told(gateway, make, tmp_path):
    gateway.answer("POST", "/v1/jobs", make.reply(JOB, 201))
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "key").write_text("secret")
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "a.txt").write_text("a")
    (repository / "key").symlink_to(tmp_path / "private" / "key")
    (repository / "all").symlink_to(tmp_path / "private")
    told = ["--url", gateway.url, "jobs", "submit", "--file", f".=@{repository}", "--", "true"]
    done = CliRunner().invoke(app, told)
    assert done.exit_code == 0, done.output
    assert gateway.seen[-1].body["files"] == [{"path": "a.txt", "text": "a"}]
    assert f"{repository}/key does not go along: it is a link" in done.stderr
    assert f"{repository}/all does not go along: it is a link" in done.stderr


def test_files_that_no_request_would_hold_together_go_by_their_hash(sent, gateway, make, tmp_path):
    kept = make.reply({"sha256": HASH, "bytes": 1}, 201)
    gateway.answer("POST", "/v1/artifacts", *[kept] * 3)
    for number in range(5):
        (tmp_path / f"{number}.txt").write_text("x" * 200_000)
    found = files_of(sent, f".=@{tmp_path}")
    assert [next(iter(file)) for file in found.values()] == ["text"] * 2 + ["artifact"] * 3


@pytest.mark.parametrize("given", [["a=1", "a=2"], [".=@{}", "a.txt=2"]])
def test_a_path_that_comes_twice_is_refused_and_not_the_last_one_taken(gateway, tmp_path, given):
    (tmp_path / "a.txt").write_text("1")
    told = [part for one in given for part in ("--file", one.format(tmp_path))]
    done = CliRunner().invoke(app, ["--url", gateway.url, "jobs", "submit", *told, "--", "true"])
    assert done.exit_code == 4, done.output
    assert "different paths" in done.stderr
    assert gateway.seen == []


def test_a_folder_of_too_many_files_is_refused_with_what_to_do(gateway, tmp_path):
    for number in range(300):
        (tmp_path / f"{number}").touch()
    told = ["--url", gateway.url, "jobs", "submit", "--file", f".=@{tmp_path}", "--", "true"]
    done = CliRunner().invoke(app, told)
    assert done.exit_code == 2
    assert "256" in done.output
    assert gateway.seen == []


def event(sequence, kind, **data):
    """An event of a job, as the gateway gives it."""
    return {"sequence": sequence, "time": AT, "type": kind, "attempt": 1, "data": data}


@pytest.fixture
def watched(gateway, make):
    """Follows a job by the command line; returns the lines that are printed."""

    def watch(job, *happened):
        page = {"items": list(happened), "state": job["state"], "next_after": len(happened)}
        gateway.answer("GET", "/v1/jobs/job_1/events", make.reply(page))
        gateway.answer("GET", "/v1/jobs/job_1", make.reply({**JOB, **job, "request": {}}))
        done = CliRunner().invoke(app, ["--url", gateway.url, "jobs", "watch", "job_1"])
        assert done.exit_code == 0, done.output
        return [" ".join(line.split()) for line in done.output.splitlines()]

    return watch


def test_who_follows_a_program_is_told_what_was_not_let_out_and_by_what_it_ran(watched):
    refused = {
        "allowed": False,
        "host": "tea.example",
        "port": 443,
        "reason": "tea.example:443 is not allowed",
    }
    result = {
        "kind": "exec", "ended": "exited", "exit_code": 0, "wall_ms": 1, "cpu_ms": 1, "peak_kb": 1,
        "tier": "vm", "held_by": {"accelerator": "tcg"}, "network": {"allowed": 2, "refused": 1},
    }  # fmt: skip
    lines = watched(
        {"state": "succeeded", "result": result},
        event(1, "status", network={"allowed": True, "host": "milk.example", "port": 443}),
        event(2, "status", network=refused),
        event(3, "status", state="succeeded"),
    )
    assert lines[0] == "not let out: tea.example:443 is not allowed"
    assert "run by tcg" in lines
    assert "network 2 let out, 1 not" in lines
    assert not [line for line in lines if "milk.example" in line]


def test_who_follows_a_question_is_told_who_did_not_answer_and_what_is_amiss(watched):
    attempts = [
        {"number": 0, "provider": "ollama", "model": "m", "error": "circuit_open"},
        {"number": 1, "provider": "desk", "model": "m"},
    ]
    result = {
        "kind": "llm", "answer": HASH, "finish": "stop", "provider": "desk", "model": "m", "local": False,
        "usage": {"input_tokens": 1, "output_tokens": 2, "cost_micros": 1500}, "currency": "EUR",
        "attempts": attempts, "fell_back": True, "warnings": ["half of it was not read"],
    }  # fmt: skip
    lines = watched(
        {"kind": "llm", "state": "succeeded", "result": result},
        event(1, "status", retry_in=0.5, reason="it is away"),
        event(2, "status", retry_in=38.4, reason="it is away"),
        event(3, "status", state="succeeded"),
    )
    assert lines[:2] == ["waits 0.5 s: it is away", "waits 38 s: it is away"]
    assert "fell back ollama/m: circuit_open" in lines
    assert "warning half of it was not read" in lines
    assert "cost 0.0015 EUR" in lines
