"""What is printed of predictions."""

import io

import pytest
from rich.console import Console

from client.printing import print_predictions

TOP = [{"label": "cat", "probability": 0.9}, {"label": "dog", "probability": 0.1}]
CAT = {"file": "a.jpg", "label": "cat", "probability": 0.9, "top": TOP}
REFUSED = {"file": "b.jpg", "error": {"detail": "not an image"}}


def printed(*predictions):
    console = Console(file=io.StringIO(), width=160)
    print_predictions(list(predictions), console)
    return console.file.getvalue()


def test_a_picture_that_is_unknown_is_told_beside_its_label():
    text = printed(CAT | {"known": 0.004, "unknown": True}, CAT | {"known": 0.5, "unknown": False})

    assert "unknown (0.004)" in text
    assert "0.500" in text


def test_where_a_version_gives_no_verdict_the_share_stands_alone():
    assert "unknown" not in printed(CAT | {"known": 0.08, "unknown": None}, REFUSED)


@pytest.mark.parametrize("older", [{}, {"known": None, "unknown": None, "nearest": []}])
def test_what_a_predictor_does_not_tell_takes_no_column(older):
    text = printed(CAT | older, REFUSED)

    assert "known" not in text
    assert "one of" not in text


def test_the_labels_for_a_coverage_are_named():
    text = printed(CAT | {"labels": ["cat", "dog"]}, REFUSED)

    assert "one of" in text
    assert "cat, dog" in text
