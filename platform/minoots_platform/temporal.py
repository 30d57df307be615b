"""Connecting to Temporal: the same way for gateway and workers."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Final

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.runtime import Runtime
from temporalio.service import TLSConfig

from minoots.errors import Failure, FailureKind

from .settings import TemporalSettings
from .telemetry import Telemetry, temporal_interceptors

_LOOK: Final = 0.05


async def connect(
    settings: TemporalSettings,
    telemetry: Telemetry,
    runtime: Runtime,
    *,
    lazy: bool = False,
    patience: timedelta = timedelta(seconds=15),
) -> Client:
    """Return a client of the Temporal server that the settings name.

    With ``lazy``, it connects on first use; else it is tried for as long as ``patience`` lasts.

    Raises:
        Failure: unavailable, when nobody answers there.
    """
    deadline = asyncio.get_running_loop().time() + patience.total_seconds()
    while True:
        try:
            return await _connect(settings, telemetry, runtime, lazy=lazy)
        except RuntimeError as error:
            # The SDK raises nothing more precise when it cannot connect.
            if asyncio.get_running_loop().time() < deadline:
                await asyncio.sleep(_LOOK)
                continue
            raise Failure(
                FailureKind.UNAVAILABLE,
                f"no Temporal server answers at {settings.address}: {error}",
                remedy="Start one, or set temporal.address (MINOOTS_TEMPORAL__ADDRESS) to where it is.",
            ) from error


async def _connect(
    settings: TemporalSettings, telemetry: Telemetry, runtime: Runtime, *, lazy: bool
) -> Client:
    return await Client.connect(
        settings.address,
        namespace=settings.namespace,
        api_key=settings.api_key.get_secret_value() if settings.api_key else None,
        tls=await asyncio.to_thread(_tls, settings),
        data_converter=pydantic_data_converter,
        interceptors=temporal_interceptors(telemetry),
        runtime=runtime,
        lazy=lazy,
    )


def _tls(settings: TemporalSettings) -> TLSConfig | bool:
    if not (settings.tls or settings.api_key or settings.tls_ca or settings.tls_cert):
        return False

    def read(path: Path | None) -> bytes | None:
        return None if path is None else path.read_bytes()

    return TLSConfig(
        server_root_ca_cert=read(settings.tls_ca),
        client_cert=read(settings.tls_cert),
        client_private_key=read(settings.tls_key),
        domain=settings.tls_server_name,
    )
