"""Deliveries that fail at first: retries, dead letters, replays, on real parts."""

from __future__ import annotations

import asyncio
import base64
from datetime import timedelta

import pytest
from receivers import Answer, Receiver
from stacks import Stack, eventually
from standardwebhooks.webhooks import Webhook

from minoots.contracts import AttemptError, ReplayFilter, TimerState
from minoots.errors import Failure, FailureKind
from minoots_platform.clock import utc_now
from minoots_platform.records import (
    dead_letters,
    destination_commands,
    destinations,
    replays,
    signing_secrets,
)
from minoots_platform.records.commands import CancelIt
from minoots_platform.records.dead_letters import DeadLetterQuery
from minoots_workflows.ids import workflow_id


async def test_what_fails_is_retried_and_signed_afresh_until_it_succeeds(
    stack: Stack, receiver: Receiver
) -> None:
    receiver.answers(500, 503, 204)
    async with stack.database.write() as connection:
        secret = await signing_secrets.create(connection, stack.vault, stack.tenant, "orders", now=utc_now())
    action = {"url": receiver.url, "secret": "orders"}
    timer = await stack.set(receiver.url, actions=[action], retry={"delays": ["1.1s", "0.1s"]})
    await stack.reaches(timer, TimerState.SETTLED)
    attempts = await stack.attempts(timer)
    assert [(attempt.number, attempt.status) for attempt in attempts] == [(1, 500), (2, 503), (3, 204)]
    assert len({request.webhook_id for request in receiver.requests}) == 1
    assert len({request.headers["webhook-timestamp"] for request in receiver.requests}) > 1
    assert len({request.body for request in receiver.requests}) == 1
    for request in receiver.requests:
        Webhook(secret.key).verify(request.body, request.headers)


async def test_retries_keep_the_planned_times(stack: Stack, receiver: Receiver) -> None:
    receiver.answers(500, 500, 204)
    timer = await stack.set(receiver.url, retry={"delays": ["0.3s", "0.4s"]})
    await stack.reaches(timer, TimerState.SETTLED)
    first, second, third = attempts = await stack.attempts(timer)
    assert first.planned_at == timer.fire_at
    # On a busy machine an answer may come after the next attempt's time, which is then at once.
    assert second.planned_at == max(first.planned_at + timedelta(seconds=0.3), first.finished_at)
    assert third.planned_at == max(second.planned_at + timedelta(seconds=0.4), second.finished_at)
    for attempt, request in zip(attempts, receiver.requests, strict=True):
        assert request.at >= attempt.planned_at.timestamp(), "never early"


async def test_exhausted_retries_fail_the_timer_and_make_a_dead_letter(
    stack: Stack, receiver: Receiver
) -> None:
    receiver.answers(Answer(500, body=b"down"))
    timer = await stack.set(receiver.url, retry={"delays": ["0.1s"]})
    failed = await stack.reaches(timer, TimerState.FAILED)
    assert failed.state_reason == "could not deliver action 0"
    async with stack.database.read() as connection:
        [letter] = (await dead_letters.page(connection, stack.tenant, DeadLetterQuery())).items
    assert (letter.timer_id, letter.attempts, letter.error) == (timer.id, 2, AttemptError.STATUS)
    assert (await stack.workflow(timer).result()).state == "failed"


async def test_a_replayed_dead_letter_settles_the_timer_and_keeps_its_provenance(
    stack: Stack, receiver: Receiver
) -> None:
    receiver.answers(400)
    timer = await stack.set(receiver.url)
    await stack.reaches(timer, TimerState.FAILED)
    receiver.answers(204)
    async with stack.database.write() as connection:
        [letter] = (await dead_letters.page(connection, stack.tenant, DeadLetterQuery())).items
        replayed = await dead_letters.replay_one(
            connection, stack.tenant, letter.id, now=utc_now(), actor="ops"
        )
    assert await stack.handover.delivery(stack.tenant, replayed.delivery_id)
    await stack.reaches(timer, TimerState.SETTLED)
    first, second = receiver.requests
    assert first.webhook_id == second.webhook_id, "the receiver can tell that it is the same message"
    async with stack.database.write() as connection:
        [letter] = (await dead_letters.page(connection, stack.tenant, DeadLetterQuery())).items
        assert letter.replayed_by == replayed.delivery_id
        with pytest.raises(Failure, match="replayed already"):
            await dead_letters.replay_one(connection, stack.tenant, letter.id, now=utc_now(), actor="ops")


