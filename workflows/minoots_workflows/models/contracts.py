"""On whose behalf a model is asked: by that it is paid for and limited."""

from __future__ import annotations

from minoots.contracts.models import Budget
from minoots_workflows.contract import Contract


class ModelCaller(Contract):
    """Who asks. The tenant comes from a principal, never from what was asked."""

    tenant: str
    key: str
    """Subject of the principal: whose budget it is, beside the tenant's."""
    call_id: str
    """One intended call, the same whenever it is repeated: a repetition after a crash charges what the dead
    one still holds, at once. Two calls at a time must not have the same."""
    job_id: str | None = None
    budget: Budget | None = None
    """Of the job: all of its calls together."""
