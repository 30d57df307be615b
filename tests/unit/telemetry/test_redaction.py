"""No secret reaches a log line, wherever it was planted."""

from __future__ import annotations

import io
import json
import logging
import string
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from minoots_platform.settings import TelemetrySettings
from minoots_platform.telemetry import get_logger, redact, redact_text, start_logs

SECRET = "s3cr3tVALUE0123456789"


@pytest.mark.parametrize(
    "text",
    [
        f"mnt_live_{SECRET}",
        f"called with mnt_{SECRET}.",
        f"whsec_{SECRET}+/==",
        f"whsk_{SECRET}",
        f"Bearer {SECRET}",
        f"authorization: bearer {SECRET}",
        f"Authorization: Basic {SECRET}",
        f"{{'authorization': 'Token {SECRET}'}}",
        f'{{"api_key": "{SECRET}"}}',
        f"password={SECRET}",
        f"Password: '{SECRET} and more'",
        f"?token={SECRET}&x=1",
        f"master_keys=[{SECRET}]",
        f"{{'master_keys': ('first', '{SECRET}')}}",
        f"postgresql+asyncpg://minoots:{SECRET}@127.0.0.1/minoots",
        f"postgresql+asyncpg://minoots:p@ss{SECRET}@127.0.0.1/minoots",
        f"https://{SECRET}@example.com/hook",
        f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----",
    ],
)
def test_secrets_in_text_are_redacted(text: str) -> None:
    assert SECRET not in redact_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "timer tmr_01J fired 12 ms late",
        "GET http://127.0.0.1:4000/v1/timers?limit=10 200",
        "whpk_abcdef is the public key",
        "mail to ops@example.com",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert redact_text(text) == text


_KEYS = """authorization Authorization api_key apiKey x-api-key secret client_secret password passwd
access_token token key_material private_key master_keys Cookie credentials"""


@pytest.mark.parametrize("key", _KEYS.split())
def test_values_under_secret_keys_are_redacted(key: str) -> None:
    assert redact({"headers": [{key: SECRET}]}) == {"headers": [{key: "[redacted]"}]}


def test_ordinary_values_keep_their_types() -> None:
    value = {"count": 3, "ratio": 0.5, "ok": True, "none": None, "list": [1, "a"], "tenant": "acme"}
    assert redact(value) == value


def test_a_structure_that_holds_itself_ends() -> None:
    loop: dict[str, object] = {"password": SECRET}
    loop["self"] = loop
    assert SECRET not in json.dumps(redact(loop))


def test_an_object_without_text_does_not_cost_the_line() -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError(SECRET)

    assert redact({"it": Broken()}) == {"it": "<Broken: RuntimeError in __str__>"}


class _Model(BaseModel):
    password: str


@dataclass
class _Data:
    api_key: str


_characters = st.text(string.ascii_letters + string.digits + "_-", min_size=8, max_size=40)
_paths = st.lists(st.sampled_from(["tenant", "data", "list", "headers", "err"]), max_size=4)
_plants: list[Callable[[str], object]] = [
    lambda secret: {"authorization": secret},
    lambda secret: {"password": secret},
    lambda secret: {"nested_api_key": [secret]},
    lambda secret: f"mnt_{secret}",
    lambda secret: f"got whsec_{secret} from",
    lambda secret: f"whsk_{secret}",
    lambda secret: f"Bearer {secret}",
    lambda secret: f"postgresql+asyncpg://user:{secret}@db/name",
    lambda secret: f"mnt_{secret}".encode(),
    lambda secret: ValueError(f"refused whsec_{secret}"),
    lambda secret: {f"Bearer {secret}": 1},
    lambda secret: _Model(password=secret),
    lambda secret: _Data(api_key=secret),
]


@pytest.mark.parametrize("log_format", ["json", "console"])
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(part=_characters, path=_paths, plant=st.sampled_from(_plants), way=st.integers(0, 3))
def test_a_planted_secret_never_appears_in_the_line(
    log_format: str, part: str, path: list[str], plant: Callable[[str], object], way: int
) -> None:
    secret = f"Zq{part}qZ"
    value = plant(secret)
    for step in path:
        value = [value] if step == "list" else {step: value}
    stream = io.StringIO()
    with start_logs(TelemetrySettings.model_validate({"log_format": log_format}), "test", stream=stream):
        if way == 0:
            get_logger("test").info("seen", value=value)
        elif way == 1:
            logging.getLogger("test").info("seen %s", value)
        elif way == 2:
            logging.getLogger("test").info("seen", extra={"value": value})
        else:
            try:
                raise RuntimeError(value) from ValueError(value)
            except RuntimeError:
                get_logger("test").exception("failed")
    assert stream.getvalue()
    assert secret not in stream.getvalue()
