"""How a dataset is read: the user's options, and what the trainer has decided."""

import json
import re
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from client.errors import ClientError
from client.options import Fields, given, trainer_option
from client.patience import get_patiently
from client.printing import add_row
from client.service import Record, Service
from client.terminal import counted, plain

LOOK_SECONDS = 0.5
_SHOWN = 10
_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}")
_DEFAULTS = (("merge_alike", True), ("confirm", False))
_BY_HAND = "--level, --table, --label-column, --ignore, --part (`headstart datasets --help`)"
_OTHER_NAMES = {"metric": "early_stopping"}


def reading_of(  # noqa: PLR0913 - each is an option
    text: str | None,
    level: int | None,
    table: str | None,
    label_column: str | None,
    ignore: list[str] | None,
    *,
    parts: list[str] | None,
    confirm: bool,
) -> Fields:
    """Return the object `reading` of a request, made from the options.

    Args:
        text: the object as JSON, or the path of a file that holds it.
        level: which folder of a path is the label. It and the options below override `text`.
        table: the table with the labels.
        label_column: its column of the labels.
        ignore: folders and files to leave out.
        parts: which part of the split folders or values are, as `night=test`.
        confirm: that a doubtful reading is right.

    Raises:
        typer.BadParameter: the text is neither, or a part has no name.
    """
    reading = {} if text is None else _parsed(text)
    reading |= given(level=level, table=table, ignore=ignore or None, confirm=confirm or None)
    if parts:
        reading["splits"] = _with(reading.get("splits"), dict(map(_part, parts)))
    if label_column is not None:
        reading["columns"] = _with(reading.get("columns"), {"label": label_column})
    return reading


def _with(before: object, fields: Fields) -> Fields:
    return {**before, **fields} if isinstance(before, dict) else fields


def _part(text: str) -> tuple[str, str]:
    name, equals, part = text.rpartition("=")
    if not (name and equals and part):
        raise typer.BadParameter(f"--part: expected NAME=PART, as night=test. Received: {text!r}.")
    return name, part


