"""Outcomes of cases that were run at different times make one page."""

from dataclasses import replace

import pytest

from benchmarks.tools.outcomes import Outcome, OutcomesFile, section

OUTCOME = Outcome(
    images=200,
    accuracy=0.9,
    loss=0.3,
    validation_loss=0.25,
    seconds=12.4,
    core_ms=2.5,
    detail="Chosen for this.",
    dataset="900 images of 2 labels: 500 train, 200 validation, 200 test.",
)
TITLES = {"last": "the last layer", "guide": "Keras' guide", "tail": "the tail"}
TRIED = {"long": "a long one", "short": "a short one"}


@pytest.fixture
def file(tmp_path):
    return OutcomesFile(tmp_path / "quality.json")


def test_what_was_measured_earlier_is_kept_but_for_the_same_case(file):
    file.add("pets", "tail", OUTCOME)
    file.add("pets", "last", replace(OUTCOME, accuracy=0.5))
    file.add("cars", "tail", replace(OUTCOME, core_ms=None))
    file.add("pets", "tail", replace(OUTCOME, accuracy=0.95))

    found = OutcomesFile(file._path).read()

    assert {name: list(cases) for name, cases in found.items()} == {
        "cars": ["tail"],
        "pets": ["last", "tail"],
    }
    assert (found["pets"]["tail"].accuracy, found["pets"]["last"].accuracy) == (0.95, 0.5)
    assert found["cars"]["tail"].core_ms is None
    assert found["pets"]["tail"].at.startswith("20")


def test_the_table_has_the_cases_in_their_order_and_leaves_out_what_is_missing():
    guide = replace(OUTCOME, core_ms=None, validation_loss=None)

    lines = section("pets", {"tail": OUTCOME, "guide": guide}, TITLES, TRIED).splitlines()

    assert lines[:3] == ["## pets", "", OUTCOME.dataset]
    assert [line for line in lines if line.startswith("| ")][1:] == [
        "| Keras' guide | 0.9000 | 0.851 to 0.934 | 0.3000 | 12 s |  |",
        "| the tail | 0.9000 | 0.851 to 0.934 | 0.3000 | 12 s | 2.50 core-ms |",
    ]
    assert "- the tail: Chosen for this." in lines
    assert lines[-1] == "Not measured: the last layer."


def test_of_the_settings_that_were_tried_one_shows_how_it_was_tested():
    """The others do not: to choose among several tests would make the best look better."""
    found = {
        "long": replace(OUTCOME, validation_loss=0.2, accuracy=0.81),
        "short": replace(OUTCOME, validation_loss=0.1, accuracy=0.71),
    }

    text = section("pets", found, TITLES, TRIED)

    assert "| a long one | 0.2000 | 12 s |" in text
    assert "Chosen: a short one." in text
    assert "| a short one | 0.7100 |" in text
    assert "0.81" not in text
