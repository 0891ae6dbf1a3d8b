"""What `pip install .` installs: the command alone, or all of it, as the README promises."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ["client", "launcher", "predictor_service", "shared", "trainer_service"]
BESIDE = ["pyproject.toml", "README.md", "LICENSE"]
KINDS = {".css", ".html", ".js", ".py", ".svg", ".txt"}
BUILD = "import setuptools.build_meta as it; it.build_wheel('wheel')"


def the_files(root: Path) -> set[str]:
    """Everything below the packages that a wheel has to hold."""
    found = (file for package in PACKAGES for file in (root / package).rglob("*"))
    return {file.relative_to(root).as_posix() for file in found if file.suffix in KINDS}


@pytest.mark.process
def test_a_wheel_holds_every_module_and_everything_that_the_pages_are_made_of(tmp_path):
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__", "data")
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignored)
    for name in BESIDE:
        shutil.copy(ROOT / name, tmp_path)
    expected = the_files(tmp_path)

    # Not in this process: setuptools has ideas of its own about the working directory.
    built = subprocess.run(
        [sys.executable, "-c", BUILD],
        check=False,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert built.returncode == 0, built.stderr

    [wheel] = (tmp_path / "wheel").glob("*.whl")
    with zipfile.ZipFile(wheel) as files:
        held = set(files.namelist())
    assert expected - held == set()
    assert {name for name in held if ".dist-info/" not in name} == expected
