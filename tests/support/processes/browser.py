"""The system's Chromium for tests of the pages; they are skipped where there is none."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

# Playwright's five seconds are too few on a busy machine.
expect.set_options(timeout=15_000)

NAMES = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def running_browser(*options: str) -> Iterator[Browser]:
    """Yield a browser with a fresh profile; `options` are more of Chromium's own.

    Not pytest-playwright's fixture: that one keeps an event loop until the session ends, and
    asyncio.run in the tests of other modules would find it running.
    """
    executable = next(filter(None, map(shutil.which, NAMES)), None)
    if executable is None:
        pytest.skip(f"there is no Chromium: none of {', '.join(NAMES)} is installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=[*OPTIONS, *options])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def forgiving_page(browser: Browser, base_url: str) -> Iterator[Page]:
    """Yield a page; the browser's own messages about lost requests are not errors here."""
    page = browser.new_page(base_url=base_url)
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    try:
        yield page
    finally:
        page.close()
    assert faults == []


def drop_from_disk(page: Page, selector: str, *paths: Path) -> None:
    """Drop files and folders on an element as a file manager does, folders with all in them."""
    box = page.locator(selector).bounding_box()
    assert box is not None
    where = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    session = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "data": data, **where})
    session.detach()


def faint_texts(page: Page) -> list[str]:
    """Return the texts in sight that have too little contrast to be read easily (WCAG AA)."""
    faint: list[str] = page.evaluate(_FAINT_TEXTS)
    return faint


_FAINT_TEXTS = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = (color) => {
    const [r, g, b] = color
      .map((value) => value / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (; element; element = element.parentElement) {
      const color = rgba(getComputedStyle(element).backgroundColor);
      if (color[3] === 255) return color;
    }
    return [255, 255, 255, 255];
  };
  const faint = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    const text = texts.currentNode.textContent.trim();
    if (!text || !element.checkVisibility()) continue;
    if (element.closest("noscript, option, :disabled")) continue;
    const style = getComputedStyle(element);
    const ink = rgba(element instanceof SVGElement ? style.fill : style.color);
    const [low, high] = [luminance(ink), luminance(behind(element))].sort((a, b) => a - b);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    const contrast = (high + 0.05) / (low + 0.05);
    if (contrast < (large ? 3 : 4.5)) faint.push(`${text}: ${contrast.toFixed(2)}`);
  }
  return faint;
}"""


@contextmanager
def watched_page(
    browser: Browser, base_url: str, refusals: int | None = 0, **options: Any
) -> Iterator[Page]:
    """Yield a page of its own, and require at the end that its console has no errors.

    Args:
        browser: from `running_browser`.
        base_url: where relative addresses lead.
        refusals: how many requests the service is to refuse, None if any number; the browser
            logs each as an error.
        options: of the browser's context, e.g. `viewport`.
    """
    context = browser.new_context(base_url=base_url, **options)
    page = context.new_page()
    faults: list[str] = []
    refused: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            is_refusal = "status of 4" in message.text
            (refused if is_refusal else faults).append(f"{message.text} {message.location}")

    page.on("console", listen)
    page.on("pageerror", lambda error: faults.append(str(error)))
    try:
        yield page
    finally:
        context.close()
    assert faults == []
    assert refusals in {None, len(refused)}, refused
