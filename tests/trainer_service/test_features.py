"""The feature store, with real files."""

import numpy as np
import pytest

from trainer_service.features import FeaturesGone, FeatureStore


def rows(*values):
    return np.array([[value, value + 0.5] for value in values], np.float32)


@pytest.fixture
def features(tmp_path):
    return FeatureStore(tmp_path, "space")


def test_features_come_back_in_the_order_asked_for_across_shards(features):
    features.write(["a", "b"], rows(1, 2), seconds=4.0)
    features.write(["c"], rows(3), seconds=1.0)

    np.testing.assert_array_equal(features.read(["c", "a", "b", "a"]), rows(3, 1, 2, 1))


def test_each_row_carries_its_share_of_the_seconds(features):
    features.write(["a", "b"], rows(1, 2), seconds=4.0)

    assert features.locate()["b"].seconds == 2.0


def test_a_shard_is_known_by_all_its_images(features):
    assert not features.holds(["a", "b"])
    features.write(["a", "b"], rows(1, 2), seconds=4.0)

    assert features.holds(["a", "b"])
    assert not features.holds(["a"])
    assert not features.holds(["b", "a"])


def test_writing_a_shard_again_replaces_it(features, tmp_path):
    features.write(["a", "b"], rows(1, 2), seconds=4.0)
    features.write(["a", "b"], rows(5, 6), seconds=4.0)

    np.testing.assert_array_equal(features.read(["a", "b"]), rows(5, 6))
    assert len(list((tmp_path / "features" / "space").iterdir())) == 2


def test_a_shard_without_its_index_does_not_exist(features, tmp_path):
    features.write(["a"], rows(1), seconds=1.0)
    for index in (tmp_path / "features" / "space").glob("*.json"):
        index.unlink()

    assert features.locate() == {}
    with pytest.raises(FeaturesGone):
        features.read(["a"])


def test_spaces_do_not_share_features(features, tmp_path):
    features.write(["a"], rows(1), seconds=1.0)

    assert FeatureStore(tmp_path, "another").locate() == {}


def test_a_shard_that_is_removed_while_they_are_located_is_left_out(features, tmp_path):
    features.write(["a"], rows(1), seconds=1.0)
    # Listed, and gone when it is opened.
    (tmp_path / "features/space/gone.json").symlink_to(tmp_path / "nothing")

    assert set(features.locate()) == {"a"}
