"""The picture of heat that is laid over another."""

import io

import numpy as np
import pytest
from PIL import Image

from shared.heatmaps.painting import paint


def painted(grid, height=224, width=224):
    image = Image.open(io.BytesIO(paint(np.asarray(grid, np.float32), height, width)))
    assert image.format == "PNG"
    assert image.size == (width, height)
    return np.asarray(image.convert("RGBA")).astype(int)


def test_heat_covers_the_place_that_it_is_of():
    grid = np.zeros((14, 14))
    grid[2:5, 9:12] = 1

    pixels = painted(grid)

    assert pixels[56, 168, 3] > 150, "the middle of the hot places"
    assert pixels[:, :112, 3].max() == pixels[112:, :, 3].max() == 0, "the other halves"
    assert np.ptp(pixels[56, 160:176, :3]) > 0
    assert pixels[..., 3].max() < 255, "the picture stays visible"


def test_what_is_the_same_everywhere_is_not_painted():
    assert painted(np.full((14, 14), 3.0))[..., 3].max() == 0
    assert painted(np.full((14, 14), -3.0))[..., 3].max() == 0


def test_only_differences_count_not_their_size_nor_what_is_added_to_all():
    grid = np.random.default_rng(0).normal(0, 1, (14, 14))

    np.testing.assert_allclose(painted(grid), painted(grid * 0.01 - 5), atol=2)


@pytest.mark.parametrize("size", [(8, 8), (299, 299), (100, 300)])
def test_it_has_the_size_that_is_asked_for(size):
    painted(np.eye(14), *size)
