"""The trainer's page in all its states."""

from collections import Counter
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.end_to_end.stack import Record, Stack, zipped
from tests.screenshots.studio import Studio, shoot_for_readme

ARCHITECTURE = "efficientnet_lite0"
EVIL = "<img src=x onerror=alert(1)>"
SECONDS = 240_000
SLOW = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 60_000}


def photograph(
    studio: Studio, page: Page, stack: Stack, pictures: dict[str, bytes], directory: Path
) -> Record:
    """Tell the trainer's whole story; returns the record of the newest training."""
    archive = directory / "shapes.zip"
    archive.write_bytes(zipped(pictures))
    _before(studio, page, archive, directory)
    first = _training(studio, page, stack, archive)
    again = stack.train(
        dataset=first["dataset"]["id"], model=first["model"], architecture=ARCHITECTURE,
        hidden_units=64, dropout=0.3, epochs=60, batch_size=64,
    )  # fmt: skip
    _results(studio, page, stack, again)
    _tuning(studio, page, stack, first)
    _lists(studio, page, stack, first, again)
    _ends(studio, page, stack, first)
    _readings(studio, page, stack, pictures)
    return again


def _before(studio: Studio, page: Page, archive: Path, directory: Path) -> None:
    page.goto("/")
    expect(page.get_by_text("None yet.")).to_be_visible()
    studio.shoot(page, "start-empty")
    page.goto("/#/trainings")
    expect(page.get_by_text("None yet.")).to_be_visible()
    studio.shoot(page, "trainings-empty")
    page.goto("/#/models")
    expect(page.get_by_text("No model has been published yet.")).to_be_visible()
    studio.shoot(page, "models-empty")
    page.goto("/")
    letter = directory / "letter.zip"
    letter.write_text("Dear all,")
    page.set_input_files("#archive", letter)
    expect(page.get_by_role("alert")).to_be_visible()
    studio.shoot(page, "dataset-refused")
    page.goto("/")
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    network.send("Network.emulateNetworkConditions", SLOW)
    page.set_input_files("#archive", archive)
    expect(page.get_by_text("Sending 1 file:")).to_be_visible()
    studio.shoot(page, "start-uploading")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("alert")).to_be_visible()
    studio.shoot(page, "start-stopped")
    network.send("Network.emulateNetworkConditions", {**SLOW, "uploadThroughput": -1})
    network.detach()


def _training(studio: Studio, page: Page, stack: Stack, archive: Path) -> Record:
    page.goto("/")
    page.set_input_files("#archive", archive)
    page.wait_for_url("**/#/datasets/*")
    studio.shoot(page, "dataset-reading")
    expect(page.get_by_role("button", name="Start training")).to_be_visible(timeout=SECONDS)
    page.wait_for_load_state("networkidle")
    studio.shoot(page, "dataset")
    page.get_by_text("Other settings").click()
    page.get_by_text("Not available here").click()
    page.get_by_label("Epochs").fill("lots")
    page.get_by_role("button", name="Start training").click()
    expect(page.get_by_role("alert")).to_be_visible()
    studio.shoot(page, "dataset-settings")
    page.get_by_label("Epochs").fill("400")
    page.get_by_label("Batch size").fill("32")
    page.get_by_label("Learning rate", exact=True).fill("0.0003")
    page.get_by_label("On", exact=True).uncheck()
    page.get_by_role("button", name="Start training").click()
    page.wait_for_url("**/#/trainings/*")
    expect(page.locator(".current", has_text="Bottleneck")).to_be_visible(timeout=SECONDS)
    expect(page.get_by_text("images/s")).to_be_visible(timeout=SECONDS)
    studio.shoot(page, "training-bottleneck")
    expect(page.locator(".current", has_text="Head")).to_be_visible(timeout=SECONDS)
    expect(page.locator("figure.curves path.series-1").first).to_be_attached(timeout=SECONDS)
    studio.shoot(page, "training-head")
    training = page.url.rpartition("/")[2]
    return stack.ended({"id": training}, 240)


