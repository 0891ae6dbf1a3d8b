"""The benchmarks run; their results are not checked."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def test_every_benchmark_runs_and_prints_its_ratios(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        check=False,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stdout + done.stderr
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
        assert subject in done.stdout
    assert "200:" in done.stdout
