"""What settings are read from, which source wins, and what is refused."""

from __future__ import annotations

import logging
import subprocess
import sys
from ipaddress import ip_network
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from pydantic import ValidationError

from minoots_platform.settings import (
    Settings,
    SettingsError,
    load_settings,
    load_with_origins,
    require_startable,
    with_overrides,
)

KEY = Fernet.generate_key().decode()


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _file(text: str, name: str = "minoots.toml") -> Path:
    path = Path(name)
    path.write_text(text)
    return path


def _faults(environ: dict[str, str] | None = None, file: Path | None = None) -> dict[str, str]:
    with pytest.raises(SettingsError) as caught:
        load_settings(file, environ=environ or {})
    return {fault.key: str(fault) for fault in caught.value.faults}


def test_without_file_and_variables_the_defaults_hold() -> None:
    assert load_settings(environ={}) == Settings()


def test_the_environment_wins_over_the_file() -> None:
    _file("[gateway]\nport = 5000\nhost = '127.0.0.2'\n")
    loaded = load_with_origins(environ={"MINOOTS_GATEWAY__PORT": "6000"})
    assert (loaded.settings.gateway.port, loaded.settings.gateway.host) == (6000, "127.0.0.2")
    origins = loaded.origins
    assert (origins["gateway.port"], origins["gateway.host"], origins["data_dir"]) == (
        "env",
        "file",
        "default",
    )


def test_the_file_given_wins_over_the_variable_and_that_over_the_working_folder() -> None:
    _file("[gateway]\nport = 1\n")
    named = _file("[gateway]\nport = 2\n", "named.toml")
    given = _file("[gateway]\nport = 3\n", "given.toml")
    environ = {"MINOOTS_CONFIG": str(named)}
    assert load_settings(environ={}).gateway.port == 1
    assert load_settings(environ=environ).gateway.port == 2
    assert load_settings(given, environ=environ).gateway.port == 3
    assert load_settings(environ={"MINOOTS_CONFIG": ""}).gateway.port == 4000


def test_a_file_asked_for_by_name_must_exist() -> None:
    assert "No such file" in _faults(file=Path("absent.toml"))["absent.toml"]


def test_a_settings_tree_built_in_code_does_not_read_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINOOTS_GATEWAY__PORT", "6000")
    assert Settings().gateway.port == 4000
    assert load_settings().gateway.port == 6000


def test_lists_come_as_json_or_with_commas() -> None:
    networks = (ip_network("10.0.0.0/8"), ip_network("::1/128"))
    for text in ("10.0.0.0/8, ::1/128", '["10.0.0.0/8", "::1/128"]'):
        settings = load_settings(environ={"MINOOTS_DELIVERY__ALLOWED_NETWORKS": text})
        assert settings.delivery.allowed_networks == networks


def test_what_a_check_found_within_a_value_is_told_once() -> None:
    _file("[capture]\nroots = ['cluade=/x']\n")
    told = _faults({})["capture.roots"]
    assert told.count("; got ") == 1
    assert "qwen; got 'cluade' (did you mean claude?). Set `roots`" in told


def test_every_fault_of_file_and_environment_is_reported_at_once() -> None:
    _file("[gatway]\nport = 1\n[gateway]\nport = 99999\n[records]\nurl = 'mysql://u:hunter2@h/d'\n")
    faults = _faults({"MINOOTS_WORKERS__METRICS_PORT": "many", "MINOOTS_GATEWAY__PROT": "1"})
    assert set(faults) == {
        "gatway",
        "gateway.port",
        "records.url",
        "workers.metrics_port",
        "MINOOTS_GATEWAY__PROT",
    }
    assert faults["gateway.port"] == (
        "gateway.port (minoots.toml): expected integer from 0 to 65535; got 99999. "
        "Set `port` under `[gateway]` in the file or MINOOTS_GATEWAY__PORT."
    )
    assert "(MINOOTS_WORKERS__METRICS_PORT): expected integer" in faults["workers.metrics_port"]
    assert "Did you mean `gateway`?" in faults["gatway"]
    assert "Did you mean `MINOOTS_GATEWAY__PORT`?" in faults["MINOOTS_GATEWAY__PROT"]


def test_a_file_that_is_not_toml_does_not_hide_faults_of_the_environment() -> None:
    _file("[secrets\nmaster_keys = ['hunter2']\n")
    faults = _faults({"MINOOTS_GATEWAY__PORT": "x", "MINOOTS_NOPE": "1"})
    assert set(faults) == {"minoots.toml", "gateway.port", "MINOOTS_NOPE"}
    assert "valid TOML" in faults["minoots.toml"]


@pytest.mark.parametrize(
    ("text", "environ"),
    [
        ("[secrets]\nmaster_keys = ['hunter2']", {}),
        ("[secrets]\nmaster_keys = 'hunter2'", {}),
        ("[secrets]\nmaster_key = 'hunter2'", {}),
        ("[temporal]\napi_key = ['hunter2']", {}),
        ("[temporal]\napikey = 'hunter2'", {}),
        ("[records]\nurl = 'mysql://u:hunter2@h/d'", {}),
        ("[records]\nurl = 'postgres hunter2'\npassword = 'hunter2'", {}),
        ("secrets = 'hunter2'", {}),
        ("[telemetry]\notlp_endpoint = 'ftp://u:hunter2@h'", {}),
        ("master_keys = hunter2", {}),
        ("", {"MINOOTS_SECRETS__MASTER_KEYS": "hunter2"}),
        ("", {"MINOOTS_SECRETS__MASTER_KEYS": '["hunter2"'}),
        ("", {"MINOOTS_SECRETS__MASTER_KEY": "hunter2"}),
    ],
)
def test_a_secret_is_never_echoed(text: str, environ: dict[str, str]) -> None:
    _file(text)
    with pytest.raises(SettingsError) as caught:
        load_settings(environ=environ)
    chain: list[BaseException] = [caught.value]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(cause)
    # The tomllib and pydantic errors quote what they read, so they must not be printed along with ours.
    shown = [error for error in chain if error is caught.value or not caught.value.__suppress_context__]
    assert all("hunter2" not in f"{error} {error!r}" for error in shown)


