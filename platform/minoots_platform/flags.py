"""Feature flags, asked through OpenFeature, for code outside workflows.

Owns the list of flags with their defaults, and the life of the provider. Evaluation never raises: whatever is
wrong with the source, the default holds. Must not be used in workflow code: an answer may change on replay.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from pathlib import Path
from typing import Final, Self

from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode, OpenFeatureError
from openfeature.provider import FeatureProvider
from openfeature.provider.no_op_provider import NoOpProvider

from minoots_platform.settings import Settings

TIMERS_ACCEPT: Final = "timers.accept"
"""Whether the gateway takes new timers of a tenant; on unless the source says otherwise."""

_domains: Final = itertools.count()
_log: Final = logging.getLogger("minoots.flags")
_watcher_log: Final = logging.getLogger("openfeature.contrib")
_QUIET_SECONDS: Final = 60.0


class Flags:
    """The flags of this process; open it once, close it at the end.

    A flag file is read again while it changes. When it breaks or goes away later, the last good answers stay;
    when it is broken from the start, the defaults hold until it is mended.
    """

    def __init__(self, settings: Settings) -> None:
        # A domain each: OpenFeature keeps providers in one global registry, which two stacks may share.
        self._domain = f"minoots-{next(_domains)}"
        self._client = api.get_client(self._domain)
        self._remote = settings.flags.provider == "flagd"
        self._complaints = _OncePerMinute()
        self._reported: ErrorCode | None = None
        provider = _provider(settings)
        if provider is None:
            api.set_provider(NoOpProvider(), self._domain)
            return
        _watcher_log.addFilter(self._complaints)
        try:
            if self._remote:
                # Not waited for: a gateway starts with the defaults while flagd is away.
                api.set_provider(provider, self._domain)
            else:
                api.set_provider_and_wait(provider, self._domain)
        except OpenFeatureError as error:
            cause = error.__cause__ or error
            _log.warning(
                "the flag file cannot be used, so the defaults hold until it is mended: %s: %s",
                flag_file(settings),
                cause,
            )

    async def timers_accepted(self, tenant: str) -> bool:
        """Return whether new timers of ``tenant`` are taken."""
        return await self._boolean(TIMERS_ACCEPT, default=True, tenant=tenant)

    def close(self) -> None:
        """Stop following the source; from here on the defaults hold."""
        api.set_provider(NoOpProvider(), self._domain)
        _watcher_log.removeFilter(self._complaints)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _boolean(self, flag: str, *, default: bool, tenant: str) -> bool:
        if self._remote:
            # The flagd client blocks on the network, which would stall every request of the gateway.
            return await asyncio.to_thread(self._evaluate, flag, default, tenant)
        return self._evaluate(flag, default, tenant)

    def _evaluate(self, flag: str, default: bool, tenant: str) -> bool:
        context = EvaluationContext(targeting_key=tenant, attributes={"tenant": tenant})
        details = self._client.get_boolean_details(flag, default, context)
        # A source without this flag is as good as one that leaves it at its default.
        error = None if details.error_code is ErrorCode.FLAG_NOT_FOUND else details.error_code
        if error is not None and error is not self._reported:
            _log.warning(
                "flag %s keeps its default %s: %s %s", flag, default, error.value, details.error_message
            )
        self._reported = error
        return details.value


def flag_file(settings: Settings) -> Path | None:
    """Return the flag file to follow: the one set, else ``flags.json`` in ``data_dir`` if it exists."""
    if settings.flags.path is not None:
        return settings.flags.path
    default = settings.data_dir / "flags.json"
    return default if default.is_file() else None


def _provider(settings: Settings) -> FeatureProvider | None:
    path = flag_file(settings)
    if settings.flags.provider == "none" or (settings.flags.provider == "file" and path is None):
        return None
    # Imported only now: it brings gRPC, which costs a third of a second that most starts need not pay.
    from openfeature.contrib.provider.flagd import FlagdProvider
    from openfeature.contrib.provider.flagd.config import ResolverType

    if settings.flags.provider == "flagd":
        return FlagdProvider(
            resolver_type=ResolverType.RPC, host=settings.flags.host, port=settings.flags.port, tls=False
        )
    # The file watcher takes its poll interval from the deadline, whatever the other option is called.
    return FlagdProvider(
        resolver_type=ResolverType.FILE,
        offline_flag_source_path=str(path),
        deadline_ms=settings.flags.poll_ms,
    )


class _OncePerMinute(logging.Filter):
    """Lets one complaint through once a minute: the watcher repeats it, with a traceback, at every look."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        now, message = time.monotonic(), record.getMessage()
        if now - self._last.get(message, -_QUIET_SECONDS) < _QUIET_SECONDS:
            return False
        self._last[message] = now
        return True
