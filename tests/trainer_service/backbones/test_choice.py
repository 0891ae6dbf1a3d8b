"""Which architecture is trained if the request names none."""

import pytest

from tests.support.trainer.builders import NOWHERE
from trainer_service.backbones import choice
from trainer_service.backbones.architectures import BEST_FIRST, CATALOGUE
from trainer_service.backbones.choice import choose_architecture
from trainer_service.errors import WeightsUnavailable
from trainer_service.requests.training import DEFAULT_ARCHITECTURE
from trainer_service.settings import TrainerSettings


@pytest.fixture
def settings(tmp_path):
    """Nothing can be downloaded; the weights of efficientnet_lite0 come with the packages."""
    (tmp_path / "weights").mkdir()
    return TrainerSettings(weights=tmp_path / "weights", weights_url=NOWHERE)


def put_weights(settings, name):
    (settings.weights / f"{name}.weights.h5").write_bytes(b"weights")


def test_all_architectures_are_ranked():
    assert sorted(BEST_FIRST) == sorted(CATALOGUE)


def test_the_default_is_taken_if_its_weights_can_be_had(settings):
    put_weights(settings, DEFAULT_ARCHITECTURE)
    put_weights(settings, "convnext_tiny")

    assert choose_architecture(settings) == (CATALOGUE[DEFAULT_ARCHITECTURE], None)


def test_else_the_best_that_can_be_had_is_taken_with_the_reason(settings):
    put_weights(settings, "resnet50_v2")
    put_weights(settings, "vgg16")

    architecture, reason = choose_architecture(settings)

    assert architecture.id == "resnet50_v2"
    assert reason.startswith("resnet50_v2 is trained in place of mobilenet_v2, as the request")
    assert "could not be downloaded: " in reason
    assert reason.count("Connection refused") == 1


def test_it_is_refused_if_none_can_be_had(settings, monkeypatch):
    none = choice.availability(CATALOGUE["vgg16"], settings)
    monkeypatch.setattr(choice, "availabilities", lambda _: dict.fromkeys(CATALOGUE, none))

    with pytest.raises(WeightsUnavailable, match="weights of mobilenet_v2 are not available"):
        choose_architecture(settings)
