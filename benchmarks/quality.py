"""Compares how good the models are that different heads give, on folders of your own.

    python -m benchmarks.quality --weights weights photos/trash photos/pets

Each folder holds a folder of images for each label. Every case trains on the same split of the
same images with the same seed, and is tested on the same test images. It writes docs/quality.md.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.peers.keras_two_stage import Image, train_two_stages
from benchmarks.tools.isolation import isolated
from shared.engines import load_version_engine, select_engine, serving_precisions
from trainer_service.backbones.architectures import Architecture, find_architecture
from trainer_service.backbones.weights import resolve
from trainer_service.datasets.dataset import Dataset
from trainer_service.datasets.splits import SplitFractions, assign_splits
from trainer_service.inline import train_inline
from trainer_service.phases.evaluate.metrics import evaluate
from trainer_service.settings import TrainerSettings
from trainer_service.store.records.training_record import State, TrainingRecord
from trainer_service.store.stores import Stores

PAGE = Path("docs/quality.md")
#: Each case, as the fields of its training. The first compute features that the others use.
CASES: dict[str, dict[str, Any]] = {
    "layers on the last layer": {"head": "layers", "taps": "last"},
    "regression on the last layer": {"taps": "last"},
    "regression on the last three": {"taps": "late"},
    "regression on all": {"taps": "all"},
    "defaults: regression, taps by validation loss": {},
    "layers, taps by validation loss": {"head": "layers"},
    "4 views of each training image": {"views": 4},
    "fine-tuning, without changed views": {"tune": {"augment": "none"}},
    "fine-tuning: `tune: tail`": {"tune": "tail"},
}
TAIL = "fine-tuning: `tune: tail`"
GUIDE = "Keras' guide, in the time of `tune: tail`"
#: The phases that a training's time is told of.
_PHASES = (State.BOTTLENECK, State.HEAD, State.TUNING)
#: Rounds of one image through the engine, after as many to warm up.
ROUNDS = 50


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one case gave on one folder.

    Attributes:
        case: its name.
        test: `accuracy`, its interval and `loss` on the test images.
        seconds: how long the phases took that it does not share with others.
        core_ms: the CPU time of one image in the engine that serves it, in milliseconds; None if
            it was not measured.
        detail: what was chosen and why.
        dataset: how many images there are, and in which parts.
    """

    case: str
    test: dict[str, float]
    seconds: float
    core_ms: float | None
    detail: str
    dataset: str


def main() -> None:
    """Train every case on every folder, print the tables, and write the page."""
    arguments = _parser().parse_args()
    sections = []
    for folder in arguments.folders:
        outcomes = compare(folder, arguments.weights, arguments.architecture, arguments.second)
        sections.append(_section(folder.name, outcomes))
        print(sections[-1], flush=True)
    PAGE.write_text(_page(sections, arguments.architecture), "utf-8")
    print(f"written to {PAGE}")


def compare(folder: Path, weights: Path, architecture: str, second: str) -> list[Outcome]:
    """Train every case on a folder, then a second architecture, then as Keras' guide does."""
    with TemporaryDirectory() as store:
        settings = TrainerSettings(
            store=Path(store), datasets=folder.parent.absolute(), weights=weights.absolute()
        )
        cases = [(name, architecture, fields) for name, fields in CASES.items()]
        cases += [
            (f"{second}, defaults", second, {}),
            (f"{second}, `tune: tail`", second, {"tune": "tail"}),
        ]
        outcomes = []
        for name, backbone, fields in cases:
            outcomes.append(isolated(train, settings, folder.name, backbone, name, fields))
            print(outcomes[-1], flush=True)
        seconds = next(one.seconds for one in outcomes if one.case == TAIL)
        outcomes.append(isolated(follow_the_guide, settings, folder.name, architecture, seconds))
    return outcomes


