"""Which folders hold transcripts of which program, and which files in them are transcripts."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from minoots_platform.settings import CaptureSettings

from .readers import Reader, installed


@dataclass(frozen=True)
class About:
    """How a file is: one that still is so has nothing new."""

    size: int
    modified_ns: int
    inode: int


@dataclass(frozen=True)
class Source:
    """A folder with the transcripts of one program."""

    reader: Reader
    root: Path
    """Without links."""
    named: bool = False
    """By somebody, who expects it to be there; not only the usual one of its program."""

    def about(self, path: str) -> About:
        """Return how a file is, with those that belong to it.

        Raises:
            OSError: it is gone, or may not be looked at.
        """
        found = os.stat(path)
        size, last = found.st_size, found.st_mtime_ns
        for other in self.reader.beside(path):
            with suppress(OSError):
                beside = os.stat(other)
                size, last = size + beside.st_size, max(last, beside.st_mtime_ns)
        return About(size, last, found.st_ino)

    def meant(self, path: str) -> str:
        """Return the transcript that a file belongs to; any other path as it is."""
        return self.reader.meant(path) if path.startswith(f"{self.root}{os.sep}") else path

    def holds(self, path: str) -> bool:
        """Tell whether a path is that of a transcript, as far as its name tells."""
        return path.startswith(f"{self.root}{os.sep}") and self.reader.holds(path)

    def files(
        self,
        begin: str | None = None,
        entered: dict[str, int] | None = None,
        closed: dict[str, str] | None = None,
    ) -> Iterator[tuple[str, About]]:
        """Yield every file that may be a transcript, of all or below one folder.

        Folders that cannot be entered are passed over, and links to folders; ``entered`` is told of the
        others, with the inode of each, and ``closed`` of what may not be looked at, and why.
        """
        first = begin or str(self.root)

        def shut(path: str, error: OSError) -> None:
            # What is gone, or leads nowhere, is nobody's trouble; a missing folder that somebody named is.
            nothing = error.errno in (errno.ENOENT, errno.ELOOP)
            if closed is not None and (not nothing or (self.named and path == str(self.root))):
                closed[path] = error.strerror or type(error).__name__

        try:
            waiting = [(first, os.stat(first, follow_symlinks=False).st_ino)]
        except OSError as error:
            shut(first, error)
            return
        while waiting:
            folder, inode = waiting.pop()
            try:
                with os.scandir(folder) as found:
                    entries = list(found)
            except OSError as error:
                shut(folder, error)
                continue
            if entered is not None:
                entered[folder] = inode
            for entry in entries:
                try:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append((entry.path, entry.inode()))
                    elif self.reader.holds(entry.path):
                        yield entry.path, self.about(entry.path)
                except OSError as error:
                    shut(entry.path, error)


def sources_of(settings: CaptureSettings, environ: Mapping[str, str]) -> list[Source]:
    """Return the folders that the settings name, or else the usual ones."""
    readers = installed()
    chosen = settings.providers or tuple(readers)
    named: dict[str, list[Path]] = {}
    for text in settings.roots:
        provider, _, place = text.partition("=")
        named.setdefault(provider, []).append(Path(place).expanduser())
    found = []
    for provider in chosen:
        reader = readers[provider]
        own = named.get(provider)
        for folder in own or reader.folders(Path.home(), environ):
            found.append(Source(reader, Path(os.path.realpath(folder)), named=own is not None))
    return found


def owner_of(sources: Iterable[Source], path: str) -> Source | None:
    """Return the source that a path belongs to: that of a transcript, or of what lies beside one."""
    return next((source for source in sources if source.holds(source.meant(path))), None)
