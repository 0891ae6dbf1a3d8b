"""Creates a training for a request, and puts its first step on the queue."""

from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from shared.errors import Conflict, HeadstartError, InvalidRequest, NotFound
from shared.identifiers import is_id, new_id
from trainer_service.backbones import weights
from trainer_service.backbones.architectures import find_architecture
from trainer_service.backbones.choice import Chosen, choose_architecture
from trainer_service.backbones.cut_table import cut_of, find_cut
from trainer_service.datasets import create as datasets
from trainer_service.datasets.dataset import Dataset, doubtful
from trainer_service.requests.training import CommonFields, DatasetPath, TrainingRequest
from trainer_service.service.job_slots import open_training_slot
from trainer_service.service.naming import model_name_of
from trainer_service.service.trainer import Trainer
from trainer_service.store.idempotency import fingerprint
from trainer_service.store.records.dataset_record import DatasetRecord, DatasetState
from trainer_service.store.records.parts import BaseRecord
from trainer_service.store.records.record_store import RecordStore
from trainer_service.store.records.training_record import (
    State,
    TrainingDataset,
    TrainingRecord,
    Transition,
)
from trainer_service.store.stores import Stores
from trainer_service.store.unused_datasets import delete_unused
from trainer_service.store.waiting import WaitingTrainings

R = TypeVar("R", bound=BaseRecord)


class Source(NamedTuple):
    """Where the images of a training or of a comparison come from.

    Attributes:
        request: the request, which may name a dataset.
        upload: the uploaded archive; None if the request names a dataset.
        name: the name of the archive.
        own_id: the id of the training or the comparison.
    """

    request: CommonFields
    upload: Path | None
    name: str
    own_id: str


def submit_training(
    trainer: Trainer,
    request: TrainingRequest,
    upload: Path | None,
    name: str,
    key: str | None = None,
) -> TrainingRecord:
    """Create a training on an upload or on the dataset that the request names, and queue it.

    Args:
        trainer: the stores, the settings and the queue of the service.
        request: the fields of the training.
        upload: the uploaded archive; None if the request names a dataset.
        name: the name of the archive.
        key: the client's `Idempotency-Key`; a second request with it gets the same training.

    Raises:
        InvalidRequest: the architecture or the dataset can't be used, the architecture can't be
            tuned from the layer that is named, or the key belongs to another request.
        NotFound: no dataset has the id in the request.
        WeightsUnavailable: the weights of the architecture are not available; or the request names
            none, and no architecture has weights that are.
        Conflict: a request with the same key is in progress, or its record is damaged; or the
            dataset is read in another way at this moment.
        Unavailable: Redis does not answer, or too many trainings wait; nothing was created.
    """

    def make(training_id: str) -> TrainingRecord:
        return _make_training(trainer, request, upload, name, training_id)

    if key is None:
        return make(new_id())
    content = fingerprint(request.model_dump_json(), upload)
    return trainer.stores.keys.create_once(key, content, trainer.stores.trainings, make)


def require_architecture(trainer: Trainer, name: str, key: str | None) -> None:
    """Check, before the images of a request are received, that its architecture can be trained.

    A request that is sent again gets its first answer, even if the weights are gone by now.

    Args:
        trainer: the stores and the settings of the service.
        name: the architecture that the request names.
        key: the client's `Idempotency-Key`, if there is one.

    Raises:
        InvalidRequest: there is no such architecture.
        WeightsUnavailable: its weights can't be had.
    """
    if key is None or not trainer.stores.keys.was_used(key, trainer.stores.trainings):
        weights.require_weights(find_architecture(name), trainer.settings)


def require_cut(name: str, tune: object) -> None:
    """Check, before the images of a request are received, the layer that it is to be tuned from.

    Args:
        name: the architecture that the request names.
        tune: the field of the request as far as it has come.

    Raises:
        InvalidRequest: the architecture can't be tuned from that layer.
    """
    layer = tune.get("from") if isinstance(tune, dict) else None
    if isinstance(layer, str):
        find_cut(find_architecture(name).id, layer)


def _make_training(
    trainer: Trainer, request: TrainingRequest, upload: Path | None, name: str, training_id: str
) -> TrainingRecord:
    chosen = _architecture_of(trainer, request)
    cut_of(chosen.architecture.id, request.tune)
    return create_on_dataset(
        trainer,
        Source(request, upload, name, training_id),
        trainer.stores.trainings,
        partial(_new_training, training_id, request, chosen),
        partial(_submit, trainer),
    )


