"""Temporal Schedules, as ``temporal schedule describe --output json`` prints them.

The workflow that it starts becomes the payload: type, id, task queue and input, for the receiver to start.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from .imported import Imported, NotImported

_OVERLAPS: Final = {
    "SCHEDULE_OVERLAP_POLICY_UNSPECIFIED": "skip",
    "SCHEDULE_OVERLAP_POLICY_SKIP": "skip",
    "SCHEDULE_OVERLAP_POLICY_BUFFER_ONE": "buffer_one",
    "SCHEDULE_OVERLAP_POLICY_BUFFER_ALL": "buffer_all",
    "SCHEDULE_OVERLAP_POLICY_CANCEL_OTHER": "cancel_other",
    "SCHEDULE_OVERLAP_POLICY_TERMINATE_OTHER": "cancel_other",
    "SCHEDULE_OVERLAP_POLICY_ALLOW_ALL": "allow",
}
_FIELDS: Final = (
    ("second", 0, 59),
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("dayOfMonth", 1, 31),
    ("month", 1, 12),
    ("dayOfWeek", 0, 6),
)
_DAYS: Final = ("SU", "MO", "TU", "WE", "TH", "FR", "SA")
_DEFAULT_WINDOW: Final = "365d"


class _Impossible(Exception):
    """Something that has no counterpart here."""


def read_temporal_schedule(text: str, *, name: str | None = None) -> Imported | NotImported:
    """Return the schedule that ``text`` describes; its name is that of the workflow, if none is given."""
    try:
        described = json.loads(text)["schedule"]
        start = described["action"]["startWorkflow"]
        spec = described["spec"]
    except (ValueError, TypeError, KeyError):
        expected = "expected the output of: temporal schedule describe --schedule-id ID --output json"
        return NotImported("the text", text[:80], expected)
    kind = start["workflowType"]["name"]
    try:
        schedule, notes = _schedule(spec, described.get("policies", {}), described.get("state", {}))
    except _Impossible as why:
        return NotImported("spec", name or kind, str(why))
    return Imported(
        "the schedule",
        name or kind,
        schedule,
        {
            "workflow": kind,
            "workflow_id": start.get("workflowId"),
            "task_queue": start.get("taskQueue", {}).get("name"),
            "input": [_payload(one) for one in start.get("input", {}).get("payloads", ())],
        },
        paused=bool(described.get("state", {}).get("paused")),
        notes=tuple(notes),
    )


def _schedule(
    spec: Mapping[str, Any], policies: Mapping[str, Any], state: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    notes: list[str] = []
    rules = [_calendar(one) for one in spec.get("structuredCalendar", ())]
    rules += [_interval(one) for one in spec.get("interval", ())]
    if spec.get("cronString") or spec.get("calendar"):
        raise _Impossible("expected structuredCalendar, as the server answers; got what a client had sent")
    if not rules:
        raise _Impossible("it has no calendar and no interval")
    schedule: dict[str, Any] = {
        "rules": rules,
        "zone": spec.get("timezoneName") or "UTC",
        # Temporal goes by the letter of the wall clock.
        "dst": "twice",
        "overlap": _OVERLAPS.get(policies.get("overlapPolicy", ""), "skip"),
        "catch_up": {"policy": "all", "younger_than": _length(policies.get("catchupWindow"))},
    }
    if "TERMINATE" in policies.get("overlapPolicy", ""):
        notes.append("the earlier one is called off, not terminated: what is being sent is sent")
    excluded = [_calendar(one) for one in spec.get("excludeStructuredCalendar", ())]
    if excluded:
        schedule["exclude"] = excluded
    for ours, theirs in (("start", "startTime"), ("end", "endTime"), ("jitter", "jitter")):
        if spec.get(theirs):
            schedule[ours] = spec[theirs]
    if state.get("limitedActions"):
        schedule["count"] = int(state.get("remainingActions", 0)) or 1
    if policies.get("pauseOnFailure"):
        notes.append("pauseOnFailure is left out: watch for timer.failed events")
    return schedule, notes


def _calendar(calendar: Mapping[str, Any]) -> dict[str, str]:
    if calendar.get("year"):
        raise _Impossible("it names years; give start and end instead")
    values = {name: _values(calendar.get(name, ()), low) for name, low, _ in _FIELDS}
    everything = {name: set(range(low, high + 1)) for name, low, high in _FIELDS}
    if values["dayOfMonth"] != everything["dayOfMonth"] and values["dayOfWeek"] != everything["dayOfWeek"]:
        # Both have to match there; in a cron rule either would do.
        return {"rrule": _rrule(values, everything)}
    fields = ("*" if values[name] == everything[name] else _listed(values[name]) for name, _, _ in _FIELDS)
    return {"cron": " ".join(fields)}


def _rrule(values: Mapping[str, set[int]], everything: Mapping[str, set[int]]) -> str:
    parts = ["FREQ=DAILY"]
    if values["month"] != everything["month"]:
        parts.append(f"BYMONTH={_listed(values['month'])}")
    parts.append(f"BYMONTHDAY={_listed(values['dayOfMonth'])}")
    parts.append(f"BYDAY={','.join(_DAYS[day] for day in sorted(values['dayOfWeek']))}")
    for part, name in (("BYHOUR", "hour"), ("BYMINUTE", "minute"), ("BYSECOND", "second")):
        parts.append(f"{part}={_listed(values[name])}")
    return ";".join(parts)


def _interval(interval: Mapping[str, Any]) -> dict[str, str]:
    rule = {"every": interval["interval"]}
    if interval.get("phase", "0s") != "0s":
        rule["phase"] = interval["phase"]
    return rule


def _values(ranges: Sequence[Mapping[str, int]], low: int) -> set[int]:
    """Return the numbers of ranges: an absent start is 0, an absent end the start, an absent step 1."""
    found: set[int] = set()
    for one in ranges:
        start = one.get("start", 0)
        found.update(range(start, one.get("end", start) + 1, one.get("step", 1) or 1))
    return found or {low}


def _listed(values: set[int]) -> str:
    return ",".join(map(str, sorted(values)))


def _length(window: str | None) -> str:
    """Return a catch-up window; the server's default is a year."""
    return window or _DEFAULT_WINDOW


def _payload(payload: Mapping[str, Any]) -> Any:
    try:
        return json.loads(base64.b64decode(payload.get("data", "")))
    except (ValueError, binascii.Error):
        # Encrypted or of another encoding: passed on as it is.
        return payload
