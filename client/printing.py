"""Prints the answers of the services as tables and lines."""

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
from client.terminal import counted, plain, printable

#: How many rejected files are named; `GET /v1/datasets/{id}/rejected` lists all of them.
NAMED_FILES = 10
#: The accuracy on the test images, and its range on other images with 95 % confidence: two
#: accuracies whose ranges overlap much may be equally good.
ACCURACY = ("accuracy", "95 % range")


def print_result(record: Record, console: Console) -> None:
    """Print the result of a training that succeeded."""
    dataset, cache, metrics = record["dataset"], record["cache"], record["metrics"]
    console.print(
        f"{counted(dataset['images'], 'image')}, {counted(dataset['label_count'], 'label')}, "
        f"{dataset['rejected_count']} rejected; {cache['computed']} through the backbone, "
        f"{cache['reused']} reused{_views(cache)} ({cache['seconds_saved']:.1f} s saved)",
        soft_wrap=True,
    )
    for image in dataset["rejected"][:NAMED_FILES]:
        line = f"  {image['name']}: {image['verdict']}. {image['detail']}"
        console.print(plain(line), soft_wrap=True)
    if "per_class" in metrics["test"]:  # with many labels it is only in the report
        console.print(_labels(metrics["test"]["per_class"]))
    if line := suspects_in_words(record):
        console.print(plain(line), soft_wrap=True)
    tune = record.get("tune")
    if tune:
        console.print(plain(f"Fine-tuning: {tune['reason']}"), soft_wrap=True)
    unknown = record.get("unknown")
    if unknown and unknown.get("detail"):
        console.print(plain(f"Unknown pictures: {unknown['detail']}"), soft_wrap=True)
    line = f"published as {record['model']} version {record['version']}{_tuned(tune)}."
    console.print(plain(f"{accuracy_in_words(metrics['test'])}, {line}"), soft_wrap=True)
    if line := promotion_in_words(record):
        console.print(plain(line), soft_wrap=True)


def promotion_in_words(record: Record) -> str:
    """Return whether the version of a training is to be served, and why; "" if it is not known.

    Trainers of before serve each.
    """
    promotion = record.get("promotion")
    if not promotion:
        return ""
    if promotion["served"]:
        return f"To be served: {promotion['reason']}"
    command = shlex.join(["headstart", "promote", record["model"], str(record["version"])])
    return f"Published, not served: {promotion['reason']} To serve it: {command}"


def suspects_in_words(record: Record) -> str:
    """Return how many labels look wrong, and where they are listed; "" if none does.

    Trainers of before do not look for them.
    """
    found = record.get("suspects")
    if not found or not found["count"]:
        return ""
    labels = "1 label looks" if found["count"] == 1 else f"{found['count']} labels look"
    return (
        f"{labels} wrong, of {counted(found['images'], 'image')}: "
        f"GET /v1/trainings/{record['id']}/suspects"
    )


def _views(cache: Record) -> str:
    """Return how many further views were computed and reused; trainers of before have none."""
    computed, reused = cache.get("views_computed", 0), cache.get("views_reused", 0)
    if not computed + reused:
        return ""
    return f", and {counted(computed, 'view')} through the backbone, {reused} reused"


def _tuned(tune: Record | None) -> str:
    """Return whether the published network is tuned; nothing if that was not asked for."""
    if not tune:
        return ""
    if not tune["published"]:
        return ", with the backbone as it was"
    return f", tuned from {tune['cut']} on"


def accuracy_in_words(test: Record) -> str:
    """Return the accuracy on the test images, on how many, and how certain it is.

    Args:
        test: the metrics of the test; those of earlier releases have no interval.
    """
    words = f"Test accuracy {test['accuracy']:.4f} on {counted(test['images'], 'image')}"
    if "accuracy_low" not in test:
        return words
    return (
        f"{words} ({test['accuracy_low']:.3f} to {test['accuracy_high']:.3f} with 95 % confidence)"
    )


def curl_line(predictor: str, model: str, image: Path | None, *, with_key: bool = False) -> str:
    """Return a curl command that classifies an image with the model.

    Args:
        predictor: address of the predictor.
        model: the name of the model.
        image: the image file; None uses a placeholder.
        with_key: whether the predictor needs a key. The command then takes it from the
            environment; the key itself is never printed.
    """
    url = f"{predictor}/v1/predict?model={quote(model)}"
    path = str(image.absolute()) if image else ""
    # A name with escapes could not be copied from the terminal.
    if not path or path != printable(path):
        path = "image.jpg"
    if any(character in path for character in ',;"\\'):
        # curl needs quotes around such names.
        path = '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'
    key = '-H "Authorization: Bearer $HEADSTART_API_KEY" ' if with_key else ""
    return f"curl {key}-F {shlex.quote(f'file=@{path}')} {shlex.quote(url)}"


