"""A training from its dataset to a published version: plain functions, no broker needed.

`prepare` plans the shards, once the dataset is read; `compute_shard` computes one of them, `finish`
trains the head, evaluates and publishes. Each may be repeated at any time: what lies in the store
is not done again, and what another process works on is left to it. A step that gets lost, as a
worker or Redis may, is found and submitted again by `worker.lost_steps`.
"""

from collections.abc import Callable
from functools import partial

from shared.logs import bind, get_logger
from trainer_service.backbones import weights
from trainer_service.backbones.architectures import find_architecture
from trainer_service.backbones.features import Row
from trainer_service.errors import TrainingCancelled
from trainer_service.next_steps import needs_plan, next_steps
from trainer_service.phase_table import phase_of
from trainer_service.phases.bottleneck.choices import (
    feature_computer_for,
    feature_store,
    planned_precision,
)
from trainer_service.phases.context import Worker
from trainer_service.phases.evaluate.evaluation import evaluate_network
from trainer_service.phases.head.fitting import fit, split
from trainer_service.phases.prepare.reading_step import wait_for_dataset
from trainer_service.phases.publish.publish import publish
from trainer_service.phases.setbacks import hand_over, persevere, warn_of_setback
from trainer_service.steps import COMPUTE_SHARD, FINISH, PREPARE, Step
from trainer_service.store.cancellation import CancellationCheck
from trainer_service.store.events.progress import Ticker
from trainer_service.store.lease import Lease, lease, require_survivable
from trainer_service.store.outcome import end, recorded_outcome
from trainer_service.store.records.training_record import CacheUse, State, TrainingRecord, numbers
from trainer_service.store.shards import ShardImage, ShardResult, Shards
from trainer_service.store.stores import TrainingStore
from trainer_service.store.work_metrics import COMPUTE_SECONDS, FEATURES

log = get_logger(__name__)


def prepare(worker: Worker, training_id: str) -> None:
    """Find out which features are missing and submit their shards; wait for an unread dataset."""
    trainings = worker.stores.trainings
    with trainings.lease(training_id) as held:
        record = trainings.get(training_id)
        bind(training_id=training_id, model=record.model)
        shards = Shards(trainings.directory(training_id))
        if held is None or record.state.ended or not needs_plan(record, shards):
            return
        waits, done = False, True
        check_cancelled = CancellationCheck(trainings, training_id)
        with recorded_outcome(trainings, training_id):
            require_survivable(held)

            def work() -> None:
                nonlocal waits
                check_cancelled.now()
                waits = wait_for_dataset(worker, record)
                if not waits:
                    _prepare(worker, training_id, held, check_cancelled)

            done = _persevere(worker, record, check_cancelled, work)
    _end_if_cancelled(trainings, training_id)
    if not done:
        hand_over(worker, shards.directory, Step(PREPARE, (training_id,)), check_cancelled)
    elif not waits:
        _submit_next(worker, training_id)


def compute_shard(worker: Worker, training_id: str, number: int) -> None:
    """Compute the features of one shard; whichever completes the set submits `finish`."""
    trainings = worker.stores.trainings
    record = trainings.get(training_id)
    bind(training_id=training_id, model=record.model)
    shards = Shards(trainings.directory(training_id))
    phase = phase_of(record.state)
    if phase is None or phase.task != COMPUTE_SHARD or shards.count() is None:
        return
    done = True
    check_cancelled = CancellationCheck(trainings, training_id)
    with lease(shards.lease_file(number)) as held, recorded_outcome(trainings, training_id):
        if held is None:
            return
        work = partial(_compute_shard, worker, record, shards, number, held, check_cancelled)
        done = _persevere(worker, record, check_cancelled, work)
    if not done:
        hand_over(
            worker, shards.directory, Step(COMPUTE_SHARD, (training_id, number)), check_cancelled
        )
    elif shards.complete():
        _submit_next(worker, training_id)


def finish(worker: Worker, training_id: str) -> None:
    """Train the head, evaluate it on the test images and publish a version."""
    trainings = worker.stores.trainings
    with trainings.lease(training_id) as held:
        record = trainings.get(training_id)
        bind(training_id=training_id, model=record.model)
        shards = Shards(trainings.directory(training_id))
        if held is None or record.state.ended or not shards.complete():
            return
        done = True
        check_cancelled = CancellationCheck(trainings, training_id)
        with recorded_outcome(trainings, training_id):
            require_survivable(held)
            work = partial(_finish, worker, record, held, check_cancelled)
            done = _persevere(worker, record, check_cancelled, work)
    if not done:
        hand_over(worker, shards.directory, Step(FINISH, (training_id,)), check_cancelled)


def _persevere(
    worker: Worker,
    record: TrainingRecord,
    check_cancelled: CancellationCheck,
    work: Callable[[], None],
) -> bool:
    """Do the work of a step, again if the machine fails it; return whether it was done."""
    shards = Shards(worker.stores.trainings.directory(record.id))
    tell = partial(warn_of_setback, worker, record.id)
    return persevere(worker, shards.directory, check_cancelled, work, tell)


