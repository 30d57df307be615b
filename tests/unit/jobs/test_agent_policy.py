"""What an agent may do: refused unless a rule says otherwise, and asked about where it leaves the sandbox."""

from __future__ import annotations

import json
from typing import Any

import pytest

from minoots.contracts import AgentJob, AgentTool, ToolCall
from minoots_activities.jobs.agents.arguments import ARGUMENTS, spec_of
from minoots_activities.jobs.agents.policy import BY_DEFAULT, judge, said
from minoots_activities.jobs.servers.offers import Offer, name_for
from minoots_platform.records import agent_words
from minoots_platform.records.agent_runs import CallState, NewCall


def job(**more: Any) -> AgentJob:
    """A job of an agent."""
    return AgentJob.model_validate({"kind": "agent", "task": "x", **more})


def call(tool: str, /, **arguments: Any) -> ToolCall:
    """A call."""
    return ToolCall(id="1", name=tool, arguments=arguments)


def judged(
    of: AgentJob, *calls: ToolCall, made: dict[str, int] | None = None, total: int = 0
) -> list[NewCall]:
    """What becomes of calls."""
    return list(judge(of, calls, made or {}, total))


RUN = call("run", command="true")
TIMER = call("set_timer", name="t", seconds=5, webhook="https://example.org/")


def test_every_tool_has_arguments_and_tells_its_model_of_them() -> None:
    assert ARGUMENTS.keys() == set(AgentTool)
    for tool in AgentTool:
        spec = spec_of(tool)
        assert spec.description
        assert spec.parameters["additionalProperties"] is False
        assert "title" not in spec.parameters


def test_without_rules_there_is_what_stays_in_the_sandbox() -> None:
    assert set(AgentTool) - set(BY_DEFAULT) == {
        AgentTool.SET_TIMER,
        AgentTool.HTTP,
        AgentTool.CONTEXT,
    }
    assert [one.state for one in judged(job(), RUN, TIMER)] == [CallState.READY, CallState.REFUSED]


@pytest.mark.parametrize(
    ("more", "state"),
    [
        ({}, CallState.READY),
        ({"tier": "process"}, CallState.ASKED),
        ({"network": ["example.org"]}, CallState.ASKED),
        ({"network": ["example.org"], "tools": [{"name": "run", "approval": "never"}]}, CallState.READY),
        ({"tier": "vm"}, CallState.READY),
        ({"tools": [{"name": "run", "approval": "always"}]}, CallState.ASKED),
        ({"tier": "process", "tools": [{"name": "run", "approval": "never"}]}, CallState.READY),
    ],
)
def test_what_leaves_the_sandbox_is_asked_about(more: dict[str, Any], state: CallState) -> None:
    assert [one.state for one in judged(job(**more), RUN)] == [state]


def test_what_only_begins_like_the_tool_of_a_server_is_no_tool() -> None:
    server = {
        "name": "files",
        "url": "https://example.org/mcp",
        "tools": [{"name": "*", "approval": "never"}],
    }
    of = job(mcp=[server], network=["example.org"])
    name = name_for("files", "x" * 100, ())
    offer = Offer(name=name, server="files", tool="x" * 100, parameters={}, sha256="0" * 64)
    calls = [call(name), call(f"{name}s")]
    [there, none] = judge(of, calls, {}, 0, {name: offer})
    assert (len(name), there.state, none.state) == (64, CallState.READY, CallState.REFUSED)
    assert "there is no tool" in str(none.reason)


def test_a_timer_is_asked_about_even_if_it_is_allowed() -> None:
    assert judged(job(tools=[{"name": "set_timer"}]), TIMER)[0].state is CallState.ASKED
    [bad] = judged(
        job(tools=[{"name": "set_timer"}]), call("set_timer", name="t", seconds=5, webhook="ftp://x/")
    )
    assert bad.state is CallState.REFUSED
    assert "http" in str(bad.reason)


def test_whoever_is_asked_is_shown_all_that_a_call_is_made_with() -> None:
    hidden = "https://hidden.example.org/"
    wanted = call("set_timer", name="t", payload={"x": "y" * 5000}, seconds=5, webhook=hidden)
    [asked] = judged(job(tools=[{"name": "set_timer"}]), wanted)
    assert json.loads(asked.preview) == wanted.arguments
    [ready] = judged(job(tools=[{"name": "set_timer", "approval": "never"}]), wanted)
    assert len(ready.preview) == 500


def test_how_often_counts_what_was_made_before_and_in_the_same_answer() -> None:
    rules = job(tools=[{"name": "run", "max_calls": 3}])
    states = [one.state for one in judged(rules, RUN, RUN, made={"run": 2})]
    assert states == [CallState.READY, CallState.REFUSED]
    last, beyond = judged(job(max_calls=5), RUN, RUN, total=4)
    assert (last.state, beyond.state) == (CallState.READY, CallState.REFUSED)
    assert beyond.audited


