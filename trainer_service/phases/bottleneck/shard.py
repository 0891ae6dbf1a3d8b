"""One shard of a training: the features of at most 256 images are computed and stored."""

from shared.engines import FEATURES as FEATURES_OUTPUT
from shared.logs import get_logger
from trainer_service.phases.backbone import Backbone
from trainer_service.phases.bottleneck.feature_computer import FeatureComputer
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
    ticker = Ticker(work.worker.board, work.record.id, part=str(number))
    if backbone.features.holds([image.sha256 for image in planned]):
        _reuse(work, number, planned)
        ticker(len(planned), last=True)
        return

    def advance(done: int) -> None:
        work.check_cancelled()
        ticker(done)

    computer = feature_computer_for(work, backbone)
    images, features, result = computer.compute(planned, files, advance)
    work.shards.require_few_lost(number, result, work.record.dataset.images or 0)
    if images:
        backbone.features.write(images, features, result.seconds)
    work.held.raise_if_lost()
    work.shards.finish(number, result)
    FEATURES.labels("computed").inc(len(images))
    COMPUTE_SECONDS.inc(result.seconds)
    ticker(len(images) + len(result.rejected), last=True)


def _reuse(work: Work, number: int, planned: list[ShardImage]) -> None:
    """Finish a shard whose features another training has computed since it was planned."""
    work.shards.finish(number, ShardResult(computed=0, seconds=0, rejected={}))
    FEATURES.labels("reused").inc(len(planned))


def feature_computer_for(work: Work, backbone: Backbone) -> FeatureComputer:
    """Return this process's computer of a backbone's features."""
    size = backbone.architecture.input_size
    return FeatureComputer.of(
        work.worker, backbone.engine(), output=FEATURES_OUTPUT, input_size=size
    )
