"""`minoots config`: what it prints, what it hides, how it exits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from typer.testing import CliRunner

from minoots_platform.cli.config import app
from minoots_platform.settings import list_settings

KEY = Fernet.generate_key().decode()
URL = "postgresql+asyncpg://minoots:hunter2@db/minoots?password=hunter3"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINOOTS_SECRETS__MASTER_KEYS", KEY)
    monkeypatch.setenv("MINOOTS_TEMPORAL__API_KEY", "hunter4")
    Path("minoots.toml").write_text(f'[gateway]\nport = 5000\n[records]\nurl = "{URL}"\n')


def test_show_masks_secrets_and_names_origins() -> None:
    ran = CliRunner().invoke(app, ["show", "--json"])
    assert ran.exit_code == 0
    shown = json.loads(ran.stdout)
    settings = {one["key"]: (one["value"], one["origin"]) for one in shown["settings"]}
    assert shown["file"] == "minoots.toml"
    assert list(settings) == [setting.key for setting in list_settings()]
    assert settings["gateway.port"] == (5000, "file")
    assert settings["gateway.host"] == ("127.0.0.1", "default")
    assert settings["secrets.master_keys"] == (["********"], "env")
    assert settings["temporal.api_key"] == ("********", "env")
    assert settings["records.url"] == (
        "postgresql+asyncpg://minoots:********@db/minoots?password=********",
        "file",
    )


@pytest.mark.parametrize("arguments", [["show"], ["show", "--json"]])
def test_show_never_prints_a_secret(arguments: list[str]) -> None:
    ran = CliRunner().invoke(app, arguments)
    assert "gateway.port" in ran.output
    assert KEY not in ran.output
    assert "hunter" not in ran.output


def test_validate_says_so_and_exits_0() -> None:
    ran = CliRunner().invoke(app, ["validate"])
    assert (ran.exit_code, ran.stdout) == (0, "The settings are valid (minoots.toml).\n")


def test_validate_prints_every_fault_and_exits_1() -> None:
    Path("other.toml").write_text("[gateway]\nport = -1\nhots = 'x'\n")
    ran = CliRunner().invoke(app, ["validate", "other.toml"])
    assert ran.exit_code == 1
    assert "2 settings are not valid" in ran.stderr
    assert "Did you mean `gateway.host`?" in ran.stderr


def test_validate_refuses_what_may_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MINOOTS_SECRETS__MASTER_KEYS")
    ran = CliRunner().invoke(app, ["validate"])
    assert ran.exit_code == 1
    assert "secrets.master_keys" in ran.stderr


def test_migrate_rewrites_the_file_and_says_where_the_old_one_is() -> None:
    Path("minoots.toml").write_text('schema_version = 1\n[temporal]\nhost = "h"\n')
    ran = CliRunner().invoke(app, ["migrate"])
    assert (ran.exit_code, Path("minoots.toml.bak").exists()) == (0, True)
    assert "minoots.toml.bak" in ran.stdout
    assert CliRunner().invoke(app, ["validate"]).exit_code == 0


def test_migrate_without_a_file_exits_1() -> None:
    Path("minoots.toml").unlink()
    assert CliRunner().invoke(app, ["migrate"]).exit_code == 1
