"""The commands of `headstart`.

Exit codes: 0 done · 1 the service refused what was asked, or the training failed · 2 wrong usage ·
3 the service can't be reached · 130 interrupted.
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from client.errors import ClientError
from client.prediction import predict
from client.printing import (
    curl_line,
    print_models,
    print_predictions,
    print_result,
    print_trainings,
)
from client.service import Record, predictor_at, trainer_at
from client.training import (
    Fields,
    follow,
    given,
    model_name,
    served,
    submit_dataset,
    submit_upload,
)
from client.uploads import Upload, open_upload

INTERRUPTED = 130
#: The predictor looks for new versions every second and then loads them.
SERVED_SECONDS = 15
WIDE = 160

app = typer.Typer(
    help="Train image classifiers and try them. "
    "Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 service unreachable.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

TrainerUrl = Annotated[
    str, typer.Option("--trainer", envvar="HEADSTART_TRAINER_URL", help="Address of the trainer.")
]
PredictorUrl = Annotated[
    str,
    typer.Option("--predictor", envvar="HEADSTART_PREDICTOR_URL", help="Address of the predictor."),
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        envvar="HEADSTART_API_KEY",
        show_envvar=True,
        help="Opens the services, if they ask for a key; the variable is the safer way.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]

TRAINER = "http://127.0.0.1:8000"
PREDICTOR = "http://127.0.0.1:8001"


@app.command("train")
def train_command(  # noqa: PLR0913 - each is an option
    *,
    source: Annotated[
        Path | None,
        typer.Argument(exists=True, help="Folder or archive of labelled images to upload."),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="Instead: a dataset's id, or a path below the trainer's datasets."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Model to publish; by default named like the images.")
    ] = None,
    architecture: Annotated[str | None, typer.Option(help="The backbone to train on.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Most epochs of the head.")] = None,
    batch_size: Annotated[int | None, typer.Option()] = None,
    learning_rate: Annotated[float | None, typer.Option()] = None,
    learning_rate_schedule: Annotated[
        str | None, typer.Option(help="constant, exponential, polynomial or cosine.")
    ] = None,
    optimizer: Annotated[str | None, typer.Option(help="adam, adamw, sgd or rmsprop.")] = None,
    dropout: Annotated[float | None, typer.Option()] = None,
    hidden_units: Annotated[
        int | None, typer.Option(help="Size of a hidden layer; 0 is none.")
    ] = None,
    early_stopping: Annotated[
        str | None, typer.Option(help="What it looks at: val_loss or val_accuracy; or off.")
    ] = None,
    patience: Annotated[
        int | None, typer.Option(help="Epochs without improvement before early stopping.")
    ] = None,
    min_delta: Annotated[
        float | None, typer.Option(help="What early stopping takes for an improvement.")
    ] = None,
    class_weights: Annotated[str | None, typer.Option(help="none or balanced.")] = None,
    precision: Annotated[
        str | None, typer.Option(help="auto, or int8 to add a quantized graph if that pays.")
    ] = None,
    validation: Annotated[float | None, typer.Option(help="Share of images held out.")] = None,
    test: Annotated[float | None, typer.Option(help="Share of images for the test.")] = None,
    seed: Annotated[int | None, typer.Option()] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Submit, and do not follow.")] = False,
    as_json: AsJson = False,
    trainer_url: TrainerUrl = TRAINER,
    predictor_url: PredictorUrl = PREDICTOR,
    api_key: ApiKey = None,
) -> None:
    """Upload a folder or archive of labelled images, train on it, and show the result."""
    if (source is None) == (dataset is None):
        raise typer.BadParameter("expected either a folder or archive, or --dataset.")
    if early_stopping == "off" and (patience is not None or min_delta is not None):
        raise typer.BadParameter("--patience and --min-delta mean nothing with it off.")
    stopping = given(metric=early_stopping, patience=patience, min_delta=min_delta)
    fields = given(
        model=model or (model_name(source) if source else None),
        architecture=architecture,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        learning_rate_schedule=learning_rate_schedule,
        optimizer=optimizer,
        dropout=dropout,
        hidden_units=hidden_units,
        early_stopping="off" if early_stopping == "off" else stopping,
        class_weights=class_weights,
        precision=precision,
        split=given(validation=validation, test=test),
        seed=seed,
    )
    console = _console(quiet=as_json)
    with _errors_in_words(as_json=as_json):
        upload = open_upload(source) if source else None
        record = _submit(trainer_url, api_key, dataset, upload, fields, console)
        if not detach:
            record = _follow(trainer_url, api_key, record, console)
    if as_json:
        _print_json(record)
    elif detach:
        console.print(f"Training {record['id']} is {record['state']}.", highlight=False)
    else:
        sample = upload.sample if upload else None
        _print_outcome(predictor_url, api_key, record, sample, console)


@app.command("predict")
def predict_command(  # noqa: PLR0913 - each is an option
    *,
    pictures: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, readable=True)],
    model: Annotated[
        str | None, typer.Option(help="May be left out while only one is served.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, max=100, help="How many labels to name.")] = 3,
    as_json: AsJson = False,
    predictor_url: PredictorUrl = PREDICTOR,
    api_key: ApiKey = None,
) -> None:
    """Classify pictures; exits with 1 if there is one that can't be."""
    with _errors_in_words(as_json=as_json), predictor_at(predictor_url, api_key) as predictor:
        predictions = predict(predictor, pictures, model, top)
    if as_json:
        _print_json({"predictions": predictions})
    else:
        print_predictions(predictions, _console())
    if any("error" in prediction for prediction in predictions):
        raise typer.Exit(ClientError.exit_code)


