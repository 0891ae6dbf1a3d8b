"""Reports the served versions to Prometheus."""

from collections.abc import Iterator

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from predictor_service.models.served import Models


class ModelsCollector(Collector):
    """Reads the models at each scrape; has to be called in the thread of the event loop."""

    def __init__(self, models: Models) -> None:
        self._models = models

    def collect(self) -> Iterator[Metric]:
        version = GaugeMetricFamily(
            "headstart_served_version", "The version that is served.", labels=["model"]
        )
        loaded = GaugeMetricFamily(
            "headstart_last_load_timestamp_seconds",
            "When the served version was loaded, in seconds since 1970.",
            labels=["model"],
        )
        queue = GaugeMetricFamily(
            "headstart_queue_images", "Images that wait or are worked on.", labels=["model"]
        )
        quarantined = GaugeMetricFamily(
            "headstart_quarantined_versions", "Versions in quarantine.", labels=["model"]
        )
        unreadable = GaugeMetricFamily(
            "headstart_model_unreadable",
            "1 if the model's directory or its pin can't be read.",
            labels=["model"],
        )
        compared, different, seconds = (
            CounterMetricFamily(f"headstart_shadow_{name}", f"{what}.", labels=["model"])
            for name, what in (
                ("compared", "Pictures that a version has answered beside the pinned one"),
                ("different", "Pictures to which its likeliest label was another one"),
                ("seconds", "Seconds that this took"),
            )
        )
        for model in self._models.all():
            if model.shadow:
                compared.add_metric([model.name], model.shadow.compared)
                different.add_metric([model.name], model.shadow.different)
                seconds.add_metric([model.name], model.shadow.seconds)
            unreadable.add_metric([model.name], model.fault is not None)
            quarantined.add_metric([model.name], len(model.quarantined))
            if model.served:
                version.add_metric([model.name], model.served.manifest.version)
                loaded.add_metric([model.name], model.served.loaded_at.timestamp())
                queue.add_metric([model.name], model.served.batcher.inside)
        yield GaugeMetricFamily(
            "headstart_model_store_unreadable",
            "1 if the last poll of the model store failed.",
            self._models.fault is not None,
        )
        yield from (version, loaded, queue, quarantined, unreadable)
        yield from (compared, different, seconds)
