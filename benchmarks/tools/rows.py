"""The results of benchmarks, as rows of a table."""

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement.

    Attributes:
        benchmark: the name of the benchmark.
        case: the architecture, load or phase.
        subject: what was measured.
        value: the result, in `unit`.
        unit: the unit of the value.
        ratio: how many times that of `against`, measured in the same run; None for a baseline.
        against: what the ratio compares with.
        note: a remark.
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
    """Return the rows as JSON, one object per line."""
    return "\n".join(json.dumps(asdict(row)) for row in rows)
