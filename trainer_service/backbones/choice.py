"""Which architecture a training takes whose request names none."""

from typing import NamedTuple

from trainer_service.backbones.architectures import BEST_FIRST, CATALOGUE, Architecture
from trainer_service.backbones.weights import availabilities, availability, require_weights
from trainer_service.requests.training import DEFAULT_ARCHITECTURE
from trainer_service.settings import TrainerSettings


class Chosen(NamedTuple):
    """The architecture that is taken.

    Attributes:
        architecture: a row of the catalogue.
        reason: why it is not the default, in sentences; None if it is.
    """

    architecture: Architecture
    reason: str | None


def choose_architecture(settings: TrainerSettings) -> Chosen:
    """Return the default architecture, or the best whose weights can be had if its own can't.

    Args:
        settings: with where weights are, and how long their host may be silent.

    Raises:
        WeightsUnavailable: no architecture has weights that can be had.
    """
    default = CATALOGUE[DEFAULT_ARCHITECTURE]
    missing = availability(default, settings)
    if missing.available:
        return Chosen(default, None)
    found = availabilities(settings)
    taken = next((name for name in BEST_FIRST if found[name].available), default.id)
    require_weights(CATALOGUE[taken], settings)
    reason = (
        f"{taken} is trained in place of {default.id}, as the request names no architecture and "
        f"the weights of {default.id} can't be had: {missing.detail}. Of the architectures whose "
        f"weights can be had, {taken} is the most accurate on ImageNet."
    )
    return Chosen(CATALOGUE[taken], reason)
