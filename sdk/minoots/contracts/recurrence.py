"""When something recurs: rules, exclusions, a zone, and what daylight saving time does to them."""

from __future__ import annotations

import datetime as dt
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, model_validator

from .base import Duration, Instant, Part

MAX_RULES: Final = 16
MAX_EXCLUSIONS: Final = 64
MAX_RULE_TEXT: Final = 256
MIN_INTERVAL: Final = timedelta(seconds=1)

FIRST_YEAR: Final = 1970
LAST_YEAR: Final = 2200


def _near(value: dt.datetime) -> dt.datetime:
    if not FIRST_YEAR <= value.year < LAST_YEAR:
        raise ValueError(f"expected a time between the years {FIRST_YEAR} and {LAST_YEAR}")
    return value


NearInstant = Annotated[Instant, AfterValidator(_near)]
"""A moment that rules can be walked from: they are walked time by time."""

RuleText = Annotated[str, Field(min_length=1, max_length=MAX_RULE_TEXT)]


class Dst(StrEnum):
    """What happens to local times that a change of daylight saving time takes away or repeats."""

    SKIP = "skip"
    """One that does not exist is left out; of one that comes twice, the first counts."""
    ONCE = "once"
    """One that does not exist happens when the gap is over; of one that comes twice, the first counts."""
    SHIFT = "shift"
    """One that does not exist is moved by the length of the gap; of twice the same, the first counts."""
    TWICE = "twice"
    """One that does not exist is left out; one that comes twice happens twice."""


class Rule(Part):
    """One source of times: exactly one of ``cron``, ``every`` and ``rrule``."""

    cron: RuleText | None = None
    """Five fields, six with seconds first, or ``@daily`` and the like."""
    every: Duration | None = None
    """An interval of at least a second, counted from 1970-01-01T00:00:00Z."""
    phase: Duration | None = None
    """With ``every``: each time is later by this, which is less than ``every``."""
    rrule: RuleText | None = None
    """RFC 5545, daily or slower, such as ``FREQ=MONTHLY;BYDAY=1FR;BYHOUR=9;BYMINUTE=0;BYSECOND=0``."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if [self.cron, self.every, self.rrule].count(None) != 2:
            raise ValueError("give exactly one of cron, every and rrule")
        if self.every is not None and self.every < MIN_INTERVAL:
            raise ValueError("expected an every of at least 1s")
        if self.phase is not None and (self.every is None or self.phase >= self.every):
            raise ValueError("give phase only with every, and less than it")
        return self


class Exclusion(Part):
    """Times to leave out: those of a rule, or whole local days."""

    cron: RuleText | None = None
    every: Duration | None = None
    rrule: RuleText | None = None
    date: dt.date | None = None
    """A local day, such as ``2026-12-25``."""
    until: dt.date | None = None
    """With ``date``: and every day up to this one."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if [self.cron, self.every, self.rrule, self.date].count(None) != 3:
            raise ValueError("give exactly one of cron, every, rrule and date")
        if self.every is not None and self.every < MIN_INTERVAL:
            raise ValueError("expected an every of at least 1s")
        if self.until is not None and (self.date is None or self.until < self.date):
            raise ValueError("give until only with date, and not before it")
        return self


class Recurrence(Part):
    """The times of all ``rules`` together, without those of ``exclude``."""

    rules: Annotated[tuple[Rule, ...], Field(min_length=1, max_length=MAX_RULES)]
    exclude: Annotated[tuple[Exclusion, ...], Field(max_length=MAX_EXCLUSIONS)] = ()
    zone: Annotated[str, Field(min_length=1, max_length=64)] = "UTC"
    """An IANA time zone, such as ``Europe/Berlin``."""
    dst: Dst = Dst.ONCE
    start: NearInstant | None = None
    """No time before this one; an rrule counts from here."""
    end: NearInstant | None = None
    """No time at or after this one."""
    count: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """At most this many times."""

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise ValueError("give an end that is after start")
        return self
