"""Creates the job that publishes a pre-trained network, and puts its first step on the queue."""

from contextlib import ExitStack
from datetime import UTC, datetime

from shared.identifiers import new_id
from trainer_service.backbones import weights
from trainer_service.backbones.architectures import find_architecture
from trainer_service.backbones.imagenet import Selection
from trainer_service.requests.pretrained import PretrainedRequest
from trainer_service.requests.training import TrainingRequest
from trainer_service.service.job_slots import open_training_slot
from trainer_service.service.trainer import Trainer
from trainer_service.store.idempotency import fingerprint
from trainer_service.store.records.training_record import (
    State,
    TrainingDataset,
    TrainingRecord,
    Transition,
)


def submit_pretrained(
    trainer: Trainer, request: PretrainedRequest, key: str | None = None
) -> TrainingRecord:
    """Create a job that publishes a pre-trained network as it is, and queue it.

    Args:
        trainer: the stores, the settings and the queue of the service.
        request: what to publish.
        key: the client's `Idempotency-Key`; a second request with it gets the same job.

    Raises:
        InvalidRequest: there is no such architecture or class, the classes don't make labels, or
            the key belongs to another request.
        WeightsUnavailable: the weights with the classifier are not available.
        Conflict: a request with the same key is in progress, or its record is damaged.
        Unavailable: Redis does not answer, or too many jobs wait; nothing was created.
    """

    def make(job_id: str) -> TrainingRecord:
        return _make_job(trainer, request, job_id)

    if key is None:
        return make(new_id())
    content = fingerprint(request.model_dump_json(), None)
    return trainer.stores.keys.create_once(key, content, trainer.stores.trainings, make)


def _make_job(trainer: Trainer, request: PretrainedRequest, job_id: str) -> TrainingRecord:
    architecture = find_architecture(request.pretrained, "pretrained")
    Selection.of(request.classes, request.rest)
    weights.require_weights(architecture, trainer.settings, top=True)
    trainings = trainer.stores.trainings
    with ExitStack() as undo:
        with open_training_slot(trainer.stores, trainer.settings.max_open_jobs):
            record = _new_job(job_id, request, architecture.id)
            undo.callback(trainings.delete, record.id)
            trainings.create(record)
        trainer.queue.prepare(record.id)
        undo.pop_all()
    return record


def _new_job(job_id: str, request: PretrainedRequest, architecture: str) -> TrainingRecord:
    now = datetime.now(UTC)
    return TrainingRecord(
        id=job_id,
        model=request.name,
        architecture=architecture,
        state=State.QUEUED,
        pretrained=request,
        dataset=TrainingDataset(),
        transitions=[Transition(state=State.QUEUED, at=now)],
        request=TrainingRequest(model=request.name, architecture=architecture),
        created_at=now,
    )
