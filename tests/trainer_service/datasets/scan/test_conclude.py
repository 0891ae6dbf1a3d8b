"""What was found is labelled, or it is said why that can't be done."""

import pytest

from shared.errors import TooLarge
from trainer_service.datasets.scan.conclude import Origin, conclude
from trainer_service.datasets.scan.found import Found
from trainer_service.datasets.scan.verdicts import Note
from trainer_service.errors import InvalidDataset
from trainer_service.requests.reading import ReadingRequest


@pytest.mark.parametrize(
    ("tables", "error"),
    [
        ({"large_tables": ["extra/labels.csv"]}, TooLarge),
        ({"closed_tables": {"extra/labels.csv": "Permission denied"}}, InvalidDataset),
    ],
)
def test_a_table_that_can_not_be_read_is_refused_unless_it_is_to_be_left_out(
    tmp_path, tables, error
):
    names = [f"extra/{label}/{number}.png" for label in ("cat", "dog") for number in range(3)]
    notes = [Note(name, name, 1, sha256=name) for name in names]
    found, origin = Found(notes=notes, **tables), Origin("pets", 100)
    with pytest.raises(error, match=r"extra/labels\.csv"):
        conclude(tmp_path, found, origin)

    for pattern in ("labels.csv", "extra/labels.csv"):
        summary = conclude(tmp_path, found, origin, ReadingRequest(ignore=[pattern]))

        assert summary.labels == {"cat": 3, "dog": 3}
