"""Runs the named benchmarks, or all but gpu: `python -m benchmarks [NAME ...] [--quick]`."""

import argparse
import json
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks import (
    bottleneck,
    costs,
    gpu,
    head,
    overload,
    predictor,
    regression,
    swaps,
    training,
)
from benchmarks.images import benchmark_images
from benchmarks.rows import Row, as_json, as_table
from benchmarks.servers import bentoml_version

SUITE = {
    "costs": costs.run,
    "bottleneck": bottleneck.run,
    "head": head.run,
    "regression": regression.run,
    "training": training.run,
    "predictor": predictor.run,
    "overload": overload.run,
    "swaps": swaps.run,
}
#: Runs only if it is named.
NAMED = {"gpu": gpu.run}
DIRECTORY = Path("var/bench")
PAGE = Path("docs/benchmarks.md")
LIBRARIES = ["keras", "tensorflow-cpu", "openvino", "numpy", "fastapi", "uvicorn", "litserve"]


def main() -> None:
    """Run the benchmarks of the command line, print their tables, and write the page."""
    arguments = _parser().parse_args()
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    directory = DIRECTORY.absolute()
    rows: dict[str, list[Row]] = {}
    for name in arguments.benchmarks or SUITE:
        print(f"{name} ...", flush=True)
        rows[name] = (SUITE | NAMED)[name](directory, quick=arguments.quick)
        print(as_table(rows[name]), flush=True)
    if not arguments.quick and not arguments.benchmarks:
        PAGE.write_text(_page(rows, benchmark_images(directory)[1]))
        print(f"written to {PAGE}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "benchmarks", nargs="*", choices=[*SUITE, *NAMED, []], help="default: all but gpu"
    )
    parser.add_argument("--quick", action="store_true", help="only check that it works")
    return parser


def _page(rows: dict[str, list[Row]], images: str) -> str:
    machine = {
        "processor": _processor(),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{library: version(library) for library in LIBRARIES},
        "bentoml": bentoml_version(),
    }
    parts = [
        "# Benchmarks",
        f"Written by `make bench` on {datetime.now(UTC):%Y-%m-%d}, from one run: {images}.",
        "Absolute numbers depend on the machine and the hour; compare the ratios.",
        "\n".join(f"- {name}: {value}" for name, value in machine.items()),
    ]
    for name, measured in rows.items():
        parts += [f"## {name.capitalize()}", as_table(measured)]
    every = [row for measured in rows.values() for row in measured]
    parts += ["## Raw rows", f"```json\n{as_json(every)}\n```"]
    return "\n\n".join(parts) + "\n"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return json.dumps(f"{len(models)} x {models[0]}") if models else platform.processor()


if __name__ == "__main__":
    main()
