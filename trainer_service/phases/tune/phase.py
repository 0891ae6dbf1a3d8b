"""The tune phase of a training: the last layers learn on, if that is asked for and does good."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from shared.files import is_disk_full
from shared.logs import get_logger
from shared.models.manifest import TuneInfo, TuneMeasure
from trainer_service.backbones.cut_table import PIXELS, cut_of
from trainer_service.backbones.cuts import Divided, divide
from trainer_service.backbones.features import FeaturesGone
from trainer_service.errors import Setback
from trainer_service.phases.backbone import Backbone
from trainer_service.phases.few_images import FEWEST_TO_TUNE
from trainer_service.phases.head.data import head_data, truth_of
from trainer_service.phases.head.fitting import Trained
from trainer_service.phases.head.layers.train import class_weights
from trainer_service.phases.head.regression.view_rows import view_rows
from trainer_service.phases.head.solved import LinearHead
from trainer_service.phases.head.train import HeadTask, head_of_training_images
from trainer_service.phases.tune import checkpoint
from trainer_service.phases.tune.explain import judged, stopped, too_few
from trainer_service.phases.tune.network import TunedNetwork
from trainer_service.phases.tune.parts import Parts, PartsComputer, TuneTask
from trainer_service.phases.tune.progress import TuneProgress
from trainer_service.phases.tune.rows import Rows
from trainer_service.phases.tune.settings import TuneSettings
from trainer_service.phases.tune.tuning import Tuned, TuningStopped, tune
from trainer_service.phases.work import Work
from trainer_service.requests.training import TapSet
from trainer_service.requests.tune import CHANGES, TuneRequest
from trainer_service.store.outcome import in_words
from trainer_service.store.records.training_record import State, TrainingRecord

#: From this number of multiply-adds on, fewer images are trained on at a time: a step of 32 images
#: would take half a minute and gigabytes of memory.
LARGE_TAIL = 1_000_000_000
SMALL_PART = 8
#: In the directory of a training's shards, which is removed at its end.
CHECKPOINT = "tune.npz"

log = get_logger(__name__)


def tune_if_asked(work: Work, trained: Trained) -> Trained:
    """Tune the last layers of a network; return it as it was if that does no good.

    What is stored is found again when a step is repeated: the rows of a body by their group, and
    the state of the tail after its last epoch.

    Args:
        work: the training.
        trained: its backbone as it was, with a head.

    Raises:
        TrainingCancelled: the training was cancelled.
        TransientFailure: the disk is too small, or what was stored is removed again and again.
        ImagesLost: more images are gone, or have changed, than a training goes on without.
        NotSeenHere, OSError, MemoryError: this worker can't do it right now.
        LeaseLost: another process has taken over.
    """
    record = work.record
    asked, cut = record.request.tune, cut_of(record.architecture, record.request.tune)
    if cut is None:
        return trained
    work.enter(State.TUNING)
    settings = asked if isinstance(asked, TuneRequest) else TuneRequest()
    task = TuneTask(work, trained, settings, cut)
    result = _timed(work.record, _tune_if_possible(task))

    def note(record: TrainingRecord) -> None:
        record.tune = result.tune
        record.dataset.split = {name: len(part) for name, part in result.splits.items()}

    work.update(note)
    return result


@contextmanager
def tuning_kept(work: Work) -> Iterator[None]:
    """Have a full disk set the body back, rather than end the training, once it has tuned.

    The body is then repeated: it does not tune anew, as long as the checkpoint is kept.

    Raises:
        Setback: the disk is full, and the training has tuned.
    """
    file = _checkpoint_of(work)
    try:
        yield
    except OSError as error:
        if is_disk_full(error) and checkpoint.is_kept(file):
            raise Setback(in_words(error)) from error
        raise


def forget_tuning(work: Work) -> None:
    """Drop what this process keeps in memory so that a repeated step does not tune anew."""
    checkpoint.forget(_checkpoint_of(work))


def _checkpoint_of(work: Work) -> Path:
    return work.shards.directory / CHECKPOINT


def _timed(record: TrainingRecord, trained: Trained) -> Trained:
    """Set the seconds of the phase: those of earlier tries, and of this one until now."""
    entered = [one for one in record.transitions if one.state == State.TUNING]
    before = sum(one.seconds or 0.0 for one in entered)
    now = max(0.0, (datetime.now(UTC) - entered[-1].at).total_seconds())
    info = trained.tune and trained.tune.model_copy(update={"seconds": round(before + now, 1)})
    return replace(trained, tune=info)


def _tune_if_possible(task: TuneTask) -> Trained:
    asked = task.asked
    info = TuneInfo(cut=task.cut.layer, published=False, learning_rate=asked.learning_rate)
    images = len(task.trained.splits["validation"])
    if task.work.check_cancelled.stop_after is not None:
        return _refused(task.trained, info, stopped())
    if images < FEWEST_TO_TUNE:
        return _refused(task.trained, info, too_few(images))
    try:
        return _tune(task, info)
    except FeaturesGone as error:
        log.warning("activations are computed again", reason=error.detail)
    return _tune(task, info)


def _refused(trained: Trained, info: TuneInfo, reason: str) -> Trained:
    return replace(trained, tune=info.model_copy(update={"reason": reason}))


def _tune(task: TuneTask, info: TuneInfo) -> Trained:
    """Tune a new copy of the backbone; from where an earlier try has left off, if there is one."""
    work = task.work
    computed = Backbone.of(work, work.shards.precision())
    head = _start(task, computed)
    backbone = computed.with_taps(cast("TapSet", task.trained.head.taps))
    with TuneProgress(work, task.asked.epochs) as progress:
        try:
            divided, rows = _divided(task, backbone, progress.check)
            parts = PartsComputer(task, rows, divided.tail, progress).compute(head)
            progress.start("training", task.asked.epochs * parts.train.images)
            tuned = tune(
                divided,
                head,
                parts.train,
                parts.validation,
                widths=backbone.architecture.widths_of(backbone.taps),
                class_weights=class_weights(
                    truth_of(task.trained.splits["train"], task.labels),
                    len(task.labels),
                    work.record.request,
                ),
                settings=_settings(task),
                checkpoint_file=_checkpoint_of(work),
                on_start=progress.measured,
                on_epoch=progress.epoch,
                on_images=progress.advance,
                on_unkept=progress.unkept,
                check=progress.check,
            )
        except TuningStopped:
            return _refused(task.trained, info, stopped())
    told = _told(task, info, parts, tuned)
    if not tuned.accepted:
        return replace(task.trained, tune=told, tune_history=tuned.history)
    network = TunedNetwork(task.labels, backbone, work, divided, tuned.head, rows)
    return _with_network(task.trained, network, parts.lost, told, tuned)


def _divided(task: TuneTask, backbone: Backbone, check: Callable[[], None]) -> tuple[Divided, Rows]:
    """Return a new copy of the backbone, divided, and the rows of its body.

    To build and convert a large network takes many seconds, so there is a check after each step.
    """
    network = backbone.trainable_model()
    check()
    divided = divide(network, task.cut.layer)
    return divided, Rows(task.work, backbone, task.cut, divided, check)


def _start(task: TuneTask, backbone: Backbone) -> LinearHead:
    """Return the head to begin with, which has not learnt from the validation images.

    Args:
        task: what is to be tuned.
        backbone: with all taps that were computed.
    """
    solved, chosen = task.trained.solved, task.trained.head
    if solved is not None and not chosen.cross_validated:
        return solved
    splits, labels = task.trained.splits, task.labels
    train, validation = (
        head_data(backbone, splits[part], labels) for part in ("train", "validation")
    )
    views = view_rows(backbone, splits["train"]) if chosen.views > 1 else None
    again = HeadTask(task.work, backbone.architecture, train, validation, labels, views)
    return head_of_training_images(again, chosen)


def _settings(task: TuneTask) -> TuneSettings:
    asked, cut = task.asked, task.cut
    large = cut.multiply_adds >= LARGE_TAIL or cut.layer == PIXELS
    settings = TuneSettings(
        epochs=asked.epochs,
        learning_rate=asked.learning_rate,
        head_learning_rate=asked.head_learning_rate,
        patience=asked.patience,
        seed=task.seed,
    )
    return replace(settings, part_size=SMALL_PART) if large else settings


def _told(task: TuneTask, info: TuneInfo, parts: Parts, tuned: Tuned) -> TuneInfo:
    """Return what the record and the manifest say of it."""
    crossed = task.trained.head.cross_validated
    told = {
        "published": tuned.accepted,
        "frozen": TuneMeasure(**tuned.frozen),
        "tuned": TuneMeasure(**tuned.tuned) if tuned.tuned else None,
        "margin": tuned.gain and tuned.gain[1],
        "best_epoch": tuned.best_epoch,
        "epochs": len(tuned.history),
        "views": parts.views.count,
        "augment": [change for change in CHANGES if change in parts.views.changes],
        "reason": judged(tuned, parts.validation.images, cross_validated=crossed)
        if tuned.history
        else stopped(),
    }
    return info.model_copy(update=told)


def _with_network(
    trained: Trained, network: TunedNetwork, lost: frozenset[str], told: TuneInfo, tuned: Tuned
) -> Trained:
    """Return what is published in place of the network as it was; without images that are gone."""
    splits = {
        part: [image for image in images if image.sha256 not in lost]
        for part, images in trained.splits.items()
    }
    validation = splits["validation"]
    return replace(
        trained,
        network=network,
        splits=splits,
        validated=(network.predict(validation), truth_of(validation, network.labels)),
        tune=told,
        tune_history=tuned.history,
    )
