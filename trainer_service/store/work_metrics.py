"""Metrics of the work on trainings, counted in workers, and in the trainer when it cancels one.

A worker has several processes, so only counters and histograms are used, which prometheus_client
can add up over processes.
"""

from prometheus_client import CollectorRegistry, Counter, Histogram

DURATION_BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 14_400)

WORK = CollectorRegistry()

PHASE_SECONDS = Histogram(
    "headstart_phase_duration_seconds",
    "How long trainings were in a state, queued among them, until they left it.",
    ["phase"],
    buckets=DURATION_BUCKETS,
    registry=WORK,
)
ENDED = Counter(
    "headstart_trainings_ended_total", "Trainings that ended, by how.", ["state"], registry=WORK
)
FEATURES = Counter(
    "headstart_features_total",
    "Images of trainings, and views of them, by whether their features were reused (a cache hit) "
    "or computed.",
    ["source"],
    registry=WORK,
)
COMPUTE_SECONDS = Counter(
    "headstart_features_compute_seconds_total",
    "Seconds that computing features took.",
    registry=WORK,
)
IMAGES_REJECTED = Counter(
    "headstart_dataset_images_rejected_total",
    "Images of datasets that can't be used.",
    ["verdict"],
    registry=WORK,
)
TASK_SECONDS = Histogram(
    "headstart_task_duration_seconds",
    "How long tasks took a worker.",
    ["task"],
    buckets=DURATION_BUCKETS,
    registry=WORK,
)
QUEUE_UNREADABLE = Counter(
    "headstart_queue_unreadable_total",
    "Lines of the queue that are no tasks, and were set aside.",
    registry=WORK,
)
QUEUE_ERRORS = Counter(
    "headstart_queue_errors_total",
    "Times that Redis refused what a worker has to write, or broke its connection.",
    registry=WORK,
)
STEPS_LOST = Counter(
    "headstart_steps_lost_total", "Tasks that got lost and were submitted again.", registry=WORK
)
