"""Where recordings may be written: below the folders that were named, and nowhere else.

A path is judged by where it really leads, links included, also those that lead to nothing yet. Then it is
opened from the root down, following no link: what is put in its way after the judgement leads nowhere.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LONGEST_NAME: Final = 255
_LONGEST_PATH: Final = 3800
"""Of the 4096 that Linux takes: images and long outputs go beside."""


@dataclass(frozen=True)
class Target:
    """A file that may be written: a root, and the way from there."""

    root: Path
    way: tuple[str, ...]

    @property
    def path(self) -> Path:
        """The whole path, without links."""
        return self.root.joinpath(*self.way)

    @property
    def name(self) -> str:
        """The name of the file."""
        return self.way[-1]

    def beside(self, *way: str) -> Target:
        """Return a file in a folder next to this one."""
        return Target(self.root, (*self.way[:-1], *way))


class WriteDenied(Exception):
    """A path at which nothing may be written; the text says why."""


class WriteGate:
    """Folders below which may be written. Without any, nothing may."""

    def __init__(self, roots: Iterable[Path], audit: Callable[[str, str, str], None]) -> None:
        self._roots = tuple(dict.fromkeys(Path(os.path.realpath(root)) for root in roots if root.is_dir()))
        self._audit = audit

    def judge(self, path: Path) -> Target:
        """Return where a path leads, if that may be written to. Every judgement is audited.

        Raises:
            WriteDenied: otherwise.
        """
        try:
            target = self._judged(path)
        except WriteDenied as denied:
            self._audit("deny", str(path), str(denied))
            raise
        self._audit("allow", str(target.path), f"below {target.root}")
        return target

    def _judged(self, path: Path) -> Target:
        text = str(path)
        if not text.strip() or "\x00" in text:
            raise WriteDenied("a path is expected")
        if not path.is_absolute():
            raise WriteDenied("an absolute path is expected")
        if ".." in path.parts:
            raise WriteDenied("`..` leads out of a folder; give the path without it")
        if any(len(part.encode("utf-8", "surrogatepass")) > _LONGEST_NAME for part in path.parts):
            raise WriteDenied(f"a name is longer than {_LONGEST_NAME} bytes")
        if len(text.encode("utf-8", "surrogatepass")) > _LONGEST_PATH:
            raise WriteDenied(f"the path is longer than {_LONGEST_PATH} bytes")
        if not self._roots:
            raise WriteDenied(
                "no folder is open for writing; register a workspace: minoots workspace register"
            )
        try:
            # Of the whole path, whether it exists or not: also a link to nothing leads somewhere.
            real = Path(os.path.realpath(path))
        except (OSError, ValueError) as error:
            raise WriteDenied(f"it cannot be followed: {error}") from error
        below = [root for root in self._roots if real.is_relative_to(root) and real != root]
        if not below:
            where = "it" if real == path else f"it leads to {real}, which"
            raise WriteDenied(
                f"{where} is not below a folder that is open for writing; those are "
                + ", ".join(str(root) for root in self._roots)
            )
        root = max(below, key=lambda one: len(one.parts))
        return Target(root, real.relative_to(root).parts)


@contextmanager
def folder_of(target: Target, *, make: bool) -> Iterator[int]:
    """Yield a descriptor of the folder that a target is in; ``make`` it where it is missing.

    Raises:
        WriteDenied: something on the way is a link, or no folder: it was put there after the judgement.
        OSError: it is missing, or may not be entered or made.
    """
    folder = os.open("/", _FOLDER)
    try:
        # The root, too: a folder above it may have become a link since.
        for part in target.root.parts[1:]:
            inner = _entered(folder, part, make=False)
            os.close(folder)
            folder = inner
        for part in target.way[:-1]:
            inner = _entered(folder, part, make=make)
            os.close(folder)
            folder = inner
        yield folder
    finally:
        os.close(folder)


def _entered(folder: int, part: str, *, make: bool) -> int:
    """Return a descriptor of a folder in another."""
    try:
        if make:
            try:
                os.mkdir(part, 0o755, dir_fd=folder)
            except FileExistsError:
                pass  # the usual case
        return os.open(part, _FOLDER, dir_fd=folder)
    except NotADirectoryError:
        raise WriteDenied(f"{part} on the way is no folder") from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise WriteDenied(f"{part} on the way is a link") from None
        raise
