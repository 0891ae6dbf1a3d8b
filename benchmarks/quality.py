"""Compares how good the models are that different heads give, on folders of your own.

    python -m benchmarks.quality --weights weights photos/trash photos/pets
    python -m benchmarks.quality --weights weights photos/trash --rows tail guide

Each folder holds a folder of images for each label. Every case trains on the same split of the
same images with the same seed, in an empty store, and is tested on the same test images. The
outcomes are kept in docs/quality.json, so that cases can be run at different times, and the page is
written anew after each: docs/quality.md.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import numpy as np

from benchmarks.peers.keras_two_stage import Image, train_two_stages
from benchmarks.tools.isolation import isolated
from benchmarks.tools.outcomes import Outcome, Outcomes, OutcomesFile, section
from shared.engines import load_version_engine, select_engine, serving_precisions
from shared.engines.tensorflow_engine import load_tensorflow
from trainer_service.backbones.architectures import Architecture, find_architecture
from trainer_service.backbones.weights import resolve
from trainer_service.datasets.dataset import Dataset
from trainer_service.datasets.splits import SplitFractions, assign_splits
from trainer_service.inline import train_inline
from trainer_service.phases.evaluate.metrics import evaluate
from trainer_service.settings import TrainerSettings
from trainer_service.store.records.training_record import State, TrainingRecord
from trainer_service.store.stores import Stores

T = TypeVar("T")

PAGE, OUTCOMES = Path("docs/quality.md"), Path("docs/quality.json")
FIRST, SECOND = "mobilenet_v2", "efficientnet_lite0"
TAIL, GUIDE = "tail", "guide"
#: Folders whose images mean something else when mirrored: there the guide does not mirror them.
UNMIRRORED = {"digits"}
#: Rounds of one image through the engine, after as many to warm up.
ROUNDS = 100


@dataclass(frozen=True, slots=True)
class Case:
    """A training that is compared.

    Attributes:
        title: what the page calls it.
        fields: those of its request.
        architecture: its backbone.
    """

    title: str
    fields: dict[str, Any] = field(default_factory=dict)
    architecture: str = FIRST


#: By the keys that `--rows` takes.
CASES = {
    "layers": Case("`head: layers`, the last layer", {"head": "layers", "taps": "last"}),
    "last": Case("regression, the last layer", {"taps": "last"}),
    "all": Case("regression, all taps", {"taps": "all"}),
    "defaults": Case("the defaults: regression, taps by validation loss"),
    "layers-taps": Case("`head: layers`, taps by validation loss", {"head": "layers"}),
    "views": Case("`views: 4`", {"views": 4}),
    "views-crops": Case("`views: 4`, `crop,colour`", {"views": 4, "augment": ["crop", "colour"]}),
    "tail-plain": Case(
        "`tune: tail` without changed views", {"tune": {"views": 1, "augment": "none"}}
    ),
    TAIL: Case("`tune: tail`", {"tune": "tail"}),
    "tail-views": Case(
        "`tune: tail` and `views: 4`, `crop,colour`",
        {"tune": "tail", "views": 4, "augment": ["crop", "colour"]},
    ),
    "second": Case(f"{SECOND}, the defaults", architecture=SECOND),
    "second-tail": Case(f"{SECOND}, `tune: tail`", {"tune": "tail"}, SECOND),
}
GUIDE_TITLE = "Keras' guide in two stages, with the CPU time of `tune: tail`"
#: Settings that take up to a quarter of an hour on two cores. One is chosen by its validation loss.
TRIED = {
    "best-6": Case(
        "tuned from `block_6_project_BN`, 6 views, 8 epochs",
        {"tune": {"from": "block_6_project_BN"}},
    ),
    "best-6-long": Case(
        "tuned from `block_6_project_BN`, 10 views, 12 epochs",
        {"tune": {"from": "block_6_project_BN", "views": 10, "epochs": 12}},
    ),
    "best-tail-long": Case(
        "tuned from the cut of `tail`, 12 views, 16 epochs", {"tune": {"views": 12, "epochs": 16}}
    ),
    "best-second": Case(
        f"{SECOND}, tuned from `block8_project_bn`, 10 views, 12 epochs",
        {"tune": {"from": "block8_project_bn", "views": 10, "epochs": 12}},
        SECOND,
    ),
}
#: What is run if `--rows` is not given.
ROWS = [*CASES, GUIDE]


def main() -> None:
    """Run the named cases on every folder; write the page after each."""
    arguments = _parser().parse_args()
    file = OutcomesFile(OUTCOMES)
    for folder in arguments.folders:
        for key in arguments.rows:
            outcome = run(key, folder, arguments.weights, file.read())
            file.add(folder.name, key, outcome)
            print(folder.name, key, outcome, flush=True)
            PAGE.write_text(page(file.read()), "utf-8")
    print(f"written to {PAGE}")


def run(key: str, folder: Path, weights: Path, known: Outcomes) -> Outcome:
    """Run a case on a folder, in a store and a process of its own."""
    with TemporaryDirectory() as store:
        settings = TrainerSettings(
            store=Path(store), datasets=folder.parent.absolute(), weights=weights.absolute()
        )
        if key != GUIDE:
            return isolated(train, settings, folder.name, (CASES | TRIED)[key])
        return isolated(follow_the_guide, settings, folder.name, _seconds(known, folder.name))


def _seconds(known: Outcomes, folder: str) -> float:
    """Return the CPU time that Keras' guide gets: that of `tune: tail`.

    Raises:
        SystemExit: that is not known yet.
    """
    tail = known.get(folder, {}).get(TAIL)
    if tail is None:
        raise SystemExit(f"{GUIDE} on {folder} gets the time of {TAIL}: run that first")
    return tail.seconds


def train(settings: TrainerSettings, folder: str, case: Case) -> Outcome:
    """Train one case and measure its version.

    Raises:
        RuntimeError: the training has not succeeded.
    """
    load_tensorflow()
    seconds, record = _timed(lambda: _trained(settings, folder, case))
    version = Stores.open(settings).models.directory(record.model, record.version or 0)
    details = [part for part in (record.head and record.head.detail, _tuned(record)) if part]
    return _outcome(
        record,
        record.metrics["test"],
        record.metrics["validation"]["loss"],
        seconds,
        cost_of_serving(version, find_architecture(case.architecture)),
        " ".join(details),
    )


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    """Return the CPU seconds that something took, and what it returned."""
    started = time.process_time()
    result = work()
    return time.process_time() - started, result


def _outcome(  # noqa: PLR0913, PLR0917
    record: TrainingRecord,
    test: dict[str, Any],
    validation_loss: float | None,
    seconds: float,
    core_ms: float | None,
    detail: str,
) -> Outcome:
    return Outcome(
        images=test["images"],
        accuracy=test["accuracy"],
        loss=test["loss"],
        validation_loss=validation_loss,
        seconds=seconds,
        core_ms=core_ms,
        detail=detail,
        dataset=_described(record),
    )


def _trained(settings: TrainerSettings, folder: str, case: Case) -> TrainingRecord:
    record = train_inline(
        settings,
        model="quality",
        architecture=case.architecture,
        dataset={"path": folder},
        **case.fields,
    )
    if record.state != State.SUCCEEDED:
        raise RuntimeError(record.error)
    return record


def _tuned(record: TrainingRecord) -> str:
    return record.tune.reason if record.tune else ""


def _described(record: TrainingRecord) -> str:
    dataset = record.dataset
    parts = ", ".join(f"{count} {part}" for part, count in dataset.split.items())
    return f"{dataset.images} images of {dataset.label_count} labels: {parts}."


def follow_the_guide(settings: TrainerSettings, folder: str, seconds: float) -> Outcome:
    """Train as Keras' guide does, on the same images, with the same weights and as much CPU."""
    architecture = find_architecture(FIRST)
    record = _trained(settings, folder, Case("", {"taps": "last"}))  # it tells the split
    answers = train_two_stages(
        _files(settings, record),
        architecture,
        resolve(architecture, settings),
        seconds=seconds,
        mirror=folder not in UNMIRRORED,
    )
    labels = [str(number) for number in range(answers.probabilities.shape[1])]
    frozen, unfrozen = answers.epochs
    detail = f"{frozen} epochs with the backbone frozen, {unfrozen} with all of it trained."
    test = evaluate(answers.probabilities, answers.truth, labels)
    return _outcome(record, test, None, answers.seconds, None, detail)


