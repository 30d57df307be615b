"""`minoots jobs`: every field of a job can be said on the command line."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from minoots.cli.root import app
from minoots.contracts.jobs import AgentJob, ExecJob, LlmJob

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
