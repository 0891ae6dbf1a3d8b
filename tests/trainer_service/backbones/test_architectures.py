"""The catalogue, its names, and its agreement with the Keras that is installed."""

import re
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from shared.errors import InvalidRequest
from trainer_service.backbones.architectures import ALIASES, CATALOGUE, OUTPUT, find_architecture
from trainer_service.requests.training import DEFAULT_ARCHITECTURE

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_id_finds_itself(name):
    assert find_architecture(name).id == name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet", "resnet50_v2"),
        ("inception", "inception_v3"),
        ("googlenet", "inception_v3"),
        ("mobilenet", "mobilenet_v2"),
        ("MobileNetV2", "mobilenet_v2"),
        ("VGG16", "vgg16"),
        ("vgg-16", "vgg16"),
        ("ResNet50V2", "resnet50_v2"),
        ("GoogLeNet", "inception_v3"),
        ("EfficientNet-Lite0", "efficientnet_lite0"),
        ("ConvNeXtTiny", "convnext_tiny"),
    ],
)
def test_aliases_and_other_spellings_are_understood(name, expected):
    assert find_architecture(name).id == expected


@pytest.mark.parametrize("name", ["", "vgg19", "mobilenet_v", "resnet50", "vgg16; rm"])
def test_an_unknown_name_is_refused_with_those_that_exist(name):
    with pytest.raises(InvalidRequest) as refusal:
        find_architecture(name)

    assert str(refusal.value) == (
        f"`architecture` should be one of {', '.join(CATALOGUE)}, "
        f"or an alias ({', '.join(ALIASES)}). Received: {name!r}."
    )


def test_the_default_and_every_alias_exist():
    assert {DEFAULT_ARCHITECTURE, *ALIASES.values()} <= CATALOGUE.keys()


@pytest.mark.parametrize("architecture", CATALOGUE.values(), ids=CATALOGUE)
def test_smaller_tap_sets_are_the_end_of_larger_ones(architecture):
    every, late, last = (architecture.taps_of(taps) for taps in ("all", "late", "last"))

    assert (every, last) == (architecture.taps, (OUTPUT,))
    assert late == every[-3:]
    assert 6 <= len(set(every)) == len(every) <= 10
    for taps in ("all", "late", "last"):
        widths = architecture.widths_of(taps)
        assert widths == architecture.tap_widths[-len(architecture.taps_of(taps)) :]
        assert architecture.feature_size_of(taps) == sum(widths)
    assert 3_000 <= architecture.feature_size_of("all") <= 9_000
    assert architecture.feature_size == architecture.tap_widths[-1]


@pytest.mark.process
def test_the_catalogue_imports_neither_tensorflow_nor_openvino():
    code = (
        "import sys, trainer_service.backbones.architectures, shared.engines\n"
        "print({'tensorflow', 'keras', 'openvino'} & set(sys.modules))"
    )

    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert answer.stdout.strip() == "set()"


def test_the_guide_names_the_files_with_the_classifiers():
    guide = (DOCS / "guides" / "pretrained.md").read_text("utf-8")
    listed = dict(re.findall(r"^\| `(\w+)` \| `([\w.-]+)` \|$", guide, re.MULTILINE))

    assert listed == {
        name: PurePosixPath(row.top_download).name
        for name, row in CATALOGUE.items()
        if row.top_download is not None
    }


@pytest.mark.slow
@pytest.mark.parametrize("top", [False, pytest.param(True, marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize(
    "architecture", [row for row in CATALOGUE.values() if row.builder], ids=lambda row: row.id
)
def test_downloads_are_those_of_keras(architecture, top, monkeypatch):
    """Keras is stopped where it would download and asked what it was about to fetch."""
    import keras

    class Stopped(Exception):
        pass

    def get_file(name: str, url: str, **options: Any) -> None:
        raise Stopped(url, options.get("file_hash"))

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", get_file)
    builder = getattr(keras.applications, architecture.builder)
    size = architecture.input_size

    with pytest.raises(Stopped) as stopped:
        builder(include_top=top, pooling="avg", input_shape=(size, size, 3))

    url, file_hash = stopped.value.args
    path = architecture.top_download if top else architecture.download
    assert url == f"https://storage.googleapis.com/tensorflow/{path}"
    assert file_hash == (architecture.top_hash if top else architecture.download_hash)
