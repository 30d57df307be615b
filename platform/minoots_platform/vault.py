"""Small secrets at rest: encrypted before they reach a database row, decrypted only where they are used.

Owns the cipher (Fernet: AES-128-CBC with HMAC-SHA256) and the key file of `minoots dev`. Does not know what
it encrypts, never logs it, and never makes a key up: without a key it refuses to start.
"""

from __future__ import annotations

import base64
import hmac
import os
import secrets
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from minoots.errors import Failure, FailureKind

DEV_KEY_FILE: Final = "master.key"

_MAKE_ONE: Final = "make one with Vault.generate_key() and put it first into secrets.master_keys"


class Vault:
    """Encrypts with the first of its keys and decrypts with any of them.

    To change the key, put a new one in front and keep the old ones for as long as rows are encrypted with
    them.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        if not keys:
            raise Failure(
                FailureKind.UNAVAILABLE,
                "expected at least one master key in secrets.master_keys; got none",
                remedy=_MAKE_ONE,
            )
        self._fernet = MultiFernet([_fernet(key, position) for position, key in enumerate(keys, start=1)])
        self._count = len(keys)
        self._signing = tuple(base64.urlsafe_b64decode(key) for key in keys)

    def __repr__(self) -> str:
        return f"Vault({self._count} keys)"

    @staticmethod
    def generate_key() -> str:
        """Return a new random master key: 44 characters of URL-safe base64."""
        return Fernet.generate_key().decode("ascii")

    def encrypt(self, plain: bytes) -> bytes:
        """Return ``plain`` encrypted with the first key, as ASCII bytes. No two results are equal."""
        return self._fernet.encrypt(plain)

    def decrypt(self, token: bytes) -> bytes:
        """Return what `encrypt` was given.

        Raises:
            Failure: ``UNAVAILABLE`` when no key can read ``token``, or when it was changed on the way.
        """
        try:
            return self._fernet.decrypt(token)
        except InvalidToken:
            # Without the cause: nothing of the stored bytes belongs into a log.
            raise Failure(
                FailureKind.UNAVAILABLE,
                f"no key can read this: none of {self._count} master keys encrypted it, or it was damaged",
                remedy="put the master key that was in use when it was stored back into secrets.master_keys",
            ) from None

    def sign(self, purpose: str, data: bytes) -> bytes:
        """Return the signature of ``data`` by the first key: the same for the same data and purpose."""
        return _mac(self._signing[0], purpose, data)

    def has_signed(self, purpose: str, data: bytes, signature: bytes) -> bool:
        """Tell whether one of the keys has signed ``data`` for this purpose."""
        return any(hmac.compare_digest(_mac(key, purpose, data), signature) for key in self._signing)


def load_or_create_dev_key(data_dir: Path) -> str:
    """Return the master key of this data directory, made on the first call. For `minoots dev` only.

    The file is readable by its owner alone and appears whole or not at all, so of two processes that start
    together both get the key of one. Production names its keys in the settings.

    Raises:
        Failure: ``UNAVAILABLE`` when the file cannot be made or read, is open to other users, or holds no
        key.
    """
    path = data_dir / DEV_KEY_FILE
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.is_symlink() and not path.exists():
            _create(path, Vault.generate_key())
        key = _read(path)
    except OSError as error:
        raise Failure(
            FailureKind.UNAVAILABLE,
            f"the development master key {path} cannot be read or made: {error.strerror or error}",
            remedy="make the data directory writable, or choose another one with --data-dir",
        ) from error
    try:
        Fernet(key)
    except ValueError:
        raise Failure(
            FailureKind.UNAVAILABLE,
            f"{path} holds no master key: expected 44 characters of URL-safe base64",
            remedy=f"restore {path.name} from a backup; if it is lost, delete it and make every secret anew",
        ) from None
    return key


def _mac(key: bytes, purpose: str, data: bytes) -> bytes:
    # A key of its own for each purpose, so that a signature for one is worth nothing for another.
    derived = hmac.digest(key, f"minoots/{purpose}".encode(), "sha256")
    return hmac.digest(derived, data, "sha256")


def _fernet(key: str, position: int) -> Fernet:
    try:
        return Fernet(key)
    except ValueError:
        raise Failure(
            FailureKind.UNAVAILABLE,
            f"master key {position} is malformed: expected 44 characters of URL-safe base64 (32 bytes); "
            f"got {len(key)} characters",
            remedy=_MAKE_ONE,
        ) from None


def _create(path: Path, key: str) -> None:
    # A key that is cut short by a crash would lock every secret away: write aside, sync, then give it its
    # name. link, not rename: it fails when the name exists, so a second starter cannot replace the key of the
    # first.
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(key + "\n")
            file.flush()
            os.fsync(descriptor)
        try:
            os.link(aside, path)
        except FileExistsError:
            return
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    finally:
        aside.unlink(missing_ok=True)


def _read(path: Path) -> str:
    # O_NONBLOCK: opening a named pipe would wait for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, encoding="ascii", errors="replace") as file:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode) or mode & 0o077:
            raise Failure(
                FailureKind.UNAVAILABLE,
                f"{path} must be a plain file that only its owner can use (mode 0600); "
                f"it has mode {stat.S_IMODE(mode):04o}",
                remedy=f"chmod 600 {path}, and if others could read it, delete it and start anew",
            )
        return file.read(256).strip()
