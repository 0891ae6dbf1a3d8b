"""`python -m trainer_service.worker`: a worker process; start as many as there are machines."""

import logging
import os
import sys

from trainer_service.settings import TrainerSettings


def main() -> None:
    settings = TrainerSettings()
    # TensorFlow's own log is of no use to who waits for a training.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("absl").setLevel(logging.ERROR)
    from trainer_service.tasks import app

    app.worker_main(
        [
            "worker",
            # One child process holds the backbone; if it dies its parent starts another.
            "--pool=prefork",
            "--concurrency=1",
            f"--loglevel={settings.log_level}",
            "--without-gossip",
            "--without-mingle",
            *sys.argv[1:],
        ]
    )


if __name__ == "__main__":
    main()