def _files(settings: TrainerSettings, record: TrainingRecord) -> dict[str, list[Image]]:
    """Return the images of each part of the split of a training."""
    stores = Stores.open(settings)
    dataset = Dataset.open(stores.datasets, settings, record.dataset.known_id)
    used, asked = dataset.used_images(), record.request.split
    parts = assign_splits(used, SplitFractions(asked.validation, asked.test))
    files: dict[str, list[Image]] = {"train": [], "validation": [], "test": []}
    for image in used:
        files[parts[image.sha256]].append(Image(dataset.path_of(image), image.label))
    return files


def cost_of_serving(version: Path, architecture: Architecture) -> float:
    """Return the CPU time of one image in the engine that serves a version, in milliseconds."""
    name = select_engine("auto")
    engine = load_version_engine(version, name, serving_precisions(name)[0], threads=1)
    size = architecture.input_size
    pixels = np.zeros((1, size, size, 3), np.uint8)
    for _ in range(ROUNDS):
        engine.infer(pixels)
    return median(_timed(lambda: engine.infer(pixels))[0] for _ in range(ROUNDS)) * 1000


def page(outcomes: Outcomes) -> str:
    """Return the page of all outcomes."""
    titles = {key: case.title for key, case in CASES.items()} | {GUIDE: GUIDE_TITLE}
    tried = {key: case.title for key, case in TRIED.items()}
    days = sorted({one.at for cases in outcomes.values() for one in cases.values()})
    measured = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    head = (
        "# Quality\n\n"
        "How good the models of different heads are, on the same images, split and seed. Written "
        f"by `python -m benchmarks.quality`, measured {measured}, with {FIRST} where a row names "
        "no backbone. Nothing was chosen by these test images, and a difference within the "
        "intervals may be chance. [heads.md](guides/heads.md) explains the choices.\n\n"
        "Times are those of the CPU, of all cores together, for a whole training in an empty "
        "store: from the files to the published version. On a machine that others use as well, "
        "they and the core-ms of serving are larger than on a quiet one, and two measurements of "
        "the same differ by up to a tenth: compare them only with each other. Keras' "
        "guide gets as much CPU time as `tune: tail` for its two stages, half of it for each."
    )
    parts = [section(name, cases, titles, tried) for name, cases in outcomes.items()]
    return "\n\n".join([head, *parts]) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, help="folders of labelled images")
    parser.add_argument("--weights", type=Path, required=True, help="directory of weights files")
    parser.add_argument(
        "--rows",
        nargs="+",
        choices=[*ROWS, *TRIED],
        default=ROWS,
        metavar="ROW",
        help=f"which cases to run: {', '.join([*ROWS, *TRIED])}. Default: all but best-…",
    )
    return parser


if __name__ == "__main__":
    main()
