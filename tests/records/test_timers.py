"""Keeping timers and looking them up."""

from __future__ import annotations

import pytest
from ledger import START, URL, Ledger, asked, seconds
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import TimerState
from minoots.errors import Failure, FailureKind
from minoots_platform.ids import is_id
from minoots_platform.records import attempts, commands, targets, timers, why
from minoots_platform.records.masking import MASK


async def test_an_accepted_timer_reads_back_as_it_was_asked_for(ledger: Ledger) -> None:
    spec = {
        "name": "Wake — ü",
        "payload": {"a": [1, 2.5, None, "ü", '"']},
        "labels": {"team": "ops", "app/x.y-z_1": "a:b,c"},
        "metadata": {"deep": {"er": True}},
        "retry": {"delays": ["10s", "1h"]},
        "misfire": {"policy": "skip", "grace": "5s"},
    }
    accepted = await ledger.accept(90.25, **spec)
    assert is_id(accepted.id, "tmr")
    assert accepted == await ledger.get(accepted)
    assert accepted.model_dump(mode="json", include=set(spec)) == spec | {
        "retry": {"attempts": None, "backoff": None, "delays": ["10s", "1h"]}
    }
    assert (accepted.state, accepted.generation) == (TimerState.SCHEDULED, 1)
    assert (accepted.created_at, accepted.updated_at) == (START, START)
    assert accepted.fire_at == START + seconds(90.25)
    assert accepted.created_by == "tester"
    assert accepted.lateness_ms is None
    assert accepted.actions[0].url == URL


@pytest.mark.parametrize("payload", [None, 0, "", False, [], {}, "null", 2**63 - 1, 1e300, "\u2028"])
async def test_any_json_payload_is_kept(ledger: Ledger, payload: object) -> None:
    timer = await ledger.accept(payload=payload)
    kept = (await ledger.get(timer)).payload
    assert kept == payload
    assert type(kept) is type(payload)


async def test_an_accepted_timer_waits_to_be_handed_over_and_its_event_stands(ledger: Ledger) -> None:
    timer = await ledger.accept(labels={"team": "ops"})
    outstanding = await ledger.outstanding(timer)
    assert outstanding is not None
    assert (outstanding.command, outstanding.generation, outstanding.known) == ("start", 1, False)
    (event,) = await ledger.events()
    assert (event.type, event.subject, event.sequence) == ("timer.scheduled", timer.id, 1)
    assert event.labels == {"team": "ops"}
    assert event.data == {"name": "t", "generation": 1, "fire_at": timer.fire_at.isoformat(), "by": "tester"}


async def test_what_is_rolled_back_leaves_neither_timer_nor_label_nor_event(ledger: Ledger) -> None:
    async def accept_and_fail(connection: AsyncConnection) -> None:
        await ledger.accept_in(connection, labels={"team": "ops"})
        raise ConnectionError

    with pytest.raises(ConnectionError):
        async with ledger.writing() as connection:
            await accept_and_fail(connection)
    assert (await ledger.page()).items == ()
    assert (await ledger.page(labels=(("team", "ops"),))).items == ()
    assert await ledger.events() == ()
    timer = await ledger.accept()
    assert [event.sequence for event in await ledger.events()] == [1], "the number was not used up"
    assert (await ledger.page()).items == (timer,)


async def test_credentials_in_headers_are_kept_but_never_shown(ledger: Ledger) -> None:
    shown = {"X-Team": "ops", "Accept": "x/y", "X-Monkey": "m", "X-Keyboard": "k"}
    hidden = dict.fromkeys(
        [
            "Authorization",
            "X-Auth",
            "COOKIE",
            "X-Api-Key",
            "apikey",
            "Ocp-Apim-Subscription-Key",
            "X-Access-Token",
            "Client-Secret",
            "X-Password",
            "X-Hub-Signature-256",
            "X-Credential",
        ],
        "s3cret",
    )
    timer = await ledger.accept(actions=[{"url": URL, "headers": shown | hidden}])
    expected = shown | dict.fromkeys(hidden, MASK)
    for view in (timer, await ledger.get(timer), (await ledger.page()).items[0]):
        assert view.actions[0].headers == expected
    cancelled = await ledger.cancel(timer)
    assert cancelled.actions[0].headers == expected
    assert (await ledger.spec(timer)).actions[0].headers == shown | hidden
    assert "s3cret" not in repr(await ledger.events())


async def test_a_timer_that_names_an_unknown_secret_is_refused(ledger: Ledger) -> None:
    with pytest.raises(Failure, match="no signing secret partner") as caught:
        await ledger.accept(actions=[{"url": URL, "secret": "partner"}])
    assert caught.value.kind is FailureKind.INVALID
    assert caught.value.errors[0].field == "body.actions.0.secret"
    assert (await ledger.page()).items == ()


async def test_the_secret_of_another_tenant_is_unknown(ledger: Ledger) -> None:
    async with ledger.writing() as connection:
        actions = asked(actions=[{"url": URL, "secret": "partner"}]).actions
        with pytest.raises(Failure, match="no signing secret"):
            await targets.require(connection, "globex", {"body.actions": actions})
        await targets.require(connection, "globex", {"body.actions": asked().actions})


async def test_the_timers_of_another_tenant_do_not_exist(ledger: Ledger) -> None:
    timer = await ledger.accept(labels={"team": "ops"})
    other = ledger.of("globex")
    async with ledger.writing() as connection:
        for asking in (
            timers.get(connection, "globex", timer.id),
            commands.change(
                connection,
                "globex",
                timer.id,
                commands.CancelIt(),
                now=ledger.now,
                actor="x",
                if_generation=None,
            ),
            attempts.of_timer(connection, "globex", timer.id),
            why.why(connection, "globex", timer.id, ledger.now),
        ):
            with pytest.raises(Failure, match="there is no timer") as caught:
                await asking
            assert caught.value.kind is FailureKind.NOT_FOUND
    assert (await other.page()).items == ()
    assert (await other.page(labels=(("team", "ops"),))).items == ()
    assert await other.events() == ()
    assert await ledger.get(timer) == timer
