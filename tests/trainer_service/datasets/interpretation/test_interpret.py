"""Every way to say what an image shows, and the ways that say nothing."""

import codecs
import re

import pytest

from shared.errors import TooLarge
from trainer_service.datasets.interpretation.interpret import interpret
from trainer_service.datasets.interpretation.ways import prefix_label
from trainer_service.errors import InvalidDataset


def _find(names, **tables):
    tables = {f"{name}.csv": text.encode() for name, text in tables.items()}
    found = interpret(names, tables)
    return found.interpretation.layout.kind, [image.label for image in found.images]


def _splits(names, tables=None):
    found = interpret(names, tables or {})
    return found.has_split, [image.split for image in found.images]


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("cat.123.jpg", "cat"),
        ("dog_12.png", "dog"),
        ("3.0123.png", "3"),
        ("cat-7.jpg", "cat"),
        ("cat7.jpg", "cat"),
        ("cat (7).jpg", "cat"),
        ("great dane 12.jpg", "great dane"),
        ("great_dane_12.jpg", "great_dane"),
        ("covid-19_0004.png", "covid-19"),
        ("7_12.png", "7"),
        ("Katze.1.JPG", "Katze"),
        ("0123.png", ""),
        ("cat.jpg", ""),
        ("_1.jpg", ""),
        ("1.jpg", ""),
    ],
)
def test_the_prefix_of_a_file_name(name, label):
    assert prefix_label(name) == label


@pytest.mark.parametrize(
    ("names", "layout", "labels"),
    [
        (["cat/1.jpg", "dog/2.jpg"], "folders", ["cat", "dog"]),
        (["pets/cat/1.jpg", "pets/dog/2.jpg"], "folders", ["cat", "dog"]),
        (["a/b/cat/1.jpg", "a/b/dog/2.jpg"], "folders", ["cat", "dog"]),
        (["cat/x/1.jpg", "cat/y/z/2.jpg", "dog/3.jpg"], "folders", ["cat", "cat", "dog"]),
        (["cat/dog.1.jpg", "dog/cat.2.jpg"], "folders", ["cat", "dog"]),
        (["test/1.jpg", "dog/2.jpg"], "folders", ["test", "dog"]),
        (["test/1.jpg", "val/2.jpg"], "folders", ["test", "val"]),
        (["cat.1.jpg", "dog.1.jpg"], "file names", ["cat", "dog"]),
        (["pets/cat.1.jpg", "pets/dog.1.jpg"], "file names", ["cat", "dog"]),
        (["train/cat.1.jpg", "train/dog.1.jpg"], "file names", ["cat", "dog"]),
        (["pets/cat/1.jpg", "pets/cat/2.jpg"], "folders", ["cat", "cat"]),
        (["A/1.png", "a/1.png"], "folders", ["A", "a"]),
    ],
)
def test_folders_and_prefixes(names, layout, labels):
    assert _find(names) == (layout, labels)
    assert _splits(names)[0] is False


@pytest.mark.parametrize("names", [["train", "val", "test"], ["Training", "VALID", "Testing"]])
@pytest.mark.parametrize("top", ["", "pets/"])
@pytest.mark.parametrize("below", ["cat/1.jpg dog/1.jpg", "cat.1.jpg dog.1.jpg"])
def test_a_split_at_the_top_is_kept(names, top, below):
    paths = [f"{top}{name}/{path}" for name in names for path in below.split()]

    found = interpret(paths, {})

    assert found.has_split
    assert [image.label for image in found.images] == ["cat", "dog"] * 3
    splits = [image.split for image in found.images]
    assert splits == ["train"] * 2 + ["validation"] * 2 + ["test"] * 2


def test_a_folder_around_the_labels_inside_of_the_split_is_left_out():
    paths = [f"{s}/images/{label}/1.jpg" for s in ("train", "test") for label in ("cat", "dog")]

    assert _find(paths) == ("folders", ["cat", "dog"] * 2)


@pytest.mark.parametrize("stray", ["logo.png", "pets.1.png", "remarks/1.png"])
def test_a_few_images_beside_a_split_are_unlabelled(stray):
    """They do not make labels of `train` and `test`."""
    paths = [
        f"{part}/images/{label}/{number}.jpg"
        for part in ("train", "test")
        for label in ("cat", "dog")
        for number in range(5)
    ]

    assert _find([*paths, stray]) == ("folders", (["cat"] * 5 + ["dog"] * 5) * 2 + [""])
    assert _splits([*paths, stray])[1] == ["train"] * 10 + ["test"] * 10 + [None]


