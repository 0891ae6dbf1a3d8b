"""A clean data set in any of the forms that people give it: the same labels come back."""

import codecs
import hashlib
import json
import unicodedata

from hypothesis import given, settings
from hypothesis import strategies as st

from trainer_service.datasets.interpretation.interpret import interpret

LABELS = st.lists(
    st.sampled_from(
        ["cat", "dog", "great dane", "Kätzchen", "hot_dog", "0", "7", "n01440764", "no finding"]
    ),
    min_size=2,
    max_size=4,
    unique=True,
)
SPLITS = st.sampled_from(
    [
        ("train", "test"),
        ("training_set", "test_set"),
        ("seg_train/seg_train", "seg_test/seg_test"),
        ("Train", "Valid"),
        ("TrainImages", "ValImages"),
        ("data/train", "data/val"),
        ("train/images", "test/images"),
        ("trainingSet", "testSet"),
        ("01_training", "02_testing"),
        ("TRAIN-DATA", "EVAL-DATA"),
        ("train images (1)", "test images (1)"),
        ("pets_train", "pets_val"),
        ("split/training", "split/validation"),
        ("Training Data", "Testing Data"),
        ("trn", "tst"),
    ]
)
WRAPPERS = st.sampled_from(["", "pets/", "archive/dataset/", "images/", "Pets (1)/Pets (1)/"])
#: Folders that images are spread over, whatever they show.
HEAPS = st.sampled_from(
    [
        ("part_1", "part_2"),
        ("images_001", "images_002"),
        ("PETS2019_images_part_1", "PETS2019_images_part_2"),
        ("batch-a", "batch-b"),
        ("day 1", "day 2"),
        ("camera1", "camera2"),
    ]
)
#: Columns that say something else of an image, each by its number.
OTHERS = {
    "age": lambda number: str(20 + number % 3),
    "sex": lambda number: ("male", "female")[number % 2],
    "": str,
    "width": lambda _: "640",
    "confidence": lambda number: f"0.{number + 11}",
    "patient_id": lambda number: f"p{number // 2}",
    "note": lambda number: (
        f"seen on a walk of {number} miles through the woods by the old mill; fine"
    ),
    "url": lambda number: f"https://a.example/{number}",
}


class DataSet:
    """Images with the label that each really has; None for those that have none.

    Attributes:
        splits: the part of each image, where the data set says so.
        hashes: those of images that are there twice.
    """

    def __init__(self, labels, number=6):
        self.labels = labels
        self.images = {
            f"{label}/IMG_{k}{i:03}.jpg": label
            for k, label in enumerate(labels)
            for i in range(number)
        }
        self.splits = {}
        self.hashes = {}
        self.tables = {}

    def moved(self, move):
        names = {name: move(number, name) for number, name in enumerate(self.images)}
        self.images = {names[name]: label for name, label in self.images.items()}
        self.splits = {names[name]: split for name, split in self.splits.items()}
        self.hashes = {names[name]: digest for name, digest in self.hashes.items()}

    def split(self, first, second):
        """Put every third image into the second of two folders; the first is to train on."""
        is_test = "test" in second.lower() or "tst" in second.lower()
        parts = ("test" if is_test else "validation", "train", "train")
        self.splits = {name: parts[number % 3] for number, name in enumerate(self.images)}
        self.moved(lambda number, name: f"{first if number % 3 else second}/{name}")


def in_folders(draw, data):
    """Leave the class folders, below those of a split or of heaps, or above folders of images."""
    if draw(st.booleans()):
        data.moved(lambda _, name: name.replace("/", "/images/"))
    kind = draw(st.sampled_from(["plain", "split", "heaps", "lists"]))
    if kind == "split":
        data.split(*draw(SPLITS))
    elif kind == "heaps":
        heaps = draw(HEAPS)
        data.moved(lambda number, name: f"{heaps[number % 2]}/{name}")
    elif kind == "lists":
        form = draw(st.sampled_from(["{}", "./{}", "/home/me/{}"]))
        data.splits = {n: ("test", "train", "train")[k % 3] for k, n in enumerate(data.images)}
        for part in ("train", "test"):
            lines = [form.format(name) for name, split in data.splits.items() if split == part]
            data.tables[f"meta/{part}.txt"] = ",\n".join(lines).replace(",", "").encode()


