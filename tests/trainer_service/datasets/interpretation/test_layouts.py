"""Layouts that data sets are downloaded and exported in: each gives the labels that it means."""

import json
import unicodedata
from collections import Counter

import pytest

from tests.support.growth import FACTOR, cost_growth
from trainer_service.datasets.interpretation.interpret import interpret
from trainer_service.datasets.interpretation.words import part_name
from trainer_service.errors import InvalidDataset
from trainer_service.requests.reading import ReadingRequest

CLASSES = ("cat", "dog")


def _read(names, tables=None, **more):
    tables = {name: _bytes(text) for name, text in (tables or {}).items()}
    return interpret(names, tables, **more)


def _bytes(text):
    return text if isinstance(text, bytes) else text.encode()


def _labels(names, found):
    return {name: image.label for name, image in zip(names, found.images, strict=True)}


def _counts(found):
    return dict(Counter((i.label, i.split) for i in found.images if i.label))


def _text(found):
    return " ".join(note.text for note in found.interpretation.notes)


def _unused(found):
    return {table.name: table for table in found.interpretation.unused}


def _class_folders(top, classes=CLASSES, number=4, suffix="jpg"):
    return [f"{top}{label}/{i}.{suffix}" for label in classes for i in range(number)]


BOTH = {(label, split): 4 for label in CLASSES for split in ("train", "test")}
ALL = BOTH | {(label, "validation"): 4 for label in CLASSES}


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_table_in_each_folder_of_the_split(suffix):
    names, tables = [], {}
    for part in ("train", "validation", "test"):
        rows = [(f"{i:04}.png", CLASSES[i % 2]) for i in range(8)]
        names += [f"{part}/{file}" for file, _ in rows]
        if suffix == "csv":
            text = "file_name,label\n" + "".join(f"{f},{label}\n" for f, label in rows)
        else:
            text = "".join(f'{{"file_name": "{f}", "label": "{label}"}}\n' for f, label in rows)
        tables[f"{part}/metadata.{suffix}"] = text

    found = _read(names, tables)

    assert _counts(found) == ALL
    assert found.interpretation.doubt == ""
    assert found.interpretation.layout.kind == "table"


def test_split_folders_that_are_doubled_and_predictions():
    names = [
        *_class_folders("seg_train/seg_train/"),
        *_class_folders("seg_test/seg_test/"),
        *(f"seg_pred/seg_pred/{i}.jpg" for i in range(9)),
    ]

    found = _read(names)

    assert _counts(found) == BOTH
    assert "9 images in seg_pred/ have no label" in _text(found)
    assert found.interpretation.splits == {
        "seg_train": "train",
        "seg_test": "test",
        "seg_pred": None,
    }
    assert found.interpretation.doubt == ""


def test_training_set_test_set_and_single_prediction():
    names = [
        *_class_folders("dataset/training_set/"),
        *_class_folders("dataset/test_set/"),
        "dataset/single_prediction/cat_or_dog_1.jpg",
        "dataset/single_prediction/cat_or_dog_2.jpg",
    ]

    found = _read(names)

    assert _counts(found) == BOTH
    assert "2 images in dataset/single_prediction/ have no label" in _text(found)


def test_names_with_prefixes_beside_unlabelled_ones_and_a_table_of_placeholders():
    names = [f"train/{label}.{i}.jpg" for label in CLASSES for i in range(6)]
    names += [f"test1/{i}.jpg" for i in range(1, 10)]
    table = "id,label\n" + "".join(f"{i},0\n" for i in range(1, 10))

    found = _read(names, {"sampleSubmission.csv": table})

    assert _counts(found) == {("cat", None): 6, ("dog", None): 6}
    assert "9 images in test1/ have no label" in _text(found)
    assert _unused(found)["sampleSubmission.csv"].columns == ["id", "label"]
    assert "placeholders" in _unused(found)["sampleSubmission.csv"].reason


def test_images_in_several_folders_and_one_table():
    rows = [
        (f"ISIC_{i:07}", ("nv", "mel", "bkl")[i % 3], 5 * (i % 9), "mf"[i % 2]) for i in range(30)
    ]
    names = [f"part_{1 + i % 2}/{image}.jpg" for i, (image, *_) in enumerate(rows)]
    table = "lesion_id,image_id,dx,dx_type,age,sex,localization\n"
    table += "".join(
        f"HAM_{i // 2},{m},{dx},histo,{a},{s},back\n" for i, (m, dx, a, s) in enumerate(rows)
    )

    found = _read(names, {"HAM10000_metadata.csv": table})

    assert _counts(found) == {("nv", None): 10, ("mel", None): 10, ("bkl", None): 10}
    assert found.interpretation.layout.image_column == "image_id"
    assert found.interpretation.layout.label_columns == ["dx"]


def test_a_table_for_training_one_without_labels_and_placeholders():
    train = {f"{i:012x}": str(i % 5) for i in range(1000, 1040)}
    test = [f"{i:012x}" for i in range(2000, 2020)]
    names = [f"train_images/{n}.png" for n in train] + [f"test_images/{n}.png" for n in test]
    tables = {
        "train.csv": "id_code,diagnosis\n" + "".join(f"{n},{d}\n" for n, d in train.items()),
        "test.csv": "id_code\n" + "".join(f"{n}\n" for n in test),
        "sample_submission.csv": "id_code,diagnosis\n" + "".join(f"{n},0\n" for n in test),
    }

    found = _read(names, tables)

    assert _labels(names, found) == {
        **{f"train_images/{n}.png": d for n, d in train.items()},
        **{f"test_images/{n}.png": "" for n in test},
    }
    assert "20 images in test_images/ have no label" in _text(found)
    assert _unused(found).keys() == {"test.csv", "sample_submission.csv"}


def test_a_column_for_each_label_in_each_folder_of_the_split():
    names, tables = [], {}
    for part in ("train", "valid", "test"):
        rows = [(f"{part}_{i}.rf.5a5f.jpg", i % 2) for i in range(8)]
        names += [f"{part}/{file}" for file, _ in rows]
        tables[f"{part}/_classes.csv"] = "filename, cat, dog\n" + "".join(
            f"{file}, {1 - dog}, {dog}\n" for file, dog in rows
        )

    found = _read(names, tables)

    assert _counts(found) == ALL
    assert found.interpretation.layout.label_columns == ["cat", "dog"]


