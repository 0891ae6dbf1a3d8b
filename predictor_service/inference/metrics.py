"""The metrics of the predictor."""

from prometheus_client import CollectorRegistry, Counter, Histogram

STAGE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128)
LOAD_BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class BatchMetrics:
    """Metrics of images on their way through a batcher."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        stages = Histogram(
            "headstart_predict_stage_duration_seconds",
            "queue: an image's waiting; decode: an image; forward: a batch; total: a request.",
            ["stage"],
            buckets=STAGE_BUCKETS,
            registry=registry,
        )
        self.queue = stages.labels("queue")
        self.decode = stages.labels("decode")
        self.forward = stages.labels("forward")
        self.total = stages.labels("total")
        self.batch = Histogram(
            "headstart_batch_images",
            "Images in one forward pass.",
            buckets=BATCH_BUCKETS,
            registry=registry,
        )
        self.full = Counter(
            "headstart_queue_full_total",
            "Requests refused since HEADSTART_MAX_QUEUE images were waiting.",
            registry=registry,
        )


class ReloadMetrics:
    """Metrics of loading versions."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.swaps = Counter(
            "headstart_swaps_total", "Versions that were put to work.", ["model"], registry=registry
        )
        self.on_demand = Counter(
            "headstart_loads_on_demand_total",
            "Versions that were loaded since a request asked for them.",
            ["model"],
            registry=registry,
        )
        self.quarantines = Counter(
            "headstart_quarantines_total",
            "Versions that were refused, by what was wrong: files, answers, engine or machine; or "
            "watched: that was seen in its first minutes.",
            ["reason"],
            registry=registry,
        )
        self.load = Histogram(
            "headstart_load_duration_seconds",
            "Verifying, loading, warming and trying a version that was then served.",
            buckets=LOAD_BUCKETS,
            registry=registry,
        )
        self.returns = Counter(
            "headstart_returns_total",
            "Versions that were left for another one, as they failed in their first minutes.",
            ["model"],
            registry=registry,
        )
        for reason in ("files", "answers", "engine", "machine", "watched"):
            self.quarantines.labels(reason)


class PredictorMetrics:
    """All metrics of the predictor, in one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.batches = BatchMetrics(registry)
        self.reload = ReloadMetrics(registry)
        self.predictions = Counter(
            "headstart_predictions_total", "Images classified.", ["model"], registry=registry
        )
        self.refused = Counter(
            "headstart_images_refused_total",
            "Images that got an error, by what was wrong with them.",
            ["reason"],
            registry=registry,
        )
