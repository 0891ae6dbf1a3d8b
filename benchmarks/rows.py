"""What a benchmark measured, as rows of a table."""

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One thing measured.

    Attributes:
        benchmark: which script measured it.
        case: architecture, load, phase.
        subject: who was measured.
        value: how much, in `unit`.
        ratio: how many times that of `against`, measured in the same run; None for a baseline.
    """

    benchmark: str
    case: str
    subject: str
    value: float
    unit: str
    ratio: float | None = None
    against: str = ""
    note: str = ""


def as_table(rows: list[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = ["| | | | ratio | |", "|---|---|---|---|---|"]
    for row in rows:
        ratio = f"**{row.ratio:.2f}** x {row.against}" if row.ratio is not None else ""
        measured = f"{row.value:.4g} {row.unit}"
        lines.append(f"| {row.case} | {row.subject} | {measured} | {ratio} | {row.note} |")
    return "\n".join(lines)


def as_json(rows: list[Row]) -> str:
    return "\n".join(json.dumps(asdict(row)) for row in rows)
