"""The sections of the settings tree: every setting with its default, its bounds and what it is for.

Owns names and defaults; the descriptions here are what the reference documentation prints. Must not read
files or the environment.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from minoots._version import __version__

from .kinds import (
    Address,
    HttpUrl,
    LocalPath,
    MasterKey,
    McpToken,
    Network,
    Port,
    RecordsUrl,
    Text,
)

LOOPBACK_HOSTS: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class Section(BaseModel):
    """A group of settings; frozen, and closed to names it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


def require_known(what: str, given: Iterable[str], known: Collection[str]) -> None:
    """Refuse names that are not known, and tell which one was likely meant.

    Raises:
        ValueError: for the first of them.
    """
    for one in given:
        if one not in known:
            near = get_close_matches(one, known, n=1)
            meant = f" (did you mean {near[0]}?)" if near else ""
            raise ValueError(f"{what}: {', '.join(sorted(known))}; got {one!r}{meant}")


class GatewaySettings(Section):
    """The HTTP gateway."""

    host: Text = Field("127.0.0.1", description="Address the gateway listens on.")
    port: Port = Field(4000, description="Port the gateway listens on; 0 chooses a free one.")
    public_url: HttpUrl | None = Field(
        None, description="Address by which people reach the gateway, for links; default: host and port."
    )
    max_body_bytes: int = Field(
        1_048_576, ge=1024, le=67_108_864, description="Largest request body accepted, in bytes."
    )
    cors_origins: tuple[HttpUrl, ...] = Field(
        (), max_length=64, description="Origins whose web pages may call the gateway from a browser."
    )
    allow_dev_tenant: bool = Field(
        False,
        description="Let loopback callers without a key act as tenant `dev`; only `minoots dev` turns it on.",
    )
    stream_heartbeat: float = Field(
        15.0, ge=0.05, le=300, description="Seconds between heartbeat comments on a quiet event stream."
    )
    stream_send_timeout: float = Field(
        30.0, ge=0.05, le=600, description="Seconds a slow reader of an event stream has before it is cut."
    )

    @property
    def link_base(self) -> str:
        """What links to the gateway begin with."""
        return str(self.public_url) if self.public_url else f"http://{self.host}:{self.port}"

    @model_validator(mode="after")
    def _dev_tenant_stays_on_loopback(self) -> GatewaySettings:
        # Open to the network without a key: the one combination that must never start.
        if self.allow_dev_tenant and self.host not in LOOPBACK_HOSTS:
            raise ValueError("a loopback `host` (127.0.0.1) while `allow_dev_tenant` is on")
        return self


class TemporalSettings(Section):
    """Where Temporal is, and the embedded server of `minoots dev`."""

    address: Address = Field("127.0.0.1:7233", description="Host and port of the Temporal frontend.")
    namespace: Text = Field("default", description="Temporal namespace.")
    api_key: SecretStr | None = Field(None, description="API key for Temporal Cloud; implies TLS.")
    tls: bool = Field(False, description="Connect to Temporal with TLS.")
    tls_ca: LocalPath | None = Field(
        None, description="PEM file of the CA that signed the server certificate."
    )
    tls_cert: LocalPath | None = Field(None, description="PEM file of the client certificate (mTLS).")
    tls_key: LocalPath | None = Field(None, description="PEM file of the client's private key (mTLS).")
    tls_server_name: Text | None = Field(
        None, description="Name expected in the server certificate, when it is not the host of `address`."
    )
    binary: LocalPath | None = Field(
        None, description="`temporal` binary for the embedded server; unset means the installed one."
    )
    port: Port = Field(7233, description="Port of the embedded Temporal server; 0 chooses a free one.")
    ui_port: Port = Field(8233, description="Port of the embedded Temporal UI; 0 chooses a free one.")

    @model_validator(mode="after")
    def _certificate_and_key_go_together(self) -> TemporalSettings:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("`tls_cert` and `tls_key` both set, or neither")
        return self


class RecordsSettings(Section):
    """The SQL database."""

    url: RecordsUrl = Field(
        "sqlite:///.minoots/minoots.db",
        repr=False,
        description="SQLAlchemy URL of the records; unset means the SQLite file `minoots.db` in `data_dir`.",
    )
    pool_size: int = Field(5, ge=1, le=200, description="Open database connections a process keeps.")
    busy_timeout_ms: int = Field(
        5000, ge=0, le=600_000, description="Milliseconds to wait for a lock of SQLite before giving up."
    )


class WorkerSettings(Section):
    """The Temporal workers."""

    max_concurrent_activities: int = Field(
        1000, ge=1, le=100_000, description="Activities one worker process runs at once."
    )
    max_cached_workflows: int = Field(
        1000, ge=0, le=1_000_000, description="Workflows a worker process keeps in memory between tasks."
    )
    graceful_shutdown: float = Field(
        10.0, ge=0, le=3600, description="Seconds running activities have to finish when a worker stops."
    )
    metrics_port: Port | None = Field(
        None, description="Port of the worker's own metrics on 127.0.0.1; 0 chooses one, unset means none."
    )


class DeliverySettings(Section):
    """Outgoing webhooks."""

    allowed_networks: tuple[Network, ...] = Field(
        (), max_length=256, description="Networks exempt from the ban on private and local webhook targets."
    )
    user_agent: Text = Field(f"minoots/{__version__}", description="`User-Agent` of outgoing webhooks.")


