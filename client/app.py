"""The commands of `headstart`.

Exit codes: 0 done · 1 the service refused the request, or the training failed · 2 wrong usage ·
3 the service can't be reached · 130 interrupted.
"""

from typing import Any

import typer

from client.comparing import compare_command, comparisons_command
from client.correcting import correct, corrections_in, print_corrected
from client.errors import ClientError
from client.heatmaps import LIKELIEST, write_heatmaps
from client.model_life import (
    alias_command,
    delete_command,
    note_command,
    rename_command,
    usage_command,
)
from client.options import (
    PREDICTOR,
    TRAINER,
    ApiKey,
    AsJson,
    AskedVersion,
    Confirm,
    CorrectedId,
    Corrections,
    Coverage,
    DatasetId,
    Explain,
    ExplainLabel,
    FalseAlarms,
    Ignore,
    Images,
    LabelColumn,
    LabelTable,
    Level,
    Parts,
    PredictorUrl,
    Reading,
    ServedModel,
    Top,
    TrainerUrl,
    TrainingId,
)
from client.prediction import predict
from client.pretrained import pretrained_command
from client.printing import print_models, print_predictions, print_trainings
from client.promoting import promote_command, promotions_command, rollback_command
from client.reading import (
    print_dataset,
    print_datasets,
    read_anew,
    reading_of,
    require_sound,
)
from client.service import Record, Service, predictor_at, trainer_at
from client.terminal import errors_in_words, open_console, print_json, print_line, print_note
from client.training.train import train_command

