"""Files of a job from what stands on the command line: ``--file``.

Owns what ``PATH=…`` means, and which files of a folder go along. Follows no link that it finds in a folder:
what a stranger's repository points at outside of it is not shown to a model.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import typer

from minoots.contracts.job_requests import MAX_FILES, MAX_TEXT

from . import output
from .arguments import mapping, text

PLACES: Final = (
    "PATH=TEXT, PATH=@FILE, PATH=@FOLDER (.=@. is this folder), or PATH=sha256:HEX of what was handed in; "
    "repeatable."
)
_OPTION: Final = "--file"
_BY_HASH: Final = "sha256:"
_KEPT: Final = re.compile(r"[0-9a-f]{64}")
_HISTORY: Final = ".git"
# A gateway takes a request of a megabyte: what is beyond the half of it goes by its hash.
_TEXTS_IN_ALL: Final = 512 * 1024


def file_fields(given_files: Sequence[str] | None, hand_in: Callable[[bytes], str]) -> list[dict[str, Any]]:
    """Return the files of a job from what was given as ``PATH=TEXT``, ``PATH=@FILE`` and so on.

    Args:
        given_files: as they stand on the command line.
        hand_in: hands in bytes and returns their SHA-256; for files that no request can hold as text.

    Raises:
        typer.BadParameter: something of it is no file, or there are too many.
    """
    holding = _Holding(hand_in)
    found: list[dict[str, Any]] = []
    # One by one: a path that comes twice is refused with the rest of the request, and not the last one taken.
    for one in given_files or ():
        if "=" not in one:
            raise _wrong(f"expected {PLACES.removesuffix('; repeatable.')}; got {one!r}")
        [(path, what)] = mapping([one], _OPTION, "=", exact=True).items()
        if what.startswith(_BY_HASH):
            found.append({"path": path, "artifact": _digest(path, what)})
        elif not what.startswith("@"):
            found.append({"path": path, "text": text(what, _OPTION)})
        elif (folder := Path(what[1:])).is_dir():
            below = "" if path in (".", "./") else path.rstrip("/") + "/"
            for name in _files_of(folder):
                found.append({"path": below + name, **holding.of(folder / name)})
        else:
            found.append({"path": path, **holding.of(folder)})
    return found


class _Holding:
    """What is in files: as text, as long as all of it fits into one request, else by its hash."""

    def __init__(self, hand_in: Callable[[bytes], str]) -> None:
        self._hand_in = hand_in
        self._left = _TEXTS_IN_ALL

    def of(self, file: Path) -> dict[str, Any]:
        """Return the fields that say what is in a file, and whether it is a program."""
        try:
            data = file.read_bytes()
            runs = bool(file.stat().st_mode & stat.S_IXUSR)
        except OSError as error:
            raise _wrong(f"expected a readable file; {error}") from error
        return {**self._content(data), **({"executable": True} if runs else {})}

    def _content(self, data: bytes) -> dict[str, str]:
        if len(data) <= min(MAX_TEXT, self._left) and b"\x00" not in data:
            try:
                held = data.decode("utf-8")
            except UnicodeDecodeError:
                pass
            else:
                size = len(json.dumps(held))
                if size <= self._left:
                    self._left -= size
                    return {"text": held}
        return {"artifact": self._hand_in(data)}


def _digest(path: str, what: str) -> str:
    digest = what.removeprefix(_BY_HASH)
    # A hash that was cut short would else be the text of the file, without a word about it.
    if _KEPT.fullmatch(digest) is None:
        raise _wrong(
            f"expected sha256: and 64 digits of 0-9a-f for {path}; got {what!r}. "
            "A text that begins so goes in by @FILE"
        )
    return digest


def _files_of(folder: Path) -> list[str]:
    """Return the files below a folder, in order, as paths from it on; say which of them stay behind."""
    found = []
    for name, mode in _entries(folder):
        if not stat.S_ISREG(mode):
            kind = "a link" if stat.S_ISLNK(mode) else "no file"
            typer.echo(output.plain(f"{folder / name} does not go along: it is {kind}"), err=True)
            continue
        found.append(name)
        if len(found) > MAX_FILES:
            raise _wrong(
                f"expected a folder of at most {MAX_FILES} files; {folder} has more. Name the folders and "
                "files that are needed, or an archive that the job unpacks: --file all.tar=@all.tar"
            )
    return sorted(found)


def _entries(folder: Path) -> Iterator[tuple[str, int]]:
    """Return everything below a folder that is no folder, with its mode, but no history of git in it."""

    def unreadable(error: OSError) -> None:
        raise _wrong(f"expected a readable folder; {error}") from error

    for root, folders, files in os.walk(folder, onerror=unreadable):
        links = [one for one in folders if os.path.islink(os.path.join(root, one))]
        folders[:] = sorted(one for one in folders if one != _HISTORY and one not in links)
        for one in (*links, *(one for one in files if one != _HISTORY)):
            whole = Path(root, one)
            yield whole.relative_to(folder).as_posix(), whole.lstat().st_mode


def _wrong(detail: str) -> typer.BadParameter:
    return typer.BadParameter(detail, param_hint=_OPTION)
