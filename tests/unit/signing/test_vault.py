"""Secrets at rest, on real files."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minoots.errors import Failure, FailureKind
from minoots_platform.vault import DEV_KEY_FILE, Vault, load_or_create_dev_key

OLD, NEW, OTHER = (Vault.generate_key() for _ in range(3))


@given(st.binary(max_size=4096))
def test_what_was_encrypted_comes_back(plain: bytes) -> None:
    vault = Vault([OLD])
    token = vault.encrypt(plain)
    assert vault.decrypt(token) == plain
    assert len(plain) < 8 or plain not in token


def test_equal_secrets_do_not_look_equal() -> None:
    vault = Vault([OLD])
    assert vault.encrypt(b"same") != vault.encrypt(b"same")


def test_the_first_key_encrypts_and_every_key_decrypts() -> None:
    rotated = Vault([NEW, OLD])
    assert rotated.decrypt(Vault([OLD]).encrypt(b"before")) == b"before"
    assert Vault([NEW]).decrypt(rotated.encrypt(b"after")) == b"after"
    with pytest.raises(Failure):
        Vault([OLD]).decrypt(rotated.encrypt(b"after"))


@pytest.mark.parametrize(
    "token",
    [b"", b"not a token", Vault([OTHER]).encrypt(b"x"), Vault([OLD]).encrypt(b"x")[:-4]],
    ids=["empty", "no token", "another key's", "torn"],
)
def test_what_no_key_can_read_says_what_to_do(token: bytes) -> None:
    with pytest.raises(Failure, match="no key can read this") as caught:
        Vault([NEW, OLD]).decrypt(token)
    assert caught.value.kind is FailureKind.UNAVAILABLE
    assert "secrets.master_keys" in (caught.value.remedy or "")


def test_a_vault_without_a_key_is_refused() -> None:
    with pytest.raises(Failure, match="at least one master key") as caught:
        Vault([])
    assert caught.value.kind is FailureKind.UNAVAILABLE


@pytest.mark.parametrize(
    "bad", ["", "hunter2hunter2", OLD[:-2], "ü" * 44], ids=["empty", "a word", "torn", "no ASCII"]
)
def test_a_malformed_key_is_named_by_position_and_not_quoted(bad: str) -> None:
    with pytest.raises(Failure, match="master key 2 is malformed") as caught:
        Vault([OLD, bad])
    assert caught.value.kind is FailureKind.UNAVAILABLE
    assert not bad or bad not in str(caught.value)


def test_no_print_of_a_vault_shows_its_keys() -> None:
    assert OLD not in repr(Vault([OLD]))


def test_the_dev_key_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    data_dir = tmp_path / "new" / "data"
    key = load_or_create_dev_key(data_dir)
    Vault([key])
    assert load_or_create_dev_key(data_dir) == key
    path = data_dir / DEV_KEY_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(data_dir) == [DEV_KEY_FILE]


def test_processes_that_start_together_get_the_same_dev_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as threads:
        made = set(threads.map(load_or_create_dev_key, [tmp_path] * 64))
    assert len(made) == 1
    assert os.listdir(tmp_path) == [DEV_KEY_FILE]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_dev_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    load_or_create_dev_key(tmp_path)
    (tmp_path / DEV_KEY_FILE).chmod(mode)
    with pytest.raises(Failure, match="only its owner") as caught:
        load_or_create_dev_key(tmp_path)
    assert "chmod 600" in (caught.value.remedy or "")


@pytest.mark.parametrize("content", ["", "abc", "\x00" * 44])
def test_a_damaged_dev_key_is_refused_and_kept(tmp_path: Path, content: str) -> None:
    path = tmp_path / DEV_KEY_FILE
    path.touch(0o600)
    path.write_text(content)
    with pytest.raises(Failure, match="holds no master key"):
        load_or_create_dev_key(tmp_path)
    assert path.read_text() == content


def test_a_link_or_a_pipe_in_place_of_the_dev_key_is_refused(tmp_path: Path) -> None:
    for name in ("link", "pipe"):
        (tmp_path / name).mkdir()
    target = tmp_path / "elsewhere"
    target.touch(0o600)
    target.write_text(OLD)
    (tmp_path / "link" / DEV_KEY_FILE).symlink_to(target)
    os.mkfifo(tmp_path / "pipe" / DEV_KEY_FILE, 0o600)
    for name in ("link", "pipe"):
        with pytest.raises(Failure):
            load_or_create_dev_key(tmp_path / name)


def test_a_data_directory_that_cannot_be_used_says_so(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.touch()
    with pytest.raises(Failure, match="cannot be read or made") as caught:
        load_or_create_dev_key(blocker / "data")
    assert caught.value.kind is FailureKind.UNAVAILABLE
