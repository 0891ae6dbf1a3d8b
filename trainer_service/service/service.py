"""What the trainer API does: plain functions behind the routes."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from shared.documents import reason
from shared.errors import (
    Conflict,
    HeadstartError,
    InvalidRequest,
    NotFound,
    RecordCorrupt,
    TrainingEnded,
    Unavailable,
    VersionCorrupt,
)
from shared.identifiers import is_id, new_id
from shared.manifest import Manifest
from shared.model_store import REPORT_FILE, REPORT_PAGE
from trainer_service.backbones import weights
from trainer_service.backbones.architectures import CATALOGUE, find_architecture
from trainer_service.datasets import create as datasets
from trainer_service.schemas import (
    ArchitectureStatus,
    DamagedVersion,
    DatasetPath,
    DatasetRecord,
    DatasetState,
    ModelStatus,
    State,
    TrainingDataset,
    TrainingRecord,
    TrainingRequest,
    Transition,
    VersionStatus,
)
from trainer_service.service import dataset_images
from trainer_service.service.dataset_images import (
    DatasetImagePage,
    ImageQuery,
    RejectedPage,
    RejectedQuery,
)
from trainer_service.service.endings import Endings, first
from trainer_service.service.event_streams import EventStreams
from trainer_service.service.room import room_for_dataset, room_for_training
from trainer_service.settings import TrainerSettings
from trainer_service.store.events import EventPage, ResultEvent
from trainer_service.store.idempotency import fingerprint
from trainer_service.store.outcome import end
from trainer_service.store.progress import ProgressBoard
from trainer_service.store.stores import Stores
from trainer_service.store.unused_datasets import delete_unused, users_of
from trainer_service.store.waiting import WaitingTrainings, must_be_read


class Queue(Protocol):
    """Where the first step of what is submitted is put; both raise Unavailable without Redis."""

    def prepare(self, training_id: str) -> None: ...

    def read_dataset(self, dataset_id: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Trainer:
    """What the trainer API works with."""

    settings: TrainerSettings
    stores: Stores
    board: ProgressBoard
    queue: Queue
    streams: EventStreams
    endings: Endings


def submit_dataset(
    trainer: Trainer, upload: Path | None, name: str, key: str | None = None
) -> DatasetRecord:
    """Make a dataset of an upload, or of a path below the datasets directory, and queue it.

    Args:
        trainer: where.
        upload: the archive, if one was uploaded.
        name: what it is called, or the path.
        key: what the client calls this request; the same again makes nothing new.

    Raises:
        InvalidRequest: the path is none that the trainer reads, or the key was another request's.
        Unavailable: Redis is away, or too many wait; nothing was made.
    """

    def make(dataset_id: str) -> DatasetRecord:
        return _make_dataset(trainer, upload, name, dataset_id)

    if key is None:
        return make(new_id())
    content = fingerprint(name, upload)
    return trainer.stores.keys.once(key, content, trainer.stores.datasets, make)


def _make_dataset(
    trainer: Trainer, upload: Path | None, name: str, dataset_id: str
) -> DatasetRecord:
    stores, settings = trainer.stores, trainer.settings
    with room_for_dataset(stores, settings.max_open_jobs):
        if upload is None:
            record = datasets.create_from_path(
                stores.datasets, settings, name, submitted=True, dataset_id=dataset_id
            )
        else:
            record = datasets.create_from_upload(
                stores.datasets, upload, name, submitted=True, dataset_id=dataset_id
            )
    try:
        trainer.queue.read_dataset(record.id)
    except Exception:
        stores.datasets.delete(record.id)
        raise
    return record


def list_images(trainer: Trainer, dataset_id: str, query: ImageQuery) -> DatasetImagePage:
    """Return a page of a dataset's images.

    Raises:
        Conflict: the dataset was not read yet.
    """
    dataset_images.require_read(trainer.stores.datasets.get(dataset_id))
    directory = trainer.stores.datasets.directory(dataset_id)
    return dataset_images.list_images(directory, query)


def list_rejected(trainer: Trainer, dataset_id: str, query: RejectedQuery) -> RejectedPage:
    """Return a page of the files of a dataset that are not used.

    Raises:
        Conflict: the dataset was not read yet.
    """
    dataset_images.require_read(trainer.stores.datasets.get(dataset_id))
    directory = trainer.stores.datasets.directory(dataset_id)
    return dataset_images.list_rejected(directory, query)


def get_image(trainer: Trainer, dataset_id: str, sha256: str) -> tuple[BinaryIO, str]:
    """Return the open file of a used image, and its media type.

    Raises:
        Conflict: the dataset was not read yet.
        NotFound: it uses no such image.
    """
    dataset = trainer.stores.datasets.get(dataset_id)
    dataset_images.require_read(dataset)
    directory = trainer.stores.datasets.directory(dataset_id)
    return dataset_images.open_image(trainer.settings, directory, dataset, sha256)


def get_thumbnail(trainer: Trainer, dataset_id: str, sha256: str) -> tuple[bytes, str]:
    """Return the bytes of a small copy of a used image, and their media type.

    Raises:
        Conflict: the dataset was not read yet.
        NotFound: it uses no such image, or has no small copy of it.
    """
    dataset = trainer.stores.datasets.get(dataset_id)
    dataset_images.require_read(dataset)
    directory = trainer.stores.datasets.directory(dataset_id)
    return dataset_images.find_small(trainer.settings, directory, dataset, sha256)


def submit_training(
    trainer: Trainer,
    request: TrainingRequest,
    upload: Path | None,
    name: str,
    key: str | None = None,
) -> TrainingRecord:
    """Queue a training of an upload or of the dataset that the request names.

    Args:
        trainer: where.
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
    return trainer.stores.keys.once(key, content, trainer.stores.trainings, make)


