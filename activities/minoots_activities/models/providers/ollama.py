"""Ollama, on its native API: the other one ignores ``num_ctx``, ``think`` and ``keep_alive``.

Owns its wire. The client's own model of tools drops nested keywords of JSON Schema, so requests are written
here; the client sends them, reads the lines and tells errors. Only models that run here count as local:
Ollama also passes some on to its cloud.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, ClassVar, Final

import httpx
import ollama

from minoots.contracts.models import Capability, FinishReason, Message, ModelErrorKind, Role
from minoots_platform.models import Catalogue
from minoots_platform.settings import ProviderSpec
from minoots_workflows.models.failures import ModelFailure

from .faults import broken, error_in, garbled, of_status, of_transport, shown
from .provider import (
    Call,
    Done,
    FoundModel,
    Patience,
    Piece,
    Provider,
    ProviderKind,
    Text,
    Thinking,
    Vectors,
    count_of,
    mapping_of,
    name_of,
    rows_of,
    text_of,
)
from .provider import ToolPart as Part
from .wire import PLAIN, hooks, lines_of, parsed

URL: Final = "http://127.0.0.1:11434"
_CAPABILITIES: Final = {
    "completion": Capability.COMPLETION,
    "tools": Capability.TOOLS,
    "vision": Capability.IMAGES,
    "thinking": Capability.THINKING,
    "embedding": Capability.EMBEDDING,
}


_WRONG: Final = (
    ollama.ResponseError,
    httpx.HTTPError,
    ConnectionError,
    ValueError,
    TypeError,
    AttributeError,
)
"""What the client raises. It takes every line to be an object."""


class OllamaServer(Provider):
    """One Ollama server."""

    def __init__(self, spec: ProviderSpec, catalogue: Catalogue, patience: Patience) -> None:
        super().__init__(spec, catalogue, patience)
        headers = dict(PLAIN)
        if spec.key is not None:
            headers["authorization"] = f"Bearer {spec.key.get_secret_value()}"
        # No proxy of the environment: words for a local model must not leave by it.
        self.client = ollama.AsyncClient(
            spec.url or URL,
            timeout=httpx.Timeout(None, connect=patience.connect),
            headers=headers,
            trust_env=not spec.local,
            follow_redirects=False,
            event_hooks=hooks(self.name),
        )
        if spec.key is None:
            # The client takes a key for Ollama's cloud from the environment, for whatever server it is.
            self.client._client.headers.pop("authorization", None)
        self._shown: dict[str, FoundModel] = {}

    async def models(self) -> tuple[FoundModel, ...]:
        """Return the models that are pulled."""
        told = await self.ask("GET", "/api/tags")
        try:
            rows = rows_of(told.get("models"))
        except ValueError as error:
            raise garbled(self.name, f"got no list of models: {error}") from error
        found = []
        for row in rows:
            name, digest = name_of(row.get("name") or row.get("model")), name_of(row.get("digest"))
            if name is None:
                continue
            known = self._shown.get(name)
            if known is None or known.digest != digest:
                known = await self._show(name, digest, remote=_is_remote(name, row))
                self._shown[name] = known
            found.append(known)
        return tuple(found)

    async def look(self, model: str) -> FoundModel | None:
        """Return one model, by its name with or without ``:latest``."""
        wanted = with_tag(model)
        return next((found for found in await self.models() if found.name == wanted), None)

    async def stream(self, call: Call) -> AsyncGenerator[Piece, None]:
        """Yield an answer."""
        reached, called = False, 0
        try:
            # As they came: the client's own model refuses arguments that are no object, which a model can be
            # told of, and much else that can be read.
            async with self._chat(self._body(call)) as parts:
                async for part in parts:
                    reached = True
                    message = mapping_of(part.get("message"))
                    if thought := text_of(message.get("thinking")):
                        yield Thinking(thought)
                    if said := text_of(message.get("content")):
                        yield Text(said)
                    # Numbered over all lines: one may bring them one by one.
                    for one in rows_of(message.get("tool_calls")):
                        function = mapping_of(one.get("function"))
                        arguments, name = text_of(function.get("arguments")), name_of(function.get("name"))
                        yield Part(called, arguments, name=name)
                        called += 1
                    if part.get("done"):
                        yield _done(part, called=bool(called))
                        return
        except _WRONG as error:
            raise self._failure(error, reached=reached) from error
        raise broken(self.name, "it ended before it was done")

    async def embed(self, model: str, texts: Sequence[str], dimensions: int | None) -> Vectors:
        """Return vectors. A text that is longer than the context is refused, not cut."""
        body = {
            "model": model,
            "input": list(texts),
            "truncate": False,
            "keep_alive": keep_alive(self.spec.keep_alive),
            **({} if dimensions is None else {"dimensions": dimensions}),
        }
        told = await self.ask("POST", "/api/embed", body)
        vectors = told.get("embeddings")
        if not isinstance(vectors, list) or len(vectors) != len(texts):
            raise garbled(self.name, f"got no vector of each of {len(texts)} texts")
        try:
            found = tuple(tuple(float(number) for number in one) for one in vectors)
        except (TypeError, ValueError) as error:
            raise garbled(self.name, f"got vectors that are none: {type(error).__name__}") from error
        return Vectors(found, count_of(told.get("prompt_eval_count")))

    async def close(self) -> None:
        """Give connections back."""
        await self.client.close()  # type: ignore[no-untyped-call]  # the client's own

    async def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what the server answers to something that is no conversation.

        Raises:
            ModelFailure: for everything that goes wrong.
        """
        try:
            answer = await self.client._request_raw(method, path, json=body)  # type: ignore[no-untyped-call]
            told = parsed(answer.text)
        except (ollama.ResponseError, httpx.HTTPError, ConnectionError, ValueError) as error:
            raise self._failure(error, reached=False) from error
        except RecursionError:
            # Of the client's own, which reads what it takes for an error.
            raise garbled(self.name, f"got an error of {path} that nests too deep") from None
        if not isinstance(told, dict):
            raise garbled(self.name, f"got {type(told).__name__} from {path}")
        return told

    async def _show(self, name: str, digest: str | None, *, remote: bool) -> FoundModel:
        told = await self.ask("POST", "/api/show", {"model": name})
        info = mapping_of(told.get("model_info"))
        context = count_of(info.get(f"{info.get('general.architecture')}.context_length")) or None
        able: frozenset[Capability] | None = None
        if isinstance(listed := told.get("capabilities"), list):
            able = frozenset(_CAPABILITIES[one] for one in map(text_of, listed) if one in _CAPABILITIES)
            if Capability.COMPLETION in able:
                # Ollama itself holds the answer to the schema, whatever the model is.
                able |= {Capability.JSON}
        remote = remote or _is_remote(name, told)
        return FoundModel(name, context, capabilities=able, digest=digest, remote=remote)

    @asynccontextmanager
    async def _chat(self, body: dict[str, Any]) -> AsyncGenerator[AsyncGenerator[dict[str, Any], None], None]:
        """Yield the lines of an answer as they came; the client's own end at what ends lines in a text."""
        async with self.client._client.stream("POST", "/api/chat", json=body) as answer:
            if answer.status_code != 200:
                await answer.aread()
                said, code = error_in(answer.text)
                wait = answer.headers.get("retry-after")
                raise of_status(self.name, answer.status_code, said, code, wait)
            async with aclosing(_parts(answer)) as parts:
                yield parts

    def _body(self, call: Call) -> dict[str, Any]:
        request = call.request
        options = {
            "num_ctx": call.context_tokens,
            "num_predict": call.max_tokens,
            "temperature": request.temperature,
            "seed": request.seed,
            "stop": list(request.stop) or None,
        }
        body = {
            "model": call.model,
            "messages": [_message(message, call.images) for message in call.messages],
            "stream": True,
            "options": {name: value for name, value in options.items() if value is not None},
            "keep_alive": keep_alive(self.spec.keep_alive),
            "think": request.think,
            "format": request.json_schema,
            # It can be told to refuse what it would drop, at the beginning or while it answers. Old ones do
            # not know these words, and are seen through by what they evaluate.
            **({} if self.spec.truncate else {"truncate": False, "shift": False}),
            "tools": [tool_json(tool.name, tool.description, tool.parameters) for tool in request.tools]
            or None,
        }
        return {name: value for name, value in body.items() if value is not None}

    def _failure(self, error: Exception, *, reached: bool) -> ModelFailure:
        if isinstance(error, ollama.ResponseError):
            said, code = error_in(error.error)
            if error.status_code >= 400:
                return of_status(self.name, error.status_code, said, code)
            # A line of an answer that began with 200.
            failure = of_status(self.name, 500, said, code)
            if failure.kind is ModelErrorKind.CONTEXT_TOO_LONG:
                return failure
            return ModelFailure(
                failure.kind, f"{self.name} failed in the middle of its answer: {shown(said)}"
            )
        if isinstance(error, ValueError | TypeError | AttributeError) and not isinstance(error, OSError):
            return garbled(self.name, f"got a line that is none: {type(error).__name__}")
        return of_transport(self.name, error, reached=reached)


