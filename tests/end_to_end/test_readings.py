"""An upload whose labels are doubtful: the user is asked, and need not send it again."""

import json
import re

import pytest

from tests.end_to_end.stack import digits, zipped

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ARCHITECTURE = "efficientnet_lite0"
EACH = 40


@pytest.fixture(scope="module")
def pictures(directory):
    """Pictures of two digits, called by numbers that say nothing of these."""
    found = digits(directory, "01", EACH)
    named = {
        f"{number:03}.png": (name[0], data) for number, (name, data) in enumerate(found.items())
    }
    assert len(named) == 2 * EACH
    return named


@pytest.fixture(scope="module")
def archive(pictures):
    """With a table of which two columns may hold the labels, and the first does not."""
    table = "name,room,digit\n" + "".join(
        f"{name},{('hall', 'attic')[number % 2]},{('zero', 'one')[int(digit)]}\n"
        for number, (name, (digit, _)) in enumerate(pictures.items())
    )
    files = {name: data for name, (_, data) in pictures.items()}
    return zipped({**files, "table.csv": table.encode()})


def uploaded(stack, archive, **fields):
    answer = stack.trainer.post("/v1/datasets", files={"archive": ("a.zip", archive)}, data=fields)
    return read(stack, answer)


def read(stack, answer):
    """Wait until a dataset is read that was just submitted, and return it."""
    assert answer.status_code == 202, answer.text
    return stack.read(f"/v1/datasets/{answer.json()['id']}")


def put(stack, dataset, reading):
    return read(stack, stack.trainer.put(f"/v1/datasets/{dataset['id']}/reading", json=reading))


def told(detail):
    """Return the readings that an error offers; the first one confirms."""
    return [json.loads(said) for said in re.findall(r"(?:with|Or) (\{.*?\}+)[:,]", detail)]


def test_what_is_sent_as_the_answer_says_is_trained_on(stack, archive, pictures):
    dataset = uploaded(stack, archive)
    asked = {"dataset": dataset["id"], "architecture": ARCHITECTURE, "model": "asked"}
    refused = stack.trainer.post("/v1/trainings", json=asked)
    assert refused.status_code == 422
    assert "Several columns of table.csv could hold the labels: 'room', 'digit'" in refused.text
    assert f"PUT /v1/datasets/{dataset['id']}/reading" in refused.text
    confirm, other = told(refused.json()["detail"])
    assert confirm == {"confirm": True}

    assert put(stack, dataset, confirm)["labels"] == {"attic": EACH, "hall": EACH}
    assert put(stack, dataset, other)["labels"] == {"one": EACH, "zero": EACH}
    trained = stack.train(**asked)

    assert trained["dataset"]["labels"] == {"one": EACH, "zero": EACH}
    assert trained["metrics"]["test"]["accuracy"] > 0.9
    stack.served("asked", trained["version"])
    sent = {name: data for name, (_, data) in list(pictures.items())[::8]}
    right = [("zero", "one")[int(pictures[name][0])] for name in sent]
    assert [p["label"] for p in stack.predict("asked", sent)] == right


def test_a_training_that_failed_by_doubt_is_begun_again_without_its_upload(stack, archive):
    failed = stack.ended(stack.submit(archive, architecture=ARCHITECTURE))
    assert failed["state"] == "failed"
    [_, other] = told(failed["error"]["detail"])

    put(stack, failed["dataset"], other)
    again = stack.train(architecture=ARCHITECTURE, dataset=failed["dataset"]["id"])

    assert again["dataset"]["labels"] == {"one": EACH, "zero": EACH}


def test_an_upload_that_failed_for_its_labels_is_mended_although_it_is_removed(stack, archive):
    failed = uploaded(stack, archive, **{"reading.labels": "folders"})
    assert failed["state"] == "failed"
    assert failed["error"]["detail"].startswith("reading.labels: no image lies in a folder")
    # As workers do every ten minutes.
    (stack.settings.store / "datasets" / failed["id"] / "upload").unlink()

    mended = put(stack, failed, {"columns": {"label": "digit"}})

    assert (mended["state"], mended["error"]) == ("ready", None)
    trained = stack.train(architecture=ARCHITECTURE, dataset=failed["id"])
    assert trained["dataset"]["labels"] == {"one": EACH, "zero": EACH}


def test_a_dataset_is_corrected_and_grows_and_only_new_images_are_computed(
    stack, archive, directory
):
    reading = {"reading": json.dumps({"columns": {"label": "digit"}})}
    parent = uploaded(stack, archive, **reading)["id"]
    asked = {"architecture": ARCHITECTURE, "model": "mended"}
    first = stack.train(dataset=parent, **asked)
    images = stack.trainer.get(f"/v1/datasets/{parent}/images?label=zero").json()["images"]
    changes = {images[0]["sha256"]: "one", images[1]["sha256"]: None}
    corrected = stack.trainer.post(f"/v1/datasets/{parent}/corrections", json=changes).json()
    new = list(digits(directory, "0", EACH + 3).values())[EACH:]
    files = [("files", (f"new/{number}.png", data)) for number, data in enumerate(new)]
    address = f"/v1/datasets/{corrected['id']}/images"
    child = read(stack, stack.trainer.post(address, files=files, data={"label": "zero"}))

    second = stack.train(dataset=child["id"], **asked)

    assert second["dataset"]["labels"] == {"zero": EACH - 2 + 3, "one": EACH + 1}
    assert [second["dataset"][name] for name in ("parent", "root", "corrected", "added")] == [
        corrected["id"],
        parent,
        2,
        3,
    ]
    assert (second["cache"]["reused"], second["cache"]["computed"]) == (2 * EACH - 1, 3)
    stack.served("mended", second["version"])
    report = stack.trainer.get(second["report"]).json()
    assert {one["sha256"]: one["to"] for one in report["corrections"]} == changes
    found = stack.trainer.get(
        f"/v1/trainings/{second['id']}/compare", params={"with": first["id"]}
    ).json()
    counts = [found[name] for name in ("fixed", "broken", "both_right", "both_wrong")]
    assert sum(counts) == found["common"] == len(found["images"])
    assert (found["old"]["training"], found["new"]["training"]) == (first["id"], second["id"])
    assert stack.trainer.delete(f"/v1/datasets/{parent}").status_code == 409
