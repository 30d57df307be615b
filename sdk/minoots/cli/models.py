"""``minoots models`` and ``minoots usage``: which language models there are, and what they took."""

from __future__ import annotations

from datetime import date
from typing import Annotated

import typer

from minoots.contracts.usage import UsageBy, UsageSum

from . import output
from .session import Session, group, remote

app = group("List providers in the order in which they are asked, each with its models.")
usage = group("Show tokens and money, and what is left of the budgets today.")

_MILLION = 1_000_000


@remote(app, "list")
def list_models(session: Session) -> None:
    """List providers in the order in which they are asked, each with its models."""
    found = session.client.models.list()
    if session.json:
        output.json_line(found)
        return
    rows = []
    for provider in found.providers:
        where = "local" if provider.local else "cloud"
        if not provider.models:
            # One in the cloud is not asked for its list unless requests may go there by themselves.
            none = (
                "has no model"
                if provider.local
                else "none known; asked only with models.locality allow_cloud"
            )
            rows.append((provider.name, "-", where, "", "", provider.problem or none))
        for model in provider.models:
            able = "" if model.capabilities is None else ",".join(sorted(model.capabilities))
            state = model.reason if model.breaker != "closed" else (provider.problem or "ready")
            if model.pinned is False:
                state = "NOT what is pinned: refused"
            name = f"{model.name} (default)" if model.default else model.name
            context = "" if model.context_tokens is None else str(model.context_tokens)
            rows.append(
                (provider.name, name, "local" if model.local else "cloud", context, able, state or "")
            )
    output.table(("PROVIDER", "MODEL", "WHERE", "CONTEXT", "CAN", "STATE"), rows)


@remote(usage)
def show(
    session: Session,
    since: Annotated[str | None, typer.Option(metavar="DAY", help="First day: 2026-11-01.")] = None,
    until: Annotated[str | None, typer.Option(metavar="DAY", help="Last day; default: today.")] = None,
    by: Annotated[
        list[UsageBy] | None, typer.Option(help="What is summed up by, repeatable; default: day.")
    ] = None,
    job: Annotated[str | None, typer.Option(help="Only of this job.")] = None,
    provider: Annotated[str | None, typer.Option(help="Only of this provider.")] = None,
    model: Annotated[str | None, typer.Option(help="Only of this model.")] = None,
) -> None:
    """Show tokens and money, and what is left of the budgets today."""
    groups = by or [UsageBy.DAY]
    found = session.client.usage.get(
        since=None if since is None else _day(since, "--since"),
        until=None if until is None else _day(until, "--until"),
        by=groups,
        job=job,
        provider=provider,
        model=model,
    )
    if session.json:
        output.json_line(found)
        return
    names = [one.value for one in groups]
    rows = [(*_of(row, names), *_counts(row, found.currency)) for row in found.items]
    if rows:
        rows.append(
            (
                *("total" if number == 0 else "" for number in range(len(names))),
                *_counts(found.total, found.currency),
            )
        )
    heads = [name.upper() for name in names]
    output.table((*heads, "CALLS", "IN", "OUT", "CACHED", "COST"), rows)
    for budget in found.budgets:
        if budget.tokens is not None:
            output.line(f"{budget.of}: {budget.tokens_left} of {budget.tokens} tokens are left today")
        if budget.cost_micros is not None:
            left, most = (
                _money(one or 0, found.currency) for one in (budget.cost_micros_left, budget.cost_micros)
            )
            output.line(f"{budget.of}: {left} of {most} are left today")


def _of(row: UsageSum, names: list[str]) -> tuple[str, ...]:
    return tuple(getattr(row, name) or "-" for name in names)


def _counts(row: UsageSum, currency: str) -> tuple[str, ...]:
    counts = (row.calls, row.input_tokens, row.output_tokens, row.cached_tokens)
    return (*(str(count) for count in counts), _money(row.cost_micros, currency))


def _money(micros: int, currency: str) -> str:
    return f"{micros / _MILLION:.4f} {currency}"


def _day(text: str, option: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{option}: expected a day such as 2026-11-01; got {text!r}") from None