def print_predictions(predictions: list[Record], console: Console) -> None:
    """Print a row for each image: its label and probability, or its error.

    Where predictors tell it, also how many known pictures are as far from the training images, and
    the labels for a coverage.
    """
    further = [
        name
        for name, found in (("known", "known"), ("one of", "labels"))
        if any(prediction.get(found) is not None for prediction in predictions)
    ]
    table = Table("image", "label", "probability", "next", *further)
    for prediction in predictions:
        cells = {"known": _known(prediction), "one of": ", ".join(prediction.get("labels") or [])}
        add_row(table, *_prediction(prediction), *(cells[name] for name in further))
    console.print(table)


def print_models(models: list[Record], serving: dict[str, int | None], console: Console) -> None:
    """Print the newest and the served version of each model, and what can't be read.

    Args:
        models: the models, as the trainer lists them.
        serving: the served version of each model, by name.
        console: the console to print to.
    """
    columns = ("model", "version", "served", "architecture", "labels", *ACCURACY, "created")
    table = Table(*columns, box=SIMPLE_HEAD)
    for model in models:
        pinned = " (pinned)" if model["pinned"] else ""
        served = f"{serving.get(model['name']) or '-'}{pinned}"
        version, *facts = _newest(model)
        add_row(table, model["name"], version, served, *facts)
    console.print(table)
    for model in models:
        for line in _said(model):
            console.print(plain(line), soft_wrap=True)
        for fault in _faults(model):
            console.print(plain(fault, "red"), soft_wrap=True)


def print_trainings(trainings: list[Record], console: Console) -> None:
    """Print a row for each training."""
    columns = ("training", "model", "architecture", "state", *ACCURACY)
    table = Table(*columns, box=SIMPLE_HEAD)
    table.columns[0].no_wrap = True
    for record in trainings:
        version = f" {record['version']}" if record["version"] else ""
        add_row(
            table,
            record["id"],
            f"{record['model']}{version}",
            _backbone(record),
            _state(record),
            *_accuracy(record["metrics"]),
        )
    console.print(table)


def _newest(model: Record) -> list[str]:
    """Return the cells of a row for the newest version whose manifest can be read."""
    if not model["versions"]:
        damaged = model.get("damaged", [])
        return [str(damaged[0]["version"]), "damaged", *"----"] if damaged else [*"------"]
    newest = model["versions"][0]
    return [
        str(newest["version"]),
        _backbone(newest),
        str(len(newest["labels"])),
        *_accuracy(newest["metrics"]),
        time_in_words(newest["created_at"]),
    ]


def _backbone(of: Record) -> str:
    """Return the backbone of a version or a training, and what of it was not trained as usual."""
    if of.get("pretrained"):
        return f"{of['architecture']}, as it is"
    tune = of.get("tune")  # trainers of before have none
    return f"{of['architecture']}, tuned" if tune and tune["published"] else of["architecture"]


def _said(model: Record) -> list[str]:
    """Return what people say of a model and its versions; trainers of before know nothing of it."""
    lines = [f"{model['name']}: {model['note']}"] if model.get("note") else []
    for version in model["versions"]:
        said = [version.get("alias"), version.get("note")]
        if any(said):
            words = ": ".join(filter(None, said))
            lines.append(f"{model['name']}, version {version['version']}: {words}")
    return lines


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
    """Add a row whose cells, unless they are rich's own texts, are printed without markup."""
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


def _known(prediction: Record) -> object:
    """Return the share of known pictures that are as far, in red if that makes it unknown."""
    known = prediction.get("known")
    if known is None:
        return ""
    return plain(f"unknown ({known:.3f})", "red") if prediction.get("unknown") else f"{known:.3f}"


def _state(record: Record) -> str:
    progress = record["progress"]
    if not progress or not progress["total"]:
        return str(record["state"])
    return f"{record['state']} {progress['done'] / progress['total']:.0%}"


def _accuracy(metrics: Record) -> tuple[str, str]:
    """Return the accuracy on the test images and its range; "-" for what is not known.

    Earlier releases did not record the range, and in a manifest that was edited by hand the metrics
    may have any form.
    """
    test = metrics.get("test")
    test = test if isinstance(test, dict) else {}
    accuracy, *ends = (test.get(name) for name in ("accuracy", "accuracy_low", "accuracy_high"))
    return (
        f"{accuracy:.4f}" if _is_share(accuracy) else "-",
        " to ".join(f"{end:.3f}" for end in ends) if all(map(_is_share, ends)) else "-",
    )


def _is_share(value: object) -> bool:
    return isinstance(value, float | int) and 0 <= value <= 1


def time_in_words(text: str) -> str:
    """Return a time of the services as people here say it, to the minute."""
    return f"{datetime.fromisoformat(text).astimezone():%Y-%m-%d %H:%M}"
