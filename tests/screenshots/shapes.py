"""Pictures that belong to nobody: coloured shapes, some of them hard to tell apart."""

import io
import math
import random

from PIL import Image, ImageDraw, ImageFilter

SIDE = 128
#: Drawn so many times larger, then shrunk: smooth edges.
SCALE = 4
CORNERS = {"triangle": 3, "square": 4, "pentagon": 5, "hexagon": 6, "circle": 64, "star": 10}


def shapes(each: int, seed: int = 7) -> dict[str, bytes]:
    """Return PNG files by `<label>/<number>.png`: `each` of every label, 128x128 in colour."""
    source = random.Random(seed)
    return {
        f"{label}/{number:03d}.png": _picture(label, source)
        for label in sorted(CORNERS)
        for number in range(each)
    }


def _picture(label: str, source: random.Random) -> bytes:
    whole = SIDE * SCALE
    hue = source.randrange(360)
    paper = f"hsl({hue}, {source.randint(15, 60)}%, {source.randint(70, 92)}%)"
    ink = f"hsl({(hue + source.randint(60, 300)) % 360}, {source.randint(45, 85)}%, 42%)"
    image = Image.new("RGB", (whole, whole), paper)
    draw = ImageDraw.Draw(image)
    for _ in range(source.randrange(4)):
        x, y, size = (source.randrange(whole) for _ in range(3))
        shade = f"hsl({hue}, 40%, {source.randint(60, 95)}%)"
        draw.line((x, y, (x + size) % whole, source.randrange(whole)), fill=shade, width=20)
    draw.polygon(_outline(label, whole, source), fill=ink)
    small = image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    blurred = small.filter(ImageFilter.GaussianBlur(source.choice((0, 0, 0.6, 1.4))))
    buffer = io.BytesIO()
    blurred.save(buffer, "PNG")
    return buffer.getvalue()


def _outline(label: str, whole: int, source: random.Random) -> list[tuple[float, float]]:
    corners = CORNERS[label]
    radius = whole * source.uniform(0.12, 0.42)
    x, y = (source.uniform(radius, whole - radius) for _ in range(2))
    squeezed, turned = source.uniform(0.75, 1), source.uniform(0, 2 * math.pi)
    points = []
    for corner in range(corners):
        angle = turned + 2 * math.pi * corner / corners
        reach = radius * (0.45 if label == "star" and corner % 2 else 1)
        points.append((x + reach * math.cos(angle), y + squeezed * reach * math.sin(angle)))
    return points