def _parsed(text: str) -> Fields:
    try:
        content = text if text.lstrip().startswith("{") else Path(text).read_text(encoding="utf-8")
        reading = json.loads(content)
    except OSError as error:
        raise typer.BadParameter(f"--reading: {text!r} can't be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise typer.BadParameter(f"--reading: {text!r} is not JSON: {error}.") from None
    if not isinstance(reading, dict):
        raise typer.BadParameter(f"--reading: expected a JSON object. Received: {content[:100]!r}.")
    return reading


def is_dataset_id(text: str) -> bool:
    """Return whether a text is the id of a dataset, and not a path."""
    return _ID.fullmatch(text) is not None


def read_anew(trainer: Service, dataset_id: str, reading: Fields) -> Record:
    """Have a dataset read in another way, wait until that is done, and return its record.

    Raises:
        ClientError: it can't be read anew now, or not so: then it stays as it was read before.
    """
    record: Record = trainer.put(f"/v1/datasets/{dataset_id}/reading", json=reading)
    while record["state"] in {"queued", "reading"}:
        time.sleep(LOOK_SECONDS)
        record = get_patiently(trainer, f"/v1/datasets/{dataset_id}")
    if refused := record.get("refused"):
        detail = refused["error"]["detail"]
        raise ClientError(f"It can't be read so, and stays as it was read before: {detail}", record)
    return record


def print_datasets(datasets: list[Record], console: Console) -> None:
    """Print a row for each dataset."""
    table = Table("dataset", "source", "state", "images", "labels", "labels from", box=SIMPLE_HEAD)
    table.columns[0].no_wrap = True
    for record in datasets:
        state = "to be confirmed" if _is_doubtful(record) else record["state"]
        layout = (record.get("layout") or {}).get("kind", "-")
        images = "-" if record["images"] is None else record["images"]
        labels = "-" if record["images"] is None else record["label_count"]
        add_row(table, record["id"], record["source"], state, images, labels, layout)
    console.print(table)


def print_dataset(record: Record, console: Console) -> None:
    """Print what a dataset holds, and how it was read."""
    state = "has failed" if record["state"] == "failed" else f"is {record['state']}"
    line = f"Dataset {record['id']} of {record['source']} {state}"
    if record["images"] is not None:
        line += (
            f": {counted(record['images'], 'image')}, {counted(record['label_count'], 'label')}, "
            f"{record['rejected_count']} rejected"
        )
    console.print(plain(f"{line}."), soft_wrap=True)
    if record["state"] == "ready":
        print_reading(record, console)


def print_reading(record: Record, console: Console) -> None:
    """Print, in a few lines, where the labels of a dataset come from, and what was noted."""
    for line in _lines(record):
        console.print(plain(line), soft_wrap=True)


def _lines(record: Record) -> Iterator[str]:
    if text := (record.get("layout") or {}).get("text"):
        yield text
    yield from _first([f"  {note['kind']}: {note['text']}" for note in record.get("notes", [])])
    yield from _first([_unused(table) for table in record.get("unused", [])])


def _unused(table: Record) -> str:
    columns = f" ({', '.join(table['columns'])})" if table.get("columns") else ""
    return f"  unused: {table['name']}{columns}: {table['reason']}"


def _first(lines: list[str]) -> Iterator[str]:
    yield from lines[:_SHOWN]
    if len(lines) > _SHOWN:
        yield f"  … and {len(lines) - _SHOWN} more"


def require_sound(trainer: Service, record: Record) -> None:
    """Check that a dataset can be trained on, as far as that is known.

    Args:
        trainer: the connection to the trainer that has it.
        record: the dataset.

    Raises:
        ClientError: it could not be read, or the reading is doubtful; it says what to do.
    """
    if record["state"] == "failed":
        raise ClientError(f"It can't be trained on: {record['error']['detail']}", record)
    if _is_doubtful(record):
        raise _doubt(trainer, record, ["datasets", record["id"]], record)


@contextmanager
def doubt_explained(trainer: Service, dataset_id: str, fields: Fields) -> Iterator[None]:
    """Say which command to run, if the body fails because the reading of a dataset is doubtful.

    Args:
        trainer: the connection to the trainer.
        dataset_id: the dataset.
        fields: those of the training.

    Raises:
        ClientError: what the body raised, or the doubt.
    """
    try:
        yield
    except ClientError as error:
        doubtful = _doubtful(trainer, dataset_id)
        if doubtful is None:
            raise
        command = ["train", "--dataset", dataset_id, *_options(fields)]
        raise _doubt(trainer, doubtful, command, error.problem) from None


def _doubtful(trainer: Service, dataset_id: str) -> Record | None:
    """Return a dataset if its reading is doubtful, as far as the trainer can tell."""
    try:
        record: Record = trainer.get(f"/v1/datasets/{dataset_id}")
    except ClientError:
        return None
    return record if _is_doubtful(record) else None


def _is_doubtful(record: Record) -> bool:
    return record["state"] == "ready" and bool(record.get("doubt"))


def _doubt(
    trainer: Service, record: Record, command: Sequence[str], problem: Record
) -> ClientError:
    """Return the error of a doubtful reading, with what to add to a command for each way out."""
    start = shlex.join(["headstart", *command, *trainer_option(trainer.url)])
    confirmed = _short(record["reading"])
    said = ["--reading", json.dumps(confirmed)] if confirmed else []
    lines = ["If they are right:", f"  {start} {shlex.join([*said, '--confirm'])}"]
    readings = record["readings"][:_SHOWN]
    if readings:
        lines.append("If not, they may also be read this way:")
    for other in readings:
        option = shlex.join(["--reading", json.dumps(_short(other["reading"]))])
        images, labels = counted(other["images"], "image"), counted(other["labels"], "label")
        lines.append(f"  {other['text']} {images}, {labels}:")
        lines.append(f"    {start} {option}")
    lines.append(f"Or decide it yourself: {_BY_HAND}.")
    message = f"{record['doubt']} Nothing is trained on these labels until they are confirmed."
    return ClientError(message, problem, lines)


def _short(reading: Record) -> Record:
    """Return a reading without what it leaves to the trainer."""
    short: dict[str, Any] = {}
    for name, value in reading.items():
        kept = _short(value) if name == "columns" else value
        if kept not in (None, [], {}) and (name, kept) not in _DEFAULTS:
            short[name] = kept
    return short


def _options(fields: Fields) -> Iterator[str]:
    """Yield the options for a training's fields, but for those about reading its dataset."""
    for name, value in fields.items():
        if name == "reading":
            continue
        if isinstance(value, dict):
            yield from _options(value)
        else:
            option = _OTHER_NAMES.get(name, name).replace("_", "-")
            yield from (f"--{option}", str(value))
