"""Pictures of the mistakes of a version, with the heat of the wrong answer."""

from pathlib import Path

from shared.engines import Engine
from shared.engines.explaining import ExplainingEngine, load_explaining_engine
from shared.errors import InvalidImage
from shared.images.decoding import decode
from shared.logs import get_logger
from shared.models.manifest import HeatmapInfo
from trainer_service.datasets.image_files import ImageFiles
from trainer_service.phases.evaluate.evaluation import Evaluated
from trainer_service.phases.publish.report import choose_mistakes
from trainer_service.phases.work import Work
from trainer_service.report.thumbnails import Embedded, heated

log = get_logger(__name__)


def heat_of_mistakes(
    work: Work, evaluated: Evaluated, staging: Path, engine: Engine, info: HeatmapInfo | None
) -> dict[int, Embedded]:
    """Return what spoke for the answers to the mistakes that the report shows.

    A report without them is better than no version: whatever fails here is only logged.

    Args:
        work: the training, whose images are read again.
        evaluated: the network and its evaluation.
        staging: the directory of the version, with its graphs.
        engine: the exported graph.
        info: what heatmaps are made of; None if there can be none.

    Returns:
        By the position of the test image, a small copy with the heat of the answer over it; without
        images that can't be read any more.
    """
    chosen = choose_mistakes(evaluated)
    if info is None or not chosen:
        return {}
    files = work.dataset().files()
    try:
        explaining = load_explaining_engine(staging, engine, info, work.worker.threads)
        found = {at: _heat(work, evaluated, files, explaining, at) for at in chosen}
    except Exception as error:  # noqa: BLE001 - engines raise exceptions of any class
        log.warning("the report shows no heat", reason=str(error))
        return {}
    return {at: picture for at, picture in found.items() if picture is not None}


def _heat(
    work: Work, evaluated: Evaluated, files: ImageFiles, engine: ExplainingEngine, at: int
) -> Embedded | None:
    image, size = evaluated.test_images[at], evaluated.network.architecture.input_size
    limits = work.worker.image_limits
    try:
        data = files.read(image.file, image.sha256)
        pixels = decode(data, size, size, limits)
    except (OSError, InvalidImage):
        return None
    label = int(evaluated.test_probabilities[at].argmax())
    return heated(data, limits, engine.explain(pixels).heat(label).grid)
