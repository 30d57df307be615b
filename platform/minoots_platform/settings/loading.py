"""Reading the settings: the file, then the environment on top.

Owns where the file is found and which source wins. Faults of all sources are reported together.
"""

from __future__ import annotations

import logging
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from .catalogue import list_settings, settings_by_key
from .environment import CONFIG_VARIABLE, read_environment
from .faults import Fault, SettingsError
from .migrations import migrate
from .tree import SCHEMA_VERSION, Settings, overlaid
from .validation import validate

DEFAULT_FILE: Final = Path("minoots.toml")
Origin = Literal["default", "file", "env"]

_log = logging.getLogger("minoots.settings")


@dataclass(frozen=True)
class LoadedSettings:
    """Settings, and where each came from.

    Attributes:
        settings: the tree.
        file: the file that was read, if any.
        origins: the source of every setting, by dotted key.
    """

    settings: Settings
    file: Path | None
    origins: Mapping[str, Origin]


def load_settings(file: Path | None = None, *, environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings of this process.

    The file is the one given, else the one ``MINOOTS_CONFIG`` names (empty: none), else ``./minoots.toml`` if
    there is one. ``MINOOTS_…`` variables win over the file.

    Raises:
        SettingsError: with every fault in file and environment.
    """
    return load_with_origins(file, environ=environ).settings


def load_with_origins(
    file: Path | None = None, *, environ: Mapping[str, str] | None = None
) -> LoadedSettings:
    """Return the settings of this process and where each came from; see `load_settings`.

    Raises:
        SettingsError: with every fault in file and environment.
    """
    environ = os.environ if environ is None else environ
    from_env, faults = read_environment(environ)
    path = find_file(file, environ)
    from_file: dict[str, Any] = {}
    if path is not None:
        try:
            from_file = _current(path)
        except SettingsError as error:
            # The environment is checked all the same, so that one run shows everything.
            _, invalid = validate(from_env, _env_name)
            raise SettingsError([*error.faults, *faults, *invalid]) from None

    env_keys, file_keys = set(_leaves(from_env)), set(_leaves(from_file))

    def source_of(key: str) -> str | None:
        if any(found == key or found.startswith(f"{key}.") for found in env_keys):
            return _env_name(key)
        return str(path) if path is not None else None

    settings, invalid = validate(overlaid(from_file, from_env), source_of)
    faults = [*faults, *invalid]
    if settings is None or faults:
        raise SettingsError(faults)
    origins: dict[str, Origin] = {
        setting.key: "env" if setting.key in env_keys else "file" if setting.key in file_keys else "default"
        for setting in list_settings()
    }
    return LoadedSettings(settings, path, origins)


def find_file(file: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Return the settings file to read, or ``None``; a file that was asked for by name need not exist."""
    if file is not None:
        return file
    named = environ.get(CONFIG_VARIABLE)
    if named is not None:
        return Path(named).expanduser() if named else None
    return DEFAULT_FILE if DEFAULT_FILE.is_file() else None


def read_file(path: Path) -> dict[str, Any]:
    """Return the TOML document in ``path``.

    Raises:
        SettingsError: when it cannot be read or is not TOML.
    """
    try:
        with path.open("rb") as stream:
            return tomllib.load(stream)
    except OSError as error:
        fault = Fault(
            str(path), "a settings file", error.strerror or type(error).__name__, "Name another file."
        )
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        # Only the place: the text of the error may quote the line, and the line may hold a secret.
        place = str(error)[str(error).rfind("(") :] if "(at " in str(error) else ""
        fault = Fault(
            str(path), "valid TOML in UTF-8", f"something else {place}".strip(), "Correct the file."
        )
    raise SettingsError([fault])


def _current(path: Path) -> dict[str, Any]:
    document, version = migrate(read_file(path), str(path))
    if version != SCHEMA_VERSION:
        _log.warning(
            "the settings file %s has the shape of version %d and was read as version %d; "
            "`minoots config migrate` rewrites it",
            path,
            version,
            SCHEMA_VERSION,
        )
    return document


def _env_name(key: str) -> str | None:
    setting = settings_by_key().get(key)
    return setting.env if setting else None


def _leaves(table: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"
