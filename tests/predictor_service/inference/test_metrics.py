"""What a real predictor tells Prometheus."""

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from shared.models.model_store import OPENVINO_MODEL
from tests.support.inputs.tiny_model import picture, publish_tiny_model
from tests.support.processes.predictor_process import PredictorProcess


def measured(predictor: PredictorProcess, name: str, **labels: str) -> float:
    """Return the value of the one sample, 0 if there is none."""
    answer = predictor.http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    values = [
        sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if sample.name == name and sample.labels.items() >= labels.items()
    ]
    assert len(values) <= 1
    return values[0] if values else 0


@pytest.mark.process
def test_predictions_are_counted_by_model_route_and_stage(store, start_predictor):
    publish_tiny_model(store)
    predictor = start_predictor()
    predictor.wait_until_ready()
    golden = measured(predictor, "headstart_predict_stage_duration_seconds_count", stage="decode")

    predictor.predict(picture("red"), picture("blue"), b"no picture")
    predictor.predict(b"no picture")
    predictor.http.get("/v1/models/cats")
    predictor.http.get("/../../etc/passwd")

    def count(name: str, **labels: str) -> float:
        return measured(predictor, name, **labels)

    assert count("headstart_predictions_total", model="colours") == 2
    assert count("headstart_images_refused_total", reason="unreadable") == 2
    requests = "headstart_http_requests_total"
    assert count(requests, route="/v1/predict", status="200", method="POST") == 1
    assert count(requests, route="/v1/predict", status="422") == 1
    assert count(requests, route="/v1/models/{name}", status="404") == 1
    assert count(requests, route="none", status="404") == 1
    stages = "headstart_predict_stage_duration_seconds_count"
    assert count(stages, stage="decode") == golden + 2
    assert count(stages, stage="queue") == golden + 2
    assert count(stages, stage="total") == golden + 2  # each golden image comes by itself
    assert 2 <= count("headstart_batch_images_sum") - golden <= 2
    assert count("headstart_queue_images", model="colours") == 0
    assert count("process_resident_memory_bytes") > 2**20


@pytest.mark.process
def test_swaps_and_quarantines_are_counted_by_reason(store, start_predictor):
    publish_tiny_model(store)
    (store / "models/astray").symlink_to("astray")  # which nobody can list
    predictor = start_predictor()
    predictor.wait_for_version(1)
    loaded = measured(predictor, "headstart_last_load_timestamp_seconds", model="colours")
    publish_tiny_model(store)
    predictor.wait_for_version(2)
    publish_tiny_model(store, contrast=0.05, change=_forget_the_network)
    predictor.wait_for_quarantine(3)

    def count(name: str, **labels: str) -> float:
        return measured(predictor, name, **labels)

    assert count("headstart_swaps_total", model="colours") == 2
    assert count("headstart_served_version", model="colours") == 2
    assert count("headstart_last_load_timestamp_seconds", model="colours") > loaded > 1.7e9
    assert count("headstart_load_duration_seconds_count") == 2
    assert (
        sum(
            count("headstart_quarantines_total", reason=reason)
            for reason in ("files", "answers", "engine", "machine")
        )
        == 1
    )
    assert count("headstart_quarantined_versions", model="colours") == 1
    assert count("headstart_model_store_unreadable") == 0
    assert count("headstart_model_unreadable", model="colours") == 0
    assert count("headstart_model_unreadable", model="astray") == 1


def _forget_the_network(staging) -> None:
    (staging / OPENVINO_MODEL).unlink()


@pytest.mark.process
def test_a_key_is_needed_where_there_are_keys(store, start_predictor):
    publish_tiny_model(store)
    predictor = start_predictor(api_keys="0123456789abcdef")

    assert predictor.http.get("/metrics").status_code == 401
    key = {"Authorization": "Bearer 0123456789abcdef"}
    assert httpx.get(f"{predictor.url}/metrics", headers=key).status_code == 200
