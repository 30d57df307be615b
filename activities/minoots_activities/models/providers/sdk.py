"""What the providers with an SDK of their own share: the SDK is an extra, imported when it is first used.

Owns the late import and the errors that both SDKs have, which are made by one generator. Must not import an
SDK at module level: a start without clouds must not pay for it, and an offline machine need not have it.
"""

from __future__ import annotations

import asyncio
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from minoots.contracts.models import ModelErrorKind
from minoots_platform.models import Catalogue
from minoots_platform.settings import ProviderSpec
from minoots_workflows.models.failures import ModelFailure

from .compatible import no_key, require_key
from .faults import error_of, garbled, of_status, of_transport
from .provider import FoundModel, Patience, Provider
from .wire import PLAIN, hooks


class SdkProvider(Provider):
    """A provider of the cloud that is spoken to through its own package."""

    package: str
    client_class: str

    def __init__(self, spec: ProviderSpec, catalogue: Catalogue, patience: Patience) -> None:
        super().__init__(spec, catalogue, patience)
        self._client: Any = None
        self._opening = asyncio.Lock()

    def lacks(self) -> str | None:
        """Return what it lacks."""
        if self.spec.key is None:
            return f"a key. {no_key(self.name)}"
        if find_spec(self.package) is None:
            return f"the package {self.package}. Install it: pip install 'minoots-server[{self.package}]'"
        return None

    async def models(self) -> tuple[FoundModel, ...]:
        """Return the models of the catalogue: nobody is asked."""
        return tuple(
            FoundModel(known.name, known.context, known.max_output, known.capabilities)
            for known in self.catalogue.of(self.spec.name, self.spec.kind)
        )

    async def look(self, model: str) -> FoundModel:
        """Return a model; one that the catalogue does not know is believed to be there."""
        known = self.catalogue.find(self.spec.name, self.spec.kind, model)
        if known is None:
            return FoundModel(model, known=model == self.spec.default)
        return FoundModel(model, known.context, known.max_output, known.capabilities)

    async def client(self) -> Any:
        """Return the SDK's client.

        Raises:
            ModelFailure: not_configured, without a key or the package.
        """
        async with self._opening:
            if self._client is None:
                key = require_key(self)
                module = await self.module()
                timeout = module.Timeout(None, connect=self.patience.connect)
                client = getattr(module, self.client_class)(
                    api_key=key,
                    # Never the environment's: the setting says where words go.
                    base_url=self.spec.url or self.usual_url,
                    # Whether another attempt is made, and where, is decided in one place.
                    max_retries=0,
                    timeout=timeout,
                    # Its usual one goes on to wherever an answer sends it, with all that was said.
                    http_client=module.DefaultAsyncHttpxClient(
                        timeout=timeout,
                        event_hooks=hooks(self.name),
                        follow_redirects=False,
                        # No proxy of the environment: words for a local model must not leave by it.
                        trust_env=not self.spec.local,
                    ),
                )
                # Headers of the environment may hold keys for another server, and OpenAI's say who is billed.
                client._custom_headers = dict(PLAIN)
                for name in ("organization", "project"):
                    if hasattr(client, name):
                        setattr(client, name, None)
                self._client = client
            return self._client

    usual_url: str

    async def module(self) -> ModuleType:
        """Return the SDK, imported in a thread: that takes a second.

        Raises:
            ModelFailure: not_configured, when it is not installed.
        """
        try:
            return await asyncio.to_thread(import_module, self.package)
        except ModuleNotFoundError as error:
            raise ModelFailure(
                ModelErrorKind.NOT_CONFIGURED,
                f"{self.name} needs the package {self.package}",
                remedy=f"Install it: pip install 'minoots-server[{self.package}]'",
            ) from error

    async def failure(self, error: Exception, *, reached: bool) -> ModelFailure:
        """Return the failure that an error of the SDK is."""
        module = await self.module()
        if isinstance(error, ModelFailure):
            return error
        if isinstance(error, module.APIStatusError):
            said, code = error_of(error.body if error.body is not None else error.message)
            status = error.status_code
            if status < 300:
                # An error in the middle of a stream that began with 200; its type says what it is.
                status = {"overloaded_error": 529, "rate_limit_error": 429}.get(code or "", 500)
            return of_status(self.name, status, said, code, error.response.headers.get("retry-after"))
        if isinstance(error, module.APIConnectionError):
            cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
            if isinstance(cause, ModelFailure):
                return cause
            return of_transport(self.name, cause, reached=reached)
        if isinstance(error, module.APIResponseValidationError | ValueError | TypeError | KeyError):
            return garbled(self.name, f"got a line that is none: {type(error).__name__}")
        if isinstance(error, module.APIError):
            said, code = error_of(error.body if error.body is not None else error.message)
            return of_status(self.name, 500, said, code)
        return of_transport(self.name, error, reached=reached)

    async def close(self) -> None:
        """Give connections back."""
        if self._client is not None:
            await self._client.close()
