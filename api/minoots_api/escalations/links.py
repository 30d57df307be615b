"""``/acknowledge/{token}``: the page behind the link of a notice.

Opening it does nothing, so that programs that scan links acknowledge nothing; the button posts.
"""

from __future__ import annotations

from html import escape
from typing import Annotated, Any, Final

import sqlalchemy as sa
from fastapi import Path
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import HTMLResponse, Response

from minoots.contracts import Escalation
from minoots.errors import FAILURES, Failure, FailureKind
from minoots_api.gateway import Gateway, Here
from minoots_api.routing import Router
from minoots_platform.links import Links
from minoots_platform.records import escalation_reading, escalations
from minoots_platform.records.escalations import Doing
from minoots_platform.telemetry import audit

router = Router(include_in_schema=False)

Token = Annotated[str, Path(max_length=200)]

_HEADERS: Final = {
    # Only what this page itself needs: its form.
    "content-security-policy": "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "x-robots-tag": "noindex",
}
_FORM: Final = '<form method="post"><button type="submit">Acknowledge</button></form>'


@router.get("/acknowledge/{token}")
async def show(token: Token, gateway: Here) -> Response:
    """Show what would be acknowledged."""
    try:
        who, found = await _read(gateway, token)
    except Failure as failure:
        return _refused(failure)
    about = f"<p>It is {escape(found.state)}. You are {escape(who)}.</p>"
    return _page(found.name, about + ("" if found.state.final else _FORM))


@router.post("/acknowledge/{token}")
async def act(token: Token, gateway: Here) -> Response:
    """Acknowledge, once."""
    now = gateway.clock()
    try:
        link = Links(gateway.vault, "").read(token, now)
        async with gateway.database.write() as connection:
            notice = await _notice(connection, link.timer_id)
            tenant, escalation_id = notice.tenant, notice.escalation_id
            who = await escalations.use_link(connection, tenant, link.timer_id, now)
            doing = Doing(who, "link", now)
            found = await escalations.acknowledge(connection, tenant, escalation_id, doing)
    except Failure as failure:
        return _refused(failure)
    audit(
        "escalation.acknowledged",
        actor=who,
        tenant=tenant,
        decision="allow",
        reason="by the link of a notice",
        escalation_id=escalation_id,
    )
    gateway.telemetry.metrics.acknowledged([one.model_dump() for one in found.notices], now)
    await gateway.hand_over(gateway.handover.escalation(escalation_id))
    return _page(found.name, f"<p>Thank you, {escape(who)}: it is {escape(found.state)}.</p>")


async def _read(gateway: Gateway, token: str) -> tuple[str, Escalation]:
    link = Links(gateway.vault, "").read(token, gateway.clock())
    async with gateway.database.read() as connection:
        notice = await _notice(connection, link.timer_id)
        if notice.used_at is not None:
            raise Failure(FailureKind.CONFLICT, "this link was used before")
        return notice.who, await escalation_reading.get(connection, notice.tenant, notice.escalation_id)


async def _notice(connection: AsyncConnection, timer_id: str) -> sa.Row[Any]:
    row = await escalation_reading.notice_of(connection, timer_id)
    if row is None:
        raise Failure(FailureKind.NOT_FOUND, "there is no such link", remedy="Copy the whole of it.")
    return row


def _refused(failure: Failure) -> Response:
    return _page("Not possible", f"<p>{escape(failure.detail)}</p>", FAILURES[failure.kind].status)


def _page(title: str, body: str, status: int = 200) -> Response:
    head = (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
    )
    style = '<link rel="stylesheet" href="/docs/docs.css">'
    text = f"{head}<title>{escape(title)}</title>{style}<main><h1>{escape(title)}</h1>{body}</main></html>"
    return HTMLResponse(text, status, _HEADERS)