def _end_if_cancelled(trainings: TrainingStore, training_id: str) -> None:
    """See to a cancellation that came while the lease was held, and was left to its holder."""
    try:
        CancellationCheck(trainings, training_id).now()
    except TrainingCancelled:
        end(trainings, training_id, State.CANCELLED)


def _submit_next(worker: Worker, training_id: str) -> None:
    """Submit the next steps. The lease of this step has to be released before."""
    trainings = worker.stores.trainings
    record = trainings.get(training_id)
    if not record.state.ended:
        worker.submit.submit(next_steps(record, Shards(trainings.directory(training_id))))


def _prepare(
    worker: Worker, training_id: str, held: Lease, check_cancelled: CancellationCheck
) -> None:
    trainings = worker.stores.trainings
    record = trainings.update(training_id, lambda record: record.enter(State.PREPARING))
    dataset = worker.dataset_of(record)
    if dataset.record.error is not None:
        end(trainings, training_id, State.FAILED, dataset.record.error)
        return
    dataset.require_confirmed()
    architecture = find_architecture(record.architecture)
    resolved = weights.resolve(architecture, worker.settings, check_cancelled)
    dataset.files().require()  # they are needed at the end, even if all features are stored
    images = dataset.used_images()
    split(record, images)  # refuses too small a dataset before anything is computed
    precision = planned_precision(worker.settings)
    features = feature_store(worker.settings, architecture, resolved, precision)
    known = features.locate(image.sha256 for image in images)
    missing = [image for image in images if image.sha256 not in known]
    reused = [known[image.sha256] for image in images if image.sha256 in known]
    features.use({row.shard for row in reused})
    held.raise_if_lost()  # a new plan would undo what whoever has taken over has done since
    shard_images = [ShardImage(sha256=image.sha256, path=image.file) for image in missing]
    Shards(trainings.directory(training_id)).plan(shard_images, precision)

    def fill(current: TrainingRecord) -> None:
        found = dataset.record
        current.dataset.images = found.images
        current.dataset.count_labels(found.labels)
        current.dataset.reject(found.rejected, found.verdicts)
        # Prepared again after a crash, what this training itself computed is not "reused".
        current.cache = current.cache or _cache_use(reused)
        current.enter(State.BOTTLENECK)

    trainings.update(training_id, fill)
    FEATURES.labels("reused").inc(len(reused))
    worker.board.start(training_id, State.BOTTLENECK, len(missing))


def _cache_use(reused: list[Row]) -> CacheUse:
    saved = round(sum(row.seconds for row in reused), 3)
    return CacheUse(reused=len(reused), computed=0, seconds_saved=saved)


def _compute_shard(  # noqa: PLR0913, PLR0917
    worker: Worker,
    record: TrainingRecord,
    shards: Shards,
    number: int,
    held: Lease,
    check_cancelled: CancellationCheck,
) -> None:
    if shards.finished(number):
        return
    require_survivable(held)
    log.info("computing shard", shard=number)
    files = worker.dataset_of(record).files()
    architecture = find_architecture(record.architecture)
    resolved = weights.resolve(architecture, worker.settings, check_cancelled)
    ticker = Ticker(worker.board, record.id, part=str(number))

    def advance(done: int) -> None:
        check_cancelled()
        ticker(done)

    precision, planned = shards.precision(), shards.images(number)
    features_of = feature_store(worker.settings, architecture, resolved, precision)
    if features_of.holds([image.sha256 for image in planned]):
        # Another training on the same images has computed them since this one was planned.
        shards.finish(number, ShardResult(computed=0, seconds=0, rejected={}))
        FEATURES.labels("reused").inc(len(planned))
        ticker(len(planned), last=True)
        return
    computer = feature_computer_for(worker, architecture, resolved, precision)
    images, features, result = computer.compute(planned, files, advance)
    shards.require_few_lost(number, result, record.dataset.images or 0)
    if images:
        features_of.write(images, features, result.seconds)
    held.raise_if_lost()
    shards.finish(number, result)
    FEATURES.labels("computed").inc(len(images))
    COMPUTE_SECONDS.inc(result.seconds)
    ticker(len(images) + len(result.rejected), last=True)


def _finish(
    worker: Worker, record: TrainingRecord, held: Lease, check_cancelled: CancellationCheck
) -> None:
    models, trainings = worker.stores.models, worker.stores.trainings
    version = models.published_by(record.model, record.id)
    if version is None:
        check_cancelled()
        trained = fit(worker, record, check_cancelled)
        evaluated = evaluate_network(worker, record, trained)
        held.raise_if_lost()
        version = publish(worker, trainings.get(record.id), evaluated, check_cancelled)
    bind(version=version)
    manifest = models.manifest(record.model, version)

    trainings.keep_evaluation(record.id, manifest.metrics)

    def succeed(current: TrainingRecord) -> None:
        current.version = version
        current.metrics = numbers(manifest.metrics)
        current.quantization = manifest.quantization
        current.enter(State.SUCCEEDED)

    trainings.update(record.id, succeed)
