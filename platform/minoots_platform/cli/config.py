"""`minoots config`: check the settings, show them, bring an old file up to date.

Owns words on the terminal and exit codes (0 well, 1 not valid); what settings are lives in the settings
package.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from minoots_platform.plugins import plugins
from minoots_platform.settings import SettingsError, load_with_origins, startup_faults
from minoots_platform.settings.document import migrate_file
from minoots_platform.settings.loading import find_file
from minoots_platform.settings.masking import show_settings

app = typer.Typer(
    name="config", help="Check, show and migrate the settings.", no_args_is_help=True, add_completion=False
)

File = Annotated[
    Path | None, typer.Argument(help="Settings file; without it MINOOTS_CONFIG, then ./minoots.toml.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@app.command()
def validate(
    file: File = None,
    dev: Annotated[bool, typer.Option("--dev", help="Only what `minoots dev` and `start` need.")] = False,
) -> None:
    """Check the file, the MINOOTS_ variables, what they name, and whether a gateway may start with them."""
    try:
        loaded = load_with_origins(file)
    except SettingsError as error:
        _refuse(error)
    faults = [] if dev else startup_faults(loaded.settings)
    beyond = [fault for _, check in plugins("minoots.checks", "check") for fault in check(loaded.settings)]
    if beyond:
        _refuse(SettingsError([*faults, *beyond]))
    if faults:
        typer.echo("The settings are valid for minoots dev (--dev). A gateway of its own lacks:\n", err=True)
        _refuse(SettingsError(faults))
    typer.echo(f"The settings are valid ({loaded.file or 'no file'}).")


@app.command()
def show(file: File = None, *, as_json: AsJson = False) -> None:
    """Print every setting, secrets masked, with where it came from."""
    try:
        loaded = load_with_origins(file)
    except SettingsError as error:
        _refuse(error)
    shown = show_settings(loaded.settings, loaded.origins)
    if as_json:
        path = str(loaded.file) if loaded.file else None
        typer.echo(json.dumps({"file": path, "settings": [asdict(one) for one in shown]}, indent=2))
        return
    rows = [(one.key, "unset" if one.value is None else json.dumps(one.value), one.origin) for one in shown]
    width = max(len(key) for key, _, _ in rows)
    for key, value, origin in rows:
        typer.echo(f"{key:<{width}}  {origin:<7}  {value}")


@app.command()
def migrate(file: File = None) -> None:
    """Rewrite an older settings file in today's shape; the old one is kept as a .bak beside it."""
    path = find_file(file, os.environ)
    if path is None:
        typer.echo("No settings file: name one, or set MINOOTS_CONFIG.", err=True)
        raise typer.Exit(1)
    try:
        version, backup = migrate_file(path)
    except SettingsError as error:
        _refuse(error)
    except OSError as error:
        typer.echo(f"{path} could not be rewritten: {error.strerror}. It is unchanged.", err=True)
        raise typer.Exit(1) from None
    if backup is None:
        typer.echo(f"{path} already has the shape of version {version}.")
    else:
        typer.echo(f"{path} is migrated from version {version}; the old file is {backup}.")


def _refuse(error: SettingsError) -> NoReturn:
    typer.echo(str(error), err=True)
    raise typer.Exit(1)
