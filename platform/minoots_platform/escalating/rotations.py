"""Who is on call: layers of people who take turns, and overrides, as a function of the time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from minoots.contracts.rotations import Layer, Override, Shift

from .hours import covers

_DAY: Final = timedelta(days=1)


class RotationFault(ValueError):
    """A rotation that cannot be.

    Attributes:
        field: path below the body.
        expected: what was expected there.
        got: what came.
    """

    def __init__(self, field: str, expected: str, got: str) -> None:
        super().__init__(f"{field}: expected {expected}; got {got}")
        self.field = field
        self.expected = expected
        self.got = got


def on_call(layers: Sequence[Layer], overrides: Sequence[Override], at: datetime) -> str | None:
    """Return who is on call at ``at``: an override, or the turn of the last layer that has somebody."""
    for override in overrides:
        if override.since <= at < override.until:
            return override.who
    for layer in reversed(layers):
        who = _turn_of(layer, at)
        if who is not None:
            return who
    return None


def shifts(
    layers: Sequence[Layer], overrides: Sequence[Override], since: datetime, until: datetime
) -> Iterator[Shift]:
    """Yield who is on call from ``since`` to ``until``, without gaps, each as long as it lasts."""
    begun, who = since, on_call(layers, overrides, since)
    for moment in _changes(layers, overrides, since, until):
        now = on_call(layers, overrides, moment)
        if now != who:
            yield Shift(who=who, since=begun, until=moment)
            begun, who = moment, now
    yield Shift(who=who, since=begun, until=until)


def check_rotation(layers: Sequence[Layer], overrides: Sequence[Override]) -> None:
    """Refuse zones that are none, and overrides that overlap.

    Raises:
        RotationFault: for the first fault.
    """
    for index, layer in enumerate(layers):
        zones = [("zone", layer.zone), *([("hours.zone", layer.hours.zone)] if layer.hours else [])]
        for name, zone in zones:
            if zone not in available_timezones():
                raise RotationFault(
                    f"layers.{index}.{name}", "an IANA time zone, such as Europe/Berlin", repr(zone)
                )
    ordered = sorted(enumerate(overrides), key=lambda pair: pair[1].since)
    for (_, first), (index, second) in pairwise(ordered):
        if second.since < first.until:
            got = f"{second.since.isoformat()}, while {first.who} stands in until {first.until.isoformat()}"
            raise RotationFault(f"overrides.{index}.since", "overrides that do not overlap", got)


def _turn_of(layer: Layer, at: datetime) -> str | None:
    if at < layer.start or (layer.end is not None and at >= layer.end):
        return None
    if layer.hours is not None and not covers(layer.hours, at):
        return None
    return layer.participants[_turn_number(layer, at) % len(layer.participants)]


def _turn_number(layer: Layer, at: datetime) -> int:
    if layer.turn % _DAY:
        return (at - layer.start) // layer.turn
    # Whole days: as the clocks on the wall go, so that change-overs keep their hour.
    zone = ZoneInfo(layer.zone)
    return (_wall(at, zone) - _wall(layer.start, zone)) // layer.turn


def _wall(at: datetime, zone: ZoneInfo) -> datetime:
    return at.astimezone(zone).replace(tzinfo=None)


def _changes(
    layers: Sequence[Layer], overrides: Sequence[Override], since: datetime, until: datetime
) -> list[datetime]:
    """Return the moments at which who is on call may change, in order."""
    found: set[datetime] = set()
    for override in overrides:
        found |= {override.since, override.until}
    for layer in layers:
        found |= {layer.start} | ({layer.end} if layer.end else set())
        found |= set(_change_overs(layer, max(since, layer.start), min(until, layer.end or until)))
        if layer.hours is not None:
            found |= set(_edges(layer, since, until))
    return sorted(moment for moment in found if since < moment < until)


def _change_overs(layer: Layer, since: datetime, until: datetime) -> Iterator[datetime]:
    if since >= until:
        return
    number = _turn_number(layer, since) + 1
    while True:
        if layer.turn % _DAY:
            moment = layer.start + layer.turn * number
        else:
            zone = ZoneInfo(layer.zone)
            wall = _wall(layer.start, zone) + layer.turn * number
            moment = wall.replace(tzinfo=zone).astimezone(UTC)
        if moment >= until:
            return
        yield moment
        number += 1


def _edges(layer: Layer, since: datetime, until: datetime) -> Iterator[datetime]:
    """Yield the moments at which the hours of a layer begin or end."""
    assert layer.hours is not None  # noqa: S101 - the caller looks
    zone = ZoneInfo(layer.hours.zone)
    day = _wall(since, zone).replace(hour=0, minute=0, second=0, microsecond=0) - _DAY
    last = _wall(until, zone) + _DAY
    while day <= last:
        for clock in (layer.hours.since, layer.hours.until):
            hour, minute = clock.split(":")
            wall = day + timedelta(hours=int(hour), minutes=int(minute))
            # Both readings of a local time that comes twice, and the end of a gap for one that does not come.
            for fold in (0, 1):
                yield wall.replace(tzinfo=zone, fold=fold).astimezone(UTC)
        day += _DAY
