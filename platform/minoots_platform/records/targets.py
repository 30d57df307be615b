"""What the actions of a timer name: signing secrets and agents have to be there when it is set."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import Action, AgentAction, FieldProblem, WebhookAction
from minoots.errors import Failure, FailureKind

from . import agents, signing_secrets


async def require(connection: AsyncConnection, tenant: str, actions: Sequence[Action]) -> None:
    """Make sure that everything exists that ``actions`` name.

    Raises:
        Failure: invalid, naming the first that does not.
    """
    wanted = {action.secret for action in actions if isinstance(action, WebhookAction) and action.secret}
    secrets = await signing_secrets.known_among(connection, tenant, wanted) if wanted else frozenset()
    called = {action.agent for action in actions if isinstance(action, AgentAction)}
    there = await agents.known_among(connection, tenant, called) if called else frozenset()
    for index, action in enumerate(actions):
        if isinstance(action, AgentAction):
            if action.agent not in there:
                raise _missing(
                    f"there is no agent {action.agent}",
                    "Register it with POST /v1/agents.",
                    FieldProblem(
                        field=f"body.actions.{index}.agent", expected="the id of an agent", got=action.agent
                    ),
                )
        elif action.secret is not None and action.secret not in secrets:
            raise _missing(
                f"there is no signing secret {action.secret}",
                'Make it with POST /v1/secrets {"name": …}, or leave secret out for the default one.',
                FieldProblem(
                    field=f"body.actions.{index}.secret",
                    expected="the name of a signing secret",
                    got=action.secret,
                ),
            )


def _missing(detail: str, remedy: str, problem: FieldProblem) -> Failure:
    return Failure(FailureKind.INVALID, detail, remedy=remedy, errors=(problem,))
