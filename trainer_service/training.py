"""A training from its dataset to a published version, as plain functions that need no broker.

`prepare` plans the shards once the dataset is read, `compute_shard` computes one of them, and
`finish` trains the head, tunes the last layers if that is asked for, evaluates the network and
publishes a version. Each is a step on the queue, and each may be repeated at any time: it does not
do again what the store has already, and leaves alone what another process works on. A step that is
lost together with its worker or with Redis is found and submitted again by `worker.lost_steps`.

A pre-trained network that is published as it is takes the same steps: `prepare` gets its weights
and plans no shards, and `finish` publishes it.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import partial

from shared.logs import bind
from trainer_service.errors import TrainingCancelled, TrainingNotFound
from trainer_service.phase_table import needs_plan, next_steps, phase_of
from trainer_service.phases.bottleneck import shard
from trainer_service.phases.evaluate.evaluation import evaluate_network
from trainer_service.phases.head.fitting import fit
from trainer_service.phases.head.trial import try_out
from trainer_service.phases.prepare.plan import plan
from trainer_service.phases.pretrained.prepare import prepare_pretrained
from trainer_service.phases.pretrained.publish import publish_pretrained
from trainer_service.phases.publish.promotion import promotion_of
from trainer_service.phases.publish.publish import publish
from trainer_service.phases.setbacks import hand_over, persevere
from trainer_service.phases.tune.phase import forget_tuning, tune_if_asked, tuning_kept
from trainer_service.phases.work import Work, Worker
from trainer_service.queue.steps import ADVANCE, COMPUTE_SHARD, FINISH, PREPARE, Step
from trainer_service.store.files.lease import Lease, lease, require_survivable
from trainer_service.store.outcome import end, recorded_outcome
from trainer_service.store.records.training_record import (
    State,
    TrainingRecord,
    numbers,
)
from trainer_service.store.shards import Shards


def prepare(worker: Worker, training_id: str) -> None:
    """Plan which features have to be computed and submit their shards.

    A training whose dataset is not read yet waits for it instead; whoever has read the dataset
    submits this step again.

    Raises:
        TrainingNotFound, RecordCorrupt: there is no such training, or its record is damaged.
    """
    with worker.stores.trainings.lease(training_id) as held:
        work = _begin(worker, Step(PREPARE, (training_id,)), held)
        if work is None or not needs_plan(work.record, work.shards):
            return
        done = _carry_out(work, prepare_pretrained if work.record.pretrained else plan)
    _end_if_cancelled(work)
    _advance_comparison(work)
    if not done:
        hand_over(work)
    elif not needs_plan(work.record, work.shards):
        _submit_next(work)


def compute_shard(worker: Worker, training_id: str, number: int) -> None:
    """Compute the features of one shard; the process that does the last one submits `finish`.

    Raises:
        TrainingNotFound, RecordCorrupt: there is no such training, or its record is damaged.
    """
    shards = Shards(worker.stores.trainings.directory(training_id))
    with lease(shards.lease_file(number)) as held:
        work = _begin(worker, Step(COMPUTE_SHARD, (training_id, number)), held)
        if work is None or not _computes_shards(work):
            return
        compute = partial(shard.compute, number=number)
        done = shards.finished(number) or _carry_out(work, compute)
    _clear_if_ended(work)
    _advance_comparison(work)
    if not done:
        hand_over(work)
    elif shards.complete():
        _submit_next(work)


def finish(worker: Worker, training_id: str) -> None:
    """Train the head, tune the last layers, evaluate the network and publish a version.

    Raises:
        TrainingNotFound, RecordCorrupt: there is no such training, or its record is damaged.
        OSError, RecordUnwritable: the version is published, but the record can't say so now; it
            will when this step is repeated.
    """
    with worker.stores.trainings.lease(training_id) as held:
        work = _begin(worker, Step(FINISH, (training_id,)), held)
        if work is None or not work.shards.complete():
            return
        if work.record.trial_images is not None:
            done = _carry_out(work, _try_out)
        else:
            versions: list[int] = []
            done = _carry_out(work, lambda work: versions.append(_publish_once(work)))
            if versions:
                _succeed(work, versions[-1])
        if done:
            forget_tuning(work)
    if not done:
        hand_over(work)
    _advance_comparison(work)


def _begin(worker: Worker, step: Step, held: Lease | None) -> Work | None:
    """Return the work of a step; None if another process is at it or the training has ended."""
    record = worker.stores.trainings.get(str(step.arguments[0]))
    bind(training_id=record.id, model=record.model)
    if record.state.ended:
        # The lease of this step may have come while its folder was removed, which then stays.
        worker.stores.trainings.clear(record.id)
    if held is None or record.state.ended:
        return None
    return Work(worker, step, record, held)


def _carry_out(work: Work, do: Callable[[Work], None]) -> bool:
    """Do a step, and try again if the machine fails it; other errors end the training.

    Returns:
        False if this worker could not do the step, which it then has to hand over to another one.
    """
    given_up = False
    with recorded_outcome(work.worker.stores.trainings, work.record.id):
        require_survivable(work.held)
        given_up = not persevere(work, partial(do, work))
    return not given_up


def _computes_shards(work: Work) -> bool:
    """Return whether the training is in the phase of its shards, and they are planned."""
    phase = phase_of(work.record.state)
    return phase is not None and phase.task == COMPUTE_SHARD and work.shards.count() is not None


def _end_if_cancelled(work: Work) -> None:
    """End a training that was cancelled while this process held its lease.

    The API leaves that to the holder, which may not have looked for it any more.
    """
    try:
        work.check_cancelled.now()
    except TrainingCancelled:
        end(work.worker.stores.trainings, work.record.id, State.CANCELLED)


def _clear_if_ended(work: Work) -> None:
    """Remove what this process has written after another one had ended the training.

    A folder in which a file appears while it is removed stays.
    """
    trainings = work.worker.stores.trainings
    with suppress(TrainingNotFound):
        if trainings.get(work.record.id).state.ended:
            trainings.clear(work.record.id)


def _submit_next(work: Work) -> None:
    """Submit the next steps. The lease of this step has to be released before."""
    record = work.worker.stores.trainings.get(work.record.id)
    if not record.state.ended:
        work.worker.queue.submit(next_steps(record, work.shards))


def _advance_comparison(work: Work) -> None:
    """Have the comparison of a training that has ended look what comes next."""
    comparison = work.record.comparison
    if comparison is None:
        return
    with suppress(TrainingNotFound):
        if work.worker.stores.trainings.get(work.record.id).state.ended:
            work.worker.queue.submit([Step(ADVANCE, (comparison,))])


def _try_out(work: Work) -> None:
    found = try_out(work)
    work.held.raise_if_lost()

    def succeed(record: TrainingRecord) -> None:
        record.trial = found
        record.enter(State.SUCCEEDED)

    work.update(succeed)


def _publish_once(work: Work) -> int:
    """Return the training's version; it is made unless an earlier try has published it."""
    version = work.models.published_by(work.record.model, work.record.id)
    if version is None:
        work.check_cancelled()
        if work.record.pretrained is not None:
            return publish_pretrained(work, work.record.pretrained)
        with tuning_kept(work):
            evaluated = evaluate_network(work, tune_if_asked(work, fit(work)))
            work.held.raise_if_lost()
            version = publish(work, evaluated)
    return version


def _succeed(work: Work, version: int) -> None:
    """Write the version into the training's record.

    No error of it ends the training, as the version is there: the step is repeated.
    """
    bind(version=version)
    manifest = work.models.manifest(work.record.model, version)
    promotion = promotion_of(work.models, work.record.model, version)
    work.worker.stores.trainings.keep_evaluation(work.record.id, manifest.metrics)

    def succeed(record: TrainingRecord) -> None:
        if record.comparison is None:
            record.version = version
        else:
            record.withheld = version
        record.metrics = numbers(manifest.metrics)
        record.head = manifest.head
        record.tune = manifest.tune
        record.quantization = manifest.quantization
        record.unknown = manifest.unknown
        record.coverage = manifest.coverage
        record.promotion = promotion
        record.enter(State.SUCCEEDED)

    work.update(succeed)