def test_columns_of_0_and_1_without_a_header():
    names = [f"images/{i}_{side}.jpg" for i in range(8) for side in ("left", "right")]
    table = "".join(
        f"{i}_{side}," + ",".join("1" if c == i % 4 else "0" for c in range(4)) + "\n"
        for i in range(8)
        for side in ("left", "right")
    )

    found = _read(names, {"labels.csv": table})

    assert _counts(found) == {(str(label), None): 4 for label in range(4)}
    assert _labels(names, found)["images/1_left.jpg"] == "1"


def test_an_export_of_an_annotation_tool():
    names = [f"media/upload/3/{i:08x}-x{i}.jpg" for i in range(8)]
    table = "annotation_id,annotator,choice,created_at,id,image,lead_time\n" + "".join(
        f"{i},1,{CLASSES[i % 2]},2024-01-0{i + 1}T00:00:00Z,{i},/data/{name[6:]},{i}.5\n"
        for i, name in enumerate(names)
    )

    found = _read(names, {"project-3.csv": table})

    assert _counts(found) == {("cat", None): 4, ("dog", None): 4}
    assert found.interpretation.layout.label_columns == ["choice"]


def test_labels_that_unicode_writes_in_two_ways():
    names = [
        *_class_folders("train/", ("Caf\u00e9", "Bar")),
        *_class_folders("test/", ("Cafe\u0301", "Bar")),
    ]

    found = _read(names)

    assert {label for label, _ in _counts(found)} == {"Caf\u00e9", "Bar"}


def test_a_table_as_windows_writes_it():
    names = [f"{i}.jpg" for i in range(8)]
    labels = ("\u043a\u043e\u0448\u043a\u0430", "\u0441\u043e\u0431\u0430\u043a\u0430")
    text = "\u0438\u043c\u044f\t\u0436\u0438\n" + "".join(
        f"{i}.jpg\t{labels[i % 2]}\n" for i in range(8)
    )

    found = _read(names, {"\u0436.csv": text.encode("utf-16")})

    assert _counts(found) == {(label, None): 4 for label in labels}


def test_a_table_that_says_its_separator_and_a_split():
    names = [f"{i}.jpg" for i in range(12)]
    text = "sep=;\r\nfile;label;split\r\n" + "".join(
        f"{i}.jpg;{CLASSES[i % 2]};{('TRAIN', 'VALIDATION', 'TEST')[i // 4]}\r\n" for i in range(12)
    )

    found = _read(names, {"labels.csv": text})

    assert _counts(found) == dict.fromkeys(ALL, 2)
    assert found.interpretation.splits == {
        "TRAIN": "train",
        "VALIDATION": "validation",
        "TEST": "test",
    }


def test_the_same_once_more_inside_of_itself():
    inner = [
        f"{part}/{label}/{i}.jpeg"
        for part in ("train", "val", "test")
        for label in ("NORMAL", "PNEUMONIA")
        for i in range(4)
    ]
    names = [f"chest_xray/{n}" for n in inner] + [f"chest_xray/chest_xray/{n}" for n in inner]

    found = _read(names, hashes=inner * 2)

    assert len(_counts(found)) == 6
    assert sum(_counts(found).values()) == 24
    assert all(image.label for image in found.images[:24])
    assert "24 images are left out" in _text(found)
    assert found.interpretation.splits == {
        "chest_xray/train": "train",
        "chest_xray/val": "validation",
        "chest_xray/test": "test",
    }


@pytest.mark.parametrize(
    "names",
    [
        _class_folders("", ("Cat", "dog")) + _class_folders("", ("cat", "dog"), 2, "png"),
        _class_folders("", ("cat ", "dog"), 2) + _class_folders("", ("cat", "dog"), 4, "png"),
        [f"{label}_{i}.jpg" for label in ("Cat", "dog") for i in range(4)]
        + [f"{label}_{i}.jpg" for label in ("cat", "dog") for i in range(4, 6)],
    ],
)
def test_labels_that_differ_in_case_and_spaces_are_one(names):
    found = _read(names)

    assert len(_counts(found)) == 2
    assert sum(_counts(found).values()) == len(names)
    assert "are taken for one label" in _text(found)


def test_labels_may_be_kept_apart():
    names = _class_folders("", ("Cat", "cat", "dog"))

    found = _read(names, reading=ReadingRequest(merge_alike=False))

    assert {label for label, _ in _counts(found)} == {"Cat", "cat", "dog"}


def test_paths_of_another_machine():
    names = [f"images/IMG_{i:04}.jpg" for i in range(8)]
    table = "path,label\n" + "".join(
        f"/content/drive/MyDrive/photos/IMG_{i:04}.jpg,{CLASSES[i % 2]}\n" for i in range(8)
    )

    assert _counts(_read(names, {"labels.csv": table})) == {("cat", None): 4, ("dog", None): 4}


