"""The trainer's metrics of the store, the queue and the workers, collected at each scrape."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from redis import RedisError

from shared.logs import get_logger
from trainer_service.queue.view import QueueView
from trainer_service.service.event_streams import EventStreams
from trainer_service.store.records.comparison_record import ComparisonState
from trainer_service.store.records.dataset_record import DatasetState
from trainer_service.store.records.parts import Brief
from trainer_service.store.records.training_record import State
from trainer_service.store.stores import Stores

log = get_logger(__name__)


class TrainerCollector(Collector):
    """Collects the gauges of the store, the queue and the workers.

    Args:
        stores: the records to count.
        view: the queue and the workers.
        streams: the streams of events to count.
    """

    def __init__(self, stores: Stores, view: QueueView, streams: EventStreams) -> None:
        self._stores = stores
        self._view = view
        self._streams = streams

    def collect(self) -> Iterator[Metric]:
        yield from self._records()
        streams = self._streams.followers
        yield GaugeMetricFamily("headstart_event_streams", "Clients that follow events.", streams)
        try:
            length, workers = self._view.length(), len(self._view.workers())
            set_aside = self._view.unreadable()
        except (RedisError, OSError):
            yield GaugeMetricFamily("headstart_redis_up", "Whether Redis answers.", 0)
            return
        yield GaugeMetricFamily("headstart_redis_up", "Whether Redis answers.", 1)
        yield GaugeMetricFamily("headstart_queue_tasks", "Tasks that wait for a worker.", length)
        yield GaugeMetricFamily(
            "headstart_queue_set_aside", "Lines that were no tasks and are kept.", set_aside
        )
        yield GaugeMetricFamily("headstart_workers", "Workers that live.", workers)

    def _records(self) -> Iterator[Metric]:
        """Count the records; a directory that can't be listed counts as one unreadable record."""
        unreadable = GaugeMetricFamily(
            "headstart_unreadable_records", "Records that can't be read.", labels=["kind"]
        )
        for noun, records, states in (
            ("trainings", self._stores.trainings, State),
            ("datasets", self._stores.datasets, DatasetState),
            ("comparisons", self._stores.comparisons, ComparisonState),
        ):
            try:
                briefs, faults = records.briefs_and_errors()
            except OSError as error:
                log.warning("records can't be counted", directory=noun, reason=str(error))
                unreadable.add_metric([noun], 1)
                continue
            yield _by_state(noun, briefs, states)
            unreadable.add_metric([noun], len(faults))
        yield unreadable


def _by_state(noun: str, briefs: Sequence[Brief], states: Iterable[str]) -> Metric:
    counts = Counter(brief.state for brief in briefs)
    words = f"{noun.capitalize()} in the store."
    family = GaugeMetricFamily(f"headstart_{noun}", words, labels=["state"])
    for state in states:
        family.add_metric([state], counts[state])
    return family
