"""Crontabs: each line a schedule, whose webhook gets the command to run.

Reads what cron(8) of Debian reads: variables, comments, the user column of /etc/crontab, ``@daily`` and the
like, ``\\%`` and standard input behind ``%``. Times are those of ``CRON_TZ`` where the file names it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from .imported import Imported, NotImported

_VARIABLE: Final = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*")
_NAME_LENGTH: Final = 200
_NEVER: Final = frozenset({"@reboot"})


def read_crontab(
    text: str, *, zone: str = "UTC", with_users: bool = False
) -> Iterator[Imported | NotImported]:
    """Yield what each line of a crontab is.

    Args:
        text: the whole file.
        zone: of lines above which no ``CRON_TZ`` stands.
        with_users: whether the sixth column is a user, as in ``/etc/crontab`` and ``/etc/cron.d``.
    """
    variables: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        source = f"line {number}"
        if not line or line.startswith("#"):
            continue
        variable = _VARIABLE.fullmatch(line)
        if variable is not None:
            variables[variable[1]] = variable[2].strip("\"'")
            continue
        yield _entry(line, source, variables.get("CRON_TZ") or zone, variables, with_users=with_users)


def _entry(
    line: str, source: str, zone: str, variables: dict[str, str], *, with_users: bool
) -> Imported | NotImported:
    times = 1 if line.startswith("@") else 5
    columns = line.split(None, times + with_users)
    if len(columns) <= times + with_users:
        wanted = "a time, a user and a command" if with_users else "a time and a command"
        return NotImported(source, line, f"expected {wanted}")
    cron = " ".join(columns[:times])
    if cron.lower() in _NEVER:
        return NotImported(source, line, f"{cron} is no time; have whatever starts the machine do it")
    command, standard_input = _split_input(columns[-1])
    payload: dict[str, Any] = {"command": command}
    if standard_input is not None:
        payload["stdin"] = standard_input
    if with_users:
        payload["user"] = columns[times]
    kept = {name: value for name, value in variables.items() if name not in ("CRON_TZ", "MAILTO")}
    if kept:
        payload["environment"] = kept
    # Cron runs a job of a fixed hour once on the day of a change, moved behind the gap.
    schedule = {"rules": [{"cron": cron}], "zone": zone, "dst": "once", "catch_up": {"policy": "none"}}
    notes = ("MAILTO is left out: watch for timer.failed events",) if variables.get("MAILTO") else ()
    return Imported(source, command[:_NAME_LENGTH], schedule, payload, notes=notes)


def _split_input(command: str) -> tuple[str, str | None]:
    """Divide a command at its first bare ``%``: what follows is standard input, each ``%`` a line end."""
    parts = [part.replace(r"\%", "%") for part in re.split(r"(?<!\\)%", command)]
    return parts[0].strip(), "\n".join(parts[1:]) if len(parts) > 1 else None
