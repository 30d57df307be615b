"""Sub-commands from the entry points ``minoots.commands``: typer apps or functions, of any distribution.

Owns finding and loading them. Only the one that is run is imported; ``--help`` and completion read from their
sources what the others are for, and import only those that do not tell it there.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from .summaries import summary

GROUP: Final = "minoots.commands"
_COMPLETING: Final = "_MINOOTS_COMPLETE"
_OF_ROOT_ONLY: Final = frozenset({"install_completion", "show_completion"})


def found() -> dict[str, EntryPoint]:
    """Return the entry points by name."""
    return {point.name: point for point in entry_points(group=GROUP)}


def load(point: EntryPoint) -> Any:
    """Return the command of ``point``, or ``None`` after telling why it cannot be loaded."""
    # What is imported stays: looking through it for garbage meanwhile is a tenth of the start.
    collecting = gc.isenabled()
    gc.disable()
    try:
        target = point.load()
        if not isinstance(target, typer.Typer):
            if not callable(target):
                raise TypeError(f"expected a typer app or a function; got {type(target).__name__}")
            function, target = target, typer.Typer(add_completion=False, pretty_exceptions_enable=False)
            target.command(name=point.name)(function)
        command = get_command(target)
    except Exception as error:
        # Recorded on standard error: one broken plug-in must not take the other commands with it.
        reason = f"{type(error).__name__}: {error}"
        # Not while completing: it would appear in the middle of the line that is being typed.
        if _COMPLETING not in os.environ:
            sys.stderr.write(
                f"minoots: the command {point.name} ({point.value}) cannot be loaded: {reason}\n"
            )
        return None
    finally:
        if collecting:
            gc.enable()
    command.name = point.name
    command.params = [param for param in command.params if param.name not in _OF_ROOT_ONLY]
    return command


class Commands(TyperGroup):
    """The top level, whose commands are looked up when they are needed."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands that can be loaded."""
        return [name for name in sorted(found()) if self.get_command(ctx, name) is not None]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command ``cmd_name``, loading it once."""
        if cmd_name not in self.commands:
            point = found().get(cmd_name)
            command = None if point is None else load(point)
            if command is None:
                return None
            self.commands[cmd_name] = command
        return self.commands[cmd_name]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, with a line on each command."""
        with self._described():
            super().format_help(ctx, formatter)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Return what a word that begins so may be."""
        with self._described():
            return super().shell_complete(ctx, incomplete)

    @contextmanager
    def _described(self) -> Iterator[None]:
        """Meanwhile have in the places of commands, as far as possible, only their names and help texts."""
        loaded = self.commands
        told = {name: summary(point) for name, point in found().items() if name not in loaded}
        brief = {name: TyperCommand(name, help=text) for name, text in told.items() if text is not None}
        self.commands = {**loaded, **brief}
        try:
            yield
        finally:
            self.commands = loaded
