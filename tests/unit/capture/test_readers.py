"""What every reader promises, over made-up records and over real transcripts."""

from __future__ import annotations

import copy
import random
from pathlib import Path, PurePath
from typing import Any

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st
from transcripts import READERS, events, parsed, records_in

from minoots_activities.capture.readers import Parsed
from minoots_activities.capture.readers.reader import Identity

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(
    "type payload message content uuid timestamp toolUseResult questions answers options attachment prompt "
    "role text item info last_token_usage total_token_usage summary source subagent thoughts toolCalls "
    "result tokens id $set $rewindTo messages sessionId usage model data turn_id call_id output "
    "arguments".split()
)
TYPES = st.sampled_from(
    "user assistant system attachment summary event_msg response_item session_meta turn_context compacted "
    "message reasoning function_call function_call_output user_message agent_message token_count "
    "item_completed tool_use tool_result text thinking image gemini queued_command".split()
)
RECORDS: st.SearchStrategy[Any] = st.recursive(
    st.dictionaries(NAMES, JSON | TYPES, max_size=5),
    lambda inner: st.dictionaries(NAMES, inner | TYPES | st.lists(inner, max_size=2), max_size=5),
    max_leaves=5,
)
PROVIDERS = sorted(READERS)
# Of the others every file, or nearly every one, is a store: see test_stores.
OF_FILES = sorted(set(READERS) - {"aider", "goose", "opencode"})
_OTHERS = (".meta.json", "journal", "/workflows/wf_demo01.json")


@given(records=st.lists(RECORDS, max_size=6))
@settings(max_examples=600, deadline=None)
def test_nothing_that_a_record_holds_makes_a_parser_fail(records: list[Any]) -> None:
    # The same for all parsers: to think of records takes ten times as long as to read them.
    for provider in PROVIDERS:
        note(provider)
        READERS[provider].parser(Identity("session")).feed(copy.deepcopy(records), Parsed())


def files(samples: Path, provider: str) -> list[Path]:
    """Transcripts of a provider that are long enough to be cut."""
    found = [path for path in sorted((samples / provider).rglob("*.json*")) if path.stat().st_size > 500]
    return [path for path in found if not any(word in str(path) for word in _OTHERS)]


@pytest.mark.parametrize("provider", OF_FILES)
def test_reading_in_parts_gives_what_reading_at_once_gives(samples: Path, provider: str) -> None:
    if READERS[provider].cursor == "whole":
        pytest.skip("read as a whole each time")
    chance = random.Random(7)
    seen = 0
    for path in files(samples, provider):
        records = records_in(path)
        named = PurePath("11110000-0000-4000-8000-000000000001.jsonl") if provider == "claude" else path
        if not records or READERS[provider].identify(named, records[0]) is None:
            continue
        once = parsed(provider, records, named)
        cuts = [chance.randrange(len(records)) for _ in range(4)]
        assert events(parsed(provider, records, named, *cuts)) == events(once), path.name
        seen += len(once.drafts)
    assert seen > (300 if provider in ("claude", "codex") else 2)


@pytest.mark.parametrize("provider", OF_FILES)
def test_real_transcripts_are_understood(samples: Path, provider: str) -> None:
    for path in files(samples, provider):
        records = records_in(path)
        named = PurePath("11110000-0000-4000-8000-000000000001.jsonl") if provider == "claude" else path
        if "drift" in path.name or not records or READERS[provider].identify(named, records[0]) is None:
            continue
        of = parsed(provider, records, named)
        assert of.understood >= of.unknown.total(), f"{path.name}: {of.unknown}"
        for event in events(of).values():
            assert (event.ts is None) == (event.ts_source == "none")
            assert "\x1b" not in (event.text or "")
            assert "\x00" not in (event.text or "")


@pytest.mark.parametrize("provider", OF_FILES)
def test_every_result_of_a_tool_belongs_to_a_call(samples: Path, provider: str) -> None:
    calls, results = set(), set()
    for path in files(samples, provider):
        records = records_in(path)
        named = PurePath("11110000-0000-4000-8000-000000000001.jsonl") if provider == "claude" else path
        if not records or READERS[provider].identify(named, records[0]) is None:
            continue
        for event in events(parsed(provider, records, named)).values():
            if event.tool is not None:
                (results if event.kind == "tool.result" else calls).add(event.tool.call_id)
    assert len(results & calls) >= 0.97 * len(results)
    assert calls
