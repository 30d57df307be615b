"""Measure everything and write ``docs/benchmarks.md``: ``make bench``, or ``python -m benchmarks LANE …``."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

import dev_stacks
import psutil
from dev_stacks import DevStack

from . import (
    agents,
    cancelling,
    capture,
    creation,
    fanout,
    first_token,
    inbox,
    punctuality,
    recovery,
    report,
    router,
    sandboxes,
    searching,
)

LANES = (
    "punctuality",
    "capacity",
    "creation",
    "inbox",
    "fanout",
    "memory",
    "recovery",
    "capture",
    "searching",
    "router",
    "first_token",
    "agents",
    "sandboxes",
    "cancelling",
)
CAPACITY_RATES = (30, 40, 50, 60, 80, 100)
PROMISE_MS = 250


@contextmanager
def stack() -> Iterator[DevStack]:
    """A fresh stack, ended afterwards."""
    with tempfile.TemporaryDirectory(prefix="minoots-bench-") as folder:
        running = dev_stacks.start(Path(folder))
        try:
            yield running
        finally:
            running.stop()
            running.close()


def run(lanes: list[str]) -> dict[str, object]:
    """Run the lanes; return what each showed."""
    found: dict[str, object] = {}
    if {"punctuality", "capacity", "creation", "memory"} & set(lanes):
        with stack() as running:
            found["cold_start"] = running.ready["ready_after_s"]
            if "memory" in lanes:
                found["memory"] = {
                    name: psutil.Process(pid).memory_info().rss for name, pid in running.ready["pids"].items()
                }
            # The first fires load code and open files; nobody's second minute is like that.
            asyncio.run(punctuality.measure(running.url, rate=10, count=20))
            if "punctuality" in lanes:
                found["punctuality"] = asyncio.run(punctuality.measure(running.url, rate=20, count=300))
                print(found["punctuality"])
    if "capacity" in lanes:
        runs = []
        for rate in CAPACITY_RATES:
            with stack() as running:
                asyncio.run(punctuality.measure(running.url, rate=10, count=20))
                runs.append(asyncio.run(punctuality.measure(running.url, rate=rate, count=rate * 10)))
            print(runs[-1])
            if runs[-1].p95 > PROMISE_MS:
                break
        found["capacity"] = runs
    if "creation" in lanes:
        with stack() as running:
            found["creation"] = asyncio.run(creation.measure(running.url))
            print(found["creation"])
    if "inbox" in lanes:
        with stack() as running:
            found["inbox"] = asyncio.run(inbox.measure(running.url))
            print(found["inbox"])
    if "fanout" in lanes:
        with stack() as running:
            data_dir = Path(running.ready["data_dir"])
            found["fanout"] = asyncio.run(fanout.measure(running.url, data_dir))
            print(found["fanout"])
    if "recovery" in lanes:
        with tempfile.TemporaryDirectory(prefix="minoots-bench-") as folder:
            found["recovery"] = asyncio.run(recovery.measure(lambda: dev_stacks.start(Path(folder))))
            print(found["recovery"])
    if "capture" in lanes:
        found["capture"] = asyncio.run(capture.measure())
        print(found["capture"])
    if "searching" in lanes:
        found["searching"] = asyncio.run(searching.measure())
        print(found["searching"])
    if "router" in lanes:
        found["router"] = asyncio.run(router.measure())
        print(found["router"])
    if "first_token" in lanes:
        found["first_token"] = asyncio.run(first_token.measure())
        print(found["first_token"])
    if "agents" in lanes:
        found["agents"] = asyncio.run(agents.measure())
        print(found["agents"])
    if "sandboxes" in lanes:
        found["sandboxes"] = asyncio.run(sandboxes.measure())
        print(*found["sandboxes"], sep="\n")
    if "cancelling" in lanes:
        found["cancelling"] = asyncio.run(cancelling.measure())
        print(*found["cancelling"], sep="\n")
    return found


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("lanes", nargs="*", default=[], help=f"of {', '.join(LANES)}; default: all")
    parser.add_argument("--no-report", action="store_true", help="print only, leave docs/benchmarks.md alone")
    arguments = parser.parse_args()
    unknown = set(arguments.lanes) - set(LANES)
    if unknown:
        parser.error(f"unknown lanes: {', '.join(sorted(unknown))}")
    found = run(arguments.lanes or list(LANES))
    if not arguments.no_report and not arguments.lanes:
        report.write(Path(__file__).parents[1] / "docs" / "benchmarks.md", found)


if __name__ == "__main__":
    main()
