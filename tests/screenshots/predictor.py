"""The predictor's page in all its states."""

from playwright.sync_api import Page, expect

from tests.end_to_end.stack import Record, Stack
from tests.screenshots.studio import Studio, shoot_for_readme

SECONDS = 30_000


def photograph_empty(studio: Studio, page: Page, pictures: dict[str, bytes]) -> None:
    """Before there is any model."""
    page.goto("/")
    expect(page.get_by_text("There is no model yet.")).to_be_visible()
    studio.shoot(page, "predictor-empty")
    _choose(page, dict(list(pictures.items())[:2]))
    expect(page.get_by_text("Waits for a model.")).to_have_count(2)
    studio.shoot(page, "predictor-waiting")


def photograph(
    studio: Studio, page: Page, stack: Stack, record: Record, pictures: dict[str, bytes]
) -> None:
    """Pictures, errors, the camera, and a new version that is noticed."""
    model, version = record["model"], stack.trainer.get(f"/v1/models/{record['model']}").json()
    newest = version["versions"][0]["version"]
    stack.served(model, newest)
    page.goto(f"/?model={model}")
    expect(page.get_by_role("region", name="Model")).to_contain_text(model)
    studio.shoot(page, "predictor")
    _choose(page, pictures)
    expect(page.locator(".bars")).to_have_count(len(pictures))
    studio.shoot(page, "predictor-results")
    if studio.for_readme:
        fourth = page.get_by_role("article").nth(3)
        shoot_for_readme(page, "predictor", "dark", fourth)
    _choose(page, {"letter to all.png": b"Dear all,"})
    expect(page.get_by_text("Not an image")).to_be_visible()
    stack.trainer.put(f"/v1/models/{model}/pin", json={"version": newest - 1})
    expect(page.get_by_text("is served now")).to_be_visible(timeout=SECONDS)
    studio.shoot(page, "predictor-other-version")
    page.get_by_role("button", name="Use the camera").click()
    expect(page.get_by_role("button", name="Take a photo")).to_be_enabled()
    studio.shoot(page, "predictor-camera")
    stack.trainer.put(f"/v1/models/{model}/pin", json={"version": None})


def _choose(page: Page, pictures: dict[str, bytes]) -> None:
    files = [
        {"name": name.replace("/", " "), "mimeType": "image/png", "buffer": data}
        for name, data in pictures.items()
    ]
    page.set_input_files("#files", files)
