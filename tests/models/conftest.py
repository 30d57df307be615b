"""Providers through their real clients against the stand-in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from model_servers import Opening, entry

from minoots_activities.models.providers.installed import provider_kinds
from minoots_activities.models.providers.provider import Patience, Provider
from minoots_platform.models import load_catalogue
from minoots_platform.settings import Settings


@pytest.fixture
def opening() -> Opening:
    """Opens a provider of a kind at a stand-in."""

    @asynccontextmanager
    async def open_one(
        kind: str, url: str, key: str = "sk-test", **models: object
    ) -> AsyncIterator[Provider]:
        given = {"providers": [entry(kind, url)], "keys": [f"{kind}={key}"] if key else [], **models}
        (spec,) = Settings.model_validate({"models": given}).models.specs()
        provider = provider_kinds()[kind].open(
            spec, load_catalogue(), Patience(connect=5, first=10, stall=10)
        )
        try:
            yield provider
        finally:
            await provider.close()

    return open_one
