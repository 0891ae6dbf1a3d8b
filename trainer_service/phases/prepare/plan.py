"""The plan of a training: which features it reuses, and which are computed in which shards."""

from trainer_service.backbones import weights
from trainer_service.backbones.architectures import find_architecture
from trainer_service.backbones.features import Row
from trainer_service.phases.backbone import feature_store, planned_precision
from trainer_service.phases.work import Worker, split
from trainer_service.steps import READ_DATASET, Step
from trainer_service.store.cancellation import CancellationCheck
from trainer_service.store.lease import Lease
from trainer_service.store.outcome import end
from trainer_service.store.records.training_record import CacheUse, State, TrainingRecord
from trainer_service.store.shards import ShardImage, Shards
from trainer_service.store.waiting import WaitingTrainings, must_be_read
from trainer_service.store.work_metrics import FEATURES


def wait_for_dataset(worker: Worker, training: TrainingRecord) -> bool:
    """Have a training wait for its dataset if that is to be read; tell whether it does.

    Raises:
        DatasetNotFound, RecordCorrupt: there is nothing to wait for.
    """
    datasets = worker.stores.datasets
    dataset = datasets.get(training.dataset.id)
    waiting = WaitingTrainings(datasets.directory(dataset.id))
    if not must_be_read(dataset):
        waiting.discard(training.id)
        return False
    waiting.add(training.id)
    # Also while it is being read: it may be ready by now, and nobody have seen this one wait.
    worker.submit.submit([Step(READ_DATASET, (dataset.id,))])
    return True


def plan(worker: Worker, training_id: str, held: Lease, check_cancelled: CancellationCheck) -> None:
    trainings = worker.stores.trainings
    record = trainings.update(training_id, lambda record: record.enter(State.PREPARING))
    dataset = worker.dataset_of(record)
    if dataset.record.error is not None:
        end(trainings, training_id, State.FAILED, dataset.record.error)
        return
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
