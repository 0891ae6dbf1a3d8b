"""docs/operations/metrics.md tells what is measured, and nothing else."""

import re
from pathlib import Path

import pytest

from predictor_service.app import create_app as create_predictor
from predictor_service.settings import PredictorSettings
from trainer_service.app import create_app as create_trainer
from trainer_service.settings import TrainerSettings

pytestmark = pytest.mark.integration

DOCUMENT = (Path(__file__).parents[2] / "docs/operations/metrics.md").read_text()
ROW = re.compile(r"^\| `(headstart_\w+)` \| (\w+) \|([^|]*)\|", re.MULTILINE)


@pytest.fixture(scope="module")
def measured(tmp_path_factory, redis_url):
    """What the three processes measure, by name; a worker's metrics are the trainer's, too."""
    store = tmp_path_factory.mktemp("store")
    apps = (
        create_predictor(PredictorSettings(store=store)),
        create_trainer(TrainerSettings(store=store, redis_url=redis_url)),
    )
    families = [family for app in apps for family in app.state.registry.collect()]
    return {
        family.name + ("_total" if family.type == "counter" else ""): family
        for family in families
        if family.name.startswith("headstart_")
    }


def test_every_metric_is_documented_with_its_type(measured):
    documented = {name: kind for name, kind, _ in ROW.findall(DOCUMENT)}

    assert documented == {name: family.type for name, family in measured.items()}


def test_the_labels_are_the_documented_ones(measured):
    documented = {
        name: set(re.findall(r"\w+", labels)) for name, _, labels in ROW.findall(DOCUMENT)
    }

    for name, family in measured.items():
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == documented[name]


def test_names_carry_their_unit(measured):
    for name, family in measured.items():
        if family.type == "histogram":
            assert name.endswith(("_seconds", "_images"))
