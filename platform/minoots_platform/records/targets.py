"""What the actions of a timer name: signing secrets, agents and sandboxes have to be there when it is set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import Action, AgentAction, ConnectorAction, FieldProblem, WebhookAction
from minoots.errors import Failure, FailureKind

from . import agents, sandboxes, signing_secrets


async def require(connection: AsyncConnection, tenant: str, places: Mapping[str, Sequence[Action]]) -> None:
    """Make sure that everything exists that actions name; ``places`` says where in the request they stand.

    Raises:
        Failure: invalid, naming the first that does not.
    """
    every = [action for actions in places.values() for action in actions]
    wanted = {action.secret for action in every if isinstance(action, WebhookAction) and action.secret}
    secrets = await signing_secrets.known_among(connection, tenant, wanted) if wanted else frozenset()
    called = {action.agent for action in every if isinstance(action, AgentAction)}
    there = await agents.known_among(connection, tenant, called) if called else frozenset()
    named = {place for place in map(_sandbox_of, every) if place is not None}
    stand = await sandboxes.states_among(connection, tenant, named) if named else {}
    for field, actions in places.items():
        for index, action in enumerate(actions):
            place = _sandbox_of(action)
            if place is not None and stand.get(place) in (None, *sandboxes.FINAL):
                raise _no_sandbox(f"{field}.{index}.config.job.sandbox", place, stand.get(place))
            if isinstance(action, AgentAction):
                if action.agent not in there:
                    raise _no_agent(f"{field}.{index}.agent", action.agent)
            elif (
                isinstance(action, WebhookAction)
                and action.secret is not None
                and action.secret not in secrets
            ):
                raise _no_secret(f"{field}.{index}.secret", action.secret)


def _sandbox_of(action: Action) -> str | None:
    """Return the sandbox in which a job of an action is to run its program."""
    if not isinstance(action, ConnectorAction) or action.kind != "job":
        return None
    job = action.config.get("job")
    named = job.get("sandbox") if isinstance(job, Mapping) else None
    return named if isinstance(named, str) else None


def _no_sandbox(field: str, got: str, state: str | None) -> Failure:
    problem = FieldProblem(field=field, expected="the id of a sandbox that stands", got=got)
    # Another tenant's is none.
    detail = f"there is no sandbox {got}" if state is None else f"the sandbox {got} is {state}"
    return _missing(detail, "GET /v1/sandboxes lists them; POST /v1/sandboxes opens one.", problem)


def _no_agent(field: str, got: str) -> Failure:
    problem = FieldProblem(field=field, expected="the id of an agent", got=got)
    return _missing(f"there is no agent {got}", "Register it with POST /v1/agents.", problem)


def _no_secret(field: str, got: str) -> Failure:
    problem = FieldProblem(field=field, expected="the name of a signing secret", got=got)
    remedy = 'Make it with POST /v1/secrets {"name": …}, or leave secret out for the default one.'
    return _missing(f"there is no signing secret {got}", remedy, problem)


def _missing(detail: str, remedy: str, problem: FieldProblem) -> Failure:
    return Failure(FailureKind.INVALID, detail, remedy=remedy, errors=(problem,))
