"""An older settings file becomes today's, in memory and on disk."""

from __future__ import annotations

import stat
import tomllib
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from minoots_platform.settings import SCHEMA_VERSION, SettingsError, load_settings
from minoots_platform.settings.document import migrate_file, to_toml
from minoots_platform.settings.migrations import MIGRATIONS, migrate, v1_to_v2

OLD = """# kept in the backup
schema_version = 1
data_dir = "/srv/min\\"oots"

[temporal]
host = "temporal.internal"
port = 7000
namespace = "prod"

[database]
url = "postgresql+asyncpg://u:p@h/d"

[delivery]
allowed_networks = ["10.0.0.0/8"]

[gateway]
allow_dev_tenant = false
stream_heartbeat = 2.5
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "minoots.toml"
    path.write_text(OLD)
    path.chmod(0o640)
    return path


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({}, {}),
        ({"temporal": {"host": "h"}}, {"temporal": {"address": "h:7233"}}),
        ({"temporal": {"port": 7000}}, {"temporal": {"address": "127.0.0.1:7000"}}),
        ({"temporal": {"namespace": "n"}}, {"temporal": {"namespace": "n"}}),
        ({"database": {"url": "u"}}, {"records": {"url": "u"}}),
        ({"database": {"url": "u"}, "records": {"pool_size": 1}}, {"records": {"url": "u", "pool_size": 1}}),
    ],
)
def test_version_1_becomes_version_2(old: dict[str, Any], new: dict[str, Any]) -> None:
    before = deepcopy(old)
    assert v1_to_v2(old) == new
    assert old == before, "a migration must not change what it was given"


def test_there_is_a_migration_from_every_older_version() -> None:
    assert sorted(MIGRATIONS) == list(range(1, SCHEMA_VERSION))


@pytest.mark.parametrize("version", [0, 3, "2", True, 1.0])
def test_a_version_that_is_not_known_is_refused(version: object) -> None:
    with pytest.raises(SettingsError, match="schema_version"):
        migrate({"schema_version": version}, "file")


@pytest.mark.parametrize(
    "document", [{"database": 3}, {"temporal": "x"}, {"records": 3, "database": {"url": "u"}}]
)
def test_a_broken_old_file_is_refused_with_faults(document: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "old.toml"
    path.write_text(to_toml({"schema_version": 1, **document}))
    with pytest.raises(SettingsError):
        load_settings(path, environ={})


def test_the_file_is_rewritten_and_the_old_one_kept(path: Path) -> None:
    before = load_settings(path, environ={})
    version, backup = migrate_file(path)
    assert (version, backup) == (1, path.with_name("minoots.toml.bak"))
    assert backup is not None
    assert backup.read_text() == OLD
    document = tomllib.loads(path.read_text())
    assert document["schema_version"] == SCHEMA_VERSION
    assert "database" not in document
    assert load_settings(path, environ={}) == before
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(backup.stat().st_mode) == 0o640


def test_migrating_again_changes_nothing(path: Path) -> None:
    migrate_file(path)
    text = path.read_text()
    assert migrate_file(path) == (SCHEMA_VERSION, None)
    assert path.read_text() == text
    assert sorted(one.name for one in path.parent.iterdir()) == ["minoots.toml", "minoots.toml.bak"]


def test_an_earlier_backup_is_not_overwritten(path: Path) -> None:
    path.with_name("minoots.toml.bak").write_text("precious")
    _, backup = migrate_file(path)
    assert backup == path.with_name("minoots.toml.bak.1")
    assert path.with_name("minoots.toml.bak").read_text() == "precious"


def test_a_file_that_would_not_be_valid_is_left_as_it_is(path: Path) -> None:
    path.write_text("schema_version = 1\n[gateway]\nport = -1\n")
    with pytest.raises(SettingsError, match=r"gateway\.port"):
        migrate_file(path)
    assert [one.name for one in path.parent.iterdir()] == ["minoots.toml"]
