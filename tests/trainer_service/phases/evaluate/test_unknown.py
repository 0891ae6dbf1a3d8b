"""Which images a version carries, and what they tell of the test images."""

from types import SimpleNamespace

import numpy as np
import pytest

from shared.models.unknown import MOST_EMBEDDING_BYTES, known_shares, scaled
from trainer_service.phases.evaluate.coverage import covered
from trainer_service.phases.evaluate.neighbours import Reference, neighbours
from trainer_service.phases.evaluate.unknown import ENOUGH_VALIDATED, familiar

LABELS = ["cat", "dog", "owl"]
WIDTH = 16
#: Enough for 60 images.
MULTIPLY_ADDS = 60 * WIDTH * 667


def image(label, number, double_of=""):
    return SimpleNamespace(label=label, sha256=f"{number:064x}", double_of=double_of)


class Network:
    """Embeds an image near the direction of its label, or, if it is learnt, right there."""

    def __init__(self, learnt=(), spread=0.3, labels=LABELS):
        self.labels = list(labels)
        self.embedding_size = WIDTH
        self.embedding_is_learnt = bool(learnt)
        self.architecture = SimpleNamespace(multiply_adds=MULTIPLY_ADDS)
        self._learnt = {one.sha256 for one in learnt}
        self._spread = spread

    def embeddings(self, images):
        return np.stack([self._embedding(one) for one in images])

    def _embedding(self, one):
        middle = np.eye(WIDTH)[self.labels.index(one.label)]
        spread = 0.01 if one.sha256 in self._learnt else self._spread
        noise = _noise_of(one.double_of or one.sha256) + 0.02 * _noise_of(one.sha256)
        return (7 * (middle + spread * noise)).astype(np.float32)


def _noise_of(sha256):
    return np.random.default_rng(int(sha256, 16)).normal(size=WIDTH)


def splits(train, validation, test, labels=LABELS):
    numbers = iter(range(10**6))
    return {
        part: [image(label, next(numbers)) for _ in range(count) for label in labels]
        for part, count in (("train", train), ("validation", validation), ("test", test))
    }


def test_neighbours_are_those_that_a_search_one_by_one_finds():
    random = np.random.default_rng(0)
    images, pictures = (scaled(random.normal(size=(n, 4))) for n in (30, 700))
    reference = Reference(images, np.sort(random.integers(0, 4, 30)))
    truth = random.integers(0, 5, 700)  # 4 is a label without an image

    found = neighbours(reference, pictures, truth)

    away = 1 - pictures @ images.T
    for place, row in enumerate(away):
        best = reference.truth[row.argmin()]
        expected = (row.min(), row[reference.truth != best].min())
        np.testing.assert_allclose((found.nearest[place], found.second[place]), expected, atol=1e-6)
        assert found.label[place] == best
        other = row[reference.truth != truth[place]].min()
        assert found.foreign[place] == pytest.approx(other, abs=1e-6)
        for label in range(4):
            without = row[reference.truth != label].min()
            assert found.without(label)[place] == pytest.approx(without, abs=1e-6)


def test_an_image_of_the_reference_is_not_compared_with_itself():
    images = scaled(np.random.default_rng(0).normal(size=(9, 4)))
    truth = np.array([0] * 4 + [1] * 4 + [2])

    found = neighbours(Reference(images, truth), images, truth, np.arange(9))

    away = 1 - images @ images.T + 2 * np.eye(9)
    np.testing.assert_allclose(found.nearest, away.min(axis=1), atol=1e-6)


def test_images_are_carried_fairly_by_label_and_the_same_each_time():
    parts = splits(10, 2, 2)
    parts["train"] += [image("cat", 10_000 + number) for number in range(200)]

    carried = familiar(Network(), parts)
    again = familiar(Network(), {part: images[::-1] for part, images in parts.items()})

    labels = {one.sha256: one.label for one in parts["train"]}
    counts = [sum(labels[one] == label for one in carried.known.images) for label in LABELS]
    assert counts == [40, 10, 10]
    assert carried.info.images == 60
    assert carried.known.pack() == again.known.pack()
    lengths = np.linalg.norm(carried.known.embeddings.astype(float), axis=1)
    np.testing.assert_allclose(lengths, 1, atol=1e-3)


