"""The records of comparisons, and the versions that their trainings have not published.

comparisons/<id>/record.json         the comparison
comparisons/<id>/events.jsonl        its events, one per line
comparisons/<id>/models/<name>/<n>/  the versions of its trainings, none of which is served
comparisons/<id>/report.html         the table and the picture, in one file
"""

from pathlib import Path

from trainer_service.errors import ComparisonNotFound
from trainer_service.store.events.comparison_events import events_of_comparison
from trainer_service.store.events.event_log import EventLog
from trainer_service.store.publishing import WritableModelStore
from trainer_service.store.records.comparison_record import ComparisonRecord
from trainer_service.store.records.record_store import RecordStore

COMPARISONS = "comparisons"
PAGE_FILE = "report.html"


class ComparisonStore(RecordStore[ComparisonRecord]):
    """Records of comparisons; each change of a record also appends events.

    Args:
        root: the directory of the comparisons.
        events: the log of their events.
    """

    def __init__(self, root: Path, events: EventLog) -> None:
        super().__init__(root, ComparisonRecord, ComparisonNotFound)
        self._events = events

    def withheld(self, comparison_id: str) -> WritableModelStore:
        """Return the model store of a comparison, which no predictor reads."""
        return WritableModelStore(self.directory(comparison_id))

    def page_file(self, comparison_id: str) -> Path:
        """Return the file of the report of a comparison, which need not exist."""
        return self.directory(comparison_id) / PAGE_FILE

    def _write(self, record: ComparisonRecord) -> None:
        super()._write(record)
        self._events.complete(record.id, events_of_comparison(record))
