"""On photographs, heat lies on what a label is of."""

import os
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from shared.engines import load_version_engine
from shared.engines.explaining import load_explaining_engine
from shared.heatmaps.heat import PLACES
from shared.models.model_store import REPORT_PAGE, ModelStore, read_manifest
from trainer_service.inline import train_inline
from trainer_service.phases.publish.report import MISTAKES
from trainer_service.settings import TrainerSettings

pytestmark = [pytest.mark.slow, pytest.mark.integration]

LEARNT, SEEN = 25, 4
SIDE = 224


@pytest.fixture(scope="module")
def trash():
    """Photographs of six kinds of trash, each on its own."""
    if "HEADSTART_TEST_DATA" not in os.environ:
        pytest.skip("HEADSTART_TEST_DATA is not set: it names data that is not in the repository")
    root = Path(os.environ["HEADSTART_TEST_DATA"]) / "trash"
    return {folder.name: sorted(folder.iterdir()) for folder in sorted(root.iterdir())}


@pytest.fixture(scope="module")
def trained(trash, tmp_path_factory, real_weights, share_backbones, redis_url):
    """A model of trash, and photographs by label that it has not learnt from."""
    directory = tmp_path_factory.mktemp("heat")
    for label, files in trash.items():
        (directory / "datasets" / "trash" / label).mkdir(parents=True)
        for file in files[:LEARNT]:
            shutil.copy(file, directory / "datasets" / "trash" / label)
    share_backbones(directory / "store")
    settings = TrainerSettings(
        store=directory / "store",
        datasets=directory / "datasets",
        weights=real_weights,
        redis_url=redis_url,
        engine="openvino",
    )
    record = train_inline(
        settings, architecture="mobilenet_v2", dataset={"path": "trash"}, taps="all"
    )
    assert record.state == "succeeded", record.error
    version = ModelStore(settings.store).directory("trash", 1)
    manifest = read_manifest(version)
    served = load_version_engine(version, "openvino", "f32", 2)
    engine = load_explaining_engine(version, served, manifest.heatmaps, 2)
    page = (version / REPORT_PAGE).read_text()
    wrong = round((1 - manifest.metrics["test"]["accuracy"]) * manifest.metrics["test"]["images"])
    unseen = {label: files[LEARNT : LEARNT + SEEN] for label, files in trash.items()}
    return SimpleNamespace(
        engine=engine, labels=manifest.labels, unseen=unseen, page=page, wrong=wrong
    )


def test_the_report_shows_what_spoke_for_each_mistake(trained):
    shown = re.findall(r'src="(data:image/jpeg[^"]+)" alt="What spoke for [a-z]+"', trained.page)

    assert trained.wrong
    assert len(shown) == min(MISTAKES, trained.wrong)
    assert max(map(len, shown)) < 25_000


def half(file):
    with Image.open(file) as image:
        return image.convert("RGB").resize((SIDE // 2, SIDE))


def share_of_heat(trained, label, own, other, *, right):
    """Return which share of the painted heat lies on one half of a picture.

    Args:
        trained: the model.
        label: that the heat is for.
        own: what is on that half.
        other: what is on the other one, a picture or a colour.
        right: whether it is the right half.
    """
    picture = Image.new("RGB", (SIDE, SIDE), None if isinstance(other, Image.Image) else other)
    picture.paste(own, (SIDE // 2 * right, 0))
    if isinstance(other, Image.Image):
        picture.paste(other, (SIDE // 2 * (not right), 0))
    grid = trained.engine.explain(np.asarray(picture)).heat(trained.labels.index(label)).grid
    painted = np.maximum(grid - grid.mean(), 0)
    columns = slice(PLACES // 2, None) if right else slice(PLACES // 2)
    return float(painted[:, columns].sum() / painted.sum())


def pictures(trained):
    for label, files in trained.unseen.items():
        for number, file in enumerate(files):
            yield label, number, half(file)


def test_of_two_things_each_label_finds_its_own(trained):
    shares = []
    for label, number, own in pictures(trained):
        others = [one for one in trained.labels if one != label]
        other = half(trained.unseen[others[number]][number])
        shares.append(share_of_heat(trained, label, own, other, right=bool(number % 2)))

    assert len(shares) == 24
    assert np.mean(shares) > 0.65
    assert np.mean(np.array(shares) > 0.5) > 0.7


def test_beside_a_plain_half_heat_lies_on_the_thing(trained):
    colours = [(128, 128, 128), (0, 0, 0), (90, 140, 200), (200, 180, 90)]
    shares = [
        share_of_heat(trained, label, own, colours[number], right=bool(number % 2))
        for label, number, own in pictures(trained)
    ]

    assert np.mean(shares) > 0.65
    assert np.mean(np.array(shares) > 0.5) > 0.7
