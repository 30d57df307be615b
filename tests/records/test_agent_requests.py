"""Requests of agents: to hosts of the job, at addresses that may be, each heard of before it is sent."""

from __future__ import annotations

import gzip
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

import pytest
from receivers import Answer, Receiver

from minoots.contracts import AgentJob
from minoots.errors import Failure, FailureKind
from minoots_activities.egress.gate import Attempt
from minoots_activities.jobs.agents.arguments import Http
from minoots_activities.jobs.agents.fetching import Fetching
from minoots_activities.sandboxes.port import NeverStarted
from minoots_activities.sandboxes.tiers import Network
from minoots_platform.addresses import AddressPolicy
from minoots_platform.network_rules import Rules

LOOPBACK = ip_network("127.0.0.0/8")


class Asking:
    """An agent that may reach a receiver."""

    def __init__(
        self,
        receiver: Receiver,
        *,
        hosts: tuple[str, ...] = (),
        allowed: tuple[IPv4Network | IPv6Network, ...] = (LOOPBACK,),
    ) -> None:
        self.url = receiver.url
        self.place = receiver.url.split("/")[2]
        self.heard: list[Attempt] = []
        self._job = AgentJob.model_validate({"kind": "agent", "task": "x", "network": hosts or (self.place,)})
        self._fetching = Fetching(Network(most=Rules.parse([self.place]), policy=AddressPolicy(allowed)))

    async def ask(self, **more: Any) -> str:
        """What the model is told of a request."""
        wanted = Http.model_validate({"url": self.url, **more})
        return await self._fetching.request(self._job, wanted, 20, self.heard.append)

    @property
    def judged(self) -> list[tuple[str, bool]]:
        """What was heard."""
        return [(one.host, one.allowed) for one in self.heard]


async def test_an_answer_is_told_with_its_status_and_what_matters_of_its_head(receiver: Receiver) -> None:
    answer = Answer(
        201, {"Content-Type": "text/plain", "Location": "/tea/1", "Set-Cookie": "a=b"}, b"t\xc3\xa4"
    )
    receiver.answers(answer)
    agent = Asking(receiver)
    told = await agent.ask(method="POST", headers={"X-Tea": "green"}, body='{"tea": 1}')
    assert told == "201 Created\ncontent-type: text/plain\nlocation: /tea/1\n\ntä"
    [request] = receiver.requests
    assert (request.method, request.body) == ("POST", b'{"tea": 1}')
    assert request.headers["x-tea"] == "green"
    assert agent.judged == [("127.0.0.1", True)]


async def test_a_redirect_is_told_and_not_followed(receiver: Receiver) -> None:
    receiver.answers(Answer(302, {"Location": "http://169.254.169.254/"}))
    agent = Asking(receiver)
    assert "location: http://169.254.169.254/" in await agent.ask()
    assert len(receiver.requests) == 1


async def test_another_host_is_refused_and_heard_of(receiver: Receiver) -> None:
    agent = Asking(receiver)
    with pytest.raises(Failure, match="not among the hosts of this job") as failure:
        await agent.ask(url="http://other.example/")
    assert failure.value.kind is FailureKind.DENIED
    assert failure.value.remedy == "Name the host in network of the job."
    assert agent.judged == [("other.example", False)]


async def test_an_address_that_is_not_public_is_refused_unless_the_operator_allows_it(
    receiver: Receiver,
) -> None:
    agent = Asking(receiver, allowed=())
    with pytest.raises(Failure, match="loopback"):
        await agent.ask()
    assert agent.judged == [("127.0.0.1", False)]
    assert receiver.requests == []


async def test_hosts_beyond_those_of_the_operator_end_the_job(receiver: Receiver) -> None:
    with pytest.raises(NeverStarted, match="may not reach here"):
        await Asking(receiver, hosts=("other.example",)).ask()


async def test_what_cannot_be_heard_of_is_not_sent(receiver: Receiver) -> None:
    agent = Asking(receiver)

    def deaf(attempt: Attempt) -> None:
        raise OSError

    wanted = Http.model_validate({"url": agent.url})
    with pytest.raises(Failure, match="cannot be recorded"):
        await agent._fetching.request(agent._job, wanted, 20, deaf)
    assert receiver.requests == []


async def test_an_answer_that_is_too_long_is_told(receiver: Receiver) -> None:
    receiver.answers(Answer(200, {}, b"x" * 200_000))
    with pytest.raises(Failure, match="longer than 65536 bytes"):
        await Asking(receiver).ask()


async def test_what_is_packed_is_not_unpacked(receiver: Receiver) -> None:
    packed = gzip.compress(gzip.compress(bytes(10_000_000)))
    receiver.answers(Answer(200, {"Content-Encoding": "gzip, gzip"}, packed))
    told = await Asking(receiver).ask()
    assert told.endswith("(its body is packed, although it was asked for as it is: gzip, gzip)")


@pytest.mark.parametrize("charset", ["zip", "idna", "punycode", "no-such", ""])
async def test_a_charset_that_is_none_of_texts_counts_for_nothing(receiver: Receiver, charset: str) -> None:
    receiver.answers(Answer(200, {"Content-Type": f"text/plain; charset={charset}"}, b"t\xc3\xa4\xff"))
    assert (await Asking(receiver).ask()).endswith("\n\nt\u00e4\ufffd")


async def test_a_charset_of_texts_counts(receiver: Receiver) -> None:
    receiver.answers(Answer(200, {"Content-Type": "text/plain; charset=ISO-8859-1"}, b"t\xe4"))
    assert (await Asking(receiver).ask()).endswith("\n\nt\u00e4")
