"""Finding out who is asking: an API key, or a loopback client of ``minoots dev``."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Final

from fastapi import Depends, Request
from starlette.requests import HTTPConnection

from minoots.errors import Failure, FailureKind
from minoots_platform.identity import Principal, Scope
from minoots_platform.records import api_keys
from minoots_platform.telemetry import audit, bind_log_context

from .gateway import Gateway, Here

DEV_TENANT: Final = "dev"
_PROXY_HEADERS: Final = frozenset(
    {"forwarded", "forwarded-for", "via", "x-real-ip", "x-client-ip", "x-original-host", "true-client-ip",
     "cf-connecting-ip", "x-envoy-external-address", "tailscale-user-login"}
)  # fmt: skip
_LOCAL_HOST: Final = re.compile(r"^(?:localhost|127\.0\.0\.1|\[::1\])(?::[0-9]{1,5})?$")
_LOCAL_ORIGIN: Final = re.compile(r"^https?://(?:localhost|127\.0\.0\.1|\[::1\])(?::[0-9]{1,5})?$")


async def principal_of(request: HTTPConnection, gateway: Gateway) -> Principal:
    """Return who is asking.

    Raises:
        Failure: unauthenticated, for a key that is not valid, or none where one is needed.
    """
    key = _key(request)
    if key is not None:
        return await principal_of_key(request, gateway, key)
    return _known(request, _local(request, gateway))


async def principal_of_key(request: HTTPConnection, gateway: Gateway, key: str) -> Principal:
    """Return whose key it is.

    Raises:
        Failure: unauthenticated, for a key that is not valid.
    """
    async with gateway.database.read() as connection:
        found = await api_keys.find(connection, key, gateway.clock())
    if found is None:
        raise _refused(
            request,
            "the API key is unknown, expired or revoked",
            "Make one where the records are: minoots keys create --data-dir …, or --config …",
        )
    if found.note_use:
        gateway.in_background(_note_use(gateway, found.key_id))
    return _known(request, found.principal)


def _known(request: HTTPConnection, principal: Principal) -> Principal:
    bind_log_context(tenant=principal.tenant)
    request.scope["tenant"] = principal.tenant
    return principal


def requires(scope: Scope) -> Callable[..., Coroutine[Any, Any, Principal]]:
    """Return a dependency that lets in only principals with ``scope``."""

    async def dependency(request: Request, gateway: Here) -> Principal:
        principal = await principal_of(request, gateway)
        try:
            principal.require(scope)
        except Failure as failure:
            audit(
                "access.denied",
                actor=principal.subject,
                tenant=principal.tenant,
                decision="deny",
                reason=failure.detail,
                method=request.method,
                path=request.url.path,
            )
            raise
        return principal

    return dependency


TimersReader = Annotated[Principal, Depends(requires(Scope.TIMERS_READ))]
TimersWriter = Annotated[Principal, Depends(requires(Scope.TIMERS_WRITE))]
EventsReader = Annotated[Principal, Depends(requires(Scope.EVENTS_READ))]
AgentsReader = Annotated[Principal, Depends(requires(Scope.AGENTS_READ))]
AgentsWriter = Annotated[Principal, Depends(requires(Scope.AGENTS_WRITE))]
EscalationsReader = Annotated[Principal, Depends(requires(Scope.ESCALATIONS_READ))]
EscalationsWriter = Annotated[Principal, Depends(requires(Scope.ESCALATIONS_WRITE))]
SessionsReader = Annotated[Principal, Depends(requires(Scope.SESSIONS_READ))]
SourcesReader = Annotated[Principal, Depends(requires(Scope.SOURCES_READ))]
SourcesWriter = Annotated[Principal, Depends(requires(Scope.SOURCES_WRITE))]
JobsReader = Annotated[Principal, Depends(requires(Scope.JOBS_READ))]
JobsWriter = Annotated[Principal, Depends(requires(Scope.JOBS_WRITE))]
SandboxesReader = Annotated[Principal, Depends(requires(Scope.SANDBOXES_READ))]
SandboxesWriter = Annotated[Principal, Depends(requires(Scope.SANDBOXES_WRITE))]
ModelsReader = Annotated[Principal, Depends(requires(Scope.MODELS_READ))]
Admin = Annotated[Principal, Depends(requires(Scope.ADMIN))]


def is_local(request: HTTPConnection) -> bool:
    """Tell whether a request comes from this machine, from no proxy and from no foreign web page.

    A page in the user's browser is on this machine too: its Origin gives it away, and where a name was bound
    to 127.0.0.1 to get around that, the Host does.
    """
    peer = request.client.host if request.client else ""
    try:
        if not ipaddress.ip_address(peer).is_loopback:
            return False
    except ValueError:
        return False
    headers = request.headers
    if any(name in _PROXY_HEADERS or name.startswith("x-forwarded") for name in headers):
        return False
    if headers.get("sec-fetch-site") == "cross-site":
        return False
    return bool(
        len(headers.getlist("host")) == 1
        and _LOCAL_HOST.match(headers["host"])
        and all(_LOCAL_ORIGIN.match(origin) for origin in headers.getlist("origin"))
    )


def _local(request: HTTPConnection, gateway: Gateway) -> Principal:
    remedy = "Send Authorization: Bearer mnt_…; make a key with minoots keys create, where the records are."
    if not gateway.settings.gateway.allow_dev_tenant:
        raise _refused(request, "there is no API key in the request", remedy)
    if not is_local(request):
        raise _refused(request, "without an API key only programs on this machine get in", remedy)
    return Principal(DEV_TENANT, "local", frozenset({Scope.ADMIN}))


def _key(request: HTTPConnection) -> str | None:
    authorization = request.headers.get("authorization")
    if authorization is not None:
        scheme, _, credentials = authorization.partition(" ")
        # Any other scheme is a key that is not valid, never "no key": that could open the door of dev.
        return credentials.strip() if scheme.lower() == "bearer" else ""
    return request.headers.get("x-api-key")


def _refused(request: HTTPConnection, detail: str, remedy: str) -> Failure:
    audit(
        "access.refused",
        actor=request.client.host if request.client else "unknown",
        tenant=None,
        decision="deny",
        reason=detail,
        method=request.scope.get("method", "websocket"),
        path=request.url.path,
    )
    return Failure(FailureKind.UNAUTHENTICATED, detail, remedy=remedy)


async def _note_use(gateway: Gateway, key_id: str) -> None:
    async with gateway.database.write() as connection:
        await api_keys.note_use(connection, key_id, gateway.clock())
