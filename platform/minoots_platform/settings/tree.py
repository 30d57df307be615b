"""The settings tree: one frozen object that gateway, workers and commands share.

Owns the root, values that depend on another section, and overrides. Must not read files or the environment:
a tree built in code holds what the caller gave and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from .capture_sections import CaptureSettings, IngestSettings
from .kinds import LocalPath
from .model_sections import ModelsSettings
from .sandbox_sections import SandboxSettings
from .sections import (
    ConnectorsSettings,
    DeliverySettings,
    FlagsSettings,
    GatewaySettings,
    JobsSettings,
    RecordsSettings,
    SecretsSettings,
    TelemetrySettings,
    TemporalSettings,
    WorkerSettings,
)

SCHEMA_VERSION: Final = 2


class Settings(BaseSettings):
    """Everything that can be set, validated."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", validate_default=True)

    schema_version: Literal[2] = Field(
        SCHEMA_VERSION, description="Version of the shape of the settings file."
    )
    data_dir: LocalPath = Field(Path(".minoots"), description="Folder of everything Minoots keeps on disk.")
    environment: Literal["dev", "production"] = Field(
        "production",
        description="`production` refuses to start without what safety needs, such as master keys.",
    )
    gateway: GatewaySettings = Field(default_factory=GatewaySettings, description="The HTTP gateway.")
    temporal: TemporalSettings = Field(default_factory=TemporalSettings, description="Temporal.")
    records: RecordsSettings = Field(default_factory=RecordsSettings, description="The SQL database.")
    workers: WorkerSettings = Field(default_factory=WorkerSettings, description="The Temporal workers.")
    delivery: DeliverySettings = Field(default_factory=DeliverySettings, description="Outgoing webhooks.")
    connectors: ConnectorsSettings = Field(
        default_factory=ConnectorsSettings, description="What connectors need to know."
    )
    capture: CaptureSettings = Field(
        default_factory=CaptureSettings, description="Transcripts of agents and recordings of them."
    )
    ingest: IngestSettings = Field(
        default_factory=IngestSettings, description="Files and texts that are sent to be taken in."
    )
    models: ModelsSettings = Field(default_factory=ModelsSettings, description="Language models.")
    jobs: JobsSettings = Field(default_factory=JobsSettings, description="Jobs that think and act.")
    sandbox: SandboxSettings = Field(
        default_factory=SandboxSettings, description="Sandboxes that programs run in."
    )
    secrets: SecretsSettings = Field(default_factory=SecretsSettings, description="Encryption of secrets.")
    flags: FlagsSettings = Field(default_factory=FlagsSettings, description="Feature flags.")
    telemetry: TelemetrySettings = Field(
        default_factory=TelemetrySettings, description="Logs, metrics and traces."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read nothing behind the caller's back; `load_settings` brings the file and the environment."""
        return (init_settings,)

    @model_validator(mode="after")
    def _records_live_in_the_data_dir(self) -> Settings:
        if "url" not in self.records.model_fields_set:
            # Not marked as set, so that a later override of data_dir moves the database along.
            records = self.records.model_copy()
            records.__dict__["url"] = f"sqlite:///{self.data_dir / 'minoots.db'}"
            self.__dict__["records"] = records
        return self

    @property
    def vm_image(self) -> Path:
        """The folder of the image of virtual machines."""
        return self.sandbox.vm_image or self.data_dir / "vm-image"

    @property
    def vm_roots(self) -> Path:
        """The folder of the root file systems of virtual machines."""
        return self.data_dir / "vm-roots"

    @property
    def vm_states(self) -> Path:
        """The folder of the states of virtual machines."""
        return self.data_dir / "vm-states"


def overlaid(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``top`` on it: tables are joined, anything else is replaced."""
    result = dict(base)
    for key, value in top.items():
        below = result.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            value = overlaid(below, value)
        result[key] = value
    return result
