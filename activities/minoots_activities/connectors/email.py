"""E-mail: one message by SMTP, with the same Message-ID for every attempt."""

from __future__ import annotations

from email.message import EmailMessage
from typing import Final

import aiosmtplib

from minoots.contracts import AttemptError
from minoots_platform.connectors.email import Email

from .sender import Message, NotSent, Sender
from .wording import text_of

_TIMEOUT: Final = 15.0
_MOST: Final = 100_000


class Emails(Sender[Email]):
    """Sends mails, each on a connection of its own."""

    async def send(self, message: Message, config: Email) -> str | None:
        """Send once. A server that took it for some of the receivers has taken it."""
        mail = EmailMessage()
        settings = self.world.settings.connectors.email
        mail["From"], mail["To"] = settings.sender or "", ", ".join(config.to)
        mail["Subject"] = " ".join((config.subject or message.title).split())
        domain = (settings.sender or "").rpartition("@")[2].rstrip(">") or "minoots"
        # Mail clients show a message once that comes twice under one id.
        mail["Message-ID"] = f"<{message.id}@{domain}>"
        mail.set_content(text_of(message, config.text, _MOST))
        try:
            async with self._server() as server:
                refused, answer = await server.send_message(mail)
        except aiosmtplib.SMTPException as error:
            raise _not_sent(error) from error
        except OSError as error:
            raise NotSent(AttemptError.CONNECT, "the SMTP server cannot be reached") from error
        return answer if not refused else f"{answer}; refused for {', '.join(sorted(refused))}"

    async def health(self) -> None:
        """Connect and greet."""
        try:
            async with self._server() as server:
                await server.noop()
        except (aiosmtplib.SMTPException, OSError) as error:
            raise NotSent(AttemptError.CONNECT, "the SMTP server cannot be used") from error

    def _server(self) -> aiosmtplib.SMTP:
        settings = self.world.settings.connectors.email
        password = settings.password
        return aiosmtplib.SMTP(
            hostname=settings.host,
            port=settings.port,
            use_tls=settings.security == "tls",
            start_tls=settings.security == "starttls",
            username=settings.username,
            password=None if password is None else password.get_secret_value(),
            timeout=_TIMEOUT,
        )


def _not_sent(error: aiosmtplib.SMTPException) -> NotSent:
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        codes = [one.code for one in error.recipients]
        code = min(codes, default=550)
        return NotSent(_kind(code), f"the server refused all receivers: {code}", status=code)
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return NotSent(
            _kind(error.code), f"the server answered {error.code} {error.message[:200]}", status=error.code
        )
    if isinstance(error, aiosmtplib.SMTPTimeoutError):
        return NotSent(AttemptError.TIMEOUT, "the SMTP server did not answer in time")
    return NotSent(AttemptError.CONNECT, "the connection to the SMTP server failed")


def _kind(code: int) -> AttemptError:
    # SMTP: 4xx may go later, 5xx never will; the other way round than HTTP.
    return AttemptError.REFUSED if code >= 500 else AttemptError.PROTOCOL
