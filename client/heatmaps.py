"""Writes the heatmaps of predictions as files."""

import base64
from collections.abc import Sequence
from pathlib import Path

from client.errors import ClientError
from client.service import Record

#: Asks the predictor for the heatmap of the likeliest label.
LIKELIEST = "top"


def write_heatmaps(predictions: Sequence[Record], directory: Path) -> None:
    """Write the heatmap of each prediction as a PNG, and put the file's path in its place.

    A file has the name of its image and `.heat.png` behind that, with a number if several images
    have this name.

    Args:
        predictions: as the predictor answers them, with the images' paths under `file`; `heat.png`
            of each is changed. Those that are errors have no heatmap.
        directory: where to; it is made if it is missing.

    Raises:
        ClientError: the directory or a file can't be written.
    """
    written: set[Path] = set()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for prediction in predictions:
            if "heat" in prediction:
                heat = prediction["heat"]
                path = _unused(directory, Path(prediction["file"]).name, written)
                path.write_bytes(base64.b64decode(heat["png"]))
                heat["png"] = str(path)
    except OSError as error:
        raise ClientError(
            f"--explain: {error.filename} can't be written: {error.strerror}"
        ) from None


def _unused(directory: Path, image: str, written: set[Path]) -> Path:
    """Return the path of a heatmap that this command has not written yet."""
    path, number = directory / f"{image}.heat.png", 1
    while path in written:
        number += 1
        path = directory / f"{image}.{number}.heat.png"
    written.add(path)
    return path
