"""The trainer API over HTTP, on a real Redis; no worker runs, so trainings stay queued."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections import Counter

import httpx
import pytest

from shared.models.manifest import TuneInfo
from tests.support.inputs.tiny_model import publish_tiny_model
from tests.support.trainer.api_client import ARCHITECTURE, archive, caller, field_of, post
from trainer_service.app import create_app
from trainer_service.backbones import weights
from trainer_service.queue.view import QUEUE, QUEUE_TYPES
from trainer_service.store.events.event_log import connect
from trainer_service.store.promoting import Verdict
from trainer_service.store.publishing import WritableModelStore

pytestmark = pytest.mark.integration


def test_a_training_is_queued_with_defaults_for_everything(call, redis_url):
    answer = post(call)
    record = answer.json()

    assert answer.status_code == 202
    assert answer.headers["location"] == f"/v1/trainings/{record['id']}"
    assert (record["state"], record["model"], record["version"]) == ("queued", "pets", None)
    assert record["request"]["epochs"] == 50
    assert connect(redis_url).llen(QUEUE) == 1
    stored = call("GET", answer.headers["location"]).json()
    assert stored == record


def test_a_multipart_request_brings_the_archive_and_the_fields(call, settings):
    form = {
        "model": "pets",
        "architecture": ARCHITECTURE,
        "epochs": "7",
        "early_stopping": '{"patience": 3}',
    }
    answer = call("POST", "/v1/trainings", data=form, files=archive())
    record = answer.json()

    assert answer.status_code == 202, record
    assert record["model"] == "pets"
    assert record["request"]["epochs"] == 7
    assert record["request"]["early_stopping"]["patience"] == 3
    dataset = call("GET", f"/v1/datasets/{record['dataset']['id']}").json()
    assert (dataset["state"], dataset["source"]) == ("queued", "pets.zip")
    assert list((settings.store / "uploads").iterdir()) == []


def test_a_form_names_the_members_of_an_object_with_a_dot(call):
    form = {"architecture": ARCHITECTURE, "split.test": "0.3", "early_stopping.patience": "3"}
    answer = call("POST", "/v1/trainings", data=form, files=archive())

    assert answer.status_code == 202, answer.json()
    request = answer.json()["request"]
    assert request["split"] == {"validation": 0.15, "test": 0.3}
    assert request["early_stopping"]["patience"] == 3


def test_fields_may_follow_the_archive(call):
    """Also those that make right what was wrong without them."""
    before = {"split.validation": (None, "0.9")}
    after = {"split.test": (None, "0.05"), "architecture": (None, ARCHITECTURE)}
    answer = call("POST", "/v1/trainings", files=before | archive() | after)

    assert answer.status_code == 202, answer.json()
    assert answer.json()["request"]["split"] == {"validation": 0.9, "test": 0.05}
    without = call("POST", "/v1/trainings", files=before | archive())
    assert "must stay below 1" in without.json()["detail"]


def test_views_may_follow_the_archive_though_changes_came_before(call):
    before = {"augment": (None, "crop,colour"), "architecture": (None, ARCHITECTURE)}
    answer = call("POST", "/v1/trainings", files=before | archive() | {"views": (None, "4")})

    assert answer.status_code == 202, answer.json()
    request = answer.json()["request"]
    assert (request["views"], request["augment"]) == (4, ["crop", "colour"])
    without = call("POST", "/v1/trainings", files=before | archive())
    assert [error["field"] for error in without.json()["errors"]] == ["augment"]


def test_an_upload_that_is_sent_again_needs_no_weights_any_more(call, monkeypatch):
    form = {"data": {"architecture": ARCHITECTURE}, "files": archive()}
    form["headers"] = {"Idempotency-Key": "the-same"}
    first = call("POST", "/v1/trainings", **form)
    monkeypatch.setattr(weights, "_package_file", lambda: None)

    assert call("POST", "/v1/trainings", **form).json() == first.json()
    del form["headers"]
    assert call("POST", "/v1/trainings", **form).json()["title"] == "Weights unavailable"


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"split.train": "0.3"}, "split.train"),
        ({"split.test": "many"}, "split.test"),
        ({"split.test": "0.3", "split": '{"test": 0.2}'}, "both 'split' and 'split.test'"),
    ],
)
def test_wrong_members_of_an_object_are_named(call, form, expected):
    form = {"architecture": ARCHITECTURE} | form
    answer = call("POST", "/v1/trainings", data=form, files=archive())

    assert answer.status_code == 422
    assert expected in answer.text


@pytest.mark.parametrize(("former", "quantize"), [("auto", "off"), ("int8", "int8")])
def test_the_former_name_of_quantize_is_taken(call, former, quantize):
    assert post(call, precision=former).json()["request"]["quantize"] == quantize


@pytest.mark.parametrize("other", ["bf16", ["int8"], {"int8": 1}, 8, None])
def test_another_precision_is_refused(call, other):
    assert field_of(post(call, precision=other)) == "precision"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0),
        ("epochs", "many"),
        ("epochs", True),
        ("seed", False),
        ("batch_size", -1),
        ("learning_rate", 0),
        ("learning_rate_schedule", "zigzag"),
        ("optimizer", "magic"),
        ("dropout", 1),
        ("hidden_units", -5),
        ("class_weights", "heavy"),
        ("seed", -1),
        ("model", "../escape"),
        ("model", ""),
        ("colour", "blue"),
    ],
)
def test_a_wrong_field_is_named(call, field, value):
    assert field_of(post(call, **{field: value})) == field


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"split": {"validation": 0.6, "test": 0.6}}, "split"),
        ({"split": {"validation": 2}}, "split.validation"),
        ({"early_stopping": {"patience": 0}}, "early_stopping.patience"),
        ({"dataset": {"path": 5}}, "dataset.path"),
    ],
)
def test_a_wrong_field_of_a_field_is_named(call, fields, named):
    assert field_of(post(call, **fields)) == named


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        (
            {"early_stopping": 3},
            (
                "early_stopping: Input should be 'off', or an object with metric, min_delta or "
                "patience. Received: 3"
            ),
        ),
        ({"early_stopping": "on"}, "early_stopping: Input should be 'off'. Received: 'on'"),
        (
            {"early_stopping": {"metric": "loss"}},
            "early_stopping.metric: Input should be 'val_loss' or 'val_accuracy'. Received: 'loss'",
        ),
        (
            {"dataset": 5},
            (
                "dataset: Input should be the id of a dataset as text, or {'path': …} below the "
                "datasets directory. Received: 5"
            ),
        ),
        (
            {"dataset": {"id": "20260101-000000-aaaaaa"}},
            (
                "dataset: Input should be the id of a dataset as text, or {'path': …} below the "
                "datasets directory"
            ),
        ),
        ({"dataset": {"path": "pets", "at": 1}}, "dataset.at: there is no such field"),
        ({"epochs": "many"}, "epochs: Input should be a whole number. Received: 'many'"),
        ({"epochs": 1.5}, "epochs: Input should be a whole number. Received: 1.5"),
        ({"dropout": "some"}, "dropout: Input should be a number. Received: 'some'"),
        ({"split": "half"}, "split: Input should be an object. Received: 'half'"),
        (
            {"model": "my model"},
            (
                "model: Input should be 1 to 63 letters, digits, - and _, the first a letter or a "
                "digit. Received: 'my model'"
            ),
        ),
    ],
)
def test_what_was_expected_and_what_came_is_said_in_words(call, fields, detail):
    assert post(call, **fields).json()["detail"] == detail


@pytest.mark.parametrize(
    ("alias", "architecture"),
    [("efficientnet_lite0", "efficientnet_lite0"), ("EfficientNet-Lite0", "efficientnet_lite0")],
)
def test_architectures_go_by_their_common_names(call, alias, architecture):
    assert post(call, architecture=alias).json()["architecture"] == architecture


def test_an_unknown_architecture_is_refused_with_what_exists(call):
    answer = post(call, architecture="alexnet")
    assert answer.status_code == 422
    assert "alexnet" in answer.json()["detail"]
    assert "vgg16" in answer.json()["detail"]


def test_weights_that_cannot_be_had_are_refused_with_what_can(call):
    answer = post(call, architecture="vgg16")
    assert answer.status_code == 422
    assert answer.json()["title"] == "Weights unavailable"
    assert "efficientnet_lite0" in answer.json()["detail"]
    assert call("GET", "/v1/trainings").json() == []
    assert call("GET", "/v1/datasets").json() == []


def test_without_the_name_of_one_the_best_that_can_be_had_is_trained(call):
    record = call("POST", "/v1/trainings", json={"dataset": {"path": "pets"}}).json()

    assert record["architecture"] == record["request"]["architecture"] == ARCHITECTURE
    assert record["architecture_reason"].startswith("efficientnet_lite0 is trained in place of")
    events = call(
        "GET", f"/v1/trainings/{record['id']}/events", headers={"Accept": "application/json"}
    ).json()["events"]
    [warning] = [event for event in events if event["type"] == "warning"]
    assert warning["code"] == "other_architecture"
    assert warning["detail"] == record["architecture_reason"]


@pytest.mark.parametrize(
    ("form", "tune"),
    [
        ({"tune": "tail"}, "tail"),
        (
            {"tune.from": "block11_project_bn", "tune.views": "3", "tune.augment": "crop,colour"},
            {"from": "block11_project_bn", "views": 3, "augment": ["crop", "colour"]},
        ),
    ],
)
def test_a_form_asks_for_tuning_by_a_word_or_by_members(call, form, tune):
    answer = call(
        "POST", "/v1/trainings", data={"architecture": ARCHITECTURE} | form, files=archive()
    )

    assert answer.status_code == 202, answer.text
    named = answer.json()["request"]["tune"]
    assert named == tune if tune == "tail" else tune.items() <= named.items()


def test_a_layer_that_can_not_be_tuned_from_is_refused_with_those_that_can(call):
    for answer in (
        post(call, tune={"from": "block_12_add"}),
        post_early(call, {"tune.from": "block_12_add"}),
    ):
        assert answer.status_code == 422
        assert "block11_project_bn" in answer.json()["detail"]
        assert "Received: 'block_12_add'" in answer.json()["detail"]
    few = post(call, tune={"blocks": 40}).json()["detail"]
    assert few.startswith("`tune.blocks` should be at most")
    assert call("GET", "/v1/trainings").json() == []


def post_early(call, form):
    """Post the fields of a form, and then what would be no archive if it were looked at."""
    data = {"architecture": ARCHITECTURE} | form
    return call("POST", "/v1/trainings", data=data, files={"archive": ("pets.zip", b"")})


def test_a_head_of_layers_can_not_be_tuned(call):
    answer = post(call, tune="tail", epochs=5)

    assert answer.status_code == 422
    assert "Received: head: layers (epochs chooses it)" in answer.json()["detail"]
    assert "tune.epochs" in answer.json()["detail"]


def test_architectures_list_what_they_can_be_tuned_from(call):
    (row,) = (row for row in call("GET", "/v1/architectures").json() if row["id"] == ARCHITECTURE)

    assert row["tail"] in row["cuts"]
    assert row["cuts"]["pixels"] == row["multiply_adds"] == max(row["cuts"].values())


def test_architectures_say_whether_they_are_available(call):
    rows = {row["id"]: row for row in call("GET", "/v1/architectures").json()}
    assert len(rows) == 9
    assert rows[ARCHITECTURE]["available"] is True
    assert rows["vgg16"]["available"] is False


@pytest.mark.parametrize(
    ("dataset", "detail"),
    [
        (None, "an uploaded file"),
        ({"path": "nowhere"}, "does not exist"),
        ({"path": "../store"}, "below the datasets directory"),
        ({"path": "/etc"}, "below the datasets directory"),
        ({"path": "a\0b"}, "not a usable path"),
        ("nowhere", "does not exist"),
    ],
)
def test_an_invalid_dataset_path_is_refused(call, dataset, detail):
    answer = post(call, dataset=dataset)
    assert answer.status_code == 422
    assert detail in answer.json()["detail"]


def test_an_unknown_dataset_id_is_not_found(call):
    assert post(call, dataset="20260101-000000-aaaaaa").status_code == 404


def test_both_an_archive_and_a_dataset_are_too_much(call):
    form = {"architecture": ARCHITECTURE, "dataset": "pets"}
    answer = call("POST", "/v1/trainings", data=form, files=archive())
    assert answer.status_code == 422
    assert "Received: both" in answer.json()["detail"]


def test_a_file_in_another_field_is_refused(call):
    answer = call("POST", "/v1/trainings", files={"zip": ("pets.zip", b"x")})
    assert answer.status_code == 422
    assert "'archive'" in answer.json()["detail"]


def test_an_archive_that_is_text_is_told_how_to_send_a_file(call):
    answer = call("POST", "/v1/trainings", files={"archive": (None, "pets.zip")})
    assert answer.status_code == 422
    assert "-F archive=@FILE" in answer.json()["detail"]


def test_a_field_named_path_keeps_its_name(call):
    assert field_of(call("POST", "/v1/datasets", json={"path": 5})) == "path"


@pytest.mark.parametrize("body", [b"{", b"[1]", b'"text"', b"[" * 50_000])
def test_a_body_that_is_no_json_object_is_refused(call, body):
    answer = call(
        "POST", "/v1/trainings", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 422


@pytest.mark.parametrize("unknown", ["{}", '{{"split": {}}}'])
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/v1/trainings"), ("PUT", "/v1/models/pets/pin")]
)
def test_unknown_fields_do_not_hold_up_others(call, unknown, method, path):
    """A megabyte of them, each of them an error, kept the event loop busy for 0.7 s."""
    json_type = {"content-type": "application/json"}
    for count, status in ((90_000, 413), (6_000, 422)):
        fields = json.dumps(dict.fromkeys(map(str, range(count)), 0), separators=(",", ":"))
        began = time.process_time()
        answer = call(method, path, content=unknown.format(fields), headers=json_type)

        assert answer.status_code == status
        assert time.process_time() - began < 0.3


def test_a_body_of_another_kind_is_refused(call):
    answer = call("POST", "/v1/trainings", content=b"x", headers={"content-type": "text/plain"})
    assert answer.status_code == 415


def test_too_large_a_body_is_refused_and_leaves_nothing(call, settings):
    answer = call("POST", "/v1/datasets", files={"archive": ("a.zip", b"x" * 200_000)})
    assert answer.status_code == 413
    assert "HEADSTART_MAX_UPLOAD_BYTES" in answer.json()["detail"]
    assert [path for path in settings.store.rglob("*") if path.is_file()] == []


def test_a_queued_training_is_cancelled_at_once_and_only_once(call):
    location = post(call).headers["location"]
    assert call("POST", f"{location}/cancel").json()["state"] == "cancelled"

    again = call("POST", f"{location}/cancel")
    assert again.status_code == 409
    assert "cancelled" in again.json()["detail"]


def test_waiting_ends_when_the_time_is_up(call):
    location = post(call).headers["location"]
    assert call("GET", f"{location}?wait=0.3").json()["state"] == "queued"


def test_a_training_without_a_version_has_no_report(call):
    location = post(call).headers["location"]
    assert call("GET", f"{location}/report").status_code == 409


@pytest.mark.parametrize(
    "path", ["/v1/trainings/20260101-000000-aaaaaa", "/v1/trainings/x", "/v1/datasets/..%2Fx"]
)
def test_an_unknown_id_is_not_found(call, path):
    assert call("GET", path).status_code == 404


def test_models_are_listed_pinned_and_unpinned(call, settings):
    tuned = TuneInfo(cut="last", published=True, learning_rate=1e-4)
    for contrast, tune in ((0.05, None), (0.06, tuned)):
        publish_tiny_model(settings.store, contrast=contrast, tune=tune)
    [model] = call("GET", "/v1/models").json()
    assert [version["version"] for version in model["versions"]] == [2, 1]
    assert [version["tune"] for version in model["versions"]] == [tuned.model_dump(), None]

    assert call("PUT", "/v1/models/colours/pin", json={"version": 1}).json()["pinned"] == 1
    assert WritableModelStore(settings.store).pinned("colours") == 1
    assert call("PUT", "/v1/models/colours/pin", json={"version": None}).json()["pinned"] is None
    shadowed = call("PUT", "/v1/models/colours/pin", json={"version": 1, "shadow": True})
    assert (shadowed.json()["pinned"], shadowed.json()["shadow"]) == (1, True)
    assert WritableModelStore(settings.store).snapshot("colours").shadow
    alone = call("PUT", "/v1/models/colours/pin", json={"version": None, "shadow": True})
    assert alone.status_code == 422
    assert "shadow: expected a version to pin beside it" in alone.json()["detail"]
    assert field_of(call("PUT", "/v1/models/colours/pin", json={"version": True})) == "version"
    assert not call("PUT", "/v1/models/colours/pin", json={"version": 1}).json()["shadow"]
    assert call("PUT", "/v1/models/colours/pin", json={"version": 9}).status_code == 404
    assert call("PUT", "/v1/models/nothing/pin", json={"version": 1}).status_code == 404
    assert field_of(call("PUT", "/v1/models/colours/pin", json={})) == "version"


def test_versions_are_promoted_and_rolled_back_and_that_is_told(call, settings):
    no = Verdict(served=False, reason="Its labels differ.")
    publish_tiny_model(settings.store)
    publish_tiny_model(settings.store, verdict=Verdict(served=True, reason="It is the newest."))
    publish_tiny_model(settings.store, verdict=no)
    [model] = call("GET", "/v1/models").json()
    decisions = [
        version["decision"] and version["decision"]["served"] for version in model["versions"]
    ]
    assert (model["serving"], decisions) == (2, [False, True, None])

    promoted = call("POST", "/v1/models/colours/promotions", json={"version": 3})
    assert (promoted.status_code, promoted.json()["serving"]) == (200, 3)
    assert call("POST", "/v1/models/colours/rollback").json()["serving"] == 2
    assert call("POST", "/v1/models/colours/rollback").json()["serving"] == 1
    refused = call("POST", "/v1/models/colours/rollback")
    assert refused.status_code == 409
    assert "no intact version before" in refused.json()["detail"]
    call("PUT", "/v1/models/colours/pin", json={"version": 3})
    for path, body in (("rollback", None), ("promotions", {"version": 1})):
        refused = call("POST", f"/v1/models/colours/{path}", json=body)
        assert refused.status_code == 409
        assert "Un-pin it first: PUT /v1/models/colours/pin" in refused.json()["detail"]

    told = call("GET", "/v1/models/colours/promotions").json()
    assert (told["model"], told["serving"], told["pinned"]) == ("colours", 3, 3)
    assert [(one["version"], one["served"], one["by"]) for one in told["decisions"]] == [
        (3, True, "pin"),
        (1, True, "rollback"),
        (2, False, "rollback"),
        (2, True, "rollback"),
        (3, False, "rollback"),
        (3, True, "request"),
        (3, False, "training"),
        (2, True, "training"),
    ]
    assert told["decisions"][-2]["reason"] == "Its labels differ."
    assert call("POST", "/v1/models/colours/promotions", json={"version": 9}).status_code == 404
    assert field_of(call("POST", "/v1/models/colours/promotions", json={})) == "version"
    for method, path in (("GET", "promotions"), ("POST", "rollback")):
        assert call(method, f"/v1/models/nothing/{path}").status_code == 404


def test_decisions_that_cannot_be_read_are_told(call, settings):
    publish_tiny_model(settings.store)
    (settings.store / "models/colours/promotions.json").write_text("{}")

    assert "promotions.json" in call("GET", "/v1/models/colours").json()["notice"]
    for method, path in (("GET", "promotions"), ("POST", "rollback")):
        refused = call(method, f"/v1/models/colours/{path}")
        assert refused.status_code == 409
        assert "promotions.json" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("fields", "model"), [({}, "pets"), ({"model": "cats"}, "cats"), ({"model": None}, "pets")]
)
def test_a_model_is_called_as_its_images(call, fields, model):
    record = post(call, **fields).json()
    assert (record["model"], record["request"]["model"]) == (model, model)
    again = post(call, dataset=record["dataset"]["id"]).json()
    assert again["model"] == "pets"


def test_a_damaged_version_hides_none_of_the_others(call, settings):
    for contrast in (0.05, 0.06):
        publish_tiny_model(settings.store, contrast=contrast)
    (WritableModelStore(settings.store).directory("colours", 1) / "manifest.json").write_text("{}")

    for answer in (
        call("GET", "/v1/models").json()[0],
        call("GET", "/v1/models/colours").json(),
        call("PUT", "/v1/models/colours/pin", json={"version": 2}).json(),
    ):
        assert [version["version"] for version in answer["versions"]] == [2]


def test_a_model_is_listed_as_fast_as_it_has_versions(call, settings, monkeypatch):
    """Each version is read by itself; looking through all of them for each took half a minute."""
    model = settings.store / "models/colours"
    publish_tiny_model(settings.store)
    manifest = json.loads((model / "1/manifest.json").read_text())
    for version in range(2, 101):
        (model / str(version)).mkdir()
        changed = json.dumps({**manifest, "version": version})
        (model / str(version) / "manifest.json").write_text(changed)
    looks = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: looks.append(path) or scandir(path))

    [listed] = call("GET", "/v1/models").json()

    assert [version["version"] for version in listed["versions"]] == list(range(100, 0, -1))
    assert len(looks) <= 3


def test_a_field_that_is_nested_without_end_is_refused(call):
    nested = '{"a":' * 12_000
    fields = {"early_stopping": nested, "dataset": "20260101-000000-aaaaaa"}
    answer = call("POST", "/v1/trainings", files={name: (None, v) for name, v in fields.items()})
    assert answer.status_code == 422


@pytest.mark.parametrize("cursor", [2**53 + 1, 2**63 - 1, 2**70])
def test_a_cursor_beyond_all_numbers_is_refused(call, cursor):
    record = post(call).json()
    for path in (
        f"/v1/trainings/{record['id']}/events",
        f"/v1/datasets/{record['dataset']['id']}/images",
    ):
        json = {"Accept": "application/json"}
        assert call("GET", path, params={"after": cursor}, headers=json).status_code == 422


def test_without_redis_nothing_is_accepted_and_nothing_left_behind(settings):
    call = caller(settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"}))
    answer = post(call)

    assert answer.status_code == 503
    assert "Redis" in answer.json()["detail"]
    assert answer.headers["retry-after"]
    assert call("GET", "/v1/trainings").json() == []
    assert call("GET", "/v1/datasets").json() == []
    assert call("GET", "/healthz").status_code == 200
    ready = call("GET", "/readyz")
    assert ready.status_code == 503
    assert "Redis" in ready.json()["problems"][0]


def test_with_redis_it_is_ready(call):
    assert call("GET", "/readyz").json() == {"status": "ok", "problems": [], "workers": []}


@pytest.mark.parametrize(("key", "type_"), QUEUE_TYPES.items())
def test_with_something_else_under_a_key_of_the_queue_it_is_not_ready(call, redis_url, key, type_):
    redis = connect(redis_url)
    redis.set(key, "x")
    ready = call("GET", "/readyz")
    redis.delete(key)

    assert ready.status_code == 503
    [problem] = ready.json()["problems"]
    assert problem == (
        f"Redis: the key {key!r} should be a {type_}, as a part of the queue. "
        "It is a string; delete it, or use another database."
    )
    assert call("GET", "/readyz").status_code == 200


def test_the_openapi_document_describes_both_kinds_of_body(call):
    document = call("GET", "/openapi.json").json()
    content = document["paths"]["/v1/trainings"]["post"]["requestBody"]["content"]
    assert set(content) == {"application/json", "multipart/form-data"}
    assert "archive" in content["multipart/form-data"]["schema"]["properties"]
    assert "#/$defs" not in str(document)


def test_the_trainer_api_imports_no_tensorflow_no_numpy_and_no_image_library():
    code = (
        "import sys, trainer_service.app, trainer_service.__main__;"
        "heavy = {'tensorflow', 'keras', 'numpy', 'openvino', 'PIL', 'simplejpeg'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


class TestOpenJobs:
    @pytest.fixture
    def call(self, settings):
        return caller(settings.model_copy(update={"max_open_jobs": 2}))

    def test_a_training_beyond_the_limit_is_refused_until_one_has_ended(self, call):
        first, _ = post(call), post(call)
        refused = post(call)
        call("POST", f"/v1/trainings/{first.json()['id']}/cancel")

        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "60"
        assert "HEADSTART_MAX_OPEN_JOBS allows 2 trainings" in refused.json()["detail"]
        assert post(call).status_code == 202

    def test_a_dataset_beyond_the_limit_is_refused(self, call, settings):
        answers = [call("POST", "/v1/datasets", files=archive()) for _ in range(3)]

        assert [answer.status_code for answer in answers] == [202, 202, 503]
        assert "HEADSTART_MAX_OPEN_JOBS allows 2 datasets" in answers[-1].json()["detail"]
        assert not list((settings.store / "uploads").iterdir())

    @pytest.mark.parametrize("route", ["trainings", "datasets"])
    def test_concurrent_requests_do_not_exceed_the_limit(self, settings, route):
        """Two APIs on one store, sixteen requests to each."""
        limited = settings.model_copy(update={"max_open_jobs": 5})
        apps = [create_app(limited), create_app(limited)]
        body = {"architecture": ARCHITECTURE, "dataset": {"path": "pets"}}
        options = {"json": body} if route == "trainings" else {"files": archive()}

        async def send(app):
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://trainer") as client:
                return await client.post(f"/v1/{route}", timeout=60, **options)

        async def send_all():
            return await asyncio.gather(*(send(app) for app in apps * 16))

        statuses = Counter(answer.status_code for answer in asyncio.run(send_all()))

        assert statuses == {202: 5, 503: 27}
        assert len(list((settings.store / route).glob("*/record.json"))) == 5
        assert len(list((settings.store / "datasets").glob("*/"))) == 5
        assert not list((settings.store / "uploads").glob("*"))
