"""Structured logs on stderr, secrets masked: one JSON object a line, or text for a person's eyes."""

import logging
import sys
from contextlib import AbstractContextManager
from typing import Any, Final, Literal, TextIO, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from core.redaction import redact_copy


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to what `sys.stderr` is at that moment: a live display or a test may have replaced it."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def _redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    # Objects that are no JSON are shown as the renderer would show them, and masked as text.
    return {name: redact_copy(_plain(value)) if name[:1] != "_" else value for name, value in event.items()}


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in cast("dict[Any, Any]", value).items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in cast("list[Any]", value)]
    return str(value)


_CHAIN: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
    structlog.processors.format_exc_info,
    _redact,
]


# At import, so that a log line before `configure` goes to stderr and never to stdout.
structlog.configure(
    processors=[
        structlog.stdlib.filter_by_level,
        *_CHAIN,
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ],
    wrapper_class=structlog.stdlib.BoundLogger,
    logger_factory=structlog.stdlib.LoggerFactory(),
    cache_logger_on_first_use=True,
)


Format = Literal["json", "text"]

_RENDERERS: Final[dict[Format, Processor]] = {
    "json": structlog.processors.JSONRenderer(ensure_ascii=False),
    "text": structlog.dev.ConsoleRenderer(colors=False, sort_keys=False),
}


def configure(level: Literal["debug", "info", "warning", "error"] = "warning", form: Format = "json") -> None:
    """Send the factory's logs and those of its libraries to stderr from `level` on. May be called again."""
    handler = _Stderr(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_CHAIN,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _RENDERERS[form],
            ],
        )
    )
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, _Stderr)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)  # libraries speak only of trouble
    for package in ("core", "models", "workspace", "memory", "governance", "teams", "graph", "api", "cli"):
        logging.getLogger(package).setLevel(level.upper())


def about(**what: str) -> AbstractContextManager[None]:
    """Let every line of this block, and of the tasks it starts, say what it is about: run, team, request."""
    return structlog.contextvars.bound_contextvars(**what)


def get(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of a module: `logger = logs.get(__name__)`."""
    return structlog.stdlib.get_logger(name)
