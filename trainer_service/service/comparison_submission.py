"""Creates a comparison for a request, and puts its first step on the queue."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from shared.identifiers import new_id
from trainer_service.backbones import weights
from trainer_service.backbones.architectures import CATALOGUE, find_architecture
from trainer_service.backbones.cut_table import cut_of
from trainer_service.errors import WeightsUnavailable
from trainer_service.requests.comparison import ComparisonRequest, trainings_of
from trainer_service.service.naming import model_name_of
from trainer_service.service.submission import Source, create_on_dataset
from trainer_service.service.trainer import Trainer
from trainer_service.store.idempotency import fingerprint
from trainer_service.store.records.comparison_record import (
    Candidate,
    ComparisonDataset,
    ComparisonRecord,
    ComparisonState,
    ComparisonTransition,
)
from trainer_service.store.records.dataset_record import DatasetRecord


def submit_comparison(
    trainer: Trainer,
    request: ComparisonRequest,
    upload: Path | None,
    name: str,
    key: str | None = None,
) -> ComparisonRecord:
    """Create a comparison on an upload or on the dataset that the request names, and queue it.

    Args:
        trainer: the stores, the settings and the queue of the service.
        request: the fields of the comparison.
        upload: the uploaded archive; None if the request names a dataset.
        name: the name of the archive.
        key: the client's `Idempotency-Key`; a second request with it gets the same comparison.

    Raises:
        InvalidRequest: an architecture, the dataset or a combination can't be used, there are too
            many of these, or the key belongs to another request.
        NotFound: no dataset has the id in the request.
        WeightsUnavailable: the weights of a named architecture, or of all, are not available.
        Conflict: a request with the same key is in progress, or its record is damaged; or the
            dataset is read in another way at this moment.
        Unavailable: Redis does not answer, or too many trainings wait; nothing was created.
    """

    def make(comparison_id: str) -> ComparisonRecord:
        return _make_comparison(trainer, request, upload, name, comparison_id)

    if key is None:
        return make(new_id())
    content = fingerprint(f"comparison {request.model_dump_json()}", upload)
    return trainer.stores.keys.create_once(key, content, trainer.stores.comparisons, make)


def require_architectures(trainer: Trainer, names: Sequence[str], key: str | None) -> None:
    """Check, before the images of a request are received, that its architectures can be trained.

    Args:
        trainer: the stores and the settings of the service.
        names: the architectures that the request names.
        key: the client's `Idempotency-Key`, if there is one.

    Raises:
        InvalidRequest: there is no such architecture.
        WeightsUnavailable: the weights of one can't be had.
    """
    if key is None or not trainer.stores.keys.was_used(key, trainer.stores.comparisons):
        _named(trainer, names)


def _make_comparison(
    trainer: Trainer,
    request: ComparisonRequest,
    upload: Path | None,
    name: str,
    comparison_id: str,
) -> ComparisonRecord:
    architectures = _architectures_of(trainer, request)
    candidates = _candidates(request, architectures)
    return create_on_dataset(
        trainer,
        Source(request, upload, name, comparison_id),
        trainer.stores.comparisons,
        partial(_new_comparison, comparison_id, request, architectures, candidates),
        lambda record, _: trainer.queue.advance(record.id),
    )


def _architectures_of(trainer: Trainer, request: ComparisonRequest) -> list[str]:
    """Return the ids of the architectures of a comparison, each once."""
    if request.architectures != "available":
        return _named(trainer, request.architectures)
    found = weights.availabilities(trainer.settings)
    available = [name for name in CATALOGUE if found[name].available]
    if not available:
        tried = "; ".join(f"{name}: {one.detail}" for name, one in found.items())
        raise WeightsUnavailable(f"No architecture has weights that can be had: {tried}.")
    return available


def _named(trainer: Trainer, names: Sequence[str]) -> list[str]:
    rows = {row.id: row for row in map(find_architecture, names)}
    for row in rows.values():
        weights.require_weights(row, trainer.settings)
    return list(rows)


def _candidates(request: ComparisonRequest, architectures: Sequence[str]) -> list[Candidate]:
    found = []
    for name, training in trainings_of(request, architectures).items():
        cut_of(training.architecture, training.tune)
        found.append(Candidate(name=name, architecture=training.architecture, request=training))
    return found


def _new_comparison(
    comparison_id: str,
    request: ComparisonRequest,
    architectures: list[str],
    candidates: list[Candidate],
    dataset: DatasetRecord,
) -> ComparisonRecord:
    now = datetime.now(UTC)
    return ComparisonRecord(
        id=comparison_id,
        created_at=now,
        model=request.model or model_name_of(dataset.source),
        state=ComparisonState.QUEUED,
        dataset=ComparisonDataset(
            id=dataset.id, revision=dataset.revision, parent=dataset.parent, root=dataset.root
        ),
        transitions=[ComparisonTransition(state=ComparisonState.QUEUED, at=now)],
        architectures=architectures,
        candidates=candidates,
        request=request,
    )
