"""Whole datasets are read from real archives and folders, good and bad ones."""

import hashlib
import io
import os
import re
import subprocess
import sys
import tracemalloc
import unicodedata
import zipfile
from contextlib import nullcontext

import pytest

from shared.errors import TooLarge
from shared.images.decoding import ImageLimits
from tests.support.growth import FACTOR, cost_growth
from tests.trainer_service.datasets.conftest import (
    picture,
    write_folder,
    write_tar,
    write_tar_gz,
    write_zip,
)
from trainer_service.datasets.interpretation.interpret import Labelled
from trainer_service.datasets.records import DatasetLimits, load_images
from trainer_service.datasets.scan.found import Found, load_found
from trainer_service.datasets.scan.reader import _take_table, read_dataset
from trainer_service.datasets.scan.scans import keep
from trainer_service.datasets.scan.verdicts import Note, settle
from trainer_service.datasets.sources import folder
from trainer_service.datasets.sources.source import Entry
from trainer_service.datasets.splits import assign_splits
from trainer_service.errors import InvalidDataset, TrainingCancelled

PETS = {
    f"{label}/{i}.png": picture(f)
    for f, (label, i) in enumerate((label, i) for label in ("cat", "dog") for i in range(4))
}


def _quiet(done, total):
    pass


@pytest.fixture
def read(tmp_path, limits):
    """Reads a source into a fresh directory; returns summary and records by name."""

    def read(source, **changed):
        directory = tmp_path / "dataset"
        summary = read_dataset(source, directory, limits._replace(**changed), _quiet, threads=2)
        return summary, {record.name: record for record in load_images(directory)}

    return read


def _verdicts(records):
    return {name: record.verdict for name, record in records.items()}


def test_images_are_read_from_every_source(write, read, tmp_path):
    source = write({f"pets/{name}": data for name, data in PETS.items()})

    summary, records = read(source)

    assert summary.images == 8
    assert summary.labels == {"cat": 4, "dog": 4}
    assert (summary.rejected, summary.ignored) == ([], 0)
    assert (summary.interpretation.layout.kind, summary.has_split) == ("folders", False)
    assert list(records) == sorted(f"pets/{name}" for name in PETS)
    for name, data in PETS.items():
        record = records[f"pets/{name}"]
        root = source if source.is_dir() else tmp_path / "dataset"
        assert (root / record.file).read_bytes() == data
        assert record.sha256 == hashlib.sha256(data).hexdigest()
        assert (record.width, record.height, record.format) == (8, 8, "png")
        assert record.bytes == len(data)


def test_a_folder_is_not_copied(read, tmp_path):
    read(write_folder(tmp_path / "pets", PETS))

    names = {path.name for path in (tmp_path / "dataset").iterdir()}
    assert names == {"images.jsonl", "looks", "others.json", "tables.zip", "thumbnails"}


def test_an_archive_is_stored_by_hash_alone(read, tmp_path):
    read(write_zip(tmp_path / "pets.zip", PETS))

    stored = {
        path.name: path for path in (tmp_path / "dataset/images").rglob("*") if path.is_file()
    }
    assert set(stored) == {hashlib.sha256(data).hexdigest() for data in PETS.values()}
    assert all(path.parent.name == name[:2] for name, path in stored.items())


def test_the_digest_is_of_what_is_learnt_from(read, tmp_path):
    digests = [
        read(write_folder(tmp_path / str(number), files))[0].digest
        for number, files in enumerate(
            [
                PETS,
                {f"x/y/{name}": data for name, data in PETS.items()},
                {**PETS, "cat/copy.png": PETS["cat/0.png"], "notes.txt": b"x"},
                {name.replace("dog", "wolf"): data for name, data in PETS.items()},
                {
                    f"{s}/{name}": PETS[name]
                    for s, name in zip(("train", "test") * 4, PETS, strict=True)
                },
                {name: data for name, data in PETS.items() if name != "cat/0.png"},
            ]
        )
    ]

    assert digests[0] == digests[1] == digests[2]
    assert len(set(digests)) == 4


