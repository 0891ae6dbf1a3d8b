"""Structured logs: every line an event with fields, for people or as JSON.

Lines of the standard library's loggers (uvicorn, Celery, TensorFlow) take the same way, so each
bears what `bound` says of the moment: request id, training, model and version.
"""

import json
import logging
import sys
from typing import Literal

import structlog
from structlog.contextvars import bind_contextvars, bound_contextvars, get_contextvars
from structlog.stdlib import BoundLogger, ProcessorFormatter
from structlog.types import EventDict, Processor, WrappedLogger

LogFormat = Literal["console", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]

#: These say at `info` what our own lines say with fields, or nothing that matters.
TALKATIVE = ("absl", "celery.app.trace", "celery.worker.strategy", "httpx", "tensorflow")

#: Fields for every line that this task or thread logs from now on.
bind = bind_contextvars
#: The same for as long as a body runs.
bound = bound_contextvars


def get_logger(name: str) -> BoundLogger:
    return structlog.stdlib.get_logger(name)


def request_id() -> str | None:
    """Return the id of the request that is being answered, or that a task comes from."""
    return get_contextvars().get("request_id")


def configure_logging(service: str, log_format: LogFormat, level: LogLevel) -> None:
    """Send every line of this process to standard error.

    Args:
        service: which process it is, a field of each line.
        log_format: console for people, json for programs: one object a line.
        level: the lowest that is logged.
    """

    def add_service(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    as_json = structlog.processors.JSONRenderer(ensure_ascii=False)
    formatter = ProcessorFormatter(
        processors=[
            ProcessorFormatter.remove_processors_meta,
            add_service,
            structlog.processors.format_exc_info,
            as_json if log_format == "json" else _for_people,
        ],
        foreign_pre_chain=_COMMON,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.root.level))


def _for_people(_: WrappedLogger, __: str, event: EventDict) -> str:
    """Return `TIME LEVEL EVENT FIELD=VALUE …`, then the traceback, if there is one.

    structlog's own renderer costs a busy predictor a hundredth of its time.
    """
    exception = event.pop("exception", None)
    head = f"{event.pop('timestamp')} {event.pop('level'):7} {event.pop('event')}"
    line = " ".join([head, *(f"{name}={_quoted(value)}" for name, value in event.items())])
    return f"{line}\n{exception}" if exception else line


def _quoted(value: object) -> str:
    """Keep what came from outside to one line, and from steering a terminal."""
    text = str(value)
    if text.isprintable() and text and " " not in text and '"' not in text:
        return text
    return json.dumps(text, ensure_ascii=not text.isprintable())


_COMMON: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper("iso"),
]

structlog.configure(
    processors=[
        structlog.stdlib.filter_by_level,
        *_COMMON,
        ProcessorFormatter.wrap_for_formatter,
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=BoundLogger,
    cache_logger_on_first_use=True,
)
