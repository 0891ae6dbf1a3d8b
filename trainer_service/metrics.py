"""What the trainer tells of the store, the queue and the workers at each scrape."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import Any

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from redis import RedisError

from shared.errors import HeadstartError
from trainer_service.event_streams import EventStreams
from trainer_service.queue import QueueView
from trainer_service.record_store import RecordStore
from trainer_service.schemas import DatasetState, State
from trainer_service.stores import Stores


class States:
    """Counts records by state; a record is read again only when it has changed."""

    def __init__(self, records: RecordStore[Any]) -> None:
        self._records = records
        self._known: dict[Path, tuple[int, str]] = {}
        self._lock = Lock()

    def count(self) -> Counter[str]:
        with self._lock:
            found = {}
            for file in self._records.files():
                try:
                    written = file.stat().st_mtime_ns
                    known = self._known.get(file)
                    if known is None or known[0] != written:
                        known = written, str(self._records.get(file.parent.name).state)
                    found[file] = known
                except (OSError, HeadstartError):  # deleted meanwhile
                    continue
            self._known = found
            return Counter(state for _, state in found.values())


class TrainerCollector(Collector):
    def __init__(self, stores: Stores, view: QueueView, streams: EventStreams) -> None:
        self._trainings = States(stores.trainings)
        self._datasets = States(stores.datasets)
        self._view = view
        self._streams = streams

    def collect(self) -> Iterator[Metric]:
        yield _by_state("trainings", "Trainings", self._trainings.count(), list(State))
        yield _by_state("datasets", "Datasets", self._datasets.count(), list(DatasetState))
        streams = self._streams.followers
        yield GaugeMetricFamily("headstart_event_streams", "Clients that follow events.", streams)
        try:
            length, workers = self._view.length(), len(self._view.workers())
            unreadable = self._view.unreadable()
        except (RedisError, OSError):
            yield GaugeMetricFamily("headstart_redis_up", "Whether Redis answers.", 0)
            return
        yield GaugeMetricFamily("headstart_redis_up", "Whether Redis answers.", 1)
        yield GaugeMetricFamily("headstart_queue_tasks", "Tasks that wait for a worker.", length)
        yield GaugeMetricFamily(
            "headstart_queue_set_aside", "Lines that were no tasks and are kept.", unreadable
        )
        yield GaugeMetricFamily("headstart_workers", "Workers that live.", workers)


def _by_state(
    noun: str, words: str, counts: Counter[str], states: list[State] | list[DatasetState]
) -> Metric:
    family = GaugeMetricFamily(f"headstart_{noun}", f"{words} in the store.", labels=["state"])
    for state in states:
        family.add_metric([state], counts[state])
    return family