def test_files_of_no_interest_are_ignored(write, read):
    nested = {"cat/more.zip": b"PK\x03\x04", "README": b"pets", "cat/list.txt": b"1.png"}
    hidden = {
        "__MACOSX/cat/._0.png": PETS["cat/0.png"],
        ".DS_Store": b"x",
        "cat/.hidden.png": picture(99),
        ".git/1.png": picture(98),
        "dog/Thumbs.db": b"x",
        "cat/@eaDir/0.png/SYNOPHOTO_THUMB_XL.png": picture(97),
        "#recycle/dog/9.png": picture(96),
        "$RECYCLE.BIN/1.png": picture(95),
        "log.csv": b"epoch,loss,x\n1,2,3\n",
    }

    summary, records = read(write({**PETS, **nested, **hidden}))

    assert len(records) == summary.images == 8
    assert summary.ignored == len(nested) + len(hidden)


COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "K\xe4tzchen") for form in ("NFC", "NFD"))


def test_labels_that_differ_in_their_form_alone_are_one(write, read):
    """MacOS writes letters with marks as two characters, everybody else as one."""
    files = {
        f"{COMPOSED}/0.png": picture(0),
        f"{COMPOSED}/1.png": picture(1),
        f"{DECOMPOSED}/2.png": picture(2),
        f"{DECOMPOSED}/3.png": picture(3),
        **{f"dog/{number}.png": picture(10 + number) for number in range(4)},
    }
    summary, _ = read(write(files))

    assert summary.labels == {COMPOSED: 4, "dog": 4}


def test_a_zip_of_a_mac_has_names_in_utf8_without_the_flag(read, tmp_path):
    source = write_zip(
        tmp_path / "pets.zip",
        {f"{DECOMPOSED}/{number}.png": picture(number) for number in range(4)}
        | {f"dog/{number}.png": picture(10 + number) for number in range(4)},
    )
    data = bytearray(source.read_bytes())
    with zipfile.ZipFile(source) as archive:
        local = [member.header_offset + 6 for member in archive.infolist()]
    central = [match.start() + 8 for match in re.finditer(b"PK\x01\x02", data)]
    for position in (*local, *central):
        assert position + 2 <= len(data)
        data[position + 1] &= ~0x08
    source.write_bytes(data)
    summary, records = read(source)

    assert summary.labels == {COMPOSED: 4, "dog": 4}
    assert all(record.verdict == "used" for record in records.values())


def test_a_table_of_too_many_columns_is_refused_not_done_without(write, read):
    """Else the folders would be taken for the labels."""
    header = "file,label," + ",".join(f"column{number}" for number in range(20_000))
    names = [f"{folder}/{number}.png" for folder in ("x", "y") for number in range(4)]
    rows = "".join(f"{name},{'ab'[number % 2]}\n" for number, name in enumerate(names))
    files = {name: picture(number) for number, name in enumerate(names)}

    with pytest.raises(InvalidDataset, match=r"a row has more than .* Leave it out if it labels"):
        read(write({"labels.csv": f"{header}\n{rows}".encode(), **files}))


def test_a_table_names_images_in_either_form(write, read):
    table = f"file,label\n{DECOMPOSED}.png,{DECOMPOSED}\n1.png,dog\n2.png,{COMPOSED}\n3.png,dog\n"
    names = (f"{COMPOSED}.png", "1.png", "2.png", "3.png")
    files = {name: picture(number) for number, name in enumerate(names)}
    summary, _ = read(write({"labels.csv": table.encode(), **files}))

    assert (summary.interpretation.layout.kind, summary.labels) == (
        "table",
        {COMPOSED: 2, "dog": 2},
    )


def test_an_image_without_a_suffix_is_one(write, read):
    summary, _ = read(write({**PETS, "cat/4": picture(77, "JPEG")}))

    assert summary.labels == {"cat": 5, "dog": 4}


def test_at_most_50_notes_are_listed(write, read):
    names = [f"{spelling}/1.png" for n in range(51) for spelling in (f"cat {n}", f"Cat {n}")]
    images = {name: picture(number) for number, name in enumerate(names)}

    summary, _ = read(write({**images, "__MACOSX/a.png": b"x"}))

    assert len(summary.labels) == 51
    assert len(summary.interpretation.notes) == 50


