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

from benchmarks.tools.isolation import isolated
from shared.engines import load_version_engine, select_engine, serving_precisions
from trainer_service.backbones.architectures import Architecture, find_architecture
from trainer_service.inline import train_inline
from trainer_service.settings import TrainerSettings
from trainer_service.store.records.training_record import State, TrainingRecord
from trainer_service.store.stores import Stores

PAGE = Path("docs/quality.md")
#: Each case, as the fields of its training.
CASES: dict[str, dict[str, Any]] = {
    "layers on the last layer, as Keras' guides have it": {"head": "layers", "taps": "last"},
    "regression on the last layer": {"taps": "last"},
    "regression on the last three": {"taps": "late"},
    "regression on all": {"taps": "all"},
    "defaults: regression, taps chosen by validation loss": {},
    "defaults, with 4 views of each training image if they help": {"views": 4},
    "layers, taps chosen by validation loss": {"head": "layers"},
}
#: Rounds of one image through the engine, after as many to warm up.
ROUNDS = 50


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one case gave on one folder.

    Attributes:
        case: its name.
        record: the record of its training.
        core_ms: the CPU time of one image in the engine that serves it, in milliseconds.
    """

    case: str
    record: TrainingRecord
    core_ms: float


def main() -> None:
    """Train every case on every folder, print the tables, and write the page."""
    arguments = _parser().parse_args()
    sections = []
    for folder in arguments.folders:
        outcomes = compare(folder, arguments.weights, arguments.architecture)
        sections.append(_section(folder.name, outcomes))
        print(sections[-1], flush=True)
    PAGE.write_text(_page(sections, arguments.architecture), "utf-8")
    print(f"written to {PAGE}")


def compare(folder: Path, weights: Path, architecture: str) -> list[Outcome]:
    """Train every case on a folder; the features are computed once for each choice of taps."""
    with TemporaryDirectory() as store:
        settings = TrainerSettings(
            store=Path(store), datasets=folder.parent.absolute(), weights=weights.absolute()
        )
        return [
            isolated(train, settings, folder.name, architecture, case, fields)
            for case, fields in CASES.items()
        ]


def train(
    settings: TrainerSettings, folder: str, architecture: str, case: str, fields: dict[str, Any]
) -> Outcome:
    """Train one case and measure its version.

    Raises:
        RuntimeError: the training has not succeeded.
    """
    dataset = {"path": folder}
    record = train_inline(
        settings, model="quality", architecture=architecture, dataset=dataset, **fields
    )
    if record.state != State.SUCCEEDED or record.version is None:
        raise RuntimeError(record.error)
    version = Stores.open(settings).models.directory(record.model, record.version)
    return Outcome(case, record, cost_of_serving(version, find_architecture(architecture)))


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
    dataset = outcomes[0].record.dataset
    parts = ", ".join(f"{count} {part}" for part, count in dataset.split.items())
    lines = [
        f"## {name}",
        "",
        f"{dataset.images} images of {dataset.label_count} labels: {parts}.",
        "",
        "| | test accuracy | 95 % interval | log loss | head trained in | one image served |",
        "|---|---|---|---|---|---|",
        *map(_row, outcomes),
        "",
    ]
    details = [f"- {one.case}: {one.record.head.detail}" for one in outcomes if one.record.head]
    return "\n".join([*lines, *details])


def _row(outcome: Outcome) -> str:
    test = outcome.record.metrics["test"]
    seconds = sum(
        step.seconds or 0.0 for step in outcome.record.transitions if step.state == State.HEAD
    )
    return (
        f"| {outcome.case} | {test['accuracy']:.4f} | {test['accuracy_low']:.3f} to "
        f"{test['accuracy_high']:.3f} | {test['loss']:.4f} | {seconds:.1f} s | "
        f"{outcome.core_ms:.2f} core-ms |"
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
    return parser


if __name__ == "__main__":
    main()
