"""`headstart compare` and `headstart comparisons`."""

import shlex
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from client import options
from client.errors import ClientError
from client.options import TRAINER, given
from client.patience import get_patiently
from client.printing import accuracy_in_words, add_row
from client.reading import doubt_explained, reading_of
from client.service import Record, Service, trainer_at
from client.terminal import errors_in_words, open_console, plain, print_json, print_line, print_note
from client.training.follow import events_of
from client.training.submit import submit
from client.training.training import model_name
from client.training.uploads import open_upload

PATH = "/v1/comparisons"

_Architectures = Annotated[
    str | None,
    typer.Option(help="Those to compare, such as vgg16,mobilenet_v2.", show_default="available"),
]
_Taps = Annotated[str | None, typer.Option(help="One or several of auto,last,late,all.")]
_Tune = Annotated[str | None, typer.Option(help="One or both of off,tail.")]
_Head = Annotated[str | None, typer.Option(help="One or both of regression,layers.")]
_Rounds = Annotated[
    str | None,
    typer.Option(
        help="halving: try all on few images first, and drop what is clearly worse. full: don't.",
        show_default="halving",
    ),
]
_Publish = Annotated[
    str | None,
    typer.Option(help="none, recommended or best.", show_default="recommended"),
]
_ComparisonId = Annotated[str | None, typer.Argument(metavar="[ID]")]
_PublishTraining = Annotated[
    str | None,
    typer.Option("--publish", metavar="TRAINING", help="Publish the version of this training."),
]


def compare_command(  # noqa: PLR0913 - each is an option
    *,
    source: options.Source = None,
    dataset: options.Dataset = None,
    model: options.PublishedModel = None,
    architectures: _Architectures = None,
    taps: _Taps = None,
    tune: _Tune = None,
    head: _Head = None,
    rounds: _Rounds = None,
    publish: _Publish = None,
    promote: options.Promote = None,
    views: options.Views = None,
    augment: options.Augment = None,
    class_weights: options.ClassWeights = None,
    quantize: options.Quantize = None,
    validation: options.Validation = None,
    test: options.Test = None,
    seed: options.Seed = None,
    reading: options.Reading = None,
    level: options.Level = None,
    table: options.LabelTable = None,
    label_column: options.LabelColumn = None,
    ignore: options.Ignore = None,
    parts: options.Parts = None,
    confirm: options.Confirm = False,
    detach: options.Detach = False,
    as_json: options.AsJson = False,
    trainer_url: options.TrainerUrl = TRAINER,
    api_key: options.ApiKey = None,
) -> None:
    """Compare architectures on a folder or archive of labelled images, and show a table."""
    if (source is None) == (dataset is None):
        raise typer.BadParameter("expected either a folder or archive, or --dataset, but not both.")
    fields = given(
        model=model or (model_name(source) if source else None),
        architectures=architectures,
        taps=taps,
        tune=tune,
        head=head,
        rounds=rounds,
        publish=publish,
        promote=promote,
        views=views,
        augment=augment,
        class_weights=class_weights,
        quantize=quantize,
        split=given(validation=validation, test=test),
        seed=seed,
        reading=reading_of(
            reading, level, table, label_column, ignore, parts=parts, confirm=confirm
        ),
    )
    console = open_console(quiet=as_json)
    with errors_in_words(as_json=as_json), trainer_at(trainer_url, api_key) as trainer:
        images = open_upload(source) if source else str(dataset)
        record = submit(trainer, images, fields, console, PATH)
        if not detach:
            record = _follow(trainer, record, trainer_url, console)
    if as_json:
        print_json(record)
    elif detach:
        print_line(f"Comparison {record['id']} is {record['state']}.")
    else:
        print_comparison(record, console)


def comparisons_command(
    *,
    comparison_id: _ComparisonId = None,
    publish: _PublishTraining = None,
    as_json: options.AsJson = False,
    trainer_url: options.TrainerUrl = TRAINER,
    api_key: options.ApiKey = None,
) -> None:
    """List the comparisons, show one, or publish the version of one of its trainings."""
    if publish is not None and comparison_id is None:
        raise typer.BadParameter("expected the ID of the comparison beside --publish.")
    with errors_in_words(as_json=as_json), trainer_at(trainer_url, api_key) as trainer:
        if publish is not None:
            trainer.post(f"{PATH}/{comparison_id}/publish", json={"training": publish})
        if comparison_id is None:
            found: Record | list[Record] = trainer.list(PATH)
        else:
            found = trainer.get(f"{PATH}/{comparison_id}")
    if as_json:
        print_json(found)
    elif isinstance(found, list):
        _print_list(found, open_console())
    else:
        print_comparison(found, open_console())