def in_file_names(draw, data):
    form = draw(
        st.sampled_from(["{label}.{number}.jpg", "{label}_{number}.png", "{label} ({number}).jpg"])
    )
    if any(label.isdigit() or label[-1].isdigit() for label in data.labels):
        form = "{label}.{number}.jpg"
    data.moved(lambda number, name: form.format(label=name.split("/")[0], number=number))
    kind = draw(st.sampled_from(["plain", "split", "heaps"]))
    if kind == "split":
        data.split(*draw(SPLITS))
    elif kind == "heaps":
        heaps = draw(HEAPS)
        data.moved(lambda number, name: f"{heaps[number % 2]}/{name}")


#: How tables call an image, given its path.
FORMS = {
    "path": lambda name: name,
    "file": lambda name: name.rpartition("/")[2],
    "stem": lambda name: name.rpartition("/")[2].removesuffix(".jpg"),
    "elsewhere": lambda name: f"/content/drive/x/{name.rpartition('/')[2]}",
    "windows": lambda name: f"C:\\data\\{name.rpartition('/')[2]}",
    "capitals": lambda name: name.rpartition("/")[2].upper(),
    "address": lambda name: f"https://a.example/{name}?size=1",
}


def in_a_table(draw, data):
    columns = draw(
        st.sampled_from(
            [("file", "label"), ("image_id", "dx"), ("Image Path", "Class"), ("ID", "species")]
        )
    )
    heaps = draw(
        st.one_of(HEAPS, st.sampled_from([("", ""), ("images", "images"), ("media/upload",) * 2]))
    )
    data.moved(lambda number, name: f"{heaps[number % 2]}/{number:05x}a.jpg".lstrip("/"))
    called = FORMS[draw(st.sampled_from(sorted(FORMS)))]
    titles, rows = list(columns), [[called(name), label] for name, label in data.images.items()]
    with_other_columns(draw, data, titles, rows)
    kind = draw(
        st.sampled_from(["csv", "semicolons", "bars", "tsv", "utf-16", "bom", "jsonl", "one-hot"])
    )
    if kind == "jsonl":
        lines = [json.dumps(dict(zip(titles, row, strict=True))) for row in rows]
        data.tables["labels.jsonl"] = "\n".join(lines).encode()
    elif kind == "one-hot":
        data.splits = {}
        data.tables["labels.csv"] = one_hot(data, columns[0], called)
    else:
        name = draw(st.sampled_from(["labels.csv", "data/train_labels.csv"]))
        data.tables[name] = delimited([titles, *rows], kind)


def with_other_columns(draw, data, titles, rows):
    """Add columns that are not the label's to a table, and maybe that of the split."""
    others = draw(st.lists(st.sampled_from(sorted(OTHERS)), max_size=3, unique=True))
    if draw(st.booleans()):
        data.splits = {n: ("test", "train", "train")[k % 3] for k, n in enumerate(data.images)}
        titles.append(draw(st.sampled_from(["split", "data set", "Subset"])))
        for row, split in zip(rows, data.splits.values(), strict=True):
            row.append(split.upper())
    for title in others:
        place = draw(st.integers(0, len(titles)))
        titles.insert(place, title)
        for number, row in enumerate(rows):
            row.insert(place, OTHERS[title](number))


def one_hot(data, title, called):
    """Return a table with a column for each label."""
    rows = [
        [called(file), *("01"[said == label] for said in data.labels)]
        for file, label in data.images.items()
    ]
    return "\n".join(map(",".join, [[title, *data.labels], *rows])).encode()


