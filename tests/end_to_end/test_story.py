"""From pictures to a live classifier, with every process real."""

import json
from operator import itemgetter

import pytest

from tests.end_to_end.stack import digits, running_stack, zipped
from tests.support.processes.predictor_process import wait_for
from trainer_service.store.records.training_record import TrainingRecord, numbers

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ARCHITECTURE = "efficientnet_lite0"
ENDED = ["queued", "preparing", "bottleneck", "head", "evaluating", "publishing", "succeeded"]


@pytest.fixture(scope="module")
def stack(directory, share_backbones):
    share_backbones(directory / "store")
    datasets = directory / "datasets"
    datasets.mkdir()
    with running_stack(directory, workers=2, datasets=datasets, log_format="json") as running:
        yield running


@pytest.fixture(scope="module")
def pictures(directory):
    return digits(directory, "012", 80)


@pytest.fixture(scope="module")
def before_any_model(stack):
    """What the predictor answers before anything is published; asked first of all."""
    return stack.predictor.get("/readyz"), stack.predictor.post("/v1/predict", content=b"x")


@pytest.fixture(scope="module")
def first(stack, pictures, before_any_model):
    """The first training of the module: its images are new to the store."""
    return stack.train(zipped(pictures), model="digits", architecture=ARCHITECTURE)


def test_before_any_model_the_predictor_says_so(before_any_model):
    ready, predict = before_any_model
    assert ready.status_code == predict.status_code == 503
    assert predict.headers["content-type"] == "application/problem+json"
    assert "published" in predict.json()["detail"]


def test_the_record_tells_the_whole_training(first, stack):
    assert [transition["state"] for transition in first["transitions"]] == ENDED
    assert all(transition["seconds"] is not None for transition in first["transitions"])
    assert first["dataset"]["labels"] == {"0": 80, "1": 80, "2": 80}
    assert first["dataset"]["images"] == 240 == sum(first["dataset"]["split"].values())
    images = {"reused": 0, "computed": 240, "seconds_saved": 0}
    assert first["cache"] == {**images, "views_reused": 0, "views_computed": 0}
    assert first["version"] == 1
    assert first["error"] is None
    assert first["metrics"]["test"]["accuracy"] >= 0.95
    assert set(first["metrics"]["test"]) >= {"loss", "per_class", "confusion_matrix"}
    assert set(first["metrics"]["validation"]) == {"accuracy", "loss"}
    assert (
        sum(map(sum, first["metrics"]["test"]["confusion_matrix"]))
        == (first["dataset"]["split"]["test"])
    )


def test_the_record_lies_in_the_store_as_it_is_answered(first, stack):
    file = stack.settings.store / "trainings" / first["id"] / "record.json"
    answered = TrainingRecord.model_validate(first)
    kept = {"metrics": numbers(answered.metrics), "report": None}
    assert TrainingRecord.model_validate_json(file.read_bytes()) == answered.model_copy(update=kept)


def test_two_workers_shared_the_shards(first, stack):
    logs = [log_of(stack, name) for name in ("worker1", "worker2")]
    assert all("computing shard" in log for log in logs)


def log_of(stack, *names):
    return "".join((stack.logs / f"{name}.log").read_text() for name in names)


def test_its_lines_in_every_log_name_it_and_the_request_it_came_from(first, stack):
    # A client knows the end of a training before its line is written.
    wait_for(lambda: 'state": "succeeded' in log_of(stack, "worker1", "worker2"), "its last line")
    lines = {
        name: [json.loads(line) for line in log_of(stack, name).splitlines()]
        for name in ("trainer", "worker1", "worker2", "predictor")
    }
    for name, logged in lines.items():
        assert {line["service"] for line in logged} == {name.rstrip("12")}
    [posted] = [
        line
        for line in lines["trainer"]
        if line.get("method") == "POST" and line.get("training_id") == first["id"]
    ]
    done = [
        line
        for line in sorted(lines["worker1"] + lines["worker2"], key=itemgetter("timestamp"))
        if line.get("training_id") == first["id"]
    ]
    assert {line["request_id"] for line in done} == {posted["request_id"]}
    assert {line["model"] for line in done} == {posted["model"]} == {"digits"}
    assert [line["state"] for line in done if line["event"] == "entered"] == ENDED[1:]
    [published] = [line for line in done if line.get("state") == "succeeded"]
    assert published["version"] == 1


def test_the_predictor_serves_it_by_itself(first, stack, pictures):
    stack.served("digits", 1)
    report = stack.trainer.get(f"/v1/trainings/{first['id']}/report").json()
    chosen = {row["image"]: row for row in report["test"]}
    predictions = stack.predict("digits", {name: pictures[name] for name in chosen})

    assert len(predictions) == first["dataset"]["split"]["test"]
    for prediction in predictions:
        row = chosen[prediction["file"]]
        assert prediction["label"] == row["predicted"]
        assert prediction["probability"] == pytest.approx(row["probability"], abs=0.02)


