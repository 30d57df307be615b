"""Whether a recurrence can be: what the wire model cannot know without zones and rule parsers."""

from __future__ import annotations

import difflib
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from minoots.contracts import Exclusion, Recurrence, Rule
from minoots.durations import MAX_DURATION

from .rrules import RuleFault, parse_rrule, yearly_form
from .times import occurrences
from .walls import cron_walls

_SAMPLE: Final = datetime(2001, 1, 1)  # noqa: DTZ001 - a local time


class RecurrenceFault(ValueError):
    """A recurrence that cannot be.

    Attributes:
        field: path below the recurrence, such as ``rules.0.cron``.
        expected: what was expected there.
        got: what came.
    """

    def __init__(self, field: str, expected: str, got: str) -> None:
        super().__init__(f"{field}: expected {expected}; got {got}")
        self.field = field
        self.expected = expected
        self.got = got


def check(recurrence: Recurrence, now: datetime) -> None:
    """Refuse what cannot be read, and what gives no time after ``now``.

    Raises:
        RecurrenceFault: for the first fault.
    """
    _check_zone(recurrence.zone)
    for index, rule in enumerate(recurrence.rules):
        _check_rule(rule, f"rules.{index}", recurrence, now)
    for index, exclusion in enumerate(recurrence.exclude):
        _check_rule(exclusion, f"exclude.{index}", recurrence, now)
    counted = any(one.rrule for one in recurrence.rules) or any(one.rrule for one in recurrence.exclude)
    if counted and recurrence.start is not None and recurrence.start < now - MAX_DURATION:
        expected = "a time of the last ten years, from which an rrule is walked"
        raise RecurrenceFault("start", expected, recurrence.start.isoformat())
    first = next(occurrences(recurrence, now, now), None)
    if first is None or first.at - now > MAX_DURATION:
        raise RecurrenceFault("", "at least one time within ten years", "rules that give none")


def _check_zone(zone: str) -> None:
    if zone in available_timezones():
        return
    near = difflib.get_close_matches(zone, available_timezones(), 1)
    hint = f"; did you mean {near[0]}?" if near else ", such as Europe/Berlin"
    raise RecurrenceFault("zone", f"an IANA time zone{hint}", repr(zone))


def _check_rule(rule: Rule | Exclusion, place: str, recurrence: Recurrence, now: datetime) -> None:
    name, text = ("cron", rule.cron) if rule.cron is not None else ("rrule", rule.rrule)
    if text is None:
        return
    try:
        if rule.cron is not None:
            found = next(cron_walls(rule.cron, _SAMPLE), None)
        else:
            zone = ZoneInfo(recurrence.zone)
            start = (recurrence.start or now).astimezone(zone).replace(tzinfo=None, microsecond=0)
            parse_rrule(text, start, recurrence.zone)
            # Looked at by years: by days it would take seconds to find out that there is no 30 February.
            found = next(iter(parse_rrule(yearly_form(text), _SAMPLE, recurrence.zone)), None)
    except RuleFault as fault:
        raise RecurrenceFault(f"{place}.{name}", str(fault).removeprefix("expected "), repr(text)) from fault
    if found is None:
        raise RecurrenceFault(f"{place}.{name}", "a rule that some day matches", repr(text))
