"""Secrets are taken out, and what only looks like one is left in.

No secret stands here: they are put together when the tests run.
"""

from __future__ import annotations

import random
import string
from typing import Any

import pytest

from minoots.contracts.conversations import ConversationEvent, ConversationEventKind, Enclosed, ToolUse
from minoots_platform.redaction import RULES, Found, Policy, Redactor

CHANCE = random.Random(11)
LETTERS = string.ascii_letters + string.digits


def some(count: int, of: str = LETTERS) -> str:
    return "".join(CHANCE.choice(of) for _ in range(count))


HEX = "0123456789abcdef"
UPPER = string.ascii_uppercase + string.digits
SECRETS = {
    "aws-access-key-id": "AK" + "IA" + some(16, UPPER),
    "aws-secret-access-key": "aws_secret_access_key = " + some(40),
    "github-pat": "gh" + "p_" + some(36),
    "github-fine-grained-pat": "github" + "_pat_" + some(82),
    "gitlab-pat": "gl" + "pat-" + some(20),
    "slack-token": "xo" + "xb-" + some(24, string.digits),
    "slack-webhook-url": "https://hooks.slack.com/"
    + "services/T"
    + some(8, UPPER)
    + "/B"
    + some(8, UPPER)
    + "/"
    + some(24),
    "stripe": "sk" + "_live_" + some(24),
    "anthropic": "sk-" + "ant-" + some(40),
    "openai": "sk-" + "proj-" + some(40),
    "google": "AI" + "za" + some(35),
    "npm": "np" + "m_" + some(36),
    "pypi": "py" + "pi-AgEIcHlwaS5vcmc" + some(60),
    "sendgrid": "S" + "G." + some(22) + "." + some(43),
    "telegram": some(9, "123456789") + ":A" + "A" + some(33),
    "shopify": "shp" + "at_" + some(32, HEX),
    "databricks": "da" + "pi" + some(32, HEX),
    "huggingface": "h" + "f_" + some(34),
    "digitalocean": "do" + "p_v1_" + some(64, HEX),
    "azure-storage": "Account" + "Key=" + some(86) + "==",
    "private-key": "-----BEGIN RSA PRIV"
    + "ATE KEY-----\n"
    + some(64)
    + "\n-----END RSA PRIV"
    + "ATE KEY-----",
    "jwt": "ey" + "J" + some(20) + ".ey" + "J" + some(30) + "." + some(40),
    "url-credentials": "postgresql://app:" + some(12) + "@db.example/app",
    "authorization-bearer": "Authorization: Bearer " + some(30),
    "command-credentials": "curl -sS -u ada:" + some(14),
    "minoots": "mn" + "t_" + some(43),
    "groq": "gs" + "k_" + some(52),
    "xai": "xa" + "i-" + some(80),
    "age": "AGE-SECRET" + "-KEY-1" + some(58, UPPER),
    "generic-api-key-assignment": 'api_key = "' + some(32) + '"',
    "generic-password-assignment": "password: " + some(14),
}


USUAL = Policy()


def clean(text: str, policy: Policy = USUAL) -> tuple[str, Found]:
    found = Found()
    return Redactor(policy).text(text, found), found


def test_every_rule_has_a_sample() -> None:
    assert set(SECRETS) == {rule.id for rule in RULES}


@pytest.mark.parametrize("rule", sorted(SECRETS))
def test_a_secret_is_taken_out_wherever_it_stands(rule: str) -> None:
    secret = SECRETS[rule]
    for text in (secret, f"so {secret} it is", f"a\n{secret}\nb", f"x=1 {secret}, y=2"):
        after, found = clean(text)
        assert f"[REDACTED:{rule}]" in after, after
        assert found.counts[rule] == 1
        assert secret not in after
        assert clean(after)[0] == after, "nothing is taken out twice"


@pytest.mark.parametrize("before", ["%22", "%3D", "\\u0022", "\\u003d", "\\x22", "\x1b[31m", "\\n"])
@pytest.mark.parametrize("rule", ["anthropic", "github-pat", "jwt"])
def test_a_secret_begins_also_behind_what_is_spelled_out(rule: str, before: str) -> None:
    after, found = clean(f"q={before}{SECRETS[rule]}{before}")
    assert found.counts[rule] == 1
    assert SECRETS[rule] not in after


