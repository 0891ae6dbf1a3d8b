"""The queue: Celery on Redis, JSON only, results in the store instead of a backend."""

from celery import Celery
from kombu.transport import TRANSPORT_ALIASES

from trainer_service.queue.steps import PRIORITIES
from trainer_service.queue.view import QUEUE
from trainer_service.settings import TrainerSettings

VISIBILITY_SECONDS = 30 * 86_400

for scheme in ("redis", "rediss"):
    TRANSPORT_ALIASES[scheme] = "trainer_service.queue.transport:Transport"


def create_celery(settings: TrainerSettings, *, silence_seconds: float = 5) -> Celery:
    """Return the Celery application.

    Args:
        settings: the settings with the address of Redis.
        silence_seconds: how long to wait for each answer of Redis.
    """
    app = Celery("headstart", broker=settings.redis_url)
    app.conf.update(
        task_default_queue=QUEUE,
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        # Acknowledge a task when it has ended, so that a killed worker's task is repeated.
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        # Importing TensorFlow takes longer than the default of four seconds.
        worker_proc_alive_timeout=120,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        # Reconnect not only if Redis can't be reached, but also if it refuses a command.
        broker_channel_error_retry=True,
        worker_consumer="trainer_service.worker.consumer:PatientConsumer",
        # Workers take no remote commands, so messages from other programs can't disturb them.
        worker_enable_remote_control=False,
        broker_transport_options={
            "socket_connect_timeout": 3,
            "socket_timeout": silence_seconds,
            # The search for lost steps finds the tasks of dead workers. The transport's own
            # timeout would only deliver long tasks twice.
            "visibility_timeout": VISIBILITY_SECONDS,
            "priority_steps": list(PRIORITIES),
        },
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
    )
    return app
