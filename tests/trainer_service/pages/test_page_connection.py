"""The trainer's page over connections that break, in a real browser and with a real trainer."""

import io
import re
import zipfile

import httpx
import pytest
from playwright.sync_api import expect

from tests.support.inputs.tiny_model import picture
from trainer_service.store.records.dataset_record import DatasetState
from trainer_service.store.records.parts import ErrorInfo

pytestmark = pytest.mark.integration

ARCHITECTURE = "efficientnet_lite0"
TRYING = "The trainer can't be reached. Is it still running? Trying again …"
SECONDS = 20_000


@pytest.fixture
def training(trainer_port, stores):
    """A training that waits, as no worker runs."""
    body = {"architecture": ARCHITECTURE, "dataset": {"path": "pets"}}
    return httpx.post(f"http://127.0.0.1:{trainer_port}/v1/trainings", json=body).json()


def test_the_list_of_trainings_goes_on_when_the_trainer_is_back(
    page, proxy, trainer_port, training, tmp_path
):
    page.goto("/#/trainings")
    expect(page.get_by_role("row")).to_have_count(2)
    proxy.refuses = True
    expect(page.get_by_role("status").get_by_text(TRYING)).to_be_visible(timeout=SECONDS)
    expect(page.get_by_role("row")).to_have_count(2)
    url = f"http://127.0.0.1:{trainer_port}/v1/trainings/{training['id']}/cancel"
    httpx.post(url).raise_for_status()
    proxy.refuses = False

    expect(page.get_by_role("row", name="cancelled")).to_be_visible(timeout=SECONDS)
    expect(page.get_by_text(TRYING)).to_be_hidden()


def test_a_dataset_that_is_read_is_looked_at_again_when_the_trainer_is_back(
    page, proxy, training, stores
):
    dataset = training["dataset"]["id"]
    page.goto(f"/#/datasets/{dataset}")
    expect(page.get_by_text("The images are being read")).to_be_visible()
    proxy.refuses = True
    expect(page.get_by_text(TRYING)).to_be_visible(timeout=SECONDS)
    expect(page.get_by_role("heading", name="pets")).to_be_visible()

    def fail(record):
        record.state = DatasetState.FAILED
        record.error = ErrorInfo(type="InvalidDataset", detail="No images found.")

    stores.datasets.update(dataset, fail)
    proxy.refuses = False

    expect(page.get_by_text("No images found.")).to_be_visible(timeout=SECONDS)
    expect(page.get_by_text(TRYING)).to_be_hidden()


def test_what_is_not_there_is_said_at_once(page):
    page.goto("/#/datasets/nothing")
    expect(page.get_by_role("alert")).to_have_text("There is no dataset 'nothing'.")


@pytest.mark.parametrize("lost", ["answers", "uploads"])
def test_an_upload_whose_connection_breaks_makes_one_dataset(page, proxy, stores, tmp_path, lost):
    (tmp_path / "pets.zip").write_bytes(archive())
    page.goto("/")
    setattr(proxy, lost, 2)
    page.set_input_files("#archive", tmp_path / "pets.zip")
    page.wait_for_url("**/#/datasets/*", timeout=SECONDS)

    [dataset] = stores.datasets.list()
    assert page.url.endswith(dataset.id)
    assert proxy.posts >= 3  # a browser sends some again by itself


def test_a_folder_whose_connection_breaks_makes_one_dataset(page, proxy, stores, tmp_path):
    (tmp_path / "pets" / "cat").mkdir(parents=True)
    for number in range(3):
        (tmp_path / "pets" / "cat" / f"{number}.png").write_bytes(picture("red"))
    page.goto("/")
    proxy.answers = 1
    page.set_input_files("#folder", tmp_path / "pets")
    page.wait_for_url("**/#/datasets/*", timeout=SECONDS)

    assert len(stores.datasets.list()) == 1


def test_an_upload_that_waits_to_be_sent_again_is_stopped(page, proxy, stores, tmp_path):
    (tmp_path / "pets.zip").write_bytes(archive())
    page.goto("/")
    proxy.uploads = 100
    page.set_input_files("#archive", tmp_path / "pets.zip")
    expect(page.get_by_text("interrupted")).to_have_text(re.compile("Trying again"))
    page.get_by_role("button", name="Stop").click()

    expect(page.get_by_role("alert")).to_have_text("The upload was stopped; nothing was kept.")
    assert stores.datasets.list() == []


def test_a_file_that_is_gone_when_it_is_sent_again_is_named(page, proxy, tmp_path):
    (tmp_path / "pets.zip").write_bytes(archive())
    page.goto("/")
    proxy.uploads = 100
    page.set_input_files("#archive", tmp_path / "pets.zip")
    expect(page.get_by_text("Trying again")).to_be_visible()
    (tmp_path / "pets.zip").unlink()

    expect(page.get_by_role("alert")).to_have_text(
        "pets.zip can't be read, or has changed since it was chosen.", timeout=SECONDS
    )


def test_a_dropped_folder_that_can_not_be_listed_is_named(page):
    page.goto("/")
    said = page.evaluate("""async () => {
        const { dropped } = await import("/web/dropped.js");
        const readEntries = (_, fail) => fail(new DOMException("what it is like"));
        const createReader = () => ({ readEntries });
        const entry = { isFile: false, fullPath: "/pets/bird", createReader };
        const transfer = { files: [], items: [{ webkitGetAsEntry: () => entry }] };
        return dropped(transfer).catch((error) => error.message);
    }""")
    assert said == "pets/bird can't be read."


def test_a_training_whose_answer_is_lost_is_started_once(page, proxy, stores, training):
    stores.datasets.update(training["dataset"]["id"], read)
    stores.trainings.delete(training["id"])
    page.goto(f"/#/datasets/{training['dataset']['id']}")
    page.get_by_role("radio", name=ARCHITECTURE).check()
    proxy.answers = 2
    page.get_by_role("button", name="Start training").click()
    page.wait_for_url("**/#/trainings/*", timeout=SECONDS)

    [only] = stores.trainings.list()
    assert page.url.endswith(only.id)


def test_a_path_whose_answer_is_lost_makes_one_dataset(page, proxy, stores):
    page.goto("/")
    page.get_by_text("A folder or archive on the trainer's machine").click()
    page.get_by_label("Path below the datasets directory").fill("pets")
    proxy.answers = 2
    page.get_by_role("button", name="Read it").click()
    page.wait_for_url("**/#/datasets/*", timeout=SECONDS)

    assert len(stores.datasets.list()) == 1


def read(record):
    record.state = DatasetState.READY
    record.images = 2
    record.labels = {"cat": 1, "dog": 1}


def archive():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("cat.1.png", picture("red"))
        file.writestr("notes.txt", b"0" * 1_000_000)
    return buffer.getvalue()
