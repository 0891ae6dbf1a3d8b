"""The errors of trainings and datasets.

HeadstartError
├── NotFound           404   DatasetNotFound, TrainingNotFound
├── Conflict           409   TrainingEnded
├── InvalidRequest     422
│   ├── InvalidDataset       nothing can be trained on what was sent
│   └── WeightsUnavailable   the architecture's pre-trained weights can't be had
├── ModelUnwritable    500   a model can't be pinned, or a version of it removed
├── RecordCorrupt      500   a record in the store that can't be understood
├── RecordUnwritable   500   a record that may not be changed
├── Setback                  the machine failed a step of a training; it may pass
├── TransientFailure         it did not pass: the training can be submitted again later
└── TrainingCancelled  409   ends the phases of a cancelled training
"""

from shared.errors import Conflict, HeadstartError, InvalidRequest, NotFound


class DatasetNotFound(NotFound):
    def __init__(self, dataset_id: str) -> None:
        super().__init__(f"There is no dataset {dataset_id!r}.")


class TrainingNotFound(NotFound):
    def __init__(self, training_id: str) -> None:
        super().__init__(f"There is no training {training_id!r}.")


class TrainingEnded(Conflict):
    def __init__(self, training_id: str, state: str) -> None:
        super().__init__(f"Training {training_id!r} has already ended: it is {state}.")


class InvalidDataset(InvalidRequest):
    title = "Invalid dataset"


class WeightsUnavailable(InvalidRequest):
    title = "Weights unavailable"


class ModelUnwritable(HeadstartError):
    title = "Unwritable model"

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"Model {name!r} can't be changed: {reason}.")


class RecordCorrupt(HeadstartError):
    title = "Corrupt record"


class RecordUnwritable(HeadstartError):
    title = "Unwritable record"


class Setback(HeadstartError):
    """Something is wrong with the machine, or with what this worker sees; it may pass."""

    title = "Setback"


class TransientFailure(HeadstartError):
    """The machine was at fault for too long to go on; it is worth another try later."""

    title = "Transient failure"


class TrainingCancelled(HeadstartError):
    status = 409
    title = "Training cancelled"
