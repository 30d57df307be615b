"""NATS JetStream: a message that a stream has confirmed, once for its id."""

from __future__ import annotations

import asyncio
import json
from typing import Final

import nats
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from nats.js.errors import APIError, NoStreamResponseError

from minoots.contracts import AttemptError
from minoots_platform.connectors.nats import Publish

from .sender import Message, NotSent, Sender, World

_TIMEOUT: Final = 5.0


class Nats(Sender[Publish]):
    """Publishes over one connection, kept as long as the process lives."""

    _client: Client | None = None

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._connecting = asyncio.Lock()

    async def send(self, message: Message, config: Publish) -> str | None:
        """Publish and wait for the stream to confirm."""
        settings = self.world.settings.connectors.nats
        subject = settings.subject_prefix.replace("{tenant}", message.tenant) + config.subject
        # The server drops a second message of one id within the stream's window.
        headers = {"Nats-Msg-Id": message.id, "Content-Type": "application/cloudevents+json"}
        if message.traceparent is not None:
            headers["Traceparent"] = message.traceparent
        body = json.dumps(message.event, ensure_ascii=False).encode()
        try:
            client = await self._connected()
            done = await client.jetstream().publish(subject, body, timeout=_TIMEOUT, headers=headers)
        except (NoStreamResponseError, NoRespondersError) as error:
            raise NotSent(AttemptError.ABSENT, f"no stream takes {subject}") from error
        except APIError as error:
            raise NotSent(
                AttemptError.PROTOCOL, f"the stream answered {error.code}: {error.description}"
            ) from error
        except TimeoutError as error:
            raise NotSent(AttemptError.TIMEOUT, f"no stream confirmed {subject} in time") from error
        except (NatsError, OSError) as error:
            raise NotSent(AttemptError.CONNECT, f"NATS cannot be reached: {type(error).__name__}") from error
        return json.dumps({"stream": done.stream, "seq": done.seq, "duplicate": bool(done.duplicate)})

    async def health(self) -> None:
        """Have the server answer."""
        try:
            await (await self._connected()).flush(timeout=int(_TIMEOUT))
        except (NatsError, OSError, TimeoutError) as error:
            raise NotSent(AttemptError.CONNECT, f"NATS cannot be reached: {type(error).__name__}") from error

    async def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _connected(self) -> Client:
        # One at a time: of two that connect at once, one would be forgotten.
        async with self._connecting:
            return await self._connection()

    async def _connection(self) -> Client:
        if self._client is None or self._client.is_closed:
            settings = self.world.settings.connectors.nats
            credentials = settings.credentials
            self._client = await nats.connect(
                list(settings.servers),
                connect_timeout=int(_TIMEOUT),
                # Few: a connection that is lost for longer is made anew by the next attempt.
                max_reconnect_attempts=2,
                reconnect_time_wait=0.1,
                user_credentials=None if credentials is None else str(credentials),
                error_cb=_quiet,
            )
        return self._client


async def _quiet(error: Exception) -> None:
    """What goes wrong goes wrong again in the next attempt, which reports it."""