def delimited(rows, kind):
    """Return a table with a character between its cells, as one of several programs writes it."""
    between = {"csv": ",", "semicolons": ";", "bars": "|", "bom": ","}.get(kind, "\t")
    quoted = [[f'"{cell}"' if between in cell else cell for cell in row] for row in rows]
    encoding = {"utf-16": "utf-16", "bom": "utf-8-sig"}.get(kind, "utf-8")
    return "\n".join(map(between.join, quoted)).encode(encoding)


def wrapped(draw, data):
    wrapper = draw(WRAPPERS)
    data.moved(lambda _, name: wrapper + name)
    data.tables = {wrapper + name: table for name, table in data.tables.items()}


def with_other_spelling(draw, data):
    """One image in five spells its label otherwise, in folders that do not hold others."""
    label = data.labels[0]
    other = draw(
        st.sampled_from(
            [str.upper, str.title, lambda text: f"{text} ", lambda text: text.replace(" ", "  ")]
        )
    )
    if not data.tables and len(label) > 1:
        data.moved(
            lambda number, name: (
                name.replace(f"{label}/", f"{other(label)}/") if number % 5 == 0 else name
            )
        )


def with_other_unicode(_, data):
    """Tables as macOS writes names: letters and their marks apart."""
    for name, table in data.tables.items():
        encoding = "utf-16" if table.startswith(codecs.BOM_UTF16) else "utf-8"
        data.tables[name] = unicodedata.normalize("NFD", table.decode(encoding)).encode(encoding)


def with_masks(draw, data):
    if not data.tables:
        masks = {f"{name.rpartition('.')[0]}_mask.png": None for name in list(data.images)}
        data.images |= masks


def with_a_copy(draw, data):
    """The whole of it once more, in a folder of its own."""
    if data.tables or not all("/" in name for name in data.images):
        return
    again = {f"again/{name}": None for name in data.images}
    for name in data.images:
        data.hashes[name] = data.hashes[f"again/{name}"] = hashlib.sha256(name.encode()).hexdigest()
    data.images |= again


def with_placeholders(draw, data):
    """A test set without labels, and a table of what answers should look like."""
    if data.tables or not any("train/" in name for name in data.images):
        return
    data.images |= {f"test1/{i}.jpg": None for i in range(1, 9)}
    text = "id,label\n" + "".join(f"{i},0\n" for i in range(1, 9))
    data.tables["sample_submission.csv"] = text.encode()


@st.composite
def data_sets(draw):
    data = DataSet(draw(LABELS))
    draw(st.sampled_from([in_folders, in_folders, in_file_names, in_a_table]))(draw, data)
    for change in (
        with_other_spelling,
        with_other_unicode,
        with_masks,
        with_a_copy,
        with_placeholders,
        wrapped,
    ):
        if draw(st.booleans()):
            change(draw, data)
    return data


@settings(max_examples=300, deadline=None)
@given(data_sets())
def test_the_labels_come_back_and_nothing_is_doubted(data):
    names = sorted(data.images)

    found = interpret(names, data.tables, [data.hashes.get(name, "") for name in names])

    said = found.interpretation
    doubts = said.doubt or [note for note in said.notes if note.kind == "doubt"]
    right = {name: data.images[name] or "" for name in names}
    read = {name: image.label for name, image in zip(names, found.images, strict=True)}
    labels = {name: _form(read[name]) for name in names} == {
        name: _form(label) for name, label in right.items()
    }
    splits = {name: image.split for name, image in zip(names, found.images, strict=True)}
    split = all(splits[name] == part for name, part in data.splits.items())
    assert labels, (right, read, said)
    assert split, (data.splits, splits, said)
    assert not doubts, said


def _form(label):
    return " ".join(unicodedata.normalize("NFC", label).casefold().split())
