"""The modules of the pages that need no browser, under node's own test runner."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = Path(__file__).parent


@pytest.fixture(scope="module")
def node():
    found = shutil.which("node")
    if found is None:
        pytest.skip("node is not installed")
    return found


@pytest.mark.process
@pytest.mark.parametrize(
    "pages", ["trainer_service/pages", "predictor_service/pages", "shared/http/web"]
)
def test_every_module_can_be_parsed(node, pages, tmp_path):
    """A browser shows nothing at all if one can't, as with a function that is there twice."""
    shutil.copytree(ROOT / pages, tmp_path / "pages")
    (tmp_path / "package.json").write_text(json.dumps({"type": "module"}))

    for module in sorted((tmp_path / "pages").rglob("*.js")):
        check = [node, "--check", str(module)]
        run = subprocess.run(check, capture_output=True, text=True, timeout=60, check=False)
        assert run.returncode == 0, run.stderr


@pytest.mark.process
@pytest.mark.parametrize("service", ["trainer_service", "predictor_service"])
def test_modules(node, service, tmp_path):
    # As they are served; a browser takes them for modules by their tag, node by package.json.
    shutil.copytree(ROOT / service / "pages", tmp_path / "page/app")
    shutil.copytree(ROOT / "shared/http/web", tmp_path / "page/web")
    shutil.copytree(TESTS / service, tmp_path / "tests")
    (tmp_path / "package.json").write_text(json.dumps({"type": "module"}))

    run = subprocess.run(
        [node, "--test", *sorted(map(str, (tmp_path / "tests").glob("*.test.js")))],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert run.returncode == 0, run.stdout + run.stderr