def _results(studio: Studio, page: Page, stack: Stack, record: Record) -> None:
    page.goto(f"/#/trainings/{record['id']}")
    expect(page.get_by_role("heading", name="Use it")).to_be_visible()
    page.wait_for_load_state("networkidle")
    studio.shoot(page, "training-succeeded")
    report = stack.trainer.get(f"/v1/trainings/{record['id']}/report").json()
    answers = Counter((row["label"], row["predicted"]) for row in report["test"])
    wrong = {pair: count for pair, count in answers.items() if len(set(pair)) > 1} or answers
    truth, predicted = max(wrong, key=lambda pair: wrong[pair])
    page.goto(f"/#/trainings/{record['id']}?truth={truth}&predicted={predicted}")
    expect(page.get_by_label("Images of the chosen cell")).to_be_visible()
    page.wait_for_load_state("networkidle")
    studio.shoot(page, "training-cell")
    if studio.for_readme:
        shoot_for_readme(
            page, "trainer", "light", page.locator("section", has_text="Most confident mistakes")
        )
    page.goto(f"/v1/trainings/{record['id']}/report?format=html")
    studio.shoot(page, "report")


def _tuning(studio: Studio, page: Page, stack: Stack, first: Record) -> None:
    """Asked for in the form, while it runs, and what came of it."""
    page.goto(f"/#/datasets/{first['dataset']['id']}")
    page.get_by_role("radio", name=ARCHITECTURE).check()
    page.get_by_label("Model name").fill("tuned")
    choice = page.get_by_role("group", name="Fine-tuning")
    choice.get_by_role("radio", name="Other").check()
    choice.get_by_label("Views").fill("2")
    choice.get_by_label("Epochs").fill("5")
    studio.shoot(page, "dataset-tuning")
    page.get_by_role("button", name="Start training").click()
    card = page.get_by_role("region", name="Fine-tuning")
    expect(card).to_contain_text("This will take", timeout=SECONDS)
    studio.shoot(page, "training-tuning-views")
    expect(card.locator(".legend").first).to_contain_text("before tuning", timeout=SECONDS)
    studio.shoot(page, "training-tuning")
    expect(page.get_by_role("heading", name="Use it")).to_be_visible(timeout=SECONDS)
    page.wait_for_load_state("networkidle")
    studio.shoot(page, "training-tuned")
    page.goto(
        f"/v1/trainings/{stack.trainer.get('/v1/trainings').json()[0]['id']}/report?format=html"
    )
    studio.shoot(page, "report-tuned")


def _lists(studio: Studio, page: Page, stack: Stack, first: Record, again: Record) -> None:
    stack.train(
        dataset=first["dataset"]["id"], model=first["model"], architecture=ARCHITECTURE,
        learning_rate=0.01, epochs=60,
    )  # fmt: skip
    page.goto("/#/models")
    page.get_by_role("button", name="Pin version 2").click()
    expect(page.get_by_text("stays with version 2")).to_be_visible()
    studio.shoot(page, "models")
    page.get_by_role("button", name="Un-pin version 2").click()
    page.get_by_role("link", name="Compare versions").click()
    expect(page.locator("figure.curves path.series-1").first).to_be_attached()
    studio.shoot(page, "compare")
    page.goto("/")
    expect(page.get_by_role("heading", name="Images already there")).to_be_visible()
    page.wait_for_load_state("networkidle")
    studio.shoot(page, "start")


