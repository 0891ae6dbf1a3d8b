"""Adds fields to each line that a task logs, and logs a line when the task has ended."""

import time
from typing import Any

from structlog.contextvars import clear_contextvars

from shared.logs import bind, get_logger
from trainer_service.queue.steps import ADVANCE, READ_DATASET
from trainer_service.store.work_metrics import TASK_SECONDS

log = get_logger(__name__)

#: What the first argument of a task is, unless it is a training.
_ABOUT = {READ_DATASET: "dataset_id", ADVANCE: "comparison_id"}

#: When the task of this process began; a process runs one at a time.
_started = time.monotonic()


def begin(task: Any, args: tuple[Any, ...], **_: Any) -> None:
    """Bind the task, what it is about, and the id of the request it comes from, if any."""
    global _started  # noqa: PLW0603 - Celery's signals share nothing else
    _started = time.monotonic()
    clear_contextvars()
    about = _ABOUT.get(task.name, "training_id")
    came_from = (task.request.headers or {}).get("request_id")
    if came_from:
        bind(request_id=came_from)
    bind(**{about: args[0]}, task=task.name)
    log.debug("task started")


def end(task: Any, state: str, **_: Any) -> None:
    """Log that the task has ended, and how long it took."""
    seconds = time.monotonic() - _started
    TASK_SECONDS.labels(task.name).observe(seconds)
    log.info("task ended", state=state, seconds=round(seconds, 3))
    clear_contextvars()
