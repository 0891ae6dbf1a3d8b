"""Writes the default data of `make demo`: scikit-learn's handwritten digits as image files."""

from pathlib import Path

import numpy as np
from PIL import Image


def write_digits(directory: Path) -> Path:
    """Write the 1,797 digits as `<digit>.<number>.png`, 8x8 pixels in grey.

    If the directory exists already, nothing is written.

    Args:
        directory: the directory to create.

    Returns:
        The directory.
    """
    if directory.is_dir():
        return directory
    from sklearn.datasets import load_digits

    digits = load_digits()
    staging = directory.with_name(f".{directory.name}")
    staging.mkdir(parents=True, exist_ok=True)
    # scikit-learn's grey levels run from 0 to 16.
    images = (digits.images * (255 / 16)).round().astype(np.uint8)
    for number, (image, label) in enumerate(zip(images, digits.target, strict=True)):
        Image.fromarray(image).save(staging / f"{label}.{number:04d}.png")
    return staging.rename(directory)
