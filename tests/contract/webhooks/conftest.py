"""Real receivers on loopback, and a throw-away certificate authority."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from minoots_activities.http import OutgoingWebhook, WebhookSender
from minoots_platform.signing import SigningKey

LOOPBACK = ipaddress.ip_network("127.0.0.0/8")
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@dataclass
class Received:
    """One request as it stood on the wire."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str:
        (value,) = [value for key, value in self.headers if key == name]
        return value


@dataclass
class Receiver:
    """A TCP server that answers as a test tells it to."""

    answer: Any
    port: int = 0
    scheme: str = "http"
    connections: int = 0
    open: int = 0
    requests: list[Received] = field(default_factory=list)
    server_names: list[str | None] = field(default_factory=list)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/hook?a=1"

    async def read(self, reader: asyncio.StreamReader) -> Received:
        """Read one request. Raises IncompleteReadError when the sender closes instead."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii")
        line, *rest = head.strip().split("\r\n")
        headers = [(name.lower(), value.strip()) for name, value in (each.split(":", 1) for each in rest)]
        length = int(dict(headers).get("content-length", "0"))
        received = Received(line, headers, await reader.readexactly(length))
        self.requests.append(received)
        return received

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        self.connections += 1
        self.open += 1
        try:
            if isinstance(self.answer, bytes):
                while True:
                    await self.read(reader)
                    writer.write(self.answer)
            else:
                await self.answer(self, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            self.open -= 1
            self.tasks.discard(task)
            writer.close()


@pytest.fixture
async def receive() -> AsyncIterator[Callable[..., Awaitable[Receiver]]]:
    """Start receivers: ``await receive(answer)`` with bytes for every request, or a coroutine function."""
    started: list[tuple[asyncio.Server, Receiver]] = []

    async def start(answer: Any = OK, tls: ssl.SSLContext | None = None) -> Receiver:
        receiver = Receiver(answer, scheme="https" if tls else "http")
        if tls is not None:
            tls.sni_callback = lambda _socket, name, _context: receiver.server_names.append(name)
        server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0, ssl=tls)
        receiver.port = server.sockets[0].getsockname()[1]
        started.append((server, receiver))
        return receiver

    yield start
    for server, receiver in started:
        server.close()
        for task in list(receiver.tasks):
            task.cancel()
        await asyncio.gather(*receiver.tasks, return_exceptions=True)


@pytest.fixture
def sender() -> Callable[..., WebhookSender]:
    """Make senders that may reach loopback, unless the test says otherwise."""

    def make(**options: Any) -> WebhookSender:
        return WebhookSender(**{"allowed_networks": (LOOPBACK,), "user_agent": "minoots/test"} | options)

    return make


@pytest.fixture(scope="session")
def key() -> SigningKey:
    return SigningKey.generate()


@pytest.fixture
def webhook(key: SigningKey) -> Callable[..., OutgoingWebhook]:
    def make(url: str, **changes: Any) -> OutgoingWebhook:
        values: dict[str, Any] = {
            "url": url,
            "method": "POST",
            "headers": {},
            "body": b'{"specversion":"1.0"}',
            "timeout": timedelta(seconds=10),
            "webhook_id": "msg_1",
            "keys": (key,),
        }
        return OutgoingWebhook(**values | changes)

    return make


@pytest.fixture
def resolver() -> Callable[..., Any]:
    """Make resolvers that give one answer after the other, the last for ever, and note each question."""

    class Scripted:
        def __init__(self, *answers: Sequence[str]) -> None:
            self.answers = list(answers)
            self.asked: list[str] = []

        async def __call__(self, host: str, port: int) -> Sequence[str]:
            self.asked.append(host)
            return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    return Scripted


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], Awaitable[None]]:
    """Wait for a condition, 5 s at most."""

    async def wait(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                await asyncio.sleep(0.002)

    return wait


class Authority:
    """A certificate authority that nobody knows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
        self.certificate = self._issue(
            self.name, self.key, x509.BasicConstraints(ca=True, path_length=0), names=()
        )

    def trusting(self) -> ssl.SSLContext:
        """Return a client context that trusts this authority alone."""
        return ssl.create_default_context(cadata=self.certificate.public_bytes(Encoding.PEM).decode())

    def serving(self, *names: str, days: int = 1) -> ssl.SSLContext:
        """Return a server context with a certificate for ``names``."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "receiver")])
        made = self._issue(
            subject, key, x509.BasicConstraints(ca=False, path_length=None), names=names, days=days
        )
        path = self.folder / f"{made.serial_number}.pem"
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(private + made.public_bytes(Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def _issue(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        constraints: x509.BasicConstraints,
        names: Sequence[str],
        days: int = 1,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=30))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(constraints, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
            )
        )
        if constraints.ca:
            usage = x509.KeyUsage(
                digital_signature=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=True,
                crl_sign=True,
                encipher_only=False,
                decipher_only=False,
            )
            builder = builder.add_extension(usage, critical=True)
        if names:
            alternatives = [_general_name(name) for name in names]
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        return builder.sign(self.key, hashes.SHA256())


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))
