"""The section of a report about pictures that are unknown to the model."""

from dataclasses import replace

from shared.models.manifest import CoverageInfo, Share, UnknownInfo
from tests.trainer_service.report.facts import facts
from tests.trainer_service.report.test_page import Reader
from trainer_service.report.page import render

TITLE = "Does it know what it does not know?"
TOLD = UnknownInfo(
    images=20,
    distances=40,
    compared="validation",
    rate=0.05,
    false_alarms=Share(count=1, pictures=30, low=0.006, high=0.167),
    other_datasets=Share(count=98, pictures=100, low=0.93, high=0.994),
    probes={"noise": Share(count=10, pictures=10, low=0.722, high=1)},
    left_out=Share(count=6, pictures=30, low=0.095, high=0.373),
    change={"bf16": 0.0664},
    detail="Of <30> test images, few are called unknown.",
)
COVERED = CoverageInfo(
    images=210,
    coverage=0.95,
    right=Share(count=29, pictures=30, low=0.833, high=0.994),
    labels=1.5333,
)


def shown(directory, unknown, coverage=None):
    told = facts(directory)
    manifest = told.manifest.model_copy(update={"unknown": unknown, "coverage": coverage})
    return Reader(render(replace(told, manifest=manifest))).text


def test_all_that_was_measured_is_shown(tmp_path):
    text = shown(tmp_path, TOLD, COVERED)

    for fact in (
        TITLE,
        "Of <30> test images, few are called unknown.",
        "Test images (false alarms) 1 30 3.3 % 0.6 % 16.7 %",
        "Other datasets in the store 98 100 98.0 % 93.0 % 99.4 %",
        "Drawn: noise 10 10 100.0 % 72.2 % 100.0 %",
        "Test images without their label 6 30 20.0 % 9.5 % 37.3 %",
        "Known pictures that tell what is usual 40, from validation",
        "Largest change in bf16 0.066",
        "it answers 1.53 labels on average, with the right one for 96.7 % of the test images",
    ):
        assert fact in text, fact


def test_without_a_verdict_the_reason_stands_alone(tmp_path):
    none = UnknownInfo(
        images=4, distances=6, compared="validation", rate=0.05, detail="Too few images."
    )

    text = shown(tmp_path, none, CoverageInfo(images=6))

    assert "Too few images." in text
    assert "Called unknown" not in text
    assert "With the 6 images that it was validated with, it can't answer sets" in text


def test_a_version_of_before_has_no_such_section(tmp_path):
    assert TITLE not in shown(tmp_path, None)