def test_folders_win_over_a_table_of_boxes():
    names = [f"train/n0{c}/n0{c}_{i}.JPEG" for c in (1440764, 1443537) for i in range(6)]
    names += [f"val/n0{c}/v_{c}_{i}.JPEG" for c in (1440764, 1443537) for i in range(2)]
    table = "ImageId,PredictionString\n" + "".join(
        f"{n.split('/')[2][:-5]},{n.split('/')[1]} {i} 70 {i + 100} 200\n"
        for i, n in enumerate(names)
        if n.startswith("train")
    )

    found = _read(names, {"LOC_train_solution.csv": table})

    assert {label for label, _ in _counts(found)} == {"n01440764", "n01443537"}
    assert _unused(found)["LOC_train_solution.csv"].columns == ["ImageId", "PredictionString"]


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        # domains that each have the same classes
        (
            [
                f"{d}/images/{c}/f_{i}.jpg"
                for d in ("amazon", "dslr")
                for c in CLASSES
                for i in range(3)
            ],
            {"cat", "dog"},
        ),
        (
            [f"fold{f}/{c}/{i}.png" for f in range(5) for c in CLASSES for i in range(3)],
            {"cat", "dog"},
        ),
        (
            [f"camera_{f}/{c}/{i}.png" for f in "ab" for c in CLASSES for i in range(3)],
            {"cat", "dog"},
        ),
        # views of each object below the class
        (
            [f"{c}/view{v}/{i}.png" for c in CLASSES for v in range(3) for i in range(3)],
            {"cat", "dog"},
        ),
        # the split below the class
        (
            [f"{c}/{p}/{i}.png" for c in CLASSES for p in ("train", "test") for i in range(3)],
            {"cat", "dog"},
        ),
        # the split in the names of the class folders
        (
            [f"{c}_{p}/{i}.png" for c in CLASSES for p in ("train", "test") for i in range(3)],
            {"cat", "dog"},
        ),
        # masks
        (
            [f"{c}/{k}/{i}.png" for c in CLASSES for k in ("images", "masks") for i in range(3)],
            {"cat", "dog"},
        ),
        (
            [f"{c}/{c} ({i}){m}.png" for c in CLASSES for m in ("", "_mask") for i in range(3)],
            {"cat", "dog"},
        ),
        # labels by number
        (
            [f"label {c}/{c}.000{i}.png" for c in range(3) for i in range(3)],
            {"label 0", "label 1", "label 2"},
        ),
        # one part far from the other
        (
            [
                f"Plants (2)/Plants (2)/{p}/{c}/{i}.JPG"
                for p in ("train", "valid")
                for c in CLASSES
                for i in range(5)
            ]
            + [f"test/test/Rust{i}.JPG" for i in range(4)],
            {"cat", "dog"},
        ),
        (
            [f"labeled/{c}/{i}.png" for c in CLASSES for i in range(5)]
            + [f"unlabeled/{i}.png" for i in range(40)],
            {"cat", "dog"},
        ),
        # classes far below
        (
            [f"a/b/{x}/{c}/{i}.png" for x in ("x",) for c in CLASSES for i in range(3)],
            {"cat", "dog"},
        ),
        # numbers as classes, in parts
        (
            [
                f"MNIST/{p}/{c}/{i}.png"
                for p in ("training", "testing")
                for c in range(3)
                for i in range(3)
            ],
            {"0", "1", "2"},
        ),
        (
            [f"trainingSet/trainingSet/{c}/{i}.png" for c in range(3) for i in range(3)]
            + [f"testSet/testSet/img_{i}.jpg" for i in range(9)],
            {"0", "1", "2"},
        ),
        (
            [f"TrainImages/{c}/{i}.png" for c in CLASSES for i in range(3)]
            + [f"ValImages/{c}/{i}.png" for c in CLASSES for i in range(3)],
            {"cat", "dog"},
        ),
        (
            [f"images/{n}_{i}.jpg" for n in ("Abyssinian", "beagle") for i in range(4)]
            + [
                f"annotations/trimaps/{n}_{i}.png"
                for n in ("Abyssinian", "beagle")
                for i in range(4)
            ],
            {"Abyssinian", "beagle"},
        ),
    ],
)
def test_folders(names, labels):
    found = _read(names)

    assert {label for label, _ in _counts(found)} == labels
    assert found.interpretation.doubt == ""


@pytest.mark.parametrize(
    "names",
    [
        [f"{p}/{i}.png" for p in ("images", "masks") for i in "ab" * 9],
        [f"part_{p}/{i}.png" for p in (1, 2) for i in range(9)],
        [f"{p}_{i}.png" for p in ("IMG", "DSC") for i in range(9)],
        [f"person {p}/{p}.png" for p in "abcdefgh"],
    ],
)
def test_a_result_that_looks_wrong_is_doubted_until_it_is_confirmed(names):
    doubted, confirmed = _read(names), _read(names, reading=ReadingRequest(confirm=True))

    assert doubted.interpretation.doubt
    assert doubted.images == confirmed.images
    assert confirmed.interpretation.doubt == ""
    assert doubted.interpretation.doubt in confirmed.interpretation.notes[0].text


@pytest.mark.parametrize(
    "names",
    [
        [f"{p}/{i}.png" for p in ("train", "test") for i in range(9)],
        [f"{p}/{i}.png" for p in ("images", "photos2") for i in range(9)],
    ],
)
def test_parts_of_a_split_are_no_labels(names):
    with pytest.raises(InvalidDataset, match="Can't tell the labels of the images"):
        _read(names)


def test_a_list_of_row_numbers_says_nothing_of_labels():
    names = _class_folders("images/", ("001.Albatross", "002.Auklet"))
    table = "".join(f"{i} {name[7:]}\n" for i, name in enumerate(names))

    found = _read(names, {"images.txt": table})

    assert found.interpretation.layout.kind == "folders"
    assert _unused(found)["images.txt"].reason.startswith("none of its columns is known")


def test_members_of_objects_in_json_lines_are_columns():
    names = [f"{i}.png" for i in range(8)]
    table = "".join(
        f'{{"image": {{"path": "{n}"}}, "label": "{"ab"[i % 2]}"}}\n' for i, n in enumerate(names)
    )

    assert _counts(_read(names, {"a.jsonl": table})) == {("a", None): 4, ("b", None): 4}


def test_tables_that_contradict_each_other_are_refused_until_one_is_chosen():
    names = [f"{i}.png" for i in range(8)]
    tables = {
        f"{t}.csv": "file,label\n"
        + "".join(f"{n},{'ab'[(i + k) % 2]}\n" for i, n in enumerate(names))
        for k, t in enumerate(("first", "second"))
    }

    with pytest.raises(InvalidDataset, match=r"second\.csv: it contradicts first\.csv, e\.g\."):
        _read(names, tables)
    chosen = _read(names, tables, reading=ReadingRequest(table="second.csv"))
    assert _labels(names, chosen)["0.png"] == "b"


@pytest.mark.parametrize(
    ("rename", "labels"),
    [
        ({"cat": "animal", "dog": "animal", "cow": "other"}, ["animal", "animal", "other"]),
        ({"cat": "dog", "dog": "cat"}, ["dog", "cat", "cow"]),
        ({"Cat": "Kitty"}, ["Kitty", "dog", "cow"]),
    ],
)
def test_labels_are_renamed_and_merged_as_asked(rename, labels):
    names = [*_class_folders("", ("cat", "dog", "cow"), 3), "Cat/9.jpg"]

    found = _read(names, reading=ReadingRequest(rename=rename))

    assert [image.label for image in found.images[::3]] == [*labels, labels[0]]


