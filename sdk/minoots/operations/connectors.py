"""Operations on connectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from minoots.call import Call, body_of, checked, get, post
from minoots.contracts.actions import Action
from minoots.contracts.connectors import ActionCheck, Checked, ConnectorInfo
from minoots.contracts.pages import Page

_PATIENCE: Final = 40.0
"""Seconds that a worker may look."""


def listing() -> Call[Page[ConnectorInfo]]:
    """GET /v1/connectors."""
    return get("/v1/connectors", Page[ConnectorInfo])


def check(action: Action | Mapping[str, Any]) -> Call[Checked]:
    """POST /v1/connectors/check."""
    asked = checked(ActionCheck, action=action)
    body = body_of(asked)
    body["action"]["kind"] = asked.action.kind
    return replace(post("/v1/connectors/check", Checked, body), patience=_PATIENCE)
