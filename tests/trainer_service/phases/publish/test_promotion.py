"""Whether a new version is served: the decision, and what it is made of."""

import errno
import hashlib
import json
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.images.decoding import ImageLimits
from shared.models.model_store import OPENVINO_MODEL, REPORT_FILE
from tests.support.inputs.tiny_model import (
    LABELS,
    expected_probabilities,
    picture,
    publish_tiny_model,
    tiny_manifest,
)
from trainer_service.datasets.image_files import ImageLost
from trainer_service.phases.evaluate.metrics import evaluate, losses
from trainer_service.phases.publish import paired_answers
from trainer_service.phases.publish.paired_answers import Answers, Incomparable
from trainer_service.phases.publish.promotion import decide, judge
from trainer_service.store.promoting import Verdict
from trainer_service.store.publishing import WritableModelStore

SERVED = tiny_manifest("pets", LABELS).model_copy(update={"version": 3})
RIGHT, WRONG = (0.9, 0.05, 0.05), (0.05, 0.9, 0.05)


def measured(*rows, truth=None):
    truth = np.zeros(len(rows), np.int64) if truth is None else np.array(truth)
    return evaluate(np.array(rows, np.float32), truth, LABELS)


def unasked():
    pytest.fail("both versions should not be compared")


GOOD = measured(RIGHT, WRONG, truth=[0, 1])


@pytest.mark.parametrize(
    ("asked", "served", "reason"),
    [("always", True, "promote is always"), ("never", False, "promote is never")],
)
def test_a_request_may_decide_it(asked, served, reason):
    verdict = decide(asked, ["cat"], measured(WRONG), SERVED, unasked)
    assert (verdict.served, reason in verdict.reason) == (served, True)


def test_the_newest_is_served_with_both_accuracies_told():
    assert decide("auto", LABELS, GOOD, None, unasked).served
    verdict = decide("auto", LABELS, GOOD, SERVED, unasked)
    assert verdict.served
    assert verdict.reason == (
        "It is the newest. 100.0 % of 2 test images are answered right; version 3, served before: "
        "100.0 %."
    )


@pytest.mark.parametrize("asked", ["auto", "if_better"])
@pytest.mark.parametrize(
    ("labels", "differ"),
    [
        (["red", "green"], "it lacks 'blue'."),
        (["red", "green", "blue", "fine"], "it has also 'fine'."),
        (["a", "b", "c", "d", "e", "f"], "it lacks 'blue', 'green', 'red', and it has also 'a'"),
    ],
)
def test_a_version_with_other_labels_is_not_served(asked, labels, differ):
    verdict = decide(asked, labels, GOOD, SERVED, unasked)
    assert not verdict.served
    assert verdict.reason.startswith("Its labels differ from those of version 3, which is served: ")
    assert differ in verdict.reason


def test_the_order_of_the_labels_is_no_difference():
    assert decide("auto", LABELS[::-1], GOOD, SERVED, unasked).served


@pytest.mark.parametrize("asked", ["auto", "if_better"])
@pytest.mark.parametrize("served", [None, SERVED])
def test_a_version_that_is_no_better_than_a_constant_is_not_served(asked, served):
    nothing_right = measured(WRONG, WRONG, (0.1, 0.1, 0.8), truth=[0, 0, 1])
    verdict = decide(asked, LABELS, nothing_right, served, unasked)
    assert not verdict.served
    assert verdict.reason == (
        "It answers 0 of 3 test images right, which is no better than always answering 'red': "
        "that is right for 2."
    )
    constant = measured(RIGHT, RIGHT, RIGHT, truth=[0, 0, 1])
    assert not decide(asked, LABELS, constant, served, unasked).served


def test_a_version_without_a_mistake_is_better_than_a_constant():
    assert decide("auto", LABELS, measured(RIGHT, RIGHT, truth=[0, 0]), None, unasked).served


def answers(draw, count):
    rows = st.lists(st.floats(0, 1, width=32), min_size=3, max_size=3)
    made = draw(st.lists(rows | st.just([float("nan")] * 3), min_size=count, max_size=count))
    return np.array(made, np.float32)


@given(st.data())
def test_if_better_lets_no_worse_version_through(data):
    count = data.draw(st.integers(1, 12))
    new, old = answers(data.draw, count), answers(data.draw, count)
    if data.draw(st.booleans()):
        old = new.copy()
    truth = np.array(data.draw(st.lists(st.integers(0, 2), min_size=count, max_size=count)))

    verdict = decide("if_better", LABELS, GOOD, SERVED, lambda: Answers(new, old, truth))

    both = (losses(new, truth), losses(old, truth))
    difference = np.mean(both[0] - both[1])
    assert verdict.served == (difference <= 0)
    assert all(f"{one.mean():.4f}" in verdict.reason for one in both)


def test_without_anything_to_compare_nothing_new_is_served():
    def compare():
        raise Incomparable("there is no test image that both have kept out.")

    verdict = decide("if_better", LABELS, GOOD, SERVED, compare)
    assert verdict == Verdict(
        served=False,
        reason="It can't be compared with version 3, which is served: there is no test image that "
        "both have kept out.",
    )


class MeanColour:
    """The new version's network: as that of the tiny model, with its labels in another order."""

    def infer(self, pixels):
        logits = pixels.mean(axis=(1, 2))[:, [LABELS.index(label) for label in sorted(LABELS)]]
        exponents = np.exp(0.05 * (logits - logits.max(axis=1, keepdims=True)))
        return {"probabilities": (exponents / exponents.sum(axis=1, keepdims=True)).astype("f4")}


