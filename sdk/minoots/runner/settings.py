"""What the runner may do: which agent it answers for, which programs, in which directories."""

from __future__ import annotations

import tomllib
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationError

from minoots.contracts.agents import AgentId
from minoots.contracts.base import Duration, Part
from minoots.contracts.wording import expected_and_got, findings, place
from minoots.errors import MinootsError


class RunnerFault(MinootsError):
    """The settings of a runner cannot be used; the text names what, and what was expected."""


class Kind(StrEnum):
    """A command line that the runner knows how to resume."""

    CLAUDE_CODE = "claude-code"
    CODEX = "codex"
    GEMINI_CLI = "gemini-cli"


def _absolute(path: Path) -> Path:
    path = path.expanduser()
    if not path.is_absolute():
        raise ValueError("expected an absolute path, or one that begins with ~")
    return path


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]


class Program(Part):
    """One program that may be run."""

    kind: Kind
    path: AbsolutePath
    """The program itself: it is not looked for."""
    arguments: tuple[str, ...] = ()
    """Put before those that resume the session."""
    transcripts: AbsolutePath | None = None
    """Where it keeps its sessions; by default where its kind does."""


class RunnerSettings(Part):
    """The whole file."""

    agent: AgentId
    directories: Annotated[tuple[AbsolutePath, ...], Field(min_length=1)]
    """Sessions are resumed in these, or below, once links are resolved."""
    programs: Annotated[dict[str, Program], Field(min_length=1)]
    """By the names that commands use."""
    confirm_within: Duration = timedelta(seconds=60)
    """The assistant must have taken a turn by then."""
    turn_within: Duration = timedelta(minutes=30)
    """The program is ended if it runs for longer."""


def load(path: Path) -> RunnerSettings:
    """Return the settings in a TOML file.

    Raises:
        RunnerFault: naming every key that is wrong.
    """
    try:
        settings = RunnerSettings.model_validate(tomllib.loads(path.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RunnerFault(f"{path}: expected a readable TOML file; {error}") from error
    except ValidationError as error:
        lines = [f"{path}: the settings of the runner are not valid"]
        for item in findings(error.errors(include_url=False)):
            expected, got = expected_and_got(item)
            lines.append(f"  {'.'.join(place(item))}: expected {expected}; got {got}")
        raise RunnerFault("\n".join(lines)) from error
    for name, program in settings.programs.items():
        if not program.path.is_file():
            raise RunnerFault(
                f"{path}: programs.{name}.path: expected a program; there is none at {program.path}"
            )
    return settings
