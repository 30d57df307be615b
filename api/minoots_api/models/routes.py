"""``/v1/models`` and ``/v1/usage``: which language models there are, and what calls of them took.

The gateway asks no provider: it tells what workers found and wrote down.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import cache
from typing import Annotated, Final

from fastapi import Query

from minoots.contracts import FieldProblem
from minoots.contracts.models import ModelName, ProviderName
from minoots.contracts.usage import BudgetState, Models, Usage, UsageBy, UsageSum
from minoots.errors import Failure, FailureKind
from minoots_api.gateway import Gateway, Here
from minoots_api.parameters import Text
from minoots_api.principals import ModelsReader
from minoots_api.routing import Router
from minoots_platform.identity import Principal
from minoots_platform.models import load_catalogue
from minoots_platform.models.listing import listing
from minoots_platform.records import breakers, budgets, known_models, usage
from minoots_platform.records.usage import UsageFilter

router = Router(prefix="/v1", tags=["models"])

_USUAL: Final = timedelta(days=30)
_MOST_ROWS: Final = 1000
_catalogue = cache(load_catalogue)


@router.get("/models", response_model=Models)
async def list_models(gateway: Here, principal: ModelsReader) -> Models:
    """List providers in the order in which they are asked, each with its models."""
    settings = gateway.settings.models
    async with gateway.database.read() as connection:
        seen = await known_models.seen(connection, [spec.name for spec in settings.specs()])
        held = await breakers.held(connection)
    today = gateway.clock().date()
    return listing(settings, _catalogue(settings.catalogue), seen, held, today)


@router.get("/usage", response_model=Usage)
async def get_usage(
    gateway: Here,
    principal: ModelsReader,
    since: Annotated[date | None, Query(description="First day, in UTC; default: 30 days ago.")] = None,
    until: Annotated[date | None, Query(description="Last day, in UTC; default: today.")] = None,
    by: Annotated[
        list[UsageBy] | None,
        Query(max_length=len(UsageBy), description="What is summed up by, repeatable; default: day."),
    ] = None,
    job: Annotated[Text | None, Query(max_length=40, description="Only of this job.")] = None,
    key: Annotated[Text | None, Query(max_length=255, description="Only of this key.")] = None,
    provider: Annotated[ProviderName | None, Query(description="Only of this provider.")] = None,
    model: Annotated[ModelName | None, Query(description="Only of this model.")] = None,
) -> Usage:
    """Get what the tenant's calls of language models took, and what is left of its budgets today."""
    today = gateway.clock().date()
    last = until or today
    first = since or (min(last, today) - _USUAL)
    if first > last:
        raise Failure(
            FailureKind.INVALID,
            f"the first day, {first}, is after the last one, {last}",
            remedy="Send since before until.",
            errors=(FieldProblem(field="query.since", expected=f"a day up to {last}", got=str(first)),),
        )
    wanted = UsageFilter(first, last, job, key, provider, model)
    groups = tuple(dict.fromkeys(by or [UsageBy.DAY]))
    async with gateway.database.read() as connection:
        total = await usage.sums(connection, principal.tenant, (), wanted, 1)
        items = await usage.sums(connection, principal.tenant, groups, wanted, _MOST_ROWS)
        states = [
            (account, await budgets.state(connection, account)) for account in _accounts(gateway, principal)
        ]
    empty = UsageSum(calls=0, input_tokens=0, output_tokens=0, cached_tokens=0, cost_micros=0)
    return Usage(
        since=first,
        until=last,
        currency=_catalogue(gateway.settings.models.catalogue).currency,
        total=total[0] if total else empty,
        items=items,
        budgets=tuple(_state(account, state) for account, state in states),
    )


def _accounts(gateway: Gateway, principal: Principal) -> tuple[budgets.Account, ...]:
    """Return the budgets of who asks. What everybody together took is nobody's to see."""
    found = budgets.of_day(
        gateway.settings.models.budget, principal.tenant, principal.subject, usage.day_of(gateway.clock())
    )
    return tuple(account for account in found if account.kind != "all")


def _state(account: budgets.Account, state: budgets.State) -> BudgetState:
    def left(most: int | None, taken: int) -> int | None:
        return None if most is None else max(0, most - taken)

    return BudgetState(
        of=account.kind,
        day=account.day,
        tokens=account.tokens,
        tokens_left=left(account.tokens, state.used_tokens + state.held_tokens),
        cost_micros=account.micros,
        cost_micros_left=left(account.micros, state.used_micros + state.held_micros),
    )
