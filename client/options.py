"""The options of the commands, as typer reads them, and the fields of a request they give."""

import os
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

TRAINER = "http://127.0.0.1:8000"
PREDICTOR = "http://127.0.0.1:8001"

_TRAINER_VARIABLE = "HEADSTART_TRAINER_URL"

#: The fields of a request.
Fields = dict[str, Any]


def given(**fields: Any) -> Fields:
    """Return the fields that have a value; the trainer has defaults for the others."""
    return {name: value for name, value in fields.items() if value not in (None, {})}


def _address(text: str) -> str:
    """Check that a text is the address of a service, and return it unchanged."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.scheme not in {"http", "https"} or not url.host:
        raise typer.BadParameter(
            f"expected an address such as http://127.0.0.1:8000. Received: {text!r}."
        )
    return text


def trainer_option(url: str) -> list[str]:
    """Return what another command needs to reach the trainer at an address: none for its default.

    Args:
        url: the address of this command's trainer.
    """
    default = os.environ.get(_TRAINER_VARIABLE) or TRAINER
    return [] if url.rstrip("/") == default.rstrip("/") else ["--trainer", url]


TrainerUrl = Annotated[
    str,
    typer.Option(
        "--trainer",
        envvar=_TRAINER_VARIABLE,
        callback=_address,
        help="Address of the trainer.",
    ),
]
PredictorUrl = Annotated[
    str,
    typer.Option(
        "--predictor",
        envvar="HEADSTART_PREDICTOR_URL",
        callback=_address,
        help="Address of the predictor.",
    ),
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        envvar="HEADSTART_API_KEY",
        show_envvar=True,
        help="Key, if the services ask for one; it is safer in the variable than here.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
Detach = Annotated[bool, typer.Option("--detach", help="Submit, and do not follow.")]


def _existing(text: str) -> Path:
    """Return the path of an existing folder or regular file.

    An empty text, for example from an unset variable, is refused; as a path it would be `.`.
    """
    if not text:
        raise typer.BadParameter("expected a folder or an archive. Received: an empty text.")
    if not os.path.lexists(text):
        raise typer.BadParameter(f"Path {text!r} does not exist.")
    path = Path(text)
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise typer.BadParameter(f"{text!r} is neither a regular file nor a folder.")
    return path


def _regular(paths: list[Path]) -> list[Path]:
    """Check that all paths are regular files; reading a pipe or a device could take for ever."""
    for path in paths:
        if not path.is_file():
            raise typer.BadParameter(f"{str(path)!r} is not a regular file.")
    return paths


Source = Annotated[
    Path | None,
    typer.Argument(
        parser=_existing,
        metavar="SOURCE",
        help="Folder or archive of labelled images to upload.",
    ),
]
Dataset = Annotated[
    str | None,
    typer.Option(
        help="In place of SOURCE: a dataset's id, or a path below the trainer's datasets."
    ),
]
PublishedModel = Annotated[
    str | None, typer.Option(help="Name of the model; by default that of the images.")
]
Architecture = Annotated[str | None, typer.Option(help="The backbone to train on.")]
Taps = Annotated[
    str | None,
    typer.Option(help="Layers of the backbone that the head sees: auto, last, late or all."),
]
Views = Annotated[
    int | None,
    typer.Option(
        help="Views of each training image to learn from, if they help: 1, 2 or 4. They take as "
        "many times the work of the backbone."
    ),
]
Augment = Annotated[
    str | None,
    typer.Option(help="What further views may change: some of mirror,crop,colour."),
]
Head = Annotated[
    str | None,
    typer.Option(
        help="regression, or layers; the options from --epochs to --patience are for layers."
    ),
]
Tune = Annotated[
    str | None,
    typer.Option(
        help="off, or tail: train the last layers of the backbone as well, for minutes more, and "
        "publish that if it is better. The other options of tuning also ask for it."
    ),
]
TuneFrom = Annotated[
    str | None,
    typer.Option(
        metavar="LAYER",
        help="Train everything behind this layer; pixels is all of the network. "
        "GET /v1/architectures lists the layers, as cuts.",
    ),
]
TuneBlocks = Annotated[
    int | None, typer.Option(help="How many of the last blocks are trained; not with --tune-from.")
]
TuneEpochs = Annotated[int | None, typer.Option(help="Largest number of epochs of tuning.")]
TuneLearningRate = Annotated[
    float | None, typer.Option(help="Highest learning rate of the backbone's layers.")
]
TuneHeadLearningRate = Annotated[
    float | None, typer.Option(help="Highest learning rate of the head in tuning.")
]
TuneViews = Annotated[
    int | None, typer.Option(help="Views of each image that tuning learns from, 1 to 16.")
]
TuneAugment = Annotated[
    str | None,
    typer.Option(help="How these may differ: auto, none, or some of mirror,crop,colour."),
]
TunePatience = Annotated[
    int | None, typer.Option(help="Epochs of tuning without improvement before it ends.")
]
Epochs = Annotated[int | None, typer.Option(help="Largest number of epochs of the head.")]
BatchSize = Annotated[int | None, typer.Option(help="Images in one step.")]
LearningRate = Annotated[float | None, typer.Option(help="Learning rate at the beginning.")]
LearningRateSchedule = Annotated[
    str | None, typer.Option(help="constant, exponential, polynomial or cosine.")
]
Optimizer = Annotated[str | None, typer.Option(help="adam, adamw, sgd or rmsprop.")]
Dropout = Annotated[float | None, typer.Option(help="Share of features left out at random.")]
HiddenUnits = Annotated[
    int | None, typer.Option(help="Size of a hidden layer; 0 means no such layer.")
]
EarlyStopping = Annotated[
    str | None, typer.Option(help="Metric to watch, val_loss or val_accuracy; or off.")
]
Patience = Annotated[
    int | None, typer.Option(help="Epochs without improvement before early stopping.")
]
MinDelta = Annotated[
    float | None, typer.Option(help="Smallest change that early stopping counts as improvement.")
]
ClassWeights = Annotated[str | None, typer.Option(help="none or balanced.")]
Quantize = Annotated[
    str | None, typer.Option(help="off, or int8 to add a quantized graph if it is worth it.")
]
Promote = Annotated[
    str | None,
    typer.Option(
        help="Whether the version is served: auto, unless its labels differ or it is no better "
        "than always answering the commonest label; if_better, only if it is not worse than the "
        "served one on test images of both; always; never."
    ),
]
Validation = Annotated[float | None, typer.Option(help="Share of images for validation.")]
Test = Annotated[float | None, typer.Option(help="Share of images for the test.")]
Reading = Annotated[
    str | None,
    typer.Option(help="How the images are read: a JSON object, or a file that holds one."),
]
Level = Annotated[
    int | None,
    typer.Option(help="Which folder of a path is the label: 1 the first, -1 the last."),
]
LabelTable = Annotated[
    str | None, typer.Option("--table", help="The table with the labels, by its path.")
]
LabelColumn = Annotated[str | None, typer.Option(help="The column that holds the labels.")]
Ignore = Annotated[
    list[str] | None, typer.Option(help="A folder or file to leave out; may be repeated.")
]
Parts = Annotated[
    list[str] | None,
    typer.Option(
        "--part",
        metavar="NAME=PART",
        help="A folder, or value of the split's column, and the part that it is: train, "
        "validation, test, or none to leave it out; may be repeated.",
    ),
]
Confirm = Annotated[bool, typer.Option("--confirm", help="A doubtful reading is right.")]
DatasetId = Annotated[str | None, typer.Argument(metavar="[ID]")]
CorrectedId = Annotated[str, typer.Argument(metavar="ID")]
Corrections = Annotated[
    Path,
    typer.Argument(
        metavar="TABLE",
        help="CSV: an image, by its name in the dataset or its SHA-256, and its label in each row; "
        "no label leaves the image out.",
        exists=True,
        dir_okay=False,
    ),
]
Seed = Annotated[int | None, typer.Option(help="The same seed gives the same training.")]

Images = Annotated[
    list[Path],
    typer.Argument(
        metavar="IMAGES...",
        help="Image files to classify.",
        exists=True,
        dir_okay=False,
        readable=True,
        callback=_regular,
    ),
]
ServedModel = Annotated[
    str | None, typer.Option(help="Name of the model; optional while only one is served.")
]
AskedVersion = Annotated[
    str | None,
    typer.Option(help="The number or the alias of the version that should answer, not the served."),
]
Top = Annotated[int, typer.Option(min=1, max=100, help="How many labels to show.")]
FalseAlarms = Annotated[
    float | None,
    typer.Option(
        help="Share of known pictures that may be called unknown.",
        show_default="0.05",
        min=0,
        max=1,
    ),
]
Coverage = Annotated[
    float | None,
    typer.Option(
        help="Also name as many labels as it takes for the right one to be among them this often.",
        min=0,
        max=1,
    ),
]
Explain = Annotated[
    Path | None,
    typer.Option(
        metavar="DIRECTORY",
        file_okay=False,
        help="Write a PNG there for each image, to lay over it: where it speaks for its label.",
    ),
]
ExplainLabel = Annotated[
    str | None,
    typer.Option(
        metavar="LABEL", help="The label that --explain is about.", show_default="the likeliest"
    ),
]
NewModel = Annotated[str, typer.Argument(metavar="NAME", help="Name of the model to publish.")]
Pretrained = Annotated[
    str, typer.Argument(metavar="ARCHITECTURE", help="The pre-trained network to publish.")
]
Classes = Annotated[
    str | None,
    typer.Option(help="The classes of ImageNet to answer, with commas between; by default all."),
]
Groups = Annotated[
    list[str] | None,
    typer.Option(
        "--group",
        metavar="LABEL=CLASSES",
        help="A label and the classes that it stands for, with commas between; may be repeated.",
    ),
]
Rest = Annotated[
    str | None,
    typer.Option(
        metavar="LABEL",
        help="The label of all classes that are not named.",
        show_default="other",
    ),
]
NoRest = Annotated[
    bool,
    typer.Option(
        "--no-rest",
        help="There is no such label: one of the named ones is answered to every picture.",
    ),
]
TrainingId = Annotated[str, typer.Argument(metavar="ID")]

#: A model that is there, and one of its versions.
ModelArgument = Annotated[str, typer.Argument(metavar="MODEL")]
VersionArgument = Annotated[int, typer.Argument(metavar="VERSION", min=1)]
