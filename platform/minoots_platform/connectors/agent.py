"""Inboxes of agents."""

from __future__ import annotations

from typing import Final

from minoots.contracts import AgentAction

from .spec import ConnectorSpec

SPEC: Final = ConnectorSpec(
    kind="agent",
    title="Commands in the inbox of an agent",
    config=AgentAction,
    sender="minoots_activities.connectors.agents:AgentInboxes",
    destination=lambda action: f"agent:{action['agent']}",
)