@app.command("models")
def models_command(
    *,
    as_json: AsJson = False,
    trainer_url: TrainerUrl = TRAINER,
    predictor_url: PredictorUrl = PREDICTOR,
    api_key: ApiKey = None,
) -> None:
    """List the models: their newest version, and which one is served."""
    with _errors_in_words(as_json=as_json), trainer_at(trainer_url, api_key) as trainer:
        models = trainer.list("/v1/models")
    if as_json:
        _print_json(models)
    else:
        print_models(models, _serving(predictor_url, api_key), _console())


@app.command("trainings")
def trainings_command(
    *, as_json: AsJson = False, trainer_url: TrainerUrl = TRAINER, api_key: ApiKey = None
) -> None:
    """List all trainings, the newest first."""
    with _errors_in_words(as_json=as_json), trainer_at(trainer_url, api_key) as trainer:
        trainings = trainer.list("/v1/trainings")
    if as_json:
        _print_json(trainings)
    else:
        print_trainings(trainings, _console())


@app.command("cancel")
def cancel_command(
    *,
    training_id: Annotated[str, typer.Argument(metavar="ID")],
    as_json: AsJson = False,
    trainer_url: TrainerUrl = TRAINER,
    api_key: ApiKey = None,
) -> None:
    """Cancel a training; what was computed for it is kept."""
    with _errors_in_words(as_json=as_json), trainer_at(trainer_url, api_key) as trainer:
        record = trainer.post(f"/v1/trainings/{training_id}/cancel")
    if as_json:
        _print_json(record)
    else:
        typer.echo(f"Training {training_id} is being cancelled.")


def _console(*, quiet: bool = False) -> Console:
    """Return a console as wide as the terminal; what is no terminal gets whole lines."""
    wide = None if sys.stdout.isatty() or "COLUMNS" in os.environ else WIDE
    return Console(quiet=quiet, width=wide)


def _submit(  # noqa: PLR0913, PLR0917 - where, with what, and what
    url: str,
    api_key: str | None,
    dataset: str | None,
    upload: Upload | None,
    fields: Fields,
    console: Console,
) -> Record:
    with trainer_at(url, api_key) as trainer:
        if upload is not None:
            return submit_upload(trainer, upload, fields, console)
        return submit_dataset(trainer, dataset or "", fields)


def _follow(url: str, api_key: str | None, record: Record, console: Console) -> Record:
    try:
        with trainer_at(url, api_key) as trainer:
            return follow(trainer, record["id"], console)
    except KeyboardInterrupt:
        typer.echo(f"It goes on; `headstart cancel {record['id']}` would end it.", err=True)
        raise


def _print_outcome(
    url: str, api_key: str | None, record: Record, sample: Path | None, console: Console
) -> None:
    print_result(record, console)
    try:
        with predictor_at(url, api_key) as predictor:
            ready = served(predictor, record, SERVED_SECONDS)
        note = "Try it:" if ready else f"The predictor at {url} serves another version. Once not:"
    except ClientError as error:
        note = f"{error} Once it answers:"
    console.print(note, highlight=False)
    # A line of its own, unbroken, to be copied.
    typer.echo(curl_line(url, record["model"], sample, with_key=bool(api_key)))


def _serving(url: str, api_key: str | None) -> dict[str, int | None]:
    """Return the version of each model that the predictor serves, if it can be asked."""
    try:
        with predictor_at(url, api_key) as predictor:
            models = predictor.get("/v1/models")["models"]
    except ClientError as error:
        typer.echo(str(error), err=True)
        return {}
    return {model["name"]: model["version"] for model in models}


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2))


@contextmanager
def _errors_in_words(*, as_json: bool) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if as_json:
            _print_json({"error": error.problem})
        else:
            typer.echo(str(error), err=True)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
