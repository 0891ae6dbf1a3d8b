"""Workers of different processors work on one training, and others serve what they publish."""

import pytest

from predictor_service.models import loading
from shared.engines import cpu_precision
from shared.models.model_store import ModelStore, read_golden
from tests.end_to_end.stack import digits
from tests.support.loaded import loaded
from trainer_service.inline import train_inline
from trainer_service.phases.prepare import plan
from trainer_service.settings import TrainerSettings

pytestmark = [pytest.mark.slow, pytest.mark.integration]

EACH = 8


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    directory = tmp_path_factory.mktemp("datasets")
    (directory / "few").mkdir()
    for name, data in digits(directory, "014", EACH).items():
        (directory / "few" / name).write_bytes(data)
    return directory


@pytest.mark.parametrize("planned", ["bf16", "f32"])
def test_every_worker_works_on_what_the_first_has_planned(
    planned, datasets, tmp_path, redis_url, share_backbones, monkeypatch
):
    """One of the two is what this machine would not have planned."""
    monkeypatch.setattr(plan, "planned_precision", lambda _: planned)
    store = tmp_path / "store"
    share_backbones(store)
    settings = TrainerSettings(store=store, datasets=datasets, redis_url=redis_url)

    record = train_inline(
        settings, architecture="efficientnet_lite0", dataset={"path": "few"}, epochs=5
    )

    assert record.state == "succeeded", record.error
    directory = ModelStore(store).directory("few", 1)
    manifest = ModelStore(store).manifest("few", 1)
    assert manifest.precision == planned
    native = {cpu_precision()} - {"f32"}
    assert all(set(image.reduced) == native for image in read_golden(directory, manifest))
    for precisions in (["f32"], ["bf16", "f32"]):
        monkeypatch.setattr(loading, "serving_precisions", lambda *_, p=precisions, **__: p)
        assert loaded(directory, tmp_path).manifest.version == 1
