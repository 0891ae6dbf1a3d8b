"""The sentences that say why a tuned network is published or not."""

import pytest

from trainer_service.phases.tune.explain import judged, stopped, too_few
from trainer_service.phases.tune.tuning import Tuned

BEFORE, BETTER, WORSE = (
    {"loss": loss, "accuracy": accuracy}
    for loss, accuracy in ((0.4061, 0.865), (0.3412, 0.887), (0.52, 0.9))
)


def tuned(after, *, accepted, gain=None):
    return Tuned(accepted, None, [{}], int(accepted), BEFORE, after, gain)


def test_it_says_both_figures_of_a_network_that_is_published():
    assert judged(tuned(BETTER, accepted=True), 1417, cross_validated=False) == (
        "The tuned network is published: on the 1,417 validation images its loss is 0.341 instead "
        "of 0.406, and 88.7% instead of 86.5% of them are right."
    )


def test_it_says_both_figures_of_a_network_that_is_not():
    assert judged(tuned(WORSE, accepted=False), 417, cross_validated=False) == (
        "The network as it was before tuning is published: on the 417 validation images the best "
        "epoch had a loss of 0.520, against 0.406 before, with 90.0% against 86.5% of them right."
    )


def test_it_says_why_a_smaller_loss_is_not_enough():
    assert judged(tuned(BETTER, accepted=False, gain=(0.065, 0.07)), 60, cross_validated=False) == (
        "The network as it was before tuning is published: on the 60 validation images the best "
        "epoch had a loss of 0.341, against 0.406 before, with 88.7% against 86.5% of them right. "
        "That is 0.065 less, but it depends on few of these images: up to 0.070 may be chance."
    )


@pytest.mark.parametrize("accepted", [True, False])
def test_with_few_images_it_says_what_was_compared(accepted):
    reason = judged(tuned(BETTER, accepted=accepted), 40, cross_validated=True)

    assert "has learnt from the training images alone" in reason
    assert reason.endswith("the one that is published has learnt from both.") == (not accepted)


def test_it_says_so_if_no_epoch_has_a_loss():
    assert judged(tuned({}, accepted=False), 417, cross_validated=True) == (
        "The network as it was before tuning is published: with the first epoch the loss was no "
        "number any more. A smaller tune.learning_rate changes that."
    )


def test_it_says_why_nothing_was_tuned():
    assert too_few(1).startswith("Nothing was tuned: there is 1 validation image, ")
    assert too_few(19).startswith("Nothing was tuned: there are 19 validation images, ")
    assert "asked to stop" in stopped()
