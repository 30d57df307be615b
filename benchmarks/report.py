"""Writing ``docs/benchmarks.md``."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .agents import Grown
from .cancelling import Stopped


def agents_section(grown: Grown) -> str:
    """Return what is told of the histories of agents."""
    rows = [("Minoots", grown)]
    beside = "`temporalio-openai-agents` was not measured: BESIDE named no Python that has it."
    if grown.beside is not None:
        rows.append(("`temporalio-openai-agents`", grown.beside))
        beside = "Temporal terminates a workflow whose history grows beyond 50 MB."
    lines = "\n".join(
        f"| {name} | {one.calls} | {one.ended} | {one.events} | {one.history_bytes / 1e6:.2f} MB | "
        f"{one.bytes_a_call / 1000:.1f} kB |"
        for name, one in rows
    )
    return f"""## Histories of agents

An agent makes {grown.calls} calls of a tool, each with a result of {grown.result_bytes / 1000:g} kB, in a
conversation of {grown.tokens} tokens of four bytes, with a model that plays a script.

| by | calls | ended | events | history | a call |
|---|---|---|---|---|---|
{lines}

{beside}
"""


def cancelling_section(found: tuple[Stopped, ...]) -> str:
    """Return what is told of cancelling."""
    lines = "\n".join(
        f"| {one.what} | not here: {one.missing} | | | |"
        if one.missing
        else f"| {one.what} | {one.count} | {one.p50:.0f} ms | {one.worst:.0f} ms | {one.ended_p50:.0f} ms |"
        for one in found
    )
    return f"""## Cancelling a job

Something that would go on for an hour, cancelled over HTTP: from before the request is sent until the model's
server sees its client go, the program's process is gone, the machine's process is gone. Promised: 2 s.

| what | times | stopped, P50 | worst | job ended, P50 |
|---|---|---|---|---|
{lines}
"""


def write(path: Path, found: dict[str, Any]) -> None:
    """Write what was measured, with the command that measures it again."""
    punctual, made, recovered = found["punctuality"], found["creation"], found["recovery"]
    capacity = found["capacity"]
    within = [run for run in capacity if run.p95 <= 250]
    memory, inbox, fan = found["memory"], found["inbox"], found["fanout"]
    total = sum(memory.values()) / 1e6
    captured, added, first = found["capture"], found["router"], found["first_token"]
    parts = ", ".join(f"{name} {size / 1e6:.0f} MB" for name, size in memory.items())
    rows = "\n".join(
        f"| {run.rate:g} | {run.count} | {run.p50:.1f} | {run.p95:.1f} | {run.worst:.0f} | {run.missing} |"
        for run in capacity
    )
    searched = "\n".join(
        f"| {name}, {what} | {took:.1f} ms | {promise} |"
        for name, one in found["searching"].items()
        for what, took, promise in (
            ("P50", one.p50, ""),
            ("P95", one.p95, "50 ms"),
            ("P95 of the slowest kind", one.slowest, ""),
        )
    )
    sandboxes = "\n".join(_sandbox_row(one) for one in found["sandboxes"])
    path.write_text(
        f"""# Benchmarks

Written by `make bench` on {datetime.now(UTC):%Y-%m-%d}, on {os.cpu_count()} cores ({platform.machine()},
Python {platform.python_version()}), with the whole embedded stack, the load and the receiver on the same
machine. The machine is shared and noisy: compare figures of one run with each other, not with another day's.
Run it again with `make bench`; one lane alone with `make bench ARGS="punctuality"` (prints only).

## Punctuality

Lateness is the arrival at the receiver minus the due time, in milliseconds.

| what | measured | promised |
|---|---|---|
| 300 timers at 20/s, P50 | {punctual.p50:.1f} | |
| 300 timers at 20/s, P95 | {punctual.p95:.1f} | 15 |
| 300 timers at 20/s, worst | {punctual.worst:.1f} | 100 |
| early / missing / repeated | {punctual.early} / {punctual.missing} / {punctual.repeated} | 0 / 0 / 0 |

The highest rate measured that keeps P95 within 250 ms: **{
            max(
                (run.rate for run in within), default=0
            ):g}/s**. Each row is a fresh stack and ten seconds of timers:

| timers/s | timers | P50 | P95 | worst | missing |
|---|---|---|---|---|---|
{rows}

## Setting timers

| what | measured | promised |
|---|---|---|
| create over HTTP, one after the other, P50 | {made.p50:.1f} ms | 15 ms |
| create over HTTP, one after the other, P95 | {made.p95:.1f} ms | |
| creates a second with {made.clients} clients | {made.rate:.0f} | |

## Commanding an agent

{inbox.count} commands one after the other, to an agent that waits in `client.agents.inbox`.

