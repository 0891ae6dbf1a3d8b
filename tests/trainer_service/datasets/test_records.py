"""The records of a dataset, as they lie in the store."""

import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from trainer_service.datasets.records import ImageRecord, load_images, save_images

RECORD = ImageRecord(
    name="pets/Käthe.jpg",
    label="cat",
    split="test",
    sha256="ab" * 32,
    width=3,
    height=2,
    format="jpeg",
    bytes=99,
    verdict="used",
    detail="",
    file="images/ab/" + "ab" * 32,
)


def test_records_come_back_as_they_were_saved(tmp_path):
    records = [
        RECORD,
        replace(RECORD, split=None, verdict="duplicate", file=""),
    ]

    save_images(tmp_path, records)

    assert load_images(tmp_path) == records
    assert [path.name for path in tmp_path.iterdir()] == ["images.jsonl"]


def test_the_records_of_many_images_take_little_memory(tmp_path):
    number = 5000
    save_images(tmp_path, [RECORD] * number)
    tracemalloc.start()

    records = load_images(tmp_path)

    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(records) == number
    assert held < 600 * number


@pytest.mark.process
def test_the_trainer_api_can_know_records_and_uploads_without_image_libraries():
    """Its installation has neither numpy nor Pillow nor simplejpeg."""
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['numpy', 'PIL', 'simplejpeg']))\n"
        "import trainer_service.datasets.records, trainer_service.datasets.splits\n"
        "import trainer_service.datasets.interpretation.interpret, trainer_service.api.uploads"
    )
    root = Path(__file__).parents[3]

    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)
