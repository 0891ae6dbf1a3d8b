"""The command `headstart train`."""

import shlex
from pathlib import Path

import typer
from rich.console import Console

from client import options
from client.options import PREDICTOR, TRAINER, Fields, given
from client.patience import get_patiently
from client.printing import print_result
from client.reading import doubt_explained, print_reading, reading_of
from client.service import Record
from client.terminal import errors_in_words, open_console, print_json, print_line, print_note
from client.training.advice import Services, print_advice
from client.training.submit import submit
from client.training.training import follow, model_name
from client.training.uploads import Upload, open_upload


def train_command(  # noqa: PLR0913 - each is an option
    *,
    source: options.Source = None,
    dataset: options.Dataset = None,
    model: options.PublishedModel = None,
    architecture: options.Architecture = None,
    taps: options.Taps = None,
    head: options.Head = None,
    views: options.Views = None,
    augment: options.Augment = None,
    tune: options.Tune = None,
    tune_from: options.TuneFrom = None,
    tune_blocks: options.TuneBlocks = None,
    tune_epochs: options.TuneEpochs = None,
    tune_learning_rate: options.TuneLearningRate = None,
    tune_head_learning_rate: options.TuneHeadLearningRate = None,
    tune_views: options.TuneViews = None,
    tune_augment: options.TuneAugment = None,
    tune_patience: options.TunePatience = None,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    learning_rate: options.LearningRate = None,
    learning_rate_schedule: options.LearningRateSchedule = None,
    optimizer: options.Optimizer = None,
    dropout: options.Dropout = None,
    hidden_units: options.HiddenUnits = None,
    early_stopping: options.EarlyStopping = None,
    patience: options.Patience = None,
    min_delta: options.MinDelta = None,
    class_weights: options.ClassWeights = None,
    quantize: options.Quantize = None,
    promote: options.Promote = None,
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
    predictor_url: options.PredictorUrl = PREDICTOR,
    api_key: options.ApiKey = None,
) -> None:
    """Upload a folder or archive of labelled images, train on it, and show the result."""
    if (source is None) == (dataset is None):
        raise typer.BadParameter("expected either a folder or archive, or --dataset, but not both.")
    fields = given(
        model=model or (model_name(source) if source else None),
        architecture=architecture,
        taps=taps,
        head=head,
        views=views,
        augment=augment,
        tune=_tuning(
            tune,
            given(
                **{"from": tune_from},
                blocks=tune_blocks,
                epochs=tune_epochs,
                learning_rate=tune_learning_rate,
                head_learning_rate=tune_head_learning_rate,
                views=tune_views,
                augment=tune_augment,
                patience=tune_patience,
            ),
        ),
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        learning_rate_schedule=learning_rate_schedule,
        optimizer=optimizer,
        dropout=dropout,
        hidden_units=hidden_units,
        early_stopping=_stopping(early_stopping, patience, min_delta),
        class_weights=class_weights,
        quantize=quantize,
        promote=promote,
        split=given(validation=validation, test=test),
        seed=seed,
        reading=reading_of(
            reading, level, table, label_column, ignore, parts=parts, confirm=confirm
        ),
    )
    services = Services(trainer_url, predictor_url, api_key)
    _train(services, source or dataset or "", fields, detach=detach, as_json=as_json)


def _train(
    services: Services, images: Path | str, fields: Fields, *, detach: bool, as_json: bool
) -> None:
    """Submit a training and print what comes of it.

    Args:
        services: the services.
        images: a folder or an archive to upload, or a dataset that the trainer has.
        fields: those of the training.
        detach: whether to print no more than that it was submitted.
        as_json: whether to print nothing but JSON.
    """
    console = open_console(quiet=as_json)
    with errors_in_words(as_json=as_json):
        upload = open_upload(images) if isinstance(images, Path) else None
        record = _submit(services, upload or str(images), fields, console)
        if not detach:
            record = _follow(services, record, fields, console)
    if as_json:
        print_json(record)
    elif detach:
        print_line(f"Training {record['id']} of {record['model']} is {record['state']}.")
    else:
        sample = upload.sample if upload else None
        print_result(record, console)
        print_advice(services, record, sample, console)


def _stopping(metric: str | None, patience: int | None, min_delta: float | None) -> Fields | str:
    if metric != "off":
        return given(metric=metric, patience=patience, min_delta=min_delta)
    if patience is not None or min_delta is not None:
        raise typer.BadParameter("--patience and --min-delta have no effect if it is off.")
    return metric


def _tuning(tune: str | None, how: Fields) -> Fields | str | None:
    """Return the field `tune`: a word, or how it is done if that is said.

    Args:
        tune: the word: `tail`, `off`, or what the trainer may refuse.
        how: the members of the object.
    """
    if not how:
        return tune
    names = ", ".join(f"--tune-{name.replace('_', '-')}" for name in how)
    if tune == "off":
        raise typer.BadParameter(f"with --tune off, {names} would have no effect.")
    where = [name for name in ("from", "blocks") if name in how]
    if len(where) > 1 or (tune is not None and where):
        chosen = ["--tune " + tune] if tune else []
        both = " and ".join([*chosen, *(f"--tune-{name}" for name in where)])
        raise typer.BadParameter(f"{both} each say which layers are trained: expected one of them.")
    if tune not in {None, "tail"}:
        raise typer.BadParameter(f"expected --tune tail beside {names}. Received: --tune {tune}.")
    return how


def _submit(services: Services, images: Upload | str, fields: Fields, console: Console) -> Record:
    try:
        with services.trainer() as trainer:
            return submit(trainer, images, fields, console)
    except KeyboardInterrupt:
        command = shlex.join(["headstart", "trainings", *_other_trainer(services)])
        print_note(
            "Interrupted before the trainer answered. "
            f"`{command}` shows whether it has made a training."
        )
        raise


def _other_trainer(services: Services) -> list[str]:
    return options.trainer_option(services.trainer_url)


def _follow(services: Services, record: Record, fields: Fields, console: Console) -> Record:
    dataset = record["dataset"]["id"]
    try:
        with services.trainer() as trainer, doubt_explained(trainer, dataset, fields):
            ended = follow(trainer, record["id"], console)
            print_reading(get_patiently(trainer, f"/v1/datasets/{dataset}"), console)
            return ended
    except KeyboardInterrupt:
        command = shlex.join(["headstart", "cancel", record["id"], *_other_trainer(services)])
        print_note(f"The training goes on. To end it: `{command}`.")
        raise
