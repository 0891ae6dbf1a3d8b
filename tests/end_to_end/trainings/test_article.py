"""The article's case: cats and dogs, when the photographs and the weights are at hand."""

import random
import time

import pytest

from tests.end_to_end.stack import running_stack, zipped

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture(scope="module")
def stack(tmp_path_factory, real_weights):
    with running_stack(tmp_path_factory.mktemp("article"), weights=real_weights) as running:
        yield running


@pytest.fixture(scope="module")
def photographs(cats_and_dogs):
    return {file.name: file.read_bytes() for file in sorted(cats_and_dogs.iterdir())}


def ten_test_pictures(stack, record, photographs):
    """Predict ten pictures of the test split over HTTP and return how many are right."""
    report = stack.trainer.get(f"/v1/trainings/{record['id']}/report").json()
    rows = random.Random(0).sample(report["test"], 10)
    chosen = {row["image"]: photographs[row["image"]] for row in rows}
    predictions = stack.predict(record["model"], chosen)
    return sum(
        prediction["label"] == row["label"]
        for row, prediction in zip(rows, predictions, strict=True)
    )


def test_from_one_request_to_ten_predictions_on_a_fifth_of_them(stack, photographs):
    fifth = dict(list(photographs.items())[::5])
    record = stack.train(zipped(fifth), model="few", architecture="mobilenet_v2")
    stack.served("few", record["version"])

    assert record["cache"]["computed"] == record["dataset"]["images"] == len(fifth)
    assert record["metrics"]["test"]["accuracy"] >= 0.95
    assert ten_test_pictures(stack, record, photographs) >= 9


@pytest.mark.exhaustive
def test_mobilenet_v2_on_all_of_them(stack, photographs):
    archive = zipped(photographs)
    started = time.monotonic()
    record = stack.train(archive, model="pets", architecture="mobilenet_v2")
    stack.served("pets", record["version"])
    seconds = time.monotonic() - started

    # How long it takes is benchmarks/'s to judge; here it is only shown.
    print(f"from POST to served: {seconds:.1f} s")  # noqa: T201
    assert record["dataset"]["images"] == 1399
    assert record["metrics"]["test"]["accuracy"] >= 0.975
    assert ten_test_pictures(stack, record, photographs) >= 9


@pytest.mark.exhaustive
def test_vgg16_on_a_fifth_of_them(stack, photographs):
    fifth = dict(list(photographs.items())[::5])
    record = stack.train(zipped(fifth), model="vgg", architecture="VGG16")

    stack.served("vgg", record["version"])
    assert record["architecture"] == "vgg16"
    assert record["metrics"]["test"]["accuracy"] >= 0.95