def _make_training(
    trainer: Trainer, request: TrainingRequest, upload: Path | None, name: str, training_id: str
) -> TrainingRecord:
    architecture = find_architecture(request.architecture)
    weights.require_weights(architecture, trainer.settings)
    stores = trainer.stores
    with ExitStack() as undo:
        with room_for_training(stores, trainer.settings.max_open_jobs):
            dataset, made = _dataset_of(trainer, request, upload, name, training_id)
            if made:
                undo.callback(_undo_dataset, stores, dataset.id)
            record = _new_training(training_id, request, architecture.id, dataset)
            undo.callback(stores.trainings.delete, record.id)
            # Whoever removes the dataset looks, alone, for trainings on it.
            with stores.datasets.alone(dataset.id):
                stores.trainings.create(record)
        _submit(trainer, record, dataset)
        undo.pop_all()
    return record


def _submit(trainer: Trainer, training: TrainingRecord, dataset: DatasetRecord) -> None:
    """Queue what is to be done first; whoever reads a dataset queues what waits for it."""
    if must_be_read(dataset):
        WaitingTrainings(trainer.stores.datasets.directory(dataset.id)).add(training.id)
        trainer.queue.read_dataset(dataset.id)
    else:
        trainer.queue.prepare(training.id)


def _undo_dataset(stores: Stores, dataset_id: str) -> None:
    """Remove what was made for a training that could not be; others may be on it by now."""
    with suppress(HeadstartError):
        delete_unused(stores, dataset_id)


def get_training(trainer: Trainer, training_id: str) -> TrainingRecord:
    """Return a training; with few labels its whole evaluation, else the numbers of it."""
    record = trainer.stores.trainings.get(training_id)
    if record.state == State.SUCCEEDED:
        record.metrics = trainer.stores.trainings.evaluation(record)
    return _completed(trainer, record)


def list_trainings(
    trainer: Trainer, limit: int, after: str | None
) -> tuple[list[TrainingRecord], str | None]:
    """Return some trainings, the newest first, and the cursor of the next ones, None at the end.

    Raises:
        InvalidRequest: the cursor is none.
    """
    trainings = trainer.stores.trainings
    records, following = trainings.page(limit, after)
    complete = [_completed(trainer, trainings.with_asked(record)) for record in records]
    return complete, following


