"""Pictures that are drawn, to check a version with that has no dataset."""

import io
import random
from collections.abc import Iterator

from PIL import Image, ImageDraw, ImageFilter

#: Neither a square nor of the size of any network's input, so that resizing is checked as well.
WIDTH, HEIGHT = 400, 300
_FEWEST_SHAPES, _MOST_SHAPES = 2, 9
_MOST_REPEATS = 14
_BLUR = 0.8


def draw(seed: int) -> Iterator[bytes]:
    """Yield pictures of coloured shapes without end, as PNG; the same seed draws the same ones."""
    numbers = random.Random(seed)
    while True:
        picture = _background(numbers)
        for _ in range(numbers.randint(_FEWEST_SHAPES, _MOST_SHAPES)):
            _add_row(ImageDraw.Draw(picture), numbers)
        file = io.BytesIO()
        picture.filter(ImageFilter.GaussianBlur(_BLUR)).save(file, "PNG")
        yield file.getvalue()


def _background(numbers: random.Random) -> Image.Image:
    """Return a picture whose colour changes from its top to its bottom."""
    ends = Image.new("RGB", (1, 2))
    ends.putdata([_colour(numbers), _colour(numbers)])
    return ends.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)


def _add_row(drawing: ImageDraw.ImageDraw, numbers: random.Random) -> None:
    """Draw a shape once, or again and again at equal distances."""
    left, top = numbers.uniform(-0.1, 0.8) * WIDTH, numbers.uniform(-0.1, 0.8) * HEIGHT
    wide, high = (numbers.uniform(0.03, 0.5) * HEIGHT for _ in range(2))
    right, down = numbers.uniform(-1, 1) * wide * 1.5, numbers.uniform(-1, 1) * high * 1.5
    shape = numbers.choice((drawing.ellipse, drawing.rectangle, drawing.line))
    colour, width = _colour(numbers), numbers.randint(2, 12)
    for number in range(numbers.randint(1, _MOST_REPEATS)):
        x, y = left + number * right, top + number * down
        shape((x, y, x + wide, y + high), fill=colour, width=width)


def _colour(numbers: random.Random) -> tuple[int, int, int]:
    return numbers.randrange(256), numbers.randrange(256), numbers.randrange(256)
