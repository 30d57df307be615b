"""Settings in environment variables: reading them, and handing a whole tree to a child process.

Owns the variables and their notation. Must not validate values: the tree does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from pydantic import SecretStr

from .catalogue import ENV_PREFIX, Setting, list_settings, settings_by_env, settings_by_key
from .faults import Fault
from .tree import Settings
from .validation import unknown

CONFIG_VARIABLE: Final = "MINOOTS_CONFIG"
"""Path of the settings file; empty means that no file is read at all."""

EXEMPT: Final = frozenset(
    {CONFIG_VARIABLE, "MINOOTS_URL", "MINOOTS_API_KEY", "MINOOTS_TRACEBACK", "MINOOTS_PARENT_FD"}
)
"""Variables with our prefix that are no settings: the path of the file, the SDK's, the supervisor's."""


def read_environment(environ: Mapping[str, str]) -> tuple[dict[str, Any], list[Fault]]:
    """Return the settings in ``environ``, nested, and a fault for every unknown variable with our prefix."""
    nested: dict[str, Any] = {}
    faults: list[Fault] = []
    known = settings_by_env()
    for name, text in environ.items():
        if not name.startswith(ENV_PREFIX) or name in EXEMPT:
            continue
        setting = known.get(name)
        if setting is None:
            faults.append(unknown(name, name, [*known, *EXEMPT], "environment"))
            continue
        *sections, leaf = setting.key.split(".")
        table = nested
        for section in sections:
            table = table.setdefault(section, {})
        table[leaf] = _read(setting, text)
    return nested, faults


def to_environment(settings: Settings) -> dict[str, str]:
    """Return variables that make a child process load exactly these settings, whatever file lies about.

    The result holds secrets in clear: hand it to the child's environment and nowhere else.
    """
    values = {
        setting.env: _write(value_of(settings, setting.key))
        for setting in list_settings()
        if setting.env is not None
    }
    return {CONFIG_VARIABLE: "", **values}


def value_of(settings: Settings, key: str) -> Any:
    """Return the value of the setting with this dotted key.

    Raises:
        KeyError: when there is no such setting.
    """
    if key not in settings_by_key():
        raise KeyError(key)
    value: Any = settings
    for name in key.split("."):
        value = getattr(value, name)
    return value


def _read(setting: Setting, text: str) -> Any:
    if not text and setting.optional:
        return None
    if not setting.is_list:
        return text
    if text.lstrip().startswith("["):
        try:
            return json.loads(text)
        except ValueError:
            return text  # not a list, so that validation names the fault along with all others
    return [item.strip() for item in text.split(",") if item.strip()]


def _write(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return json.dumps([_write(item) for item in value])
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return str(value)
