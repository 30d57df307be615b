"""The outbox keeps creates on disk while the gateway is away, and sends them in order, each once."""

import asyncio
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest

import minoots
from minoots import AsyncMinoots, Minoots, Queued, Timer
from minoots.outbox import Outbox

HOOK = "https://example.com/hook"


class Service:
    """Keeps timers by idempotency key, as the gateway does."""

    def __init__(self, gateway, make):
        self.make = make
        self.bodies = {}
        self.order = []
        self.lock = threading.Lock()
        gateway.answer("POST", "/v1/timers", self.create)

    def create(self, seen):
        with self.lock:
            known = self.bodies.setdefault(seen.key, seen.body)
            if known != seen.body:
                error = {"field": "header.Idempotency-Key", "expected": "a new key", "got": "a used one"}
                return self.make.problem(422, "invalid", error)(seen)
            if seen.key not in self.order:
                self.order.append(seen.key)
            timer = self.make.timer(f"tmr_{self.order.index(seen.key)}", name=seen.body["name"])
            return self.make.reply(timer, 201)(seen)

    @property
    def names(self):
        return [self.bodies[key]["name"] for key in self.order]


@pytest.fixture
def service(gateway, make):
    return Service(gateway, make)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "outbox.db"


def away(gateway, path, *names, **more):
    """Queue creates while the gateway is stopped."""
    gateway.stop()
    with Minoots(gateway.url, outbox=path, retries=0) as client:
        return [
            client.timers.create(**{"name": name, "after": "1h", "webhook": HOOK, **more}) for name in names
        ]


def test_with_the_gateway_there_a_create_goes_straight_through(gateway, service, path):
    with Minoots(gateway.url, outbox=path) as client:
        timer = client.timers.create(name="tea", after="4m", webhook=HOOK)
        assert client.outbox.queued() == ()
    assert isinstance(timer, Timer)
    assert gateway.seen[0].body["after"] == "4m"


def test_a_create_while_the_gateway_is_away_is_queued_with_a_fixed_moment(gateway, service, path):
    before = datetime.now(UTC)
    (queued,) = away(gateway, path, "tea")
    after = datetime.now(UTC)
    assert isinstance(queued, Queued)
    assert before + timedelta(hours=1) <= queued.fire_at <= after + timedelta(hours=1)
    gateway.start()
    with Minoots(gateway.url, outbox=path) as client:
        flushed = client.outbox.flush()
    assert [timer.name for timer in flushed.sent] == ["tea"]
    assert (flushed.left, flushed.stopped) == (0, None)
    body = gateway.seen[0].body
    assert gateway.seen[0].key == queued.idempotency_key
    assert datetime.fromisoformat(body["fire_at"]) == queued.fire_at
    assert "after" not in body
    assert body["misfire"] == {"policy": "fire"}


def test_a_misfire_policy_that_was_chosen_stays(gateway, service, path):
    away(gateway, path, "tea", misfire="skip")
    assert Outbox(path).queued()[0].body["misfire"] == {"policy": "skip"}


def test_503_queues_and_a_refusal_does_not(gateway, make, path):
    gateway.answer("POST", "/v1/timers", make.problem(503, "unavailable"), make.problem(409, "conflict"))
    with Minoots(gateway.url, outbox=path, retries=0) as client:
        assert isinstance(client.timers.create(name="tea", after=60, webhook=HOOK), Queued)
        client.outbox.flush()
        assert client.outbox.queued() == ()
        with pytest.raises(minoots.Conflict):
            client.timers.create(name="tea", after=60, webhook=HOOK)
        assert client.outbox.queued() == ()


def test_what_is_queued_is_sent_in_order_and_later_creates_go_behind(gateway, service, path):
    ahead = [queued.ahead for queued in away(gateway, path, "a", "b", "c")]
    assert ahead == [0, 1, 2]
    gateway.start()
    with Minoots(gateway.url, outbox=path) as client:
        assert isinstance(client.timers.create(name="d", after="1h", webhook=HOOK), Timer)
    assert service.names == ["a", "b", "c", "d"]


