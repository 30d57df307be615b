"""``minoots jobs submit``: a job from what stands on the command line.

Owns the options and what they mean in the request. What has none of its own is reached by ``--set``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer

from minoots.contracts.job_requests import OnLost
from minoots.contracts.models import Locality, OnBreak
from minoots.contracts.sandboxes import Tier

from .arguments import duration, given, json_value, mapping, mcp_server, text, tool_rule
from .job_files import PLACES, file_fields
from .job_showing import follow, show
from .session import Session, interrupted

_MICROS: Final = 1_000_000

_Texts = list[str] | None


def submit(
    session: Session,
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- COMMAND…]", help="A program and its arguments.", show_default=False),
    ] = None,
    prompt: Annotated[
        str | None, typer.Option(help="Ask a model this; @FILE or - for standard input.")
    ] = None,
    task: Annotated[str | None, typer.Option(help="Have an agent do this; @FILE or -.")] = None,
    tool: Annotated[
        _Texts,
        typer.Option(
            help="A tool that the agent may use, or NAME=never to use it without asking; repeatable.",
            show_default=False,
        ),
    ] = None,
    mcp: Annotated[
        _Texts,
        typer.Option(
            help="An MCP server whose tools it may use after a yes: NAME=COMMAND or NAME=URL; repeatable.",
            show_default=False,
        ),
    ] = None,
    turns: Annotated[
        int | None, typer.Option(help="How often the agent's model may be asked.", min=1)
    ] = None,
    system: Annotated[str | None, typer.Option(help="What the model is told first.")] = None,
    model: Annotated[str | None, typer.Option(help="Name of the model.")] = None,
    provider: Annotated[str | None, typer.Option(help="Ask this provider only.")] = None,
    locality: Annotated[
        Locality | None, typer.Option(help="Where its words may go.", show_default=False)
    ] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Of one answer of the model.", min=1)] = None,
    context_tokens: Annotated[
        int | None, typer.Option(help="The context that the model is to have.", min=1)
    ] = None,
    temperature: Annotated[float | None, typer.Option(help="Of the model.", min=0, max=2)] = None,
    seed: Annotated[int | None, typer.Option(help="Of the model.", min=0)] = None,
    think: Annotated[
        bool | None, typer.Option("--think/--no-think", help="Whether it thinks first.", show_default=False)
    ] = None,
    schema: Annotated[
        str | None, typer.Option(help="The answer is JSON of this JSON Schema; @FILE or -.")
    ] = None,
    on_break: Annotated[
        OnBreak | None, typer.Option(help="When an answer breaks off.", show_default=False)
    ] = None,
    budget: Annotated[
        _Texts,
        typer.Option(
            help="The most that its models may take: tokens=50000, or cost=0.25 in the currency of the "
            "prices; repeatable.",
            show_default=False,
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="For people.")] = None,
    file: Annotated[_Texts, typer.Option(help=f"Put into the sandbox: {PLACES}", show_default=False)] = None,
    output_path: Annotated[
        _Texts,
        typer.Option("--output", help="Keep these files: path or pattern; repeatable.", show_default=False),
    ] = None,
    stdin: Annotated[str | None, typer.Option(help="What the program reads; @FILE or -.")] = None,
    env: Annotated[
        _Texts,
        typer.Option(
            help="NAME=VALUE in the program's environment; kept, and so no place for secrets; repeatable.",
            show_default=False,
        ),
    ] = None,
    tier: Annotated[Tier | None, typer.Option(help="How strongly it is shut in.", show_default=False)] = None,
    image: Annotated[
        str | None, typer.Option(help="Its root file system, by digest, in the tiers container and vm.")
    ] = None,
    network: Annotated[
        _Texts,
        typer.Option(help="It may reach this host; repeatable.", show_default=False),
    ] = None,
    time: Annotated[str | None, typer.Option(help="It may run for: 30s, 10m.")] = None,
    memory: Annotated[int | None, typer.Option(help="Megabytes that it may take.", min=16)] = None,
    disk: Annotated[int | None, typer.Option(help="Megabytes of its files.", min=1)] = None,
    cpus: Annotated[float | None, typer.Option(help="Processors that it may keep busy.", min=0)] = None,
    on_lost: Annotated[
        OnLost | None, typer.Option(help="When its worker dies while it runs.", show_default=False)
    ] = None,
    deadline: Annotated[
        str | None,
        typer.Option(help="Give it up then: a time such as 2027-01-01T12:00Z, or after 2h."),
    ] = None,
    priority: Annotated[int | None, typer.Option(min=1, max=5, help="1 goes before 5.")] = None,
    label: Annotated[_Texts, typer.Option(help="KEY=VALUE; repeatable.", show_default=False)] = None,
    metadata: Annotated[str | None, typer.Option(help="Kept with it: a JSON object; @FILE or -.")] = None,
    more: Annotated[
        _Texts,
        typer.Option(
            "--set",
            help="Any other field of the request: FIELD=JSON or FIELD=TEXT, with dots below one, such as "
            "limits.processes=8; repeatable.",
            show_default=False,
        ),
    ] = None,
    key: Annotated[str | None, typer.Option("--idempotency-key", help="Submit it once.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Follow it to its end.")] = False,
) -> None:
    """Submit a job: ``--prompt`` asks a model, ``--task`` is an agent's, ``-- COMMAND`` runs a program."""
    if [prompt is not None, task is not None, bool(command)].count(True) != 1:
        raise typer.BadParameter("one of --prompt, --task and -- COMMAND is needed", param_hint="COMMAND")
    wanted = given(
        name=name,
        model=model,
        provider=provider,
        locality=locality,
        max_tokens=max_tokens,
        context_tokens=context_tokens,
        temperature=temperature,
        seed=seed,
        think=think,
        json_schema=None if schema is None else json_value(schema, "--schema"),
        on_break=on_break,
        budget=_budget(budget),
        stdin=None if stdin is None else text(stdin, "--stdin"),
        env=_environment(env),
        files=file_fields(file, session.client.jobs.hand_in),
        tier=tier,
        outputs=output_path,
        limits=given(
            time=None if time is None else duration(time, "--time"),
            memory_mb=memory,
            disk_mb=disk,
            cpus=cpus,
        ),
        image=image,
        network=network,
        on_lost=on_lost,
        deadline=None if deadline is None else _moment(deadline, datetime.now(UTC)),
        priority=priority,
        labels=mapping(label, "--label", "="),
        metadata=None if metadata is None else json_value(metadata, "--metadata"),
        idempotency_key=key,
        command=command,
        max_turns=turns,
        tools=None if tool is None else [tool_rule(one) for one in tool],
        mcp=None if mcp is None else [mcp_server(one) for one in mcp],
    )
    if prompt is not None:
        if system is not None:
            wanted["messages"] = [{"role": "system", "text": system}]
        wanted["prompt"] = text(prompt, "--prompt")
    elif system is not None:
        wanted["system"] = system
    if task is not None:
        wanted["task"] = text(task, "--task")
    wanted = _with(wanted, more)
    try:
        job = session.client.jobs.submit(**wanted)
    except KeyboardInterrupt as error:
        raise interrupted(
            session,
            "no answer had come; the job may have been submitted",
            "`minoots jobs list` tells. With --idempotency-key the same command can be repeated.",
        ) from error
    if watch:
        follow(session, job.id)
    else:
        show(session, job)


