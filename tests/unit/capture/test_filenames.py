"""Names of recordings: whatever a title, a user or a template holds, it is one name of a file."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from minoots_activities.capture.filenames import name_from, numbered, slug
from minoots_activities.capture.workspaces import TEMPLATE, TOKENS, WorkspaceConfig
from minoots_platform.writers import installed

MOMENT = datetime(2026, 7, 1, 22, 30, 59, tzinfo=UTC)
LONGEST = max(len(writer.extension) for writer in installed().values()) + len("-9999")
"""What stands behind a name at most."""


def named(
    template: str = TEMPLATE,
    *,
    moment: datetime | None = MOMENT,
    timezone: str = "UTC",
    provider: str = "claude",
    session_id: str = "11112222-3333-4444-5555-666677778888",
    title: str = "How tea is made",
    username: str | None = "ada",
    alias: str = "notes",
) -> str:
    return name_from(
        template,
        moment=moment,
        timezone=timezone,
        provider=provider,
        session_id=session_id,
        title=title,
        username=username,
        alias=alias,
    )


@pytest.mark.parametrize(
    ("template", "name"),
    [
        (TEMPLATE, "2026-07-01_2230-how-tea-is-made-claude"),
        ("{YYYY} {YY} {MM} {DD} {HH} {mm}", "2026 26 07 01 22 30"),
        ("{session}", "11112222-3333-4444-5555-666677778888"),
        ("{session_short}", "11112222"),
        ("{workspace}.{username}.{provider}", "notes.ada.claude"),
        ("{snippet}{snippet}", "how-tea-is-madehow-tea-is-made"),
        ("plain", "plain"),
        ("..", ".."),
        ("   ", "conversation"),
    ],
)
def test_names(template: str, name: str) -> None:
    assert named(template) == name


def test_every_token_stands_for_something() -> None:
    for token in TOKENS:
        shown = named("{" + token + "}")
        assert shown
        assert "{" not in shown
        assert WorkspaceConfig(id="wsp_00000000", filename="{" + token + "}")


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("{timestamp}", "unknown-time"),
        ("{YYYY}", "1970"),
        ("{username}", "user"),
        ("{snippet}", "conversation"),
    ],
)
def test_what_is_not_known_has_a_name_too(template: str, name: str) -> None:
    for title in ("", "🦉 ... 🦉"):
        assert named(template, moment=None, username=None, title=title) == name


def test_a_session_of_a_sub_agent_is_one_name() -> None:
    assert named("{session}", session_id="parent/agent-abc") == "parent-agent-abc"
    assert named("{session_short}", session_id="parent/agent-abcdef123") == "agent-ab"


@pytest.mark.parametrize(
    ("zone", "name"),
    [
        ("UTC", "2026-07-01_2230"),
        ("Europe/Berlin", "2026-07-02_0030"),
        ("America/New_York", "2026-07-01_1830"),
        ("Asia/Kathmandu", "2026-07-02_0415"),
        ("No/Such", "2026-07-01_2230"),
    ],
)
def test_times_are_those_of_the_zone(zone: str, name: str) -> None:
    assert named("{timestamp}", timezone=zone) == name
    assert (
        named("{timestamp}", timezone=zone, moment=MOMENT.astimezone(timezone(timedelta(hours=-9)))) == name
    )


@pytest.mark.parametrize(("month", "hour"), [(1, "13"), (7, "14")])
def test_summer_time_is_kept(month: int, hour: str) -> None:
    moment = datetime(2026, month, 1, 12, tzinfo=UTC)
    assert named("{HH}", timezone="Europe/Berlin", moment=moment) == hour


@pytest.fixture
def _elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_elsewhere")
def test_local_times_are_those_of_this_machine() -> None:
    assert named("{timestamp}", timezone="local") == "2026-07-02_0730"


@pytest.mark.parametrize(
    ("moment", "zone"),
    [
        (datetime.max.replace(tzinfo=UTC), "Asia/Tokyo"),
        (datetime.min.replace(tzinfo=UTC), "America/New_York"),
    ],
)
def test_a_time_at_the_edge_of_the_calendar_has_a_name(moment: datetime, zone: str) -> None:
    assert named("{timestamp}", moment=moment, timezone=zone)


def test_a_value_is_no_template() -> None:
    assert named("{username}", username="{workspace}") == "{workspace}"


def is_a_name(name: str) -> bool:
    return bool(name) and not set(name) & {"/", "\x00", "\n"}


ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
LETTERS = st.text(st.characters(exclude_categories=["Cs"], max_codepoint=0x7F), max_size=300)
TEMPLATES = st.lists(
    st.one_of(st.sampled_from(["{" + token + "}" for token in sorted(TOKENS)]), ANY), max_size=6
).map("".join)


@given(TEMPLATES, ANY, ANY, ANY, ANY)
@example("{username}", "", "../../etc/passwd", "s", "a")
@example("{session}", "", "", "../../x\x00y", "a")
@example("/", "/", "/", "/", "/")
def test_whatever_goes_in_a_name_comes_out(
    template: str, title: str, username: str, session_id: str, alias: str
) -> None:
    name = named(template, title=title, username=username, session_id=session_id, alias=alias)
    assert is_a_name(name)
    extension = next(iter(installed().values())).extension
    assert Path("/folder", name + extension).parent == Path("/folder"), "no name leads elsewhere"


@given(TEMPLATES.filter(str.isascii), LETTERS, LETTERS, LETTERS)
def test_no_name_of_ascii_is_too_long_for_a_file(
    template: str, title: str, username: str, session_id: str
) -> None:
    name = named(template, title=title, username=username, session_id=session_id)
    assert len(os.fsencode(name)) + LONGEST <= 255


@pytest.mark.parametrize(
    ("template", "username"),
    [("{username}", "🦉" * 64), ("{timestamp} " + "茶" * 83, "ada")],
    ids=["username", "template"],
)
def test_no_name_that_a_workspace_may_ask_for_is_too_long_for_a_file(template: str, username: str) -> None:
    WorkspaceConfig(id="wsp_00000000", filename=template, username=username)
    assert len(os.fsencode(named(template, username=username))) + LONGEST <= 255


@given(TEMPLATES.filter(lambda template: 0 < len(template) <= 200))
def test_a_template_that_is_accepted_leaves_no_token(template: str) -> None:
    try:
        WorkspaceConfig(id="wsp_00000000", filename=template)
    except ValidationError:
        return
    assert not set(named(template)) & set("{}/")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("How tea is made", "how-tea-is-made"),
        ("  --Ünïcode & Straße!  ", "unicode-strae"),
        ("ﬁne ½", "fine-12"),
        ("a/b\\c\x00d\ne", "a-b-c-d-e"),
        ("..", ""),
        ("茶", ""),
        ("word " * 20, "word-word-word-word-word-word-word-word"),
        ("x" * 50, "x" * 40),
    ],
)
def test_words_with_dashes(text: str, words: str) -> None:
    assert slug(text) == words


@given(st.text(), st.integers(1, 60))
def test_a_slug_is_plain(text: str, most: int) -> None:
    words = slug(text, most)
    assert len(words) <= most
    assert not set(words) - set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert words == words.strip("-")
    assert slug(words, most) == words


def test_numbers_stand_behind_names_that_are_taken() -> None:
    assert list(itertools.islice(numbered("tea"), 3)) == ["tea", "tea-2", "tea-3"]
    every = list(numbered("tea"))
    assert (len(every), len(set(every)), every[-1]) == (9999, 9999, "tea-9999")