def test_a_token_in_an_address_is_taken_out_once() -> None:
    after, _ = clean(f"git clone https://{SECRETS['github-pat']}@github.com/ada/tea")
    assert after == "git clone https://[REDACTED:github-pat]@github.com/ada/tea"


PASS = "x7Kp" + "-q2Vz9Lm"


@pytest.mark.parametrize(
    "given",
    [
        {"password": [PASS]},
        {"passwords": [PASS, PASS]},
        {"password": {"value": PASS}},
        {"env": [{"name": "DB_PASSWORD", "value": PASS}]},
        {"Key": "apiKey", "Value": PASS},
        {"headers": {"Authorization": f"Bearer {PASS}"}},
        {"headers": [["Authorization", f"Bearer {PASS}"]]},
        {"headers": [{"name": "authorization", "value": PASS}]},
        f"password:\n{PASS}\n",
        f"Password:\r\n{PASS}\r\nUser:\r\nada",
        f"- name: DB_PASSWORD\n  value: {PASS}\n",
        f'{{"name": "DB_PASSWORD", "value": "{PASS}"}}',
        f'{{"name":"DB_PASSWORD",\n  "value":"{PASS}"}}',
        f'{{"password": ["{PASS}"]}}',
        f"SMTP_PASS={PASS}",
        f"Authorization: {PASS}",
        f"sshpass -p '{PASS}' ssh ada@tea",
        f"curl https://tea.example --user 'ada:{PASS}'",
    ],
)
def test_a_secret_is_known_by_a_name_beside_above_or_around_it(given: Any) -> None:
    found = Found()
    after = Redactor(Policy()).value(given, found)
    assert PASS not in str(after)
    assert found.counts.total() == str(after).count("[REDACTED:")


def test_what_stands_before_a_name_in_a_pair_is_looked_through_too() -> None:
    found = Found()
    secret = SECRETS["github-pat"]
    after = Redactor(Policy()).value({"command": [f"GH={secret} tea --password", PASS]}, found)
    assert secret not in str(after)
    assert found.counts.total() == 2


def test_a_secret_that_is_known_twice_is_counted_once() -> None:
    found = Found()
    Redactor(Policy()).value({"password": {"value": SECRETS["github-pat"]}}, found)
    assert found.counts.total() == 1


@pytest.mark.parametrize(
    "given",
    [
        {"password": ["is required", "must have 8 characters at least"]},
        {"secrets": ["my-db-credentials"], "required": ["password", "token"]},
        {"name": "password", "type": "string", "value": "password"},
        {"name": "ada", "value": PASS},
        ["password", "username"],
        "password:\nusername:\n",
        "case password:\nreturn check1(it)\n",
        "key: password\nvalue: string\n",
        "bypass=results2 and the first pass: 12345678",
        "curl -u ada https://tea.example:4000/x",
        "curl -u $USER:$PASSWORD https://tea.example",
        "authorization: required. The authorization is checked.",
    ],
)
def test_what_a_name_only_speaks_of_stays(given: Any) -> None:
    found = Found()
    assert Redactor(Policy()).value(given, found) == given
    assert not found.counts


def test_what_stands_around_a_secret_stays() -> None:
    after, _ = clean(f"use {SECRETS['url-credentials']} please")
    assert after == "use postgresql://app:[REDACTED:url-credentials]@db.example/app please"


@pytest.mark.parametrize(
    "text",
    [
        "password = ********",
        "password: your-password-here",
        "password = $DATABASE_PASSWORD",
        "password = os.environ['PASSWORD']",
        'password="{form.password}"',
        "password='tea and biscuits for two'",
        "password=test-password-123",
        "secret: exampleSecret1",
        "api_key = YOUR_API_KEY_GOES_HERE",
        "api_key=xxxxxxxxxxxxxxxxxxxx",
        "the password is not shown",
        "sk-aaaaaaaaaaaaaaaaaaaaaaaaaa",
        "https://example.com/a:b@c",
        "def get_secret(name: str) -> str:",
        "token_count: 12345678901234567890",
        "commit 3f786850e387550fdab836ed7e6dc881de23001b",
    ],
)
def test_what_only_looks_like_one_stays(text: str) -> None:
    assert clean(text)[0] == text


