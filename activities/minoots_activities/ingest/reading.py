"""What is done to one file, from bytes to chunks: extract, redact, divide. Runs in a process of its own.

`read` may take long or much memory on a file that was made to do so: it limits itself, and whoever called it
ends the process. Nothing here touches files, the network or the records.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from minoots.contracts import Chunk
from minoots_activities.capture.recovery import holdable
from minoots_platform.redaction import Found, Policy, Redactor

from . import chunking
from .extractors import Extracted, Extractor, Unreadable, installed

_NICE: Final = 10
_MOST_FOUND: Final = 16 * 1024
"""Bytes of JSON of what a file says of itself."""


@dataclass(frozen=True)
class Plan:
    """How files are read.

    Attributes:
        policy: what is done about secrets.
        chunk_size: characters of a chunk at most.
        seconds: of the processor, for one file.
        megabytes: of memory, for the process.
    """

    policy: Policy
    chunk_size: int
    seconds: float
    megabytes: int

    def pipeline(self, extractor: Extractor) -> str:
        """Return a name for everything that decides what becomes of the same bytes."""
        policy = self.policy
        told = (
            f"{extractor.name}-{extractor.version}",
            f"chunks-{chunking.REVISION}-{self.chunk_size}",
            policy.mode,
            *sorted(policy.disabled),
            "",
            *policy.allowed,
        )
        return hashlib.sha256("\x1f".join(told).encode()).hexdigest()


@dataclass(frozen=True)
class Taken:
    """What was found in a file."""

    title: str | None
    characters: int
    redacted: Mapping[str, int]
    found: Mapping[str, Any]
    chunks: tuple[Chunk, ...]


def read(extractor: str, data: bytes, plan: Plan) -> Taken:
    """Return what is in a file.

    Raises:
        Unreadable: when nothing is, or a rule of redaction fails on it, or it takes too much.
    """
    _limit(plan)
    try:
        return take(installed()[extractor], data, plan)
    except MemoryError:
        raise Unreadable(
            f"reading it takes more than {plan.megabytes} MB of memory",
            "Divide it, or raise ingest.read_megabytes.",
        ) from None


def take(extractor: Extractor, data: bytes, plan: Plan) -> Taken:
    """Return what is in a file, whatever it takes.

    Raises:
        Unreadable: when nothing is, or a rule of redaction fails on it.
    """
    secrets = Found()
    clean = _redacted(extract(extractor, data), Redactor(plan.policy), secrets)
    chunks = tuple(chunking.chunks(clean.text, clean.form, plan.chunk_size))
    return Taken(
        title=clean.title,
        characters=chunks[-1].end if chunks else 0,
        redacted=dict(secrets.counts),
        found=clean.found,
        chunks=chunks,
    )


def extract(extractor: Extractor, data: bytes) -> Extracted:
    """Return what an extractor finds, such as any database can hold it.

    Raises:
        Unreadable: when that is nothing.
    """
    try:
        found = extractor.read(data)
    except (Unreadable, MemoryError):
        raise
    except Exception as error:
        # Without its words, which may quote the file: what fails here is told in the records.
        raise Unreadable(
            f"it cannot be read: {type(error).__name__}", "Convert it to plain text, and send that."
        ) from None
    return Extracted(
        found.text, found.form, found.title and holdable(found.title), holdable(dict(found.found))
    )


def _redacted(extracted: Extracted, redactor: Redactor, found: Found) -> Extracted:
    try:
        # The text as a whole, before it is divided: a secret may go over several lines.
        return Extracted(
            redactor.text(extracted.text, found),
            extracted.form,
            extracted.title and redactor.text(extracted.title, found),
            _bounded(redactor.value(extracted.found, found)),
        )
    except MemoryError:
        raise
    except Exception as error:
        raise Unreadable(
            f"a rule of redaction failed on it: {type(error).__name__}",
            "Correct or switch off the rule in capture.redaction_allowed or capture.redaction_disabled.",
        ) from None


def _bounded(found: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    left = _MOST_FOUND
    for name, value in found.items():
        left -= len(json.dumps([name, value], ensure_ascii=False).encode("utf-8", "replace"))
        if left >= 0:
            kept[name] = value
    return kept


def _limit(plan: Plan) -> None:
    """Bound what this process may take. A parent that was killed cannot end it any more."""
    # Whatever has to be on time on this machine goes first.
    os.setpriority(os.PRIO_PROCESS, 0, _NICE)
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime + plan.seconds) + 1
    # What a platform does not limit is limited by the time that its caller gives.
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.getrlimit(resource.RLIMIT_CPU)[1]))
    with suppress(OSError, ValueError):
        most = plan.megabytes * 1024 * 1024
        resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))
