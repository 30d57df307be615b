"""Transcripts in tests: reading them, and comparing what came of them."""

from __future__ import annotations

import itertools
import json
from pathlib import Path, PurePath
from typing import Any

from minoots.contracts.conversations import ConversationEvent
from minoots_activities.capture.readers import Parsed, installed
from minoots_activities.capture.readers.gemini import records_of_whole
from minoots_activities.capture.recovery import records_of

READERS = installed()


def records_in(path: Path) -> list[dict[str, Any]]:
    """The records of a file, whole or by lines."""
    data = path.read_bytes()
    if path.suffix == ".json":
        return [dict(one) for one in records_of_whole(data) or ()]
    return [record for line in data.split(b"\n") for record in records_of(line).records]


def parsed(provider: str, records: list[dict[str, Any]], path: PurePath, *cuts: int) -> Parsed:
    """Everything that comes of some records, read in parts with a state that is kept between them."""
    reader = READERS[provider]
    identity = reader.identify(path, records[0] if records else None)
    assert identity is not None
    together = Parsed()
    state: dict[str, Any] | None = None
    bounds = (0, *sorted(cut for cut in cuts if 0 < cut < len(records)), len(records))
    for begin, end in itertools.pairwise(bounds):
        parser = reader.parser(identity, state)
        parser.feed(records[begin:end], together)
        state = json.loads(json.dumps(parser.state))
    return together


def events(of: Parsed) -> dict[str, ConversationEvent]:
    """The events by id, the last revision of each, in the order in which they came first."""
    return {draft.event.id: draft.event for draft in of.drafts}


def story(of: Parsed) -> list[tuple[str, str]]:
    """Kind and text of every event, without tokens."""
    return [
        (event.kind.value, event.text or (event.tool.call_id if event.tool else ""))
        for event in events(of).values()
        if event.kind != "usage"
    ]
