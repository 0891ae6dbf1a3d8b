"""What a report says of corrected labels and added images."""

from dataclasses import replace
from datetime import UTC, datetime

from tests.trainer_service.report.facts import facts
from trainer_service.datasets.children.corrections import Correction
from trainer_service.report.page import render

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
PARENT = "20261123-153522-1f25fc"


def corrected(directory, count, added=0):
    """Facts of a dataset with so many corrections, every second of which leaves an image out."""
    known = facts(directory)
    corrections = [
        Correction(
            sha256="a" * 64,
            name=f"<{n}>.png",
            before=None if n == 2 else "cat",
            to="dog" if n % 2 else None,
            at=NOON,
        )
        for n in range(1, count + 1)
    ]
    changes = {"parent": PARENT, "root": PARENT, "corrected": count, "added": added}
    dataset = known.dataset.model_copy(update=changes)
    return replace(known, dataset=dataset, corrections=corrections)


def test_the_report_names_each_correction(tmp_path):
    page = render(corrected(tmp_path, 2, added=3))

    assert f"2 labels were corrected and 3 images were added since dataset {PARENT}" in page
    assert "Corrected labels: 2" in page
    for row in (("&lt;1&gt;.png", "cat", "dog"), ("&lt;2&gt;.png", "not used", "left out")):
        cells = page[page.index(row[0]) :][:200]
        assert [cells.index(text) for text in row] == sorted(cells.index(text) for text in row)


def test_of_many_it_names_the_first_and_counts_the_others(tmp_path):
    page = render(corrected(tmp_path, 203))

    assert "&lt;200&gt;.png" in page
    assert "&lt;201&gt;.png" not in page
    assert "… and 3 more." in page


def test_without_corrections_it_says_so(tmp_path):
    page = render(facts(tmp_path))

    assert "<dt>Corrections</dt><dd>none</dd>" in page.replace("\n", "")
    assert "Corrected labels" not in page
