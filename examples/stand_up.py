"""A recurring timer: previewed across a change of the clocks, set, triggered by hand, paused, ended.

Run it beside ``minoots dev``.
"""

import os

from minoots import Minoots

RULE = {
    "rules": [{"cron": "30 2 * * *"}],
    "zone": "Europe/Berlin",
    "dst": "shift",
    "overlap": "skip",
    "catch_up": {"policy": "last"},
}

with Minoots(os.environ.get("MINOOTS_URL", "http://127.0.0.1:4000")) as client:
    # On 28 March 2027 there is no half past two in Berlin.
    for planned in client.schedules.preview(RULE, after="2027-03-27T00:00:00+01:00", limit=3).times:
        print(planned.local, planned.note or "")

    # No receiver: whoever follows the events sees it.
    first = client.timers.create(name="stand-up", schedule=RULE, actions=[{"kind": "feed"}])
    assert first.occurrence is not None
    schedule_id = first.occurrence.schedule_id
    print("first at", first.fire_at.isoformat())

    now = client.schedules.trigger(schedule_id)
    print("triggered:", client.timers.wait(now.id, timeout=30).state)
    print("paused:", client.schedules.pause(schedule_id).state)
    print("ended:", client.schedules.cancel(schedule_id).state)
