"""Contents that messages name by their hash, as models read them: from the records."""

from __future__ import annotations

from minoots.contracts.models import ModelErrorKind
from minoots.errors import Failure
from minoots_platform.records import Database, contents
from minoots_workflows.models.failures import ModelFailure
from minoots_workflows.models.ports import Contents


class KeptContents(Contents):
    """Contents in the records."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, tenant: str, sha256: str) -> bytes:
        """Return a content of a tenant."""
        try:
            return await contents.read(self._database, tenant, sha256)
        except Failure as failure:
            raise ModelFailure(ModelErrorKind.INVALID, failure.detail, remedy=failure.remedy) from failure
