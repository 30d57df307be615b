"""Who a host that captures is: an id in its data directory, so that two machines of one name are told apart.

Owns the file and its lock. Who may use a name is decided where the hosts are: in the records.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from minoots.errors import Failure, FailureKind

_FILE: Final = "capture-host"
_BYTES: Final = 12
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


@contextmanager
def identity_of(data_dir: Path) -> Iterator[str]:
    """Yield the id of the host with this data directory; make one where there is none.

    Raises:
        Failure: conflict, when another process captures with this directory; invalid, when it cannot be
            used; unavailable, when nothing can be written there now.
    """
    file = data_dir / _FILE
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        opened = file.open("a+")
    except OSError as error:
        if error.errno in _FULL:
            raise _no_room(data_dir, error) from error
        raise Failure(
            FailureKind.INVALID,
            f"the data directory {data_dir} cannot be used: {error.strerror}",
            remedy="Choose another: MINOOTS_DATA_DIR.",
        ) from error
    with opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failure(
                FailureKind.CONFLICT,
                f"another process captures with the data directory {data_dir}",
                remedy="One is enough; minoots status tells of it. Another needs a directory and a name of "
                "its own: MINOOTS_DATA_DIR, capture.host.",
            ) from None
        opened.seek(0)
        identity = opened.read().strip()
        if len(identity) != 2 * _BYTES:
            # None, or the beginning of one that found no room.
            identity = secrets.token_hex(_BYTES)
            _keep(opened.fileno(), identity, data_dir)
        yield identity


def _keep(descriptor: int, identity: str, data_dir: Path) -> None:
    line = f"{identity}\n".encode()
    try:
        os.ftruncate(descriptor, 0)
        if os.write(descriptor, line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        raise _no_room(data_dir, error) from error


def _no_room(data_dir: Path, error: OSError) -> Failure:
    return Failure(
        FailureKind.UNAVAILABLE,
        f"the data directory {data_dir} cannot be written: {error.strerror}",
        remedy="Make room there; capturing begins as soon as there is some.",
    )
