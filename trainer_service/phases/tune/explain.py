"""Says in a sentence or two why a tuned network is published or not."""

from shared.models.manifest import TuneMeasure
from trainer_service.phases.few_images import FEWEST_TO_TUNE
from trainer_service.phases.tune.tuning import Tuned


def judged(tuned: Tuned, images: int, *, cross_validated: bool) -> str:
    """Return why the tuned network is published, or why not.

    Args:
        tuned: what came of tuning; at least one epoch was trained.
        images: how many validation images decided.
        cross_validated: whether the head was chosen by cross-validation.
    """
    if not tuned.tuned:
        return (
            "The network as it was before tuning is published: with the first epoch the loss was "
            "no number any more. A smaller tune.learning_rate changes that."
        )
    before, after = TuneMeasure(**tuned.frozen), TuneMeasure(**tuned.tuned)
    if tuned.accepted:
        reason = (
            f"The tuned network is published: on the {images:,} validation images its loss is "
            f"{after.loss:.3f} instead of {before.loss:.3f}, and {after.accuracy:.1%} instead of "
            f"{before.accuracy:.1%} of them are right."
        )
    else:
        reason = (
            f"The network as it was before tuning is published: on the {images:,} validation "
            f"images the best epoch had a loss of {after.loss:.3f}, against {before.loss:.3f} "
            f"before, with {after.accuracy:.1%} against {before.accuracy:.1%} of them right."
        ) + _of_few(tuned)
    return reason + (_compared(accepted=tuned.accepted) if cross_validated else "")


def _of_few(tuned: Tuned) -> str:
    """Return why a smaller loss is not enough, if it was smaller."""
    if tuned.gain is None:
        return ""
    gain, margin = tuned.gain
    return (
        f" That is {gain:.3f} less, but it depends on few of these images: up to {margin:.3f} may "
        "be chance."
    )


def _compared(*, accepted: bool) -> str:
    compared = (
        " As there are few images, it was compared with a head that, like it, has learnt from the "
        "training images alone"
    )
    rest = "" if accepted else "; the one that is published has learnt from both"
    return f"{compared}{rest}."


def too_few(images: int) -> str:
    """Return why nothing is tuned if there are so few validation images."""
    are = "is 1 validation image" if images == 1 else f"are {images} validation images"
    return (
        f"Nothing was tuned: there {are}, and with fewer than {FEWEST_TO_TUNE} it would be chance "
        "whether the tuned network is found to be better. More images, or a larger "
        "split.validation, change that."
    )


def stopped() -> str:
    """Return why nothing is tuned if a client asked to stop before an epoch was done."""
    return "Nothing was tuned, as the training was asked to stop before the first epoch was done."