def test_every_verdict(write, read):
    photo = picture(50, "JPEG", (40, 40))
    bad = {
        "cat/empty.png": b"",
        "cat/text.jpg": b"hello",
        "cat/phone.heic": b"\0\0\0\x18ftypheic",
        "cat/half.jpg": photo[: len(photo) // 2],
        "cat/wide.png": picture(51, size=(1, 2000)),
        "cat/heavy.png": picture(52) + bytes(1 << 20),
        "cat/copy.png": PETS["cat/1.png"],
        "dog/wrong.png": PETS["cat/2.png"],
    }

    summary, records = read(write({**PETS, **bad}), image=ImageLimits(1 << 20, 1999))

    verdicts = _verdicts(records)
    assert [verdicts[name] for name in bad] == [
        *["unreadable"] * 2,
        *["truncated"] * 2,
        "too large",
        "too large",
        "duplicate",
        "same image under two labels",
    ]
    assert verdicts["cat/2.png"] == "same image under two labels"
    assert records["cat/copy.png"].detail == "duplicate of cat/1.png"
    assert records["dog/wrong.png"].detail == "also cat/2.png (cat)"
    assert "HEADSTART_MAX_IMAGE_PIXELS" in records["cat/wide.png"].detail
    assert "HEADSTART_MAX_IMAGE_BYTES" in records["cat/heavy.png"].detail
    assert {r.name: r.verdict for r in summary.rejected} == {
        name: verdict for name, verdict in verdicts.items() if verdict != "used"
    }
    assert summary.labels == {"cat": 3, "dog": 4}


def test_what_phones_and_tools_write_is_read(write, read):
    made = {
        "HEIF": "dog/phone.HEIC", "AVIF": "dog/web.avif", "PPM": "dog/face.pgm"
    }  # fmt: skip
    files = {name: picture(60 + len(name), kind, (32, 32)) for kind, name in made.items()}

    summary, records = read(write({**PETS, **files}))

    assert summary.rejected == []
    assert {records[name].format for name in files} == {"heif", "avif", "ppm"}


def test_formats_that_are_not_read_are_named_with_what_to_do(write, read):
    """By what they hold, by their suffix if that says nothing, and whatever their size."""
    unread = {
        "dog/IM000001": bytes(128) + b"DICM" + bytes(1 << 20),
        "dog/old.dcm": b"\x08\0\5\0 no preamble",
        "dog/logo.svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "dog/photo.jxl": b"\xff\x0a" + bytes(100),
        "dog/DSC_0001.NEF": picture(70, "TIFF") + bytes(1 << 20),
        "dog/really-psd.png": b"8BPS\0\1" + bytes(100),
        "dog/print.eps": b"%!PS-Adobe-3.0 EPSF-3.0",
    }
    sound = {"dog/exported.dcm": picture(71)}

    summary, records = read(write({**PETS, **unread, **sound}), image=ImageLimits(1 << 20, 1999))

    assert summary.images == 9
    assert {r.name: r.detail.partition(" is not read: ")[0] for r in summary.rejected} == {
        "dog/IM000001": "DICOM",
        "dog/old.dcm": "DICOM",
        "dog/logo.svg": "SVG",
        "dog/photo.jxl": "JPEG XL",
        "dog/DSC_0001.NEF": "Camera raw",
        "dog/really-psd.png": "PSD",
        "dog/print.eps": "EPS",
    }
    assert {r.label for r in summary.rejected} == {"dog"}
    assert all(records[name].detail.endswith("convert it to PNG or JPEG") for name in unread)


def test_a_source_without_images_is_refused_with_what_it_holds(write, read):
    scans = {f"{label}/{i}.dcm": bytes(128) + b"DICM" for label in ("a", "b") for i in range(3)}

    with pytest.raises(InvalidDataset, match=r"None of the 6 images .* DICOM is not read: convert"):
        read(write(scans))


def test_an_image_without_a_suffix_that_is_too_large_is_told(write, read):
    heavy = picture(72) + bytes(1 << 20)

    summary, _ = read(write({**PETS, "cat/heavy": heavy}), image=ImageLimits(1 << 20, 1999))

    assert [(r.name, r.verdict) for r in summary.rejected] == [("cat/heavy", "too large")]


def test_only_sound_images_are_kept(read, tmp_path):
    """Those under two labels too: the labels may be read in another way."""
    wrong = {"dog/wrong.png": PETS["cat/2.png"], "dog/text.png": b"hello"}

    summary, _ = read(write_zip(tmp_path / "pets.zip", {**PETS, **wrong}))

    stored = [path for path in (tmp_path / "dataset/images").rglob("*") if path.is_file()]
    assert (len(stored), summary.images) == (8, 7)


def test_of_copies_across_the_split_the_test_image_stays(write, read):
    files = {f"train/{name}": data for name, data in PETS.items()}
    files |= {"test/cat/t.png": PETS["cat/0.png"], "val/dog/v.png": PETS["dog/0.png"]}
    files |= {"test/dog/t.png": picture(60), "val/cat/v.png": PETS["cat/0.png"]}

    summary, records = read(write(files))

    verdicts = _verdicts(records)
    assert summary.has_split
    assert verdicts["test/cat/t.png"] == "used"
    assert verdicts["val/dog/v.png"] == "used"
    rejected = ["train/cat/0.png", "train/dog/0.png", "val/cat/v.png"]
    assert [name for name, verdict in verdicts.items() if verdict == "duplicate"] == rejected
    assert assign_splits(list(records.values()))[records["test/cat/t.png"].sha256] == "test"


def test_images_that_a_csv_does_not_name_are_unlabelled(write, read):
    table = b"file,label\n" + b"".join(b"%d,%s\n" % (i, b"ab"[i % 2 : i % 2 + 1]) for i in range(8))
    files = {f"images/{i}.png": picture(i) for i in range(9)}

    summary, records = read(write({"labels.csv": table, **files}))

    assert (summary.interpretation.layout.kind, summary.labels, summary.ignored) == (
        "table",
        {"a": 4, "b": 4},
        0,
    )
    assert records["images/8.png"].verdict == "unlabelled"


def test_files_that_a_csv_names_and_that_are_not_there_are_told(write, read):
    rows = [f"{name},{'ab'[name % 2]}" for name in range(8)]
    gone = [f"gone-{number}.png,a" for number in range(105)]
    tables = {
        "labels.csv": "\n".join(["picture,animal", *rows, *gone]).encode(),
        "colours.csv": b"98,red\n99,blue\n",
    }

    summary, records = read(write({**tables, **{f"{i}.png": picture(i) for i in range(8)}}))

    assert summary.images == len(records) == 8
    first, *_, last = summary.rejected
    assert first.model_dump() == {
        "name": "gone-0.png",
        "label": "a",
        "verdict": "missing",
        "detail": "labels.csv names it, but there is no such image",
    }
    assert len(summary.rejected) == 101
    assert (last.name, last.detail) == ("labels.csv", "names 5 more files that are not there")


def test_the_same_source_gives_the_same_records(write, read):
    source = write(PETS)

    assert read(source) == read(source)


def test_what_an_earlier_reading_left_is_replaced(read, tmp_path):
    left = tmp_path / "dataset/images/ab/abcd"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"old")

    read(write_zip(tmp_path / "pets.zip", PETS))

    assert not left.exists()


