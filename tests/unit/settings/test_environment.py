"""A whole tree goes to a child process through its environment and comes out the same."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from minoots_platform.settings import (
    Settings,
    SettingsError,
    list_settings,
    load_settings,
    to_environment,
    with_overrides,
)

_texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=30)
_networks = st.one_of(
    st.ip_addresses(v=4).map(lambda address: f"{address}/32"),
    st.ip_addresses(v=6).map(lambda address: f"{address}/128"),
    st.sampled_from(["10.0.0.0/8", "fd00::/8"]),
)
_keys = st.binary(min_size=32, max_size=32).map(lambda raw: base64.urlsafe_b64encode(raw).decode())
_trees = st.fixed_dictionaries(
    {},
    optional={
        "data_dir": st.sampled_from(["/srv/data", "rel ative", "."]),
        "environment": st.sampled_from(["dev", "production"]),
        "gateway": st.fixed_dictionaries(
            {},
            optional={
                "port": st.integers(0, 65535),
                "cors_origins": st.lists(st.just("https://a.example"), max_size=3),
                "allow_dev_tenant": st.booleans(),
                "stream_heartbeat": st.floats(0.05, 300),
            },
        ),
        "temporal": st.fixed_dictionaries({}, optional={"api_key": st.none() | _texts, "namespace": _texts}),
        "workers": st.fixed_dictionaries({}, optional={"metrics_port": st.none() | st.integers(0, 65535)}),
        "delivery": st.fixed_dictionaries({}, optional={"allowed_networks": st.lists(_networks, max_size=3)}),
        "secrets": st.fixed_dictionaries({}, optional={"master_keys": st.lists(_keys, max_size=3)}),
    },
)


@examples(deadline=None)
@given(tree=_trees)
def test_a_tree_survives_the_environment(tree: dict[str, Any]) -> None:
    settings = with_overrides(Settings(), tree)
    assert load_settings(environ=to_environment(settings)) == settings


def test_a_child_process_loads_the_same_tree_whatever_file_lies_about(tmp_path: Path) -> None:
    (tmp_path / "minoots.toml").write_text("[gateway]\nport = 1\nhost = '127.0.0.9'\n")
    key = base64.urlsafe_b64encode(bytes(32)).decode()
    settings = with_overrides(
        Settings(),
        {
            "data_dir": "/srv/minoots",
            "secrets": {"master_keys": [key]},
            "delivery": {"allowed_networks": ["127.0.0.0/8"]},
            "temporal": {"api_key": "a, 'b' \"c\" €"},
        },
    )
    program = (
        "from minoots_platform.settings import load_settings, to_environment as e; import json; "
        "print(json.dumps(e(load_settings())))"
    )
    environ = {**os.environ, "MINOOTS_CONFIG": "minoots.toml", **to_environment(settings)}
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environ, capture_output=True, text=True, check=True
    )
    assert json.loads(ran.stdout) == to_environment(settings)


def test_every_setting_has_a_variable_a_type_and_a_description() -> None:
    settings = {setting.key: setting for setting in list_settings()}
    assert settings["gateway.port"].env == "MINOOTS_GATEWAY__PORT"
    assert settings["gateway.port"].type == "integer from 0 to 65535"
    assert (settings["gateway.port"].default, settings["temporal.api_key"].default) == ("4000", "unset")
    assert settings["delivery.allowed_networks"].type == "list of networks"
    assert settings["sandbox.tiers"].type == "list of bubblewrap | container | vm"
    assert settings["flags.provider"].type == "file | flagd | none"
    assert [key for key, setting in settings.items() if setting.secret] == [
        "temporal.api_key",
        "connectors.email.password",
        "models.keys",
        "jobs.mcp_tokens",
        "secrets.master_keys",
    ]
    assert settings["records.url"].has_password
    for key, setting in settings.items():
        assert setting.description.endswith("."), key
        assert (setting.env is None) == (key == "schema_version")


@pytest.mark.parametrize("name", ["MINOOTS_GATEWAY__PORT", "MINOOTS_RECORDS__URL"])
def test_an_empty_variable_is_no_value_for_what_must_be_set(name: str) -> None:
    with pytest.raises(SettingsError):
        load_settings(environ={"MINOOTS_CONFIG": "", name: ""})