def create_on_dataset(
    trainer: Trainer,
    source: Source,
    records: RecordStore[R],
    make: Callable[[DatasetRecord], R],
    submit: Callable[[R, DatasetRecord], None],
) -> R:
    """Create a training or a comparison, and its dataset if there is none; all or nothing.

    Args:
        trainer: the stores, the settings and the queue of the service.
        source: where its images come from.
        records: the store of the record.
        make: returns the record, given its dataset.
        submit: queues its first step.

    Raises:
        InvalidRequest, NotFound: there is no such dataset, or it can't be used.
        Conflict: the dataset is read in another way at this moment.
        Unavailable: too many trainings wait.
        Exception: what `make` and `submit` raise.
    """
    stores = trainer.stores
    with ExitStack() as undo:
        with open_training_slot(stores, trainer.settings.max_open_jobs):
            dataset, made = _dataset_of(trainer, source)
            if made:
                undo.callback(_undo_dataset, stores, dataset.id)
            record = make(dataset)
            undo.callback(records.delete, record.id)
            # Deleting a dataset takes the same lock and then looks who uses it.
            with stores.datasets.locked(dataset.id):
                _require_same_reading(stores.datasets, dataset)
                records.create(record)
        submit(record, dataset)
        undo.pop_all()
    return record


def _architecture_of(trainer: Trainer, request: TrainingRequest) -> Chosen:
    """Return the architecture that a request names, or else the one that is taken."""
    if "architecture" not in request.model_fields_set:
        return choose_architecture(trainer.settings)
    architecture = find_architecture(request.architecture)
    weights.require_weights(architecture, trainer.settings)
    return Chosen(architecture, None)


def _submit(trainer: Trainer, training: TrainingRecord, dataset: DatasetRecord) -> None:
    """Queue the first step: reading the dataset, or preparing the training if it is read."""
    if dataset.state.unread:
        WaitingTrainings(trainer.stores.datasets.directory(dataset.id)).add(training.id)
        trainer.queue.read_dataset(dataset.id)
    else:
        trainer.queue.prepare(training.id)


def _require_same_reading(datasets: RecordStore[DatasetRecord], dataset: DatasetRecord) -> None:
    """Check that the reading is still the one that the training was found possible on."""
    if datasets.get(dataset.id).revision != dataset.revision:
        raise Conflict(
            f"Dataset {dataset.id!r} has been read in another way meanwhile. Look at it, and "
            "submit the request again."
        )


def _undo_dataset(stores: Stores, dataset_id: str) -> None:
    """Remove the dataset of what was not created, unless something else uses it."""
    with suppress(HeadstartError):
        delete_unused(stores, dataset_id)


def _dataset_of(trainer: Trainer, source: Source) -> tuple[DatasetRecord, bool]:
    """Return the dataset to train on, and whether it was created for this request.

    A new dataset gets the id of the training or the comparison. So if the process is killed before
    it has created that, the repeated request finds the dataset.
    """
    request, upload, name, own_id = source
    records, wanted = trainer.stores.datasets, request.dataset
    if isinstance(wanted, str) and is_id(wanted):
        if request.reading is not None:
            raise InvalidRequest(
                f"reading: dataset {wanted} exists. Expected to be decided with "
                f"PUT /v1/datasets/{wanted}/reading"
            )
        return _existing(trainer, wanted), False
    with suppress(NotFound):
        return records.get(own_id), True
    if upload is not None:
        made = datasets.create_from_upload(
            records, upload, name, dataset_id=own_id, reading=request.reading
        )
        return made, True
    if wanted is None:
        raise InvalidRequest(
            "dataset: expected the id of a dataset, {'path': …} below the datasets directory, or "
            "an uploaded file in the multipart field 'archive'. Received: nothing"
        )
    path = wanted.path if isinstance(wanted, DatasetPath) else wanted
    made = datasets.create_from_path(
        records, trainer.settings, path, dataset_id=own_id, reading=request.reading
    )
    return made, True


def _existing(trainer: Trainer, dataset_id: str) -> DatasetRecord:
    dataset = Dataset.open(trainer.stores.datasets, trainer.settings, dataset_id)
    dataset.require_owners()
    record = dataset.record
    if record.error is None:
        if record.doubt and record.state == DatasetState.READY:
            raise InvalidRequest(doubtful(record))
        return record
    if not record.error.transient:
        raise InvalidRequest(f"dataset: {dataset_id} can't be trained on: {record.error.detail}")
    return trainer.stores.datasets.update(dataset_id, _requeue)


def _requeue(record: DatasetRecord) -> None:
    if record.state == DatasetState.FAILED:
        record.state, record.error = DatasetState.QUEUED, None


def _new_training(
    training_id: str, request: TrainingRequest, chosen: Chosen, dataset: DatasetRecord
) -> TrainingRecord:
    now = datetime.now(UTC)
    taken = chosen.architecture.id
    # A request that is made of this one has to train the same.
    named = {"model": request.model or model_name_of(dataset.source)}
    if chosen.reason is not None:
        named["architecture"] = taken
    return TrainingRecord(
        id=training_id,
        model=named["model"],
        architecture=taken,
        architecture_reason=chosen.reason,
        state=State.QUEUED,
        dataset=TrainingDataset(
            id=dataset.id, revision=dataset.revision, parent=dataset.parent, root=dataset.root
        ),
        transitions=[Transition(state=State.QUEUED, at=now)],
        request=request.model_copy(update=named),
        created_at=now,
    )
