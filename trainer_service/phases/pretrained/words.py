"""Says in sentences what a pre-trained network that is published as it is can and can't do."""

from trainer_service.backbones.imagenet import Selection, classes

NO_VERDICT = (
    "No verdict: pictures are compared with training images to tell whether they are unknown, and "
    "a pre-trained network is published without any."
)


def what_it_is(architecture: str, selection: Selection) -> str:
    """Return what a version is, and what its labels are."""
    whole = f"{architecture} as it was pre-trained on ImageNet: nothing was trained."
    if selection.whole:
        return f"{whole} It tells the {len(classes()):,} classes of ImageNet apart."
    named = len(selection.labels) - selection.rest
    what = "1 label" if named == 1 else f"{named} labels"
    said = f"{whole} Of its {len(classes()):,} classes it answers {what}."
    if selection.rest:
        return f"{said} {selection.labels[-1]!r} has the probability of all other classes."
    return (
        f"{said} Their probabilities were divided by their sum, so that it answers one of them to "
        "every picture."
    )


def what_the_head_is(features: int) -> str:
    """Return what turns features into probabilities."""
    return (
        f"The network's own classifier for ImageNet, on {features:,} features. Its probabilities "
        "are as the network gives them: nothing was calibrated."
    )


def classes_of(selection: Selection) -> dict[str, list[str]]:
    """Return the classes that each label stands for, but for the rest; {} if these are all."""
    if selection.whole:
        return {}
    named = len(selection.labels) - selection.rest
    return {
        label: [classes()[index] for index in members]
        for label, members in zip(selection.labels[:named], selection.members, strict=False)
    }


def no_heatmaps(selection: Selection, architecture: str) -> str:
    """Return why a version has no heatmaps."""
    if selection.grouped:
        return (
            "A label of it stands for several classes, and heat is exact only for a single class."
        )
    return (
        f"The classifier of {architecture} does not see averages over the places of the picture, "
        "which heat is made of."
    )