def test_a_label_to_be_renamed_has_to_be_there():
    with pytest.raises(
        InvalidDataset, match=r"reading\.rename: no label is called 'bird'.*cat, dog"
    ):
        _read(_class_folders(""), reading=ReadingRequest(rename={"bird": "x"}))


@pytest.mark.parametrize(
    ("reading", "counts"),
    [
        ({"level": 2}, {"siamese": 4, "pug": 4}),
        ({"level": -1}, {"siamese": 4, "pug": 4}),
        ({"labels": "folders", "level": 1}, {"cats": 4, "dogs": 4}),
        ({"labels": "file names"}, {"a": 4, "b": 4}),
        ({"table": "extra.csv", "columns": {"label": "colour"}}, {"red": 4, "blue": 4}),
    ],
)
def test_a_reading_that_the_user_has_chosen_holds(reading, counts):
    names = [
        f"{top}/{label}/{'ab'[i % 2]}{i}.jpg"
        for top, label in (("cats", "siamese"), ("dogs", "pug"))
        for i in range(4)
    ]
    table = "file,weight,colour\n" + "".join(
        f"{name},{i}.5,{('red', 'blue')[i % 2]}\n" for i, name in enumerate(names)
    )

    found = _read(names, {"extra.csv": table}, reading=ReadingRequest.model_validate(reading))

    assert Counter(image.label for image in found.images) == counts


def test_folders_are_ignored_and_taken_for_parts_as_asked():
    names = [*_class_folders("good/"), *_class_folders("held/"), *_class_folders("junk/")]
    reading = ReadingRequest(ignore=["junk"], splits={"good": "train", "held": "test"})

    found = _read(names, reading=reading)

    assert _counts(found) == BOTH
    assert {image.reason for image in found.images[16:]} == {"left out by the reading"}


def test_a_level_that_is_too_deep_is_refused():
    with pytest.raises(InvalidDataset, match=r"so many folders, 1 at most\. Received: 3"):
        _read(_class_folders(""), reading=ReadingRequest(level=3))


@pytest.mark.parametrize(
    ("labels", "names", "tables", "message"),
    [
        (
            "file names",
            [f"cat/{i:05}.jpg" for i in range(5)],
            {},
            (
                r"reading\.labels: no file name has a label before its number, as cat\.1\.jpg and "
                r"dog_2\.png have\. The images are called 00000\.jpg, 00001\.jpg, 00002\.jpg, …\."
            ),
        ),
        (
            "folders",
            ["cat.1.jpg", "dog.2.jpg"],
            {},
            (
                r"reading\.labels: no image lies in a folder that may be its label, as in "
                r"cat/1\.jpg\. "
                r"The images are cat\.1\.jpg, dog\.2\.jpg\. Say with reading\.level"
            ),
        ),
        ("table", ["cat/1.jpg", "dog/1.jpg"], {}, r"reading\.labels: there is no table"),
        (
            "table",
            ["cat/1.jpg", "dog/1.jpg"],
            {"a.csv": "x,y\n7,8\n"},
            r"a\.csv: none of its columns names an image of the dataset\. Say with reading\.table",
        ),
    ],
)
def test_labels_that_are_not_where_they_should_be(labels, names, tables, message):
    with pytest.raises(InvalidDataset, match=message):
        _read(names, tables, reading=ReadingRequest(labels=labels))


def test_what_users_name_costs_no_more_for_many_names():
    labels = (*CLASSES, "cow")
    names = [f"pets/{label}/{i}.jpg" for label in labels for i in range(2000)]

    def read(number):
        ignored = ["cow", *(f"some/other/folder {n}" for n in range(number))]
        splits = {f"pets/cat/{n}.jpg": "none" for n in range(number)}
        asked = ReadingRequest.model_validate({"ignore": ignored, "splits": splits})
        return _read(names, reading=asked)

    assert _counts(read(9)) == {("cat", None): 1991, ("dog", None): 2000}
    assert cost_growth(read, 100) < 2


def test_a_table_is_left_out_as_asked():
    names = _class_folders("")
    tables = {
        "extra/wrong.csv": _table(names, lambda i: CLASSES[i % 3 == 0]),
        "right.csv": _table(names),
    }
    with pytest.raises(InvalidDataset, match="contradict each other"):
        _read(names, tables)

    for pattern in ("wrong.csv", "extra", "extra/wrong.csv"):
        found = _read(names, tables, reading=ReadingRequest(ignore=[pattern]))

        assert found.interpretation.layout.tables == ["right.csv"]
        assert _unused(found)["extra/wrong.csv"].reason == "left out by the reading"


def test_of_several_columns_each_can_be_chosen():
    names = [f"{i}.jpg" for i in range(12)]
    table = "name,animal,coat,held\n" + "".join(
        f"{name},{'cat' if i % 2 else 'dog'},{'red' if i < 5 else 'blue'},{'yn'[i % 2]}\n"
        for i, name in enumerate(names)
    )

    found = _read(names, {"a.csv": table})

    said = found.interpretation
    assert "'animal', 'coat', 'held'" in said.doubt
    offered = {other.reading.as_asked(): (other.images, other.labels) for other in said.readings}
    assert offered == {
        f'{{"table":"a.csv","columns":{{"label":"{column}"}}}}': (12, 2)
        for column in ("coat", "held")
    }
    chosen = _read(names, {"a.csv": table}, reading=said.readings[0].reading)
    assert _counts(chosen) == {("red", None): 5, ("blue", None): 7}
    assert chosen.interpretation.doubt == ""


def _table(names, label=lambda i: CLASSES[i % 2], header="file,label"):
    return f"{header}\n" + "".join(f"{name},{label(i)}\n" for i, name in enumerate(names))


def test_a_value_of_the_split_that_is_to_have_no_labels_is_left_out():
    names = [f"{i}.jpg" for i in range(12)]
    parts = ("train", "test", "hidden")
    table = _table(names, lambda i: f"{CLASSES[i % 2]},{parts[i // 4]}", "file,label,split")

    found = _read(names, {"l.csv": table}, reading=ReadingRequest(splits={"hidden": "none"}))

    assert _counts(found) == dict.fromkeys(BOTH, 2)
    assert [image.label for image in found.images[8:]] == [""] * 4


