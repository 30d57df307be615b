"""What is secret by its name, in every form in which it is given, and what only looks so.

No secret stands here: they are put together when the tests run.
"""

from __future__ import annotations

import base64
import json
import random
import time
import uuid
from typing import Any

import pytest

from minoots_platform.redaction import Found, Policy, Redactor

CHANCE = random.Random(7)
LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"
KEY = "".join(CHANCE.choice(LETTERS) for _ in range(32))
WORD = "hunt" + "er2"
ODD = "p@ss" + "w0rd/x:y"
LONG = "".join(CHANCE.choice(LETTERS) for _ in range(5000))


def clean(text: str) -> str:
    return Redactor(Policy()).text(text, Found())


FORMS = [
    "{n}={v}",
    "export {n}={v}",
    "{n}: {v}",
    "  {n}: '{v}' # mine",
    '{n} = "{v}"',
    "{n}='{v}'",
    '{{"{n}": "{v}"}}',
    '{{"{n}":"{v}"}}',
    '{{\\"{n}\\": \\"{v}\\"}}',
    "'{n}' => '{v}',",
    "{n} := `{v}`",
    "env['{n}'] = '{v}'",
    'const {n}: string = "{v}";',
    "{n}:\n  {v}\nother: 1",
    "{n}: |\n  {v}\nother: 1",
    "{n}: >-\n  {v}\n",
    "<{n}>{v}</{n}>",
    "https://h.example/?a=1&{n}={v}&b=2",
    "Server=h;{n}={v};Database=d",
    "run --{n} {v} --other",
    'run --{n} "{v}" --other',
    "run --{n}={v}",
    '["run", "--{n}", "{v}", "--other"]',
    "[--{n}, '{v}']".replace("[--{n},", "['--{n}',"),
    '{n} = """{v}"""',
    '{n} = r"{v}"',
]
NAMES = [
    *(
        "password",
        "DB_PASSWORD",
        "dbPassword",
        "user-password",
        "passwd",
        "pwd",
        "passphrase",
        "spring.password",
    ),
    *("secret", "SECRET_KEY", "secretKey", "secret-key", "client_secret", "clientSecret", "client-secret"),
    *("api_key", "apiKey", "api-key", "APIKEY", "X-API-Key", "access_token", "accessToken", "access-token"),
    *(
        "refresh_token",
        "refreshToken",
        "refresh-token",
        "private_key",
        "SECRET_KEY_BASE",
        "token",
        "authToken",
    ),
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", NAMES)
def test_a_key_is_taken_out_in_every_form(form: str, name: str) -> None:
    text = form.format(n=name, v=KEY)
    after = clean(text)
    assert KEY not in after
    begin, end = text.split(KEY)[0], text.rsplit(KEY, 1)[1]
    assert after.startswith(begin), after
    assert after.endswith(end), after
    assert clean(after) == after


@pytest.mark.parametrize("value", [WORD, ODD, "s3cr" + "et pass phrase 99", "corr" + "ecthorse", "12345678"])
@pytest.mark.parametrize(
    "form", ['{{"password": "{v}"}}', "password = '{v}'", "<password>{v}</password>", 'run --password "{v}"']
)
def test_a_password_is_taken_out_of_its_quotes(form: str, value: str) -> None:
    # An element with several words is prose.
    assert value not in clean(form.format(v=value)) or ("<" in form and " " in value)


@pytest.mark.parametrize(
    "value", [WORD, ODD, "12345678", "p&ss" + "w0rd99", "a1(b)c" + "2{d}e3", "$ecr" + "et123!"]
)
@pytest.mark.parametrize(
    "form", ["PASSWORD={v}", "export DB_PASSWORD={v}", "password: {v}", "password:\n  {v}\n"]
)
def test_a_password_without_quotes_is_taken_out(form: str, value: str) -> None:
    after = clean(form.format(v=value))
    assert value not in after
    assert value[-5:] not in after


@pytest.mark.parametrize(
    "form", ["DB_PASSWORD={v}", "a=1\npassword={v}\nb=2", "?password={v}&a=1", "-e PASSWORD={v}"]
)
def test_a_word_is_a_password_in_settings(form: str) -> None:
    assert "sword" + "fishes" not in clean(form.format(v="sword" + "fishes"))


@pytest.mark.parametrize(
    "text",
    [
        'secret = "{v}"',
        "secret = '{v}'",
        '{{"secret": "{v}"}}',
        "SECRET={v}",
        "secret: {v}",
        'secret = """\n{v}\n"""',
        "secret: |\n  {v}\n",
    ],
)
def test_nothing_is_left_of_a_long_one(text: str) -> None:
    after = clean(text.format(v=LONG) + "\nbehind it")
    assert not any(LONG[at : at + 16] in after for at in range(0, 5000, 16))
    assert after.endswith("behind it")


def test_one_of_several_lines_is_taken_out_whole() -> None:
    lines = [LONG[at : at + 64] for at in range(0, 640, 64)]
    for text in (
        'secret = "' + "\\n".join(lines) + '"\nrest',
        'secret = """\n' + "\n".join(lines) + '\n"""\nrest',
        "secret: |\n  " + "\n  ".join(lines) + "\nrest",
        'secret: "' + "\n  ".join(lines) + '"\nrest',
    ):
        after = clean(text)
        assert not any(line in after for line in lines), after
        assert after.endswith("rest")


@pytest.mark.parametrize(
    ("address", "rest"),
    [
        ("postgres://app:{v}@db.example:5432/app", "@db.example:5432/app"),
        ("redis://:{v}@cache/0", "@cache/0"),
        ("https://ada:{v}@git.example/a/b.git", "@git.example/a/b.git"),
        ("mongodb+srv://u:{v}@[::1]/x?y=z", "@[::1]/x?y=z"),
    ],
)
@pytest.mark.parametrize("value", [WORD, "a:b@c/d", "x/y", "p@ss", "p%40ss", "$tr0ng", "{br}ace"])
def test_a_password_in_an_address(address: str, rest: str, value: str) -> None:
    text = f"use {address.format(v=value)} please"
    assert clean(text) == f"use {address.split('{v}')[0]}[REDACTED:url-credentials]{rest} please"


@pytest.mark.parametrize(
    "name",
    ["password", "dbPassword", "client_secret", "apiKey", "api-key", "access_token", "Token", "secret_key"],
)
def test_a_field_is_judged_by_its_name(name: str) -> None:
    given = {name: KEY, "deep": [{name: LONG}, {name: KEY + "\n" + KEY}], "n": 1}
    after = json.dumps(Redactor(Policy()).value(given, Found()))
    assert KEY not in after
    assert LONG[:16] not in after
    assert after.count("[REDACTED:") == 3


def test_numbers_and_arguments_are_judged_by_their_names() -> None:
    given: dict[str, Any] = {
        "password": 87654321,
        "pwd": 12,
        "secret": True,
        "tokens": 87654321,
        "token": 87654321,
        "argv": ["login", "--password", WORD, "--api-key", KEY, "-u", "ada", "--max-tokens", "4096"],
    }
    assert Redactor(Policy()).value(given, Found()) == given | {
        "password": "[REDACTED:generic-password-assignment]",
        "argv": [
            *("login", "--password", "[REDACTED:generic-password-assignment]"),
            *("--api-key", "[REDACTED:generic-api-key-assignment]", "-u", "ada", "--max-tokens", "4096"),
        ],
    }


CLEAN = f"""\
The password is not shown. Password: required. Your password must have 8-64 characters.
Enter your password: it has to be changed every 90 days; forgot password? Token: invalid.
secret: shared between us; the secret of tea = patience, and secrets are kept.
def login(password: str, token: Optional[str] = None, *, secret: bytes = b"") -> Token:
    self.password = password; self.token = request.headers["X-Token"]; pwd = os.getcwd()
    token = parser.next_token(); password = getpass.getpass("Password: ")
    return connect(password=password, token=self._token, api_key=settings.api_key, secret=SECRET_VALUE)
if password == other.password or token != expected_token: raise ValueError("password is wrong")
const apiKey = process.env.API_KEY; const secret: string = config.get("secret"); let token: Token2;
PWD=/home/ada/projects/tea OLDPWD=/home/ada cd "$PWD"
password: ${{DB_PASSWORD}} password: $PASSWORD password={{{{ vault.password }}}} password=%(password)s
password: <your password> api_key: YOUR_API_KEY token: your-token-here secret=changeme
"max_tokens": 4096, "prompt_tokens": 123456789, "token_count": 1234567890, "tokens": 1234567890
"type": "password", "name": "secret", "placeholder": "password", "password": "Please enter your password"
secretName: my-app-secret secretKeyRef: {{name: db-secret, key: password}} passwordField: newPassword1
<input type="password" name="password" autocomplete="current-password">
password:
  type: string
  minLength: 12
token:
  - one
  - two
commit 3f786850e387550fdab836ed7e6dc881de23001b index 83db48f..bf269f4 100644
{uuid.UUID(int=CHANCE.getrandbits(128), version=4)} urn:uuid:{uuid.UUID(int=CHANCE.getrandbits(128))}
sha256:{f"{CHANCE.getrandbits(256):064x}"} integrity sha512-{base64.b64encode(CHANCE.randbytes(64)).decode()}
![image](data:image/png;base64,{base64.b64encode(CHANCE.randbytes(6000)).decode()})
http://localhost:8080/a@b https://example.com:443/@scope/pkg http://127.0.0.1:4000/x?mail=a@b.example
git@github.com:ada/tea.git ssh://git@host:22/x npm i @scope/pkg@1.2.3 ada@tea.example
.sk-circle-fade-dot-animation-delay-long {{ animation: sk-chase-dot-animation-forwards }}
risk-assessment-of-the-whole-project-2026 task-0123456789-0123456789-abcdef
Authorization: Bearer <token> Authorization: Basic $CREDENTIALS
api_key_id = 7, access_key_rotation: 90d, key: value, private key: see below, secret/path/to/file
tokenizer.token = tokens[0]; csrf_token: null; next_page_token = ""; "token": "the"
password_file=/run/secrets/db password: /run/secrets/db secret: ./keys/dev.pem
"""


@pytest.mark.parametrize("line", CLEAN.splitlines())
def test_prose_and_code_stay(line: str) -> None:
    assert clean(line) == line


def test_prose_and_code_stay_together() -> None:
    assert clean(CLEAN) == CLEAN


STARTS = [
    *("password=", 'password="', "password: |\n  ", "token: ", "--password ", "<secret>", "://a:b", "://a:@"),
    *("password='\\", 'secret="""', "api_key:\n ", "password=a,b;c&", "pwd=(((", "secret: a.b.", "apikey=\\"),
]


def _took(text: str) -> float:
    redactor = Redactor(Policy())
    best = float("inf")
    for _ in range(2):
        began = time.process_time()
        redactor.text(text, Found())
        best = min(best, time.process_time() - began)
    return best


@pytest.mark.parametrize("behind", ["", " ", "\n", "x" * 50])
@pytest.mark.parametrize("start", STARTS)
def test_the_time_grows_with_the_text_and_not_faster(start: str, behind: str) -> None:
    part = start + behind
    one, four = (_took(part * (count // len(part))) for count in (20_000, 80_000))
    # Of what grows by the square, it would be sixteen.
    assert four < 10 * one + 0.05
