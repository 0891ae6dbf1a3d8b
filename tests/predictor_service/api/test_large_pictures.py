"""Small files of many pixels, to a real predictor that others use at the same time."""

import re
import threading
from pathlib import Path

import httpx
import pytest

from tests.support.inputs import hostile_images as hostile
from tests.support.inputs.tiny_model import picture, publish_tiny_model
from tests.support.processes.predictor_process import PredictorProcess, running_predictor, wait_for

pytestmark = pytest.mark.integration

SIDE = 4200
MEGABYTE = 1 << 20
#: 16 bytes for each pixel of the largest picture.
ROOM = 16 * SIDE * SIDE / MEGABYTE
DECODED = 'headstart_predict_stage_duration_seconds_count{stage="decode"}'


@pytest.fixture(scope="module")
def pictures():
    names = ("16-bit-grey.png", "flat.webp", "16-bit-alpha.png", "float.tif")
    return [hostile.LARGE[name](SIDE) for name in names]


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    directory = tmp_path_factory.mktemp("large")
    publish_tiny_model(directory / "store")
    limits = {"threads": 2, "max_image_pixels": SIDE * SIDE, "max_files": 64, "max_queue": 64}
    with running_predictor(directory / "store", directory / "log", **limits) as running:
        running.wait_until_ready()
        yield running


def most_memory(predictor: PredictorProcess) -> float:
    """Return the most megabytes that the process has had so far."""
    status = Path(f"/proc/{predictor.process.pid}/status").read_text()
    (kilobytes,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
    return int(kilobytes) / 1024


def counted(predictor: PredictorProcess, metric: str) -> float:
    lines = predictor.http.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(metric))


def test_large_pictures_take_bounded_memory_and_hold_up_no_small_ones(predictor, pictures):
    before = most_memory(predictor)
    answers: list[httpx.Response] = []
    files = [("file", (str(i), data)) for i, data in enumerate(sorted(3 * pictures))]
    large = threading.Thread(
        target=lambda: answers.append(
            httpx.post(f"{predictor.url}/v1/predict", files=files, timeout=120)
        )
    )
    large.start()
    wait_for(lambda: counted(predictor, "headstart_queue_images") > 5, "the large ones to wait")
    meanwhile = 0
    while large.is_alive():
        assert predictor.predict(picture("red")).json()["predictions"][0]["label"] == "red"
        meanwhile += 1

    assert [list(entry)[1] for entry in answers[0].json()["predictions"]] == ["model"] * 12
    # One after the other they would have been answered at the end, or between two large ones.
    assert meanwhile > 24
    assert most_memory(predictor) - before < ROOM + 120


def test_what_a_client_that_left_has_sent_is_not_decoded(predictor, pictures):
    before = counted(predictor, DECODED)
    files = [("file", (str(i), data)) for i, data in enumerate(10 * pictures)]
    request = httpx.Request("POST", predictor.url + "/v1/predict", files=files)
    client = httpx.Client(timeout=httpx.Timeout(60, read=1))
    with client, pytest.raises(httpx.ReadTimeout):
        client.send(request)

    wait_for(lambda: counted(predictor, "headstart_queue_images") == 0, "the queue to be empty")

    assert counted(predictor, DECODED) - before < 20
    assert "The client left" not in predictor.predict(picture("red")).text
