"""Named option sets for activities. Each number says why it is that number."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from temporalio.common import RetryPolicy
from temporalio.workflow import ActivityCancellationType, ActivityConfig

from .queues import Queue, files_of

_UNTIL_IT_WORKS: Final = RetryPolicy(
    # 100 ms: what fails here is a killed worker or a records database that restarts; both come back soon.
    initial_interval=timedelta(milliseconds=100),
    # 10 s: an outage of hours must not be followed by minutes of waiting.
    maximum_interval=timedelta(seconds=10),
    # No limit on attempts: what was accepted is never given up for a fault of ours. Faults of the receiver
    # are no exceptions but results, and DeliveryWorkflow counts them.
)

SENDING: Final[ActivityConfig] = {
    "task_queue": Queue.IO,
    # 45 s: up to 2 s of waiting for the exact moment, 30 s for the receiver, the rest for the records.
    "start_to_close_timeout": timedelta(seconds=45),
    # 2 s: after kill -9 of a worker the next one takes over within this and 100 ms.
    "heartbeat_timeout": timedelta(seconds=2),
    "retry_policy": _UNTIL_IT_WORKS,
    # The workflow goes on at once when a change overtakes a waiting attempt; the attempt finds out by itself.
    "cancellation_type": ActivityCancellationType.TRY_CANCEL,
}

LOOKING: Final[ActivityConfig] = {
    "task_queue": Queue.IO,
    # 33 s: what the most patient connector has for an attempt, and a little for the way.
    "start_to_close_timeout": timedelta(seconds=33),
    # The workflow's own time limit ends it: somebody waits for the answer, and not for long.
    "retry_policy": _UNTIL_IT_WORKS,
}

FILES: Final[ActivityConfig] = {
    "task_queue": Queue.FILES,
    # 15 minutes: the longest that `ingest.read_seconds` may give a file, and the keeping of what was found.
    "start_to_close_timeout": timedelta(minutes=15),
    # 10 s: it gives a sign every second, but writes large rows in between.
    "heartbeat_timeout": timedelta(seconds=10),
    "retry_policy": _UNTIL_IT_WORKS,
}


MODEL: Final[ActivityConfig] = {
    "task_queue": Queue.LLM,
    # 24 h: the longest that a job may take; its deadline ends it sooner.
    "start_to_close_timeout": timedelta(hours=24),
    # 3 s: it gives a sign four times a second, and after kill -9 of a worker the next one takes over.
    "heartbeat_timeout": timedelta(seconds=3),
    "retry_policy": _UNTIL_IT_WORKS,
    # A job is cancelled when its work has stopped, not before.
    "cancellation_type": ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
}

PROGRAM: Final[ActivityConfig] = {
    **MODEL,
    "task_queue": Queue.SANDBOX,
}


OPENING: Final[ActivityConfig] = {
    "task_queue": Queue.SANDBOX,
    # 2 h: it may wait for memory for all of the hour that `sandbox.standing.open_within` can be, when the
    # workflow calls it off. One that is begun anew is not in the line for a moment.
    "start_to_close_timeout": timedelta(hours=2),
    # 10 s: one that two workers open is given up by the first; it need not be soon.
    "heartbeat_timeout": timedelta(seconds=10),
    "retry_policy": _UNTIL_IT_WORKS,
    # Nothing of it is left when the workflow goes on.
    "cancellation_type": ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
}

# Not again: who holds a sandbox is there or it is not, and the records say what is next.
_ONCE: Final = RetryPolicy(maximum_attempts=1)
# 10 s: a worker that lives takes what is for it within milliseconds, and on a busy machine within seconds.
_TAKEN_WITHIN: Final = timedelta(seconds=10)


def holder_watch(queue: str) -> ActivityConfig:
    """Return the options of watching a sandbox that a worker holds."""
    return {
        "task_queue": queue,
        # 25 h: longer than any sandbox stands.
        "start_to_close_timeout": timedelta(hours=25),
        # 20 s: when nobody takes it, the sandbox is lost for good, and a machine may be busy for a while.
        "schedule_to_start_timeout": timedelta(seconds=20),
        # 5 s: it gives a sign four times a second. A worker that is silent for longer is asked once more
        # before its sandbox counts as lost, for nothing of that could be had again.
        "heartbeat_timeout": timedelta(seconds=5),
        "retry_policy": _ONCE,
        # Nothing ends with the watch: the next run of the workflow begins its own.
        "cancellation_type": ActivityCancellationType.TRY_CANCEL,
        "summary": "hold",
    }


def holder_call(queue: str, summary: str) -> ActivityConfig:
    """Return the options of using or ending a sandbox that a worker holds. ``summary`` says what for."""
    return {
        "task_queue": queue,
        # 5 minutes: a snapshot of ten thousand files of a machine.
        "start_to_close_timeout": timedelta(minutes=5),
        "schedule_to_start_timeout": _TAKEN_WITHIN,
        "heartbeat_timeout": timedelta(seconds=10),
        "retry_policy": _ONCE,
        "summary": summary,
    }


def holder_program(queue: str) -> ActivityConfig:
    """Return the options of running a program in a sandbox that a worker holds."""
    return {
        "task_queue": queue,
        # 24 h: as of every program.
        "start_to_close_timeout": timedelta(hours=24),
        "schedule_to_start_timeout": _TAKEN_WITHIN,
        # 10 s: nobody can take over, and a program whose worker is taken for dead ends for nothing.
        "heartbeat_timeout": timedelta(seconds=10),
        "retry_policy": _ONCE,
        "cancellation_type": ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        "summary": "run a program",
    }


def on_host(host: str, summary: str) -> ActivityConfig:
    """Return the options of what only one host can do: reading and writing its files.

    ``summary`` names the stage in the Temporal UI.
    """
    return {
        "task_queue": files_of(host),
        # 10 minutes: a transcript of gigabytes that is seen for the first time; each part of it is kept.
        "start_to_close_timeout": timedelta(minutes=10),
        # 10 s: a process that reads a line of megabytes does nothing else meanwhile.
        "heartbeat_timeout": timedelta(seconds=10),
        "retry_policy": _UNTIL_IT_WORKS,
        "summary": summary,
    }


RECORDS: Final[ActivityConfig] = {
    "task_queue": Queue.IO,
    # 10 s: one transaction, with room for SQLite's 5 s of busy timeout.
    "start_to_close_timeout": timedelta(seconds=10),
    "retry_policy": _UNTIL_IT_WORKS,
}