@pytest.mark.parametrize("quote", ['"', "'", '\\"'])
def test_a_password_in_quotes_is_taken_out_whole(quote: str) -> None:
    after, _ = clean(f"password={quote}p@ss;w(or,d{{1xq{quote}, and")
    assert after == f"password={quote}[REDACTED:generic-password-assignment]{quote}, and"


@pytest.mark.parametrize("begins", ["test-", "example", "dummy", "your_"])
def test_what_goes_on_after_a_word_of_examples_is_a_secret(begins: str) -> None:
    secret = f"{begins}9f8A7xQ2kL"
    assert secret not in clean(f"password: {secret}")[0]


@pytest.mark.parametrize("name", ["password", "api_key"])
def test_nothing_of_a_long_secret_is_left(name: str) -> None:
    assert clean(f"{name}={some(1000)}\n")[0].count("[REDACTED:") == 1
    assert clean(f"{name}={some(1000)}\n")[0].endswith("-assignment]\n")


def test_a_key_that_breaks_off_is_a_key() -> None:
    begun = SECRETS["private-key"].rsplit("-----END", 1)[0]
    assert clean(begun)[0] == "[REDACTED:private-key]"


def test_a_policy_may_allow_leave_out_and_only_tell() -> None:
    secret = SECRETS["stripe"]
    assert clean(secret, Policy(allowed=(secret,)))[0] == secret
    assert clean(secret, Policy(allowed=("/_live_/",)))[0] == secret
    assert clean(secret, Policy(disabled=frozenset({"stripe"})))[0] == secret
    after, found = clean(secret, Policy(mode="detect"))
    assert (after, found.counts["stripe"]) == (secret, 1)


def event(**fields: Any) -> ConversationEvent:
    return ConversationEvent(id="cev_1", kind=ConversationEventKind.TOOL_CALL, **fields)


def test_every_part_of_an_event_is_looked_through() -> None:
    secret = SECRETS["github-pat"]
    tool = ToolUse(
        call_id="c",
        name="curl",
        input={"headers": [f"x {secret}"], "password": some(16), "n": 3, "deep": {"token": secret}},
        output=f"got {secret}",
    )
    found = Found()
    came = (Enclosed(sha256="0", media_type=f"text/{secret}", size=1),)
    after = Redactor(Policy()).event(event(text=secret, tool=tool, model=secret, enclosed=came), found)
    assert secret not in after.model_dump_json()
    assert after.tool is not None
    assert after.tool.input["password"] == "[REDACTED:generic-password-assignment]"
    assert after.tool.input["n"] == 3
    assert found.counts.total() == 7


def test_a_clean_event_stays_as_it_is_and_so_does_any_when_off() -> None:
    said = event(text="make tea", tool=ToolUse(call_id="c", input={"a": [1, "b"]}))
    assert Redactor(Policy()).event(said, Found()) == said
    secret = event(text=SECRETS["npm"])
    assert Redactor(Policy(mode="off")).event(secret, Found()) is secret
    assert Redactor(Policy(mode="detect")).event(secret, Found()) is secret


@pytest.mark.parametrize(
    "part", ["eyJ", "-----BEGIN PRIVATE KEY-----", "password=", "://a:", "sk-", "SG.", "xoxb-"]
)
def test_many_beginnings_take_no_time(part: str) -> None:
    clean(part * 40_000)
    clean(f"{part} " * 40_000)


def test_what_a_reader_notes_of_an_event_is_looked_through() -> None:
    token = "ghp_" + "A1b2C3d4E5f6" * 3
    event = ConversationEvent(
        id="e" * 32, kind=ConversationEventKind.SYSTEM, details={"origin": {"from": f"https://x/?t={token}"}}
    )
    found = Found()
    assert token not in Redactor(Policy()).event(event, found).model_dump_json()
    assert found.counts.total() == 1