def _budget(texts: Sequence[str] | None) -> dict[str, int]:
    found = {}
    for name, told in mapping(texts, "--budget", "=").items():
        try:
            match name:
                case "tokens":
                    found["tokens"] = int(told)
                case "cost":
                    found["cost_micros"] = round(float(told) * _MICROS)
                case _:
                    raise ValueError(name)
        except (ValueError, OverflowError) as error:
            raise typer.BadParameter(
                f"expected tokens=NUMBER or cost=MONEY; got {name}={told}", param_hint="--budget"
            ) from error
    return found


def _environment(texts: Sequence[str] | None) -> dict[str, str]:
    """Return the variables, each value as it stands: blanks belong to it."""
    found = {}
    for one in texts or ():
        name, separator, value = one.partition("=")
        if not separator:
            raise typer.BadParameter(f"expected NAME=VALUE; got {one!r}", param_hint="--env")
        found[name] = value
    return found


def _moment(told: str, now: datetime) -> datetime:
    """Return the time that is meant: of the calendar, in UTC unless it says otherwise, or from now on."""
    try:
        found = datetime.fromisoformat(told)
    except ValueError:
        try:
            return now + duration(told, "--deadline")
        except typer.BadParameter as error:
            raise typer.BadParameter(
                f"expected a time such as 2027-01-01T12:00Z, or how long from now; {error.message}",
                param_hint="--deadline",
            ) from error
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _with(wanted: Mapping[str, Any], more: Sequence[str] | None) -> dict[str, Any]:
    """Return the fields with those of ``--set``, which count where both say something."""
    found = dict(wanted)
    for one in more or ():
        name, separator, told = one.partition("=")
        if not (name and separator):
            raise typer.BadParameter(f"expected FIELD=VALUE; got {one!r}", param_hint="--set")
        try:
            value = json.loads(told)
        except (ValueError, RecursionError):
            value = told
        *parents, last = name.split(".")
        place = found
        for parent in parents:
            inner = place.get(parent)
            place[parent] = dict(inner) if isinstance(inner, Mapping) else {}
            place = place[parent]
        place[last] = value
    return found
