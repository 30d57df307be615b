"""From a nested mapping to the tree, or to every fault in it.

Owns the translation of pydantic's errors into faults. Must never echo a value that may be a secret.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError

from .catalogue import Setting, settings_by_key
from .faults import Fault, SettingsError, nearest
from .tree import Settings, overlaid

_HIDDEN: Final = "a value that is not shown"


def validated(data: Mapping[str, Any]) -> Settings:
    """Return the tree made of ``data``.

    Raises:
        SettingsError: with every fault there is.
    """
    settings, faults = validate(data)
    if settings is None:
        # Raised outside the except block: pydantic's own error, chained, would print values, secrets too.
        raise SettingsError(faults)
    return settings


def with_overrides(settings: Settings, overrides: Mapping[str, Any]) -> Settings:
    """Return settings with nested ``overrides`` on top, validated anew.

    Raises:
        SettingsError: when an override is not valid or not known.
    """
    return validated(overlaid(settings.model_dump(exclude_unset=True), overrides))


def validate(
    data: Mapping[str, Any], source_of: Callable[[str], str | None] = lambda _: None
) -> tuple[Settings | None, list[Fault]]:
    """Return the tree, or ``None`` and every fault; ``source_of`` tells where a key came from."""
    try:
        return Settings.model_validate(dict(data)), []
    except ValidationError as error:
        return None, [
            _fault(item["type"], item["loc"], item["msg"], item["input"], source_of)
            for item in error.errors()
        ]


def startup_faults(settings: Settings) -> list[Fault]:
    """Return what must be set before a gateway or worker may start with these settings."""
    if settings.environment == "production" and not settings.secrets.master_keys:
        return [
            Fault(
                key="secrets.master_keys",
                expected="at least one Fernet key in production",
                got="none",
                remedy="Make one with `python -c 'from cryptography.fernet import Fernet; "
                "print(Fernet.generate_key().decode())'` and set MINOOTS_SECRETS__MASTER_KEYS.",
            )
        ]
    return []


def require_startable(settings: Settings) -> None:
    """Refuse to start when safety lacks something.

    Raises:
        SettingsError: with every fault there is.
    """
    if faults := startup_faults(settings):
        raise SettingsError(faults)


def unknown(key: str, name: str, known: Sequence[str], source: str | None) -> Fault:
    """Return the fault of a name that is not a setting; ``known`` holds the names it may have meant."""
    guess = nearest(name, known)
    return Fault(
        key=key,
        expected="a known setting",
        # Whatever stands under a misspelt name may well be a secret.
        got="an unknown one",
        remedy=f"Did you mean `{guess}`?" if guess else f"There are: {', '.join(_beside(key, known))}.",
        source=source,
    )


def _beside(key: str, known: Sequence[str]) -> list[str]:
    """Return the names that stand where ``key`` does: sections, or what is in its section."""
    between = "__" if "__" in key or key.isupper() else "."
    section = key.rpartition(between)[0]
    start = section + between if section else ""
    found = {one.removeprefix(start).split(between)[0] for one in known if one.startswith(start)}
    return sorted(found) if found else _beside(section, known)


def _fault(
    kind: str, loc: tuple[int | str, ...], message: str, value: object, source_of: Callable[[str], str | None]
) -> Fault:
    names = [part for part in loc if isinstance(part, str)]
    index = next((part for part in loc if isinstance(part, int)), None)
    setting, key = _known(names)
    if setting is None and kind == "extra_forbidden":
        return unknown(key, key, _known_names(), source_of(key))
    source = source_of(key)
    if index is not None:
        key = f"{key}[{index}]"
    expected, got = _expected(kind, message, setting), _got(setting, value)
    if kind == "value_error" and got != _HIDDEN:
        # A check that looks into a value says what it found there: the whole value is told but once.
        expected, _, found = expected.partition("; got ")
        got = found or got
    return Fault(key, expected, got, _remedy(setting, names), source)


def _known(names: Sequence[str]) -> tuple[Setting | None, str]:
    # Pydantic appends the branch of a union to the place, which is no part of the key.
    settings = settings_by_key()
    for length in range(len(names), 0, -1):
        key = ".".join(names[:length])
        if key in settings:
            return settings[key], key
    return None, ".".join(names)


def _known_names() -> list[str]:
    keys = list(settings_by_key())
    return [*dict.fromkeys(key.split(".")[0] for key in keys), *keys]


def _expected(kind: str, message: str, setting: Setting | None) -> str:
    if kind == "value_error":
        return message.removeprefix("Value error, ").removeprefix("expected ")
    if setting is None:
        return "a table of settings"
    if kind in {"too_long", "string_too_long", "string_too_short"}:
        return message[0].lower() + message[1:]
    return setting.type


def _got(setting: Setting | None, value: object) -> str:
    if value is None:
        return "nothing"
    if setting is None:
        return "a conflicting combination" if isinstance(value, Mapping) else f"a {type(value).__name__}"
    if setting.secret or setting.has_password:
        return _HIDDEN
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"


def _remedy(setting: Setting | None, names: Sequence[str]) -> str:
    if setting is None:
        return f"See the section `[{'.'.join(names)}]`."
    section, _, name = setting.key.rpartition(".")
    place = f"`{name}` under `[{section}]`" if section else f"`{name}`"
    return f"Set {place} in the file" + (f" or {setting.env}." if setting.env else ".")