@pytest.mark.parametrize(
    ("tool", "arguments", "says"),
    [
        ("read_file", {"path": "/etc/passwd"}, "below the working folder"),
        ("read_file", {"path": "a/../../b"}, "below the working folder"),
        ("read_file", {"path": "a", "lines": 0}, "lines"),
        ("write_file", {"path": "a"}, "text"),
        ("run", {"command": "true", "sudo": True}, "sudo"),
        ("sleep", {"seconds": -1}, "seconds"),
        ("sleep", {"seconds": float("inf")}, "arguments.seconds"),
        ("search_files", {"text": "\x00"}, "NUL"),
    ],
)
def test_arguments_that_do_not_do_are_told_to_the_model(
    tool: str, arguments: dict[str, Any], says: str
) -> None:
    wanted = ToolCall.model_construct(id="1", name=tool, arguments=arguments, malformed=None)
    [verdict] = judged(job(), wanted)
    assert verdict.state is CallState.REFUSED
    assert not verdict.audited
    assert says in str(verdict.reason)


def test_a_call_may_take_no_longer_than_its_rule_says() -> None:
    rules = job(tools=[{"name": "sleep", "time": "10s"}])
    states = [one.state for one in judged(rules, call("sleep", seconds=10), call("sleep", seconds=11))]
    assert states == [CallState.READY, CallState.REFUSED]


def test_what_no_record_could_keep_is_replaced_and_calls_are_numbered() -> None:
    odd = ToolCall.model_construct(id="", name="ru\x00n", arguments={"command": "\ud800"}, malformed=None)
    message = said("half \udc00 of it\x00", [odd, RUN], first=7)
    assert [one.id for one in message.tool_calls] == ["call_7", "call_8"]
    assert message.tool_calls[0].malformed is not None
    assert agent_words.decode(agent_words.encode(message)) == message
    [verdict] = judged(job(), message.tool_calls[0])
    assert verdict.state is CallState.REFUSED


HTTP: dict[str, Any] = {"tools": [{"name": "http"}], "network": ["example.org"]}


def test_a_request_waits_for_a_yes_unless_a_rule_says_otherwise() -> None:
    asked = call("http", url="https://example.org/")
    assert [one.state for one in judged(job(**HTTP), asked)] == [CallState.ASKED]
    free = job(**HTTP | {"tools": [{"name": "http", "approval": "never"}]})
    assert [one.state for one in judged(free, asked)] == [CallState.READY]


@pytest.mark.parametrize(
    "arguments",
    [
        {"url": "ftp://example.org/"},
        {"url": "https://me@example.org/"},
        {"url": "https:///path"},
        {"url": "https://example.org:0/"},
        {"url": "https://example.org:99999/"},
        {"url": "https://example.org/\r\nX: y"},
        {"url": "https://exämple.org/"},
        {"url": "https://[::1/"},
        {"url": "https://example.org/", "method": "CONNECT"},
        {"url": "https://example.org/", "headers": {"Host": "other.example"}},
        {"url": "https://example.org/", "headers": {"Transfer-Encoding": "chunked"}},
        {"url": "https://example.org/", "headers": {"X": "a\r\nY: b"}},
        {"url": "https://example.org/", "headers": {"X Y": "a"}},
    ],
)
def test_what_is_no_plain_request_is_refused(arguments: dict[str, Any]) -> None:
    [refused] = judged(job(**HTTP), call("http", **arguments))
    assert refused.state is CallState.REFUSED
    assert "the arguments of http do not do" in refused.reason


def test_a_name_that_only_begins_like_that_of_a_tool_is_none() -> None:
    with_server = job(
        mcp=[{"name": "s", "command": ["x"], "tools": [{"name": "*", "approval": "never"}]}],
        tools=[{"name": "run"}],
    )
    longest = name_for("s", "t" * 80, ())
    offer = Offer(name=longest, server="s", tool="t" * 80, parameters={"type": "object"}, sha256="0" * 64)

    def state(name: str) -> CallState:
        [verdict] = judge(with_server, [call(name)], {}, 0, {longest: offer})
        assert len(verdict.tool) <= 64, "as the records keep it"
        return verdict.state

    assert state(longest) is CallState.READY
    assert state(f"{longest}_more") is CallState.REFUSED


def test_what_no_single_argument_is_at_fault_for_is_told_of_none() -> None:
    [refused] = judged(job(tools=({"name": "set_timer"},)), call("set_timer", name="tea", seconds=2))
    assert refused.reason == (
        "the arguments of set_timer do not do: expected either webhook or agent; got both or neither"
    )
