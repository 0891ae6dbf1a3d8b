"""The words that people use for folders and columns, and what they mean.

Names are compared word by word: `seg_train`, `TrainImages` and `training-set` all hold the word
of a training part, and what is left of them (`seg`, `images`, `set`) says nothing.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from trainer_service.datasets.records import Split

_CODE = re.compile(r"[0-9a-f]{6,}")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_]+")

_SPLIT_WORDS: dict[str, Split] = {
    **dict.fromkeys(("train", "training", "trn", "trainset", "traindata"), "train"),
    **dict.fromkeys(("labeled", "labelled"), "train"),
    **dict.fromkeys(("val", "valid", "validate", "validation", "valset", "dev"), "validation"),
    **dict.fromkeys(("eval", "evaluation"), "validation"),
    **dict.fromkeys(("test", "testing", "tst", "testset", "testdata"), "test"),
}
_UNLABELLED_WORDS = frozenset(
    {"pred", "preds", "predict", "prediction", "predictions", "submission", "unlabeled"}
    | {"unlabelled", "unlabel", "inference"}
)
_IMAGE_WORDS = frozenset(
    {"image", "images", "img", "imgs", "pic", "pics", "picture", "pictures", "photo", "photos"}
    | {"jpeg", "jpg", "png", "jpegimages", "frames", "files", "file", "data", "dataset", "datasets"}
    | {"raw", "original", "originals", "media", "upload", "uploads", "content", "samples", "all"}
)
# What else stands beside the word of a part: `training_set`, `test1`, `single_prediction`.
_DECORATION = _IMAGE_WORDS | {"set", "sets", "ds", "folder", "dir", "split", "part", "single"}
_DATASET_WORDS = frozenset({"dataset", "datasets", "trainset", "testset", "valset"})
_GROUP_WORDS = frozenset(
    {"part", "fold", "batch", "set", "group", "folder", "dir", "chunk", "shard", "subset", "disk"}
    | {"session", "day", "camera", "cam", "source", "site", "hospital", "patient", "subject"}
    | {"user", "scene", "sequence", "seq", "split", "volume", "vol", "box", "run", "page", "case"}
    | {"station", "device", "sensor", "location", "city", "domain"}
)
_COMPANION_WORDS = frozenset(
    {"mask", "masks", "trimap", "trimaps", "annotation", "annotations", "annot", "segmentation"}
    | {"segmentations", "groundtruth", "gt", "label", "labels", "depth", "depths", "seg", "segs"}
    | {"contour", "contours", "edge", "edges", "heatmap", "heatmaps", "matte", "mattes", "alpha"}
    | {"segmentationclass", "segmentationobject", "xml", "xmls", "bbox", "bboxes"}
)
# What cameras, telephones and programs call every picture, whatever it shows.
_CAMERA_WORDS = frozenset(
    {"img", "dsc", "dscn", "dscf", "dcim", "pxl", "mvimg", "image", "images", "photo", "picture"}
    | {"pic", "p", "screenshot", "screen shot", "whatsapp image", "frame", "file", "scan", "gopr"}
    | {"imag", "untitled", "unnamed", "download", "pano", "vid", "snapshot", "capture", "bild"}
)

_LIST_WORDS = frozenset(
    {"labels", "label", "list", "annotations", "annotation", "classes", "class", "metadata"}
    | {"images", "split", "trainlist", "testlist", *_SPLIT_WORDS}
)

#: The names of columns that hold an image, the best first; as `column_name` writes them.
IMAGE_COLUMNS = (
    *("file", "filename", "file_name", "file_path", "filepath", "image_path", "image_file"),
    *("image_name", "image", "img", "img_path", "img_name", "path", "image_url", "url", "uri"),
    *("name", "image_id", "img_id", "id_code", "id"),
)
#: The names of columns that hold a label, the best first.
LABEL_COLUMNS = (
    *("label", "labels", "class", "classes", "class_name", "classname", "label_name", "category"),
    *("category_name", "target", "choice", "y", "ground_truth", "class_id", "label_id"),
    "category_id",
)
#: The names of columns that may hold a label, and are one only if there is none of the above.
LABEL_LIKE_COLUMNS = (
    *("diagnosis", "dx", "species", "breed", "disease", "condition", "finding", "findings", "type"),
    *("kind", "variety", "genus", "family", "tag", "tags", "level", "grade", "emotion", "style"),
    *("healthy", "outcome", "annotation", "gt", "title", "text"),
)
_LABEL_WORDS = ("label", "labels", "class", "category", "target", "diagnosis", "species", "breed")
SPLIT_COLUMNS = (
    *("split", "subset", "set", "partition", "part", "fold", "ml_use", "usage", "phase", "purpose"),
    *("data_set", "dataset", "data_split", "type"),
)
#: Columns whose values repeat, and that describe the picture rather than name what it shows.
_DESCRIPTIONS = frozenset(
    {"sex", "gender", "age", "agegroup", "localization", "site", "anatom", "camera", "source"}
    | {"date", "time", "timestamp", "created", "updated", "patient", "view", "width", "height"}
    | {"xmin", "ymin", "xmax", "ymax", "bbox", "x", "y", "w", "h", "url", "license", "author"}
    | {"user", "annotator", "lead", "quality", "lat", "lon", "latitude", "longitude", "size"}
    | {
        "fold",
        "split",
        "subset",
        "set",
        "usage",
        "index",
        "position",
        "race",
        "ethnicity",
        "lesion",
    }
    | {"device", "resolution", "orientation", "mode", "format", "country", "city", "year", "month"}
)


class PartName(NamedTuple):
    """What the name of a folder or a table says of the split.

    Attributes:
        split: the part; None for what has no labels, such as predictions.
        rest: the words beside it that are not mere decoration.
    """

    split: Split | None
    rest: str


def words(name: str) -> list[str]:
    """Return the words of a name in small letters: `TrainImages_2` is train, images and 2."""
    return [word.lower() for word in _WORD.findall(name)]


def column_name(header: str) -> str:
    """Return a column's name in small letters, its words joined by underscores."""
    return "_".join(words(header))