def test_wide_embeddings_take_no_more_bytes_than_allowed():
    network = Network()
    network.embedding_size, network.architecture.multiply_adds = 8000, 10**12
    network.embeddings = lambda images: np.ones((len(images), 8000), np.float32)

    known = familiar(network, splits(200, 2, 2)).known

    assert len(known.images) == MOST_EMBEDDING_BYTES // 16_000
    assert len(known.pack()) < 5_000_000


def test_with_many_validation_images_their_distances_decide_and_test_images_are_known():
    found = familiar(Network(), splits(30, 100, 300))

    assert found.info.compared == "validation"
    assert found.info.distances == len(found.known.distances) == 300 > ENOUGH_VALIDATED
    share = found.info.false_alarms
    assert share.low < 0.05 < share.high
    assert (share.pictures, share.low < share.count / 900 < share.high) == (900, True)


def test_with_few_the_distances_of_training_images_from_each_other_are_added():
    found = familiar(Network(), splits(20, 10, 300))

    assert found.info.compared == "validation and training"
    assert found.info.distances == 60 + 30
    assert found.info.false_alarms.count / 900 == pytest.approx(0.05, abs=0.04)


def test_images_that_an_embedding_was_learnt_from_are_not_taken_for_others():
    """They are much more alike than others, so every other one would be a false alarm."""
    parts = splits(20, 10, 100)

    found = familiar(Network(learnt=parts["train"]), parts)

    assert (found.info.compared, found.info.distances) == ("validation", 30)
    assert found.info.false_alarms.count / 300 < 0.15


def test_near_doubles_of_training_images_do_not_make_others_look_far():
    """Each has its double among the carried images, which no other picture has."""
    parts = splits(20, 3, 100)
    parts["train"] = [
        image(one.label, 10**6 + 2 * int(one.sha256, 16) + number, one.sha256)
        for one in parts["train"]
        for number in range(2)
    ]

    found = familiar(Network(), parts)

    assert (found.info.compared, found.info.images) == ("validation and training", 60)
    assert found.info.false_alarms.count / 300 == pytest.approx(0.05, abs=0.04)


def test_with_too_few_images_there_is_no_verdict():
    found = familiar(Network(), splits(4, 1, 1))

    assert found.info.distances == 15
    assert found.info.false_alarms is found.info.left_out is None


def test_a_label_that_is_left_out_is_caught_if_it_is_far_from_the_others():
    near, far = (familiar(Network(spread=s), splits(30, 100, 30)) for s in (2.0, 0.1))

    assert far.info.left_out.count / far.info.left_out.pictures > 0.95
    assert near.info.left_out.count / near.info.left_out.pictures < 0.3


def test_left_out_is_what_a_training_without_the_label_would_tell():
    """Each label's images are removed here before everything else."""
    parts = splits(19, 100, 30)
    found = familiar(Network(spread=0.5), parts)

    caught = 0
    for label in LABELS:
        others = {part: [one for one in images if one.label != label]
                  for part, images in parts.items()}  # fmt: skip
        known = familiar(Network(spread=0.5), others).known
        pictures = [one for one in parts["test"] if one.label == label]
        unit = scaled(Network(spread=0.5).embeddings(pictures))
        away = 1 - (unit @ known.embeddings.astype(np.float32).T).max(axis=1)
        caught += int((known_shares(known.distances, away) <= 0.05).sum())

    assert found.info.left_out.count == caught
    assert 0 < caught < 90


def test_the_right_label_of_test_images_is_covered():
    random = np.random.default_rng(0)

    def drawn(pictures):
        probabilities = random.dirichlet([0.3] * 4, pictures).astype(np.float32)
        truth = (probabilities.cumsum(axis=1) < random.random((pictures, 1))).sum(axis=1)
        return probabilities, truth

    doubts, info = covered(drawn(2000), drawn(2000))

    assert (len(doubts), info.images, info.coverage) == (2000, 2000, 0.95)
    assert info.right.count / 2000 == pytest.approx(0.95, abs=0.02)
    assert 1 < info.labels < 4


def test_so_few_pictures_vouch_for_no_coverage():
    answers = np.full((18, 2), 0.5, np.float32), np.zeros(18, np.int64)

    _, info = covered(answers, answers)

    assert (info.images, info.coverage, info.right) == (18, None, None)
