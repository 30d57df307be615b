"""Settings of the platform: one frozen tree from a file and the environment.

Owns what can be set and how it is read. Must not import Temporal, OpenTelemetry, SQLAlchemy or gRPC: every
command pays for this import.
"""

from .capture_sections import CaptureSettings, IngestSettings, programs
from .catalogue import Setting, list_settings
from .environment import to_environment
from .faults import Fault, SettingsError
from .loading import LoadedSettings, load_settings, load_with_origins
from .model_sections import BudgetSettings, ModelsSettings, ProviderSpec, RateSpec
from .sandbox_sections import SandboxSettings
from .sections import (
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
from .tree import SCHEMA_VERSION, Settings
from .validation import require_startable, startup_faults, with_overrides

__all__ = [
    "SCHEMA_VERSION",
    "BudgetSettings",
    "CaptureSettings",
    "DeliverySettings",
    "Fault",
    "FlagsSettings",
    "GatewaySettings",
    "IngestSettings",
    "JobsSettings",
    "LoadedSettings",
    "ModelsSettings",
    "ProviderSpec",
    "RateSpec",
    "RecordsSettings",
    "SandboxSettings",
    "SecretsSettings",
    "Setting",
    "Settings",
    "SettingsError",
    "TelemetrySettings",
    "TemporalSettings",
    "WorkerSettings",
    "list_settings",
    "load_settings",
    "load_with_origins",
    "programs",
    "require_startable",
    "startup_faults",
    "to_environment",
    "with_overrides",
]
