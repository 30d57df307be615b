"""Templates for bodies: what can be refused while the client still listens, and a look at what they make."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from minoots.contracts import (
    BodyTemplate,
    FieldProblem,
    RenderedBody,
    TemplatePreview,
    TimerCreate,
    WebhookAction,
)
from minoots.errors import Failure, FailureKind
from minoots_api.gateway import Gateway, Here
from minoots_api.principals import TimersReader
from minoots_api.routing import Router
from minoots_platform.envelope import sample
from minoots_platform.links import Links
from minoots_platform.template_faults import TemplateFault

router = Router(tags=["timers"])


@router.post("/v1/templates/preview", response_model=RenderedBody)
async def preview_template(wanted: TemplatePreview, gateway: Here, principal: TimersReader) -> RenderedBody:
    """Fill a template in, as a timer would that fired now; nothing is sent."""
    event = _event(gateway, principal.tenant, wanted, gateway.clock())
    text = _render(wanted.body, event, "body.body", _NAMES)
    return RenderedBody(content_type=wanted.body.content_type, body=text)


def require_template(body: BodyTemplate, field: str) -> None:
    """Refuse what is no template.

    Raises:
        Failure: invalid, naming the field.
    """
    from minoots_platform import templates

    try:
        templates.check(body)
    except TemplateFault as fault:
        raise _refused(fault, field) from fault


def require_bodies(gateway: Gateway, tenant: str, spec: TimerCreate, now: datetime) -> None:
    """Refuse templates that could not be filled in with what the timer carries.

    Raises:
        Failure: invalid, naming the field.
    """
    for index, action in enumerate(spec.actions):
        if isinstance(action, WebhookAction) and action.body is not None:
            event = _event(gateway, tenant, spec, now)
            _render(action.body, event, f"body.actions.{index}.body")


def _event(gateway: Gateway, tenant: str, of: TimerCreate | TemplatePreview, now: datetime) -> dict[str, Any]:
    links = Links(gateway.vault, gateway.settings.gateway.link_base)
    return sample(of, tenant, now, links)


def _render(body: BodyTemplate, event: Mapping[str, Any], field: str, remedy: str | None = None) -> str:
    from minoots_platform import templates

    try:
        return templates.render(body, event)
    except TemplateFault as fault:
        raise _refused(fault, field, remedy) from fault


_NAMES: Final = (
    "There are timer, payload and event; with recurs, plan or acknowledge also occurrence, plan and "
    "acknowledge_url."
)


def _refused(fault: TemplateFault, field: str, remedy: str | None = None) -> Failure:
    return Failure(
        FailureKind.INVALID,
        "the template cannot be filled in",
        remedy=remedy or "POST /v1/templates/preview shows what a template makes.",
        errors=(
            FieldProblem(
                field=f"{field}.template", expected="a template that can be filled in", got=str(fault)
            ),
        ),
    )
