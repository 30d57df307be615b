"""What settings allow jobs and sandboxes: what can be refused while whoever asks still listens.

Owns what settings and a request itself tell of it. What a machine lacks, whether a name resolves and what a
model can is for workers to find out, who also hold what is here against settings of their own. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from minoots.contracts import AgentJob, AgentTool, ExecJob, FieldProblem, LlmJob, SandboxCreate, Tier
from minoots.errors import Failure, FailureKind

from .models.schema_rules import SchemaFault, fault_of_answers, fault_of_arguments
from .network_rules import Pattern, Rules
from .settings import Settings

_CEILINGS: Final = ("memory_mb", "disk_mb", "cpus", "processes")
"""Limits that have a setting ``sandbox.max_…``."""
_WITH_IMAGES: Final = (Tier.CONTAINER, Tier.VM)


class Unmet(NamedTuple):
    """What keeps a request from being done."""

    field: str
    """Path below the request."""
    expected: str
    got: str
    remedy: str
    by_settings: bool = True
    """Whether the operator's settings could allow it; else it is wrong in itself."""


def require_possible(
    request: LlmJob | ExecJob | AgentJob | SandboxCreate, settings: Settings, place: str = "body"
) -> None:
    """Refuse what no worker with these settings would do. ``place`` is where the request stands.

    Raises:
        Failure: invalid, naming the field.
    """
    found = unmet(request, settings)
    if found is not None:
        raise Failure(
            FailureKind.INVALID,
            f"{'settings do not allow it: ' if found.by_settings else ''}"
            f"{found.field}: expected {found.expected}; got {found.got}",
            remedy=found.remedy,
            errors=(FieldProblem(field=f"{place}.{found.field}", expected=found.expected, got=found.got),),
        )


def unmet(request: LlmJob | ExecJob | AgentJob | SandboxCreate, settings: Settings) -> Unmet | None:
    """Return the first thing that keeps a request from being done."""
    return next(_all_unmet(request, settings), None)


def _all_unmet(request: LlmJob | ExecJob | AgentJob | SandboxCreate, settings: Settings) -> Iterator[Unmet]:
    if isinstance(request, LlmJob | AgentJob):
        yield from _provider(request, settings)
    if isinstance(request, LlmJob):
        yield from _schemas(request)
    if isinstance(request, LlmJob) or (isinstance(request, ExecJob) and request.sandbox is not None):
        # A sandbox that stands was looked at when it was opened.
        return
    yield from _network(request, settings)
    if isinstance(request, AgentJob):
        yield from _servers(request)
        if not _runs_programs(request):
            return
    yield from _tier(request, settings)
    yield from _limits(request, settings)


def _provider(request: LlmJob | AgentJob, settings: Settings) -> Iterator[Unmet]:
    known = [spec.name for spec in settings.models.specs()]
    if request.provider is not None and request.provider not in known:
        near = get_close_matches(request.provider, known, n=1)
        yield Unmet(
            "provider",
            f"one of {', '.join(known) or 'no provider, for none is set up'}",
            request.provider,
            f"Did you mean {near[0]}?"
            if near
            else "Leave it out, or have the operator add it to models.providers.",
        )


def _schemas(request: LlmJob) -> Iterator[Unmet]:
    given: list[tuple[tuple[str, ...], SchemaFault | None]] = [
        (("tools", str(index), "parameters"), fault_of_arguments(tool.parameters))
        for index, tool in enumerate(request.tools)
    ]
    if request.json_schema is not None:
        given.append((("json_schema",), fault_of_answers(request.json_schema)))
    for place, fault in given:
        if fault is not None:
            field = ".".join((*place, *fault.place))[:300]
            yield Unmet(field, fault.expected, fault.got, fault.remedy, by_settings=False)


def _network(request: ExecJob | AgentJob | SandboxCreate, settings: Settings) -> Iterator[Unmet]:
    most = Rules.parse(settings.sandbox.network.hosts)
    for index, host in enumerate(request.network):
        beyond = Rules((Pattern.parse(host),)).beyond(most)
        if beyond:
            yield Unmet(
                f"network.{index}",
                # Not which these are: they may be names of the operator's own network.
                "a host that jobs may reach here",
                ", ".join(beyond),
                "Leave it out, or have the operator add it to sandbox.network.hosts.",
            )
    if request.network and request.tier is Tier.PROCESS:
        yield Unmet(
            "network",
            "no hosts in the tier process, which cannot hold a program to them",
            ", ".join(request.network[:10]),
            "Leave network out, or choose the tier bubblewrap, container or vm.",
        )


def _servers(request: AgentJob) -> Iterator[Unmet]:
    rules = Rules.parse(request.network)
    for index, server in enumerate(request.mcp):
        if server.url is None:
            continue
        parts = urlsplit(server.url)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        if not rules.allow(host, port):
            yield Unmet(
                f"mcp.{index}.url",
                "a URL of a host that network names",
                f"{host}:{port}",
                "Name the host in network of the job.",
            )


def _runs_programs(request: AgentJob) -> bool:
    """Tell whether an agent has programs run: others never have a sandbox."""
    by_itself = request.tools is None or any(rule.name is AgentTool.RUN for rule in request.tools)
    return by_itself or any(server.command is not None for server in request.mcp)


def _tier(request: ExecJob | AgentJob | SandboxCreate, settings: Settings) -> Iterator[Unmet]:
    sandbox, tier = settings.sandbox, request.tier
    given = [*(["process"] if sandbox.allow_process else []), *sandbox.tiers]
    if tier.value not in given:
        setting = "turn on sandbox.allow_process" if tier is Tier.PROCESS else "add it to sandbox.tiers"
        yield Unmet(
            "tier",
            f"one of {', '.join(given) or 'no tier, for none may be used here'}",
            tier.value,
            f"Choose another tier, or have the operator {setting}.",
        )
    if request.image is not None and tier not in _WITH_IMAGES:
        yield Unmet(
            "image",
            f"none: the tier {tier} has no images",
            request.image,
            "Leave image out, or choose the tier container or vm.",
        )
    images = sandbox.container.images
    if tier is Tier.CONTAINER and (not images or request.image not in (None, *images)):
        yield Unmet(
            "image",
            "one of sandbox.container.images" if images else "an image that may be used, and there is none",
            request.image or "no image",
            "Choose another one, or have the operator add it to sandbox.container.images."
            if images
            else "Choose another tier, or have the operator name an image in sandbox.container.images.",
        )


def _limits(request: ExecJob | AgentJob | SandboxCreate, settings: Settings) -> Iterator[Unmet]:
    for name in _CEILINGS:
        wanted, most = getattr(request.limits, name), getattr(settings.sandbox, f"max_{name}")
        if wanted > most:
            yield Unmet(
                f"limits.{name}",
                f"at most {most}",
                str(wanted),
                f"Ask for less, or have the operator raise sandbox.max_{name}.",
            )
