"""The base of everything that crosses Temporal: frozen, and deaf to fields it does not know.

An old worker meets a new payload during every deployment, so unknown keys are ignored. Contracts grow by
fields with defaults; a retired field's name is never used again. `tests/unit/contracts/contracts.lock` pins
every field.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Contract(BaseModel):
    """One model in, one out, for every workflow, activity, update and query."""

    model_config = ConfigDict(frozen=True, extra="ignore")
