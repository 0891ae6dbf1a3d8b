"""`python -m tests.fuzz.run SECONDS [images|archives]`: see target.py."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support.inputs import hostile_archives, hostile_images

ROOT = Path(__file__).parents[2]
KINDS = ("images", "archives")


def seeds(kind: str) -> dict[str, bytes]:
    """Return what the fuzzer begins with: small inputs of every sort."""
    small = hostile_images.saved(hostile_images.photo(1, (8, 8)), "PNG")
    if kind == "images":
        found = {**dict(hostile_images.odd()), **dict(hostile_images.bad())}
    else:
        files = {"cat.1.png": small, "dog.1.png": small + b"x", "a.csv": b"file,label\n"}
        tar = hostile_archives.tarred(files)
        found = {"a.zip": hostile_archives.zipped(files), "a.tar": tar}
    return {name: data for name, data in found.items() if len(data) < 100_000}


def fuzz(kind: str, seconds: int, directory: Path) -> subprocess.CompletedProcess[str]:
    """Fuzz for some seconds; what is found lies in `directory` as crash-…, oom-… or timeout-…."""
    corpus = directory / kind
    corpus.mkdir(parents=True, exist_ok=True)
    for name, data in seeds(kind).items():
        (corpus / name).write_bytes(data)
    target = ROOT / "tests" / "fuzz" / "target.py"
    options = [f"-max_total_time={seconds}", f"-artifact_prefix={directory}/", "-max_len=20000"]
    # libFuzzer bounds the peak of its memory, and Linux hands a new program the peak of the process
    # that it was forked from: of a shell's, not of a test session's that has trained networks.
    shell = ["/bin/sh", "-c", '"$@"; exit $?', "sh"]
    return subprocess.run(
        [*shell, sys.executable, str(target), kind, str(corpus), *options],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )


def main() -> int:
    seconds, kinds = int(sys.argv[1]), sys.argv[2:] or KINDS
    directory = ROOT / "var" / "fuzz"
    status = 0
    for kind in kinds:
        ended = fuzz(kind, seconds, directory)
        sys.stdout.write(f"{kind}:\n{ended.stderr[-2000:]}\n")
        status |= ended.returncode
    return status


if __name__ == "__main__":
    sys.exit(main())
