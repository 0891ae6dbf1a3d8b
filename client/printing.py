"""Prints what the services answer."""

import shlex
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from client.service import Record
from client.terminal import plain, printable

#: So many rejected files are named; `GET /v1/datasets/{id}/rejected` has them all.
NAMED_FILES = 10


def print_result(record: Record, console: Console) -> None:
    """Print what a training that succeeded has come to."""
    dataset, cache, metrics = record["dataset"], record["cache"], record["metrics"]
    console.print(
        f"{dataset['images']} images, {dataset['label_count']} labels, "
        f"{dataset['rejected_count']} rejected; {cache['computed']} through the backbone, "
        f"{cache['reused']} reused ({cache['seconds_saved']:.1f} s saved)",
        soft_wrap=True,
    )
    for image in dataset["rejected"][:NAMED_FILES]:
        line = f"  {image['name']}: {image['verdict']}. {image['detail']}"
        console.print(plain(line), soft_wrap=True)
    if "per_class" in metrics["test"]:  # which with many labels is in the report alone
        console.print(_labels(metrics["test"]["per_class"]))
    line = (
        f"Test accuracy {metrics['test']['accuracy']:.4f} on {metrics['test']['images']} images, "
        f"published as {record['model']} version {record['version']}."
    )
    console.print(plain(line), soft_wrap=True)


def curl_line(predictor: str, model: str, picture: Path | None, *, with_key: bool = False) -> str:
    """Return a command that predicts a picture with the model; a key is named, never printed."""
    url = f"{predictor}/v1/predict?model={quote(model)}"
    path = str(picture.absolute()) if picture else ""
    # What has to be shown as escapes is no name that could be copied.
    if not path or path != printable(path):
        path = "picture.jpg"
    if any(character in path for character in ',;"\\'):
        # Such names curl takes in quotes only.
        path = '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'
    key = '-H "Authorization: Bearer $HEADSTART_API_KEY" ' if with_key else ""
    return f"curl {key}-F {shlex.quote(f'file=@{path}')} {shlex.quote(url)}"


def print_predictions(predictions: list[Record], console: Console) -> None:
    table = Table("picture", "label", "probability", "next")
    for prediction in predictions:
        add_row(table, *_prediction(prediction))
    console.print(table)


def print_models(models: list[Record], serving: dict[str, int | None], console: Console) -> None:
    """Print the newest version of each model, which one is served, and what can't be read."""
    columns = ("model", "version", "served", "architecture", "labels", "accuracy", "created")
    table = Table(*columns, box=SIMPLE_HEAD)
    for model in models:
        pinned = " (pinned)" if model["pinned"] else ""
        served = f"{serving.get(model['name']) or '-'}{pinned}"
        version, *facts = _newest(model)
        add_row(table, model["name"], version, served, *facts)
    console.print(table)
    for model in models:
        for fault in _faults(model):
            console.print(plain(fault, "red"), soft_wrap=True)


def print_trainings(trainings: list[Record], console: Console) -> None:
    table = Table("training", "model", "architecture", "state", "accuracy", box=SIMPLE_HEAD)
    table.columns[0].no_wrap = True
    for record in trainings:
        version = f" {record['version']}" if record["version"] else ""
        add_row(
            table,
            record["id"],
            f"{record['model']}{version}",
            record["architecture"],
            _state(record),
            _accuracy(record["metrics"]),
        )
    console.print(table)


def _newest(model: Record) -> list[str]:
    """Return what is known of a model's newest version whose manifest can be read."""
    if not model["versions"]:
        damaged = model.get("damaged", [])
        return [str(damaged[0]["version"]), "damaged", *"---"] if damaged else [*"-----"]
    newest = model["versions"][0]
    return [
        str(newest["version"]),
        newest["architecture"],
        str(len(newest["labels"])),
        _accuracy(newest["metrics"]),
        _time(newest["created_at"]),
    ]


def _faults(model: Record) -> list[str]:
    faults = [
        f"Version {version['version']} of {model['name']} is damaged: {version['reason']}"
        for version in model.get("damaged", [])
    ]
    return [*faults, *filter(None, [model.get("notice")])]


def _labels(per_class: dict[str, Any]) -> Table:
    table = Table("label", "precision", "recall", "F1", "test images")
    for label, values in per_class.items():
        scores = (f"{values[name]:.3f}" for name in ("precision", "recall", "f1"))
        add_row(table, label, *scores, values["support"])
    return table


def add_row(table: Table, *cells: object) -> None:
    """Add a row of what services or files have said, which is never markup."""
    table.add_row(*(cell if isinstance(cell, Text) else plain(cell) for cell in cells))


def _prediction(prediction: Record) -> list[object]:
    if "error" in prediction:
        return [prediction["file"], plain(prediction["error"]["detail"], "red"), "", ""]
    others = (f"{item['label']} {item['probability']:.3f}" for item in prediction["top"][1:])
    return [
        prediction["file"],
        prediction["label"],
        f"{prediction['probability']:.3f}",
        ", ".join(others),
    ]


def _state(record: Record) -> str:
    progress = record["progress"]
    if not progress or not progress["total"]:
        return str(record["state"])
    return f"{record['state']} {progress['done'] / progress['total']:.0%}"


def _accuracy(metrics: Record) -> str:
    """Return the accuracy in the test; of a manifest it may be whatever somebody wrote there."""
    test = metrics.get("test")
    accuracy = test.get("accuracy") if isinstance(test, dict) else None
    return f"{accuracy:.4f}" if isinstance(accuracy, float | int) and 0 <= accuracy <= 1 else "-"


def _time(text: str) -> str:
    return f"{datetime.fromisoformat(text).astimezone():%Y-%m-%d %H:%M}"