def test_a_flush_stops_at_the_first_failure_of_the_connection(gateway, service, make, path):
    away(gateway, path, "a", "b", "c")
    gateway.answer("POST", "/v1/timers", service.create, make.problem(503, "unavailable"))
    gateway.start()
    with Minoots(gateway.url, outbox=path, retries=0) as client:
        flushed = client.outbox.flush()
        assert [timer.name for timer in flushed.sent] == ["a"]
        assert isinstance(flushed.stopped, minoots.Unavailable)
        assert [entry.body["name"] for entry in client.outbox.queued()] == ["b", "c"]
    assert len(gateway.seen) == 2


def test_a_refused_request_can_be_read_and_does_not_hold_up_the_others(gateway, service, make, path):
    away(gateway, path, "a", "b", "c")
    gateway.answer("POST", "/v1/timers", service.create, make.problem(422, "invalid"), service.create)
    gateway.start()
    with Minoots(gateway.url, outbox=path) as client:
        flushed = client.outbox.flush()
        assert [timer.name for timer in flushed.sent] == ["a", "c"]
        (rejected,) = client.outbox.rejected()
        assert rejected == flushed.rejected[0]
        assert (rejected.body["name"], rejected.problem.kind) == ("b", "invalid")
        assert client.outbox.forget_rejected() == 1
        assert client.outbox.rejected() == ()


def test_a_wrong_key_keeps_the_queue_and_is_told(gateway, service, make, path):
    away(gateway, path, "a", "b")
    gateway.answer("POST", "/v1/timers", make.problem(401, "unauthenticated"))
    gateway.start()
    with Minoots(gateway.url, outbox=path) as client:
        assert isinstance(client.outbox.flush().stopped, minoots.Unauthenticated)
        with pytest.raises(minoots.Unauthenticated):
            client.timers.create(name="c", after="1h", webhook=HOOK)
        assert len(client.outbox.queued()) == 2
        assert client.outbox.rejected() == ()


def test_a_lost_answer_does_not_make_a_second_timer(gateway, service, make, path):
    def answer_is_lost(seen):
        service.create(seen)
        return make.problem(503, "unavailable")(seen)

    gateway.answer("POST", "/v1/timers", answer_is_lost, service.create)
    with Minoots(gateway.url, outbox=path, retries=0) as client:
        queued = client.timers.create(name="tea", after="4m", webhook=HOOK)
        assert isinstance(queued, Queued)
        flushed = client.outbox.flush()
    # The queue's fixed moment is another body for the same key; the first body fetches the first answer.
    assert [timer.id for timer in flushed.sent] == ["tmr_0"]
    assert service.order == [queued.idempotency_key]
    assert service.bodies[queued.idempotency_key]["after"] == "4m"


def test_the_same_key_is_queued_once_and_not_for_another_request(gateway, service, path):
    first, second = away(gateway, path, "tea", "tea", idempotency_key="mine")
    assert first == second
    with pytest.raises(minoots.InvalidRequest, match="Idempotency-Key"):
        away(gateway, path, "coffee", idempotency_key="mine")
    assert len(Outbox(path).queued()) == 1


FLUSH = """
import sys
from pathlib import Path
from minoots import Minoots
with Minoots(sys.argv[1], outbox=Path(sys.argv[2])) as client:
    flushed = client.outbox.flush()
    print(len(flushed.sent), flushed.left, flushed.busy)
"""


def test_killed_between_send_and_delete_it_is_sent_again_and_made_once(gateway, service, path):
    away(gateway, path, "a", "b", "c")

    def kill_the_sender(seen):
        answer = service.create(seen)
        if seen.body["name"] == "b":
            # The service has the timer; the sender dies before it can note that.
            os.kill(sender.pid, signal.SIGKILL)
            gateway.answer("POST", "/v1/timers", service.create)
        return answer

    gateway.answer("POST", "/v1/timers", kill_the_sender)
    gateway.start()
    sender = subprocess.Popen([sys.executable, "-c", FLUSH, gateway.url, str(path)])
    assert sender.wait(60) == -signal.SIGKILL
    assert [entry.body["name"] for entry in Outbox(path).queued()] == ["b", "c"]
    with Minoots(gateway.url, outbox=path) as client:
        flushed = client.outbox.flush()
    assert (len(flushed.sent), flushed.left) == (2, 0)
    assert service.names == ["a", "b", "c"]
    assert [seen.body["name"] for seen in gateway.seen] == ["a", "b", "b", "c"]


