"""Archives that mean harm: refused or skipped with a reason, in bounded memory, disk and time."""

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.support.inputs import hostile_archives as hostile
from trainer_service.datasets.records import load_images

from .conftest import picture

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it measures with /proc")

ROOT = Path(__file__).parents[3]
PETS = {f"{'cat' if i < 3 else 'dog'}.{i}.png": picture(i) for i in range(6)}

MEGABYTE = 1 << 20
#: Beyond what the interpreter and its modules take.
MEMORY = 32 * MEGABYTE
SECONDS = 60

#: Reads archives with the limits of the settings, each in a child of its own: a process that has
#: imported all it needs forks faster than others start, and a child's memory is counted anew.
READ = """
    import json, os, resource, signal, sys, time
    from pathlib import Path
    from tempfile import TemporaryDirectory
    from shared.errors import HeadstartError
    from shared.images.decoding import ImageLimits
    from trainer_service.datasets.scan.reader import read_dataset
    from trainer_service.datasets.records import DatasetLimits

    def memory_of(field):
        status = Path("/proc/self/status").read_text()
        return int(status.partition(field)[2].split()[0]) * 1024

    def read(source, directory, most_bytes, most_files, memory, seconds):
        limits = DatasetLimits(most_bytes, most_files, ImageLimits(32 << 20, 64_000_000))
        signal.alarm(seconds)
        with TemporaryDirectory() as harmless:  # the code that is used is in memory from here on
            read_dataset(Path(sys.argv[1]), Path(harmless), limits, lambda *_: None, threads=2)
        # One that is not bounded meets this wall rather than the end of the machine's memory.
        resource.setrlimit(resource.RLIMIT_AS, (memory_of("VmSize:") + 16 * memory, -1))
        before = memory_of("VmHWM:")
        begun, error = time.process_time(), None
        try:
            read_dataset(Path(source), Path(directory), limits, lambda *_: None, threads=2)
        except HeadstartError as caught:
            error = f"{type(caught).__name__}: {caught}"
        return {
            "error": error,
            "seconds": time.process_time() - begun,
            "memory": memory_of("VmHWM:") - before,
        }

    for line in sys.stdin:
        if (child := os.fork()) == 0:
            print(json.dumps(read(*json.loads(line))), flush=True)
            os._exit(0)
        if status := os.waitpid(child, 0)[1]:
            print(json.dumps({"ended": os.waitstatus_to_exitcode(status)}), flush=True)
"""


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """A process that reads the archives that it is told of, a line of JSON each."""
    harmless = tmp_path_factory.mktemp("harmless") / "a.tar"
    harmless.write_bytes(hostile.tarred(PETS))
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(READ), harmless],
        cwd=ROOT,
        env=os.environ | {"MALLOC_ARENA_MAX": "2"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.stdin.close()


@pytest.fixture
def read(tmp_path, reader):
    """Return a function that reads an archive: the error in words, and the records by name."""

    def read(name, write, *arguments, memory=MEMORY, **limits):
        max_bytes, max_files = limits.get("max_bytes", 32 << 30), limits.get("max_files", 1_000_000)
        source, directory = tmp_path / name, tmp_path / "dataset"
        write(source, *arguments)
        order = [str(source), str(directory), max_bytes, max_files, memory, SECONDS * 4]
        print(json.dumps(order), file=reader.stdin, flush=True)
        seen = json.loads(reader.stdout.readline())
        assert "ended" not in seen, "the child did not end well: see above what it said"
        written = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
        print(f"{write.__name__}: {seen}, {written} bytes written")  # noqa: T201 - for -s

        assert seen["memory"] < memory
        assert seen["seconds"] < SECONDS
        assert written < MEGABYTE
        records = [] if seen["error"] else load_images(directory)
        return seen["error"] or "", {record.name: record for record in records}

    return read


def used(records):
    return {name for name, record in records.items() if record.verdict == "used"}


@pytest.mark.process
def test_ten_gigabytes_of_zeros_in_a_zip(read):
    error, _ = read("a.zip", hostile.ten_gigabytes_in_a_zip)

    assert "cat.1.png: 10737418240 bytes; HEADSTART_MAX_IMAGE_BYTES allows" in error


@pytest.mark.process
def test_ten_gigabytes_of_zeros_in_a_tar(read):
    error, _ = read("a.tgz", hostile.ten_gigabytes_in_a_tar, max_bytes=8 << 30)

    assert error.startswith("TooLarge: The dataset is larger, unpacked, than HEADSTART_MAX_DATASET")


@pytest.mark.process
def test_much_in_little_of_bzip2(read):
    error, _ = read("a.zip", hostile.much_in_little_of_bzip2)

    assert "table.csv can't be read, and may be what labels the images: Bad CRC-32" in error


@pytest.mark.process
def test_zeros_behind_the_end_of_a_tar(read):
    error, _ = read("a.tgz", hostile.zeros_behind_a_tar, PETS, max_bytes=256 * MEGABYTE)

    assert error.startswith("TooLarge: The dataset is larger, unpacked, than HEADSTART_MAX_DATASET")


@pytest.mark.process
def test_sizes_that_are_lies(read):
    error, _ = read("a.zip", hostile.lying_zip)

    assert error.startswith("InvalidDataset: None of the 3 images")
    assert "CRC" in error


@pytest.mark.process
def test_what_kind_an_archive_is_is_told_without_unpacking_it(read):
    error, _ = read("a.tar.bz2", hostile.header_in_a_bz2)

    assert "a bzip2 file" in error


@pytest.mark.process
def test_what_a_tar_says_of_all_its_members_is_not_kept_for_each(read):
    error, _ = read("a.tar.gz", hostile.tar_of_records, memory=3 * MEGABYTE)

    assert error.startswith("InvalidDataset: No images found")


@pytest.mark.process
def test_long_numbers_in_a_tar_take_no_minutes(read):
    error, _ = read("a.tar", hostile.tar_of_digits)

    assert "broken: a header has more than 128 digits in a row" in error


@pytest.mark.process
@pytest.mark.parametrize("part", ["extra", "comment", "name"])
def test_a_zip_whose_list_of_files_is_large_without_many_files(read, part):
    error, _ = read("a.zip", hostile.zip_of_large_headers, part)

    assert "its list of 3000 files takes 18" in error
    assert "512 a file are the most" in error


@pytest.mark.process
def test_a_negative_size_is_refused(read):
    error, _ = read("a.tar", hostile.tar_that_goes_back)

    assert "is broken: the size of a file in it is -512" in error


@pytest.mark.process
@pytest.mark.parametrize("write", [hostile.overlapping_zip, hostile.one_file_listed_often])
def test_overlapping_files(read, write):
    error, _ = read("a.zip", write, max_bytes=1 << 50)

    assert error.startswith("InvalidDataset: The archive 'a.zip' is broken: files in it overlap")


@pytest.mark.process
def test_archives_in_archives_in_archives(read):
    error, records = read("a.zip", hostile.nested_zip, PETS)

    assert error == ""
    assert used(records) == set(PETS)
    assert "not an image" in records["cat.100.png"].detail
    assert "inner.zip" not in records


@pytest.mark.process
def test_more_than_a_million_files_in_a_zip(read):
    error, _ = read("a.zip", hostile.zip_of_many, 1_000_001)

    assert error.startswith("TooLarge: The dataset has more files than HEADSTART_MAX_DATASET_FILES")


@pytest.mark.process
def test_more_files_than_allowed_in_a_tar(read):
    """A tar tells its files only as they come; each costs some microseconds, and no memory."""
    error, _ = read("a.tgz", hostile.tar_of_many, 1_000_000, max_files=20_000)

    assert error.startswith("TooLarge: The dataset has more files than HEADSTART_MAX_DATASET_FILES")


@pytest.mark.process
def test_names_of_a_megabyte(read):
    error, records = read("a.tgz", hostile.names_of_a_megabyte, PETS)

    assert error == ""
    assert used(records) == set(PETS)
    [refused] = {(len(r.name), r.verdict, r.detail) for n, r in records.items() if n not in PETS}
    assert refused == (105, "unreadable", "its name has 1000012 characters, 1024 are the most")


@pytest.mark.process
@pytest.mark.parametrize(
    ("name", "shown", "verdict"),
    [
        ("cat.7.png\0.exe", "cat.7.png", "used"),  # a zip's name ends at NUL
        ("cat.\n7.png", "cat.\ufffd7.png", "used"),
        ("cat.\u202egnp.7.png", "cat.\ufffdgnp.7.png", "used"),
        ("cat.\u200f7.png", "cat.\ufffd7.png", "used"),
        ("cat." + "x" * 4096 + ".png", "cat." + "x" * 96 + "….png", "unreadable"),
        ("../" * 50 + "cat.7.png", "cat.7.png", "used"),
    ],
)
def test_names_that_mean_harm(read, name, shown, verdict):
    placeholder = name.replace("\0", "\1")

    def write(path):
        # zipfile itself would end the name there.
        whole = hostile.zipped({**PETS, placeholder: picture(999)})
        path.write_bytes(whole.replace(placeholder.encode(), name.encode()))

    error, records = read("a.zip", write)

    assert error == ""
    assert used(records) >= set(PETS)
    assert set(records) - set(PETS) == {shown}
    assert records[shown].verdict == verdict


@pytest.mark.process
def test_a_file_without_a_name_is_ignored(read):
    """NUL ends a name in a zip; Python 3.11 fails to tell whether such a file is a directory."""

    def write(path):
        whole = hostile.zipped({**PETS, "\1cat.7.png": picture(999)})
        path.write_bytes(whole.replace(b"\1cat.7.png", b"\0cat.7.png"))

    error, records = read("a.zip", write)

    assert error == ""
    assert set(records) == set(PETS)


@pytest.mark.process
def test_the_holes_of_sparse_files_are_not_counted(read):
    error, _ = read("a.tgz", hostile.tar_of_holes)

    assert error.startswith(
        "InvalidDataset: No images found in 'a.tgz': 200 files seen, e.g. a/1.l"
    )


@pytest.mark.process
def test_headers_of_many_small_records(read):
    error, _ = read("a.tgz", hostile.tar_of_small_records)

    assert error.endswith("is broken: a file in it has more than 10000 records")


@pytest.mark.process
def test_what_a_zip_says_wrongly_is_not_repeated_at_length(read):
    error, _ = read("a.zip", hostile.zip_of_wrong_names)

    assert error.startswith("InvalidDataset: None of the 2000 images in 'a.zip' can be used. E.g.")
    assert len(error) < 2000


@pytest.mark.process
def test_a_tar_in_a_zip_is_told_of(read):
    error, _ = read("a.zip", hostile.zip_of, {"pets.tar": hostile.tarred(PETS)})

    assert error.startswith(
        "InvalidDataset: No images found in 'a.zip': 1 file seen, e.g. pets.tar"
    )


MANY_LINES = "TooLarge: labels.csv: .* HEADSTART_MAX_DATASET_FILES allows 100000"
LONG_ROW = "InvalidDataset: labels.csv is no table that can be read: a row has more than 131072"


@pytest.mark.process
@pytest.mark.parametrize(
    ("table", "refusal"),
    [
        (b"\n" * (63 << 20), None),
        (b"a,b\n" * (4 << 20), None),
        (b"file,label\n" * (4 << 20), MANY_LINES),
        (b"file,label\n" + b"," * (40 << 20), LONG_ROW),
        (b'file,label\na,"' + b"b\n" * (20 << 20), LONG_ROW),
        (b'file,label\n"' + b'","\n' * (8 << 20), LONG_ROW),
    ],
    ids=["newlines", "rows", "labels", "cells", "quote", "quotes"],
)
def test_tables_that_unpack_to_megabytes(read, table, refusal):
    """A table is held as its bytes, twice while it is unpacked; its rows go by one by one."""
    memory = 2 * len(table) + MEMORY
    files = {"labels.csv": table, **PETS}
    error, _ = read("a.zip", hostile.zip_of, files, memory=memory, max_files=100_000)

    assert re.fullmatch(f"{refusal}.*" if refusal else "", error)


@pytest.mark.process
def test_tables_of_megabytes_that_label_nothing(read):
    tables = {
        "path.csv": b"file,label\n" + b"a/" * 60_000 + b",cat\n",
        "line.csv": b"," * (10 << 20),
        "word.csv": b"a" * (10 << 20),
        "log.csv": b"epoch,loss,lr\n" + b"1,2,3\n" * (1 << 20),
        "wide.csv": "😀".encode() * (4 << 20),
    }
    memory = sum(map(len, tables.values())) + 2 * MEMORY

    error, records = read("a.zip", hostile.zip_of, {**tables, **PETS}, memory=memory)

    assert error == ""
    assert used(records) == set(PETS)


@pytest.mark.process
def test_marks_that_would_have_to_be_sorted(read):
    """Unicode orders the marks above and below a letter, which takes their number squared."""
    marks = "file,label\n" + ("a" + "\u0301\u0323" * 60_000 + ",cat\n") * 40
    table = marks.encode()

    error, records = read(
        "a.zip", hostile.zip_of, {"t.csv": table, **PETS}, memory=2 * len(table) + MEMORY
    )

    assert error == ""
    assert used(records) == set(PETS)


@pytest.mark.process
def test_many_rows_of_images_that_are_not_there(read):
    rows = "".join(f"{number:06x},a\n" for number in range(200_000))
    table = ("file,label\n" + rows + "cat.0,x\ncat.1,x\ncat.2,x\ndog.3,y\n").encode()
    files = {"labels.csv": table, **PETS}

    error, records = read("a.zip", hostile.zip_of, files, memory=3 * MEMORY)

    assert error == ""
    assert {record.label for record in records.values()} == {"x", "y", ""}


@pytest.mark.process
@pytest.mark.parametrize("table", [b"", b"a/" * 300 + b"1.png,cat\n" * 20_000])
def test_names_of_hundreds_of_folders(read, table):
    files = {"a/" * 500 + f"{number}.png": b"\x89PNG" for number in range(3000)}
    files |= {"labels.csv": table, **PETS}

    error, records = read("a.tgz", hostile.tar_gz_of, files)

    assert error == ""
    assert used(records) == set(PETS)
    [(verdict, detail)] = {(r.verdict, r.detail) for r in records.values() if r.name not in PETS}
    assert verdict == "unreadable"
    assert detail == "it lies in 500 folders, one in the other; 32 are the most"


@pytest.mark.process
def test_many_images_with_one_end_and_a_table_of_all_its_ends(read):
    """Nothing is kept of an image for each end of its path."""
    folders = ["a"] * 31
    files = {"/".join([str(n), *folders, "1.png"]): b"\x89PNG" for n in range(4000)}
    ends = ["/".join([*folders[:depth], "1.png"]) for depth in range(32)]
    table = "".join(f"{end},cat\n" for end in ends[1:]).encode()

    error, _ = read("a.tgz", hostile.tar_gz_of, {"labels.csv": table, **files})

    assert error.startswith("InvalidDataset: None of the 4000 images in 'a.tgz' can be used.")


@pytest.mark.process
@pytest.mark.parametrize(
    ("name", "data"),
    [("pets.zip", hostile.tarred(PETS)), ("pets.png", hostile.zipped(PETS)), ("x", None)],
)
def test_a_wrong_name_for_an_archive_does_not_matter(read, name, data):
    data = data or hostile.zipped(PETS)
    error, records = read(name, Path.write_bytes, data)

    assert error == ""
    assert used(records) == set(PETS)
