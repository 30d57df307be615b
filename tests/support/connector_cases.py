"""Connectors in front of real receivers, for their contract suite."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import socket
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from email import message_from_bytes
from email.message import Message as Mail
from typing import Any

import nats
from aiosmtpd.smtp import SMTP, Envelope, Session
from keys_held import hold
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import TypeAdapter
from receivers import Receiver
from serving import serving
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from temporalio import workflow
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from minoots.contracts import Action, AgentRegister, TimerCreate
from minoots_activities.connectors.agents import AgentInboxes
from minoots_activities.connectors.chat import Chats
from minoots_activities.connectors.email import Emails
from minoots_activities.connectors.jobs import JobSubmitter
from minoots_activities.connectors.mcp import Tools
from minoots_activities.connectors.nats import Nats
from minoots_activities.connectors.sender import Message, NotSent, Sender, World
from minoots_activities.connectors.webhooks import Webhooks
from minoots_activities.connectors.workflow import Workflows
from minoots_activities.http import WebhookSender
from minoots_activities.result import Result
from minoots_platform.clock import utc_now
from minoots_platform.connectors import ConnectorSpec, installed
from minoots_platform.identity import Scope
from minoots_platform.records import Database, agents, inboxes, jobs, timers
from minoots_platform.settings import Settings, with_overrides
from minoots_platform.telemetry import Telemetry
from minoots_platform.vault import Vault

NOWHERE = "http://127.0.0.1:9/hook"
_numbers = itertools.count()


@dataclass
class Servers:
    """Everything that cases talk to."""

    client: Client
    http: WebhookSender
    receiver: Receiver
    mailbox: Mailbox
    nats_url: str
    database: Database
    vault: Vault
    telemetry: Telemetry

    def world(self, **connectors: Any) -> World:
        """What senders may use, with these settings of connectors."""
        overrides = {"connectors": connectors, "delivery": {"allowed_networks": ["127.0.0.0/8"]}}
        settings = with_overrides(Settings(), overrides)
        tracer = self.telemetry.tracer
        return World(settings, self.client, self.http, self.database, self.vault, tracer, utc_now)


@dataclass
class Case:
    """One connector in front of a real receiver."""

    spec: ConnectorSpec
    sender: Sender[Any]
    config: dict[str, Any]
    arrived: Callable[[], Awaitable[list[str]]]
    """What the receiver got so far, as texts in which titles, payloads and ids can be looked for."""
    away: Case | None = None
    """The same, with its receiver away."""
    distinct: bool = True
    """Whether the receiver itself tells a repetition by its id."""
    stop: Callable[[], Awaitable[None]] | None = None
    """Ends the receiver, if it is the case's own."""
    timer_id: str = "tmr_1"
    """Of the timer whose messages these are."""

    def message(self, **fields: Any) -> Message:
        """A message with an id of its own."""
        values: dict[str, Any] = {
            "id": f"tmr_{next(_numbers)}_1_0",
            "tenant": "acme",
            "title": "disk full",
            "timer_id": self.timer_id,
            "payload": {"disk": "/dev/sda1"},
            "fired_at": utc_now(),
            "attempt": 1,
            "link": None,
            "traceparent": None,
        } | fields
        event = {
            "id": values["id"],
            "data": {"payload": values["payload"], "timer": {"name": values["title"]}},
        }
        return Message(event=event, **values)

    async def send(self, message: Message | None = None, **config: Any) -> str | None:
        """Send as a worker does; return the answer."""
        wanted = self.parsed(**config)
        prepared = await self.sender.prepare("acme", [wanted])
        answer = await self.sender.send(replace(message or self.message(), prepared=prepared), wanted)
        if not isinstance(answer, Result):
            return answer
        if answer.error is not None:
            raise NotSent(answer.error, answer.detail or "", status=answer.status)
        return answer.response

    async def check(self, **config: Any) -> None:
        """Look whether it could be sent."""
        await self.sender.check("acme", self.parsed(**config))

    def action(self) -> Action:
        """The action as a timer has it."""
        flat = self.spec.kind in ("webhook", "agent")
        fields = self.config if flat else {"config": self.config}
        return TypeAdapter[Action](Action).validate_python({"kind": self.spec.kind} | fields)

    def parsed(self, **config: Any) -> Any:
        """The config as the sender takes it."""
        return self.spec.config.model_validate(self.config | config)


