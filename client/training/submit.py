"""Submits a training or a comparison with an upload, or on a dataset that the trainer has."""

from rich.console import Console

from client.options import Fields
from client.printing import NAMED_FILES
from client.reading import doubt_explained, is_dataset_id, read_anew
from client.service import Record, Service
from client.terminal import print_note
from client.training.training import TRAININGS, submit_dataset, submit_upload
from client.training.uploads import Upload


def submit(
    trainer: Service,
    images: Upload | str,
    fields: Fields,
    console: Console,
    path: str = TRAININGS,
) -> Record:
    """Post a training, or what else `path` takes, and return its record.

    A dataset with an id is first read as the user asks.

    Args:
        trainer: the connection to the trainer.
        images: an upload, or a dataset: an id, or a path on the trainer's machine.
        fields: those of the training.
        console: where is shown how much was sent.
        path: where it is posted.
    """
    if isinstance(images, Upload):
        _print_left_out(images.left_out)
        return submit_upload(trainer, images, fields, console, path)
    if not is_dataset_id(images):
        return submit_dataset(trainer, images, fields, path)
    others = {name: value for name, value in fields.items() if name != "reading"}
    if "reading" in fields:
        read_anew(trainer, images, fields["reading"])
    with doubt_explained(trainer, images, others):
        return submit_dataset(trainer, images, others, path)


def _print_left_out(paths: list[str]) -> None:
    for path in paths[:NAMED_FILES]:
        print_note(f"left out: {path}")
    if len(paths) > NAMED_FILES:
        print_note(f"left out: {len(paths) - NAMED_FILES} more")
