"""Cursor's files that are written anew: what was told is known, and what is new is told."""

from __future__ import annotations

import json
from pathlib import PurePath
from typing import Any

import pytest

from minoots_activities.capture.readers import Parsed
from minoots_activities.capture.readers.cursor import Cursor

FILE = PurePath("/x/.cursor/projects/p/agent-transcripts/s/s.jsonl")


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "message": {"content": [{"type": "text", "text": text}]}}


def answer(text: str) -> dict[str, Any]:
    return {"role": "assistant", "message": {"content": [{"type": "text", "text": text}]}}


TALK = [
    user("make tea"),
    answer("Done."),
    user("go on"),
    answer("Done."),
    user("go on"),
    answer("It is hot."),
]
MORE = [user("go on"), answer("Done.")]


class Reading:
    """A file as it is read: on from where it was, or from its beginning."""

    def __init__(self) -> None:
        self._state: dict[str, Any] = {}
        self.told: dict[str, str] = {}

    def on(self, *records: dict[str, Any], more: bool = False) -> list[str]:
        """Read on; return what was told for the first time. ``more``: others come behind these."""
        identity = Cursor().identify(FILE, TALK[0])
        assert identity is not None
        parser, parsed = Cursor().parser(identity, self._state), Parsed()
        parser.more = more
        parser.feed(records, parsed)
        self._state = json.loads(json.dumps(parser.state))
        new = {one.event.id: one.event.text or "" for one in parsed.drafts if one.event.id not in self.told}
        self.told |= new
        return list(new.values())

    def anew(self, *records: dict[str, Any], more: bool = False) -> list[str]:
        """Read a file that is another one now."""
        self._state = json.loads(json.dumps(Cursor().written_anew(self._state)))
        return self.on(*records, more=more)


@pytest.fixture
def reading() -> Reading:
    found = Reading()
    assert len(found.on(*TALK)) == len(TALK)
    return found


@pytest.mark.parametrize("dropped", range(len(TALK) - 1))
def test_what_is_left_of_a_file_without_its_beginning_is_known(reading: Reading, dropped: int) -> None:
    assert reading.anew(*TALK[dropped:]) == []
    assert reading.on(*MORE) == ["go on", "Done."]
    assert reading.on(*MORE) == ["go on", "Done."]


@pytest.mark.parametrize("dropped", range(len(TALK) - 2))
def test_what_is_new_behind_the_old_end_is_told_at_once(reading: Reading, dropped: int) -> None:
    assert reading.anew(*TALK[dropped:], *MORE) == ["go on", "Done."]
    assert reading.on(*MORE) == ["go on", "Done."]


def test_what_stands_in_place_of_the_beginning_is_told(reading: Reading) -> None:
    assert reading.anew(user("They made tea."), *TALK[2:], *MORE) == ["They made tea.", "go on", "Done."]
    assert reading.anew(user("They made much tea."), *TALK[4:], *MORE) == ["They made much tea."]


def test_what_is_said_again_after_going_back_is_told(reading: Reading) -> None:
    assert reading.anew(*TALK[:2]) == []
    assert reading.on(user("go on"), answer("Done.")) == ["go on", "Done."]


LONG = [part for number in range(300) for part in (user(f"{number}"), answer("Done."))]


@pytest.mark.parametrize("size", [1, 3, 100, 499])
def test_parts_and_restarts_in_the_middle_change_nothing(reading: Reading, size: int) -> None:
    assert len(reading.on(*LONG)) == 600
    left = [*LONG[100:], *MORE]
    told = reading.anew(*left[:size], more=True)
    for begin in range(size, len(left), size):
        told += reading.on(*left[begin : begin + size], more=begin + size < len(left))
    assert told == ["go on", "Done."]


def test_a_file_that_is_written_anew_while_it_is_read_anew_repeats_nothing(reading: Reading) -> None:
    assert len(reading.on(*LONG)) == 600
    assert reading.anew(*LONG[100:200], more=True) == []
    assert reading.anew(*LONG[50:150], more=True) == []
    assert reading.on(*LONG[150:], *MORE) == ["go on", "Done."]


def test_another_conversation_in_its_place_is_told(reading: Reading) -> None:
    assert reading.anew(user("make coffee"), answer("Which?")) == ["make coffee", "Which?"]
    assert Cursor().written_anew({}) == {}
