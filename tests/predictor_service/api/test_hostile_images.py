"""Strangers' pictures through predict: an answer or a 4xx problem, whatever they send."""

from itertools import islice

import psutil
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.inputs import hostile_images as hostile
from tests.support.inputs.tiny_model import picture, publish_tiny_model
from tests.support.processes.predictor_process import running_predictor

pytestmark = pytest.mark.integration

AT_ONCE = 32
MEGABYTE = 1 << 20
ODD, BAD, TRUNCATED = dict(hostile.odd()), dict(hostile.bad()), dict(hostile.truncated())


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    """One with the limits of the settings; it must live through all tests."""
    directory = tmp_path_factory.mktemp("hostile")
    publish_tiny_model(directory / "store")
    with running_predictor(directory / "store", directory / "log", threads=2) as running:
        running.wait_until_ready()
        yield running
        assert running.process.poll() is None
        assert running.predict(picture("green")).json()["predictions"][0]["label"] == "green"
        assert "Traceback" not in running.log


def ask(predictor, files):
    """Predict files, a few at once with a good one among them; return entries by name."""
    entries = {}
    pending = iter(files.items())
    while some := list(islice(pending, AT_ONCE)):
        parts = [("file", (name, data)) for name, data in some]
        parts.insert(len(parts) // 2, ("file", ("good", picture("blue"))))
        answer = predictor.http.post("/v1/predict", files=parts, timeout=60)
        assert answer.status_code == 200, answer.text
        predictions = answer.json()["predictions"]
        assert len(predictions) == len(parts)
        named = {entry["file"]: entry for entry in predictions}
        assert named.pop("good")["label"] == "blue"
        entries |= named
    return entries


def test_odd_pictures_are_answered(predictor):
    entries = ask(predictor, ODD)

    assert set(entries) == set(ODD)
    assert {name: entry for name, entry in entries.items() if "label" not in entry} == {}


def test_bad_ones_are_refused_and_spoil_no_other(predictor):
    entries = ask(predictor, BAD)

    assert set(entries) == set(BAD)
    assert {name for name, entry in entries.items() if "error" not in entry} == set()
    assert {entry["error"]["status"] for entry in entries.values()} <= {413, 422}
    assert "HEADSTART_MAX_IMAGE_PIXELS" in entries["bomb.png"]["error"]["detail"]


@pytest.mark.parametrize("name", BAD)
def test_each_bad_one_alone_is_a_4xx_problem(predictor, name):
    answer = predictor.http.post("/v1/predict", content=BAD[name])

    assert answer.status_code in {413, 422}
    assert answer.headers["content-type"] == "application/problem+json"


def test_pictures_that_end_early_are_answered_or_refused(predictor):
    entries = ask(predictor, TRUNCATED)

    assert len(entries) > 150
    assert {entry["error"]["status"] for entry in entries.values() if "error" in entry} == {422}


def test_memory_stays_flat(predictor):
    process = psutil.Process(predictor.process.pid)

    def memory_after_a_round():
        for files in (ODD, BAD):
            ask(predictor, files)
        return process.memory_info().rss

    memory_after_a_round()
    seen = [memory_after_a_round() for _ in range(5)]
    print([f"{rss / MEGABYTE:.0f} MB" for rss in seen])  # noqa: T201 - for -s

    assert seen[-1] - min(seen) < 60 * MEGABYTE


sources = st.sampled_from(sorted(ODD.values(), key=len)[:25])
edits = st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=8)), max_size=6)


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(sources, edits, st.floats(0, 1))
@example(b"", [], 1.0)
def test_any_damage_is_answered_or_refused(predictor, data, changes, end):
    damaged = bytearray(data[: round(len(data) * max(end, 0.3))])
    for where, new in changes:
        place = round(where * len(damaged))
        damaged[place : place + len(new)] = new
    answer = predictor.http.post("/v1/predict", content=bytes(damaged))

    assert answer.status_code in {200, 413, 422}


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(hostile.MAGICS.values())), st.binary(max_size=400))
def test_any_bytes_behind_any_magic_are_answered_or_refused(predictor, magic, data):
    assert predictor.http.post("/v1/predict", content=magic + data).status_code in {200, 413, 422}
