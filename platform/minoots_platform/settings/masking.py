"""Values of settings as they may be shown to people.

Owns masking. Must never return a secret, whole or in part.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import SecretStr

from .catalogue import Setting, list_settings
from .environment import value_of
from .loading import Origin
from .tree import Settings

MASK: Final = "********"
# Up to the last @ before the path: a password may hold an @ that nobody encoded.
_USERINFO: Final = re.compile(r"(?<=://)([^/@:\s]*)(?::[^/\s]*)?@")
_QUERY_PASSWORD: Final = re.compile(r"(?i)([?&](?:password|passwd|pwd|sslpassword)=)[^&#\s]*")

Shown = str | int | float | bool | list[str] | None


@dataclass(frozen=True)
class ShownSetting:
    """One setting as it may be printed."""

    key: str
    value: Shown
    origin: str


def show_settings(settings: Settings, origins: Mapping[str, Origin]) -> list[ShownSetting]:
    """Return every setting with its masked value and where it came from."""
    return [
        ShownSetting(setting.key, _shown(setting, value_of(settings, setting.key)), origins[setting.key])
        for setting in list_settings()
    ]


def mask_url(url: str) -> str:
    """Return ``url`` without the password it may hold."""
    masked = _USERINFO.sub(lambda found: f"{found[1]}:{MASK}@" if ":" in found[0] else found[0], url)
    return _QUERY_PASSWORD.sub(rf"\1{MASK}", masked)


def _shown(setting: Setting, value: object) -> Shown:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, tuple):
        return [
            MASK if setting.secret or isinstance(item, SecretStr) else mask_url(str(item)) for item in value
        ]
    if setting.secret or isinstance(value, SecretStr):
        return MASK
    return mask_url(str(value))
