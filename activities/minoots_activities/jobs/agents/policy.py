"""What an agent may do: which calls of its model happen, which wait for somebody, which are refused.

Safe by default: a tool is there only if a rule says so, and what leaves the sandbox waits for somebody's yes.
Pure: no records, no clock.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from minoots.contracts import AgentJob, AgentTool, Approval, McpToolRule, Message, Role, ToolCall, ToolRule
from minoots.contracts.base import check_json
from minoots_activities.jobs.globs import TooMuchWorkError, Work, matches
from minoots_activities.jobs.reaching import reaches_out
from minoots_activities.jobs.servers.offers import Offer, Offers, rule_of, server_of
from minoots_activities.jobs.servers.schemas import faults
from minoots_platform.records.agent_runs import CallState, NewCall

from .arguments import MalformedError, parsed, require_json

BY_DEFAULT: Final = (
    AgentTool.READ_FILE,
    AgentTool.WRITE_FILE,
    AgentTool.EDIT_FILE,
    AgentTool.LIST_FILES,
    AgentTool.SEARCH_FILES,
    AgentTool.RUN,
    AgentTool.SLEEP,
)
"""The tools of a job that names none: all that stay in the sandbox."""
MOST_FAULTS: Final = 4
"""Turns in a row with calls that are refused, after which a job is given up."""
MOST_AT_ONCE: Final = 64
"""Calls that one answer may want; what is beyond is not kept, and the model is told so."""
_TOOLS: Final = frozenset(tool.value for tool in AgentTool)
_PREVIEW: Final = 500
_LONGEST_NAME: Final = 64
_STEPS: Final = 1_000_000


def rules_of(job: AgentJob) -> dict[AgentTool, ToolRule]:
    """Return the tools that an agent has, each with its rule."""
    rules = tuple(ToolRule(name=tool) for tool in BY_DEFAULT) if job.tools is None else job.tools
    return {rule.name: rule for rule in rules}


def needs_approval(rule: ToolRule | McpToolRule, job: AgentJob) -> bool:
    """Tell whether somebody has to say yes to each use of a tool."""
    if isinstance(rule, McpToolRule) or rule.approval is not None:
        return rule.approval is Approval.ALWAYS
    if rule.name is AgentTool.RUN:
        return reaches_out(job)
    return rule.name in (AgentTool.SET_TIMER, AgentTool.HTTP)


def judge(
    job: AgentJob,
    calls: Sequence[ToolCall],
    made: Mapping[str, int],
    total: int,
    offers: Offers = MappingProxyType({}),
) -> tuple[NewCall, ...]:
    """Return what becomes of the calls that a model wants to make.

    Args:
        job: the job, whose rules hold.
        calls: what the model wants, in order.
        made: how many calls of each tool were made before.
        total: how many calls were wanted before.
        offers: what its servers offer.
    """
    rules = rules_of(job)
    counted = dict(made)
    judged = []
    for call in calls:
        total += 1
        verdict = _judge(job, rules, offers, call, counted, total)
        if verdict.state is not CallState.REFUSED:
            counted[verdict.tool] = counted.get(verdict.tool, 0) + 1
        judged.append(verdict)
    return tuple(judged)


def _judge(
    job: AgentJob,
    rules: Mapping[AgentTool, ToolRule],
    offers: Offers,
    call: ToolCall,
    made: Mapping[str, int],
    total: int,
) -> NewCall:
    wholly = clean(call.name)
    # As it is kept. What begins like the name of a tool is none of it.
    name = wholly[:_LONGEST_NAME]
    preview = _preview(call)

    def refused(reason: str, *, audited: bool = True) -> NewCall:
        return NewCall(name, preview, CallState.REFUSED, reason, audited)

    listed = ", ".join([*rules, *offers])
    known = wholly in _TOOLS
    offer = offers.get(wholly)
    rule: ToolRule | McpToolRule | None = rules.get(AgentTool(name)) if known else None
    if offer is not None:
        rule = rule_of(server_of(job, offer.server), offer.tool)
    if rule is None:
        what = f"you may not use the tool {name}" if known else f"there is no tool {name}"
        return refused(f"{what}; yours are {listed or 'none'}")
    if total > job.max_calls:
        return refused(f"{job.max_calls} calls are made, and no more are allowed; finish without tools")
    if rule.max_calls is not None and made.get(name, 0) >= rule.max_calls:
        return refused(f"{name} may be used {rule.max_calls} times, and was; go on without it")
    try:
        wanted = _wanted(rule, offer, call)
    except MalformedError as error:
        return refused(f"the arguments of {name} do not do: {error}", audited=False)
    if isinstance(rule, ToolRule):
        path = getattr(wanted, "path", None)
        if path is not None and not allowed(rule, path):
            return refused(f"{name} may touch only {', '.join(rule.paths)}; not {path}")
        seconds = getattr(wanted, "seconds", None)
        if rule.time is not None and seconds is not None and seconds > rule.time.total_seconds():
            longest = f"{rule.time.total_seconds():g}"
            return refused(f"{name} may take {longest} seconds at most; ask for less", audited=False)
    if needs_approval(rule, job):
        # All of it: nobody can say yes to what they are not shown, and a model could hide the end of it.
        return NewCall(name, _arguments(call), CallState.ASKED)
    return NewCall(name, preview, CallState.READY)


def _wanted(rule: ToolRule | McpToolRule, offer: Offer | None, call: ToolCall) -> Any:
    """Return the arguments of a call.

    Raises:
        MalformedError: they are none that the tool takes.
    """
    if offer is None:
        return parsed(AgentTool(rule.name), call)
    require_json(call)
    try:
        wrong = faults(offer.parameters, call.arguments)
    except TooMuchWorkError:
        raise MalformedError("it takes too long to hold them against the tool's schema") from None
    if wrong:
        raise MalformedError("; ".join(wrong))
    return call.arguments


def allowed(rule: ToolRule, path: str, work: Work | None = None) -> bool:
    """Tell whether a rule lets a tool touch a file; what cannot be told in a bounded time is not allowed.

    Args:
        rule: of the tool.
        path: of the file.
        work: what many files share; by default each has as much as one may need.

    Raises:
        TooMuchWorkError: it takes more than is left of ``work``.
    """
    if not rule.paths:
        return True
    try:
        own = Work(_STEPS) if work is None else work
        return any(matches(pattern, path, own) for pattern in rule.paths)
    except TooMuchWorkError:
        if work is not None:
            raise
        return False


def said(text: str, calls: Sequence[ToolCall], first: int) -> Message:
    """Return what a model has said as it is kept: what no record could keep is replaced.

    Calls get names of ours, numbered from ``first``: those of models are not always different. What is beyond
    `MOST_AT_ONCE` of them is left out; see `bounded`.
    """
    kept = []
    for number, call in enumerate(calls[:MOST_AT_ONCE], start=first):
        malformed = None if call.malformed is None else clean(call.malformed)
        arguments: dict[str, Any] = call.arguments
        try:
            check_json(arguments)
        except ValueError:
            arguments, malformed = {}, clean(json.dumps(arguments))
        name = clean(call.name)[:200] or "?"
        kept.append(ToolCall(id=call_id(number), name=name, arguments=arguments, malformed=malformed))
    return Message(role=Role.ASSISTANT, text=clean(text), tool_calls=tuple(kept))


def bounded(calls: tuple[NewCall, ...], wanted: int) -> tuple[NewCall, ...]:
    """Return the calls of an answer that wanted so many: the last one tells the model that some are left out.

    Whoever is told of it wants the others in the next answer; to leave them out silently would look like an
    agent that has done what it has not.
    """
    if wanted <= MOST_AT_ONCE:
        return calls
    *kept, last = calls
    reason = (
        f"one answer may call {MOST_AT_ONCE} tools, and this one called {wanted}: this call and the "
        f"{wanted - MOST_AT_ONCE} behind it were not made; call them in your next answers"
    )
    return (*kept, NewCall(last.tool, last.preview, CallState.REFUSED, reason))


def call_id(number: int) -> str:
    """Return by what a model knows a call."""
    return f"call_{number}"


def clean(text: str) -> str:
    """Return a text that can be kept: without NUL and halves of characters."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def _preview(call: ToolCall) -> str:
    if call.malformed is not None:
        return clean(call.malformed[:_PREVIEW])
    return _arguments(call)[:_PREVIEW]


def _arguments(call: ToolCall) -> str:
    return clean(json.dumps(call.arguments, ensure_ascii=False))
