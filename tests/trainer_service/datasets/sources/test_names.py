"""What is made of the names of files."""

from pathlib import PurePosixPath

import pytest

from trainer_service.datasets.sources.names import clean_name, is_hidden, suffix_of


@pytest.mark.parametrize(
    "name",
    ["a.PNG", ".png", "a.", "..png", "a.b/c", "a/.b.jpg", "a/b.tar.gz", "", "a b.é", "x/..a"],
)
def test_the_suffix_of_a_name_is_what_paths_say(name):
    assert suffix_of(name) == PurePosixPath(name).suffix.lower()


@pytest.mark.parametrize(
    ("name", "hidden"),
    [
        ("a/.git/b", True),
        ("./a/b", False),
        ("../b", True),
        ("a/Thumbs.db", True),
        ("a//b", False),
        ("", False),
    ],
)
def test_what_is_hidden(name, hidden):
    assert is_hidden(name) is hidden


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("a\\b\tc/../d", "a/b\ufffdc/d"),
        ("./a//b", "a/b"),
        ("e\u0301/\udcff", "\u00e9/\ufffd"),
        ("a\x7f", "a\ufffd"),
    ],
)
def test_a_name_is_cleaned(name, clean):
    assert clean_name(name) == clean
