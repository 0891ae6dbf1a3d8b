"""The images that the benchmarks use."""

import hashlib
import os
from pathlib import Path

from PIL import Image

from launcher.digits import write_digits
from trainer_service.datasets.image_files import ImageFiles, Place
from trainer_service.store.shards import ShardImage

#: As large as the photographs of the article's data, on average.
SIZE = (500, 375)
ENLARGED = 1400
#: If it is only to be seen that a benchmark works, one digit in so many is enough.
QUICK_STEP = 16
#: How the bottleneck phase reads the images.
FILES = ImageFiles({"": Place(Path("/"), "BENCH_DATA", Path("/"))}, max_bytes=1 << 30)


def benchmark_images(directory: Path, *, quick: bool = False) -> tuple[list[Path], str]:
    """Return image files, and a phrase that describes them.

    `BENCH_DATA` names a folder of photographs. If it is not set, handwritten digits are enlarged,
    fewer of them if `quick`. Their files are smaller than photographs, and decode faster.
    """
    if data := os.environ.get("BENCH_DATA"):
        files = sorted(
            path for path in Path(data).rglob("*") if path.suffix.lower() in {".jpg", ".jpeg"}
        )
        return files, f"{len(files)} JPEG files of BENCH_DATA"
    files = _enlarged_digits(directory, QUICK_STEP if quick else 1)
    return files, f"{len(files)} digits enlarged to {SIZE[0]} x {SIZE[1]}: BENCH_DATA is not set"


def shard_images(files: list[Path]) -> list[ShardImage]:
    """Return the files in the form that the bottleneck phase takes."""
    return [
        ShardImage(
            sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
            path=file.absolute().relative_to("/").as_posix(),
        )
        for file in files
    ]


def _enlarged_digits(directory: Path, step: int) -> list[Path]:
    target = directory / "enlarged"
    target.mkdir(parents=True, exist_ok=True)
    sources = sorted(write_digits(directory / "digits").iterdir())[:ENLARGED:step]
    files = [target / f"{source.stem}.jpg" for source in sources]
    for source, file in zip(sources, files, strict=True):
        if not file.exists():
            with Image.open(source) as image:
                image.resize(SIZE, Image.Resampling.BICUBIC).convert("RGB").save(file, quality=90)
    return files
