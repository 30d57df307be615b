"""What crontabs and Temporal Schedules become, and what is said of what they cannot become."""

import base64
import json
from datetime import UTC, datetime
from itertools import islice

from minoots.contracts import ScheduleSpec
from minoots.importers import Imported, NotImported, read_crontab, read_temporal_schedule
from minoots_platform.recurrence import check, occurrences

NOW = datetime(2026, 11, 21, tzinfo=UTC)

CRONTAB = r"""
# backups
MAILTO=ops@example.com
PATH=/usr/bin
30 6 * * 1-5   backup --all
CRON_TZ=Europe/Berlin
@daily echo 100\% > /tmp/x
0 12 * * * mail ops%hello%there
@reboot warm-up
broken
"""


def times(schedule, count=3):
    spec = ScheduleSpec.model_validate(schedule)
    check(spec, NOW)
    return [one.at for one in islice(occurrences(spec, NOW, NOW), count)]


def test_a_crontab_line_by_line():
    found = list(read_crontab(CRONTAB))
    backup, echo, mail, reboot, broken = found
    assert (backup.source, backup.name) == ("line 5", "backup --all")
    assert backup.payload == {"command": "backup --all", "environment": {"PATH": "/usr/bin"}}
    assert backup.schedule["zone"] == "UTC"
    assert times(backup.schedule)[0] == datetime(2026, 11, 23, 6, 30, tzinfo=UTC)
    assert backup.notes
    assert "MAILTO" in backup.notes[0]
    assert echo.schedule["zone"] == "Europe/Berlin"
    assert echo.payload["command"] == "echo 100% > /tmp/x"
    assert (mail.payload["command"], mail.payload["stdin"]) == ("mail ops", "hello\nthere")
    assert isinstance(reboot, NotImported)
    assert "@reboot" in reboot.reason
    assert isinstance(broken, NotImported)
    assert "a command" in broken.reason


def test_a_system_crontab_has_users():
    [job, short] = read_crontab("17 * * * * root run-parts /etc/cron.hourly\n@daily root", with_users=True)
    assert job.payload == {"command": "run-parts /etc/cron.hourly", "user": "root"}
    assert isinstance(short, NotImported)


def test_the_same_line_has_the_same_key():
    [one] = read_crontab("0 1 * * * x")
    [same] = read_crontab("\n\n0 1 * * * x")
    [other] = read_crontab("0 2 * * * x")
    assert one.key("http://a/") == same.key("http://a/") != other.key("http://a/")
    assert one.key("http://a/") != one.key("http://b/")


def described(spec=None, **schedule):
    """What `temporal schedule describe --output json` prints, with the parts that matter here."""
    start = {
        "workflowId": "wf",
        "workflowType": {"name": "Rent"},
        "taskQueue": {"name": "tq"},
        "input": {"payloads": [{"data": base64.b64encode(b'{"a": 1}').decode()}]},
    }
    return json.dumps(
        {"schedule": {"spec": spec or {}, "action": {"startWorkflow": start}, **schedule}, "info": {}}
    )


def calendar(**fields):
    """A structured calendar as the server answers it; what is not given is every one, or 0 for times."""
    whole = {"dayOfMonth": (1, 31), "month": (1, 12), "dayOfWeek": (0, 6)}
    ranges = {name: [{"start": low, "end": high, "step": 1}] for name, (low, high) in whole.items()}
    return {"second": [{"step": 1}], "minute": [{"step": 1}], "hour": [{"step": 1}], **ranges, **fields}


def test_a_temporal_schedule_with_everything():
    text = described(
        spec={
            "structuredCalendar": [
                calendar(
                    minute=[{"start": 30, "end": 30, "step": 1}],
                    hour=[{"start": 9, "end": 9, "step": 1}],
                    dayOfWeek=[{"start": 1, "end": 5, "step": 1}],
                ),
                calendar(
                    dayOfMonth=[{"start": 13, "end": 13, "step": 1}],
                    dayOfWeek=[{"start": 5, "end": 5, "step": 1}],
                ),
            ],
            "interval": [{"interval": "2700s", "phase": "300s"}],
            "excludeStructuredCalendar": [calendar(month=[{"start": 12, "end": 12, "step": 1}])],
            "startTime": "2026-12-01T00:00:00Z",
            "jitter": "30s",
            "timezoneName": "Europe/Berlin",
        },
        policies={"overlapPolicy": "SCHEDULE_OVERLAP_POLICY_BUFFER_ALL", "catchupWindow": "3600s"},
        state={"paused": True, "limitedActions": True, "remainingActions": "5"},
    )
    found = read_temporal_schedule(text)
    assert isinstance(found, Imported)
    assert found.payload == {"workflow": "Rent", "workflow_id": "wf", "task_queue": "tq", "input": [{"a": 1}]}
    assert (found.name, found.paused) == ("Rent", True)
    spec = ScheduleSpec.model_validate(found.schedule)
    assert [rule.cron or rule.rrule for rule in spec.rules] == [
        "0 30 9 * * 1,2,3,4,5",
        "FREQ=DAILY;BYMONTHDAY=13;BYDAY=FR;BYHOUR=0;BYMINUTE=0;BYSECOND=0",
        None,
    ]
    assert (spec.overlap, spec.catch_up.policy, spec.count, spec.dst) == ("buffer_all", "all", 5, "twice")
    assert times(found.schedule)


def test_both_days_of_a_temporal_calendar_have_to_match():
    both = calendar(
        dayOfMonth=[{"start": 13, "end": 13, "step": 1}], dayOfWeek=[{"start": 5, "end": 5, "step": 1}]
    )
    found = read_temporal_schedule(described(spec={"structuredCalendar": [both]}))
    assert [(at.day, at.weekday()) for at in times(found.schedule)] == [(13, 4)] * 3


def test_what_temporal_has_and_we_have_not_is_said():
    years = calendar(year=[{"start": 2027, "end": 2028, "step": 1}])
    for spec, reason in [
        ({"structuredCalendar": [years]}, "years"),
        ({}, "no calendar"),
        ({"cronString": ["* * * * *"]}, "structuredCalendar"),
    ]:
        found = read_temporal_schedule(described(spec=spec))
        assert isinstance(found, NotImported)
        assert reason in found.reason
    for text in ("no json", "{}", "[]", '{"schedule": {"action": {}}}'):
        found = read_temporal_schedule(text)
        assert isinstance(found, NotImported)
        assert "temporal schedule describe" in found.reason


def test_a_stronger_policy_is_weakened_aloud():
    found = read_temporal_schedule(
        described(
            spec={"interval": [{"interval": "60s"}]},
            policies={"overlapPolicy": "SCHEDULE_OVERLAP_POLICY_TERMINATE_OTHER", "pauseOnFailure": True},
        )
    )
    assert found.schedule["overlap"] == "cancel_other"
    assert len(found.notes) == 2
