"""The benchmarks run; their results are not checked."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def benchmarks(directory, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=directory,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(directory)},
        check=False,
        capture_output=True,
        text=True,
        timeout=550,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_they_can_be_imported_and_are_listed(tmp_path):
    listed = benchmarks(tmp_path, "--help")

    assert "costs,bottleneck,head,regression,training,predictor,overload,swaps" in listed


@pytest.mark.exhaustive
def test_every_benchmark_runs_and_prints_its_ratios(tmp_path):
    printed = benchmarks(tmp_path, "--quick")

    for subject in (
        "HTTP and batching",
        "Keras guides",
        "the machine's limit",
        "as fast as fit",
        "as fast as plainly",
        "features stored",
        "requests/s",
        "refused with 503",
        "of a version that was served then",
    ):
        assert subject in printed
    assert "200:" in printed