def test_what_a_killed_worker_left_is_removed(read, tmp_path):
    left = tmp_path / "dataset/.staging-1/images/ab/.abcd.1.tmp"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    (tmp_path / "dataset/.staging-1.lease").write_bytes(b"")

    read(write_zip(tmp_path / "pets.zip", PETS))

    assert not list((tmp_path / "dataset").glob(".staging-*"))


def test_what_was_read_before_survives_a_reading_that_fails(read, tmp_path):
    source = write_zip(tmp_path / "pets.zip", PETS)
    read(source)
    before = _content(tmp_path / "dataset")
    source.write_bytes(source.read_bytes()[:-300])

    with pytest.raises(InvalidDataset):
        read(source)

    assert _content(tmp_path / "dataset") == before


def _content(directory):
    return {
        path.relative_to(directory): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def test_progress_goes_up_to_its_total(write, tmp_path, limits):
    seen: list[tuple[int, int]] = []

    read_dataset(write(PETS), tmp_path / "dataset", limits, lambda *step: seen.append(step))

    assert seen == sorted(seen, key=lambda step: step[0])
    assert all(done <= total for done, total in seen)
    assert seen[-1] == (8, 8)


def test_a_cancelled_reading_leaves_nothing(write, tmp_path, limits):
    def cancel(done, total):
        if done == 5:
            raise TrainingCancelled("stop")

    with pytest.raises(TrainingCancelled):
        read_dataset(write(PETS), tmp_path / "dataset", limits, cancel)

    assert list((tmp_path / "dataset").iterdir()) == []


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "No images found in 'pets.bin': 0 files seen"),
        ({"a.txt": b"x", "b/c.md": b"y"}, "2 files seen, e.g. a.txt, b/c.md"),
        ({"cat/1.jpg": b"x", "dog/2.jpg": b"y"}, "None of the 2 images in 'pets.bin' can be used"),
    ],
)
def test_nothing_is_kept_of_a_source_without_images(write, read, tmp_path, files, message):
    source = write(files)

    with pytest.raises(InvalidDataset) as caught:
        read(source)

    assert message in caught.value.detail
    assert list((tmp_path / "dataset").iterdir()) == []


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"pets/cat/1.png": picture(1)}, "one label, 'cat', with 1 usable images"),
        ({"cat.1.png": picture(1), "cat.2.png": picture(2)}, "one label, 'cat', with 2 usable"),
        ({f"{n}.png": picture(n) for n in range(4)}, "Can't tell the labels"),
        ({"cat/1.png": picture(1), "cat/2.png": b"", "l.csv": b"file,x\n1.png"}, "one label"),
    ],
)
def test_images_are_kept_if_only_their_labels_are_missing(write, read, tmp_path, files, message):
    source = write(files)

    with pytest.raises(InvalidDataset) as caught:
        read(source)

    assert message in caught.value.detail
    records = {record.name: record for record in load_images(tmp_path / "dataset")}
    sound = {name for name, record in records.items() if record.file}
    assert records.keys() == {name for name in files if name.endswith(".png")}
    assert sound == {name for name in records if files[name]}
    assert not any(record.verdict == "used" for record in records.values())
    found = load_found(tmp_path / "dataset", records.values())
    assert found.tables == {name: data for name, data in files.items() if name.endswith(".csv")}
    assert found.in_place is source.is_dir()


