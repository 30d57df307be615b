"""`minoots config`: what it prints, what it hides, how it exits."""

from __future__ import annotations

import json
import re
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
    monkeypatch.setenv("MINOOTS_CAPTURE__REGISTRY", str(tmp_path / "workspaces.json"))
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


def test_validate_finds_everything_that_is_wrong_with_capture(tmp_path: Path) -> None:
    def made(alias: str, text: str | None) -> dict[str, str]:
        (tmp_path / alias).mkdir()
        if text is not None:
            (tmp_path / alias / ".minoots-workspace.toml").write_text(text)
        return {"alias": alias, "root": str(tmp_path / alias)}

    entries = [
        made("sound", 'id = "wsp_00000001"\n'),
        made("odd", 'id = "x"\nformat = "pdf"\ntimezone = "Mars"\n[flags]\nwriterIncludeThinkin = true\n'),
        made("torn", "id = "),
        made("empty", None),
    ]
    (tmp_path / "workspaces.json").write_text(json.dumps({"workspaces": entries}))
    (tmp_path / "file").touch()
    Path("minoots.toml").write_text(
        f'[capture]\nroots = ["claude={tmp_path}/nowhere"]\nwrite_roots = ["{tmp_path}/file", "{tmp_path}"]\n'
    )
    ran = CliRunner().invoke(app, ["validate"])
    assert ran.exit_code == 1
    told = ran.stderr.splitlines()
    assert told[0] == "5 settings are not valid:"
    for line, parts in zip(
        told[1:],
        [
            ("capture.roots[0]: expected a folder that can be entered", "got nothing there. Make it"),
            ("capture.write_roots[0]: expected a folder that can be entered", "got a file."),
            (
                "workspace odd: expected",
                "id: expected",
                "format: expected one of ",
                "timezone: expected local, UTC or a zone",
                "did you mean writerIncludeThinking?",
                "Correct the file.",
            ),
            ("workspace torn: expected", "Invalid value"),
            ("workspace empty: expected", "minoots workspace unregister empty"),
        ],
        strict=True,
    ):
        for part in parts:
            assert part in line
    (tmp_path / "workspaces.json").write_text(json.dumps({"workspaces": [*entries, {"alias": "a b"}]}))
    ran = CliRunner().invoke(app, ["validate"])
    assert "workspaces.4.alias: expected" in ran.stderr
    assert "workspaces.4.root: expected a value (it is required); got nothing" in ran.stderr
    assert "minoots workspace register" in ran.stderr


@pytest.mark.parametrize(
    ("line", "key", "expected"),
    [
        ('host = "###"', "capture.host", "a name with letters or digits"),
        ('registry = "~nobody-at-all/x"', "capture.registry", "nobody's home folder"),
        ('registry = "a\\u0000b"', "capture.registry", "a NUL can be in none"),
        ('roots = ["claude=~nobody-at-all/x"]', "capture.roots", "nobody's home folder"),
        ('roots = ["claude=/a\\u0000b"]', "capture.roots", "a NUL can be in none"),
        ('write_roots = ["/a\\u0000b"]', "capture.write_roots[0]", "a NUL can be in none"),
        ('providers = ["codex"]\nroots = ["claude=/srv"]', "capture", "would never be read"),
        ('providers = ["cluade"]', "capture.providers", "did you mean claude?"),
        ("command_patience = 0", "capture.command_patience", "1"),
        ('redaction = "of"', "capture.redaction", "redact"),
        ('redaction_allowed = ["/(/"]', "capture.redaction_allowed", "regular expressions"),
        ('notify = ["ada"]', "capture.notify[0]", "person:ada"),
        ("settle = 0", "capture.settle", "0.01"),
        ('tenant = ""', "capture.tenant", "at least 1 character"),
        ('tenant = "Acme: Corp"', "capture.tenant", "lower-case letters, digits, - and _"),
    ],
)
def test_each_wrong_value_of_capture_is_told_with_what_was_expected(
    line: str, key: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MINOOTS_CAPTURE__REGISTRY")
    Path("minoots.toml").write_text(f"[capture]\n{line}\n[gateway]\nport = -1\n")
    ran = CliRunner().invoke(app, ["validate"])
    assert ran.exit_code == 1, ran.output
    assert "gateway.port" in ran.stderr, "all of it is told at once"
    [told] = [one for one in ran.stderr.splitlines() if one.strip().startswith((f"{key} ", f"{key}:"))]
    assert expected in told
    assert "; got " in told


def test_what_there_is_instead_of_an_unknown_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    # `minoots config show` would refuse the same settings: to send somebody there was a circle.
    Path("minoots.toml").write_text("[xyzzy]\nport = 1\n[gateway]\nxyzzy_of_another_kind = 1\n")
    told = CliRunner().invoke(app, ["validate"]).stderr
    sections = re.search(r"  xyzzy .*There are: (.*)\.", told)
    inside = re.search(r"  gateway\.xyzzy.*There are: (.*)\.", told)
    assert sections is not None
    assert {"capture", "gateway", "records", "schema_version"} <= set(sections[1].split(", "))
    assert inside is not None
    assert {"host", "port"} <= set(inside[1].split(", "))
    Path("minoots.toml").unlink()
    monkeypatch.setenv("MINOOTS_QQQQQQQQQQQQQQQQQQQQ", "1")
    told = CliRunner().invoke(app, ["validate"]).stderr
    assert "(environment): expected a known setting; got an unknown one. There are: " in told
    assert ", MINOOTS_CAPTURE, " in told


def test_migrate_rewrites_the_file_and_says_where_the_old_one_is() -> None:
    Path("minoots.toml").write_text('schema_version = 1\n[temporal]\nhost = "h"\n')
    ran = CliRunner().invoke(app, ["migrate"])
    assert (ran.exit_code, Path("minoots.toml.bak").exists()) == (0, True)
    assert "minoots.toml.bak" in ran.stdout
    assert CliRunner().invoke(app, ["validate"]).exit_code == 0


def test_migrate_without_a_file_exits_1() -> None:
    Path("minoots.toml").unlink()
    assert CliRunner().invoke(app, ["migrate"]).exit_code == 1
