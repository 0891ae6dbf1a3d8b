"""`python tests/fuzz/target.py images|archives CORPUS -max_total_time=SECONDS`: fuzzes by coverage.

Whatever the bytes are, the decoder may raise InvalidImage and the archive reader HeadstartError;
anything else, and more than 2 GB or 25 s for one input, is a find, which libFuzzer writes beside.
"""

import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import atheris

# Instrumented, so that libFuzzer sees which lines an input reaches.
with atheris.instrument_imports(include=["shared", "trainer_service", "zipfile", "tarfile"]):
    from shared.errors import HeadstartError, InvalidImage
    from shared.images import decoding
    from trainer_service.datasets import records
    from trainer_service.datasets.scan import reader

PIXELS = 1 << 22
LIMITS = decoding.ImageLimits(1 << 20, PIXELS)


def decode_images(data: bytes) -> None:
    """Check and decode bytes as a picture; the two agree on whether it is one."""
    try:
        decoding.check(data, LIMITS)
    except InvalidImage:
        return
    pixels = decoding.decode(data, 16, 16, LIMITS)
    assert pixels.shape == (16, 16, 3)


def read_archives(data: bytes) -> None:
    """Read bytes as an archive; nothing is written but below the dataset's own directory."""
    root = Path(tempfile.mkdtemp())
    try:
        source = root / "source"
        source.write_bytes(data)
        limits = records.DatasetLimits(1 << 24, 1000, LIMITS)
        with suppress(HeadstartError):
            reader.read_dataset(source, root / "dataset", limits, lambda *_: None, threads=1)
        strangers = {path.name for path in root.iterdir()} - {"source", "dataset"}
        assert not strangers, strangers
    finally:
        shutil.rmtree(root)


def main() -> None:
    kind, *arguments = sys.argv[1:]
    target = {"images": decode_images, "archives": read_archives}[kind]
    options = ["-rss_limit_mb=2048", "-timeout=25", *arguments]
    atheris.Setup([sys.argv[0], *options], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