def test_too_many_files_are_refused(write, read):
    with pytest.raises(TooLarge, match=r"HEADSTART_MAX_DATASET_FILES allows.* at most 7"):
        read(write(PETS), max_files=7)


def test_no_more_of_a_folder_is_listed_than_allowed(read, tmp_path, monkeypatch):
    seen = []
    kinds = folder._Walk._item

    def count(*arguments):
        seen.append(arguments)
        return kinds(*arguments)

    monkeypatch.setattr(folder._Walk, "_item", count)
    source = write_folder(tmp_path / "pets", {f"{number}.png": b"" for number in range(50)})

    with pytest.raises(TooLarge):
        read(source, max_files=7)
    assert len(seen) == 8


def test_too_many_folders_are_refused(read, tmp_path):
    source = write_folder(tmp_path / "pets", PETS)
    for number in range(8):
        (source / f"empty/{number}").mkdir(parents=True)

    with pytest.raises(TooLarge, match="HEADSTART_MAX_DATASET_FILES"):
        read(source, max_files=9)


def test_too_many_bytes_are_refused(write, read):
    with pytest.raises(TooLarge, match="HEADSTART_MAX_DATASET_BYTES"):
        read(write(PETS), max_bytes=sum(map(len, PETS.values())) - 1)


def test_memory_stays_flat(tmp_path):
    """60 MB of images pass through a few megabytes of memory."""
    padding = os.urandom(1_000_000)
    files = {f"{'cd'[i % 2]}/{i}.png": picture(i) + padding for i in range(60)}
    source = write_zip(tmp_path / "pets.zip", files, zipfile.ZIP_STORED)
    del files
    limits = DatasetLimits(1 << 30, 1000, ImageLimits(1 << 21, 1_000_000))
    tracemalloc.start()

    read_dataset(source, tmp_path / "dataset", limits, _quiet, threads=1)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000_000


