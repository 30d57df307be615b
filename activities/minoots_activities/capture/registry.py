"""The registry of workspaces: which folders recordings may go into, and the aliases that chats name them by.

Owns the file that says it, which is the user's and is read anew whenever it has changed, and what is
remembered of the files of workspaces. What those may say is elsewhere.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from minoots.errors import Failure, FailureKind
from minoots_platform.whole_files import write_whole

from .answering import Answering
from .workspaces import (
    ALIAS_PATTERN,
    FILE,
    Workspace,
    WorkspaceConfig,
    faults_in,
    not_now,
    outside,
    read_config,
)

_TICK_NS: Final = 2_000_000_000
"""Nanoseconds between two times that every file system tells apart."""
_Mark = tuple[int, int, int, int]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Entry(_Section):
    alias: Annotated[str, Field(pattern=ALIAS_PATTERN)]
    root: Annotated[str, Field(pattern=r"^/")]
    elsewhere: tuple[str, ...] = ()
    """Folders outside of it whose conversations it may record by itself, as its file said when its user
    registered it. The file may come with a repository, and change."""


class _Registry(_Section):
    version: Literal[1] = 1
    workspaces: tuple[_Entry, ...] = ()


class Registry:
    """The workspaces of a user.

    May be asked by several threads at once.
    """

    def __init__(self, file: Path, answering: Answering | None = None) -> None:
        self._file = file
        self._answering = answering or Answering()
        self._known: tuple[_Mark | None, tuple[_Entry, ...]] = None, ()
        """How the file was when it was read, and what it said: set at once, as threads may read it."""
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
        """Return what is wrong with the registry, or with workspaces, for which then less is recorded."""
        try:
            entries = self._current()
        except Failure as failure:
            return [f"{failure.detail}: commands in chats wait until it can be"]
        looked, found = self._looked(entries), []
        for entry in entries:
            try:
                workspace = self._sound(entry, looked)
            except Failure as failure:
                found.append(f"nothing is recorded for {entry.alias}: {failure.detail}")
                continue
            passed = self.passed_over(workspace)
            if passed is not None:
                found.append(
                    f"not everything is recorded for {entry.alias}: {passed.detail}; {passed.remedy}"
                )
        return found

    def passed_over(self, workspace: Workspace) -> Failure | None:
        """Return what is told of a workspace whose file asks for folders that it was not registered with."""
        try:
            folders = self._answering.ask(str(workspace.root), workspace.passed_over)
        except OSError:
            return None
        if not folders:
            return None
        return Failure(
            FailureKind.DENIED,
            f"auto_record_roots names {', '.join(folders)}: outside of it, and not so when it was registered",
            remedy=f"to allow that: minoots workspace register {workspace.root} --alias {workspace.alias}",
        )

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
                found[entry.alias] = not_now(root / FILE, str(error.strerror))
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
        known_as, entries = self._known
        if mark is None or mark != known_as:
            try:
                entries = _Registry.model_validate_json(self._file.read_bytes()).workspaces
            except FileNotFoundError:
                entries = ()
            except ValidationError as error:
                raise self._unreadable(faults_in(error)) from error
            self._known = mark, entries
        return entries

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
        return outside(root, read_config(root))
    except Failure:
        return ()
