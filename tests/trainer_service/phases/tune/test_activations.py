"""The stored rows of all views, with a real OpenVINO network that answers the mean colour."""

import hashlib
import io
from itertools import chain

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as ops
from PIL import Image

from shared.engines import OpenVINOEngine
from shared.images.decoding import ImageLimits
from trainer_service.backbones.architectures import find_architecture
from trainer_service.backbones.features import FeaturesGone, FeatureStore
from trainer_service.backbones.weights import Weights
from trainer_service.datasets.image_files import ImageFiles, Place
from trainer_service.errors import TrainingCancelled
from trainer_service.phases.bottleneck.view_computer import ViewComputer
from trainer_service.phases.tune import activations
from trainer_service.phases.tune.activations import (
    PixelEngine,
    activation_store,
    compute_activations,
    missing_images,
)
from trainer_service.phases.views import Views
from trainer_service.store.shards import ImagesLost, ShardImage

VIEWS = Views.of(8, 3, ["mirror", "crop", "colour"], seed=1)
LIMITS = ImageLimits(1 << 20, 1 << 20)


@pytest.fixture(scope="module")
def engine():
    """Answers the mean colours of the left and the right half: six numbers."""
    pixels = ops.parameter([-1, 8, 8, 3], np.uint8)
    halves = ops.split(ops.convert(pixels, np.float32), 2, 2)
    means = [ops.reduce_mean(half, ops.constant([1, 2])) for half in halves.outputs()]
    model = ov.Model([ops.concat(means, 1)], [pixels])
    return OpenVINOEngine(model, outputs=("features",), precision="f32")


@pytest.fixture
def images(tmp_path):
    (tmp_path / "images").mkdir()
    found = []
    for number in range(20):
        noise = np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        data = io.BytesIO()
        Image.fromarray(noise.repeat(6, 0).repeat(6, 1)).save(data, "PNG")
        (tmp_path / "images" / f"{number}.png").write_bytes(data.getvalue())
        sha256 = hashlib.sha256(data.getvalue()).hexdigest()
        found.append(ShardImage(sha256=sha256, path=f"{number}.png"))
    return found


class CountingFiles(ImageFiles):
    def __init__(self, root):
        super().__init__({"": Place(root, "HEADSTART_DATASETS", root)}, 1 << 20)
        self.reads = []

    def read(self, name, sha256):
        self.reads.append(name)
        return super().read(name, sha256)


@pytest.fixture
def files(tmp_path):
    return CountingFiles(tmp_path / "images")


@pytest.fixture
def compute(engine, images, files, tmp_path, monkeypatch):
    """Compute the rows of the images, in groups of eight at most."""
    monkeypatch.setattr(activations, "SHARD_NUMBERS", 6)

    def compute(views=VIEWS, advance=lambda _: None, lose=lambda _: None):
        computer = ViewComputer(engine, views, threads=2, limits=LIMITS)
        store = FeatureStore(tmp_path / "store", "tiny", "activations")
        return compute_activations(
            images, files, computer, store, width=6, advance=advance, lose=lose
        )

    return compute


def test_each_view_of_each_image_has_the_row_of_its_pixels(compute, engine, images, files):
    found = compute()

    path = {image.sha256: image.path for image in images}
    for group, members in enumerate(found.groups):
        views = [VIEWS.make(_decoded(files, path[sha256], sha256), sha256) for sha256 in members]
        for view in range(3):
            expected = engine.infer(np.stack([each[view] for each in views]))["features"]
            rows = found.rows(group, view)
            assert rows.dtype == np.float16
            np.testing.assert_allclose(rows, expected, rtol=1e-3)


def _decoded(files, path, sha256):
    from shared.images.decoding import decode

    size = VIEWS.decoded_size
    return decode(files.read(path, sha256), size, size, LIMITS)


def test_an_image_is_read_and_decoded_once_for_all_views(compute, images, files):
    compute()

    assert sorted(files.reads) == sorted(image.path for image in images)


def test_groups_are_by_hash_so_that_labels_are_mixed(compute, images):
    groups = compute().groups

    assert [len(group) for group in groups] == [6, 7, 7]
    assert list(chain(*groups)) == sorted(image.sha256 for image in images)


def test_what_is_stored_is_not_computed_again(compute, files):
    first = compute()
    files.reads.clear()

    again = compute()

    assert not files.reads
    assert again.groups == first.groups
    np.testing.assert_array_equal(again.rows(1, 2), first.rows(1, 2))


