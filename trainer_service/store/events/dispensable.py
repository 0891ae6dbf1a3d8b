"""What a training goes on without: its events and its progress, if they can't be written."""

from collections.abc import Iterator
from contextlib import contextmanager

from shared.logs import get_logger
from trainer_service.store.files.small_files import is_permanent

log = get_logger(__name__)


class Dispensable:
    """Lets trainings go on although a file can't be written.

    Args:
        missing: what is logged then, for example "progress is not kept".
    """

    def __init__(self, missing: str) -> None:
        self._missing = missing
        self._warned = ""

    @contextmanager
    def of(self, training_id: str) -> Iterator[None]:
        """End the body at a permanent OSError, and log it once; all other errors are raised."""
        try:
            yield
        except OSError as error:
            if not is_permanent(error):
                raise
            if self._warned != training_id:
                self._warned = training_id
                log.warning(self._missing, training_id=training_id, reason=str(error))