class SecretsSettings(Section):
    """Encryption of the secrets in the records."""

    master_keys: tuple[MasterKey, ...] = Field(
        (),
        max_length=16,
        description="Fernet keys: the first encrypts, all decrypt. Needed unless `environment` is `dev`.",
    )


class FlagsSettings(Section):
    """Feature flags (OpenFeature)."""

    provider: Literal["file", "flagd", "none"] = Field(
        "file",
        description="Where flags come from: a file in flagd's JSON format, a flagd server, or defaults.",
    )
    path: LocalPath | None = Field(
        None, description="Flag file; unset means `flags.json` in `data_dir` when it exists."
    )
    host: Text = Field("127.0.0.1", description="Host of the flagd server.")
    port: int = Field(8013, ge=1, le=65535, description="Port of the flagd server.")
    poll_ms: int = Field(
        1000, ge=10, le=3_600_000, description="Milliseconds between looks at the flag file."
    )


class TelemetrySettings(Section):
    """Logs, metrics and traces."""

    service_name: Text = Field("minoots", description="`service.name` of traces and metrics.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = Field(
        "INFO", description="Least severe level that is logged."
    )
    log_format: Literal["json", "console"] = Field(
        "json", description="JSON lines, or text for people on a terminal."
    )
    audit_log: LocalPath | None = Field(
        None, description="File the audit records are appended to; unset means the log, with `sink: audit`."
    )
    otlp_endpoint: HttpUrl | None = Field(
        None, description="Base URL of an OTLP collector over HTTP, such as `http://127.0.0.1:4318`."
    )
    worker_metrics_urls: tuple[HttpUrl, ...] = Field(
        (),
        max_length=256,
        description="Metrics of workers that the gateway's `/metrics` merges into its own.",
    )


class EmailSettings(Section):
    """E-mail by SMTP."""

    host: Text | None = Field(None, description="SMTP server; unset: no e-mail is sent.")
    port: Port = Field(587, description="Port of the SMTP server.")
    security: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="`none` only for a server on this machine."
    )
    username: Text | None = Field(None, description="User at the SMTP server.")
    password: SecretStr | None = Field(None, description="Password at the SMTP server.")
    sender: Text | None = Field(None, description="Address that mails come from.")
    domains: tuple[Text, ...] = Field(
        (), max_length=256, description="Domains that mails may go to; none named: any."
    )


class NatsSettings(Section):
    """NATS JetStream."""

    servers: tuple[Text, ...] = Field(
        (), max_length=16, description="Addresses of the NATS servers; none: nothing is published."
    )
    subject_prefix: Text = Field(
        "minoots.{tenant}.", description="What every subject begins with; `{tenant}` is filled in."
    )
    credentials: LocalPath | None = Field(None, description="File with NATS credentials.")


class WorkflowsSettings(Section):
    """Workflows of the user's own that timers may start."""

    task_queues: tuple[Text, ...] = Field(
        (), max_length=64, description="Task queues on which workflows may be started; none: nowhere."
    )


class JobsSettings(Section):
    """Jobs that think and act."""

    keep_days: int = Field(
        90,
        ge=0,
        le=36_500,
        description="Days that a job is kept from its end on, with its events and artifacts; 0 is for ever.",
    )
    keep_usage_days: int = Field(
        400, ge=0, le=36_500, description="Days that rows of usage of models are kept; 0 is for ever."
    )
    default_deadline: float = Field(
        3600.0, ge=1, le=86_400, description="Seconds after which a job that names no deadline is given up."
    )
    max_unfinished: int = Field(
        1000, ge=1, le=1_000_000, description="Jobs of one tenant that may wait or run at a time."
    )
    max_attempts: int = Field(
        5, ge=1, le=100, description="How often a job is begun before it is given up: after crashes, mostly."
    )
    max_artifact_bytes: int = Field(
        33_554_432, ge=1024, le=1_073_741_824, description="Largest single artifact, in bytes."
    )
    tenant_day_bytes: int = Field(
        10_737_418_240,
        ge=1024,
        le=109_951_162_777_600,
        description="Bytes that a tenant may hand in on a day (UTC): artifacts, and files of sandboxes that "
        "stand. What is kept already does not count.",
    )
    max_output_bytes: int = Field(
        268_435_456,
        ge=1024,
        le=109_951_162_777_600,
        description="Bytes of all artifacts of one job; files beyond are left out and counted.",
    )
    max_artifacts: int = Field(200, ge=1, le=10_000, description="Artifacts that one job may make.")
    max_event_bytes: int = Field(
        16_777_216,
        ge=1024,
        le=1_073_741_824,
        description="Bytes of one job's events; what is written beyond is only in its artifacts.",
    )
    mcp_tokens: tuple[McpToken, ...] = Field(
        (),
        max_length=64,
        description="Bearer tokens for MCP servers of agents: `TENANT URL TOKEN`, with `*` for every tenant.",
    )

    def mcp_token(self, tenant: str, url: str) -> str | None:
        """Return the token that jobs of a tenant send to an MCP server, if there is one."""
        found: dict[str, str] = {}
        for one in self.mcp_tokens:
            whose, where, token = one.get_secret_value().split(" ")
            if where == url:
                found.setdefault(whose, token)
        return found.get(tenant, found.get("*"))


class ConnectorsSettings(Section):
    """What connectors need to know of this service."""

    email: EmailSettings = Field(default_factory=EmailSettings, description="E-mail by SMTP.")
    nats: NatsSettings = Field(default_factory=NatsSettings, description="NATS JetStream.")
    workflow: WorkflowsSettings = Field(default_factory=WorkflowsSettings, description="Temporal workflows.")