async def wait_for_training(
    trainer: Trainer,
    training_id: str,
    seconds: float,
    *reasons: Callable[[], Coroutine[Any, Any, None]],
) -> TrainingRecord:
    """Return the record as soon as the training has ended, or after `seconds`.

    Args:
        trainer: where.
        training_id: which.
        seconds: the longest to wait.
        reasons: each waits for something else that ends the waiting; what it raises is raised.
    """
    record = await asyncio.to_thread(get_training, trainer, training_id)
    if record.state.ended or not seconds:
        return record
    await first(seconds, trainer.endings.wait(training_id), *(reason() for reason in reasons))
    return await asyncio.to_thread(get_training, trainer, training_id)


def get_events(trainer: Trainer, training_id: str, after: int, limit: int) -> EventPage:
    """Return the events after a cursor."""
    stores = trainer.stores
    record = stores.trainings.get(training_id)
    if record.state.ended:
        stores.events.tell(record)  # in case that whoever ended it was killed before it did
    events = stores.events.read(training_id, after, limit)
    last = events[-1] if events else stores.events.last(training_id)
    return EventPage(
        events=events,
        after=events[-1].id if events else after,
        ended=isinstance(last, ResultEvent),
    )


def get_report(trainer: Trainer, training_id: str) -> Path:
    """Return the file with the evaluation of a training that succeeded.

    Raises:
        Conflict: the training has published nothing.
    """
    return _published(trainer, training_id) / REPORT_FILE


def get_report_page(trainer: Trainer, training_id: str) -> Path | None:
    """Return the report for people; None if the version was published before there were any.

    Raises:
        Conflict: the training has published nothing.
    """
    page = _published(trainer, training_id) / REPORT_PAGE
    return page if page.is_file() else None


def cancel_training(trainer: Trainer, training_id: str) -> TrainingRecord:
    """Ask for a training's end; one that no process works on alone ends at once.

    Raises:
        TrainingEnded: there is nothing left to cancel.
    """
    trainings, models = trainer.stores.trainings, trainer.stores.models

    def cancel(record: TrainingRecord) -> None:
        if record.state.ended:
            raise TrainingEnded(training_id, record.state)
        record.cancel_requested = True

    record = trainings.ask(training_id, cancel)
    with trainings.lease(training_id) as held:
        # Whoever holds the lease sees to it. What a dead worker has published is there to stay.
        if held is None or models.published_by(record.model, training_id) is not None:
            return record
        return end(trainings, training_id, State.CANCELLED)


def stop_training(trainer: Trainer, training_id: str) -> TrainingRecord:
    """Ask a head to stop after this epoch; the best so far is evaluated and published.

    Raises:
        TrainingEnded: there is nothing left to stop.
        Conflict: there is no head yet that could be published.
    """

    def stop(record: TrainingRecord) -> None:
        if record.state.ended:
            raise TrainingEnded(training_id, record.state)
        if record.state in {State.QUEUED, State.PREPARING, State.BOTTLENECK}:
            raise Conflict(
                f"Training {training_id!r} has nothing to publish yet: it is {record.state}. "
                "It can be cancelled."
            )
        if record.stop_after is None:
            head = trainer.board.read(training_id, State.HEAD)
            record.stop_after = max(1, head.done if head else 0)

    return trainer.stores.trainings.ask(training_id, stop)


def delete_training(trainer: Trainer, training_id: str) -> None:
    """Remove a training that has ended; the version that it has published stays.

    Raises:
        Conflict: it has not ended, or nobody can tell and a process works on it.
    """
    trainings = trainer.stores.trainings
    try:
        record = trainings.get(training_id)
    except (RecordCorrupt, Unavailable):
        trainings.delete_unreadable(training_id)
        return
    if not record.state.ended:
        raise Conflict(f"Training {training_id!r} is {record.state}: cancel it first.")
    trainings.delete(training_id)