| what | measured | promised |
|---|---|---|
| sent until the agent has it, P50 | {inbox.received_p50:.1f} ms | |
| sent until acknowledged, P50 | {inbox.p50:.1f} ms | 100 ms |
| sent until acknowledged, P95 | {inbox.p95:.1f} ms | |

## One feed, many readers

{fan.sent} events at {fan.rate:.0f}/s to {
            fan.clients
        } WebSocket clients, besides one that takes nothing; readers and writer on
the same machine.

| what | measured | promised |
|---|---|---|
| events lost by the readers | {fan.lost} of {fan.sent * fan.clients} | 0 |
| out of order | {fan.out_of_order} | 0 |
| written until read, P50 | {fan.p50:.0f} ms | |
| written until read, P95 | {fan.p95:.0f} ms | |
| the one that takes nothing is cut | {"yes" if fan.stalled_cut else "no"} | yes |

## Capture

A transcript of Claude Code of 40 MB, on one core; appends to a chat that is recorded, ten a second; 1,000
quiet sessions.

| what | measured | promised |
|---|---|---|
| bytes to events | {captured.parse:.0f} MB/s | 40 MB/s |
| a file to rows, redacted and indexed | {captured.ingest:.1f} MB/s | |
| redaction of clean text | {captured.redaction:.1f} µs/KB | 10 µs/KB |
| append until it stands in the recording, P50 | {captured.visible_p50:.0f} ms | |
| append until it stands in the recording, P95 | {captured.visible_p95:.0f} ms | 500 ms |
| memory of the watcher, 1,000 sessions | {captured.idle_mb:.0f} MB | 300 MB |
| its share of a core when all is quiet | {captured.idle_share:.1f} % | |
| what capturing adds to the whole stack then: {captured.idle_stack:.1f} % with it, {
            captured.idle_without:.1f} % without | {captured.idle_stack - captured.idle_without:.1f} % | 2 % |

## Searching

Searches of seven kinds over 100,000 events, 40 of each, on a database that nobody has told anything of them:
words that stand everywhere, in one place, nowhere, in the older half only. Beside all of them, the kind that
takes longest.

| what | measured | promised |
|---|---|---|
{searched}

## Language models

{
            added.callers
        } callers, each asking every 200 ms on its own, of a provider in the same process that answers at
once; no budget. What a call takes is what the router adds to it.

| what | measured | promised |
|---|---|---|
| added to a call, P50 | {added.p50:.2f} ms | 1 ms |
| added to a call, P99 | {added.p99:.2f} ms | 5 ms |
| calls a second that one process can make | {added.most_a_second:.0f} | |

From an accepted job to its first token at a reader's, over HTTP and the whole stack, with a model
server that plays a script; {first.count} jobs, one after the other.

| what | measured |
|---|---|
| beyond what the model takes, P50 | {first.p50:.1f} ms |
| beyond what the model takes, P95 | {first.p95:.1f} ms |
| the model's first token without us, P50 | {first.model_p50:.1f} ms |
| from before the submission, all in all, P50 | {first.sent_p50:.1f} ms |

{agents_section(found["agents"])}
## Sandboxes

One after the other, each from being asked for to being there, and to having run a program that does
nothing, in milliseconds. `bubblewrap` is with half a second between two, in which the next one begins
(`sandbox.ready`); over HTTP it is from before the request to open one until the answer that it is open, and
until a job in it has ended.

| tier | start, P50 | start, P95 | promised (P50) | start and `true`, P50 | memory held by |
|---|---|---|---|---|---|
{sandboxes}

{cancelling_section(found["cancelling"])}
## Cold start and memory

| what | measured | promised |
|---|---|---|
| `minoots dev`, from nothing to ready | {found["cold_start"]:.1f} s | 5 s |
| resident memory of the idle stack | {total:.0f} MB ({parts}) | |

## kill -9 of everything

{recovered.pending} timers pending; the whole tree is killed half a second before the first is due and
stays down until many are overdue.

| what | measured | promised |
|---|---|---|
| lost | {recovered.lost} | 0 |
| duplicates at the receiver | {recovered.duplicates} | 0 |
| overdue when ready again | {recovered.overdue} | |
| last overdue one fired after ready | {recovered.overdue_fired_within:.2f} s | 3 s |
"""
    )


_PROMISED = {
    "bubblewrap": "20",
    "bubblewrap, none ready": "20",
    "vm": "3000",
    "vm, without a kept state": "3000",
}


def _sandbox_row(one: Any) -> str:
    if one.missing:
        return f"| `{one.tier}` | not here: {one.missing} | | | | |"
    promised = _PROMISED.get(one.tier, "")
    p50, p95 = (f"{ms:.1f}" if ms < 10 else f"{ms:.0f}" for ms in (one.p50, one.p95))
    return f"| `{one.tier}` | {p50} | {p95} | {promised} | {one.ran_p50:.0f} | {one.held_by} |"
