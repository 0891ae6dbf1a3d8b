"""A whole comparison: its table has the figures of single trainings with the same settings."""

import pytest

from shared.models.model_store import ModelStore, is_sound
from tests.end_to_end.stack import digits
from trainer_service.inline import compare_inline, train_inline
from trainer_service.settings import TrainerSettings
from trainer_service.store.stores import Stores

pytestmark = [pytest.mark.slow, pytest.mark.integration]

ARCHITECTURE = "efficientnet_lite0"
EACH = 12


@pytest.fixture
def settings(tmp_path, redis_url, share_backbones):
    share_backbones(tmp_path / "store")
    (tmp_path / "few").mkdir()
    for name, data in digits(tmp_path, "014", EACH).items():
        (tmp_path / "few" / name).write_bytes(data)
    return TrainerSettings(store=tmp_path / "store", datasets=tmp_path, redis_url=redis_url)


def test_its_figures_are_those_of_a_training_alone(settings):
    record = compare_inline(
        settings,
        model="digits",
        dataset={"path": "few"},
        architectures=[ARCHITECTURE],
        taps=["last", "late"],
    )

    assert record.state == "succeeded", record.error
    assert all(one.first_round.images < 3 * EACH for one in record.candidates)
    chosen = record.named(record.verdict.recommended)
    [published] = record.published
    assert (published.training, published.version) == (chosen.training, 1)
    assert is_sound(ModelStore(settings.store).directory("digits", 1))
    stores = Stores.open(settings)
    tried, trained = (stores.trainings.get(one) for one in (chosen.trial, chosen.training))
    told = [one for one in stores.events.read(tried.id) if one.type == "strength"]
    assert tried.trial.loss == pytest.approx(min(one.val_loss for one in told), abs=1e-5)
    assert tried.cache.computed == tried.trial.images
    assert trained.cache.reused == tried.trial.images

    alone = train_inline(
        settings,
        model="alone",
        dataset={"path": "few"},
        architecture=ARCHITECTURE,
        taps=chosen.request.taps,
    )

    row, test = chosen.row, alone.metrics["test"]
    figures = ("images", "accuracy", "accuracy_low", "accuracy_high", "loss", "macro_f1")
    assert {name: getattr(row, name) for name in figures} == {name: test[name] for name in figures}
    assert trained.metrics == alone.metrics
    assert row.cost.single > 0
    assert row.training_seconds > 0
