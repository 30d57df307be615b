"""Logs: JSON lines for programs, or text for a terminal; everything of this process through one chain.

Owns the shape of a line and the two sinks, operational and audit. Lines of the standard library's loggers
(uvicorn, temporalio, sqlalchemy) take the same way. No line leaves without passing the redaction.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, Self, TextIO, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from minoots_platform.settings import TelemetrySettings

from .context import add_trace_id, add_workflow_id
from .redaction import redact
from .sinks import AuditFile, StreamSink

AUDIT: Final = "audit"
KEYS: Final = ("ts", "level", "service", "event", "request_id", "tenant", "workflow_id", "trace_id")
"""Keys that every line has, in this order; ``null`` where there is nothing to say."""

_OWN_HANDLERS: Final = ("uvicorn", "uvicorn.error", "uvicorn.access")
_CHATTY: Final = ("alembic", "httpx", "httpx2", "httpcore", "httpcore2", "sqlalchemy.engine", "openfeature")
_NOISE: Final = ("color_message", "taskName", "_record", "_from_structlog")


class Logs:
    """The logging of this process; `close` takes it down again."""

    def __init__(self, handlers: Sequence[tuple[logging.Logger, logging.Handler]]) -> None:
        self._handlers = tuple(handlers)

    def close(self) -> None:
        """Take the sinks away and close them."""
        for logger, handler in self._handlers:
            logger.removeHandler(handler)
            handler.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def start_logs(settings: TelemetrySettings, service: str, *, stream: TextIO | None = None) -> Logs:
    """Route every logger of this process through one chain; ``stream`` replaces standard error.

    Raises:
        OSError: when the audit file cannot be opened.
    """
    root, audit_logger = logging.getLogger(), logging.getLogger(AUDIT)
    operational = StreamSink(stream)
    auditing: logging.Handler = AuditFile(settings.audit_log) if settings.audit_log else StreamSink(stream)
    operational.setFormatter(_formatter(service, console=settings.log_format == "console"))
    auditing.setFormatter(_formatter(service, console=False))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    root.addHandler(operational)
    root.setLevel(settings.log_level)
    audit_logger.addHandler(auditing)
    # Whatever the level of the operational log: an audit trail with gaps is none.
    audit_logger.setLevel(logging.INFO)
    audit_logger.propagate = False
    for name in _OWN_HANDLERS:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        # Its configuration sets a level of its own; ours is the root's.
        logger.setLevel(logging.NOTSET)
        logger.propagate = True
    for name in _CHATTY:
        chatty = logging.getLogger(name)
        chatty.setLevel(logging.NOTSET if settings.log_level == "DEBUG" else logging.WARNING)
    return Logs([(root, operational), (audit_logger, auditing)])


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of a module: ``log.info("timer fired", timer=…)``."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def audit(event: str, *, actor: str, tenant: str | None, decision: str, **fields: object) -> None:
    """Record a decision: who wanted what, of which tenant, and what was decided.

    Raises:
        OSError: when the audit file cannot be written.
    """
    get_logger(AUDIT).info(event, sink=AUDIT, actor=actor, tenant=tenant, decision=decision, **fields)


def _formatter(service: str, *, console: bool) -> logging.Formatter:
    def shape(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        record = event.get("_record")
        # The record's own time: lines of Temporal's core arrive a little later than they were written.
        at = datetime.fromtimestamp(record.created, UTC) if record is not None else datetime.now(UTC)
        event["ts"] = at.isoformat(timespec="microseconds").replace("+00:00", "Z")
        event["service"] = service
        rest = {key: value for key, value in event.items() if key not in KEYS and key not in _NOISE}
        return {**{key: event.get(key) for key in KEYS}, **rest}

    def clean(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return cast(EventDict, redact(event))

    renderer: Processor = structlog.processors.JSONRenderer(ensure_ascii=False)
    if console:
        renderer = _console
    return structlog.stdlib.ProcessorFormatter(
        # Only for lines of the standard library: their `extra=` fields.
        foreign_pre_chain=[structlog.stdlib.ExtraAdder()],
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            add_trace_id,
            add_workflow_id,
            # The traceback becomes text before it is cleaned, so that secrets in it are found too.
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            shape,
            clean,
            renderer,
        ],
    )


def _console(logger: WrappedLogger, method: str, event: EventDict) -> str:
    shown: dict[str, Any] = {key: value for key, value in event.items() if value is not None}
    shown["timestamp"] = shown.pop("ts")
    # Plain tracebacks: the pretty ones print local variables, which nobody has cleaned.
    render = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    return render(logger, method, shown)