def delete_dataset(trainer: Trainer, dataset_id: str) -> None:
    """Remove a dataset and its images.

    Raises:
        Conflict: it is being read, or a training on it has not ended.
    """
    datasets_ = trainer.stores.datasets
    try:
        datasets_.get(dataset_id)
    except (RecordCorrupt, Unavailable):
        _require_unused(trainer, dataset_id)
        datasets_.delete_unreadable(dataset_id)
        return
    with datasets_.lease(dataset_id) as held, datasets_.alone(dataset_id):
        # First what uses it: a training is what reads it, most often.
        _require_unused(trainer, dataset_id)
        if held is None:
            raise Conflict(f"Dataset {dataset_id!r} is being read.")
        datasets_.delete(dataset_id)


def _require_unused(trainer: Trainer, dataset_id: str) -> None:
    try:
        users = users_of(trainer.stores, dataset_id)
    except RecordCorrupt as corrupt:
        raise Conflict(
            f"Nobody knows whether dataset {dataset_id!r} is in use: {corrupt.detail} "
            "Mend that training's record, or remove it with DELETE /v1/trainings/{id}."
        ) from None
    if users:
        raise Conflict(f"Dataset {dataset_id!r} is in use: training {users[0]!r} has not ended.")


def list_architectures(trainer: Trainer) -> list[ArchitectureStatus]:
    """Return every row of the catalogue with whether its weights can be had now."""
    statuses = []
    for architecture in CATALOGUE.values():
        found = weights.availability(architecture, trainer.settings)
        statuses.append(
            ArchitectureStatus(
                id=architecture.id,
                input_size=architecture.input_size,
                feature_size=architecture.feature_size,
                parameters=architecture.parameters,
                multiply_adds=architecture.multiply_adds,
                available=found.available,
                source=found.source,
                detail=found.detail,
            )
        )
    return statuses


def list_models(trainer: Trainer) -> list[ModelStatus]:
    models = []
    for name in trainer.stores.models.names():
        with suppress(NotFound):  # its last version is removed meanwhile
            models.append(get_model(trainer, name))
    return models


def get_model(trainer: Trainer, name: str) -> ModelStatus:
    """Return the versions of a model, newest first, and what of it can't be read.

    Raises:
        ModelNotFound: there is none of that name.
    """
    models = trainer.stores.models
    look = models.look(name)
    status = ModelStatus(name=name, pinned=look.pinned, versions=[], notice=look.fault)
    for version in reversed(look.versions or []):
        try:
            with suppress(NotFound):  # it is removed meanwhile
                status.versions.append(_version_status(models.manifest(name, version)))
        except VersionCorrupt as error:
            status.damaged.append(DamagedVersion(version=version, reason=error.detail))
        except OSError as error:
            status.damaged.append(DamagedVersion(version=version, reason=f"{reason(error)}."))
    return status


def _version_status(manifest: Manifest) -> VersionStatus:
    return VersionStatus(
        version=manifest.version,
        architecture=manifest.architecture,
        labels=manifest.labels,
        metrics=manifest.metrics,
        training_id=manifest.training_id,
        created_at=manifest.created_at,
    )


def pin_model(trainer: Trainer, name: str, version: int | None) -> ModelStatus:
    trainer.stores.models.pin(name, version)
    return get_model(trainer, name)


def delete_version(trainer: Trainer, name: str, version: int) -> None:
    """Remove a version that is not the one to be served.

    Raises:
        ModelNotFound, VersionNotFound: there is none of that name or number.
        Conflict: it is pinned, or no version is and it is the newest sound one.
        Unavailable: the machine can't tell now what is to be served.
    """
    trainer.stores.models.remove(name, version)


def _published(trainer: Trainer, training_id: str) -> Path:
    record = trainer.stores.trainings.get(training_id)
    if record.version is None:
        raise Conflict(f"Training {training_id!r} has no report: it is {record.state}.")
    return trainer.stores.models.directory(record.model, record.version)


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


def _completed(trainer: Trainer, record: TrainingRecord) -> TrainingRecord:
    """Fill in what is not in the record itself."""
    if record.version is not None:
        record.report = f"/v1/trainings/{record.id}/report"
    if not record.state.ended:
        record.progress = trainer.board.read(record.id, record.state)
    return record
