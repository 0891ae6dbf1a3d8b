"""What the README promises exists, and what exists is in the README."""

import re
import tomllib
from pathlib import Path

import pytest

from predictor_service.settings import PredictorSettings
from shared import __version__
from trainer_service.backbones.architectures import CATALOGUE
from trainer_service.settings import TrainerSettings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
SETTINGS = TrainerSettings.model_fields | PredictorSettings.model_fields


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_is_in_the_table_with_its_default(name):
    [row] = re.findall(rf"^\| `HEADSTART_{name.upper()}` \| (.*?) \|", README, re.MULTILINE)
    default = SETTINGS[name].default

    assert row == ("" if default is None else f"`{default}`")


def test_the_table_has_no_setting_that_does_not_exist():
    names = set(re.findall(r"^\| `HEADSTART_(\w+)` \|", README, re.MULTILINE))
    assert names == {name.upper() for name in SETTINGS}


def test_every_architecture_is_named():
    assert all(f"`{architecture}`" in README for architecture in CATALOGUE)


def test_every_file_that_is_linked_exists():
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
FOLDERS = ["client", "launcher", "predictor_service", "shared", "tests", "trainer_service"]
SOURCES = [
    f"/{file.relative_to(ROOT)}" for folder in FOLDERS for file in (ROOT / folder).rglob("*")
]
NAMED = re.compile(r"`((?:\w+/)*\w+\.(?:py|js|css))`")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_source_file_that_is_named_exists(document):
    """By its whole path or by its end: `guard/test_hosts.py`."""
    named = set(NAMED.findall(document.read_text()))
    assert [name for name in named if not any(s.endswith(f"/{name}") for s in SOURCES)] == []


def test_every_make_target_that_is_named_exists():
    makefile = (ROOT / "Makefile").read_text()
    named = set(re.findall(r"`?make ([a-z]+)", README))
    assert named <= set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))


def test_the_services_say_the_version_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert __version__ == project["version"]