async def test_a_replay_by_filter_sends_every_match_once(stack: Stack, receiver: Receiver) -> None:
    receiver.answers(400)
    lost = [await stack.set(receiver.url, after=0.05, name="lost") for _ in range(6)]
    other = await stack.set(receiver.url, after=0.05, name="other")
    for timer in (*lost, other):
        await stack.reaches(timer, TimerState.FAILED)
    receiver.answers(204)
    async with stack.database.write() as connection:
        replay = await replays.start(
            connection, stack.tenant, ReplayFilter(timer_name="lost"), now=utc_now(), actor="ops"
        )
    assert replay.total == 6
    assert await stack.handover.replay(stack.tenant, replay.id)
    await stack.client.get_workflow_handle(workflow_id("replay", stack.tenant, replay.id)).result()
    reconciling = asyncio.create_task(stack.handover.run(timedelta(seconds=0.1)))
    try:
        for timer in lost:
            await stack.reaches(timer, TimerState.SETTLED)
    finally:
        reconciling.cancel()
    async with stack.database.read() as connection:
        done = await replays.get(connection, stack.tenant, replay.id)
    assert (done.state, done.replayed, done.skipped) == ("done", 6, 0)
    assert (await stack.get(other)).state is TimerState.FAILED
    assert len(receiver.requests) == 13


async def test_410_stops_at_once_and_marks_the_receiver_gone(stack: Stack, receiver: Receiver) -> None:
    receiver.answers(410)
    timer = await stack.set(receiver.url)
    await stack.reaches(timer, TimerState.FAILED)
    async with stack.database.read() as connection:
        [destination] = (await destinations.page(connection, stack.tenant, limit=10, cursor=None)).items
    assert (destination.state, destination.url) == ("gone", receiver.url)
    following = await stack.set(receiver.url)
    await stack.reaches(following, TimerState.FAILED)
    assert len(receiver.requests) == 1, "nothing is sent to a receiver that is gone"
    assert await stack.attempts(following) == (), "what is not sent is no attempt"
    async with stack.database.read() as connection:
        letters = (await dead_letters.page(connection, stack.tenant, DeadLetterQuery())).items
    assert [(one.error, one.attempts) for one in letters if one.timer_id == following.id] == [
        (AttemptError.GONE, 0)
    ]
    async with stack.database.write() as connection:
        await destination_commands.close_circuit(
            connection, stack.tenant, destination.id, now=utc_now(), actor="ops"
        )
    receiver.answers(204)
    await stack.reaches(await stack.set(receiver.url), TimerState.SETTLED)


async def test_retry_after_puts_the_next_attempt_off(stack: Stack, receiver: Receiver) -> None:
    receiver.answers(Answer(429, headers={"retry-after": "1"}), 204)
    timer = await stack.set(receiver.url, retry={"delays": ["0.1s"]})
    await stack.reaches(timer, TimerState.SETTLED)
    first, second = await stack.attempts(timer)
    assert second.planned_at - first.finished_at >= timedelta(seconds=1)


async def test_a_timer_whose_receiver_fails_can_be_cancelled(stack: Stack, receiver: Receiver) -> None:
    receiver.answers(500)
    timer = await stack.set(receiver.url, retry={"delays": ["10m"]})
    await eventually(lambda: stack.attempts(timer), lambda found: len(found) == 1)
    await stack.command(timer, CancelIt("receiver is broken"))
    assert (await stack.workflow(timer).result()).state == "cancelled"
    assert (await stack.get(timer)).state is TimerState.CANCELLED
    with pytest.raises(Failure) as refused:
        await stack.change(timer, CancelIt())
    assert refused.value.kind is FailureKind.CONFLICT


async def test_both_versions_sign_while_a_secret_is_being_rotated(stack: Stack, receiver: Receiver) -> None:
    async with stack.database.write() as connection:
        old = await signing_secrets.create(connection, stack.vault, stack.tenant, "k", now=utc_now())
        new = await signing_secrets.rotate(
            connection, stack.vault, stack.tenant, "k", timedelta(hours=1), now=utc_now()
        )
    timer = await stack.set(receiver.url, actions=[{"url": receiver.url, "secret": "k"}])
    await stack.reaches(timer, TimerState.SETTLED)
    [request] = receiver.requests
    for key in (old.key, new.key):
        Webhook(key).verify(request.body, request.headers)
    kinds = [one.partition(",")[0] for one in request.headers["webhook-signature"].split()]
    assert sorted(kinds) == ["v1", "v1", "v1a", "v1a"]
    assert base64.b64decode(old.key.removeprefix("whsec_")) not in request.body


async def test_an_address_that_is_not_allowed_is_refused_without_a_retry(stack: Stack) -> None:
    timer = await stack.set("http://169.254.169.254/latest/meta-data")
    await stack.reaches(timer, TimerState.FAILED)
    [attempt] = await stack.attempts(timer)
    assert attempt.error is AttemptError.BLOCKED


async def test_a_worker_that_dies_while_sending_is_followed_by_another(
    stack: Stack, receiver: Receiver
) -> None:
    gate = asyncio.Event()
    receiver.answers(Answer(204, gate=gate), 204)
    timer = await stack.set(receiver.url)
    await receiver.expect(1)
    await stack.stop_workers()  # the attempt is cut off: nothing of it is recorded
    assert await stack.attempts(timer) == ()
    gate.set()
    await stack.start_workers()
    await stack.reaches(timer, TimerState.SETTLED)
    [attempt] = await stack.attempts(timer)
    assert attempt.succeeded
    assert len({request.webhook_id for request in receiver.requests}) == 1
