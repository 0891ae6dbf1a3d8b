"""One shard of a training: the features of some hundred images are computed and stored."""

from shared.engines import FEATURES as FEATURES_OUTPUT
from shared.engines import Precision
from shared.logs import get_logger
from trainer_service.backbones import weights
from trainer_service.backbones.architectures import Architecture, find_architecture
from trainer_service.backbones.backbone import bottleneck_engine
from trainer_service.backbones.weights import Weights
from trainer_service.phases.backbone import feature_store
from trainer_service.phases.bottleneck.feature_computer import BATCH_SIZES, FeatureComputer
from trainer_service.phases.work import Worker
from trainer_service.store.cancellation import CancellationCheck
from trainer_service.store.events.progress import Ticker
from trainer_service.store.lease import Lease, require_survivable
from trainer_service.store.records.training_record import TrainingRecord
from trainer_service.store.shards import ShardResult, Shards
from trainer_service.store.stores import BACKBONES
from trainer_service.store.work_metrics import COMPUTE_SECONDS, FEATURES

log = get_logger(__name__)


def compute(  # noqa: PLR0913, PLR0917
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


def feature_computer_for(
    worker: Worker, architecture: Architecture, weights: Weights, precision: Precision
) -> FeatureComputer:
    """Return the computer for a backbone; the backbone itself stays loaded in this process."""
    engine = bottleneck_engine(
        architecture,
        weights,
        worker.settings.engine,
        precision,
        worker.settings.store / BACKBONES,
        worker.threads,
    )
    return FeatureComputer(
        engine,
        output=FEATURES_OUTPUT,
        input_size=architecture.input_size,
        batch_size=BATCH_SIZES[engine.name],
        threads=worker.threads,
        limits=worker.image_limits,
    )
