"""The trainings of a comparison: what is known of them, and how they are created."""

from datetime import UTC, datetime

from shared.errors import Conflict, NotFound, Unavailable
from trainer_service.comparisons.decide import Member
from trainer_service.errors import RecordCorrupt
from trainer_service.phases.work import Queue
from trainer_service.queue.steps import PREPARE, READ_DATASET, Step
from trainer_service.store.records.comparison_record import Candidate, ComparisonRecord
from trainer_service.store.records.training_record import (
    State,
    TrainingDataset,
    TrainingRecord,
    Transition,
)
from trainer_service.store.stores import Stores
from trainer_service.store.waiting import WaitingTrainings

#: How many images of each label a training of the first round has at most.
TRIAL_IMAGES = 50


def members_of(stores: Stores, record: ComparisonRecord) -> dict[str, Member]:
    """Return the trainings of a comparison that have records; a damaged one counts as failed.

    Raises:
        Unavailable: a record can't be read now.
    """
    found = {}
    for training_id in record.members:
        try:
            training = stores.trainings.get(training_id)
        except NotFound:
            continue
        except RecordCorrupt:
            found[training_id] = Member(State.FAILED)
            continue
        stopped = training.stop_after is not None or training.stop_tuning
        found[training_id] = Member(training.state, training.cancel_requested or stopped)
    return found


def create_member(
    stores: Stores, queue: Queue, record: ComparisonRecord, candidate: Candidate, training_id: str
) -> None:
    """Create a training of a comparison, and submit its first step.

    Args:
        stores: the parts of the store.
        queue: where the step is submitted.
        record: that of the comparison.
        candidate: what is trained.
        training_id: the id of the training, `trial` or `training` of the candidate.

    Raises:
        Conflict: the dataset was read in another way meanwhile.
        DatasetNotFound, RecordCorrupt: it is gone or damaged.
    """
    with stores.datasets.locked(record.dataset.id):
        dataset = stores.datasets.get(record.dataset.id)
        if dataset.revision != record.dataset.revision:
            raise Conflict(
                f"Dataset {dataset.id!r} has been read in another way meanwhile. Look at it, and "
                "submit the comparison again."
            )
        stores.trainings.create(_new_training(record, candidate, training_id))
    if dataset.state.unread:
        WaitingTrainings(stores.datasets.directory(dataset.id)).add(training_id)
        queue.submit([Step(READ_DATASET, (dataset.id,))])
    else:
        queue.submit([Step(PREPARE, (training_id,))])


def _new_training(
    record: ComparisonRecord, candidate: Candidate, training_id: str
) -> TrainingRecord:
    is_trial = training_id == candidate.trial
    now, dataset = datetime.now(UTC), record.dataset
    changes: dict[str, object] = {"dataset": dataset.id, "model": record.model}
    if is_trial:
        # Only its features are tried, by regressions.
        changes |= {"head": "regression", "tune": "off", "views": 1, "quantize": "off"}
    return TrainingRecord(
        id=training_id,
        model=record.model,
        architecture=candidate.architecture,
        state=State.QUEUED,
        dataset=TrainingDataset(
            id=dataset.id, revision=dataset.revision, parent=dataset.parent, root=dataset.root
        ),
        transitions=[Transition(state=State.QUEUED, at=now)],
        request=candidate.request.model_copy(update=changes),
        created_at=now,
        comparison=record.id,
        trial_images=TRIAL_IMAGES if is_trial else None,
    )


def ended_training(stores: Stores, training_id: str) -> TrainingRecord | str:
    """Return the record of a training that has succeeded, or else why there is none."""
    try:
        training = stores.trainings.get(training_id)
    except (NotFound, RecordCorrupt, Unavailable) as error:
        return error.detail
    if training.state == State.SUCCEEDED:
        return training
    return training.error.detail if training.error else f"Its training is {training.state}."
