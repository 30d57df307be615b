"""What every connector promises, over real servers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from connector_cases import CASES, Case, Servers, chat_case, email_case, serve_mischief
from ledger import Ledger
from pydantic import ValidationError

from minoots.contracts import AttemptError, ConnectorAction
from minoots_activities.connectors import Connector, HealthWatch, Sending, connectors
from minoots_activities.connectors.mcp import Tools
from minoots_activities.connectors.relay import Relay
from minoots_activities.connectors.sender import NotSent
from minoots_activities.http import WebhookSender
from minoots_platform.connectors import ConnectorFault, check_action, installed, masked_config
from minoots_platform.links import Links
from minoots_platform.records import Database
from minoots_platform.settings import Settings, with_overrides


async def test_a_message_arrives_with_its_name_and_payload(case: Case) -> None:
    message = case.message()
    await case.send(message)
    [text] = await case.arrived()
    assert "disk full" in text
    assert "/dev/sda1" in text


async def test_the_receiver_can_tell_a_repetition_by_its_id(case: Case) -> None:
    message = case.message()
    for _ in range(2):
        await case.send(message)
    arrived = await case.arrived()
    if case.distinct:
        assert len(arrived) == 1, "the receiver itself drops the second"
        return
    assert len(arrived) == 2
    # Chats have no place for an id: a repetition is seen twice there, and the docs say so.
    assert all(message.id in text for text in arrived) is (case.spec.kind != "chat")


async def test_messages_of_different_ids_all_arrive(case: Case) -> None:
    for number in range(3):
        await case.send(case.message(payload=number))
    assert len(await case.arrived()) == 3


async def test_a_server_that_is_away_is_tried_again(case: Case) -> None:
    assert case.away is not None
    with pytest.raises(NotSent) as caught:
        await case.away.send()
    # An inbox is away when there is no such agent; a job cannot be had when what it names is not kept.
    away = {"agent": AttemptError.ABSENT, "job": AttemptError.REFUSED}
    absent = away.get(case.spec.kind, AttemptError.CONNECT)
    assert caught.value.error in (absent, AttemptError.TIMEOUT)


async def test_a_check_tells_a_receiver_that_is_there_from_one_that_is_away(case: Case) -> None:
    await case.check()
    assert await case.arrived() == [], "a check sends nothing"
    assert case.away is not None
    with pytest.raises(NotSent) as caught:
        await case.away.check()
    assert caught.value.detail
    await case.send()
    assert len(await case.arrived()) == 1


async def test_the_server_behind_all_messages_is_looked_at(case: Case) -> None:
    assert case.away is not None
    await case.sender.health()
    if case.spec.watched:
        with pytest.raises(NotSent):
            await case.away.sender.health()


async def test_odd_names_and_payloads_arrive_whole(case: Case) -> None:
    odd = "ünïcode <b>&amp; \u2028 🦉"
    await case.send(case.message(title=odd, payload={"text": odd * 20}))
    assert len(await case.arrived()) == 1


async def test_unknown_fields_of_a_config_are_refused(case: Case) -> None:
    with pytest.raises(ValidationError):
        case.parsed(surprise=1)


async def test_its_schema_and_its_destination_can_be_shown(case: Case) -> None:
    schema = case.spec.config.model_json_schema()
    assert schema["additionalProperties"] is False
    shown = case.spec.destination(json.loads(case.parsed().model_dump_json()))
    assert shown.startswith("http://" if case.spec.kind == "webhook" else f"{case.spec.kind}:")
    for name in case.spec.secret_fields:
        assert str(case.config[name]) not in shown
        kept = masked_config({"kind": case.spec.kind, "config": case.config})
        assert kept["config"][name] != case.config[name]


def test_every_installed_connector_is_in_this_suite() -> None:
    # The feed has no receiver: there is nothing to promise but success.
    assert set(installed()) == {*CASES, "feed"}


@pytest.mark.parametrize(
    ("kind", "config", "field"),
    [
        ("pigeon", {}, "kind"),
        ("email", {"to": ["ada@example.com"]}, "kind"),
        ("chat", {"url": "http://10.0.0.1/x"}, "config.url"),
        ("chat", {"url": "ftp://example.com"}, "config.url"),
        ("chat", {"url": "https://example.com/x", "style": "irc"}, "config.style"),
    ],
)
def test_an_action_that_cannot_be_is_refused(kind: str, config: dict[str, Any], field: str) -> None:
    with pytest.raises(ConnectorFault) as caught:
        check_action(ConnectorAction(kind=kind, config=config), Settings())
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"to": []}, "config.to"),
        ({"to": ["not an address"]}, "config.to.0"),
        ({"to": ["a@b.example\r\nBcc: eve@example.com"]}, "config.to.0"),
        ({"to": ["a@b.example"], "subject": "x\r\nBcc: eve@example.com"}, "config.subject"),
    ],
)
def test_no_header_is_smuggled_into_a_mail(config: dict[str, Any], field: str) -> None:
    settings = with_overrides(
        Settings(), {"connectors": {"email": {"host": "mail.example", "sender": "minoots@example.com"}}}
    )
    with pytest.raises(ConnectorFault) as caught:
        check_action(ConnectorAction(kind="email", config=config), settings)
    assert caught.value.field == field


@pytest.mark.parametrize("queue", ["core", "io", "others"])
def test_workflows_start_only_on_queues_that_are_named_and_never_on_ours(queue: str) -> None:
    queues = {"task_queues": ["users", "core"]}
    settings = with_overrides(Settings(), {"connectors": {"workflow": queues}})
    action = ConnectorAction(kind="workflow", config={"workflow": "Timer", "task_queue": queue})
    with pytest.raises(ConnectorFault, match="one of users"):
        check_action(action, settings)


async def test_a_mail_that_the_server_refuses_for_good_is_not_tried_again(servers: Servers) -> None:
    case = await email_case(servers)
    for answer, error in (("554 no", AttemptError.REFUSED), ("451 later", AttemptError.PROTOCOL)):
        servers.mailbox.answer = answer
        with pytest.raises(NotSent) as caught:
            await case.send()
        assert caught.value.error is error


async def test_the_styles_of_chats(servers: Servers) -> None:
    case = await chat_case(servers)
    for style in ("slack", "discord", "teams"):
        message = case.message(title="<@everyone>", link="http://l/x")
        await case.send(message, style=style)
    slack, discord, teams = (json.loads(one.body) for one in servers.receiver.requests)
    assert slack["text"].startswith("&lt;@everyone&gt;\n\nAcknowledge: http://l/x")
    assert discord["allowed_mentions"] == {"parse": []}
    assert teams["attachments"][0]["content"]["body"][0]["text"].startswith("<@everyone>")


@pytest.fixture
async def tools(servers: Servers) -> AsyncIterator[Case]:
    """A server with tools, over MCP."""
    case = await CASES["mcp"](servers)
    yield case
    assert case.stop is not None
    await case.stop()


async def test_a_tool_tells_its_progress_and_its_answer_is_kept(tools: Case) -> None:
    told: list[tuple[float, float | None, str | None]] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))

    answer = await tools.send(tools.message(progress=note))
    assert json.loads(str(answer)) == {"paged": "/dev/sda1"}
    assert told == [(1, 2, "looking"), (2, 2, "done")]


@pytest.mark.parametrize(
    ("config", "error", "detail"),
    [
        ({"tool": "broken"}, AttemptError.STATUS, "no such pager"),
        ({"tool": "nonsense"}, AttemptError.STATUS, "Unknown tool: nonsense"),
    ],
)
async def test_a_tool_that_fails_or_is_not_there_says_so(
    tools: Case, config: dict[str, Any], error: AttemptError, detail: str
) -> None:
    with pytest.raises(NotSent) as caught:
        await tools.send(**config)
    assert caught.value.error is error
    assert detail in caught.value.detail


async def test_a_tool_on_an_address_that_is_not_allowed_is_never_called(
    tools: Case, servers: Servers
) -> None:
    async with WebhookSender(allowed_networks=(), user_agent="test") as closed:
        sender = Tools(replace(servers.world(), http=closed))
        with pytest.raises(NotSent) as caught:
            await sender.send(tools.message(), tools.parsed())
    assert caught.value.error is AttemptError.BLOCKED
    assert await tools.arrived() == []


@pytest.mark.parametrize("status", [200, 204, 302, 401, 404, 500])
async def test_what_is_no_server_of_tools_is_no_success(tools: Case, servers: Servers, status: int) -> None:
    servers.receiver.answers(status)
    with pytest.raises(NotSent) as caught:
        await tools.send(url=servers.receiver.url)
    assert caught.value.error in (AttemptError.PROTOCOL, AttemptError.STATUS, AttemptError.REFUSED)


async def test_a_server_that_does_not_answer_is_told(servers: Servers) -> None:
    smtp = {"host": "127.0.0.1", "port": servers.mailbox.port, "security": "none", "sender": "m@example.com"}
    world = servers.world(email=smtp, nats={"servers": ["nats://127.0.0.1:9"]})
    async with connectors(world, Links(servers.vault, "")) as installed_here:
        watch = HealthWatch(installed_here, servers.telemetry.metrics)
        assert set(await watch.look()) == {"nats"}, "chats and tools have no one server to ask"
        assert "cannot be reached" in (await watch.look())["nats"]


def test_mails_go_to_the_domains_that_are_named() -> None:
    email = {"host": "mail.example", "sender": "minoots@example.com", "domains": ["Example.com"]}
    settings = with_overrides(Settings(), {"connectors": {"email": email}})
    check_action(ConnectorAction(kind="email", config={"to": ["ada@EXAMPLE.com"]}), settings)
    both = ConnectorAction(kind="email", config={"to": ["ada@example.com", "eve@evil.example"]})
    with pytest.raises(ConnectorFault, match=r"addresses at example\.com") as caught:
        check_action(both, settings)
    assert caught.value.field == "config.to"


async def test_progress_is_passed_on_without_flooding_or_breaking_the_records(database: Database) -> None:
    ledger = Ledger(database)
    timer = await ledger.accept(0)
    (claim,) = await ledger.fire(timer)
    relay = Relay(database, await ledger.spec(timer), claim, lambda: ledger.now)
    for _ in range(50):
        await relay(1, 3, "half\x00way \ud800")
    await relay(float("nan"), None, None)
    for _ in range(50):
        await relay(3, 3, "done")
    told = [event.data for event in await ledger.events(types=("delivery.progressed",))]
    assert [(one["progress"], one["message"]) for one in told] == [(1, "half\ufffdway ?"), (3, "done")]


async def test_what_a_tool_answers_can_be_kept(tools: Case, servers: Servers, database: Database) -> None:
    ledger = Ledger(database)
    config = dict(tools.config) | {"tool": "echo"}
    timer = await ledger.accept(
        0, actions=[{"kind": "mcp", "config": config}], payload={"text": "a\u0007" * 3000}
    )
    (claim,) = await ledger.fire(timer)
    world = replace(servers.world(), database=database, clock=lambda: ledger.now)
    async with connectors(world, Links(servers.vault, "")) as installed_here:
        (mcp,) = [one for one in installed_here if one.kind == "mcp"]
        spec = await ledger.spec(timer)
        assert isinstance(spec.actions[0], ConnectorAction)
        prepared = await mcp.prepare("acme", [spec.actions[0]])
        result = await mcp.send(Sending(spec, spec.actions[0], claim, ledger.now, prepared))
    assert result.error is None
    assert result.response is not None
    assert len(result.response) <= 2048
    assert "\x07" not in result.response


@pytest.mark.parametrize(
    ("mode", "error"),
    [
        ("pattern", None),
        ("own schema", None),
        ("compressed", AttemptError.PROTOCOL),
        ("garbage", AttemptError.PROTOCOL),
        ("deep", AttemptError.PROTOCOL),
        ("again", AttemptError.PROTOCOL),
    ],
)
async def test_a_server_that_means_harm_costs_one_attempt(
    servers: Servers, mode: str, error: AttemptError | None
) -> None:
    mischief = await serve_mischief(mode)
    case = await CASES["mcp"](servers)
    try:
        # Without a limit of its own: its goodbye is not waited for, and no pattern of its is tried.
        async with asyncio.timeout(15):
            if error is None:
                assert await case.send(url=mischief.url) is not None
            else:
                with pytest.raises(NotSent) as caught:
                    await case.send(url=mischief.url)
                assert caught.value.error is error
        assert len(mischief.calls) == 1
    finally:
        await mischief.stop()
        assert case.stop is not None
        await case.stop()


async def test_a_connector_that_is_broken_costs_its_own_attempt_alone(
    servers: Servers, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*given: Any) -> None:
        raise KeyError("a defect")

    for what in ("prepare", "warm", "send", "check"):
        monkeypatch.setattr(Tools, what, broken)
    ledger = Ledger(database)
    config = {"url": servers.receiver.url, "tool": "page"}
    timer = await ledger.accept(0, actions=[{"kind": "mcp", "config": config}])
    (claim,) = await ledger.fire(timer)
    world = replace(servers.world(), database=database, clock=lambda: ledger.now)
    async with connectors(world, Links(servers.vault, "")) as installed_here:
        (mcp,) = [one for one in installed_here if one.kind == "mcp"]
        spec = await ledger.spec(timer)
        prepared = await mcp.prepare("acme", spec.actions)
        await mcp.warm(spec.actions[0])
        result = await mcp.send(Sending(spec, spec.actions[0], claim, ledger.now, prepared))
        checked = await mcp.check("acme", spec.actions[0])
    assert (result.error, result.detail) == (AttemptError.PROTOCOL, "the connector failed: KeyError")
    assert checked is not None
    assert checked.error is AttemptError.PROTOCOL


async def test_a_check_names_the_tools_that_there_are(tools: Case) -> None:
    with pytest.raises(NotSent, match="no tool nonsense; it has page, echo, broken") as caught:
        await tools.check(tool="nonsense")
    assert caught.value.error is AttemptError.ABSENT
    assert await tools.arrived() == []


async def test_a_check_of_a_webhook_looks_for_its_secret(servers: Servers) -> None:
    case = await CASES["webhook"](servers)
    with pytest.raises(NotSent, match="no signing secret missing"):
        await case.check(secret="missing")


@pytest.mark.parametrize("kind", ["chat", "mcp", "webhook"])
async def test_a_check_goes_to_no_address_that_is_not_allowed(kind: str, servers: Servers) -> None:
    case = await CASES[kind](servers)
    async with WebhookSender(allowed_networks=(), user_agent="test") as closed:
        sender = type(case.sender)(replace(case.sender.world, http=closed))
        with pytest.raises(NotSent) as caught:
            await sender.check("acme", case.parsed())
    if case.stop is not None:
        await case.stop()
    assert caught.value.error is AttemptError.BLOCKED


async def test_what_the_settings_do_not_allow_any_more_is_neither_checked_nor_sent(
    servers: Servers, database: Database
) -> None:
    ledger = Ledger(database)
    hook = "http://127.0.0.1:9/secret-path"
    actions = [{"kind": "webhook", "url": hook}, {"kind": "chat", "config": {"url": hook}}]
    timer = await ledger.accept(0, actions=actions)
    claims = await ledger.fire(timer)
    spec = await ledger.spec(timer)
    world = replace(servers.world(), database=database, settings=Settings())
    async with connectors(world, Links(servers.vault, "")) as installed_here:
        by_kind = {one.kind: one for one in installed_here}
        for action, claim in zip(spec.actions, claims, strict=True):
            connector = by_kind[action.kind]
            checked = await connector.check("acme", action)
            assert checked is not None
            assert checked.error is AttemptError.BLOCKED
            prepared = await connector.prepare("acme", [action])
            result = await connector.send(Sending(spec, action, claim, ledger.now, prepared))
            assert result.error is AttemptError.BLOCKED
            assert "an address that is not loopback" in str(result.detail)
            assert ("secret-path" in str(result.detail)) is (action.kind == "webhook")


async def test_what_a_receiver_says_back_is_shown_without_its_token(servers: Servers) -> None:
    token = "t0ken-of-mine"
    action: Any = ConnectorAction(
        kind="mcp", config={"url": servers.receiver.url, "tool": "page", "token": token}
    )
    connector = Connector(installed()["mcp"], servers.world(), Links(servers.vault, ""))

    async def careless(*_: Any) -> None:
        raise NotSent(AttemptError.ABSENT, f"no such tool; it has Bearer {token}\x1b[31m")

    connector._sender.check = careless  # type: ignore[method-assign]
    told = await connector.check("acme", action)
    assert told is not None
    assert token not in told.detail
    assert "\x1b" not in told.detail