def _follow(trainer: Service, record: Record, trainer_url: str, console: Console) -> Record:
    """Show what becomes of each candidate until the comparison has ended."""
    dataset = record["dataset"]["id"]
    try:
        for event in events_of(trainer, record["id"], PATH):
            if line := _told(event):
                console.print(plain(line), soft_wrap=True)
    except KeyboardInterrupt:
        other = options.trainer_option(trainer_url)
        command = shlex.join(["headstart", "cancel", record["id"], *other])
        print_note(f"The comparison goes on. To end it: `{command}`.")
        raise
    ended = get_patiently(trainer, f"{PATH}/{record['id']}")
    if ended["state"] == "failed":
        with doubt_explained(trainer, dataset, {}):
            raise ClientError(f"The comparison failed: {ended['error']['detail']}", ended)
    if ended["state"] == "cancelled":
        raise ClientError("The comparison was cancelled.", ended)
    return ended


def _told(event: Record) -> str:
    """Return an event in words; "" if there is nothing to tell."""
    if event["type"] == "comparison_state":
        return {
            "first_round": "First round, on few images of each label:",
            "training": "Training on all images:",
            "measuring": "Measuring what it costs to serve them:",
        }.get(event["state"], "")
    if event["type"] != "candidate":
        return ""
    name, first, row = event["name"], event["first_round"], event["row"]
    if first is not None:
        return f"  {name}: log loss {first['loss']:.3f} ± {first['standard_error']:.3f}"
    if row is not None:
        return f"  {name}: {accuracy_in_words(row)}"
    return f"  {name} was {event['what']}: {event['detail']}"


def print_comparison(record: Record, console: Console) -> None:
    """Print the table of a comparison, what is not in it, and what is recommended."""
    rows = [one for one in record["candidates"] if one["row"]]
    rows.sort(key=lambda one: (-one["row"]["accuracy"], one["row"]["loss"]))
    if rows:
        console.print(_table(rows))
    for one in record["candidates"]:
        if why := one["dropped"] or one["error"]:
            console.print(plain(f"{one['name']}: {why}"), soft_wrap=True)
    if record["verdict"]:
        console.print(plain(record["verdict"]["sentence"]), soft_wrap=True)
    for one in record["published"]:
        name = next(row["name"] for row in rows if row["training"] == one["training"])
        line = f"{name} is published as {record['model']} version {one['version']}."
        console.print(plain(line), soft_wrap=True)
    if record["publish_error"]:
        console.print(plain(f"Not published: {record['publish_error']}", "red"), soft_wrap=True)
    if not record["verdict"]:
        console.print(plain(f"Comparison {record['id']} is {record['state']}."), soft_wrap=True)


def _table(rows: list[Record]) -> Table:
    columns = (
        "candidate", "accuracy", "95 % range", "log loss", "F1", "behind", "wins:losses", "p",
        "core-ms", "of 8", "MB", "memory", "training",
    )  # fmt: skip
    table = Table(*columns, box=SIMPLE_HEAD)
    for one in rows:
        row = one["row"]
        cost = row["cost"] or {}
        add_row(
            table,
            one["name"],
            f"{row['accuracy']:.4f}",
            f"{row['accuracy_low']:.3f} to {row['accuracy_high']:.3f}",
            f"{row['loss']:.3f}",
            f"{row['macro_f1']:.3f}",
            f"{row['difference']:.4f}",
            f"{row['wins']}:{row['losses']}",
            f"{row['p']:.2g}",
            f"{cost['single']:.1f}" if cost else "-",
            f"{cost['batched']:.1f}" if cost else "-",
            f"{row['version_bytes'] / 1e6:.0f}",
            f"{cost['memory_bytes'] / 1e6:.0f} MB" if cost else "-",
            f"{row['training_seconds']:.0f} s",
        )
    return table


def _print_list(records: list[Record], console: Console) -> None:
    table = Table("comparison", "model", "state", "recommended", box=SIMPLE_HEAD)
    table.columns[0].no_wrap = True
    for record in records:
        verdict = record["verdict"] or {}
        add_row(
            table,
            record["id"],
            record["model"],
            record["state"],
            verdict.get("recommended", "-"),
        )
    console.print(table)
