"""``minoots keys``: make, list and revoke API keys, directly in the records."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Final

import typer
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.cli import output
from minoots.contracts.escalations import SOMEBODY_PATTERN
from minoots.durations import parse_duration
from minoots_platform.clock import utc_now
from minoots_platform.identity import Scope
from minoots_platform.ids import TENANT_PATTERN
from minoots_platform.records import api_keys
from minoots_platform.records.api_keys import ApiKey

from .on_records import AsJson, Config, DataDir, fail, run_on_records

app = typer.Typer(name="keys", help="API keys: make, list, revoke.", no_args_is_help=True)


_USUAL: Final = (
    Scope.TIMERS_READ,
    Scope.TIMERS_WRITE,
    Scope.EVENTS_READ,
    Scope.AGENTS_WRITE,
    Scope.ESCALATIONS_WRITE,
    Scope.SESSIONS_READ,
)
"""What a key may do when nothing else is said: everything but administration."""


@app.command()
def create(
    name: Annotated[str, typer.Option(help="What the key is for.")],
    tenant: Annotated[str, typer.Option(help="Tenant; it comes into being with its first key.")] = "dev",
    acts_as: Annotated[
        str | None,
        typer.Option("--as", help="Whom it acts as, and only as them: agent:builder, person:ada."),
    ] = None,
    scope: Annotated[
        list[Scope] | None, typer.Option(help="Repeat for several. Default: timers, events, agents.")
    ] = None,
    expires: Annotated[
        str | None, typer.Option(help='In how long it ends, such as "90d". Default: never.')
    ] = None,
    config: Config = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and show it, this once."""
    if not re.match(TENANT_PATTERN, tenant):
        fail(f"--tenant: expected lower-case letters, digits, - and _, at most 63; got {tenant!r}")
    if not 0 < len(name) <= 200:
        fail("--name: expected 1 to 200 characters")
    try:
        lifetime = None if expires is None else parse_duration(expires)
    except ValueError as error:
        fail(f"--expires: {error}")
    if acts_as is not None and re.fullmatch(SOMEBODY_PATTERN, acts_as) is None:
        fail(f"--as: expected agent:<id> or person:<id>; got {acts_as!r}")
    scopes = scope or list(_USUAL)

    async def work(connection: AsyncConnection) -> tuple[ApiKey, str]:
        now = utc_now()
        expires_at = None if lifetime is None else now + lifetime
        return await api_keys.create(
            connection, tenant, name, scopes, now=now, expires_at=expires_at, acts_as=acts_as
        )

    key, secret = run_on_records(config, data_dir, work)
    if as_json:
        typer.echo(json.dumps({**_shown(key), "key": secret}))
        return
    typer.echo(secret)
    typer.echo(f"{key.id} for tenant {key.tenant}: {', '.join(key.scopes)}. It is not shown again.", err=True)


@app.command("list")
def list_keys(
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's.")] = None,
    config: Config = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show every key, without its secret."""
    keys = run_on_records(config, data_dir, lambda connection: api_keys.page(connection, tenant))
    if as_json:
        for key in keys:
            typer.echo(json.dumps(_shown(key)))
        return
    rows = [
        (
            key.id,
            key.tenant,
            key.name,
            key.hint,
            " ".join(key.scopes),
            _day(key.created_at, ""),
            _day(key.last_used_at, "never"),
            "revoked" if key.revoked_at else _day(key.expires_at, "never"),
        )
        for key in keys
    ]
    output.table(("ID", "TENANT", "NAME", "KEY", "SCOPES", "CREATED", "LAST USED", "ENDS"), rows)


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="Id of the key (key_…).")],
    config: Config = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """End a key at once."""
    key = run_on_records(
        config, data_dir, lambda connection: api_keys.revoke(connection, key_id, now=utc_now())
    )
    typer.echo(json.dumps(_shown(key)) if as_json else f"{key.id} is revoked")


def _shown(key: ApiKey) -> dict[str, Any]:
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in asdict(key).items()
    }


def _day(moment: datetime | None, none: str) -> str:
    return none if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M")