def test_what_was_found_is_kept_an_image_at_a_time(tmp_path):
    """A million images are kept without their records being in memory beside what was found."""
    number = 5000
    found = Found(notes=[Note(f"{index}.png", "", 1, sha256="") for index in range(number)])
    (tmp_path / "staged").mkdir()
    tracemalloc.start()

    keep(tmp_path / "staged", tmp_path, found)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 250 * number


def settle_copies(number):
    """Settle so many copies of one picture, the last tenth of them under another label."""
    notes = [Note(f"{index}.png", "", 1, sha256="same") for index in range(number)]
    labels = [Labelled("cat" if index < 0.9 * number else "dog", None) for index in range(number)]
    return list(settle(notes, labels))


def test_many_copies_of_a_picture_under_two_labels_cost_no_more_each():
    assert cost_growth(settle_copies, 200) < 2 * FACTOR

    records = settle_copies(200)
    assert records[0].detail == "also 180.png (dog), 181.png (dog), 182.png (dog) and more"
    assert records[-1].detail == "also 0.png (cat), 1.png (cat), 2.png (cat) and more"


def test_many_tables_cost_no_more_each():
    def take(number):
        found = Found()
        for index in range(number):
            _take_table(Entry(f"{index}.csv", "", 0, lambda: nullcontext(io.BytesIO())), found)

    assert cost_growth(take, 500) < 2 * FACTOR


PEAK_OF_READING = """
import sys, tracemalloc
from pathlib import Path
from shared.images.decoding import ImageLimits
from trainer_service.datasets.scan.reader import read_dataset
from trainer_service.datasets.records import DatasetLimits

source, directory = map(Path, sys.argv[1:])
limits = DatasetLimits(1 << 30, 10_000, ImageLimits(1 << 25, 64_000_000))
tracemalloc.start()
read_dataset(source, directory, limits, lambda done, total: None)
print(tracemalloc.get_traced_memory()[1])
"""


@pytest.mark.process
def test_many_images_take_little_memory_each(tmp_path):
    """A note and a record for each, what is compared at a time, and nothing in a queue of threads.

    Measured in a process of its own: among other tests, Python's table of interned strings may grow
    just then, by megabytes.
    """
    images = 4000
    files = {f"{n % 2}/{n}.png": picture(n, size=(2, 2)) for n in range(images)}
    source = write_zip(tmp_path / "pets.zip", files)
    command = [sys.executable, "-c", PEAK_OF_READING, source, tmp_path / "dataset"]
    ended = subprocess.run(command, check=True, capture_output=True, text=True)

    assert int(ended.stdout) / images < 3500


@pytest.mark.slow
@pytest.mark.parametrize("writer", [write_zip, write_tar, write_tar_gz, None])
def test_cats_and_dogs(cats_and_dogs, writer, tmp_path):
    source = cats_and_dogs
    if writer is not None:
        files = {f"pets/{path.name}": path.read_bytes() for path in source.iterdir()}
        source = writer(tmp_path / "pets", files)
    limits = DatasetLimits(1 << 30, 10_000, ImageLimits(1 << 25, 64_000_000))

    summary = read_dataset(source, tmp_path / "dataset", limits, _quiet)

    assert (summary.images, summary.interpretation.layout.kind) == (1399, "file names")
    assert summary.labels == {"cat": 700, "dog": 699}
    splits = list(assign_splits(load_images(tmp_path / "dataset")).values())
    assert 160 < splits.count("test") < 260
    assert 160 < splits.count("validation") < 260
