"""What the cases of `benchmarks.quality` gave: kept in a file, and shown as a page."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from trainer_service.phases.evaluate.intervals import confidence_interval


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one case gave on one folder.

    Attributes:
        images: how many test images there were.
        accuracy: on the test images, 0 to 1.
        loss: their mean cross-entropy, in nats.
        validation_loss: the same of the validation images; None if nothing was chosen by them.
        seconds: of the CPU, all cores together, for the whole training.
        core_ms: the CPU time of one image in the engine that serves it, in milliseconds; None if
            it was not measured.
        detail: what was chosen and why.
        dataset: how many images there are, and in which parts.
        at: when it was measured, as an ISO date.
    """

    images: int
    accuracy: float
    loss: float
    validation_loss: float | None
    seconds: float
    core_ms: float | None
    detail: str
    dataset: str
    at: str = ""

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the accuracy."""
        return confidence_interval(self.accuracy, self.images)


#: By the name of the folder, then by the key of the case.
Outcomes = dict[str, dict[str, Outcome]]


class OutcomesFile:
    """The outcomes so far, in a JSON file: cases can be measured one at a time, in any order."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Outcomes:
        """Return all outcomes; none if there is no file yet."""
        if not self._path.exists():
            return {}
        folders = json.loads(self._path.read_text("utf-8"))
        return {
            folder: {key: Outcome(**fields) for key, fields in cases.items()}
            for folder, cases in folders.items()
        }

    def add(self, folder: str, key: str, outcome: Outcome) -> None:
        """Keep an outcome in place of an earlier one of the same case."""
        found = self.read()
        cases = found.setdefault(folder, {})
        cases[key] = Outcome(**asdict(outcome) | {"at": f"{datetime.now(UTC):%Y-%m-%d}"})
        plain = {
            name: {one: asdict(of[one]) for one in sorted(of)} for name, of in sorted(found.items())
        }
        self._path.write_text(json.dumps(plain, indent=1) + "\n", "utf-8")


def section(
    name: str, found: Mapping[str, Outcome], titles: Mapping[str, str], tried: Mapping[str, str]
) -> str:
    """Return what the page says of a folder.

    Args:
        name: of the folder.
        found: its outcomes by the keys of the cases, of which some may be missing.
        titles: of the cases that are compared, by key, in the order of the table.
        tried: of the settings of which one was chosen by its validation loss.
    """
    compared = {titles[key]: found[key] for key in titles if key in found}
    first = next(iter((compared or found).values()))
    lines = [f"## {name}", "", first.dataset, "", *_table(compared), ""]
    lines += [f"- {title}: {one.detail}" for title, one in compared.items()]
    missing = [title for key, title in titles.items() if key not in found]
    lines += ["", f"Not measured: {'; '.join(missing)}."] if missing else []
    searched = {tried[key]: found[key] for key in tried if key in found}
    return "\n".join([*lines, *(_search(searched) if searched else ())])


def _table(outcomes: Mapping[str, Outcome]) -> list[str]:
    head = (
        "| | test accuracy | 95 % interval | log loss | CPU time of training | one image served |"
    )
    return [head, "|---|---|---|---|---|---|", *(_row(*one) for one in outcomes.items())]


def _row(title: str, outcome: Outcome) -> str:
    low, high = outcome.interval
    served = "" if outcome.core_ms is None else f"{outcome.core_ms:.2f} core-ms"
    return (
        f"| {title} | {outcome.accuracy:.4f} | {low:.3f} to {high:.3f} | {outcome.loss:.4f} | "
        f"{outcome.seconds:.0f} s | {served} |"
    )


def _search(tried: Mapping[str, Outcome]) -> Sequence[str]:
    """Return the settings that were tried, and the test figures of the one that was chosen."""
    best = min(tried, key=lambda title: tried[title].validation_loss or 0.0)
    rows = [
        f"| {title} | {one.validation_loss:.4f} | {one.seconds:.0f} s |"
        for title, one in tried.items()
    ]
    about = (
        "**The best within a quarter of an hour.** These settings were tried as well. The one with "
        "the smallest validation loss was chosen, and the test images were looked at for that one "
        "alone."
    )
    return [
        "",
        about,
        "",
        "| | validation loss | CPU time of training |",
        "|---|---|---|",
        *rows,
        "",
        f"Chosen: {best}.",
        "",
        *_table({best: tried[best]}),
    ]