def test_variables_of_the_sdk_are_let_through() -> None:
    load_settings(environ={"MINOOTS_URL": "http://x", "MINOOTS_API_KEY": "mnt_x", "PATH": "/bin"})


@pytest.mark.parametrize(
    ("section", "text"),
    [
        ("gateway", "[gateway]\nallow_dev_tenant = true\nhost = '0.0.0.0'"),
        ("temporal", "[temporal]\ntls_cert = 'a.pem'"),
        ("gateway", "gateway = 3"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(section: str, text: str) -> None:
    _file(text)
    assert set(_faults()) == {section}


@pytest.mark.parametrize(
    "text",
    [
        "[delivery]\nallowed_networks = [1]",
        "[delivery]\nallowed_networks = ['10.0.0.1/8']",
        "[temporal]\naddress = 'localhost'",
        "[gateway]\nstream_heartbeat = nan",
        "[gateway]\nhost = ''",
        "[telemetry]\notlp_endpoint = 'collector:4318'",
        "data_dir = 3",
        "environment = 'staging'",
    ],
)
def test_values_out_of_bounds_are_refused(text: str) -> None:
    _file(text)
    assert len(_faults()) == 1


def test_the_tree_is_frozen() -> None:
    settings = Settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.gateway.port = 1  # type: ignore[misc]  # that it fails is the point
    with pytest.raises(ValidationError, match="frozen"):
        settings.environment = "dev"  # type: ignore[misc]  # that it fails is the point


def test_the_database_lies_in_the_data_dir_unless_it_is_set() -> None:
    assert Settings(data_dir=Path("/srv")).records.url == "sqlite:////srv/minoots.db"
    moved = with_overrides(Settings(), {"data_dir": "/srv", "records": {"pool_size": 9}})
    assert (moved.records.url, moved.records.pool_size) == ("sqlite:////srv/minoots.db", 9)
    own = with_overrides(moved, {"records": {"url": "postgresql+asyncpg://h/d"}, "gateway": {"port": 1}})
    assert with_overrides(own, {"data_dir": "/elsewhere"}).records.url == "postgresql+asyncpg://h/d"


def test_overrides_keep_what_they_do_not_name_and_are_validated() -> None:
    settings = load_settings(environ={"MINOOTS_SECRETS__MASTER_KEYS": KEY, "MINOOTS_GATEWAY__PORT": "5000"})
    changed = with_overrides(settings, {"gateway": {"host": "127.0.0.2"}})
    assert (changed.gateway.port, changed.gateway.host) == (5000, "127.0.0.2")
    assert changed.secrets == settings.secrets
    with pytest.raises(SettingsError, match=r"gateway\.port: expected integer from 0 to 65535; got -1"):
        with_overrides(settings, {"gateway": {"port": -1}})


def test_production_does_not_start_without_master_keys() -> None:
    with pytest.raises(SettingsError, match=r"secrets\.master_keys: expected at least one Fernet key"):
        require_startable(Settings())
    require_startable(Settings(environment="dev"))
    require_startable(load_settings(environ={"MINOOTS_SECRETS__MASTER_KEYS": KEY}))


def test_the_tree_does_not_print_secrets() -> None:
    environ = {
        "MINOOTS_SECRETS__MASTER_KEYS": KEY,
        "MINOOTS_TEMPORAL__API_KEY": "hunter2",
        "MINOOTS_RECORDS__URL": "postgresql+asyncpg://u:hunter2@h/d",
    }
    text = repr(load_settings(environ=environ))
    assert KEY not in text
    assert "hunter2" not in text


def test_an_older_file_is_read_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    _file("schema_version = 1\n[temporal]\nhost = 'temporal'\nport = 7000\n[database]\npool_size = 7\n")
    with caplog.at_level(logging.WARNING):
        settings = load_settings(environ={})
    assert (settings.temporal.address, settings.temporal.port) == ("temporal:7000", 7233)
    assert settings.records.pool_size == 7
    assert "minoots config migrate" in caplog.text


def test_a_newer_file_is_refused() -> None:
    _file("schema_version = 3\n")
    assert "Upgrade Minoots" in _faults()["schema_version"]


def test_importing_settings_is_cheap() -> None:
    program = (
        "import sys, minoots_platform.settings as s; s.load_settings(environ={}); "
        "heavy = {'temporalio', 'opentelemetry', 'sqlalchemy', 'grpc', 'fastapi'}; "
        "sys.exit(' '.join(heavy & set(sys.modules)) or 0)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_an_image_by_a_tag_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "minoots.toml"
    path.write_text('[sandbox.container]\nimages = ["busybox:latest"]\n')
    with pytest.raises(SettingsError, match=r"images\[0\].*: expected an image by digest, such as"):
        load_settings(path)
