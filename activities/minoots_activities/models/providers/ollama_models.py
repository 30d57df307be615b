"""Ollama's registry of models: pulling by a pinned digest, warming up, letting go, and how it is.

Owns what is done with models besides asking them. A pinned model of another digest is never used.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
import ollama

from minoots.contracts.models import ModelErrorKind
from minoots_activities.models.pins import require_pinned
from minoots_workflows.models.failures import ModelFailure

from .faults import broken, garbled
from .ollama import OllamaServer, keep_alive, with_tag


@dataclass(frozen=True)
class Pulling:
    """How far a pull is."""

    status: str
    completed: int | None = None
    total: int | None = None


@dataclass(frozen=True)
class Loaded:
    """A model in memory."""

    name: str
    context: int | None
    until: datetime | None
    """When it leaves, unless it is asked something before."""
    digest: str | None = None


@dataclass(frozen=True)
class Health:
    """How a server is."""

    version: str
    loaded: tuple[Loaded, ...]


async def health(server: OllamaServer) -> Health:
    """Return which version answers, and what it has in memory.

    Raises:
        ModelFailure: unreachable, when nobody answers.
    """
    told = await server.ask("GET", "/api/version")
    return Health(str(told.get("version", "unknown")), await loaded(server))


async def loaded(server: OllamaServer) -> tuple[Loaded, ...]:
    """Return the models in memory."""
    told = (await server.ask("GET", "/api/ps")).get("models") or ()
    return tuple(
        Loaded(
            str(row.get("name") or row.get("model")),
            row.get("context_length"),
            _moment(row),
            row.get("digest"),
        )
        for row in told
    )


async def warm_up(
    server: OllamaServer, model: str, context_tokens: int | None = None, *, until: datetime | None = None
) -> Loaded:
    """Have a model in memory; return what is there then.

    Args:
        server: whose memory.
        model: its name.
        context_tokens: the context that it has at least.
        until: it stays until then at least, as far as the setting ``models.keep_alive`` lets it.

    Raises:
        ModelFailure: unknown_model; denied, for another one than is pinned; provider_fault, when it does not
            stay in memory.
    """
    name = with_tag(model)
    if server.spec.pin_of(name) is not None:
        require_pinned(server.spec, name, await _digest(server, name))
    there = next((one for one in await loaded(server) if one.name == name), None)
    has = 0 if there is None or there.context is None else there.context
    enough = context_tokens is None or has >= context_tokens
    stays = until is None or there is None or there.until is None or there.until >= until
    if there is not None and enough and stays:
        return there
    # With another context than it has it would be loaded anew.
    context = max(has, context_tokens or 0)
    options = {"num_ctx": context} if context else {}
    body: dict[str, Any] = {"model": name, "stream": False, "options": options}
    kept = keep_alive(server.spec.keep_alive)
    await server.ask("POST", "/api/generate", body | ({} if kept is None else {"keep_alive": kept}))
    there = next((one for one in await loaded(server) if one.name == name), None)
    if there is None:
        raise ModelFailure(
            ModelErrorKind.PROVIDER_FAULT,
            f"expected {server.name} to have {name} in memory; it was loaded and is not there",
            remedy="Look whether there is memory enough, and at the setting models.keep_alive.",
        )
    if there.digest is not None:
        # Somebody may have pulled another one meanwhile.
        require_pinned(server.spec, name, there.digest)
    return there


async def unload(server: OllamaServer, model: str) -> None:
    """Have a model leave the memory.

    Raises:
        ModelFailure: unknown_model.
    """
    await server.ask("POST", "/api/generate", {"model": with_tag(model), "stream": False, "keep_alive": 0})


async def pull(server: OllamaServer, model: str) -> AsyncGenerator[Pulling, None]:
    """Fetch a model, telling how far it is; then hold it against its pinned digest.

    Raises:
        ModelFailure: unknown_model, when the registry has none of this name; denied, when what came is not
            what was pinned.
    """
    name = with_tag(model)
    done = False
    try:
        lines = await server.client._request(
            ollama.ProgressResponse, "POST", "/api/pull", json={"model": name, "stream": True}, stream=True
        )
        async with aclosing(lines) as parts:  # type: ignore[type-var]  # the client says less than it gives
            async for part in parts:
                done = part.status == "success"
                yield Pulling(part.status or "", part.completed, part.total)
    except ollama.ResponseError as error:
        absent = "not exist" in error.error or "not found" in error.error or error.status_code == 404
        kind = ModelErrorKind.UNKNOWN_MODEL if absent else ModelErrorKind.PROVIDER_FAULT
        remedy = "Use a name that Ollama's registry has: https://ollama.com/library" if absent else None
        raise ModelFailure(kind, f"{server.name} cannot pull {name}: {error.error}", remedy=remedy) from error
    except json.JSONDecodeError as error:
        raise garbled(server.name, "got a line that is none") from error
    except (httpx.HTTPError, ConnectionError) as error:
        raise broken(server.name, f"pulling {name}: {type(error).__name__}") from error
    if not done:
        raise broken(server.name, f"pulling {name} ended before it was done")
    require_pinned(server.spec, name, await _digest(server, name))


async def _digest(server: OllamaServer, name: str) -> str | None:
    told = (await server.ask("GET", "/api/tags")).get("models") or ()
    return next((row.get("digest") for row in told if row.get("name") == name), None)


def _moment(row: dict[str, Any]) -> datetime | None:
    try:
        return datetime.fromisoformat(row["expires_at"])
    except (KeyError, TypeError, ValueError):
        return None
