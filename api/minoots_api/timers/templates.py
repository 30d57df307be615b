"""Templates for bodies: what can be refused while the client still listens, and a look at what they make."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from fastapi import APIRouter

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
from minoots_platform.envelope import sample
from minoots_platform.links import Links
from minoots_platform.template_faults import TemplateFault

router = APIRouter(tags=["timers"])


@router.post("/v1/templates/preview", response_model=RenderedBody)
async def preview_template(wanted: TemplatePreview, gateway: Here, principal: TimersReader) -> RenderedBody:
    """Fill a template in, as a timer would that fired now; nothing is sent."""
    text = _render(wanted.body, _event(gateway, wanted, gateway.clock()), "body.body")
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


def require_bodies(gateway: Gateway, spec: TimerCreate, now: datetime) -> None:
    """Refuse templates that could not be filled in with what the timer carries.

    Raises:
        Failure: invalid, naming the field.
    """
    for index, action in enumerate(spec.actions):
        if isinstance(action, WebhookAction) and action.body is not None:
            _render(action.body, _event(gateway, spec, now), f"body.actions.{index}.body")


def _event(gateway: Gateway, of: TimerCreate | TemplatePreview, now: datetime) -> dict[str, Any]:
    links = Links(gateway.vault, gateway.settings.gateway.link_base)
    return sample(of, now, links)


def _render(body: BodyTemplate, event: Mapping[str, Any], field: str) -> str:
    from minoots_platform import templates

    try:
        return templates.render(body, event)
    except TemplateFault as fault:
        raise _refused(fault, field) from fault


def _refused(fault: TemplateFault, field: str) -> Failure:
    return Failure(
        FailureKind.INVALID,
        f"the template cannot be filled in: {fault}",
        remedy="POST /v1/templates/preview shows what a template makes.",
        errors=(
            FieldProblem(
                field=f"{field}.template", expected="a template that can be filled in", got=str(fault)
            ),
        ),
    )
