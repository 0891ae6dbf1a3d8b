"""The system's Chromium for tests of the pages; they are skipped where there is none."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    expect,
    sync_playwright,
)

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
    browser: Browser,
    base_url: str,
    refusals: int | None = 0,
    *,
    alone: bool = False,
    **options: Any,
) -> Iterator[Page]:
    """Yield a page of its own, and require at the end that its console has no errors.

    Args:
        browser: from `running_browser`.
        base_url: where relative addresses lead.
        refusals: how many requests the service is to refuse, None if any number; the browser
            logs each as an error.
        alone: whether the page has a context of its own, for tests that change more of it than
            cookies and permissions, e.g. its clock.
        options: of a context of its own, e.g. `viewport`.
    """
    faults: list[str] = []
    refused: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            is_refusal = "status of 4" in message.text
            (refused if is_refusal else faults).append(f"{message.text} {message.location}")

    is_own = alone or bool(options)
    opened = _own_context if is_own else _common_context
    with opened(browser, base_url, **options) as context:
        page = context.new_page()
        page.on("console", listen)
        page.on("pageerror", lambda error: faults.append(str(error)))
        yield page
    assert faults == []
    assert refusals in {None, len(refused)}, refused


@contextmanager
def _own_context(browser: Browser, base_url: str, **options: Any) -> Iterator[BrowserContext]:
    context = browser.new_context(base_url=base_url, **options)
    try:
        yield context
    finally:
        context.close()


#: The contexts that pages share, by browser and address; None until there is a second page.
_common: WeakKeyDictionary[Browser, dict[str, BrowserContext | None]] = WeakKeyDictionary()


@contextmanager
def _common_context(browser: Browser, base_url: str) -> Iterator[BrowserContext]:
    """Yield a context that is as good as new, and that the pages of an address share.

    A page is always open in it, so that Chromium keeps the process that shows them: its start
    takes longer than what most tests do. The pages' storage is of the session, each page's own.
    """
    contexts = _common.setdefault(browser, {})
    if base_url not in contexts:
        contexts[base_url] = None
        with _own_context(browser, base_url) as own:
            yield own
        return

    if (context := contexts[base_url]) is None:
        context = contexts[base_url] = browser.new_context(base_url=base_url)
        context.new_page().goto("/healthz")
    kept = context.pages[0]
    try:
        yield context
    finally:
        for page in context.pages:
            if page is not kept:
                page.close()
        context.clear_cookies()
        context.clear_permissions()
