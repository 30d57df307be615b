"""Writing the settings file: TOML out, a migrated file in place of the old one.

Owns the notation and the safety of the rewrite. Comments of the old file stay in its backup.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .loading import read_file
from .migrations import migrate
from .tree import SCHEMA_VERSION
from .validation import validated


def migrate_file(path: Path) -> tuple[int, Path | None]:
    """Rewrite the file in today's shape; return the version it had and the backup.

    The backup is ``None`` when nothing had to change. The old file is kept beside the new one as ``….bak``
    (``….bak.1`` and so on when that exists). The new file is complete or not there at all.

    Raises:
        SettingsError: when the file cannot be read, or would not be valid after the migration.
    """
    document, version = migrate(read_file(path), str(path))
    if version == SCHEMA_VERSION:
        return version, None
    validated(document)
    text = to_toml(document)
    if tomllib.loads(text) != document:
        raise AssertionError("the written TOML does not read back as the same document")
    backup = _free_name(path)
    shutil.copy2(path, backup)
    _replace(path, text)
    return version, backup


def to_toml(document: Mapping[str, Any]) -> str:
    """Return ``document`` as TOML: scalars and lists first, then one table after the other."""
    lines: list[str] = []
    _table(document, (), lines)
    return "\n".join(lines).lstrip("\n") + "\n"


def _table(table: Mapping[str, Any], path: tuple[str, ...], lines: list[str]) -> None:
    lines += [
        f"{_key(key)} = {_value(value)}" for key, value in table.items() if not isinstance(value, Mapping)
    ]
    for key, value in table.items():
        if isinstance(value, Mapping):
            here = (*path, _key(key))
            lines += ["", f"[{'.'.join(here)}]"]
            _table(value, here, lines)


def _key(key: str) -> str:
    return key if key.isascii() and key.replace("_", "").replace("-", "").isalnum() else _string(key)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, list):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    # Dates and tables in lists do not pass validation, so numbers are all that is left.
    return str(value)


def _string(text: str) -> str:
    # A JSON string is a TOML basic string, but for DEL, which TOML wants escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _free_name(path: Path) -> Path:
    candidate, number = path.with_name(path.name + ".bak"), 0
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.name}.bak.{number}")
    return candidate


def _replace(path: Path, text: str) -> None:
    # mkstemp is private to the user from the start: the file may hold secrets, and its own mode is copied on.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        shutil.copymode(path, name)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