@pytest.mark.parametrize("part", ["test", "none"])
def test_a_part_of_the_split_that_is_not_there_is_refused(part):
    names = [f"{i}.jpg" for i in range(12)]
    table = _table(names, lambda i: f"{CLASSES[i % 2]},{'ab'[i % 3 == 0]}", "file,label,split")
    asked = {"splits": {"a": "train", "b": "test", "c": part}}

    for missing, column in (("'a'", None), ("'c'", "split")):
        asked["columns"] = {"split": column}
        reading = ReadingRequest.model_validate(asked)
        with pytest.raises(InvalidDataset, match=rf"reading\.splits: expected .*{missing}"):
            _read(names, {"l.csv": table}, reading=reading)

    del asked["splits"]["c"]
    found = _read(names, {"l.csv": table}, reading=ReadingRequest.model_validate(asked))
    assert Counter(image.split for image in found.images) == {"train": 8, "test": 4}


@pytest.mark.parametrize("labels", ["folders", "file names"])
def test_a_table_is_named_whatever_the_user_has_chosen_instead(labels):
    names = [f"{label}/{label}_{i}.jpg" for label in CLASSES for i in range(4)]

    found = _read(names, {"l.csv": _table(names)}, reading=ReadingRequest(labels=labels))

    assert _unused(found)["l.csv"].reason.endswith("say the labels")


def test_tables_that_were_not_chosen_are_named():
    names = [f"{i}.jpg" for i in range(8)]
    tables = {"first.csv": _table(names[:4]), "second.csv": _table(names[4:])}

    found = _read(names, tables, reading=ReadingRequest(table="second.csv"))

    assert _unused(found)["first.csv"].reason == "second.csv was chosen"
    assert sum(_counts(found).values()) == 4


def test_masks_are_a_label_where_nothing_else_is():
    names = [f"{folder}/{i}.png" for folder in ("faces", "masks") for i in range(4)]

    assert set(_counts(_read(names))) == {("faces", None), ("masks", None)}


def test_a_part_whose_labels_are_not_trained_on_is_left_out_and_told():
    names = [*_class_folders("train/"), *_class_folders("test/", ("cow", "hen"))]

    found = _read(names)

    assert _counts(found) == {("cat", None): 4, ("dog", None): 4}
    assert "8 images in test/ are left out: none of their labels, e.g. 'cow', is" in _text(found)


def test_what_is_kept_of_an_interpretation_is_small_whatever_the_names_are():
    """It stands in the dataset's record."""
    long = "x" * 1000
    names = [f"{label}{long}/{i}/{long}.jpg" for label in "abcdefgh" for i in range(3)]
    header = ",".join(["file", f"label {long * 50}", *(f"{c}{long}" for c in range(20)), "split"])
    rows = (f"{n},{n[0]}{long},{',' * 19},train_{i}" for i, n in enumerate(names * 50))
    tables = {f"{t}{long}.csv": "\n".join([header, *rows]) for t in range(60)}

    found = _read(names, tables)

    assert len(found.interpretation.model_dump_json()) < 150_000
    assert len(_read(names, dict(list(tables.items())[:1])).interpretation.splits) <= 100


def test_a_table_labels_the_part_that_has_no_folders():
    names = _class_folders("tiny/train/", ("n01", "n02"))
    names += [f"tiny/val/images/val_{i}.JPEG" for i in range(6)]
    names += [f"tiny/test/images/test_{i}.JPEG" for i in range(6)]
    table = "".join(f"val_{i}.JPEG\tn0{1 + i % 2}\t0\t{i}\t44\t62\n" for i in range(6))

    found = _read(names, {"tiny/val/val_annotations.txt": table})

    assert _counts(found) == {
        **{(label, "train"): 4 for label in ("n01", "n02")},
        **{(label, "validation"): 3 for label in ("n01", "n02")},
    }
    assert found.interpretation.unused == []


def test_lists_of_images_are_the_split():
    names = [f"food/images/{name}" for name in _class_folders("")]
    tables = {
        "food/meta/train.txt": "\n".join(n[12:-4] for n in names if n[-5] in "012"),
        "food/meta/test.txt": "\n".join(n[12:-4] for n in names if n[-5] == "3"),
        "food/meta/classes.txt": "cat\ndog\n",
    }

    found = _read(names, tables)

    assert _counts(found) == {
        (label, split): number for label in CLASSES for split, number in (("train", 3), ("test", 1))
    }
    assert list(_unused(found)) == ["food/meta/classes.txt"]


def test_attributes_of_yes_and_no_are_no_labels():
    names = [f"faces/{i:06}.jpg" for i in range(20)]
    rows = (f"{i:06}.jpg,{(-1) ** i},{(-1) ** (i // 2)}" for i in range(20))
    table = "\n".join(["image_id,Smiling,Young", *rows])

    found = _read(names, {"list_attr.csv": table})

    assert {image.label for image in found.images} == {"faces"}
    assert _unused(found)["list_attr.csv"].reason.startswith("none of its columns is known")


def test_names_of_labels_count_before_their_numbers():
    names = [f"{i}.jpg" for i in range(9)]
    table = _table(
        names, lambda i: f"{i % 3},{('cat', 'dog', 'cow')[i % 3]}", "file,label,label_name"
    )

    assert {label for label, _ in _counts(_read(names, {"l.csv": table}))} == {"cat", "dog", "cow"}


