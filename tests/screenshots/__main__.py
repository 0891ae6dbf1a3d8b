"""Takes pictures of every page in every state, from a real stack: `make screenshots`.

They go to `var/screenshots`. The training is on drawn shapes, and the two pictures of the README
are made anew; with HEADSTART_TEST_DATA it is on the photographs there, and the README's stay.
"""

import os
import tempfile
from pathlib import Path

from tests.end_to_end.stack import Record, Stack, running_stack
from tests.screenshots import predictor, trainer
from tests.screenshots.shapes import shapes
from tests.screenshots.studio import Studio
from tests.support.processes.browser import running_browser

EACH = 120
CAMERA = "--use-fake-device-for-media-stream"


def main() -> None:
    data = os.environ.get("HEADSTART_TEST_DATA")
    pictures = photographs(Path(data), 300) if data else shapes(EACH)
    some = dict(list(pictures.items())[:: max(1, len(pictures) // 6)][:6])
    directory = Path("var/screenshots") / ("photographs" if data else "shapes")
    studio = Studio(directory, for_readme=not data)
    with tempfile.TemporaryDirectory() as name, running_browser(CAMERA) as browser:
        directory = Path(name)
        with running_stack(directory) as stack:
            train = browser.new_context(base_url=str(stack.trainer.base_url)).new_page()
            predict = browser.new_context(
                base_url=str(stack.predictor.base_url), permissions=["camera"]
            ).new_page()
            predictor.photograph_empty(studio, predict, some)
            newest = trainer.photograph(studio, train, stack, pictures, directory)
            predictor.photograph(
                studio, predict, stack, newest, interesting(stack, newest, pictures)
            )


def interesting(stack: Stack, record: Record, pictures: dict[str, bytes]) -> dict[str, bytes]:
    """Return test pictures, by turns one that the model is unsure of and one that it knows."""
    report = stack.trainer.get(f"/v1/trainings/{record['id']}/report").json()
    rows = sorted(report["test"], key=lambda row: row["probability"])
    names = [row["image"] for pair in zip(rows[:3], rows[-3:], strict=True) for row in pair]
    return {name: pictures[name] for name in names}


def photographs(directory: Path, each: int) -> dict[str, bytes]:
    """Return so many photographs of each label, from files named `<label>.<number>.jpg`."""
    files = next(
        filter(None, (sorted(folder.glob("*.*.jpg")) for folder in sorted(directory.iterdir())))
    )
    labels = sorted({file.name.split(".")[0] for file in files})
    chosen = [
        file for label in labels for file in
        [one for one in files if one.name.startswith(f"{label}.")][:each]
    ]  # fmt: skip
    return {file.name: file.read_bytes() for file in chosen}


main()