def _ends(studio: Studio, page: Page, stack: Stack, first: Record) -> None:
    """Cancelled, failed, refused and unknown."""
    dataset = first["dataset"]["id"]
    running = stack.submit(
        dataset=dataset, model="long", architecture=ARCHITECTURE, epochs=1000,
        early_stopping="off", batch_size=1,
    )  # fmt: skip
    page.goto(f"/#/trainings/{running['id']}")
    expect(page.locator(".current", has_text="Head")).to_be_visible(timeout=SECONDS)
    page.goto("/#/trainings")
    expect(page.locator(".tag", has_text="Head")).to_be_visible()
    for box in page.get_by_role("checkbox").all()[1:3]:
        box.check()
    studio.shoot(page, "trainings")
    page.goto(f"/#/trainings/{running['id']}")
    expect(page.locator("figure.curves path.series-1").first).to_be_attached(timeout=SECONDS)
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".state")).to_have_text("Cancelled", timeout=SECONDS)
    studio.shoot(page, "training-cancelled")
    few = stack.trainer.post("/v1/datasets", files=_few(first, stack)).json()
    page.goto(f"/#/datasets/{few['id']}")
    expect(page.get_by_role("heading", name=EVIL)).to_be_visible(timeout=SECONDS)
    page.wait_for_load_state("networkidle")
    studio.shoot(page, "dataset-rejected")
    failed = stack.ended(stack.submit(dataset=few["id"], architecture=ARCHITECTURE, model="few"))
    page.goto(f"/#/trainings/{failed['id']}")
    expect(page.get_by_role("alert")).to_be_visible()
    studio.shoot(page, "training-failed")
    none = stack.trainer.post("/v1/datasets", files=[("files", ("a/notes.txt", b"words"))]).json()
    page.goto(f"/#/datasets/{none['id']}")
    expect(page.get_by_role("alert")).to_be_visible(timeout=SECONDS)
    studio.shoot(page, "dataset-failed")
    page.goto("/#/trainings/20260101-000000-aaaaaa")
    expect(page.get_by_role("alert")).to_be_visible()
    studio.shoot(page, "training-unknown")


def _readings(studio: Studio, page: Page, stack: Stack, pictures: dict[str, bytes]) -> None:
    """Doubtful, read in another way, and how a training that failed by doubt leads there."""
    names = [
        f"{folder}/{camera} {number}.png"
        for folder in ("images", "data")
        for camera in ("IMG", "DSC")
        for number in range(6)
    ]
    files = dict(zip(names, list(pictures.values())[::3], strict=False))
    table = f"name,{EVIL}\nelsewhere.png,1\nnowhere.png,2\n".encode()
    archive = zipped({**files, f"{EVIL}.csv": table})
    failed = stack.ended(stack.submit(archive, architecture=ARCHITECTURE))
    page.goto(f"/#/trainings/{failed['id']}")
    expect(page.get_by_role("link", name="Check how the images were read")).to_be_visible()
    studio.shoot(page, "training-doubted")
    page.goto(f"/#/datasets/{failed['dataset']['id']}")
    expect(page.get_by_role("button", name="Use it as it is")).to_be_visible()
    page.wait_for_load_state("networkidle")
    studio.shoot(page, "dataset-doubted")
    page.get_by_text("Read it in another way", exact=True).click()
    page.get_by_label("Where the labels are").select_option("A table")
    page.get_by_role("button", name="Rename IMG").click()
    page.get_by_label("New name of IMG").fill("DSC")
    studio.shoot(page, "dataset-reading-form")
    page.get_by_role("button", name="Use the new names").click()
    expect(page.get_by_role("button", name="Forget my choices")).to_be_visible(timeout=SECONDS)
    studio.shoot(page, "dataset-reading-failed")
    page.get_by_role("button", name="Forget my choices").click()
    page.get_by_role("button", name="Use it as it is").click(timeout=SECONDS)
    expect(page.get_by_role("button", name="Start training")).to_be_visible(timeout=SECONDS)
    page.wait_for_load_state("networkidle")
    studio.shoot(page, "dataset-confirmed")


def _few(first: Record, stack: Stack) -> list[tuple[str, tuple[str, bytes]]]:
    """Return a folder with too few pictures, a trap for a label, and all kinds of faults."""
    images = stack.trainer.get(f"/v1/datasets/{first['dataset']['id']}/images?limit=9").json()
    data = [
        stack.trainer.get(f"/v1/datasets/{first['dataset']['id']}/images/{image['sha256']}").content
        for image in images["images"]
    ]
    files = {
        "few/fine/1.png": data[0],
        "few/fine/2.png": data[1],
        "few/fine/a copy of two.png": data[1],
        f"few/{EVIL}/3.png": data[2],
        f"few/{EVIL}/4.png": data[3],
        "few/fine/two labels.png": data[4],
        f"few/{EVIL}/two labels.png": data[4],
        "few/fine/half.png": data[5][: len(data[5]) // 2],
        "few/fine/from a phone.heic": b"\0\0\0\x18ftypheic" + bytes(40),
        "few/fine/words.jpg": b"no picture at all",
        "few/readme.txt": b"words",
    }
    return [("files", (name, content)) for name, content in files.items()]
