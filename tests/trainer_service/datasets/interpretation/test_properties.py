"""A clean data set in any of the forms that people give it: the same labels come back."""

import json

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
    ]
)
WRAPPERS = st.sampled_from(["", "pets/", "archive/dataset/", "images/", "Pets (1)/Pets (1)/"])


class DataSet:
    """Images with the label that each really has; None for those that have none."""

    def __init__(self, labels, number=6):
        self.labels = labels
        self.images = {
            f"{label}/IMG_{k}{i:03}.jpg": label
            for k, label in enumerate(labels)
            for i in range(number)
        }
        self.tables = {}

    def moved(self, move):
        self.images = {
            move(number, name): self.images[name] for number, name in enumerate(self.images)
        }


def in_folders(draw, data):
    """Leave the class folders, below those of a split or not."""
    if draw(st.booleans()):
        first, second = draw(SPLITS)
        data.moved(lambda number, name: f"{first if number % 3 else second}/{name}")


def in_file_names(draw, data):
    form = draw(st.sampled_from(["{label}.{number}.jpg", "{label}_{number}.png"]))
    if any(label.isdigit() or label[-1].isdigit() for label in data.labels):
        form = "{label}.{number}.jpg"
    data.moved(lambda number, name: form.format(label=name.split("/")[0], number=number))
    if draw(st.booleans()):
        first, second = draw(SPLITS)
        data.moved(lambda number, name: f"{first if number % 3 else second}/{name}")


def in_a_table(draw, data):
    columns = draw(
        st.sampled_from([("file", "label"), ("image_id", "dx"), ("Image Path", "Class")])
    )
    folder = draw(st.sampled_from(["", "images/", "part_1/", "media/upload/"]))
    data.moved(lambda number, name: f"{folder}{number:05x}a.jpg")
    forms = {
        "path": lambda name: name,
        "file": lambda name: name.rpartition("/")[2],
        "stem": lambda name: name.rpartition("/")[2].removesuffix(".jpg"),
        "elsewhere": lambda name: f"/content/drive/x/{name.rpartition('/')[2]}",
        "windows": lambda name: f"C:\\data\\{name.rpartition('/')[2]}",
    }
    called = forms[draw(st.sampled_from(sorted(forms)))]
    rows = [(called(name), label) for name, label in data.images.items()]
    kind = draw(st.sampled_from(["csv", "semicolons", "tsv", "utf-16", "jsonl", "one-hot"]))
    if kind == "jsonl":
        lines = [json.dumps(dict(zip(columns, row, strict=True))) for row in rows]
        data.tables["labels.jsonl"] = "\n".join(lines).encode()
    elif kind == "one-hot":
        lines = [",".join([columns[0], *data.labels])]
        lines += [
            ",".join([f, *("01"[said == label] for said in data.labels)]) for f, label in rows
        ]
        data.tables["labels.csv"] = "\n".join(lines).encode()
    else:
        between = {"csv": ",", "semicolons": ";"}.get(kind, "\t")
        lines = [between.join(row) for row in [columns, *rows]]
        encoding = "utf-16" if kind == "utf-16" else "utf-8"
        data.tables[draw(st.sampled_from(["labels.csv", "data/train_labels.csv"]))] = "\n".join(
            lines
        ).encode(encoding)


def wrapped(draw, data):
    wrapper = draw(WRAPPERS)
    data.moved(lambda _, name: wrapper + name)
    data.tables = {wrapper + name: table for name, table in data.tables.items()}


def with_other_spelling(draw, data):
    """One image in five spells its label in capital letters, in folders that do not hold others."""
    label = data.labels[0]
    if not data.tables and len(label) > 1:
        data.moved(
            lambda number, name: (
                name.replace(f"{label}/", f"{label.upper()}/") if number % 5 == 0 else name
            )
        )


def with_masks(draw, data):
    if not data.tables:
        masks = {f"{name.rpartition('.')[0]}_mask.png": None for name in list(data.images)}
        data.images |= masks


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
    for change in (with_other_spelling, with_masks, with_placeholders, wrapped):
        if draw(st.booleans()):
            change(draw, data)
    return data


@settings(max_examples=300, deadline=None)
@given(data_sets())
def test_the_labels_come_back_or_doubts_are_told(data):
    names = sorted(data.images)

    found = interpret(names, data.tables)

    said = found.interpretation
    doubts = said.doubt or [note for note in said.notes if note.kind == "doubt"]
    right = {name: data.images[name] or "" for name in names}
    read = {name: image.label for name, image in zip(names, found.images, strict=True)}
    partition = {name: read[name].casefold() for name in names} == {
        name: label.casefold() for name, label in right.items()
    }
    assert partition or doubts, (right, read, said)