@dataclass
class Mailbox:
    """What an SMTP server took."""

    mails: list[Mail] = field(default_factory=list)
    answer: str = "250 OK"
    port: int = 0

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Take a mail, or refuse it as told."""
        if self.answer.startswith("250"):
            assert isinstance(envelope.content, bytes)
            self.mails.append(message_from_bytes(envelope.content))
        return self.answer


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


async def chat_case(servers: Servers) -> Case:
    receiver = servers.receiver

    async def arrived() -> list[str]:
        return [request.body.decode() + str(dict(request.headers)) for request in receiver.requests]

    spec, sender = installed()["chat"], Chats(servers.world())
    away = Case(spec, sender, {"url": NOWHERE}, arrived)
    return Case(spec, sender, {"url": receiver.url}, arrived, away, distinct=False)


async def webhook_case(servers: Servers) -> Case:
    receiver = servers.receiver

    async def arrived() -> list[str]:
        return [request.body.decode() + str(dict(request.headers)) for request in receiver.requests]

    spec, sender = installed()["webhook"], Webhooks(servers.world())
    away = Case(spec, sender, {"url": NOWHERE}, arrived)
    return Case(spec, sender, {"url": receiver.url}, arrived, away, distinct=False)


async def agent_case(servers: Servers) -> Case:
    async with servers.database.write() as connection:
        wanted = AgentRegister(id="builder")
        await agents.register(connection, "acme", wanted, now=utc_now(), actor="test")

    async def arrived() -> list[str]:
        async with servers.database.read() as connection:
            page = await inboxes.page(connection, "acme", "builder", states=(), limit=50, cursor=None)
        return [f"{command.name} {command.payload}" for command in page.items]

    spec, sender = installed()["agent"], AgentInboxes(servers.world())
    away = Case(spec, sender, {"agent": "nobody"}, arrived)
    return Case(spec, sender, {"agent": "builder"}, arrived, away)


async def job_case(servers: Servers) -> Case:
    async def arrived() -> list[str]:
        async with servers.database.read() as connection:
            page = await jobs.page(connection, "acme", jobs.JobQuery())
            found = [await jobs.get(connection, "acme", one.id) for one in page.items]
        return [f"{job.name} {job.request}" for job in found]

    spec, sender = installed()["job"], JobSubmitter(servers.world())
    wanted = {"kind": "exec", "command": ["true"]}
    lost = wanted | {"files": [{"path": "x", "artifact": "0" * 64}]}
    # A job is that of whoever has set its timer, if they still may.
    await hold(servers.database, {Scope.JOBS_WRITE})
    action = {"kind": "job", "config": {"job": wanted}}
    now = utc_now()
    async with servers.database.write() as connection:
        wish = TimerCreate.model_validate({"name": "t", "after": 1, "actions": [action]})
        timer = await timers.accept(
            connection, "acme", wish, fire_at=now, now=now, actor="test", traceparent=None
        )
    away = Case(spec, sender, {"job": lost}, arrived, timer_id=timer.id)
    return Case(spec, sender, {"job": wanted}, arrived, away, timer_id=timer.id)


async def email_case(servers: Servers) -> Case:
    box = servers.mailbox

    async def arrived() -> list[str]:
        return [
            f"{mail['Message-ID']} {mail['Subject']} {mail.get_payload(decode=True).decode()}"
            for mail in box.mails
        ]

    def sender(port: int) -> Emails:
        smtp = {"host": "127.0.0.1", "port": port, "security": "none", "sender": "minoots@example.com"}
        return Emails(servers.world(email=smtp))

    spec, config = installed()["email"], {"to": ["ada@example.com"]}
    away = Case(spec, sender(free_port()), config, arrived)
    return Case(spec, sender(box.port), config, arrived, away, distinct=False)


async def nats_case(servers: Servers) -> Case:
    url = servers.nats_url
    subject = f"timers.t{next(_numbers)}"
    listener = await nats.connect(url)
    subscription = await listener.jetstream().subscribe(f"minoots.acme.{subject}", ordered_consumer=True)
    seen: list[str] = []

    async def arrived() -> list[str]:
        try:
            while True:
                message = await subscription.next_msg(timeout=0.3)
                seen.append(f"{message.headers} {message.data.decode()}")
        except nats.errors.TimeoutError:
            return seen

    def sender(where: str) -> Nats:
        return Nats(servers.world(nats={"servers": [where]}))

    spec, config = installed()["nats"], {"subject": subject}
    away = Case(spec, sender(f"nats://127.0.0.1:{free_port()}"), config, arrived)
    return Case(spec, sender(url), config, arrived, away)


@workflow.defn(name="Handle", sandboxed=False)
class HandleWorkflow:
    """A workflow of a user."""

    @workflow.run
    async def run(self, event: dict[str, Any]) -> dict[str, Any]:
        return event


async def workflow_case(servers: Servers) -> Case:
    queue = f"users-{next(_numbers)}"

    async def arrived() -> list[str]:
        worker = Worker(
            servers.client,
            task_queue=queue,
            workflows=[HandleWorkflow],
            workflow_runner=UnsandboxedWorkflowRunner(),
        )
        async with worker:
            # Listing lags behind starting: look until nothing new comes any more.
            found: dict[str, str] = {}
            quiet = 0
            while quiet < (3 if found else 100):
                quiet += 1
                async for one in servers.client.list_workflows(f"TaskQueue = '{queue}'"):
                    if one.id not in found:
                        result = await servers.client.get_workflow_handle(one.id).result()
                        found[one.id], quiet = f"{one.id} {result}", 0
                await asyncio.sleep(0.1)
            return list(found.values())

    world = servers.world(workflow={"task_queues": [queue]})
    nobody = await Client.connect(
        "127.0.0.1:9", lazy=True, data_converter=pydantic_data_converter, namespace="x"
    )
    spec, config = installed()["workflow"], {"workflow": "Handle", "task_queue": queue}
    away = Case(spec, Workflows(replace(world, temporal=nobody)), config, arrived)
    return Case(spec, Workflows(world), config, arrived, away)


@dataclass
class ToolServer:
    """A server of tools over MCP."""

    url: str
    calls: list[str]
    stop: Callable[[], Awaitable[None]]


async def serve_tools() -> ToolServer:
    """Serve a tool that pages somebody, and one that fails."""
    calls: list[str] = []
    server = MCPServer("tools")

    @server.tool()
    async def page(
        context: Context[Any, Any], disk: str = "", text: str = "", payload: Any = None
    ) -> dict[str, Any]:
        """Page somebody."""
        await context.report_progress(1, 2, "looking")
        calls.append(f"{disk} {text} {payload} {context.request_context.meta}")
        await context.report_progress(2, 2, "done")
        return {"paged": disk}

    @server.tool()
    async def echo(text: str) -> str:
        """Say it back."""
        return text

    @server.tool()
    async def broken() -> str:
        """Fail."""
        raise ToolError("no such pager")

    return await _served(server.streamable_http_app(), calls)


async def serve_mischief(mode: str) -> ToolServer:
    """Serve MCP by hand, as somebody would who means harm."""
    calls: list[str] = []

    async def handle(request: Request) -> Response:
        if request.method == "DELETE":
            await asyncio.sleep(60)
        # Asked for again, and again, and at once.
        over = Response(b"id: 1\nretry: 0\ndata: \n\n", media_type="text/event-stream")
        if request.method != "POST":
            return over if mode == "again" else Response(status_code=405)
        asked = await request.json()
        method, answer = asked.get("method"), {"jsonrpc": "2.0", "id": asked.get("id")}
        if "id" not in asked:
            return Response(status_code=202)
        if method == "initialize":
            about = {"name": "x", "version": "1"}
            result = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": about}
            return JSONResponse(answer | {"result": result}, headers={"mcp-session-id": "s"})
        if method == "tools/list":
            schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}}
            tool = {"name": "page", "inputSchema": {"type": "object"}, "outputSchema": schema}
            return JSONResponse(answer | {"result": {"tools": [tool]}})
        if method == "tools/call":
            calls.append(method)
            content = {"a": "a" * 40 + "!"} if mode == "pattern" else {"b": 1}
            result = {"content": [], "structuredContent": content}
            if mode == "compressed":
                packed = gzip.compress(gzip.compress(b'{"x":"' + b"a" * 50_000_000))
                return Response(
                    packed, headers={"content-encoding": "gzip, gzip"}, media_type="application/json"
                )
            if mode == "garbage":
                return Response(
                    b"nonsense", headers={"content-encoding": "gzip"}, media_type="application/json"
                )
            if mode == "again":
                return over
            if mode == "deep":
                return Response(b"[" * 60_000, media_type="application/json")
            return JSONResponse(answer | {"result": result})
        return JSONResponse(answer | {"error": {"code": -32601, "message": "no such method"}})

    return await _served(Starlette(routes=[Route("/mcp", handle, methods=["GET", "POST", "DELETE"])]), calls)


async def _served(app: Any, calls: list[str]) -> ToolServer:
    beside = AsyncExitStack()
    url = await beside.enter_async_context(serving(app))
    return ToolServer(f"{url}/mcp", calls, beside.aclose)


async def mcp_case(servers: Servers) -> Case:
    tools = await serve_tools()

    async def arrived() -> list[str]:
        return tools.calls

    sender = Tools(servers.world())
    config = {"url": tools.url, "tool": "page", "token": "t0ken"}
    spec = installed()["mcp"]
    away = Case(spec, sender, config | {"url": NOWHERE}, arrived)
    return Case(spec, sender, config, arrived, away, distinct=False, stop=tools.stop)


CASES = {
    "agent": agent_case,
    "chat": chat_case,
    "email": email_case,
    "job": job_case,
    "mcp": mcp_case,
    "nats": nats_case,
    "webhook": webhook_case,
    "workflow": workflow_case,
}