def test_names_of_files_count_before_the_numbers_of_a_table():
    names = [f"images/{breed}_{i}.jpg" for breed in ("beagle", "pug") for i in range(4)]
    table = _table([n[7:] for n in names], lambda i: 1 + i // 4, "Image,CLASS-ID")

    assert {label for label, _ in _counts(_read(names, {"list.csv": table}))} == {"beagle", "pug"}


def test_images_are_named_by_addresses():
    names = [f"pics/my cat {i}.jpg" for i in range(8)]
    rows = (f"https://example.org/a/my%20cat%20{i}.jpg?size=large" for i in range(8))

    assert _counts(_read(names, {"l.csv": _table(rows)})) == {("cat", None): 4, ("dog", None): 4}


def test_a_part_of_which_hardly_any_image_has_a_label_has_none():
    names = [*_class_folders("train/"), *(f"test/{i}.jpg" for i in range(20)), "test/cat/0.jpg"]

    assert _counts(_read(names)) == {("cat", None): 4, ("dog", None): 4}


def test_a_name_of_two_parts_is_that_of_none():
    assert part_name("train_val") is None
    assert part_name("train_images") == ("train", "")


def test_columns_that_describe_images_are_no_labels():
    names = [f"{i}.jpg" for i in range(12)]
    table = _table(names, lambda i: f"{CLASSES[i % 2]},{'mf'[i // 6]},{i % 3}", "scan,what,sex,age")

    found = _read(names, {"l.csv": table})

    assert found.interpretation.layout.label_columns == ["what"]
    assert found.interpretation.doubt == ""


def test_a_folder_of_each_image_is_no_other_way():
    names = [f"{label}/scan of {label} {n}/{n}.jpg" for label in CLASSES for n in range(3)]

    assert _read(names).interpretation.readings == []


def test_lists_of_images_say_the_split_of_the_folders_that_the_user_has_chosen():
    names = _class_folders("")
    lists = {"train.txt": names[1:4] + names[5:8], "test.txt": [names[0], names[4]]}
    tables = {name: _bytes("\n".join(listed)) for name, listed in lists.items()}

    left_open, chosen = (
        _read(names, tables, reading=reading) for reading in (None, ReadingRequest(level=1))
    )

    assert chosen.has_split
    assert chosen.images == left_open.images


TWO_COLUMNS = "file,label,colour\n" + "".join(
    f"{name},{'ab'[number % 2]},{'red' if number < 5 else 'blue'}\n"
    for number, name in enumerate(_class_folders(""))
)


@pytest.mark.parametrize("column", ["colour", "column 3"])
def test_a_column_is_chosen_by_its_name_or_its_number(column):
    reading = ReadingRequest.model_validate({"columns": {"label": column}})

    found = _read(_class_folders(""), {"a.csv": _bytes(TWO_COLUMNS)}, reading=reading)

    assert _counts(found) == {("red", None): 5, ("blue", None): 3}


def test_a_column_that_no_table_has_is_refused_although_folders_say_labels():
    reading = ReadingRequest.model_validate({"columns": {"label": "color"}})

    with pytest.raises(InvalidDataset, match=r"reading\.columns\.label: .*'color'"):
        _read(_class_folders(""), {"a.csv": _bytes(TWO_COLUMNS)}, reading=reading)


@pytest.mark.parametrize("reading", [{}, {"rename": {"dog": "hound"}}])
def test_the_reading_that_is_taken_is_not_offered_as_another(reading):
    names = [f"{label}/{number}.jpg" for label in ("cat", "Cat", "dog") for number in range(3)]

    found = _read(names, reading=ReadingRequest.model_validate(reading))

    assert found.interpretation.readings == []


def test_another_reading_counts_labels_that_are_alike_once():
    names = [f"{a}/{b}/{n}.jpg" for a in ("x", "y") for b in ("cat", "Cat", "dog") for n in "123"]

    found = _read(names, reading=ReadingRequest(level=1))

    assert [(other.reading.level, other.labels) for other in found.interpretation.readings] == [
        (2, 2)
    ]


def test_parts_of_an_export_are_no_labels_whatever_they_are_called():
    names = [f"SKIN1000_images_part_{1 + i % 2}/S_{i:07}.jpg" for i in range(16)]
    table = "image_id,dx\n" + "".join(
        f"{name[-13:-4]},{CLASSES[i // 2 % 2]}\n" for i, name in enumerate(names)
    )
    assert names[0][-13:-4] == "S_0000000"

    found = _read(names, {"metadata.csv": table})

    assert found.interpretation.layout.tables == ["metadata.csv"]
    assert _read(names[:4] + names[8:], {}).interpretation.doubt


def test_folders_by_the_beginning_of_a_hash_are_no_labels():
    hashes = [f"{i % 3:x}{i % 2:x}{i % 4:x}{i * 7919 + 10**7:08x}ab" for i in range(24)]
    names = [f"train/{h[0]}/{h[1]}/{h[2]}/{h}.jpg" for h in hashes]
    table = _table(hashes, lambda i: i // 6, "id,landmark")

    found = _read(names, {"train.csv": table})

    assert found.interpretation.layout.tables == ["train.csv"]
    with pytest.raises(InvalidDataset, match="Can't tell the labels"):
        _read(names)
    digits = [f"{i % 2}/{i % 2}{i:05}.png" for i in range(12)]
    assert Counter(_labels(digits, _read(digits)).values()) == {"0": 6, "1": 6}


def test_folders_by_the_first_letter_are_no_labels():
    places = ("a/abbey", "a/airport", "b/Bakery", "c/castle")
    names = [f"SUN/{place}/sun_{i:04x}.jpg" for place in places for i in range(4)]

    found = _read(names)

    assert {image.label for image in found.images} == {"abbey", "airport", "Bakery", "castle"}
    assert "which are none" in _text(found)


def test_finer_folders_are_told_of_and_can_be_taken():
    names = [f"{p}/{i}.jpg" for p in ("Birds/202", "Birds/203", "Plants/40") for i in range(3)]

    found = _read(names)

    assert "'202' in Birds/202/0.jpg. That may be meant: level 2" in _text(found)
    asked = [_read(names, reading=ReadingRequest(level=n)) for n in (1, 2)]
    assert not any("That may be meant" in _text(found) for found in asked)
    sessions = [f"{a}/day{d}/{i}.jpg" for a in CLASSES for d in "12" for i in range(3)]
    assert _text(_read(sessions)) == ""


def test_a_list_by_spaces_keeps_labels_of_several_words():
    names = [f"images/{i:07}.jpg" for i in range(12)]
    kinds = ("Boeing 707", "Boeing 727", "A300")
    table = "# made by hand\n" + "".join(f"{i:07} {kinds[i % 3]}\n" for i in range(12))

    found = _read(names, {"images_list.txt": table})

    assert _counts(found) == {(kind, None): 4 for kind in kinds}


def test_tables_that_say_different_things_by_columns_without_names_are_doubted():
    names = [f"images/{i:07}.jpg" for i in range(12)]
    tables = {
        f"images_{kind}_{part}.txt": "".join(
            f"{i:07} {said[i % 4]}\n" for i in range(12) if (i < 8) == (part == "train")
        )
        for kind, said in (("family", "wxyz"), ("maker", "aabb"))
        for part in ("train", "test")
    }

    found = _read(names, tables)

    said = found.interpretation
    assert said.doubt.startswith("Tables say different things of the same images. images_maker_")
    [other] = [r for r in said.readings if r.reading.ignore]
    assert (other.images, other.labels) == (12, 2)
    chosen = _read(names, tables, reading=other.reading)
    assert (chosen.interpretation.doubt, chosen.has_split) == ("", True)
    assert {image.label for image in chosen.images} == {"a", "b"}


def test_a_list_of_addresses_labels_no_images():
    names = [f"images/{i}.jpg" for i in range(12)]
    tables = {
        "images.csv": _table([n[7:] for n in names], lambda i: f"http://a.b/{i}.jpg", "name,link"),
        "styles.csv": _table([n[7:-4] for n in names], lambda i: f"{'ab'[i % 2]},{'xyz'[i % 3]}",
                             "id,topCategory,subCategory"),
    }  # fmt: skip

    found = _read(names, tables)

    assert found.interpretation.layout.tables == ["styles.csv"]
    assert "'topCategory' is taken for the labels. Others could be: 'subCategory'" in _text(found)
    [other] = found.interpretation.readings
    assert other.reading.columns.label == "subCategory"


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([f"train/{i * 7919 + 10**8:09x}-{k}.jpg" for i in range(9) for k in "123"], "numbers of"),
        ([f"{chr(97 + i)}x_{k}.jpg" for i in range(20) for k in "12"], "20 labels were found"),
    ],
)
def test_numbers_of_things_in_file_names_are_doubted(names, said):
    assert said in _read(names).interpretation.doubt