def test_views_that_do_not_begin_with_the_first_are_stored_by_their_numbers(compute):
    whole = compute()
    shown = compute(VIEWS.only([2]))

    np.testing.assert_array_equal(shown.rows(1, 2), whole.rows(1, 2))


def test_what_is_missing_is_known_without_a_look_at_the_files(compute, images, tmp_path):
    store = FeatureStore(tmp_path / "store", "tiny", "activations")
    assert len(missing_images(images, VIEWS, store, 6)) == 20
    compute()

    assert missing_images(images, VIEWS, store, 6) == []
    more = Views.of(8, 4, VIEWS.changes, VIEWS.seed)
    assert len(missing_images(images, more, store, 6)) == 20
    next((tmp_path / "store/activations/tiny").glob("*.json")).unlink()
    assert len(missing_images(images, VIEWS, store, 6)) in {6, 7}


def test_a_killed_computation_goes_on_after_its_last_group(compute, files, images):
    def cancel_in_the_second(done):
        if done > 6:
            raise TrainingCancelled("x")

    with pytest.raises(TrainingCancelled):
        compute(advance=cancel_in_the_second)
    files.reads.clear()
    found = compute()

    assert 0 < len(files.reads) <= 14
    assert len(list(chain(*found.groups))) == 20


def test_a_damaged_shard_is_computed_again(compute, files, tmp_path):
    expected = compute().rows(0, 1).copy()
    shards = sorted((tmp_path / "store/activations/tiny").glob("*.npy"))
    for shard in shards:
        shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    files.reads.clear()

    found = compute()

    assert len(files.reads) == 20
    np.testing.assert_array_equal(found.rows(0, 1), expected)


def test_a_shard_that_goes_meanwhile_is_an_error_that_says_so(compute, tmp_path):
    found = compute()
    for shard in (tmp_path / "store/activations/tiny").glob("*"):
        shard.unlink()

    with pytest.raises(FeaturesGone):
        found.rows(0, 0)


def test_an_image_that_is_gone_is_in_no_group(compute, images, files, tmp_path):
    (tmp_path / "images" / images[3].path).unlink()

    found = compute()

    assert list(found.lost) == [images[3].sha256]
    assert len(list(chain(*found.groups))) == 19
    assert [len(found.rows(number, 2)) for number in range(3)] == [len(g) for g in found.groups]


def test_each_group_tells_at_once_what_is_lost_of_it(compute, images, files, tmp_path):
    """So that nothing more is computed for a training that can't go on."""
    for image in images:
        (tmp_path / "images" / image.path).unlink()

    def end(lost):
        raise ImagesLost(f"{len(lost)} are gone")

    with pytest.raises(ImagesLost, match="6 are gone"):
        compute(lose=end)
    assert len(set(files.reads)) == 6


def test_progress_counts_images(compute):
    seen = []

    compute(advance=seen.append)

    assert seen == sorted(seen)
    assert seen[-1] == 20


def test_pixels_are_kept_exactly(images, files, tmp_path):
    """They are what a network is given of which everything is trained."""
    computer = ViewComputer(PixelEngine(), Views(8), threads=1, limits=LIMITS)
    store = FeatureStore(tmp_path / "store", "pixels", "activations")

    found = compute_activations(images, files, computer, store, width=192, advance=lambda _: None)

    rows = found.rows(0, 0)
    assert rows.shape == (20, 192)
    assert rows.max() > 200
    assert (rows == rows.round()).all()


def test_the_space_tells_apart_what_rows_depend_on(tmp_path):
    architecture = find_architecture("mobilenet_v2")
    weights = Weights("x", tmp_path, "0" * 64)
    cut, views = "block_13_project_BN", Views(224)
    more = Views.of(224, 4, ["crop"], 0)
    spaces = [
        activation_store(tmp_path, architecture, weights, "all", "f32", cut, views),
        activation_store(tmp_path, architecture, weights, "last", "f32", cut, views),
        activation_store(tmp_path, architecture, weights, "all", "bf16", cut, views),
        activation_store(tmp_path, architecture, weights, "all", "f32", "block_12_add", views),
        activation_store(tmp_path, architecture, weights, "all", "f32", cut, more),
    ]

    assert len({space._directory for space in spaces}) == 5
    assert spaces[0]._directory.parent == tmp_path / "activations"