app = typer.Typer(
    help="Train image classifiers and try them. "
    "Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 service unreachable.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.command("train")(train_command)
app.command("pretrained")(pretrained_command)
app.command("promote")(promote_command)
app.command("rollback")(rollback_command)
app.command("alias")(alias_command)
app.command("note")(note_command)
app.command("rename")(rename_command)
app.command("delete")(delete_command)
app.command("usage")(usage_command)
app.command("promotions")(promotions_command)
app.command("compare")(compare_command)
app.command("comparisons")(comparisons_command)


@app.callback()
def take_options(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Take `--json` before the name of a command, too."""
    if as_json:
        context.default_map = {str(context.invoked_subcommand): {"as_json": True}}


@app.command("predict")
def predict_command(  # noqa: PLR0913 - each is an option
    *,
    images: Images,
    model: ServedModel = None,
    version: AskedVersion = None,
    top: Top = 3,
    false_alarms: FalseAlarms = None,
    coverage: Coverage = None,
    explain: Explain = None,
    explain_label: ExplainLabel = None,
    as_json: AsJson = False,
    predictor_url: PredictorUrl = PREDICTOR,
    api_key: ApiKey = None,
) -> None:
    """Classify images; exits with 1 if one of them can't be classified."""
    label = (explain_label or LIKELIEST) if explain else None
    if explain_label and not explain:
        raise typer.BadParameter("--explain-label: expected --explain DIRECTORY beside it.")
    with errors_in_words(as_json=as_json), predictor_at(predictor_url, api_key) as predictor:
        asked = {"false_alarms": false_alarms, "coverage": coverage, "explain": label}
        predictions = predict(
            predictor, images, {"model": model, "version": version, "top": top, **asked}
        )
        if explain:
            write_heatmaps(predictions, explain)
    if as_json:
        print_json({"predictions": predictions})
    else:
        print_predictions(predictions, open_console())
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
    with errors_in_words(as_json=as_json), trainer_at(trainer_url, api_key) as trainer:
        models = trainer.list("/v1/models")
    if as_json:
        print_json(models)
    else:
        print_models(models, _serving(predictor_url, api_key), open_console())


@app.command("trainings")
def trainings_command(
    *, as_json: AsJson = False, trainer_url: TrainerUrl = TRAINER, api_key: ApiKey = None
) -> None:
    """List all trainings, the newest first."""
    with errors_in_words(as_json=as_json), trainer_at(trainer_url, api_key) as trainer:
        trainings = trainer.list("/v1/trainings")
    if as_json:
        print_json(trainings)
    else:
        print_trainings(trainings, open_console())


@app.command("datasets")
def datasets_command(  # noqa: PLR0913 - each is an option
    *,
    dataset_id: DatasetId = None,
    reading: Reading = None,
    level: Level = None,
    table: LabelTable = None,
    label_column: LabelColumn = None,
    ignore: Ignore = None,
    parts: Parts = None,
    confirm: Confirm = False,
    as_json: AsJson = False,
    trainer_url: TrainerUrl = TRAINER,
    api_key: ApiKey = None,
) -> None:
    """List the datasets, or show how one is read, and have it read in another way.

    Exits with 1 if it can't be read, or if how it is read has to be confirmed.
    """
    asked = reading_of(reading, level, table, label_column, ignore, parts=parts, confirm=confirm)
    anew = reading is not None or bool(asked)  # {}: the trainer decides everything by itself
    if anew and dataset_id is None:
        raise typer.BadParameter("expected the ID of the dataset to read in this way.")
    with errors_in_words(as_json=as_json), trainer_at(trainer_url, api_key) as trainer:
        if dataset_id is None:
            found: Any = trainer.list("/v1/datasets")
        elif anew:
            found = read_anew(trainer, dataset_id, asked)
        else:
            found = trainer.get(f"/v1/datasets/{dataset_id}")
        if dataset_id is not None and not as_json:
            print_dataset(found, open_console())
        if dataset_id is not None:
            require_sound(trainer, found)
    if as_json:
        print_json(found)
    elif dataset_id is None:
        print_datasets(found, open_console())


@app.command("correct")
def correct_command(
    *,
    dataset_id: CorrectedId,
    table: Corrections,
    as_json: AsJson = False,
    trainer_url: TrainerUrl = TRAINER,
    api_key: ApiKey = None,
) -> None:
    """Make a dataset of another one in which some images have other labels, or are left out."""
    changes = corrections_in(table)
    with errors_in_words(as_json=as_json), trainer_at(trainer_url, api_key) as trainer:
        record = correct(trainer, dataset_id, changes)
        if as_json:
            print_json(record)
        else:
            print_corrected(record, trainer)


@app.command("cancel")
def cancel_command(
    *,
    training_id: TrainingId,
    as_json: AsJson = False,
    trainer_url: TrainerUrl = TRAINER,
    api_key: ApiKey = None,
) -> None:
    """Cancel a training or a comparison; the features that it has computed are kept."""
    with errors_in_words(as_json=as_json), trainer_at(trainer_url, api_key) as trainer:
        _ask(trainer, training_id, "cancel", "is being cancelled", as_json=as_json)


@app.command("stop")
def stop_command(
    *,
    training_id: TrainingId,
    as_json: AsJson = False,
    trainer_url: TrainerUrl = TRAINER,
    api_key: ApiKey = None,
) -> None:
    """End a training's head phase now, and publish the best head so far.

    A comparison makes its table of what there is.
    """
    said = "stops and publishes the best so far"
    with errors_in_words(as_json=as_json), trainer_at(trainer_url, api_key) as trainer:
        _ask(trainer, training_id, "stop", said, as_json=as_json)


def _ask(trainer: Service, training_id: str, what: str, said: str, *, as_json: bool) -> None:
    """Ask for a training to be cancelled or stopped, and print that it is."""
    kind, record = "Training", None
    try:
        record = trainer.post(f"/v1/trainings/{training_id}/{what}")
    except ClientError as error:
        if error.problem.get("status") != 404:  # noqa: PLR2004 - it may be a comparison
            raise
        kind, record = "Comparison", _ask_comparison(trainer, training_id, what, error)
    if as_json:
        print_json(record)
    else:
        print_line(f"{kind} {record['id']} {said}.")


def _ask_comparison(
    trainer: Service, comparison_id: str, what: str, no_training: ClientError
) -> Record:
    try:
        found: Record = trainer.post(f"/v1/comparisons/{comparison_id}/{what}")
    except ClientError as error:
        if error.problem.get("status") != 404:  # noqa: PLR2004 - there is neither
            raise
        raise no_training from None
    return found


def _serving(url: str, api_key: str | None) -> dict[str, int | None]:
    """Return the served version of each model; nothing if the predictor does not answer."""
    try:
        with predictor_at(url, api_key) as predictor:
            models = predictor.get("/v1/models")["models"]
    except ClientError as error:
        print_note(error)
        return {}
    return {model["name"]: model["version"] for model in models}
