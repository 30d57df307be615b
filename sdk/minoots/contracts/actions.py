"""What a timer does when it fires. Kinds are told apart by ``kind``; more of them follow."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import Discriminator, Field, Tag, field_validator

from .agents import AgentId
from .base import Duration, Matching, Name, Part
from .destinations import FifoKey
from .payloads import Metadata
from .templates import BodyTemplate

MIN_TIMEOUT: Final = timedelta(milliseconds=100)
MAX_TIMEOUT: Final = timedelta(seconds=30)
SECRET_NAME_PATTERN: Final = r"^[a-z0-9][a-z0-9_-]{0,62}$"  # noqa: S105 - a pattern, not a secret
SecretName = Annotated[
    str,
    Matching(
        SECRET_NAME_PATTERN,
        "a name of 1 to 63 lower-case letters, digits, - and _, beginning with a letter or digit",
    ),
]
"""Name of a signing secret."""
CONNECTOR_KIND_PATTERN: Final = r"^[a-z][a-z0-9_]{0,31}$"
URL_PATTERN: Final = r"^https?://[^\s#\\]+$"
HEADER_NAME_PATTERN: Final = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$"
HEADER_VALUE_PATTERN: Final = r"^(?:[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?)?$"

OWN_HEADERS: Final = frozenset(
    {"accept-encoding", "connection", "content-encoding", "content-length", "content-type", "expect", "host",
     "keep-alive", "proxy-authorization", "proxy-connection", "te", "traceparent", "tracestate", "trailer",
     "transfer-encoding", "upgrade", "user-agent"}
)  # fmt: skip
"""Headers that Minoots sets itself; so are all that begin with ``webhook-``."""


def web_address(value: str) -> str:
    """Return ``value`` if something can be sent to it over HTTP.

    Raises:
        ValueError: otherwise.
    """
    try:
        parts = urlsplit(value)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"expected an absolute http or https URL; {error}") from error
    if parts.scheme not in ("http", "https") or not host or re.search(r"[\s\\\x00-\x1f\x7f]", value):
        raise ValueError("expected an absolute http or https URL without spaces")
    if port == 0:
        raise ValueError("expected a port between 1 and 65535")
    if parts.username is not None or parts.password is not None:
        raise ValueError("expected no user or password in the URL; put an Authorization header into headers")
    if parts.fragment:
        raise ValueError("expected no #fragment: it never reaches the receiver")
    return value


class WebhookAction(Part):
    """Send a signed CloudEvent to ``url``."""

    kind: Literal["webhook"] = "webhook"
    url: Annotated[str, Field(min_length=8, max_length=2048, json_schema_extra={"pattern": URL_PATTERN})]
    method: Literal["POST", "PUT", "PATCH"] = "POST"
    headers: Annotated[
        dict[
            Annotated[str, Matching(HEADER_NAME_PATTERN, "a header name, at most 100 characters")],
            Annotated[
                str,
                Field(max_length=2048),
                Matching(HEADER_VALUE_PATTERN, "printable ASCII without a line end, or space at either end"),
            ],
        ],
        Field(max_length=32),
    ] = Field(default_factory=dict)
    timeout: Duration = timedelta(seconds=10)
    """For the whole attempt, connecting included: 0.1 s to 30 s."""
    secret: SecretName | None = None
    """Name of the signing secret; without one, the tenant's ``default``."""
    fifo_key: FifoKey | None = None
    body: BodyTemplate | None = None

    @field_validator("url")
    @classmethod
    def _web_address(cls, value: str) -> str:
        return web_address(value)

    @field_validator("headers")
    @classmethod
    def _not_ours(cls, value: dict[str, str]) -> dict[str, str]:
        seen: set[str] = set()
        for name in value:
            lower = name.lower()
            if lower in OWN_HEADERS or lower.startswith("webhook-"):
                raise ValueError(f"the header {name} is set by Minoots; remove it")
            if lower in seen:
                raise ValueError(f"the header {name} is given twice")
            seen.add(lower)
        return value

    @field_validator("timeout")
    @classmethod
    def _bounded(cls, value: timedelta) -> timedelta:
        if not MIN_TIMEOUT <= value <= MAX_TIMEOUT:
            raise ValueError("expected a timeout between 0.1s and 30s")
        return value


class AgentAction(Part):
    """Put a command into the inbox of an agent; its payload is that of the timer."""

    kind: Literal["agent"] = "agent"
    agent: AgentId
    name: Name | None = None
    """What the command is called; the timer's name, if not given."""
    expires_in: Duration | None = None
    """The agent is not to begin it later than this."""


class ConnectorAction(Part):
    """Send through a connector that is installed: ``email``, ``chat``, ``nats``, ``workflow``, ..."""

    kind: Annotated[
        str,
        Matching(CONNECTOR_KIND_PATTERN, "the kind of a connector: lower-case letters, digits and _"),
    ]
    config: Metadata = Field(default_factory=dict)
    """What this connector takes; ``GET /v1/connectors`` shows the schema of each."""
    fifo_key: FifoKey | None = None


def _kind_of(value: Any) -> str:
    kind = value.get("kind", "webhook") if isinstance(value, dict) else getattr(value, "kind", "webhook")
    if kind in ("webhook", "agent"):
        return str(kind)
    # Without the config of a connector, but with other fields, it is a kind that was misspelt.
    misspelt = isinstance(value, dict) and "config" not in value and not value.keys() <= {"kind", "fifo_key"}
    return str(kind) if misspelt else "connector"


Action = Annotated[
    Annotated[WebhookAction, Tag("webhook")]
    | Annotated[AgentAction, Tag("agent")]
    | Annotated[ConnectorAction, Tag("connector")],
    Discriminator(_kind_of),
]
"""The union of all kinds, told apart by ``kind``; without one it is a webhook."""

TAGS: Final = frozenset({"webhook", "agent", "connector", "who"})
"""How the members of the union are called in the places of validation errors."""