def test_more_images_beside_a_split_are_refused():
    paths = ["train/cat/1.jpg", "Test/dog/2.jpg", "bird/3.jpg", "4.jpg"]

    with pytest.raises(InvalidDataset) as caught:
        interpret(paths, {})

    assert "The folders Test, train look like the parts of a split" in caught.value.detail
    assert "2 images lie beside them (e.g. bird/3.jpg, 4.jpg)" in caught.value.detail


def test_a_label_may_be_called_train():
    assert _find(["train/1.jpg", "bus/2.jpg"]) == ("folders", ["train", "bus"])


@pytest.mark.parametrize("names", [("train", "dev"), ("training_set", "test_set")])
def test_other_names_of_the_parts_are_known(names):
    paths = [f"{name}/{label}/1.jpg" for name in names for label in ("cat", "dog")]

    assert _find(paths) == ("folders", ["cat", "dog"] * 2)
    assert _splits(paths)[0]


def test_train_alone_is_no_split():
    assert _splits(["train/cat/1.jpg", "train/dog/1.jpg"]) == (False, [None, None])


def test_labels_that_differ_in_case_between_the_parts_are_one():
    paths = ["train/Cat/1.jpg", "train/Dog/1.jpg", "test/cat/1.jpg", "test/DOG/1.jpg"]

    assert _find(paths)[1] == ["Cat", "Dog", "Cat", "Dog"]


def test_a_few_images_that_do_not_fit_are_unlabelled():
    names = [f"cat/{i}.jpg" for i in range(10)] + [f"dog/{i}.jpg" for i in range(9)] + ["x.jpg"]

    assert _find(names) == ("folders", ["cat"] * 10 + ["dog"] * 9 + [""])


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["cat/1.jpg", "dog/2.jpg", "bird.jpg"], "2 in folders (e.g. cat/1.jpg, dog/2.jpg)"),
        (["cat/1.jpg", "dog/2.jpg", "bird.jpg"], "1 with neither (e.g. bird.jpg)"),
        (["cat/1.jpg", "dog/2.jpg", "bird.3.jpg"], "1 with a label in the file name"),
        (["train/cat/1.jpg", "test/dog/2.jpg", "train/x.jpg"], "2 in folders"),
        (["tom.jpg", "rex.jpg"], "2 with neither (e.g. tom.jpg, rex.jpg)"),
    ],
)
def test_a_mixture_is_refused(names, found):
    with pytest.raises(InvalidDataset) as caught:
        interpret(names, {})

    assert found in caught.value.detail
    assert "a folder per label (cat/1.jpg" in caught.value.detail


IMAGES = ["images/1.jpg", "images/2.jpg", "images/3.png"]


@pytest.mark.parametrize(
    "text",
    [
        "file,label\n1.jpg,cat\n2.jpg,dog\n3.png,cat\n",
        "label,filename\ncat,1.jpg\ndog,2.jpg\ncat,3.png\n",
        "Image Path;Class\nimages/1.jpg;cat\nimages/2.jpg;dog\nimages/3.png;cat\n",
        "image\tcategory\n1\tcat\n2\tdog\n3\tcat\n",
        "id,breed\n1,cat\n2,dog\n3,cat\n",
        "1.jpg,cat\n2.jpg,dog\n3.png,cat\n",
        "\ufefffile,label,remark\r\n./images\\1.jpg,cat,x\r\n2.JPG,dog,y\r\n\r\n3, cat ,z\r\n",
        'file,label\n"1.jpg","cat"\n2.jpg,dog\n3.png,cat\n1.jpg,cat\nmissing.jpg,bird\n',
        "path,label\n/data/x/images/1.jpg,cat\n/data/x/images/2.jpg,dog\n/data/x/images/3.png,cat\n",
        "sep=;\r\nremark;file;label\r\nx;1;cat\r\ny;2;dog\r\nz;3;cat\r\n",
        "\n \nremark;file;label\nx;1;cat\ny;2;dog\nz;3;cat\n",
        "remark|file|label\nx|1|cat\ny|2|dog\nz|3|cat\n",
        '"file","label"\n"1","cat"\n"2","dog"\n"3","cat"',
    ],
)
def test_a_csv_labels_the_images(text):
    assert _find(IMAGES, labels=text) == ("table", ["cat", "dog", "cat"])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "latin-1"])
