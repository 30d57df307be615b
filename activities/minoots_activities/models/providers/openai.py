"""OpenAI, through its own package (the extra ``openai``)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any, ClassVar

from minoots.contracts.models import Capability
from minoots_platform.models import Catalogue
from minoots_platform.settings import ProviderSpec

from .compatible import vectors_of
from .openai_wire import Reading, body
from .provider import Call, Patience, Piece, ProviderKind, Vectors
from .sdk import SdkProvider


class OpenAIProvider(SdkProvider):
    """OpenAI's own service, or one that its package can be pointed at."""

    package = "openai"
    client_class = "AsyncOpenAI"
    usual_url = "https://api.openai.com/v1"

    async def stream(self, call: Call) -> AsyncGenerator[Piece, None]:
        """Yield an answer."""
        client = await self.client()
        sent: dict[str, Any] = body(call, output_field="max_completion_tokens")
        known = self.catalogue.find(self.spec.name, self.spec.kind, call.model)
        thinks = known is not None and Capability.THINKING in (known.capabilities or ())
        if call.request.think is not None and thinks:
            # It cannot be turned off; little is the least that there is.
            sent["reasoning_effort"] = "medium" if call.request.think else "low"
        reading = Reading(self.name)
        try:
            async with await client.chat.completions.create(**sent) as chunks:
                async for chunk in chunks:
                    for piece in reading.pieces(chunk.to_dict(warnings=False)):
                        yield piece
            yield reading.done()
        except Exception as error:
            raise await self.failure(error, reached=reading.reached) from error

    async def embed(self, model: str, texts: Sequence[str], dimensions: int | None) -> Vectors:
        """Return vectors."""
        client = await self.client()
        more: dict[str, Any] = {} if dimensions is None else {"dimensions": dimensions}
        try:
            told = await client.embeddings.create(
                model=model, input=list(texts), encoding_format="float", **more
            )
            return vectors_of(self.name, told.to_dict(warnings=False), len(texts))
        except Exception as error:
            raise await self.failure(error, reached=False) from error


class OpenAI(ProviderKind):
    """Opens OpenAI."""

    kind: ClassVar[str] = "openai"

    def open(self, spec: ProviderSpec, catalogue: Catalogue, patience: Patience) -> OpenAIProvider:
        """Return a provider."""
        return OpenAIProvider(spec, catalogue, patience)
