"""Structured logs: every line is an event with fields, written for people or as JSON.

Lines of the standard library's loggers (uvicorn, Celery, TensorFlow) go through the same handler.
So each line has the fields that `bind` and `bound` have set: request id, training, model, version.
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

#: At `info` these loggers repeat what Headstart's own lines say, or log nothing that matters.
VERBOSE = ("absl", "celery.app.trace", "celery.worker.strategy", "httpx", "tensorflow")

#: Adds fields to every line that this task or thread logs from now on.
bind = bind_contextvars
#: Adds fields to the lines that are logged while the body of a `with` runs.
bound = bound_contextvars


def get_logger(name: str) -> BoundLogger:
    """Return a logger whose events take fields: `log.info("loaded", seconds=0.5)`."""
    return structlog.stdlib.get_logger(name)


def request_id() -> str | None:
    """Return the id of the request that is being answered or that submitted the task, if any."""
    return get_contextvars().get("request_id")


def configure_logging(service: str, log_format: LogFormat, level: LogLevel) -> None:
    """Send every line of this process to standard error.

    Args:
        service: the name of the process; every line has it as a field.
        log_format: "console" for people, "json" for one object per line.
        level: the lowest level that is logged.
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
    for name in VERBOSE:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.root.level))


def _for_people(_: WrappedLogger, __: str, event: EventDict) -> str:
    """Return `TIME LEVEL EVENT FIELD=VALUE …`, then the traceback, if there is one.

    structlog's own renderer takes about 1 % of a busy predictor's time.
    """
    exception = event.pop("exception", None)
    head = f"{event.pop('timestamp')} {event.pop('level'):7} {event.pop('event')}"
    line = " ".join([head, *(f"{name}={_quoted(value)}" for name, value in event.items())])
    return f"{line}\n{exception}" if exception else line


def _quoted(value: object) -> str:
    """Return a value as one line without control characters, in quotes if necessary."""
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