def test_a_csv_may_be_in_what_spreadsheets_and_shells_write(encoding):
    """One whose names of columns were not understood would be passed over in silence."""
    text = "file,label,remark\n1,Kätzchen,x\n2,dog,y\n3,cat,z\n"
    found = interpret(IMAGES, {"labels.csv": text.encode(encoding)})

    assert [image.label for image in found.images] == ["Kätzchen", "dog", "cat"]


@pytest.mark.parametrize("mark", [codecs.BOM_UTF16_BE, codecs.BOM_UTF32_LE])
def test_a_csv_that_is_not_in_the_encoding_it_claims_does_no_harm(mark):
    names = ["cat/1.jpg", "dog/2.jpg"]
    tables = {"labels.csv": mark + b"\xd8\x00" * 9 + b"\xff"}

    assert interpret(names, tables).interpretation.layout.kind == "folders"


@pytest.mark.parametrize("header", ["", "file,label\n"])
def test_a_csv_with_a_quote_that_is_never_closed_is_refused(header):
    text = f'{header}1,cat\n2,dog\n3,"cat'

    with pytest.raises(InvalidDataset, match=r"labels\.csv is .*: a quote in it is never closed"):
        _find(IMAGES, labels=text)


def test_a_csv_with_a_quote_that_is_closed_lines_later_is_refused():
    text = 'file,label\n1,"cat\n2,dog"\n3,cat\n'

    with pytest.raises(InvalidDataset, match=r"label of 'images/1\.jpg' goes over several lines"):
        _find(IMAGES, labels=text)


def test_a_cell_that_says_nothing_of_labels_may_have_several_lines():
    text = 'file,label,remark\n1,cat,"a\nb"\n2,dog,"\n"\n3,cat,"c\n"'

    assert _find(IMAGES, labels=text) == ("table", ["cat", "dog", "cat"])


def test_the_whole_name_of_an_image_counts_before_one_without_its_suffix():
    names = ["1.jpg", "1.jpg.png", "a/2.jpg", "b/2.jpg.png"]
    text = "1.jpg,cat\n1.jpg.png,dog\n2.jpg,cat\n/x/b/2.jpg,dog\n"

    assert _find(names, labels=text) == ("table", ["cat", "dog", "cat", "dog"])


@pytest.mark.parametrize("suffix", ["jp2", "hif", "mpo", "cr2", "exr"])
def test_a_csv_may_name_the_images_before_they_were_converted(suffix):
    text = f"file,label\n1.{suffix},cat\n2.{suffix.upper()},dog\n3.{suffix},cat\n"

    assert _find(IMAGES, labels=text) == ("table", ["cat", "dog", "cat"])


def test_a_csv_beside_the_images_or_above_them_counts():
    for name in ("labels", "images/labels"):
        assert _find(IMAGES, **{name: "1,cat\n2,dog\n3,cat"})[0] == "table"
    names = ["cat/1.jpg", "dog/2.jpg"]
    assert _find(names, **{"cat/labels": "1,x\n2,y"}) == ("folders", ["cat", "dog"])


def test_a_csv_wins_over_folders_and_its_folders_tell_images_apart():
    text = "cat/1.jpg,good\ndog/1.jpg,bad\n"

    assert _find(["cat/1.jpg", "dog/1.jpg"], labels=text) == ("table", ["good", "bad"])


def test_what_a_csv_does_not_name_is_unlabelled():
    assert _find(IMAGES, labels="file,label\n1,cat\n2,dog\n") == ("table", ["cat", "dog", ""])


def test_a_csv_about_something_else_is_left_alone():
    names = ["cat/1.jpg", "cat/2.jpg", "dog/3.jpg", "dog/4.jpg"]
    for text in ("", "a,b,c\n1,2,3\n", "epoch,loss\n1,0.5\n", "file,label\nx.jpg,cat\n", "\0,\0\n"):
        assert _find(names, log=text)[0] == "folders"


