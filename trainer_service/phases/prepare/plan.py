"""The plan of a training: which features it reuses, and which are computed in which shards."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from shared.engines import Precision, select_engine
from trainer_service.backbones.backbone import bottleneck_precision
from trainer_service.backbones.cut_table import cut_of
from trainer_service.backbones.features import FeatureStore, Row
from trainer_service.datasets.dataset import Dataset
from trainer_service.datasets.doubles import doubles_among
from trainer_service.datasets.records import ImageRecord
from trainer_service.errors import InvalidDataset
from trainer_service.phases.backbone import Backbone
from trainer_service.phases.disk_room import NUMBER_BYTES, Demand, bytes_in
from trainer_service.phases.few_images import FEWEST_TO_TUNE
from trainer_service.phases.prepare.plan_views import plan_views
from trainer_service.phases.work import Work
from trainer_service.queue.steps import READ_DATASET, Step
from trainer_service.requests.tune import TuneRequest
from trainer_service.settings import TrainerSettings
from trainer_service.store.events.events import WarningEvent
from trainer_service.store.outcome import end
from trainer_service.store.records.dataset_record import DatasetRecord
from trainer_service.store.records.parts import ErrorInfo
from trainer_service.store.records.training_record import CacheUse, State, TrainingRecord
from trainer_service.store.shards import ShardImage
from trainer_service.store.stores import ACTIVATIONS_FOLDER, FEATURES_FOLDER
from trainer_service.store.waiting import WaitingTrainings
from trainer_service.store.work_metrics import FEATURES


def plan(work: Work) -> None:
    """Plan the shards of a training, or have it wait for a dataset that is not read yet.

    With a plan the training is in the state "bottleneck". Without one it waits, or has failed
    because its dataset can't be trained on.

    Raises:
        TrainingCancelled: the training was cancelled.
        DatasetNotFound, RecordCorrupt: the dataset is gone or damaged.
        InvalidDataset: a label has too few images for the split, or there are too many labels; or
            the dataset with the images is gone.
        InvalidRequest: the features of the views would take too much memory.
        WeightsUnavailable: the weights of the architecture can't be had.
        TransientFailure: the disk can't hold the features.
        NotSeenHere: this worker does not see the images.
        LeaseLost: another process has taken over.
    """
    work.check_cancelled.now()
    dataset = work.dataset()
    if wait_for_dataset(work, dataset):
        return
    work.enter(State.PREPARING)
    error = dataset.record.error or _refusal(work.record, dataset.record)
    if error is None:
        _plan(work, dataset)
    else:
        end(work.worker.stores.trainings, work.record.id, State.FAILED, error)


def _refusal(training: TrainingRecord, dataset: DatasetRecord) -> ErrorInfo | None:
    """Return why the reading did not fit that a training was submitted to; None if it did."""
    refused = dataset.refused
    if refused is None or refused.revision != training.dataset.revision:
        return None
    detail = (
        f"{refused.error.detail} The dataset stays as it was read before: submit the training "
        "again to train on it so."
    )
    return refused.error.model_copy(update={"detail": detail})


def wait_for_dataset(work: Work, dataset: Dataset) -> bool:
    """Have a training wait if its dataset is yet to be read, and return whether it waits."""
    waiting = WaitingTrainings(dataset.directory)
    if not dataset.record.state.unread:
        waiting.discard(work.record.id)
        return False
    waiting.add(work.record.id)
    # Also while a worker reads it: that one may have looked for waiting trainings for the last
    # time just before this one was added.
    work.worker.queue.submit([Step(READ_DATASET, (dataset.id,))])
    return True


def planned_precision(settings: TrainerSettings) -> Precision:
    """Return the precision in which trainings that this machine plans compute their features."""
    return bottleneck_precision(select_engine(settings.engine), settings.precision)


def _plan(work: Work, dataset: Dataset) -> None:
    dataset.require_confirmed()
    dataset.require_owners()
    precision = planned_precision(work.worker.settings)
    backbone = Backbone.of(work, precision)
    dataset.files().require()  # they are needed at the end, even if all features are stored
    images = work.used_images(dataset)
    _require_few_labels(images, work.worker.settings.max_labels)
    # Of all images, also in a trial: it refuses too small a dataset before anything is computed.
    splits = work.split(dataset.used_images())
    views, viewed = plan_views(backbone, splits, work.worker.settings.max_views_bytes)
    reused, missing = _divide(images, backbone.features)
    rows = sum(image.rows for image in (*missing, *viewed))
    _require_room(work, backbone, rows, splits)
    work.held.raise_if_lost()  # a new plan would undo what another process has done since
    work.shards.plan(missing, precision, viewed)

    def fill(record: TrainingRecord) -> None:
        found = dataset.record
        record.dataset.images = found.images
        record.dataset.count_labels(found.labels)
        if found.doubles is not None:
            record.dataset.doubles = doubles_among(splits, found.doubles.crowds)
        record.dataset.reject(found.rejected, found.verdicts)
        record.dataset.corrected, record.dataset.added = found.corrected, found.added
        # Prepared again after a crash, what this training itself computed is not "reused".
        record.cache = record.cache or _cache_use(reused, views)
        record.enter(State.BOTTLENECK)

    work.update(fill)
    FEATURES.labels("reused").inc(len(reused) + len(views))
    work.worker.board.start(work.record.id, State.BOTTLENECK, rows)


def _require_few_labels(images: list[ImageRecord], most: int) -> None:
    """Check that there are not more labels than a training may have.

    Raises:
        InvalidDataset: there are.
    """
    labels = len({image.label for image in images})
    if labels > most:
        raise InvalidDataset(
            f"HEADSTART_MAX_LABELS allows a training {most} labels. Received: {labels}. If these "
            "are names of files or numbers, have the dataset read in another way."
        )


def _require_room(
    work: Work, backbone: Backbone, rows: int, splits: Mapping[str, Sequence[ImageRecord]]
) -> None:
    """Check that the disk holds the features that are missing, and what fine-tuning learns from.

    A warning says if that leaves little of it. Tuning checks its part once more, exactly.

    Args:
        work: the training.
        backbone: with all taps that are computed.
        rows: how many rows of features are missing.
        splits: the images of "train", "validation" and "test".

    Raises:
        TransientFailure: it does not hold them, whatever is stored already.
    """
    store = work.worker.settings.store
    width = backbone.architecture.feature_size_of(backbone.computed_taps)
    demand = Demand(
        store / FEATURES_FOLDER,
        rows * width * NUMBER_BYTES,
        f"{rows:,} rows of {width:,} features",
        "Make room there, or ask for fewer layers (`taps`) or `views`.",
    )
    demand.require_room()
    if tuning := _bytes_of_tuning(work.record, splits):
        both = replace(
            demand,
            bytes=demand.bytes + tuning,
            what=f"{demand.what} and what fine-tuning learns from",
            remedy="Make room there, or ask for fewer tune.views or a later layer in tune.from.",
        )
        stored = min(tuning, bytes_in(store / ACTIVATIONS_FOLDER))
        replace(both, bytes=both.bytes - stored).require_room()
        demand = both
    if demand.warning:
        warning = WarningEvent(code="little_room", detail=demand.warning)
        work.worker.stores.events.append_once(work.record.id, warning)


def _bytes_of_tuning(record: TrainingRecord, splits: Mapping[str, Sequence[ImageRecord]]) -> int:
    """Return what the views of images take that a training is to tune with; 0 if it can't."""
    asked = record.request.tune
    cut = cut_of(record.architecture, asked)
    if cut is None or len(splits["validation"]) < FEWEST_TO_TUNE:
        return 0
    views = (asked if isinstance(asked, TuneRequest) else TuneRequest()).views
    return len(splits["train"]) * views * cut.numbers * NUMBER_BYTES


def _divide(
    images: list[ImageRecord], features: FeatureStore
) -> tuple[list[Row], list[ShardImage]]:
    """Return the stored features of the images, and the images that have none."""
    known = features.locate(image.sha256 for image in images)
    reused = [known[image.sha256] for image in images if image.sha256 in known]
    features.use({row.shard for row in reused})
    missing = [
        ShardImage(sha256=image.sha256, path=image.file)
        for image in images
        if image.sha256 not in known
    ]
    return reused, missing


def _cache_use(reused: list[Row], views: list[Row]) -> CacheUse:
    saved = round(sum(row.seconds for row in (*reused, *views)), 3)
    return CacheUse(reused=len(reused), computed=0, seconds_saved=saved, views_reused=len(views))
