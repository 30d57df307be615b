"""Workflow ids: ``kind:tenant:public_id``, built and read here and nowhere else."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, cast, get_args

Kind = Literal[
    "timer",
    "delivery",
    "replay",
    "schedule",
    "plan",
    "escalation",
    "heartbeat",
    "check",
    "capture",
    "writer",
    "ingest",
    "job",
    "sandbox",
]
_KINDS: Final = get_args(Kind)


class WorkflowId(NamedTuple):
    """The parts of a workflow id."""

    kind: Kind
    tenant: str
    public_id: str


def workflow_id(kind: Kind, tenant: str, public_id: str) -> str:
    """Return the id of the workflow that works on ``public_id``."""
    return f"{kind}:{tenant}:{public_id}"


def parse_workflow_id(text: str) -> WorkflowId:
    """Return the parts of a workflow id.

    Raises:
        ValueError: when ``text`` is not one of ours.
    """
    parts = text.split(":")
    if len(parts) != 3 or parts[0] not in _KINDS or not all(parts):
        raise ValueError(f"expected kind:tenant:public_id with a kind of {', '.join(_KINDS)}; got {text!r}")
    return WorkflowId(cast(Kind, parts[0]), parts[1], parts[2])