def test_labels_joined_by_a_sign_are_told():
    names = [f"{i}.png" for i in range(12)]
    table = _table(names, lambda i: ("Mass", "Mass|Edema", "None")[i % 3])

    assert "'Mass|Edema' may be several labels of one image" in _text(
        _read(names, {"a.csv": table})
    )


def test_the_split_of_a_table_holds_where_folders_say_the_same_labels():
    names = _class_folders("flowers/")
    parts = ("TRAIN", "TRAIN", "VALIDATION", "TEST")
    rows = (f"{parts[i % 4]},gs://b/{name},{name.split('/')[1]}" for i, name in enumerate(names))

    found = _read(names, {"all_data.csv": "\n".join(rows)})

    assert found.has_split
    assert "The split is that of all_data.csv" in _text(found)
    assert Counter(i.split for i in found.images) == {"train": 4, "validation": 2, "test": 2}


def test_lists_that_contradict_each_other_are_no_split():
    names = _class_folders("images/")
    lists = {
        f"{part}{k}.txt": "".join(
            f"{name[7:]}\n"
            for i, name in enumerate(names)
            if ((i + k) % 4 == 0) == (part == "test")
        )
        for part in ("train", "test")
        for k in (1, 2)
    }

    found = _read(names, lists)

    assert not found.has_split
    assert "put the same image in two parts of the split" in _text(found)
    short = _read(names, {"train.txt": lists["train1.txt"]})
    assert not short.has_split
    assert "train.txt list images, but not all" in _text(short)


@pytest.mark.parametrize("form", ["{}", "./{}", "/home/me/my data/{}"])
@pytest.mark.parametrize("below", ["", "images/"])
def test_lists_of_names_with_spaces_are_the_split(form, below):
    labels = ("great dane", "no dog", "cat")
    names = [f"pets/{a}/{below}{k}{i}.jpg" for k, a in enumerate(labels) for i in range(4)]
    lists = {
        f"{part}.txt": "".join(
            f"{form.format(name[5:])}\n"
            for i, name in enumerate(names)
            if (i % 4 == 0) == (part == "test")
        )
        for part in ("train", "test")
    }

    found = _read(names, lists)

    assert {image.label for image in found.images} == set(labels)
    assert Counter(image.split for image in found.images) == {"train": 9, "test": 3}


def test_a_list_whose_letters_are_written_apart_is_read():
    names = [f"Kätzchen/{i}.jpg" for i in range(4)] + [f"Hündin/{i}.jpg" for i in range(4)]
    table = _table([unicodedata.normalize("NFD", name) for name in names])

    assert len(_counts(_read(names, {"labels.csv": table}))) == 2
    found = _read(names, {"labels.csv": table})
    assert found.interpretation.layout.tables == ["labels.csv"]


def test_a_table_names_all_copies_of_a_picture():
    names = [f"{p}_images/{i}.jpg" for p in ("SKIN", "skin") for i in range(8)]
    table = _table([f"{i}" for i in range(8)], header="image_id,dx")

    found = _read(names, {"metadata.csv": table}, hashes=[name[-5] for name in names])

    assert _counts(found) == {(label, None): 8 for label in CLASSES}
    others = _read(names, {"metadata.csv": table}, hashes=[f"{i}" for i in range(16)])
    assert "several images are called so" in _unused(others)["metadata.csv"].reason


def test_names_of_data_sets_are_no_labels():
    names = [f"pets_dataset/pets_dataset/{label}/pic_{i}.jpg" for label in CLASSES for i in "12345"]
    names += [f"kaggle_pets_testset/{label}_{i}.jpg" for label in CLASSES for i in "123"]

    assert "look like the names of folders" in _read(names).interpretation.doubt


def test_what_cameras_call_a_few_images_is_told():
    names = [f"{label}_{i}.jpg" for label in (*CLASSES, "IMG") for i in range(4)]

    found = _read(names)

    assert found.interpretation.doubt == ""
    assert "'IMG' may be no label, but what cameras call any image." in _text(found)


def test_folders_win_over_a_list_of_one_label_and_more():
    names = _class_folders("images/")
    table = "".join(
        f"{n[7:]} {n.split('/')[1]}{' grid' if i % 4 == 0 else ''}\n" for i, n in enumerate(names)
    )

    assert _counts(_read(names, {"labels_joint.txt": table})) == {(c, None): 4 for c in CLASSES}


def test_many_labels_cost_no_more_each():
    def read(number):
        return _read([f"pets/label {n}/{i}.jpg" for n in range(number) for i in "12"])

    assert cost_growth(read, 100) < 2 * FACTOR


