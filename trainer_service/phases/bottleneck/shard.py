"""One shard of a training: at most 256 rows of features are computed and stored."""

from shared.engines import FEATURES as FEATURES_OUTPUT
from shared.logs import get_logger
from trainer_service.phases.backbone import Backbone
from trainer_service.phases.bottleneck.feature_computer import FeatureComputer
from trainer_service.phases.bottleneck.view_computer import ViewComputer
from trainer_service.phases.views import view_name
from trainer_service.phases.work import Work
from trainer_service.store.events.progress import Ticker
from trainer_service.store.shards import ShardImage, ShardResult
from trainer_service.store.work_metrics import COMPUTE_SECONDS, FEATURES

log = get_logger(__name__)


def compute(work: Work, number: int) -> None:
    """Compute the features of shard `number`, unless another training has done it meanwhile.

    Raises:
        TrainingCancelled: the training was cancelled.
        ImagesLost: more images are gone, or have changed, than a training tolerates.
        NotSeenHere, OSError, MemoryError: this worker can't compute them right now.
        PlanLost: the shard can't be read, so the training has to be planned again.
        LeaseLost: another process has taken over.
    """
    log.info("computing shard", shard=number)
    files = work.dataset().files()
    backbone = Backbone.of(work, work.shards.precision())
    planned = work.shards.images(number)
    of_views = bool(planned[0].views)  # then all are computed of views
    store = backbone.view_features if of_views else backbone.features
    names = _names(planned)
    ticker = Ticker(work.worker.board, work.record.id, part=str(number))
    if store.holds(names):
        _reuse(work, number, len(names))
        ticker(len(names), last=True)
        return

    def advance(done: int) -> None:
        work.check_cancelled()
        ticker(done)

    make_computer = view_computer_for if of_views else feature_computer_for
    used, features, result = make_computer(work, backbone).compute(planned, files, advance)
    work.shards.require_few_lost(number, result, work.record.dataset.images or 0)
    if used:
        by_hash = {image.sha256: image for image in planned}
        store.write(_names([by_hash[sha256] for sha256 in used]), features, result.seconds)
    work.held.raise_if_lost()
    work.shards.finish(number, result)
    FEATURES.labels("computed").inc(len(features))
    COMPUTE_SECONDS.inc(result.seconds)
    ticker(len(names), last=True)


def _names(images: list[ShardImage]) -> list[str]:
    """Return what the rows of images, or of their views, are known by, in their order."""
    return [
        name
        for image in images
        for name in ([view_name(image.sha256, view) for view in image.views] or [image.sha256])
    ]


def _reuse(work: Work, number: int, rows: int) -> None:
    """Finish a shard whose features another training has computed since it was planned."""
    work.shards.finish(number, ShardResult(computed=0, seconds=0, rejected={}))
    FEATURES.labels("reused").inc(rows)


def feature_computer_for(work: Work, backbone: Backbone) -> FeatureComputer:
    """Return this process's computer of a backbone's features."""
    size = backbone.architecture.input_size
    return FeatureComputer.of(
        work.worker, backbone.engine(), output=FEATURES_OUTPUT, input_size=size
    )


def view_computer_for(work: Work, backbone: Backbone) -> ViewComputer:
    """Return what computes the features of views in this process."""
    worker = work.worker
    return ViewComputer(
        backbone.engine(), backbone.views, threads=worker.threads, limits=worker.image_limits
    )
