"""`python -m trainer_service.worker`: a worker process; start one on each machine."""

import os
import sys
from typing import Any

from celery.signals import setup_logging, worker_init

from shared.logs import configure_logging
from shared.start import require_settings, require_writable
from trainer_service.settings import TrainerSettings
from trainer_service.worker.metrics import keep_counts_in_files, serve_metrics
from trainer_service.worker.native_output import capture_native_output


def main() -> None:
    """Run a worker until a signal ends it; exit with its status."""
    settings = require_settings(TrainerSettings)
    require_writable(settings.store)
    # TensorFlow's own messages do not help users of the trainer.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    capture_native_output()
    configure_logging("worker", settings.log_format, settings.log_level)
    # If this signal has a receiver, Celery does not set up logging itself.
    setup_logging.connect(_keep_ours)
    if settings.worker_metrics_port is not None:
        keep_counts_in_files()
        try:
            serve_metrics(settings.host, settings.worker_metrics_port)
        except OSError as error:
            sys.exit(f"HEADSTART_WORKER_METRICS_PORT: can't listen: {error.strerror}.")
    from trainer_service.worker.tasks import app

    started: list[Any] = []
    worker_init.connect(lambda sender, **_: started.append(sender), weak=False)
    app.worker_main(
        [
            "--quiet",  # no banner, which is not in the format of the log
            "worker",
            # One child process has the backbone in memory; if it dies, its parent starts another.
            "--pool=prefork",
            "--concurrency=1",
            f"--loglevel={settings.log_level}",
            "--without-gossip",
            "--without-mingle",
            *sys.argv[1:],
        ]
    )
    # Celery's command drops the exit code, so a worker that failed would exit with 0.
    sys.exit(started[0].exitcode if started else 0)


def _keep_ours(**_: object) -> None:
    pass


if __name__ == "__main__":
    main()
