"""Runs the sweep in every worker: in its parent process, beside the tasks."""

from typing import Any

from celery import bootsteps

from trainer_service.event_log import connect
from trainer_service.queue import QueueView, TaskQueue
from trainer_service.settings import TrainerSettings
from trainer_service.stores import Stores
from trainer_service.sweep import Sweep


class SweepStep(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery is untyped
    """Sweeps whenever the worker is connected; connecting anew starts it anew."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **_: Any) -> None:
        settings = TrainerSettings()
        self._sweep = Sweep(
            Stores.open(settings),
            QueueView(connect(settings.redis_url)),
            TaskQueue(consumer.app),
            settings.lease_seconds,
        )
        self._timer: Any = None

    def start(self, consumer: Any) -> None:
        self._sweep()
        self._timer = consumer.timer.call_repeatedly(self._sweep.interval, self._sweep)

    def stop(self, _: Any) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
