"""The tool `http`: one request to a host of the job, and what it answers.

Owns the request and what the model is told of the answer. It is sent from here, not from a sandbox, through
the walls that everything has which connects on behalf of strangers: hosts of the job within those of the
operator, addresses that are checked, an audit before anything is sent. No redirect is followed, nothing is
sent along that the model did not say.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

import httpx

from minoots.contracts import AgentJob
from minoots.errors import Failure, FailureKind
from minoots_activities.egress.gate import Attempt, Heard
from minoots_activities.http.checking import checked_addresses
from minoots_activities.http.faults import AddressRefused, NameNotFound, explain
from minoots_activities.http.transport import GuardedTransport
from minoots_activities.sandboxes.tiers import Network

from .arguments import Http

LONGEST: Final = 60.0
"""Seconds of a request whose rule says nothing else."""
_SHOWN: Final = ("content-type", "location", "retry-after", "etag", "last-modified")
_CHARSET: Final = re.compile(r"utf-?8|utf-16|us-ascii|iso-8859-(?:[1-9]|1[013-6])|windows-125[0-8]")
_SETTING: Final = "sandbox.network.allowed_networks"


class Fetching:
    """Requests of agents.

    Args:
        network: what jobs may have of the network.
    """

    def __init__(self, network: Network) -> None:
        self._network = network

    async def request(self, job: AgentJob, wanted: Http, seconds: float, heard: Heard) -> str:
        """Send a request; return what the model is told.

        Raises:
            Failure: it may not be sent, or brought no answer.
        """
        await require_reachable(self._network, job.network, *place_of(wanted.url), heard)
        transport = GuardedTransport(self._network.policy, resolver=self._network.resolver)
        headers = {"accept-encoding": "identity", "user-agent": "minoots-agent", **wanted.headers}
        try:
            async with (
                asyncio.timeout(seconds),
                httpx.AsyncClient(transport=transport, timeout=seconds, trust_env=False) as client,
                client.stream(
                    wanted.method, wanted.url, headers=headers, content=wanted.body.encode()
                ) as answer,
            ):
                body = await _body(answer)
        except (TimeoutError, httpx.TimeoutException):
            raise _failed(f"no whole answer came within {seconds:g} s") from None
        except (httpx.TransportError, httpx.InvalidURL, UnicodeError) as error:
            raise _failed(explain(error)[1]) from error
        shown = [f"{name}: {answer.headers[name]}" for name in _SHOWN if name in answer.headers]
        return "\n".join([f"{answer.status_code} {answer.reason_phrase}".rstrip(), *shown, "", body])


async def require_reachable(
    network: Network, hosts: Sequence[str], host: str, port: int, heard: Heard
) -> None:
    """Have an attempt judged and written down, whatever comes of it.

    Args:
        network: what jobs may have of the network.
        hosts: what this job may reach of it.
        host: which host is wanted.
        port: and which port.
        heard: who writes it down.

    Raises:
        Failure: it may not be reached.
    """
    reason, remedy = "", None
    if not network.hold(hosts).allow(host, port):
        remedy = "Name the host in network of the job."
        reason = f"{host}:{port} is not among the hosts of this job (network)"
    else:
        try:
            await checked_addresses(host, port, network.policy, network.resolver, setting=_SETTING)
        except (AddressRefused, NameNotFound) as fault:
            reason = str(fault)
    try:
        heard(Attempt(host, port, reason))
    except OSError as error:
        raise _failed("this attempt cannot be recorded, and so it is refused") from error
    if reason:
        raise Failure(FailureKind.DENIED, reason, remedy=remedy)


async def _body(answer: httpx.Response) -> str:
    """Return a body as text, as it came: whoever unpacks what a stranger has packed has no end to it."""
    packed = answer.headers.get("content-encoding", "identity").strip().lower()
    if packed != "identity":
        return f"(its body is packed, although it was asked for as it is: {packed[:40]})"
    # Of which the transport takes no more than it allows.
    data = b"".join([piece async for piece in answer.aiter_raw()])
    charset = (answer.charset_encoding or "").lower()
    return data.decode(charset if _CHARSET.fullmatch(charset) else "utf-8", "replace")


def place_of(url: str) -> tuple[str, int]:
    """Return host and port of a URL."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _failed(detail: str) -> Failure:
    return Failure(FailureKind.UNAVAILABLE, detail)
