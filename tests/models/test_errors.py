"""One table of errors: what goes wrong on each wire is a row of it, and what follows is written down."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from model_servers import Opening, asked, model_server, pieces_of

from minoots.contracts.models import ModelErrorKind
from minoots.errors import FAILURES
from minoots_workflows.models.failures import MODEL_ERRORS, ModelFailure

K = ModelErrorKind
ALL = ("ollama", "compatible", "openai", "anthropic")
CLOUD = ("openai", "anthropic")


def status(code: int, message: str = "it has failed", **more: Any) -> dict[str, Any]:
    return {"fault": {"kind": "status", "status": code, "message": message, **more}, "text": "never said"}


def middle(kind: str, **more: Any) -> dict[str, Any]:
    return {"fault": {"kind": kind, "after": 2, **more}, "text": "one two three four"}


ROWS = [
    (K.INVALID, ALL, status(400, "this field is wrong")),
    (K.INVALID, ALL, status(422, "this field is wrong")),
    (K.CONTEXT_TOO_LONG, ALL, status(400, "prompt is too long: 9000 tokens > 4096 maximum")),
    (K.CONTEXT_TOO_LONG, ALL, status(413, "too large")),
    (K.CONTEXT_TOO_LONG, ("ollama",), status(500, "the input length exceeds the context length")),
    (K.FILTERED, ALL, status(400, "it violates the content policy")),
    (K.UNAUTHENTICATED, ALL, status(401)),
    (K.OUT_OF_FUNDS, ALL, status(402)),
    (K.OUT_OF_FUNDS, ALL, status(400, "your credit balance is too low")),
    (K.OUT_OF_FUNDS, ALL, status(429, "insufficient_quota: check your plan")),
    (K.DENIED, ALL, status(403)),
    (K.RATE_LIMITED, ALL, status(429)),
    (K.TIMEOUT, ALL, status(408)),
    (K.TIMEOUT, ALL, status(504)),
    (K.OVERLOADED, ALL, status(503)),
    (K.OVERLOADED, ALL, status(529)),
    (K.PROVIDER_FAULT, ALL, status(500)),
    (K.PROVIDER_FAULT, ALL, middle("error", status=500, message="out of memory")),
    (K.OVERLOADED, ("anthropic",), middle("error", status=529, message="overloaded")),
    (K.BROKEN_STREAM, ALL, middle("cut")),
    (K.BAD_ANSWER, ALL, middle("garbage")),
]


@pytest.mark.parametrize(
    ("kind", "wire", "turn"),
    [(kind, wire, turn) for kind, wires, turn in ROWS for wire in wires],
    ids=lambda value: str(value.get("fault")) if isinstance(value, dict) else str(value),
)
async def test_what_goes_wrong_on_a_wire_is_a_row_of_the_table(
    opening: Opening, kind: ModelErrorKind, wire: str, turn: dict[str, Any]
) -> None:
    async with model_server(turns=[turn]) as url, opening(wire, url) as provider:
        with pytest.raises(ModelFailure) as failed:
            await pieces_of(provider, asked())
        assert failed.value.kind is kind
        assert failed.value.remedy
        assert wire in failed.value.detail


@pytest.mark.parametrize("wire", ALL)
async def test_an_unknown_model_is_told_by_every_wire(opening: Opening, wire: str) -> None:
    async with model_server() as url, opening(wire, url) as provider:
        with pytest.raises(ModelFailure) as failed:
            await pieces_of(provider, asked(), model="absent")
        assert failed.value.kind is K.UNKNOWN_MODEL


@pytest.mark.parametrize("wire", ALL)
async def test_nobody_at_the_address_is_unreachable(opening: Opening, wire: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    async with opening(wire, f"http://127.0.0.1:{port}") as provider:
        with pytest.raises(ModelFailure) as failed:
            await pieces_of(provider, asked())
        assert failed.value.kind is K.UNREACHABLE


@pytest.mark.parametrize("wire", CLOUD)
async def test_a_wrong_key_is_not_repeated(opening: Opening, wire: str) -> None:
    async with model_server(api_key="sk-right") as url, opening(wire, url, "sk-wrong-one") as provider:
        with pytest.raises(ModelFailure) as failed:
            await pieces_of(provider, asked())
        assert failed.value.kind is K.UNAUTHENTICATED
        assert "sk-wrong" not in str(failed.value)
    async with model_server(api_key="sk-right") as url, opening(wire, url, "sk-right") as provider:
        assert await pieces_of(provider, asked()), "the right one opens"


@pytest.mark.parametrize("wire", CLOUD)
async def test_a_provider_without_a_key_says_which_setting_takes_it(opening: Opening, wire: str) -> None:
    async with opening(wire, "http://127.0.0.1:9", "") as provider:
        with pytest.raises(ModelFailure) as failed:
            await pieces_of(provider, asked())
        assert failed.value.kind is K.NOT_CONFIGURED
        assert f"MINOOTS_MODELS__KEYS) to {wire}=" in failed.value.remedy


@pytest.mark.parametrize("wire", ALL)
async def test_how_long_to_wait_is_passed_on(opening: Opening, wire: str) -> None:
    async with model_server(turns=[status(429, retry_after=7)]) as url, opening(wire, url) as provider:
        with pytest.raises(ModelFailure) as failed:
            await pieces_of(provider, asked())
        assert failed.value.retry_after == 7


def test_the_table_has_a_row_of_every_kind_and_the_documentation_has_it_too() -> None:
    assert set(MODEL_ERRORS) == set(ModelErrorKind)
    page = (Path(__file__).parents[2] / "docs" / "reference" / "errors.md").read_text()
    for kind, rule in MODEL_ERRORS.items():
        assert rule.kind in FAILURES
        assert f"| `{kind}` |" in page
        assert rule.remedy in page
