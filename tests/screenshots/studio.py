"""Takes a page as it is in every look: light and dark, on a desk and on a phone."""

import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from playwright.sync_api import Locator, Page

SCHEMES = ("light", "dark")
DESK = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
README_PICTURES = Path("docs/images")
COLOURS = 256
NO_DITHER = Image.Dither.NONE


@dataclass(frozen=True, slots=True)
class Studio:
    """Where the pictures go, and whether some are for the README."""

    directory: Path
    for_readme: bool

    def shoot(self, page: Page, name: str) -> None:
        """Write `<name>-<scheme>-<desk or phone>.png`, each of the whole page."""
        self.directory.mkdir(parents=True, exist_ok=True)
        for size, viewport in (("phone", PHONE), ("desk", DESK)):
            page.set_viewport_size(viewport)
            for scheme in SCHEMES:
                page.emulate_media(color_scheme=scheme)
                file = self.directory / f"{name}-{scheme}-{size}.png"
                page.screenshot(path=file, full_page=True, animations="disabled")
        page.emulate_media(color_scheme="light")
        print(name, flush=True)


def shoot_for_readme(page: Page, name: str, scheme: str, below: Locator) -> None:
    """Write the page down to what `below` finds as a small PNG among the documentation."""
    page.set_viewport_size(DESK)
    page.emulate_media(color_scheme=scheme)
    box = below.bounding_box()
    assert box is not None
    height = box["y"] + page.evaluate("scrollY") - 8
    clip = {"x": 48, "y": 0, "width": 1184, "height": height}
    data = page.screenshot(clip=clip, full_page=True, animations="disabled")
    colours = Image.open(io.BytesIO(data)).convert("RGB").quantize(COLOURS, dither=NO_DITHER)
    colours.save(README_PICTURES / f"{name}.png", optimize=True)