def train(
    settings: TrainerSettings, folder: str, architecture: str, case: str, fields: dict[str, Any]
) -> Outcome:
    """Train one case and measure its version.

    Raises:
        RuntimeError: the training has not succeeded.
    """
    record = _trained(settings, folder, architecture, fields)
    version = Stores.open(settings).models.directory(record.model, record.version or 0)
    spent = {step.state: step.seconds or 0.0 for step in record.transitions}
    details = [part for part in (record.head and record.head.detail, _tuned(record)) if part]
    return Outcome(
        case,
        record.metrics["test"],
        sum(spent.get(phase, 0.0) for phase in _PHASES),
        cost_of_serving(version, find_architecture(architecture)),
        " ".join(details),
        _described(record),
    )


def _trained(
    settings: TrainerSettings, folder: str, architecture: str, fields: dict[str, Any]
) -> TrainingRecord:
    record = train_inline(
        settings, model="quality", architecture=architecture, dataset={"path": folder}, **fields
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


def follow_the_guide(
    settings: TrainerSettings, folder: str, architecture_id: str, seconds: float
) -> Outcome:
    """Train as Keras' guide does, on the same images, with the same weights and as much time."""
    architecture = find_architecture(architecture_id)
    record = _trained(settings, folder, architecture_id, {})  # all is stored: it tells the split
    answers = train_two_stages(
        _files(settings, record), architecture, resolve(architecture, settings), seconds=seconds
    )
    labels = [str(number) for number in range(answers.probabilities.shape[1])]
    frozen, unfrozen = answers.epochs
    detail = f"{frozen} epochs with the backbone frozen, {unfrozen} with all of it trained."
    test = evaluate(answers.probabilities, answers.truth, labels)
    return Outcome(GUIDE, test, answers.seconds, None, detail, _described(record))


def _files(settings: TrainerSettings, record: TrainingRecord) -> dict[str, list[Image]]:
    """Return the images of each part of the split of a training."""
    stores = Stores.open(settings)
    dataset = Dataset.open(stores.datasets, settings, record.dataset.id)
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
    started = time.process_time()
    for _ in range(ROUNDS):
        engine.infer(pixels)
    return (time.process_time() - started) / ROUNDS * 1000


def _section(name: str, outcomes: Sequence[Outcome]) -> str:
    lines = [
        f"## {name}",
        "",
        outcomes[0].dataset,
        "",
        "| | test accuracy | 95 % interval | log loss | time | one image served |",
        "|---|---|---|---|---|---|",
        *map(_row, outcomes),
        "",
    ]
    return "\n".join([*lines, *(f"- {one.case}: {one.detail}" for one in outcomes)])


def _row(outcome: Outcome) -> str:
    test = outcome.test
    served = "" if outcome.core_ms is None else f"{outcome.core_ms:.2f} core-ms"
    return (
        f"| {outcome.case} | {test['accuracy']:.4f} | {test['accuracy_low']:.3f} to "
        f"{test['accuracy_high']:.3f} | {test['loss']:.4f} | {outcome.seconds:.0f} s | {served} |"
    )


def _page(sections: Sequence[str], architecture: str) -> str:
    head = (
        "# Quality\n\n"
        "How good the models of different heads are, on the same images, split and seed. Written "
        f"by `python -m benchmarks.quality` on {datetime.now(UTC):%Y-%m-%d}, with {architecture}. "
        "Nothing was chosen by these test images. Seconds depend on the machine; compare them "
        "within a table only.\n\n"
        "[heads.md](guides/heads.md) explains the choices."
    )
    return "\n\n".join([head, *sections]) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, help="folders of labelled images")
    parser.add_argument("--weights", type=Path, required=True, help="directory of weights files")
    parser.add_argument("--architecture", default="mobilenet_v2")
    parser.add_argument(
        "--second", default="efficientnet_lite0", help="another architecture, for two more rows"
    )
    return parser


if __name__ == "__main__":
    main()
