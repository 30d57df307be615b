"""Nothing but the feed: the firing itself is all that happens."""

from __future__ import annotations

from typing import Final

from minoots.contracts.base import Part

from .spec import ConnectorSpec


class Nothing(Part):
    """Takes nothing."""


SPEC: Final = ConnectorSpec(
    kind="feed",
    title="Nothing but the feed: whoever follows the events sees it fire",
    config=Nothing,
    sender="minoots_activities.connectors.feed:Feed",
    destination=lambda config: "feed:",
)
