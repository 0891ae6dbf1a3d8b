"""The predictor over HTTP: a real process, real files."""

import socket
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from shared.identifiers import is_id
from tests.support.inputs.tiny_model import (
    LABELS,
    expected_probabilities,
    picture,
    publish_tiny_model,
)
from tests.support.processes.predictor_process import wait_for

pytestmark = pytest.mark.process

PROBLEM = "application/problem+json"


def problem(response: httpx.Response, status: int) -> dict[str, Any]:
    """Check that a response is a problem and return it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == PROBLEM
    body = response.json()
    assert body["status"] == status
    return body


def raw(predictor: Any, request: bytes) -> bytes:
    """Send bytes as they are and return all that is answered within a second."""
    address = urlsplit(predictor.url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(request)
        answer = connection.recv(65536)
        connection.settimeout(1)
        with suppress(TimeoutError):
            while chunk := connection.recv(65536):
                answer += chunk
        return answer


@pytest.mark.parametrize("path", ["/", "/docs", "/healthz", "/v1/models", "/v1/models/nobody"])
def test_head_is_answered_as_get_without_the_body(shared_predictor, path):
    got, head = (
        httpx.request(method, f"{shared_predictor.url}{path}") for method in ("GET", "HEAD")
    )

    assert head.status_code == got.status_code
    assert head.headers["content-length"] == str(len(got.content))
    assert head.content == b""


def test_a_file_is_answered_with_the_model_s_labels(shared_predictor):
    response = shared_predictor.predict(picture("green"))

    assert response.status_code == 200
    (prediction,) = response.json()["predictions"]
    assert {k: prediction[k] for k in ("file", "model", "version", "label")} == {
        "file": "0.png",
        "model": "colours",
        "version": 1,
        "label": "green",
    }
    assert prediction["top"][0] == {
        "label": "green",
        "probability": prediction["probability"],
    }
    assert sorted(entry["label"] for entry in prediction["top"]) == sorted(LABELS)
    expected = sorted(expected_probabilities("green"), reverse=True)
    answered = [entry["probability"] for entry in prediction["top"]]
    assert answered == pytest.approx(expected, abs=0.02)


def test_many_files_are_answered_in_their_order(shared_predictor):
    response = shared_predictor.predict(picture("blue"), picture("red"), picture("green"))

    assert [p["label"] for p in response.json()["predictions"]] == ["blue", "red", "green"]


def test_the_field_may_be_called_files(shared_predictor):
    files = [("files", ("a.png", picture("red"))), ("file", ("b.png", picture("blue")))]
    response = shared_predictor.http.post("/v1/predict", files=files)

    assert [p["label"] for p in response.json()["predictions"]] == ["red", "blue"]


@pytest.mark.parametrize(
    ("kind", "content_type"),
    [
        ("JPEG", "image/jpeg"),
        ("PNG", "application/octet-stream"),
        ("WEBP", "image/webp"),
        ("PNG", "Image/PNG; charset=binary"),
    ],
)
def test_a_bare_body_is_an_image(shared_predictor, kind, content_type):
    response = shared_predictor.http.post(
        "/v1/predict", content=picture("red", kind=kind), headers={"Content-Type": content_type}
    )

    (prediction,) = response.json()["predictions"]
    assert (prediction["file"], prediction["label"]) == (None, "red")


def test_a_chunked_body_without_a_length_is_read(shared_predictor):
    response = shared_predictor.http.post(
        "/v1/predict",
        content=iter([picture("red")[:20], picture("red")[20:]]),
        headers={"Content-Type": "image/png"},
    )

    assert response.json()["predictions"][0]["label"] == "red"


@pytest.mark.parametrize(("top", "labels"), [(1, 1), (2, 2), (100, 3)])
def test_top_limits_the_labels(shared_predictor, top, labels):
    response = shared_predictor.predict(picture("red"), top=top)

    assert len(response.json()["predictions"][0]["top"]) == labels


@pytest.mark.parametrize("top", ["0", "101", "many"])
def test_an_impossible_top_is_refused_by_name(shared_predictor, top):
    body = problem(shared_predictor.predict(picture("red"), top=top), 422)

    assert body["errors"][0]["field"] == "top"
    assert repr(top) in body["errors"][0]["detail"]


def test_a_bad_file_among_good_ones_gets_its_own_error(shared_predictor):
    response = shared_predictor.predict(picture("red"), b"no picture", picture("blue"), b"")

    assert response.status_code == 200
    red, bad, blue, empty = response.json()["predictions"]
    assert (red["label"], blue["label"]) == ("red", "blue")
    assert (bad["file"], bad["error"]["status"]) == ("1.png", 422)
    assert "not an image" in bad["error"]["detail"]
    assert "empty" in empty["error"]["detail"]


def test_a_file_that_is_too_large_among_good_ones_is_named(shared_predictor):
    response = shared_predictor.predict(picture("red"), b"x" * 20_001)

    error = response.json()["predictions"][1]["error"]
    assert error["status"] == 413
    assert error["detail"] == "HEADSTART_MAX_IMAGE_BYTES allows 20000 bytes. Received: 20001."


def test_nothing_but_bad_files_is_a_problem_that_lists_them(shared_predictor):
    body = problem(shared_predictor.predict(b"no picture", picture("red")[:-20]), 422)

    assert [error["field"] for error in body["errors"]] == ["0.png", "1.png"]


def test_nothing_but_files_that_are_too_large_is_413(shared_predictor):
    body = problem(shared_predictor.predict(b"x" * 20_001, b"y" * 30_000), 413)

    assert len(body["errors"]) == 2
    assert "HEADSTART_MAX_IMAGE_BYTES" in body["detail"]


def test_too_many_files_are_refused(shared_predictor):
    body = problem(shared_predictor.predict(*[picture("red")] * 5), 413)

    assert body["detail"] == "HEADSTART_MAX_FILES allows 4 files in one request."


def test_a_declared_body_beyond_the_limit_is_refused_unread(shared_predictor):
    answer = raw(
        shared_predictor,
        b"POST /v1/predict HTTP/1.1\r\nHost: h\r\nContent-Type: image/png\r\n"
        b"Content-Length: 999999999\r\n\r\n",
    )

    assert answer.startswith(b"HTTP/1.1 413")
    assert b"HEADSTART_MAX_IMAGE_BYTES allows a body of 20000 bytes" in answer


@pytest.mark.parametrize(
    ("content_type", "setting"),
    [
        ("image/png", "HEADSTART_MAX_IMAGE_BYTES"),
        ("multipart/form-data; boundary=b", "HEADSTART_MAX_REQUEST_BYTES"),
    ],
)
def test_a_streamed_body_is_refused_where_it_passes_the_limit(
    shared_predictor, content_type, setting
):
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    first = head if content_type.startswith("multipart") else b""
    response = shared_predictor.http.post(
        "/v1/predict",
        content=iter([first, *[b"x" * 10_000] * 12]),
        headers={"Content-Type": content_type},
    )

    assert setting in problem(response, 413)["detail"]


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded"])
def test_another_content_type_is_refused(shared_predictor, content_type):
    response = shared_predictor.http.post(
        "/v1/predict", content=picture("red"), headers={"Content-Type": content_type}
    )

    assert repr(content_type) in problem(response, 415)["detail"]


def test_a_phone_s_photo_is_answered(shared_predictor):
    for kind, name in (("HEIF", "IMG_0001.HEIC"), ("AVIF", "a.avif"), ("PPM", "a.ppm")):
        files = [("file", (name, picture("red", kind=kind)))]
        (prediction,) = shared_predictor.http.post("/v1/predict", files=files).json()["predictions"]

        assert (prediction["file"], prediction["label"]) == (name, "red")


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("scan", bytes(128) + b"DICM", "DICOM"),
        ("scan.dcm", b"without a preamble", "DICOM"),
        ("logo.svg", b"<svg/>", "SVG"),
        ("photo.jxl", b"\xff\x0a" + bytes(100), "JPEG XL"),
        ("photo.png", b"8BPS" + bytes(100), "PSD"),
        ("DSC_0001.NEF", picture("red", kind="TIFF"), "Camera raw"),
    ],
)
def test_a_format_that_is_not_read_is_named_with_what_to_do(shared_predictor, name, data, kind):
    files = [("file", (name, data))]
    response = shared_predictor.http.post("/v1/predict", files=files)

    (fault,) = problem(response, 422)["errors"]
    assert fault == {
        "field": name,
        "detail": f"{kind} is not read: convert it to PNG or JPEG",
    }


def test_a_format_that_is_not_read_is_named_if_the_content_type_is_its_own(shared_predictor):
    response = shared_predictor.http.post(
        "/v1/predict", content=b"DICM", headers={"Content-Type": "application/dicom"}
    )

    detail = problem(response, 415)["detail"]
    assert "DICOM is not read: convert it to PNG or JPEG" in detail


@pytest.mark.parametrize(
    ("content_type", "content", "detail"),
    [
        ("multipart/form-data", b"", "should name a boundary"),
        ("multipart/form-data; boundary=b", b"", "ends before its closing boundary"),
        ("multipart/form-data; boundary=b", b"nonsense", "The body is not multipart/form-data"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nhalf',
            "ends before its closing boundary",
        ),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="picture"\r\n\r\nx\r\n--b--\r\n',
            "should be named `file`. Received: 'picture'",
        ),
        ("multipart/form-data; boundary=b", b"--b--\r\n", ""),
        ("multipart/form-data; boundary=" + "b" * 300, b"--b--\r\n", ""),
    ],
)
def test_a_malformed_form_is_refused(shared_predictor, content_type, content, detail):
    response = shared_predictor.http.post(
        "/v1/predict", content=content, headers={"Content-Type": content_type}
    )

    assert detail in problem(response, 422)["detail"]


def test_a_file_name_in_any_script_is_given_back(shared_predictor):
    files = [("file", ("猫 & \u202e кот.png", picture("red")))]
    response = shared_predictor.http.post("/v1/predict", files=files)

    assert response.json()["predictions"][0]["file"] == "猫 & \u202e кот.png"


def test_an_unknown_model_is_answered_with_those_there_are(shared_predictor):
    body = problem(shared_predictor.predict(picture("red"), model="pets"), 404)

    assert body["detail"] == "There is no model 'pets'. Models: colours."


@pytest.mark.parametrize("name", ["../colours", "..", "colours/1", "/etc/passwd", "a\0b", ""])
def test_a_model_name_is_never_a_path(shared_predictor, name):
    problem(shared_predictor.predict(picture("red"), model=name), 404)


@pytest.mark.parametrize("path", ["%2e%2e", "..%2fcolours", "colours%2f1", "%00", "%2fetc"])
def test_a_model_s_path_leads_nowhere_else(shared_predictor, path):
    request = f"GET /v1/models/{path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    answer = raw(shared_predictor, request.encode())

    assert answer.startswith(b"HTTP/1.1 404")


def test_models_are_listed_and_described(shared_predictor):
    (model,) = shared_predictor.http.get("/v1/models").json()["models"]

    assert model == shared_predictor.http.get("/v1/models/colours").json()
    assert model.pop("loaded_at")
    assert is_id(model.pop("dataset"))
    assert model.pop("precision") in {"bf16", "f32"}
    assert model == {
        "name": "colours",
        "version": 1,
        "pinned": None,
        "versions": [1],
        "loading": None,
        "engine": "openvino",
        "architecture": "mean_colour",
        "labels": ["red", "green", "blue"],
        "quarantined": [],
        "notice": None,
        "unknown": None,
        "coverage": None,
        "heatmaps": False,
        "shadow": None,
        "note": None,
        "version_note": None,
        "alias": None,
        "aliases": {},
        "on_demand": [],
    }
    problem(shared_predictor.http.get("/v1/models/pets"), 404)


def test_a_predictor_that_knows_no_trainer_names_none(shared_predictor):
    assert shared_predictor.http.get("/v1/about").json() == {"trainer_url": None}


def test_health_and_documentation(shared_predictor):
    assert shared_predictor.http.get("/healthz").json() == {"status": "ok"}
    assert shared_predictor.http.get("/readyz").json() == {"status": "ready"}
    assert shared_predictor.http.get("/docs").status_code == 200

    document = shared_predictor.http.get("/openapi.json").json()
    predict = document["paths"]["/v1/predict"]["post"]
    assert set(predict["requestBody"]["content"]) == {
        "multipart/form-data",
        "image/*",
        "application/octet-stream",
    }
    for status in ("404", "413", "415", "422", "503"):
        assert PROBLEM in predict["responses"][status]["content"]
    assert "application/json" in predict["responses"]["200"]["content"]


def test_before_any_model_everything_says_so(store, start_predictor):
    store.mkdir()
    predictor = start_predictor()

    def says_that_there_is_none():
        detail = problem(predictor.predict(picture("red")), 503)["detail"]
        return detail.startswith("No model has been published yet. ")

    wait_for(says_that_there_is_none, "the first look at the store")
    assert problem(predictor.predict(picture("red"), model="pets"), 503)
    assert (
        "No model has been published yet" in problem(predictor.http.get("/readyz"), 503)["detail"]
    )
    assert predictor.http.get("/healthz").status_code == 200
    assert predictor.http.get("/v1/models").json() == {"models": []}

    publish_tiny_model(store)
    predictor.wait_until_ready()
    assert predictor.predict(picture("red")).json()["predictions"][0]["label"] == "red"


def test_with_two_models_the_request_has_to_choose(store, start_predictor):
    publish_tiny_model(store)
    publish_tiny_model(store, "pets")
    predictor = start_predictor()
    predictor.wait_until_ready()

    body = problem(predictor.predict(picture("red")), 422)
    assert body["detail"] == "Several models are served; choose one with ?model=: colours, pets."
    for name in ("colours", "pets"):
        (prediction,) = predictor.predict(picture("red"), model=name).json()["predictions"]
        assert (prediction["model"], prediction["label"]) == (name, "red")
