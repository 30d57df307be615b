"""Which hosts a pattern means, and when patterns are within others."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from minoots.contracts import ExecJob
from minoots_platform.network_rules import Rules


@pytest.mark.parametrize(
    ("pattern", "host", "port", "allowed"),
    [
        ("example.org", "example.org", 443, True),
        ("example.org", "example.org", 80, True),
        ("example.org", "example.org", 22, False),
        ("example.org", "EXAMPLE.org.", 443, True),
        ("example.org", "a.example.org", 443, False),
        ("example.org:8443", "example.org", 8443, True),
        ("example.org:8443", "example.org", 443, False),
        ("*.example.org", "a.b.example.org", 443, True),
        ("*.example.org", "example.org", 443, False),
        ("*.example.org", "badexample.org", 443, False),
        ("*.example.org", "*.example.org", 443, False),
        ("*", "anything.at.all", 443, True),
        ("*", "anything.at.all", 25, False),
        ("*:25", "anything.at.all", 25, True),
        ("127.0.0.1:9000", "127.0.0.1", 9000, True),
        ("127.0.0.1:9000", "2130706433", 9000, False),
        ("[::1]:9000", "::1", 9000, True),
        ("[::1]", "::1", 443, True),
    ],
)
def test_a_pattern_means_hosts_and_ports(pattern: str, host: str, port: int, allowed: bool) -> None:
    assert Rules.parse([pattern]).allow(host, port) is allowed


@pytest.mark.parametrize(
    ("asked", "most", "beyond"),
    [
        (["a.org"], [], ["a.org:80", "a.org:443"]),
        (["a.org"], ["a.org"], []),
        (["a.org"], ["a.org:443"], ["a.org:80"]),
        (["a.org"], ["a.org:443", "*:80"], []),
        (["x.a.org", "*.y.a.org"], ["*.a.org"], []),
        (["*.a.org"], ["*.a.org"], []),
        (["*.org"], ["*.a.org"], ["*.org:80", "*.org:443"]),
        (["*"], ["*.org"], ["*:80", "*:443"]),
        (["*"], ["*"], []),
        (["*:22"], ["*"], ["*:22"]),
    ],
)
def test_what_a_job_asks_for_is_within_what_the_operator_allows(
    asked: list[str], most: list[str], beyond: list[str]
) -> None:
    assert Rules.parse(asked).beyond(Rules.parse(most)) == beyond


@pytest.mark.parametrize(
    "host",
    [
        "",
        "https://a.org",
        "a.org/",
        "A.org",
        "a..org",
        ".org",
        "a.org:0",
        "a.org:65536",
        "a.*.org",
        "**",
        "user@a",
        "a b",
    ],
)
def test_what_is_no_host_is_refused(host: str) -> None:
    with pytest.raises(ValidationError, match="network"):
        ExecJob.model_validate({"kind": "exec", "command": ["true"], "network": [host]})
