"""What a receiver can verify, with tools that are not ours."""

from __future__ import annotations

from base64 import b64decode
from datetime import UTC, datetime, timedelta, timezone

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from minoots.errors import Failure, FailureKind
from minoots_platform.signing import SigningKey, sign, signature_headers

BODY = '{"specversion":"1.0","data":"grüße"}'.encode()

webhook_ids = st.from_regex(r"[A-Za-z0-9_:-]{1,128}", fullmatch=True)
keys = st.builds(
    SigningKey, hmac_key=st.binary(min_size=32, max_size=32), seed=st.binary(min_size=32, max_size=32)
)


def check_v1(key: SigningKey, headers: dict[str, str], body: bytes) -> None:
    Webhook(key.secret).verify(body, headers, json_parse=False)


def check_v1a(public_key: str, headers: dict[str, str], body: bytes) -> None:
    assert public_key.startswith("whpk_")
    public = Ed25519PublicKey.from_public_bytes(b64decode(public_key.removeprefix("whpk_"), validate=True))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    for value in headers["webhook-signature"].split(" "):
        version, signature = value.split(",")
        if version != "v1a":
            continue
        try:
            return public.verify(b64decode(signature, validate=True), signed)
        except InvalidSignature:
            continue
    raise InvalidSignature


@given(webhook_ids, st.text().map(str.encode), keys)
def test_both_schemes_verify_whatever_is_signed(webhook_id: str, body: bytes, key: SigningKey) -> None:
    headers = signature_headers(webhook_id, datetime.now(UTC), body, [key])
    check_v1(key, headers, body)
    check_v1a(key.public_key, headers, body)


@given(st.binary(), keys)
def test_a_body_that_is_no_text_verifies(body: bytes, key: SigningKey) -> None:
    check_v1a(key.public_key, signature_headers("msg_1", datetime.now(UTC), body, [key]), body)


@given(st.text(min_size=1).map(str.encode), keys, st.data())
def test_a_changed_byte_of_the_body_fails(body: bytes, key: SigningKey, data: st.DataObject) -> None:
    headers = signature_headers("msg_1", datetime.now(UTC), body, [key])
    position = data.draw(st.integers(0, len(body) - 1))
    # ASCII in its place, so that the body stays text for the verifier whatever was there before.
    changed = body[:position] + bytes([(body[position] ^ 1) & 0x7F]) + body[position + 1 :]
    with pytest.raises(InvalidSignature):
        check_v1a(key.public_key, headers, changed)
    if changed.decode("utf-8", "ignore").encode() == changed:
        with pytest.raises(WebhookVerificationError):
            check_v1(key, headers, changed)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("webhook-id", "msg_2"),
        ("webhook-timestamp", str(int(datetime.now(UTC).timestamp()) - 60)),
    ],
    ids=["id", "timestamp"],
)
def test_a_changed_header_fails(name: str, value: str) -> None:
    key = SigningKey.generate()
    headers = signature_headers("msg_1", datetime.now(UTC), BODY, [key]) | {name: value}
    with pytest.raises(WebhookVerificationError):
        check_v1(key, headers, BODY)
    with pytest.raises(InvalidSignature):
        check_v1a(key.public_key, headers, BODY)


def test_the_key_of_another_fails() -> None:
    key, other = SigningKey.generate(), SigningKey.generate()
    headers = signature_headers("msg_1", datetime.now(UTC), BODY, [key])
    with pytest.raises(WebhookVerificationError):
        check_v1(other, headers, BODY)
    with pytest.raises(InvalidSignature):
        check_v1a(other.public_key, headers, BODY)


@given(st.lists(keys, min_size=1, max_size=4, unique_by=lambda key: (key.hmac_key, key.seed)))
def test_during_a_rotation_every_valid_key_verifies(overlapping: list[SigningKey]) -> None:
    headers = signature_headers("msg_1", datetime.now(UTC), BODY, overlapping)
    for key in overlapping:
        check_v1(key, headers, BODY)
        check_v1a(key.public_key, headers, BODY)
    versions = [value.partition(",")[0] for value in headers["webhook-signature"].split(" ")]
    assert versions == ["v1"] * len(overlapping) + ["v1a"] * len(overlapping)


def test_the_signature_is_that_of_the_standard() -> None:
    # The example that the Standard Webhooks libraries share.
    key = SigningKey(bytes(range(32)), bytes(32))
    moment = datetime.fromtimestamp(1614265330, UTC)
    expected = Webhook(key.secret).sign("msg_p5jXN8AQM9LWM0D4loKWxJek", moment, '{"test": 2432232314}')
    value = sign("msg_p5jXN8AQM9LWM0D4loKWxJek", moment, b'{"test": 2432232314}', [key])
    assert value.split(" ")[0] == expected


def test_the_timestamp_is_whole_seconds_never_ahead_whatever_the_zone() -> None:
    moment = datetime(2026, 1, 1, 12, 0, 0, 999_999, timezone(timedelta(hours=5, minutes=45)))
    headers = signature_headers("msg_1", moment, BODY, [SigningKey.generate()])
    assert headers["webhook-timestamp"] == str(int(datetime(2026, 1, 1, 6, 15, tzinfo=UTC).timestamp()))


def test_nothing_is_signed_without_a_key() -> None:
    with pytest.raises(ValueError, match="at least one signing key"):
        sign("msg_1", datetime.now(UTC), BODY, [])


@pytest.mark.parametrize("webhook_id", ["", "a.1", "a b", "a\n", "ä", "a" * 129])
def test_an_ambiguous_webhook_id_is_refused(webhook_id: str) -> None:
    with pytest.raises(ValueError, match="expected a webhook id"):
        sign(webhook_id, datetime.now(UTC), BODY, [SigningKey.generate()])


def test_a_naive_timestamp_is_refused() -> None:
    with pytest.raises(ValueError, match="naive"):
        sign("msg_1", datetime(2026, 1, 1), BODY, [SigningKey.generate()])  # noqa: DTZ001 - that is the point


@given(keys)
def test_a_key_survives_the_vault(key: SigningKey) -> None:
    assert SigningKey.from_bytes(key.to_bytes()) == key


@pytest.mark.parametrize("stored", [b"", b"\x01" * 64, b"\x02" * 65, b"\x01" * 66])
def test_a_damaged_key_is_refused_without_being_quoted(stored: bytes) -> None:
    with pytest.raises(Failure, match="damaged") as caught:
        SigningKey.from_bytes(stored)
    assert caught.value.kind is FailureKind.UNAVAILABLE
    assert caught.value.remedy


def test_generated_keys_differ() -> None:
    made = [SigningKey.generate() for _ in range(4)]
    assert len({key.hmac_key for key in made} | {key.seed for key in made}) == 8


def test_no_print_of_a_key_shows_it() -> None:
    key = SigningKey(b"H" * 32, b"S" * 32)
    for shown in (repr(key), str(key), f"{key}", repr([key])):
        assert "HHH" not in shown
        assert "SSS" not in shown
        assert key.secret not in shown
    with pytest.raises(ValueError, match="32 bytes") as caught:
        SigningKey(b"H" * 31, b"S" * 32)
    assert "HHH" not in str(caught.value)
