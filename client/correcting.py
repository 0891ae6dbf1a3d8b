"""Sends corrected labels, which a table lists."""

import csv
import re
import shlex
from pathlib import Path

import typer

from client.options import trainer_option
from client.service import Record, Service
from client.terminal import counted, print_line
from client.training.once import post_once

_SHA256 = re.compile("[0-9a-f]{64}")
_HEADINGS = {"sha256", "file", "image", "name"}
_SHOWN = 3
_PAGE = 1000

#: The new label of an image, by its SHA-256 or its name; None leaves it out.
Changes = dict[str, str | None]


def corrections_in(file: Path) -> Changes:
    """Return the corrections in a table: an image and its label in each row, or nothing for it.

    An image is its SHA-256, or its name in the dataset. The first row may be a heading.

    Raises:
        typer.BadParameter: the file can't be read, or is no such table.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            rows = [(number, row) for number, row in enumerate(csv.reader(opened), 1) if any(row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise typer.BadParameter(f"{str(file)!r} can't be read as a table: {error}.") from None
    if rows and rows[0][1][0].strip().lower() in _HEADINGS:
        del rows[0]
    changes: Changes = {}
    for number, row in rows:
        if len(row) != 2 or not row[0].strip():  # noqa: PLR2004 - an image and its label
            raise typer.BadParameter(
                f"{str(file)!r}, line {number}: expected an image and its label, or nothing to "
                f"leave it out, as `cat/1.jpg,dog`. Received: {','.join(row)[:80]!r}."
            )
        image = row[0].strip()
        if image in changes:
            raise typer.BadParameter(f"{str(file)!r}, line {number}: {image!r} is there twice.")
        changes[image] = row[1].strip() or None
    if not changes:
        raise typer.BadParameter(f"{str(file)!r} lists no image.")
    return changes


def correct(trainer: Service, dataset_id: str, changes: Changes) -> Record:
    """Make a dataset of another one with corrections, and return its record.

    Raises:
        typer.BadParameter: a name stands for no image of the dataset, for several, or for one that
            was not read; or copies of one picture get different labels.
        ClientError: the trainer refuses it.
    """
    names = [image for image in changes if not _SHA256.fullmatch(image)]
    hashes = _hashes(trainer, dataset_id, names) if names else {}
    body = _by_hash(changes, hashes)
    return post_once(trainer, f"/v1/datasets/{dataset_id}/corrections", json=body)


def print_corrected(record: Record, trainer: Service) -> None:
    """Print which dataset was made, and how to train on it."""
    made = f"Dataset {record['id']} was made of dataset {record['parent']}"
    labels = counted(record["corrected"], "label")
    print_line(f"{made}: {labels} differ from the first one, {record['root']}.")
    command = ["headstart", "train", "--dataset", record["id"], *trainer_option(trainer.url)]
    print_line(f"Train on it: {shlex.join(command)}")


def _by_hash(changes: Changes, hashes: dict[str, str]) -> Changes:
    """Return changes by the hashes of images instead of their names."""
    body: Changes = {}
    named: dict[str, str] = {}
    for image, label in changes.items():
        sha256 = hashes.get(image, image)
        if body.setdefault(sha256, label) != label:
            raise typer.BadParameter(
                f"{named[sha256]!r} and {image!r} are the same picture: expected one label for "
                f"both. Received: {body[sha256] or ''!r} and {label or ''!r}."
            )
        named.setdefault(sha256, image)
    return body


def _hashes(trainer: Service, dataset_id: str, names: list[str]) -> dict[str, str]:
    """Return the hashes of images by their names."""
    wanted, found = set(names), dict[str, set[str]]()
    after: int | None = 0
    while after is not None:
        query = {"limit": _PAGE, "after": after}
        page = trainer.get(f"/v1/datasets/{dataset_id}/images", params=query)
        for image in page["images"]:
            if image["name"] in wanted:
                found.setdefault(image["name"], set()).add(image["sha256"])
        after = page["after"]
    if missing := [name for name in names if name not in found]:
        raise typer.BadParameter(
            f"dataset {dataset_id} has no {_listed(missing)}: expected the names as "
            "GET /v1/datasets/ID/images lists them, or the SHA-256 of the images."
        )
    if several := [name for name in names if len(found[name]) > 1]:
        raise typer.BadParameter(
            f"several images of dataset {dataset_id} are called {_listed(several)}: expected "
            "the SHA-256 of those."
        )
    if unread := [name for name in names if "" in found[name]]:
        raise typer.BadParameter(
            f"{_listed(unread)} of dataset {dataset_id} can't be corrected, as it was not read: "
            f"GET /v1/datasets/{dataset_id}/rejected tells why."
        )
    return {name: hashes.pop() for name, hashes in found.items()}


def _listed(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(map(repr, names[:_SHOWN])) + (f" and {more} more" if more > 0 else "")
