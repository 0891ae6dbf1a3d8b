"""Submits trainings, follows them, and waits until their version is served."""

import json
import re
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from client.early_answer import EarlyAnswer
from client.errors import ClientError
from client.options import Fields
from client.patience import get_patiently
from client.service import Record, Service
from client.training.follow import events_of
from client.training.once import post_once
from client.training.show import shown, upload_shown
from client.training.uploads import Upload

SERVED_SECONDS = 60
POLL_SECONDS = 0.2


TRAININGS = "/v1/trainings"


def submit_dataset(trainer: Service, dataset: str, fields: Fields, path: str = TRAININGS) -> Record:
    """Post a training on a dataset that the trainer has: an id, or a path on its machine.

    Args:
        trainer: the connection to the trainer.
        dataset: the dataset.
        fields: those of the training.
        path: where it is posted; something else than a training is posted elsewhere.
    """
    return post_once(trainer, path, json={"dataset": dataset, **fields})


def submit_upload(
    trainer: Service, upload: Upload, fields: Fields, console: Console, path: str = TRAININGS
) -> Record:
    """Post a training, or what else `path` takes, with its images, and show how much was sent.

    Once the trainer has answered, for example that it refuses the fields, no more is sent.
    """
    form = {
        name: json.dumps(value) if isinstance(value, dict) else str(value)
        for name, value in fields.items()
    }
    files: Any = {"archive": (upload.name, upload, "application/octet-stream")}
    answer = EarlyAnswer()
    upload.check = answer.stop_if_there
    extensions = {"trace": answer.trace}
    with upload_shown(console, upload.name, upload.bytes) as upload.sent:
        return post_once(trainer, path, data=form, files=files, extensions=extensions)


def follow(trainer: Service, training_id: str, console: Console) -> Record:
    """Show a training until it has ended, and return its record.

    Raises:
        ClientError: the training was cancelled or failed.
        Unreachable, Unavailable: the trainer has been away for too long.
    """
    with shown(console) as show:
        for event in events_of(trainer, training_id):
            show(event)
    record = get_patiently(trainer, f"/v1/trainings/{training_id}")
    if record["state"] == "failed":
        raise ClientError(f"The training failed: {record['error']['detail']}", record)
    if record["state"] == "cancelled":
        raise ClientError("The training was cancelled.", record)
    return record


def served(predictor: Service, record: Record, seconds: float = SERVED_SECONDS) -> bool:
    """Wait until the predictor serves the version that a training has published.

    Args:
        predictor: the connection to the predictor.
        record: the record of the training.
        seconds: how long to wait at most.

    Returns:
        Whether the predictor serves the version. False at once if another version is pinned, or
        the version was published without being served.
    """
    if not (record.get("promotion") or {"served": True})["served"]:
        return False
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        try:
            model = predictor.get(f"/v1/models/{record['model']}", timeout=left)
        except ClientError as error:
            if error.problem.get("status") != 404:  # noqa: PLR2004 - the model is not loaded yet
                raise
        else:
            if model["version"] == record["version"]:
                return True
            if model["pinned"] not in {None, record["version"]}:
                return False
        time.sleep(POLL_SECONDS)
    return False


def model_name(source: Path) -> str:
    """Return a valid model name, made from the name of a folder or archive."""
    name = source.absolute().name
    stem = name if source.is_dir() else name.split(".")[0]
    return re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-_")[:63] or "default"
