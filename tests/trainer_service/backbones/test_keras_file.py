"""Files of one backbone with one head after the other."""

import zipfile

import numpy as np
import pytest

from trainer_service.backbones import keras_file
from trainer_service.backbones.keras_file import forget, save_keras
from trainer_service.phases.head.solved import LinearHead, as_layers

pytestmark = pytest.mark.slow

PIXELS = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def backbone():
    import keras

    pixels = keras.Input((4,))
    hidden = keras.layers.Dense(7, "relu")(pixels)
    return keras.Model(pixels, keras.layers.Dense(6, "relu")(hidden))


@pytest.fixture(autouse=True)
def _nothing_is_known():
    forget()


@pytest.fixture
def whole(monkeypatch):
    """How often Keras has gone through a whole network."""
    done, joined = [], keras_file._joined
    monkeypatch.setattr(keras_file, "_joined", lambda *both: done.append(1) or joined(*both))
    return done


def head(seed, labels=3):
    random = np.random.default_rng(seed)
    kernel, bias = random.normal(size=(6, labels)), random.normal(size=labels)
    return as_layers(LinearHead(kernel.astype(np.float32), bias.astype(np.float32)))


def answers(path):
    import keras

    return keras.saving.load_model(path, safe_mode=True).predict(PIXELS, verbose=0)


def expected(backbone, own):
    return own.predict(backbone.predict(PIXELS, verbose=0), verbose=0)


def test_each_file_has_its_own_head(backbone, tmp_path, whole):
    for seed in range(3):
        own, path = head(seed), tmp_path / f"{seed}.keras"
        save_keras(backbone, own, path, stays=True)

        np.testing.assert_allclose(answers(path), expected(backbone, own), atol=1e-6)
    assert len(whole) == 1


def test_it_is_the_file_that_keras_would_write(backbone, tmp_path, whole):
    """But for the time."""
    save_keras(backbone, head(0), tmp_path / "first.keras", stays=True)
    save_keras(backbone, head(1), tmp_path / "ours.keras", stays=True)
    forget()
    save_keras(backbone, head(1), tmp_path / "keras.keras", stays=True)

    assert len(whole) == 2
    ours, theirs = (zipfile.ZipFile(tmp_path / f"{name}.keras") for name in ("ours", "keras"))
    assert ours.namelist() == theirs.namelist()
    assert ours.read("metadata.json")[:40] == theirs.read("metadata.json")[:40]
    assert len(ours.read("model.weights.h5")) == len(theirs.read("model.weights.h5"))


def test_another_form_or_backbone_is_written_anew(backbone, tmp_path, whole):
    import keras

    other = keras.models.clone_model(backbone)
    path = tmp_path / "one.keras"
    for place, (model, labels) in enumerate([(backbone, 3), (backbone, 4), (other, 4)], 1):
        own = head(0, labels)
        save_keras(model, own, path, stays=True)

        assert len(whole) == place
        np.testing.assert_allclose(answers(path), expected(model, own), atol=1e-6)


def test_a_backbone_that_learns_is_written_anew(backbone, tmp_path, whole):
    for _ in range(2):
        save_keras(backbone, head(0), tmp_path / "one.keras", stays=False)
    assert len(whole) == 2
    assert keras_file._last == []


@pytest.mark.parametrize("reason", ["large", "not plain"])
def test_what_can_not_be_kept_is_written_anew(backbone, tmp_path, whole, reason, monkeypatch):
    own = head(0)
    if reason == "large":
        monkeypatch.setattr(keras_file, "MOST_BYTES", 1000)
    else:  # the bias of the backbone has the same numbers
        own = head(0, 6)
        kernel, _ = own.get_weights()
        own.set_weights([kernel, backbone.layers[-1].get_weights()[1]])
    for _ in range(2):
        save_keras(backbone, own, tmp_path / "one.keras", stays=True)

    assert len(whole) == 2
    np.testing.assert_allclose(answers(tmp_path / "one.keras"), expected(backbone, own), atol=1e-6)