def part_name(name: str) -> PartName | None:
    """Return which part of a split a name stands for, if it holds exactly one such word."""
    found: set[Split | None] = set()
    rest: list[str] = []
    for word in words(name):
        if word in _SPLIT_WORDS:
            found.add(_SPLIT_WORDS[word])
        elif word in _UNLABELLED_WORDS:
            found.add(None)
        elif word not in _DECORATION and not word.isdigit():
            rest.append(word)
    return PartName(found.pop(), " ".join(rest)) if len(found) == 1 else None


def split_of_value(value: str) -> Split | None:
    """Return the part of a split that a cell names, such as `TRAINING` or `valid`."""
    found = part_name(value)
    return found.split if found is not None and not found.rest else None


def split_folders(names: Collection[str]) -> dict[str, PartName] | None:
    """Return which of the folders beside each other are parts of a split, or None if none are.

    One of them has to be for training, and beside it another part, or nothing else at all. So a
    label may be called `test` as long as no `train` stands beside it. Beside `pets-test`, `pets` is
    for training. Where the same words stand
    beside several parts, as in `train_cat`, `train_dog`, `test_cat`, they are kept as `rest`.
    """
    found = {name: part for name in names if (part := part_name(name)) is not None}
    found |= _trained_beside(names, found)
    splits = {part.split for part in found.values()}
    if "train" not in splits or (len(splits) == 1 and len(found) < len(names)):
        return None
    if _is_label_in_rest(found.values()):
        return found
    return {name: part._replace(rest="") for name, part in found.items()}


def _trained_beside(names: Collection[str], parts: Mapping[str, PartName]) -> dict[str, PartName]:
    """Return the folder beside parts of a split that is called like these, without their word."""
    others = [name for name in names if name not in parts]
    if len(others) != 1 or not parts:
        return {}
    said = " ".join(w for w in words(others[0]) if w not in _DECORATION and not w.isdigit())
    same = said and all(part.rest == said and part.split != "train" for part in parts.values())
    return {others[0]: PartName("train", "")} if same else {}


def _is_label_in_rest(parts: Iterable[PartName]) -> bool:
    splits: defaultdict[str, set[Split | None]] = defaultdict(set)
    for part in parts:
        if part.rest:
            splits[part.rest].add(part.split)
    repeated = [rest for rest, found in splits.items() if len(found) > 1]
    return len(splits) > 1 and len(repeated) * 2 >= len(splits)


def is_container(name: str) -> bool:
    """Return whether a folder's name says only that images are in it, as `images` or `img_01`."""
    said = [word for word in words(name) if not word.isdigit()]
    return bool(said) and all(word in _IMAGE_WORDS for word in said)


def are_groups(names: Collection[str]) -> bool:
    """Return whether names say only how images were put in heaps: `part_1` and `part_2`."""
    return all(map(_is_group, names))


def _is_group(name: str) -> bool:
    """Return whether a name ends as `part_1` does, or `HAM10000_images_part_1`."""
    said = words(name)
    numbered = False
    while said and (said[-1].isdigit() or len(said[-1]) == 1):
        said.pop()
        numbered = True
    return numbered and bool(said) and said[-1] in _GROUP_WORDS


def are_numbered(names: Collection[str]) -> bool:
    """Return whether names differ in a number only: `1` and `2`, `view1` and `view2`."""
    stems = {" ".join(w for w in words(name) if not w.isdigit()) for name in names}
    return len(stems) == 1 and all(any(c.isdigit() for c in name) for name in names)


def is_companion(name: str) -> bool:
    """Return whether a folder's name says that it holds something about images: `masks`."""
    said = [word for word in words(name) if word not in _DECORATION]
    return bool(said) and all(word in _COMPANION_WORDS | {"ground", "truth"} for word in said)


def is_placeholder(table: str) -> bool:
    """Return whether a table's name says that its labels are made up: `sample_submission`."""
    said = set(words(table))
    return "submission" in said or "samplesubmission" in said or {"sample", "sub"} <= said


def is_camera_prefix(label: str) -> bool:
    return label.lower().strip() in _CAMERA_WORDS


def is_code(text: str) -> bool:
    """Return whether a text looks like a hash or a long number, as `01ab34cd` does."""
    return _CODE.fullmatch(text.lower()) is not None


def is_no_label(label: str) -> bool:
    """Return whether a label is a word for something else: `train`, `part_1`, `pets_dataset`."""
    part = part_name(label)
    return (
        (part is not None and not part.rest)
        or not _DATASET_WORDS.isdisjoint(words(label))
        or is_container(label)
        or is_companion(label)
        or are_groups([label])
    )


def is_description(column: str) -> bool:
    """Return whether a column's name says that it describes an image: `sex`, `patient_age`."""
    return any(word in _DESCRIPTIONS for word in column.split("_"))


def names_label(column: str) -> bool:
    """Return whether a column's name holds a word for a label, as `true_label` does."""
    return any(word in _LABEL_WORDS for word in column.split("_"))


def lists_images(stem: str) -> bool:
    """Return whether a text file's name says that it lists images: `train.txt`, `labels.txt`."""
    return not _LIST_WORDS.isdisjoint(words(stem))