async def _parts(answer: httpx.Response) -> AsyncGenerator[dict[str, Any], None]:
    async for line in lines_of(answer):
        part = parsed(line)
        if said := part.get("error"):
            raise ollama.ResponseError(said)
        yield part


class Ollama(ProviderKind):
    """Opens Ollama servers."""

    kind: ClassVar[str] = "ollama"

    def open(self, spec: ProviderSpec, catalogue: Catalogue, patience: Patience) -> OllamaServer:
        """Return a server."""
        return OllamaServer(spec, catalogue, patience)


def with_tag(name: str) -> str:
    """Return a model's whole name."""
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def keep_alive(text: str | None) -> str | float | None:
    """Return how long a model is kept, as the wire wants it: a bare number must not be a text."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return text


def tool_json(name: str, description: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """Return a tool as it is sent: its schema as it stands."""
    function = {"name": name, "description": description, "parameters": parameters}
    return {"type": "function", "function": function}


def _message(message: Message, images: dict[str, bytes]) -> dict[str, Any]:
    told: dict[str, Any] = {"role": message.role.value, "content": message.text}
    if message.images:
        told["images"] = [base64.b64encode(images[one]).decode() for one in message.images]
    if message.tool_calls:
        told["tool_calls"] = [
            {"function": {"name": call.name, "arguments": call.arguments}} for call in message.tool_calls
        ]
    if message.role is Role.TOOL and message.name:
        told["tool_name"] = message.name
    return told


def _done(part: Mapping[str, Any], *, called: bool) -> Done:
    finish = FinishReason.STOP
    if part.get("done_reason") in ("length", "limit"):
        finish = FinishReason.LENGTH
    elif called:
        finish = FinishReason.TOOL_CALLS
    # Some versions leave the count out when they had all of it in their cache.
    read, wrote = count_of(part.get("prompt_eval_count")) or None, count_of(part.get("eval_count"))
    return Done(finish, read, wrote, model=name_of(part.get("model")))


def _is_remote(name: str, row: Mapping[str, Any]) -> bool:
    tag = name.rpartition(":")[2]
    return bool(row.get("remote_host") or row.get("remote_model")) or tag == "cloud" or tag.endswith("-cloud")
