"""When there are too few images to choose by those for validation alone."""

#: Below this count of training images of the rarest label, a head is cross-validated.
FEWEST_OF_A_LABEL = 50
#: And so it is below this count of validation images.
FEWEST_VALIDATED = 200
#: With fewer validation images nothing is tuned: one of them would decide.
FEWEST_TO_TUNE = 20


def are_few(rarest: int, validation: int) -> bool:
    """Return whether a head has to be chosen by cross-validation.

    The rarest label in training decides, not the average: it is the one whose few validation
    images can't tell a good head from a bad one, and that gains most from being learned from all
    of its images. The training images are counted as the validation images are a share of them.

    Args:
        rarest: how many training images the label with the fewest has.
        validation: how many validation images there are.
    """
    return rarest < FEWEST_OF_A_LABEL or validation < FEWEST_VALIDATED
