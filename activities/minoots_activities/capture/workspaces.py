"""Workspaces: folders that recordings go into, with an alias by which chats name them.

A workspace says in a file of its own how its recordings look. Which there are stands in a registry, a file of
the user's, which is read anew whenever it has changed.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import tomllib
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from minoots.contracts.wording import expected_and_got, findings, place
from minoots.errors import Failure, FailureKind
from minoots_platform.settings.kinds import local_path
from minoots_platform.writers import installed

from .flags import DEFAULTS

FILE: Final = ".minoots-workspace.toml"
ALIAS_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$"
TEMPLATE: Final = "{timestamp}-{snippet}-{provider}"
TOKENS: Final = frozenset(
    "provider session session_short YYYY YY MM DD HH mm timestamp snippet username workspace".split()
)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FrontMatter(_Section):
    """What stands at the top of a recording."""

    include: bool = True
    updated: bool = False
    participant_username: bool = False
    session_ids: bool = True
    workspace_ids: bool = True
    recording_ids: bool = True
    event_kinds: bool = False


class WorkspaceConfig(_Section):
    """The file of a workspace. Unknown keys are refused: what is misspelt would be ignored silently."""

    id: Annotated[str, Field(pattern=r"^wsp_[0-9a-z]{8,36}$")]
    output: str = "."
    """Folder for recordings that are given no path, below the workspace."""
    filename: Annotated[str, Field(min_length=1, max_length=200)] = TEMPLATE
    format: str = "markdown"
    timezone: str = "local"
    username: Annotated[str, Field(max_length=64)] | None = None
    tags: tuple[Annotated[str, Field(min_length=1, max_length=64)], ...] = ()
    auto_record: bool = False
    """Record every conversation that is held below one of ``auto_record_roots``."""
    auto_record_subagents: bool = False
    auto_record_roots: tuple[str, ...] = ()
    """Folders, below the workspace unless they are absolute; of none, the workspace itself."""
    front_matter: FrontMatter = Field(default_factory=FrontMatter)
    flags: dict[str, bool] = Field(default_factory=dict)
    """Feature flags of this workspace, by name."""

    @field_validator("flags")
    @classmethod
    def _known(cls, value: dict[str, bool]) -> dict[str, bool]:
        unknown = sorted(set(value) - set(DEFAULTS))
        if unknown:
            near = get_close_matches(unknown[0], DEFAULTS, n=1)
            meant = f"did you mean {near[0]}?" if near else ", ".join(DEFAULTS)
            others = f"; nor are {', '.join(unknown[1:])[:200]}" if unknown[1:] else ""
            raise ValueError(f"expected flags that are known ({meant}); {unknown[0][:100]} is none{others}")
        return value

    @field_validator("format")
    @classmethod
    def _written(cls, value: str) -> str:
        if value not in installed():
            raise ValueError(f"expected one of {', '.join(sorted(installed()))}")
        return value

    @field_validator("auto_record_roots")
    @classmethod
    def _folders(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            try:
                local_path(Path(one))
            except ValueError as error:
                raise ValueError(f"expected folders, such as src or ~/src; got {one!r}") from error
        return value

    @field_validator("output")
    @classmethod
    def _inside(cls, value: str) -> str:
        path = PurePosixPath(value)
        if path.is_absolute() or ".." in path.parts or "\x00" in value:
            raise ValueError("expected a folder below the workspace, such as notes/chats")
        return value

    @field_validator("filename")
    @classmethod
    def _template(cls, value: str) -> str:
        rest = re.sub(r"\{(\w+)\}", lambda match: "" if match[1] in TOKENS else match[0], value)
        if "{" in rest or "}" in rest or "/" in rest or "\x00" in rest:
            known = ", ".join("{" + token + "}" for token in sorted(TOKENS))
            raise ValueError(f"expected a name without slashes, with tokens of {known}")
        return value

    @field_validator("timezone")
    @classmethod
    def _zone(cls, value: str) -> str:
        from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

        if value != "local":
            try:
                ZoneInfo(value)
            except (ZoneInfoNotFoundError, ValueError, OSError):
                raise ValueError("expected local, UTC or a zone such as Europe/Berlin") from None
        return value


@dataclass(frozen=True)
class Workspace:
    """A workspace that is registered."""

    alias: str
    root: Path
    config: WorkspaceConfig
    elsewhere: tuple[str, ...] = ()
    """Folders outside of it that it was registered with."""

    @property
    def folder(self) -> Path:
        """Where recordings go that are given no path."""
        return self.root / self.config.output

    def holds(self, cwd: str) -> bool:
        """Tell whether conversations held in ``cwd`` are recorded by themselves."""
        if not os.path.isabs(cwd):
            return False
        roots = self.config.auto_record_roots or (".",)
        try:
            here = Path(os.path.realpath(cwd))
            own = os.path.realpath(self.root)
            wanted = (os.path.realpath(self.root / Path(one).expanduser()) for one in roots)
            return any(
                here.is_relative_to(one)
                for one in wanted
                if Path(one).is_relative_to(own) or one in self.elsewhere
            )
        except (ValueError, RuntimeError):
            return False  # a NUL in it, or a home folder of nobody

    def passed_over(self) -> tuple[str, ...]:
        """Return the folders that its file asks for and nobody allowed: it was registered without them."""
        if not self.config.auto_record:
            return ()
        return tuple(one for one in outside(self.root, self.config) if one not in self.elsewhere)


def outside(root: Path, config: WorkspaceConfig) -> tuple[str, ...]:
    """Return the folders outside of a workspace whose conversations its file asks for."""
    try:
        own = os.path.realpath(root)
        found = [os.path.realpath(root / Path(one).expanduser()) for one in config.auto_record_roots]
    except (ValueError, RuntimeError):
        return ()
    return tuple(one for one in found if not Path(one).is_relative_to(own))


_LARGEST: Final = 64 * 1024
_NOT_NOW: Final = frozenset(
    {
        errno.EACCES,
        errno.EPERM,
        errno.EIO,
        errno.ESTALE,
        errno.ENOTCONN,
        errno.ETIMEDOUT,
        errno.EMFILE,
        errno.ENFILE,
    }
)
"""Why a file that may well be sound cannot be read now: whoever wants it waits, and is not refused."""

_MOST_FAULTS: Final = 10
"""Of one file that are told at once."""


def _text_of(file: Path) -> str:
    """Return a small file's text. It may come with a repository: a link, a pipe or a device is none."""
    handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as opened:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "expected a plain file")
        data = opened.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise OSError(errno.EFBIG, f"expected at most {_LARGEST} bytes")
    return data.decode("utf-8")


