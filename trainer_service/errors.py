"""The errors of trainings and datasets.

HeadstartError
├── NotFound           404   DatasetNotFound, TrainingNotFound, ComparisonNotFound
├── Conflict           409   TrainingEnded, ComparisonEnded
├── InvalidRequest     422
│   ├── InvalidDataset       the dataset can't be trained on
│   └── WeightsUnavailable   the architecture's pre-trained weights are not available
├── ModelUnwritable    500   the file system refuses to pin a model or remove a version
├── RecordCorrupt      500   a record in the store is damaged or can't be opened
├── RecordUnwritable   500   the file system does not permit a record to be changed
├── Setback                  a step failed because of the machine; it is tried again
├── TransientFailure         it failed for too long: the training can be submitted again later
└── TrainingCancelled  409   ends the phases of a cancelled training
"""

from shared.errors import Conflict, HeadstartError, InvalidRequest, NotFound


class DatasetNotFound(NotFound):
    """No dataset has this id."""

    def __init__(self, dataset_id: str) -> None:
        super().__init__(f"There is no dataset {dataset_id!r}.")


class TrainingNotFound(NotFound):
    """No training has this id."""

    def __init__(self, training_id: str) -> None:
        super().__init__(f"There is no training {training_id!r}.")


class TrainingEnded(Conflict):
    """The training has ended, so it can't be changed any more."""

    def __init__(self, training_id: str, state: str) -> None:
        super().__init__(f"Training {training_id!r} has already ended: it is {state}.")


class ComparisonNotFound(NotFound):
    """No comparison has this id."""

    def __init__(self, comparison_id: str) -> None:
        super().__init__(f"There is no comparison {comparison_id!r}.")


class ComparisonEnded(Conflict):
    """The comparison has ended, so it can't be changed any more."""

    def __init__(self, comparison_id: str, state: str) -> None:
        super().__init__(f"Comparison {comparison_id!r} has already ended: it is {state}.")


class InvalidDataset(InvalidRequest):
    """The dataset can't be trained on, e.g. since a label has too few images."""

    title = "Invalid dataset"


class WeightsUnavailable(InvalidRequest):
    """The pre-trained weights of the architecture are neither here nor to be downloaded."""

    title = "Weights unavailable"


class ModelUnwritable(HeadstartError):
    """The file system refuses to change a model's pin or versions."""

    title = "Unwritable model"

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"Model {name!r} can't be changed: {reason}.")


class RecordCorrupt(HeadstartError):
    """A file of a record is damaged or can't be opened."""

    title = "Corrupt record"


class RecordUnwritable(HeadstartError):
    """The file system does not permit a record, or its lock, to be written."""

    title = "Unwritable record"


class Setback(HeadstartError):
    """A step failed because of the machine, e.g. a full disk; it is tried again for a while."""

    title = "Setback"


class TransientFailure(HeadstartError):
    """A setback lasted too long, so the training has failed; it can be submitted again later."""

    title = "Transient failure"


class TrainingCancelled(HeadstartError):
    """The training was cancelled; raised in its phases to end them."""

    status = 409
    title = "Training cancelled"
