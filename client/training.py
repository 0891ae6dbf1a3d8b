"""Submits trainings and waits for what becomes of them."""

import json
import re
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from client.errors import ClientError
from client.follow import events_of
from client.once import post_once
from client.service import Record, Service
from client.show import shown, upload_shown
from client.uploads import Upload

SERVED_SECONDS = 60
LOOK_SECONDS = 0.2

Fields = dict[str, Any]


def given(**fields: Any) -> Fields:
    """Return the fields that have a value; the trainer has a default for the rest."""
    return {name: value for name, value in fields.items() if value not in (None, {})}


def submit_dataset(trainer: Service, dataset: str, fields: Fields) -> Record:
    """Post a training on a dataset that the trainer has: an id, or a path on its machine."""
    return post_once(trainer, "/v1/trainings", json={"dataset": dataset, **fields})


def submit_upload(trainer: Service, upload: Upload, fields: Fields, console: Console) -> Record:
    """Post a training with its images, showing how much of them is sent."""
    form = {
        name: json.dumps(value) if isinstance(value, dict) else str(value)
        for name, value in fields.items()
    }
    files: Any = {"archive": (upload.name, upload, "application/octet-stream")}
    with upload_shown(console, upload.name, upload.bytes) as upload.sent:
        return post_once(trainer, "/v1/trainings", data=form, files=files)


def follow(trainer: Service, training_id: str, console: Console) -> Record:
    """Show a training until it has ended, and return its record.

    Raises:
        ClientError: it was cancelled, or it failed.
    """
    with shown(console) as show:
        for event in events_of(trainer, training_id):
            show(event)
    record: Record = trainer.get(f"/v1/trainings/{training_id}")
    if record["state"] == "failed":
        raise ClientError(f"The training has failed: {record['error']['detail']}", record)
    if record["state"] == "cancelled":
        raise ClientError("The training was cancelled.", record)
    return record


def served(predictor: Service, record: Record, seconds: float = SERVED_SECONDS) -> bool:
    """Wait until the predictor serves what a training has published; tell whether it does."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            model = predictor.get(f"/v1/models/{record['model']}")
        except ClientError as error:
            if error.problem.get("status") != 404:  # noqa: PLR2004 - it has not noticed it yet
                raise
        else:
            if model["version"] == record["version"]:
                return True
            if model["pinned"] not in {None, record["version"]}:
                return False
        time.sleep(LOOK_SECONDS)
    return False


def model_name(source: Path) -> str:
    """Make a model's name of that of a folder or archive."""
    name = source.absolute().name
    stem = name if source.is_dir() else name.split(".")[0]
    return re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-_")[:63] or "default"