def read_config(root: Path) -> WorkspaceConfig:
    """Return what the file of a workspace says.

    Raises:
        Failure: not_found or invalid, naming the key and what was expected; unavailable, when it cannot be
            read now.
    """
    file = root / FILE
    try:
        values: dict[str, Any] = tomllib.loads(_text_of(file))
        return WorkspaceConfig.model_validate(values)
    except FileNotFoundError:
        raise Failure(
            FailureKind.NOT_FOUND, f"{file} is missing", remedy=f"minoots workspace init {root}"
        ) from None
    except ValidationError as error:
        told = f"{file}: {faults_in(error)}"
        raise Failure(FailureKind.INVALID, told, remedy="Correct the file.") from error
    # Of numbers of thousands of digits and values of thousands of levels the library tells in its own ways.
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, OSError) and error.errno in _NOT_NOW:
            raise not_now(file, str(error)) from error
        told = f"{file} cannot be read: {error}"
        raise Failure(FailureKind.INVALID, told, remedy="Correct the file.") from error


def not_now(file: Path, why: str) -> Failure:
    """Return what is told of a file that may well be sound, but cannot be read now."""
    return Failure(
        FailureKind.UNAVAILABLE,
        f"{file} cannot be read: {why}",
        remedy="Make it readable for the user who captures; commands for it wait until it is.",
    )


def faults_in(error: ValidationError) -> str:
    """Return everything that is wrong in a file: each with its place, what was expected, and what came."""
    told = []
    for one in findings(error.errors(include_url=False)):
        expected, got = expected_and_got(one)
        where = ".".join(str(part) for part in place(one))
        told.append(
            f"{where}: expected {expected}; got {got}" if where else f"expected {expected}; got {got}"
        )
    more = len(told) - _MOST_FAULTS
    return "; ".join(told[:_MOST_FAULTS]) + (f"; and {more} more" if more > 0 else "")