COLOURS = ("red", "green", "blue", "red", "green")


class Files:
    """The files of a dataset: plain pictures, by their colour and number."""

    def __init__(self):
        self.gone = set()

    def read(self, file, sha256):
        if file in self.gone:
            raise ImageLost("The file is gone.")
        data = picture(file.split(".")[0], size=20 + int(file.split(".")[1]))
        assert hashlib.sha256(data).hexdigest() == sha256
        return data


@pytest.fixture
def publishing(tmp_path):
    """A training that is about to publish a version of `colours` with `if_better`."""
    files = Files()
    images = []
    for number, colour in enumerate(COLOURS):
        data = picture(colour, size=20 + number)
        sha256 = hashlib.sha256(data).hexdigest()
        images.append(SimpleNamespace(file=f"{colour}.{number}", sha256=sha256, label=colour))
    labels = sorted(LABELS)
    truth = np.array([labels.index(colour) for colour in COLOURS])
    answered = np.full((len(images), 3), 0.01, np.float32)
    answered[np.arange(len(images)), truth] = 0.98
    worker = SimpleNamespace(
        stores=SimpleNamespace(models=WritableModelStore(tmp_path)),
        settings=SimpleNamespace(engine="openvino", precision="f32"),
        threads=1,
        image_limits=ImageLimits(1 << 20, 1 << 20),
    )
    work = SimpleNamespace(
        worker=worker,
        record=SimpleNamespace(request=SimpleNamespace(promote="if_better")),
        dataset=lambda: SimpleNamespace(files=lambda: files),
        check_cancelled=lambda: None,
    )
    evaluated = SimpleNamespace(
        labels=labels,
        metrics={"test": evaluate(answered, truth, labels)},
        network=SimpleNamespace(precision="f32", architecture=SimpleNamespace(input_size=8)),
        test_images=images,
        test_probabilities=answered,
        test_truth=truth,
    )
    return SimpleNamespace(work=work, evaluated=evaluated, files=files, store=tmp_path)


def serve(publishing, kept_out, contrast=0.05, change=lambda staging: None):
    """Publish a version that has kept out some of the test images, and images of its own."""
    rows = [{"sha256": publishing.evaluated.test_images[n].sha256} for n in kept_out]
    rows += [{"sha256": "0" * 64}]

    def write(staging):
        (staging / REPORT_FILE).parent.mkdir()
        (staging / REPORT_FILE).write_text(json.dumps({"test": rows}))
        change(staging)

    publish_tiny_model(publishing.store, contrast=contrast, change=write)


def judged(publishing):
    model = publishing.work.worker.stores.models.state("colours")
    return judge(publishing.work, publishing.evaluated, {"f32": MeanColour()}, model)


@pytest.mark.parametrize(("contrast", "served"), [(0.001, True), (0.049, True), (0.2, False)])
def test_the_served_version_answers_what_both_have_kept_out(publishing, contrast, served):
    serve(publishing, [0, 2, 4], contrast)

    verdict = judged(publishing)
    assert verdict.served is served
    assert "on the 3 test images that both have kept out" in verdict.reason
    exact = -np.log(expected_probabilities("red")[0])
    assert f"Its log loss is {exact:.4f}" in verdict.reason
    assert judged(publishing) == verdict


def test_images_that_are_gone_are_left_out(publishing):
    serve(publishing, [0, 2, 4])
    publishing.files.gone = {"red.0"}
    assert "on the 2 test images" in judged(publishing).reason
    publishing.files.gone = {"red.0", "blue.2", "green.4"}
    assert (
        "none of the test images that both have kept out can be read" in judged(publishing).reason
    )


def test_only_so_many_images_are_answered_again(publishing, monkeypatch):
    serve(publishing, range(5))
    monkeypatch.setattr(paired_answers, "MOST_COMPARED", 4)
    assert "on the 4 test images" in judged(publishing).reason


def spoil_network(staging):
    (staging / OPENVINO_MODEL).write_text("<net/>")


def test_what_cannot_be_compared_is_not_served(publishing):
    serve(publishing, [])
    assert "there is no test image that both have kept out" in judged(publishing).reason
    serve(publishing, [0], change=spoil_network)
    assert "its network can't be loaded" in judged(publishing).reason
    publish_tiny_model(publishing.store)
    assert "its evaluation can't be read: report/evaluation.json" in judged(publishing).reason
    assert not judged(publishing).served


def test_a_hiccup_of_the_disk_is_no_verdict(publishing, monkeypatch):
    """The step is repeated then: a version that is as good would else stay unserved for good."""
    serve(publishing, [0, 2, 4], contrast=0.001)

    def stale(*_):
        raise OSError(errno.ESTALE, "Stale file handle")

    with monkeypatch.context() as patch:
        patch.setattr(paired_answers, "read_version_file", stale)
        with pytest.raises(OSError, match="Stale"):
            judged(publishing)
    assert judged(publishing).served


def test_a_pinned_version_is_the_one_that_is_served(publishing):
    serve(publishing, [0, 2, 4], contrast=0.001)
    serve(publishing, [], contrast=0.05)
    publishing.work.worker.stores.models.pin("colours", 1)

    verdict = judged(publishing)
    assert verdict.served
    assert "that of version 1" in verdict.reason
    assert verdict.reason.endswith(
        "Version 1 is pinned, so it is served until the model is un-pinned."
    )
