"""How well a version tells which pictures are unknown, seen by pictures that it never saw."""

from collections.abc import Mapping

import numpy as np

from shared.engines import EMBEDDING, Engine, Outputs, Precision
from shared.models.manifest import Share, UnknownInfo
from shared.models.unknown import Comparer, Embeddings, fewest_distances
from trainer_service.phases.bottleneck.feature_computer import FeatureComputer
from trainer_service.phases.evaluate.evaluation import Evaluated
from trainer_service.phases.evaluate.unknown import share_unknown
from trainer_service.phases.publish.explain_unknown import explained
from trainer_service.phases.publish.golden import Written
from trainer_service.phases.publish.known_embeddings import remembering
from trainer_service.phases.publish.others import embed_others
from trainer_service.phases.publish.probes import draw_probes
from trainer_service.phases.work import Work

#: Pictures of other datasets at most, and at least where there are so many; between these, as many
#: as the network can look at with this number of multiply-adds, some seconds on two cores.
MOST_PICTURES, FEWEST_PICTURES = 100, 10
_MULTIPLY_ADDS = 40_000_000_000
#: So many of these pictures are drawn of each kind.
_SHARE_OF_A_KIND = 0.1
_FEWEST_OF_A_KIND = 3


def measure_unknown(
    work: Work, evaluated: Evaluated, engines: Mapping[Precision, Engine], golden: Written
) -> UnknownInfo:
    """Return how well a version in the making tells which pictures are unknown.

    Args:
        work: the training.
        evaluated: the network, and what it tells of the test images.
        engines: the exported graphs, by precision, the fastest first.
        golden: pictures that the version knows, and what the graphs answer to them.

    Raises:
        TrainingCancelled: the training was cancelled.
        MemoryError: there is no memory for the pictures now.
    """
    info = evaluated.familiar.info
    comparer = Comparer(evaluated.familiar.known)
    update: dict[str, object] = {"change": _changes(comparer, golden.outputs)}
    if info.distances >= fewest_distances(info.rate):
        engine = remembering(next(iter(engines.values())), evaluated.network)
        pictures = _affordable(evaluated)
        update["probes"] = _probes(work, evaluated, engine, golden, pictures)
        update["other_datasets"] = _others(work, evaluated, engine, pictures)
    info = info.model_copy(update=update)
    return info.model_copy(update={"detail": explained(info, len(evaluated.labels))})


def _affordable(evaluated: Evaluated) -> int:
    affordable = _MULTIPLY_ADDS // evaluated.network.architecture.multiply_adds
    return max(FEWEST_PICTURES, min(MOST_PICTURES, affordable))


def _changes(comparer: Comparer, outputs: Mapping[Precision, Outputs]) -> dict[str, float]:
    """Return the largest change of `known` of a golden image in each lower precision."""
    known = {
        precision: comparer.compare(one[EMBEDDING]).known for precision, one in outputs.items()
    }
    full = known.pop("f32")
    return {name: round(float(np.abs(one - full).max()), 6) for name, one in known.items()}


def _probes(
    work: Work, evaluated: Evaluated, engine: Engine, golden: Written, pictures: int
) -> dict[str, Share]:
    """Return how many drawn pictures are called unknown, by what is in them."""
    size = evaluated.network.architecture.input_size
    of_each = max(_FEWEST_OF_A_KIND, round(pictures * _SHARE_OF_A_KIND))
    found = {}
    for name, pixels in draw_probes(size, of_each, golden.pixels, work.record.request.seed):
        work.check_cancelled()
        found[name] = _share(evaluated, engine.infer(np.ascontiguousarray(pixels))[EMBEDDING])
    return found


def _others(work: Work, evaluated: Evaluated, engine: Engine, pictures: int) -> Share | None:
    """Return how many pictures of other datasets are called unknown, if there are such."""
    size = evaluated.network.architecture.input_size
    computer = FeatureComputer.of(work.worker, engine, output=EMBEDDING, input_size=size)
    embeddings = embed_others(work, computer, pictures)
    return _share(evaluated, embeddings) if len(embeddings) else None


def _share(evaluated: Evaluated, embeddings: Embeddings) -> Share:
    known = evaluated.familiar.known
    found = Comparer(known).compare(embeddings)
    return share_unknown(known.distances, found.distances[:, 0])
