"""Search attributes by which operators find workflows in the Temporal UI.

Set once at the start: each later change would cost a history event and a visibility write.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from .summaries import summary_of

TENANT: Final = SearchAttributeKey.for_keyword("MinootsTenant")
NAME: Final = SearchAttributeKey.for_keyword("MinootsName")
FIRE_AT: Final = SearchAttributeKey.for_datetime("MinootsFireAt")

REGISTRY: Final[tuple[tuple[str, str], ...]] = (
    (TENANT.name, "Keyword"),
    (NAME.name, "Keyword"),
    (FIRE_AT.name, "Datetime"),
)
"""Every attribute and its type, as a namespace has to know them."""


def of_timer(tenant: str, name: str, fire_at: datetime) -> TypedSearchAttributes:
    """Return the attributes of a timer's workflow."""
    return TypedSearchAttributes(
        [
            SearchAttributePair(TENANT, tenant),
            SearchAttributePair(NAME, summary_of(name)),
            SearchAttributePair(FIRE_AT, fire_at),
        ]
    )


def of_named(tenant: str, name: str) -> TypedSearchAttributes:
    """Return the attributes of a workflow that has a name and no single due time."""
    return TypedSearchAttributes(
        [SearchAttributePair(TENANT, tenant), SearchAttributePair(NAME, summary_of(name))]
    )


def of_tenant(tenant: str) -> TypedSearchAttributes:
    """Return the attributes of a workflow that has no name of its own."""
    return TypedSearchAttributes([SearchAttributePair(TENANT, tenant)])