def test_another_head_sends_no_image_through_the_backbone(first, stack, pictures):
    record = stack.train(
        zipped(pictures),
        model="digits",
        architecture=ARCHITECTURE,
        dropout="0.4",
        hidden_units="32",
        learning_rate="0.003",
    )
    assert record["cache"]["reused"] == 240
    assert record["cache"]["computed"] == 0
    assert record["cache"]["seconds_saved"] > 0
    assert record["version"] == 2
    stack.served("digits", 2)


def test_only_new_images_go_through_the_backbone(first, stack, pictures, directory):
    more = digits(directory, "012", 86)
    assert len(more) == len(pictures) + 18
    record = stack.train(zipped(more), model="more", architecture=ARCHITECTURE)

    assert (record["cache"]["reused"], record["cache"]["computed"]) == (240, 18)


def test_a_pinned_version_is_served_and_unpinned_the_newest(first, stack):
    newest = stack.trainer.get("/v1/models/digits").json()["versions"][0]["version"]
    stack.trainer.put("/v1/models/digits/pin", json={"version": 1}).raise_for_status()
    stack.served("digits", 1)
    stack.trainer.put("/v1/models/digits/pin", json={"version": None}).raise_for_status()
    stack.served("digits", newest)


def test_a_folder_of_the_datasets_directory_is_trained_on_where_it_lies(stack, directory):
    for name, data in digits(directory, "34", 40).items():
        file = directory / "datasets" / "folder" / name[0] / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    (directory / "datasets" / "folder" / "3" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nno")

    record = stack.train(model="folder", architecture=ARCHITECTURE, dataset={"path": "folder"})

    assert record["dataset"]["labels"] == {"3": 40, "4": 40}
    [rejected] = record["dataset"]["rejected"]
    assert rejected["name"].endswith("bad.png")
    assert not (stack.settings.store / "datasets" / record["dataset"]["id"] / "images").exists()


def test_a_dataset_is_read_once_and_trained_on_by_its_id(stack, pictures):
    files = {"archive": ("digits.zip", zipped(pictures))}
    answer = stack.trainer.post("/v1/datasets", files=files)
    dataset = stack.read(answer.headers["location"])

    assert dataset["state"] == "ready"
    assert dataset["labels"] == {"0": 80, "1": 80, "2": 80}
    assert dataset["layout"]["kind"] == "file names"
    record = stack.train(model="byid", architecture=ARCHITECTURE, dataset=dataset["id"])
    assert record["dataset"]["id"] == dataset["id"]
    assert record["cache"]["computed"] == 0


def test_fewer_training_images_than_a_batch_work(stack, directory):
    few = digits(directory, "56", 5)
    record = stack.train(zipped(few), model="few", architecture=ARCHITECTURE, batch_size="64")
    assert record["dataset"]["images"] == 10


@pytest.mark.parametrize(
    ("pictures", "detail"),
    [
        ({"readme.txt": b"hello"}, "No images found"),
        ({"cat.1.png": b"no picture"}, "None of the 1 images"),
        ({}, "No images found"),
    ],
)
def test_data_that_nothing_can_be_learnt_from_is_refused_in_words(stack, pictures, detail):
    record = stack.ended(stack.submit(zipped(pictures), architecture=ARCHITECTURE))
    assert record["state"] == "failed"
    assert detail in record["error"]["detail"]


def test_one_label_and_too_few_images_are_refused_in_words(stack, directory):
    one = stack.ended(stack.submit(zipped(digits(directory, "7", 5)), architecture=ARCHITECTURE))
    few = stack.ended(stack.submit(zipped(digits(directory, "78", 2)), architecture=ARCHITECTURE))

    assert "at least two labels" in one["error"]["detail"]
    assert few["state"] == "failed"
    assert "'7'" in few["error"]["detail"]


def test_a_file_that_is_no_archive_is_refused_in_words(stack):
    record = stack.ended(stack.submit(b"not an archive", architecture=ARCHITECTURE))
    assert record["state"] == "failed"
    assert "zip" in record["error"]["detail"]


def test_a_published_version_is_complete(first, stack):
    directory = stack.settings.store / "models" / "digits" / "1"
    manifest = json.loads((directory / "manifest.json").read_bytes())
    paths = {file["path"] for file in manifest["files"]}

    assert paths >= {
        "saved_model.pb",
        "model.keras",
        "openvino/model.xml",
        "openvino/model.bin",
        "golden/golden.json",
        "report/evaluation.json",
        "report/index.html",
    }
    assert manifest["labels"] == ["0", "1", "2"]
    assert manifest["training_id"] == first["id"]
    assert manifest["weights"]["source"]
    assert set(manifest["libraries"]) >= {"keras", "tensorflow", "openvino", "python"}