CREATE = """
import sys
from pathlib import Path
from minoots import Minoots
with Minoots(sys.argv[1], outbox=Path(sys.argv[2]), retries=0) as client:
    for number in range(20):
        client.timers.create(name=f"{sys.argv[3]}{number:02}", after="1h", webhook="https://example.com/hook")
"""


def run_twice(code, *arguments):
    both = [
        subprocess.Popen([sys.executable, "-c", code, *arguments, name], stdout=subprocess.PIPE, text=True)
        for name in ("a", "b")
    ]
    outputs = [process.communicate(timeout=100)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    return outputs


def test_two_processes_share_one_file(gateway, service, path):
    gateway.stop()
    run_twice(CREATE, gateway.url, str(path))
    entries = Outbox(path).queued()
    assert len(entries) == 40
    gateway.start()
    outputs = [line.split() for line in run_twice(FLUSH, gateway.url, str(path))]
    # One of them may have found the other at work; between them everything is sent, each request once.
    assert sum(int(sent) for sent, _, _ in outputs) == 40
    assert [seen.key for seen in gateway.seen] == [entry.key for entry in entries]
    for name in "ab":
        own = [found for found in service.names if found.startswith(name)]
        assert own == sorted(own)


ADD = """
import os, sys
from pathlib import Path
from minoots.outbox import Outbox
sys.stdin.readline()
for number in range(20):
    Outbox(Path(sys.argv[1]) / f"{number}.db").add(sys.argv[2], {}, {})
"""


def test_many_processes_may_make_the_same_file_at_once(tmp_path):
    adders = [
        subprocess.Popen([sys.executable, "-c", ADD, str(tmp_path), name], stdin=subprocess.PIPE, text=True)
        for name in "abcde"
    ]
    # Closed one after the other only when all are started: they begin together.
    for adder in adders:
        adder.stdin.close()
    assert [adder.wait(60) for adder in adders] == [0] * 5
    assert [Outbox(tmp_path / f"{number}.db").count() for number in range(20)] == [5] * 20


def test_while_somebody_flushes_nobody_else_does(gateway, service, path):
    away(gateway, path, "a")
    lock = Outbox(path).try_lock()
    assert lock is not None
    gateway.start()
    with Minoots(gateway.url, outbox=path) as client:
        flushed = client.outbox.flush()
        assert (flushed.busy, flushed.left) == (True, 1)
        assert isinstance(client.timers.create(name="b", after="1h", webhook=HOOK), Queued)
        assert gateway.seen == []
        lock.close()
        assert len(client.outbox.flush().sent) == 2
    assert service.names == ["a", "b"]


async def test_the_async_client_queues_and_flushes_too(gateway, service, path):
    gateway.stop()
    async with AsyncMinoots(gateway.url, outbox=path, retries=0) as client:
        assert isinstance(await client.timers.create(name="a", after="1h", webhook=HOOK), Queued)
        assert [entry.body["name"] for entry in await client.outbox.queued()] == ["a"]
        gateway.start()
        assert [timer.name for timer in (await client.outbox.flush()).sent] == ["a"]
        assert await client.outbox.rejected() == ()


async def test_a_cancelled_flush_gives_the_lock_back(gateway, service, path):
    away(gateway, path, "a")
    arrived, go_on = threading.Event(), threading.Event()

    def slow(seen):
        arrived.set()
        go_on.wait(30)
        return service.create(seen)

    gateway.answer("POST", "/v1/timers", slow, service.create)
    gateway.start()
    async with AsyncMinoots(gateway.url, outbox=path) as client:
        task = asyncio.create_task(client.outbox.flush())
        assert await asyncio.to_thread(arrived.wait, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()
        assert len((await client.outbox.flush()).sent) == 1
    assert service.names == ["a"]


def test_a_client_without_an_outbox_raises(gateway, path):
    gateway.stop()
    with Minoots(gateway.url, retries=0) as client:
        with pytest.raises(minoots.ConnectionFailed):
            client.timers.create(name="tea", after=60, webhook=HOOK)
        with pytest.raises(minoots.InvalidRequest, match=r"expected a client made with outbox=Path"):
            _ = client.outbox


def test_the_file_is_for_its_owner_only(gateway, path):
    away(gateway, path, "tea")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_of_a_newer_version_is_refused(path):
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 2")
    db.close()
    with pytest.raises(minoots.MinootsError, match="upgrade minoots"):
        Outbox(path).count()
