"""Servers that speak OpenAI's wire: vLLM, llama.cpp, LM Studio, SGLang and many in the cloud.

Owns the carrying of that wire by httpx, without OpenAI's package.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, ClassVar

import httpx

from minoots.contracts.models import Capability, ModelErrorKind
from minoots_platform.models import Catalogue
from minoots_platform.settings import ProviderSpec
from minoots_workflows.models.failures import ModelFailure

from .faults import error_in, garbled, of_status, of_transport
from .openai_wire import Reading, body
from .provider import (
    Call,
    FoundModel,
    Patience,
    Piece,
    Provider,
    ProviderKind,
    Vectors,
    count_of,
    mapping_of,
    name_of,
    rows_of,
)
from .wire import PLAIN, hooks, lines_of, parsed


class CompatibleServer(Provider):
    """One server."""

    def __init__(self, spec: ProviderSpec, catalogue: Catalogue, patience: Patience) -> None:
        super().__init__(spec, catalogue, patience)
        headers = dict(PLAIN)
        if spec.key is not None:
            headers["authorization"] = f"Bearer {spec.key.get_secret_value()}"
        self._http = httpx.AsyncClient(
            headers=headers,
            timeout=httpx.Timeout(None, connect=patience.connect),
            event_hooks=hooks(self.name),
            # No proxy of the environment: words for a local model must not leave by it.
            trust_env=not spec.local,
        )
        self._base = (spec.url or "").rstrip("/")

    def lacks(self) -> str | None:
        """Return what it lacks."""
        return None if self._base else f"its address: set models.providers to {self.name}:compatible=http://…"

    async def models(self) -> tuple[FoundModel, ...]:
        """Return the models that it lists."""
        told = await self._ask("GET", "/models", None)
        try:
            return tuple(self._found(row) for row in rows_of(told.get("data")) if name_of(row.get("id")))
        except ValueError as error:
            raise garbled(self.name, f"got no list of models: {error}") from error

    async def stream(self, call: Call) -> AsyncGenerator[Piece, None]:
        """Yield an answer."""
        sent = body(call, output_field="max_tokens")
        if call.request.think is not None:
            # vLLM, SGLang and llama.cpp hand it to the model's own template; others ignore it.
            sent["chat_template_kwargs"] = {"enable_thinking": call.request.think}
        reading = Reading(self.name)
        try:
            async with self._http.stream("POST", f"{self._base}/chat/completions", json=sent) as answer:
                await self._check(answer)
                async for line in lines_of(answer):
                    if not line.startswith("data:"):
                        if line and not line.startswith((":", "event:", "id:", "retry:")):
                            raise garbled(self.name, "got a line that is no event")
                        continue
                    told = line[5:].strip()
                    if told == "[DONE]":
                        break
                    for piece in reading.pieces(_object(self.name, told)):
                        yield piece
        except httpx.HTTPError as error:
            raise of_transport(self.name, error, reached=reading.reached) from error
        yield reading.done()

    async def embed(self, model: str, texts: Sequence[str], dimensions: int | None) -> Vectors:
        """Return vectors."""
        sent: dict[str, Any] = {"model": model, "input": list(texts), "encoding_format": "float"}
        if dimensions is not None:
            sent["dimensions"] = dimensions
        told = await self._ask("POST", "/embeddings", sent)
        return vectors_of(self.name, told, len(texts))

    async def close(self) -> None:
        """Give connections back."""
        await self._http.aclose()

    async def _ask(self, method: str, path: str, sent: dict[str, Any] | None) -> dict[str, Any]:
        try:
            answer = await self._http.request(
                method, f"{self._base}{path}", json=sent, timeout=self.patience.first
            )
            await self._check(answer)
        except httpx.HTTPError as error:
            raise of_transport(self.name, error, reached=False) from error
        return _object(self.name, answer.text)

    async def _check(self, answer: httpx.Response) -> None:
        if answer.status_code >= 300:
            said, code = error_in((await answer.aread()).decode("utf-8", "replace"))
            raise of_status(self.name, answer.status_code, said, code, answer.headers.get("retry-after"))

    def _found(self, row: Mapping[str, Any]) -> FoundModel:
        name = str(row.get("id"))
        known = self.catalogue.find(self.spec.name, self.spec.kind, name)
        # vLLM and llama.cpp each say it in a place of their own.
        context = count_of(row.get("max_model_len") or mapping_of(row.get("meta")).get("n_ctx_train")) or None
        able = None if known is None else known.capabilities
        if known is not None and known.context is not None:
            context = known.context
        return FoundModel(name, context, known.max_output if known else None, able)


class Compatible(ProviderKind):
    """Opens servers that speak OpenAI's wire."""

    kind: ClassVar[str] = "compatible"

    def open(self, spec: ProviderSpec, catalogue: Catalogue, patience: Patience) -> CompatibleServer:
        """Return a server."""
        return CompatibleServer(spec, catalogue, patience)


def vectors_of(provider: str, told: dict[str, Any], count: int) -> Vectors:
    """Return the vectors in an answer, in the order of the texts.

    Raises:
        ModelFailure: bad_answer, when there is not one of each text.
    """
    try:
        rows = sorted(told["data"], key=lambda row: row["index"])
        vectors = tuple(tuple(float(one) for one in row["embedding"]) for row in rows)
    except (KeyError, TypeError, ValueError) as error:
        raise garbled(provider, f"got no vectors: {type(error).__name__}") from error
    if len(vectors) != count:
        raise garbled(provider, f"got {len(vectors)} vectors of {count} texts")
    usage = told.get("usage")
    return Vectors(vectors, count_of(usage.get("prompt_tokens")) if isinstance(usage, dict) else None)


def _object(provider: str, text: str) -> dict[str, Any]:
    try:
        found = parsed(text)
    except ValueError as error:
        raise garbled(provider, "got a line that is no JSON") from error
    if not isinstance(found, dict):
        raise garbled(provider, f"got {type(found).__name__} instead of an object")
    return found


def require_key(provider: Provider) -> str:
    """Return a provider's key.

    Raises:
        ModelFailure: not_configured, when it has none.
    """
    if provider.spec.key is None:
        raise ModelFailure(
            ModelErrorKind.NOT_CONFIGURED,
            f"{provider.name} has no key",
            remedy=no_key(provider.name),
        )
    return provider.spec.key.get_secret_value()


def no_key(name: str) -> str:
    """Return what to do about a provider without a key."""
    return f"Set models.keys (MINOOTS_MODELS__KEYS) to {name}=<key>."


def embedding_only(found: FoundModel) -> bool:
    """Tell whether a model makes vectors and nothing else."""
    return found.capabilities == frozenset({Capability.EMBEDDING})