def test_a_csv_brings_a_split():
    text = "file,label,split\n1,cat,train\n2,dog,Val\n3,cat,TEST\n"

    assert _splits(IMAGES, {"l.csv": text.encode()}) == (True, ["train", "validation", "test"])


def test_a_csv_with_a_part_that_is_not_known_is_refused():
    """Its images would be trained on."""
    text = "file,label,split\n1,cat,train\n2,dog,\n3,cat,Held Out\n"

    with pytest.raises(InvalidDataset, match=r"'images/3\.png' is not known\. .*: 'Held Out'"):
        _find(IMAGES, labels=text)


def test_a_column_that_is_no_split_whatever_its_name_is_left_alone():
    text = "file,label,set\n1,cat,A\n2,dog,B\n3,cat,B\n"

    assert _splits(IMAGES, {"l.csv": text.encode()}) == (False, [None, None, None])


def test_csv_files_named_after_the_parts_bring_a_split():
    tables = {"train.csv": b"1,cat\n2,dog", "test.csv": b"3,cat"}

    assert _splits(IMAGES, tables) == (True, ["train", "train", "test"])


def test_a_csv_labels_an_image_beside_the_folders_of_a_split():
    names = ["train/1.jpg", "test/2.jpg", "3.jpg"]

    assert _splits(names, {"l.csv": b"1,cat\n2,dog\n3,cat"}) == (False, [None, None, None])


def test_a_csv_labels_within_the_folders_of_a_split():
    names = ["train/1.jpg", "train/2.jpg", "test/3.jpg"]

    assert _splits(names, {"l.csv": b"1,cat\n2,dog\n3,cat"}) == (True, ["train", "train", "test"])


def test_a_csv_that_contradicts_itself_is_refused():
    with pytest.raises(InvalidDataset, match=r"labels\.csv says two things of 'images/1\.jpg'"):
        _find(IMAGES, labels="1.jpg,cat\n1.jpg,dog\n")


@pytest.mark.parametrize("header", ["", "file,label\n"])
def test_a_csv_that_breaks_off_in_the_middle_is_refused(header):
    text = f'{header}1.jpg,cat\n2.jpg,dog\n"' + "x" * 200_000

    with pytest.raises(
        InvalidDataset, match=r"labels\.csv is no table that can be read: a row has"
    ):
        _find(IMAGES, labels=text)


def test_a_csv_about_something_else_that_breaks_off_is_left_alone():
    names = ["cat/1.jpg", "dog/2.jpg"]

    assert _find(names, log='a,b\n"' + "x" * 200_000)[0] == "folders"


def test_more_lines_than_allowed_are_refused():
    tables = {"labels.csv": b"1,cat\n2,dog\n3,cat\n"}

    assert interpret(IMAGES, tables, most_lines=3).interpretation.layout.kind == "table"
    with pytest.raises(TooLarge, match=r"labels\.csv: .* HEADSTART_MAX_DATASET_FILES allows 2"):
        interpret(IMAGES, tables, most_lines=2)


def test_a_label_of_a_csv_that_is_too_long_is_refused():
    with pytest.raises(InvalidDataset, match=r"the label of 'images/1\.jpg' is too long"):
        _find(IMAGES, labels=f"file,label\n1,{'x' * 1025}\n2,dog\n3,cat\n")


def test_old_and_odd_ends_of_lines_are_lines_too():
    assert _find(IMAGES, labels="file,label\r1,cat\r2,dog\r3,cat")[0] == "table"


def test_a_csv_that_names_several_images_at_once_is_not_used():
    several = r"several images are called so: {}\. Expected .* suffixes"
    with pytest.raises(InvalidDataset, match=several.format(r"1\.jpg, 1\.png")):
        _find(["1.jpg", "1.png"], labels="1,x\n")
    with pytest.raises(InvalidDataset, match=several.format(r"1\.JPG, 1\.jpg")):
        _find(["1.JPG", "1.jpg"], labels="1.Jpg,x\n")

    found = interpret(["cat/1.jpg", "dog/1.jpg"], {"labels.csv": b"1.jpg,x\n"})

    assert found.interpretation.layout.kind == "folders"
    assert re.search(several.format("cat/1.jpg, dog/1.jpg"), found.interpretation.unused[0].reason)
