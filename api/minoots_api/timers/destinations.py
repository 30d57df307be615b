"""Where a timer may send: what can be refused while the client still listens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from minoots.contracts import (
    Acknowledgement,
    AgentJob,
    EscalationCreate,
    ExecJob,
    FieldProblem,
    LlmJob,
    PolicySave,
)
from minoots.contracts.actions import Action, WebhookAction
from minoots.errors import Failure, FailureKind
from minoots_platform.connectors import ConnectorFault, check_action
from minoots_platform.connectors.job import SubmitJob
from minoots_platform.identity import Principal, Scope
from minoots_platform.records import authority
from minoots_platform.settings import Settings

from .templates import require_template

_SHOWN: Final = 100


def require_allowed(
    actions: Sequence[Action], settings: Settings, principal: Principal, field: str = "body.actions"
) -> None:
    """Refuse what no attempt could be sent to, and jobs that their sender may not submit.

    Names are judged when they are resolved. ``field`` says where the actions stand in the request.

    Raises:
        Failure: invalid, naming the action; denied.
    """
    for index, action in enumerate(actions):
        if action.kind == "job":
            principal.require(Scope.JOBS_WRITE)
        config = require_action(action, settings, f"{field}.{index}")
        if isinstance(config, SubmitJob):
            # Whatever sends it, what comes of it is what its sender could have submitted.
            require_tools_allowed(config.job, principal)


def require_words_allowed(actions: Sequence[Action], settings: Settings, principal: Principal) -> None:
    """Refuse another payload from whoever may not submit the jobs that read it: they act on its words.

    Raises:
        Failure: denied.
    """
    require_allowed([action for action in actions if action.kind == "job"], settings, principal)


def require_tools_allowed(job: LlmJob | ExecJob | AgentJob, principal: Principal) -> None:
    """Refuse a job that may do what whoever submits it may not: see `authority.scopes_for`.

    Raises:
        Failure: denied.
    """
    for scope in authority.scopes_for(job):
        principal.require(scope)


def require_ladder_allowed(
    of: Acknowledgement | EscalationCreate | PolicySave | None,
    settings: Settings,
    principal: Principal,
    field: str,
) -> None:
    """Refuse a ladder that tells a receiver to which no attempt could be sent.

    ``field`` says where that stands which has the ladder.

    Raises:
        Failure: invalid, naming the target.
    """
    ladder = None if of is None else of.ladder
    for index, rung in enumerate(ladder.rungs if ladder else ()):
        webhooks = [target for target in rung.targets if isinstance(target, WebhookAction)]
        require_allowed(webhooks, settings, principal, f"{field}.ladder.rungs.{index}.targets")


def require_action(action: Action, settings: Settings, field: str) -> Any:
    """Refuse an action that no attempt could send; return its config. See `require_allowed`."""
    if isinstance(action, WebhookAction) and action.body is not None:
        require_template(action.body, f"{field}.body")
    try:
        return check_action(action, settings)
    except ConnectorFault as fault:
        raise Failure(
            FailureKind.INVALID,
            f"the action is not possible: expected {fault.expected}",
            remedy=fault.remedy or "GET /v1/connectors shows what each connector takes.",
            errors=(FieldProblem(field=f"{field}.{fault.field}", expected=fault.expected, got=fault.got),),
        ) from fault
