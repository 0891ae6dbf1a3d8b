"""A whole training on photographs of which some have a wrong label, when they are at hand."""

import random
import shutil

import pytest

from shared.models.model_store import REPORT_PAGE, ModelStore
from trainer_service.inline import train_inline
from trainer_service.requests.lists import ListQuery
from trainer_service.settings import TrainerSettings
from trainer_service.store.records.suspects import suspect_page

pytestmark = pytest.mark.slow

SEED = 0
EACH = 250
WRONG = 25
OTHER = {"cat": "dog", "dog": "cat"}


@pytest.fixture(scope="module")
def datasets(cats_and_dogs, tmp_path_factory):
    """The first photographs of each label, of which one in twenty is named as the other."""
    folder = tmp_path_factory.mktemp("datasets")
    files = [file for label in OTHER for file in sorted(cats_and_dogs.glob(f"{label}.*"))[:EACH]]
    wrong = set(random.Random(SEED).sample(files, WRONG))
    for file in files:
        label, number, _ = file.name.split(".")
        named = OTHER[label] if file in wrong else label
        (folder / "pets" / named).mkdir(parents=True, exist_ok=True)
        shutil.copy(file, folder / "pets" / named / f"{label}-{number}.jpg")
    return folder


@pytest.fixture(scope="module")
def settings(datasets, tmp_path_factory, real_weights, share_backbones):
    store = tmp_path_factory.mktemp("suspects") / "store"
    share_backbones(store)
    return TrainerSettings(store=store, datasets=datasets, weights=real_weights)


@pytest.fixture(scope="module")
def record(settings):
    return train_inline(settings, model="pets", dataset={"path": "pets"})


def test_wrong_labels_are_among_the_suspects(record, settings):
    assert record.error is None
    directory = settings.store / "trainings" / record.id
    suspects = suspect_page(directory, ListQuery(limit=1000), record.suspects.count).suspects
    hits = [one for one in suspects if not one.image.startswith(f"{one.label}/{one.label}")]

    assert len(hits) >= 0.8 * WRONG
    assert len(hits) >= 0.5 * len(suspects)
    assert all(one.proposed == OTHER[one.label] for one in suspects)
    assert {one.split for one in hits} == {"train", "validation", "test"}
    assert record.suspects.count == record.metrics["suspects"]["count"] == len(suspects)
    assert record.suspects.images == 2 * EACH
    clearness = [one.proposed_probability - one.label_probability for one in suspects]
    assert clearness == sorted(clearness, reverse=True)


def test_the_report_shows_them(record, settings):
    version = ModelStore(settings.store).directory("pets", record.version)
    report = (version / REPORT_PAGE).read_text()
    assert "Labels that look wrong" in report
    assert f"contradict the labels of {record.suspects.count} of {2 * EACH} images" in report
