"""Workspaces: folders that recordings go into, with an alias by which chats name them.

A workspace says in a file of its own how its recordings look. Which there are stands in a registry, a file of
the user's, which is read anew whenever it has changed.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import stat
import time
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from minoots.contracts.wording import expected_and_got, findings, place
from minoots.errors import Failure, FailureKind
from minoots_platform.settings.kinds import local_path
from minoots_platform.whole_files import write_whole
from minoots_platform.writers import installed

from .answering import Answering
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


class _Entry(_Section):
    alias: Annotated[str, Field(pattern=ALIAS_PATTERN)]
    root: Annotated[str, Field(pattern=r"^/")]
    elsewhere: tuple[str, ...] = ()
    """Folders outside of it whose conversations it may record by itself, as its file said when its user
    registered it. The file may come with a repository, and change."""


class _Registry(_Section):
    version: Literal[1] = 1
    workspaces: tuple[_Entry, ...] = ()


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

_TICK_NS: Final = 2_000_000_000
"""Nanoseconds between two times that every file system tells apart."""
_MOST_FAULTS: Final = 10
"""Of one file that are told at once."""
_Mark = tuple[int, int, int, int]


class Registry:
    """The workspaces of a user.

    May be asked by several threads at once.
    """

    def __init__(self, file: Path, answering: Answering | None = None) -> None:
        self._file = file
        self._answering = answering or Answering()
        self._read_as: _Mark | None = None
        self._entries: tuple[_Entry, ...] = ()
        self._configs: dict[Path, tuple[_Mark, WorkspaceConfig]] = {}
        """What files of workspaces said, and how they were then."""

    def roots(self) -> dict[str, Path]:
        """Return the folder of every workspace by its alias, whether its file is sound or not.

        Raises:
            Failure: invalid, when the registry cannot be read.
        """
        return {entry.alias: Path(entry.root) for entry in self._current()}

    def get(self, alias: str) -> Workspace:
        """Return a workspace by its alias.

        Raises:
            Failure: not_found, naming the nearest; invalid, for a file that is not sound; unavailable, for
                one that cannot be read now.
        """
        entries = {entry.alias: entry for entry in self._current()}
        entry = entries.get(alias)
        if entry is None:
            folded = {name.lower(): name for name in entries}
            near = get_close_matches(alias.lower(), folded, n=1, cutoff=0.5)
            known = ", ".join(sorted(entries)) or "none"
            meant = f"; the nearest is {folded[near[0]]}" if near else f"; registered are: {known}"
            raise Failure(
                FailureKind.NOT_FOUND,
                f"there is no workspace {alias}{meant}",
                remedy="minoots workspace register makes a folder one.",
            )
        return self._sound(entry, self._looked(entries.values()))

    def all(self) -> list[Workspace]:
        """Return every workspace whose file is sound.

        Raises:
            Failure: invalid, when the registry cannot be read.
        """
        entries = self._current()
        looked, found = self._looked(entries), []
        for entry in entries:
            try:
                found.append(self._sound(entry, looked))
            except Failure:
                continue
        return found

    def problems(self) -> list[str]:
        """Return what is wrong with the registry, or with workspaces: nothing is recorded into those."""
        try:
            entries = self._current()
        except Failure as failure:
            return [f"{failure.detail}: commands in chats wait until it can be"]
        looked, found = self._looked(entries), []
        for entry in entries:
            try:
                self._sound(entry, looked)
            except Failure as failure:
                found.append(f"nothing is recorded for {entry.alias}: {failure.detail}")
        return found

    def answering(self) -> dict[str, Path]:
        """Return the folders of workspaces that can be looked into now, by their aliases.

        Raises:
            Failure: invalid, when the registry cannot be read.
        """
        found = {}
        for alias, root in self.roots().items():
            try:
                if self._answering.ask(str(root), root.is_dir):
                    found[alias] = root
            except OSError:
                continue
        return found

    def holds(self, workspace: Workspace, cwd: str) -> bool:
        """Tell whether what is said in ``cwd`` is recorded by itself; where nothing answers, it is not."""
        try:
            return self._answering.ask(cwd, lambda: workspace.holds(cwd))
        except OSError:
            return False

    def _looked(self, entries: Iterable[_Entry]) -> dict[str, WorkspaceConfig | Failure]:
        """Return what the file of each workspace says, or what is wrong with it."""
        found: dict[str, WorkspaceConfig | Failure] = {}
        for entry in entries:
            root = Path(entry.root)
            try:
                found[entry.alias] = self._answering.ask(entry.root, partial(self._config, root))
            except Failure as failure:
                found[entry.alias] = failure
            except TimeoutError as error:
                found[entry.alias] = _not_now(root / FILE, str(error.strerror))
        return found

    def _config(self, root: Path) -> WorkspaceConfig:
        """Return what the file of a workspace says; it is read only when it is another."""
        mark = _mark_of(root / FILE)
        known = self._configs.get(root)
        if known is not None and mark is not None and known[0] == mark:
            return known[1]
        config = read_config(root)
        if mark is not None:
            self._configs[root] = mark, config
        return config

    def _sound(self, entry: _Entry, looked: Mapping[str, WorkspaceConfig | Failure]) -> Workspace:
        """Return a workspace.

        Raises:
            Failure: its file is not sound, or has the id of another.
        """
        config, root = looked[entry.alias], Path(entry.root)
        if isinstance(config, Failure):
            raise config
        for alias, other in looked.items():
            if alias != entry.alias and isinstance(other, WorkspaceConfig) and other.id == config.id:
                raise Failure(
                    FailureKind.INVALID,
                    f"{entry.alias} and {alias} have the same id, {config.id}: one is a copy of the other",
                    remedy=f"Give {root / FILE} an id of its own: delete it, then minoots workspace init.",
                )
        return Workspace(entry.alias, root, config, entry.elsewhere)

    def add(self, alias: str, root: Path) -> None:
        """Register a folder.

        Raises:
            Failure: conflict, when the alias or the folder is taken; invalid, for an alias that cannot be.
            OSError: the registry cannot be written.
        """
        with self._alone():
            self._add(alias, root)

    def require_free(self, alias: str, root: Path) -> None:
        """Make sure that a folder can be registered by an alias.

        Raises:
            Failure: conflict, when the alias or the folder is taken.
        """
        for entry in self._current():
            if entry.alias == alias and Path(entry.root) != root:
                raise Failure(
                    FailureKind.CONFLICT,
                    f"the alias {alias} is taken by {entry.root}",
                    remedy="Choose another: --alias",
                )
            if Path(entry.root) == root and entry.alias != alias:
                raise Failure(
                    FailureKind.CONFLICT,
                    f"{root} is registered as {entry.alias}",
                    remedy=f"minoots workspace unregister {entry.alias} first.",
                )

    def _add(self, alias: str, root: Path) -> None:
        self.require_free(alias, root)
        try:
            new = _Entry(alias=alias, root=str(root), elsewhere=_elsewhere(root))
        except ValidationError as error:
            raise Failure(
                FailureKind.INVALID,
                f"{alias!r} cannot be an alias: expected letters, digits, . _ and -",
                remedy="Choose another: --alias",
            ) from error
        self._write([*(entry for entry in self._current() if entry.alias != alias), new])

    def remove(self, alias: str) -> None:
        """Forget a workspace; its files stay.

        Raises:
            Failure: not_found.
            OSError: the registry cannot be written.
        """
        with self._alone():
            self._remove(alias)

    def _remove(self, alias: str) -> None:
        left = [entry for entry in self._current() if entry.alias != alias]
        if len(left) == len(self._current()):
            self.get(alias)
        self._write(left)

    def _current(self) -> tuple[_Entry, ...]:
        try:
            return self._answering.ask(str(self._file), self._read)
        except OSError as error:
            raise self._unreadable(error.strerror or type(error).__name__) from error

    def _read(self) -> tuple[_Entry, ...]:
        mark = _mark_of(self._file)
        if mark is None or mark != self._read_as:
            try:
                self._entries = _Registry.model_validate_json(self._file.read_bytes()).workspaces
            except FileNotFoundError:
                self._entries = ()
            except ValidationError as error:
                raise self._unreadable(_faults_of(error)) from error
            self._read_as = mark
        return self._entries

    def _unreadable(self, why: str) -> Failure:
        return Failure(
            FailureKind.INVALID,
            f"the registry of workspaces {self._file} cannot be read: {why}",
            remedy="Mend or remove it; `minoots workspace register` makes it anew.",
        )

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let nobody else change the registry meanwhile."""
        self._current()
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = os.open(self._file.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    def _write(self, entries: Iterable[_Entry]) -> None:
        registry = _Registry(workspaces=tuple(sorted(entries, key=lambda entry: entry.alias)))
        write_whole(self._file, json.dumps(registry.model_dump(), indent=2) + "\n")


def _mark_of(file: Path) -> _Mark | None:
    """Return what a file is known by; ``None`` for one that cannot be looked at, or was written just now.

    Who writes twice within one tick of the clock of a file system leaves no trace of the second time.
    """
    try:
        found = file.stat()
    except OSError:
        return None
    # Also when its permissions changed: what may not be read any more is not read from memory either.
    if abs(time.time_ns() - max(found.st_mtime_ns, found.st_ctime_ns)) < _TICK_NS:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_size


def _elsewhere(root: Path) -> tuple[str, ...]:
    """Return the folders outside of a workspace whose conversations its file asks for."""
    try:
        wanted = read_config(root).auto_record_roots
        found = [os.path.realpath(root / Path(one).expanduser()) for one in wanted]
    except (Failure, ValueError, RuntimeError):
        return ()
    return tuple(one for one in found if not Path(one).is_relative_to(os.path.realpath(root)))


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
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        if isinstance(error, OSError) and error.errno in _NOT_NOW:
            raise _not_now(file, str(error)) from error
        told = f"{file} cannot be read: {error}"
        raise Failure(FailureKind.INVALID, told, remedy="Correct the file.") from error
    except ValidationError as error:
        told = f"{file}: {_faults_of(error)}"
        raise Failure(FailureKind.INVALID, told, remedy="Correct the file.") from error


def _not_now(file: Path, why: str) -> Failure:
    return Failure(
        FailureKind.UNAVAILABLE,
        f"{file} cannot be read: {why}",
        remedy="Make it readable for the user who captures; commands for it wait until it is.",
    )


def _faults_of(error: ValidationError) -> str:
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