@pytest.mark.parametrize("inner", ["cells/cat", "cells/sub/cat"])
def test_a_folder_that_holds_the_other_labels_is_doubted(inner):
    """As where an archive holds its own folder once more, with other images in it."""
    names = [*_class_folders(""), *_class_folders("cells/"), *_class_folders("cells/sub/")]

    found = _read(names)

    assert "'cells' is taken for a label" in found.interpretation.doubt
    assert _counts(_read(names, reading=ReadingRequest(confirm=True)))
    [right] = [r.reading for r in found.interpretation.readings if r.reading.level == -1]
    sound = _read(names, reading=right)
    assert (sound.interpretation.doubt, set(_labels(names, sound).values())) == ("", {*CLASSES})


@pytest.mark.parametrize(
    ("train", "other", "part"),
    [
        ("horse-or-human", "validation-horse-or-human", "validation"),
        ("rps", "rps-test-set", "test"),
        ("Pets dataset", "pets_val", "validation"),
    ],
)
def test_beside_a_part_of_the_split_its_namesake_is_for_training(train, other, part):
    found = _read([*_class_folders(f"{train}/"), *_class_folders(f"{other}/")])

    assert _counts(found) == {(label, s): 4 for label in CLASSES for s in ("train", part)}
    assert found.interpretation.splits == {train: "train", other: part}


@pytest.mark.parametrize("beside", ["cars", "scissors"])
def test_beside_a_part_of_the_split_others_are_not_for_training(beside):
    names = [*_class_folders(f"{beside}/"), *_class_folders("rps-test-set/")]

    assert not _read(names).has_split


def test_a_table_that_says_the_split_alone_is_taken_for_it():
    names = [f"{i}.jpg" for i in range(12)]
    labels = "filename,label\n" + "".join(f"{i}.jpg,{CLASSES[i % 2]}\n" for i in range(12))
    parts = "".join(f"{i}.jpg,{'test' if i < 4 else 'train'}\n" for i in range(12))

    found = _read(names, {"labels.csv": labels, "splits.csv": f"filename,split\n{parts}"})

    assert _counts(found) == {(c, s): n for c in CLASSES for s, n in (("train", 4), ("test", 2))}
    assert "The split is that of splits.csv" in _text(found)
    half = "\n".join(parts.split("\n")[:6])
    some = _read(names, {"labels.csv": labels, "splits.csv": f"filename,split\n{half}\n"})
    assert not some.has_split
    assert "splits.csv list images, but not all" in _text(some)


def test_images_in_no_part_of_the_split_are_told():
    """As the icons that a set of traffic signs has beside its photographs."""
    names = [*_class_folders("Train/"), *_class_folders("Test/"), "Meta/0.jpg", "Meta/1.jpg"]
    table = "ClassId,Path\n"
    tables = {
        f"{part}.csv": table
        + "".join(f"{n.split('/')[-2]},{n}\n" for n in names if n.startswith(part))
        for part in ("Train", "Test")
    }
    tables["Meta.csv"] = table + "cat,Meta/0.jpg\ndog,Meta/1.jpg\n"

    found = _read(names, tables)

    assert "2 images are in no part of the split, e.g. Meta/0.jpg, Meta/1.jpg" in _text(found)
    assert "no part" not in _text(_read(names[:-2]))


def test_tables_of_findings_that_are_often_unsure_are_not_labels():
    """Columns of 1, 0, -1 and nothing, several of which may be 1, say no label by themselves."""
    names = [f"train/patient{i:05}/study1/view1.jpg" for i in range(9)]
    names += [f"valid/patient1{i}/study1/view1.jpg" for i in range(4)]
    train = "Path,Edema,Pneumonia\n" + "".join(
        f"{name},{('1.0', '', '0.0')[i % 3]},{('', '1.0', '-1.0')[i % 3]}\n"
        for i, name in enumerate(names[:9])
    )
    valid = "Path,Edema,Pneumonia\n" + "".join(
        f"{name},{i % 2}.0,{1 - i % 2}.0\n" for i, name in enumerate(names[9:])
    )

    found = _read(names, {"train.csv": train, "valid.csv": valid})

    assert set(_labels(names, found).values()) == {"", "Edema", "Pneumonia"}
    assert found.interpretation.doubt.startswith("Only 4 of 13 images have a label")


def test_a_table_whose_labels_only_its_values_tell_is_not_added_to_one_that_names_them():
    names = [f"{i}.jpg" for i in range(12)]
    named = "image,species\n" + "".join(f"{i}.jpg,{CLASSES[i % 2]}\n" for i in range(8))
    other = "image,code,colour\n" + "".join(f"{i}.jpg,x{i},{'rb'[i % 2]}\n" for i in range(8, 12))

    found = _read(names, {"a.csv": named, "b.csv": other})

    assert set(_labels(names, found).values()) == {"", *CLASSES}
    assert "by the names of its columns" in _unused(found)["b.csv"].reason


def test_the_keys_of_json_name_the_columns():
    names = [f"im/{i}.jpg" for i in range(12)]
    lines = "".join(
        json.dumps(
            {
                "imageGcsUri": f"gs://b/{name}",
                "says": {"displayName": CLASSES[i % 2]},
                "resource": {"googleapis.com/ml_use": ("training", "test")[i > 7]},
            }
        )
        + "\n"
        for i, name in enumerate(names)
    )

    found = _read(names, {"export.jsonl": lines})

    assert found.interpretation.layout.label_columns == ["says.displayName"]
    assert found.interpretation.layout.image_column == "imageGcsUri"


def test_folders_in_those_of_the_labels_are_told_however_deep():
    deep = [
        f"a/b/c/{label}/SOB/{kind}/{i}.png"
        for label, kinds in (("benign", ("adenosis", "fibroma")), ("malignant", ("duct", "lobe")))
        for kind in kinds
        for i in range(4)
    ]
    same = [f"{a}/char{k}/{i}.png" for a in ("Latin", "Greek") for k in (1, 2) for i in range(4)]

    assert "'adenosis' in a/b/c/benign/SOB/adenosis/0.png" in _text(_read(deep))
    assert "others in them, e.g. 'char1' in Latin/char1/0.png" in _text(_read(same))
    assert _text(_read(_class_folders(""))) == ""
