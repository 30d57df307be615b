"""Reading an answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minoots.contracts.deliveries import AttemptError
from minoots_activities.http.answers import (
    MAX_RETRY_AFTER,
    readable,
    retry_after,
    status_detail,
    status_error,
)

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        (None, None),
        ("0", timedelta(0)),
        ("120", timedelta(seconds=120)),
        (" 7 ", timedelta(seconds=7)),
        ("86400", MAX_RETRY_AFTER),
        ("86401", MAX_RETRY_AFTER),
        ("999999999999999", MAX_RETRY_AFTER),
        ("Sun, 01 Mar 2026 12:02:00 GMT", timedelta(minutes=2)),
        ("Sunday, 01-Mar-26 12:02:00 GMT", timedelta(minutes=2)),
        ("Sun Mar  1 12:02:00 2026", timedelta(minutes=2)),
        ("Sun, 01 Mar 2026 11:00:00 GMT", timedelta(0)),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_RETRY_AFTER),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("1e3", None),
        ("٣", None),
        ("soon", None),
        ("Sun, 99 Mar 2026 12:02:00 GMT", None),
        ("9" * 5000, None),
    ],
)
def test_retry_after_is_read(value: str | None, wait: timedelta | None) -> None:
    assert retry_after(value, NOW) == wait


@given(
    st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d{1,4} [A-Z][a-z]{2} \d{1,6} \d\d?:\d\d?(:\d\d?)? ?\S{0,6}")
)
def test_no_retry_after_breaks_the_attempt(value: str) -> None:
    wait = retry_after(value, NOW)
    assert wait is None or timedelta(0) <= wait <= MAX_RETRY_AFTER


@given(st.timedeltas(timedelta(0), MAX_RETRY_AFTER))
def test_an_http_date_comes_back_as_the_wait(wait: timedelta) -> None:
    wait = timedelta(seconds=wait // timedelta(seconds=1))
    assert retry_after(format_datetime(NOW + wait, usegmt=True), NOW) == wait


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (101, AttemptError.STATUS),
        (200, None),
        (204, None),
        (299, None),
        (300, AttemptError.REDIRECT),
        (304, AttemptError.REDIRECT),
        (308, AttemptError.REDIRECT),
        (400, AttemptError.STATUS),
        (409, AttemptError.STATUS),
        (410, AttemptError.GONE),
        (429, AttemptError.STATUS),
        (503, AttemptError.STATUS),
        (999, AttemptError.STATUS),
    ],
)
def test_the_status_decides(status: int, error: AttemptError | None) -> None:
    assert status_error(status) == error
    assert (status_detail(status) is None) == (error is None)


@given(st.binary(max_size=4096))
def test_any_body_becomes_text_that_a_database_can_hold(body: bytes) -> None:
    text = readable(body)
    assert len(text) <= 2048
    text.encode("utf-8")
    assert not any(character < " " and character not in "\t\n\r" for character in text)
    assert not any("\x7f" <= character <= "\x9f" for character in text)


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=500))
def test_plain_text_is_kept_as_it_is(text: str) -> None:
    assert readable(text.encode()) == text


def test_a_character_that_the_limit_cuts_in_two_is_left_out() -> None:
    assert readable(b"a" + "é".encode() * 2000) == "a" + "é" * 1023
    assert readable(b"\x00\x1b[31m\xff") == "��[31m�"
