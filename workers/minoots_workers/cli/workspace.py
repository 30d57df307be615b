"""``minoots workspace``: folders of this user that recordings go into, and their aliases."""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer

from minoots.cli import output
from minoots.cli.session import Defaults
from minoots.errors import Failure
from minoots_activities.capture.flags import DEFAULTS
from minoots_activities.capture.registry import Registry
from minoots_activities.capture.workspaces import FILE, TEMPLATE, outside, read_config
from minoots_platform.settings import SettingsError, load_settings
from minoots_platform.whole_files import write_whole

app = typer.Typer(
    name="workspace",
    help="Folders that recordings of chats go into, named in chats by their aliases.",
    no_args_is_help=True,
)

Config = Annotated[Path | None, typer.Option("--config", help="Settings file (minoots.toml).")]
Folder = Annotated[Path, typer.Argument(help="The folder; default: this one.")]
Alias = Annotated[str | None, typer.Option(help="What chats call it; default: the name of the folder.")]

_ID_LENGTH: Final = 8


@app.command()
def init(folder: Folder = Path()) -> None:
    """Make the file of a workspace, with everything that can be set in it. One that exists is left alone."""
    file = Path(os.path.realpath(folder)) / FILE
    if file.exists() or file.is_symlink():
        output.line(f"{file} is there already")
        return
    with _told():
        _made(file.parent)
    output.line(f"{file} was made; `minoots workspace register {folder}` lets chats record into it")


@app.command()
def register(folder: Folder = Path(), alias: Alias = None, config: Config = None) -> None:
    """Let chats record into a folder, by an alias: ::record-<alias>. Makes its file where there is none."""
    root = Path(os.path.realpath(folder))
    name = alias or re.sub(r"[^A-Za-z0-9_.-]+", "-", root.name).strip("-._") or "workspace"
    with _told():
        registry = _registry(config)
        registry.require_free(name, root)
        if not (root / FILE).exists():
            _made(root)
        config_of_it = read_config(root)
        registry.add(name, root)
    output.line(f"{root} is registered as {name}: type ::record-{name} in a chat")
    if config_of_it.auto_record:
        for one in outside(root, config_of_it):
            output.line(f"  what is said in {one} is recorded into it by itself")


@app.command("list")
def list_workspaces(
    context: typer.Context,
    config: Config = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one a line.")] = False,
) -> None:
    """List the workspaces that are registered."""
    registry = _registry(config)
    defaults: Defaults = context.find_root().obj or Defaults()
    rows = []
    with _told():
        for alias, root in sorted(registry.roots().items()):
            try:
                passed = registry.passed_over(registry.get(alias))
                state = f"ready, but {passed.detail}; {passed.remedy}" if passed else "ready"
            except Failure as failure:
                state = failure.detail
            rows.append((alias, str(root), state))
    if as_json or defaults.json:
        for alias, folder, state in rows:
            typer.echo(json.dumps({"alias": alias, "folder": folder, "state": state}))
        return
    output.table(("ALIAS", "FOLDER", "STATE"), rows)


@app.command()
def unregister(alias: Annotated[str, typer.Argument(help="Its alias.")], config: Config = None) -> None:
    """Let no chat record into a folder any more. Its files stay, and recordings that go on go on."""
    with _told():
        _registry(config).remove(alias)
    output.line(f"{alias} is not registered any more")


def _made(root: Path) -> None:
    """Make the file of a workspace."""
    if not root.is_dir():
        _fail(f"{root} is no folder; make it first: mkdir -p {root}")
    write_whole(root / FILE, _template())


def _registry(config: Path | None) -> Registry:
    try:
        return Registry(load_settings(config).capture.registry)
    except SettingsError as error:
        _fail(str(error))


@contextmanager
def _told() -> Iterator[None]:
    """End with a text, not with a traceback."""
    try:
        yield
    except Failure as failure:
        _fail(f"{failure.detail}\n  {failure.remedy or ''}".rstrip())
    except OSError as error:
        _fail(str(error))


def _fail(text: str) -> NoReturn:
    typer.echo(f"minoots workspace: {text}", err=True)
    raise typer.Exit(4)


def _template() -> str:
    flags = "\n".join(f"{name} = {str(value).lower()}" for name, value in DEFAULTS.items())
    return f"""# A workspace of Minoots: what chats record into, and how it looks.
id = "wsp_{secrets.token_hex(_ID_LENGTH)}"

# Folder for recordings that are given no path, below this one.
output = "."
filename = "{TEMPLATE}"
format = "markdown"
# local, UTC, or a zone such as Europe/Berlin.
timezone = "local"
# What you are called in headings.
# username = "ada"
tags = []

# Record every conversation that is held below these folders (none: this one) by itself.
# Folders outside of this one need a yes of yours: run `minoots workspace register` when they have changed.
auto_record = false
auto_record_subagents = false
auto_record_roots = []

[front_matter]
include = true
# The lists below grow at their end; updated says when they last did, or the file was made anew.
updated = false
participant_username = false
session_ids = true
workspace_ids = true
recording_ids = true
event_kinds = false

[flags]
{flags}
"""
