"""Makes a training of a request, and puts its first step on the queue."""

from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path

from shared.errors import HeadstartError, InvalidRequest, NotFound
from shared.identifiers import is_id, new_id
from trainer_service.backbones import weights
from trainer_service.backbones.architectures import find_architecture
from trainer_service.datasets import create as datasets
from trainer_service.service.job_slots import open_training_slot
from trainer_service.service.trainer import Trainer
from trainer_service.store.idempotency import fingerprint
from trainer_service.store.records.dataset_record import DatasetRecord, DatasetState
from trainer_service.store.records.training_record import (
    State,
    TrainingDataset,
    TrainingRecord,
    Transition,
)
from trainer_service.store.records.unused_datasets import delete_unused
from trainer_service.store.stores import Stores
from trainer_service.store.waiting import WaitingTrainings, must_be_read
from trainer_service.training_request import DatasetPath, TrainingRequest


def submit_training(
    trainer: Trainer,
    request: TrainingRequest,
    upload: Path | None,
    name: str,
    key: str | None = None,
) -> TrainingRecord:
    """Queue a training of an upload or of the dataset that the request names.

    Args:
        trainer: the stores, the settings and the queue of the service.
        request: what to train.
        upload: the archive, if one was uploaded.
        name: what it is called.
        key: what the client calls this request; the same again makes nothing new.

    Raises:
        InvalidRequest: the architecture or the dataset can't be used, or the key was another
            request's.
        WeightsUnavailable: the architecture's weights can't be had.
        Unavailable: Redis is away, or too many wait; nothing was made.
    """

    def make(training_id: str) -> TrainingRecord:
        return _make_training(trainer, request, upload, name, training_id)

    if key is None:
        return make(new_id())
    content = fingerprint(request.model_dump_json(), upload)
    return trainer.stores.keys.create_once(key, content, trainer.stores.trainings, make)


def _make_training(
    trainer: Trainer, request: TrainingRequest, upload: Path | None, name: str, training_id: str
) -> TrainingRecord:
    architecture = find_architecture(request.architecture)
    weights.require_weights(architecture, trainer.settings)
    stores = trainer.stores
    with ExitStack() as undo:
        with open_training_slot(stores, trainer.settings.max_open_jobs):
            dataset, made = _dataset_of(trainer, request, upload, name, training_id)
            if made:
                undo.callback(_undo_dataset, stores, dataset.id)
            record = _new_training(training_id, request, architecture.id, dataset)
            undo.callback(stores.trainings.delete, record.id)
            # Whoever removes the dataset looks, alone, for trainings on it.
            with stores.datasets.locked(dataset.id):
                stores.trainings.create(record)
        _submit(trainer, record, dataset)
        undo.pop_all()
    return record


def _submit(trainer: Trainer, training: TrainingRecord, dataset: DatasetRecord) -> None:
    """Queue the first step: reading the dataset, or preparing the training if it is read."""
    if must_be_read(dataset):
        WaitingTrainings(trainer.stores.datasets.directory(dataset.id)).add(training.id)
        trainer.queue.read_dataset(dataset.id)
    else:
        trainer.queue.prepare(training.id)


def _undo_dataset(stores: Stores, dataset_id: str) -> None:
    """Remove what was made for a training that could not be; others may be on it by now."""
    with suppress(HeadstartError):
        delete_unused(stores, dataset_id)


def _dataset_of(
    trainer: Trainer, request: TrainingRequest, upload: Path | None, name: str, training_id: str
) -> tuple[DatasetRecord, bool]:
    """Return the dataset to train on, and whether it was made for this request.

    What is made has the training's id: a repeated request, whose process was killed before it
    had made the training, finds it.
    """
    records, wanted = trainer.stores.datasets, request.dataset
    if isinstance(wanted, str) and is_id(wanted):
        return _existing(trainer, wanted), False
    with suppress(NotFound):
        return records.get(training_id), True
    if upload is not None:
        return datasets.create_from_upload(records, upload, name, dataset_id=training_id), True
    if wanted is None:
        raise InvalidRequest(
            "dataset: expected the id of a dataset, {'path': …} below the datasets directory, or "
            "an uploaded file in the multipart field 'archive'. Received: nothing"
        )
    path = wanted.path if isinstance(wanted, DatasetPath) else wanted
    made = datasets.create_from_path(records, trainer.settings, path, dataset_id=training_id)
    return made, True


def _existing(trainer: Trainer, dataset_id: str) -> DatasetRecord:
    record = trainer.stores.datasets.get(dataset_id)
    if record.error is None:
        return record
    if not record.error.transient:
        raise InvalidRequest(f"dataset: {dataset_id} can't be trained on: {record.error.detail}")
    return trainer.stores.datasets.update(dataset_id, _read_anew)


def _read_anew(record: DatasetRecord) -> None:
    if record.state == DatasetState.FAILED:
        record.state, record.error = DatasetState.QUEUED, None


def _new_training(
    training_id: str, request: TrainingRequest, architecture: str, dataset: DatasetRecord
) -> TrainingRecord:
    now = datetime.now(UTC)
    return TrainingRecord(
        id=training_id,
        model=request.model,
        architecture=architecture,
        state=State.QUEUED,
        dataset=TrainingDataset(id=dataset.id),
        transitions=[Transition(state=State.QUEUED, at=now)],
        request=request,
        created_at=now,
    )
