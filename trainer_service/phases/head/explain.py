"""Says in a sentence or two how a head was chosen."""

from shared.models.manifest import HeadInfo

_LAYERS = {
    "last": "the last layer",
    "late": "the last three layers",
    "all": "all layers that the catalogue lists",
}
_CUT_SHORT = (
    " There are so many labels that not all strengths were tried: the search may take only so long "
    "for each image."
)


def explained(head: HeadInfo, asked: str, images: int, *, cut_short: bool = False) -> HeadInfo:
    """Return `head` with its `detail` set: what was chosen, and why.

    Args:
        head: the chosen head, with the validation losses of all that were tried.
        asked: the taps that the request names.
        images: how many images the choice is based on.
        cut_short: whether not all was tried, as that would have taken too long.
    """
    seen = f"{head.features:,} features of {_LAYERS[head.taps]}"
    if head.kind == "regression":
        detail = (
            f"A logistic regression of strength {head.strength:.2g} on {seen}{_viewed(head)}"
            f"{_against(head, asked)}.{_useless(head)}{_near(head)}{_how(head, images)}"
        )
    elif head.val_losses:
        detail = (
            f"Layers trained on {seen}: a logistic regression on them had a validation loss of "
            f"{_loss(head, head.taps)}{_against(head, asked)}."
        )
    else:
        detail = f"Layers trained on {seen}, which were asked for."
    return head.model_copy(update={"detail": f"{detail}{_CUT_SHORT if cut_short else ''}"})


def _viewed(head: HeadInfo) -> str:
    """Say how good it is, with and without the views that it has learnt from."""
    plain = _loss(head, head.taps)
    if head.views == 1:
        return f": its validation loss is {plain}"
    return (
        f", with {head.views} views of each training image: its validation loss is "
        f"{head.view_losses[head.views]:.3f}, and {plain} without further views"
    )


def _useless(head: HeadInfo) -> str:
    """Say that views were tried in vain, if they were."""
    tried = [views for views in head.view_losses if views > 1]
    if head.views > 1 or not tried:
        return ""
    return (
        f" With {tried[0]} views of each training image it was not lower, "
        f"{head.view_losses[tried[0]]:.3f}, so it has learnt from the images alone."
    )


def _against(head: HeadInfo, asked: str) -> str:
    others = [taps for taps in head.val_losses if taps != head.taps]
    if head.near is not None:
        return ""
    if others:
        losses = (f"{_loss(head, taps)} with {_LAYERS[taps]}" for taps in others)
        return f", against {' and '.join(losses)}"
    return "" if asked == "auto" else "; these layers were asked for"


def _near(head: HeadInfo) -> str:
    near = head.near
    if near is None:
        return ""
    changed = "was" if near.differ == 1 else "were"
    return (
        f" It was searched near what training {near.training} chose among all: {near.differ:,} of "
        f"{near.images:,} images {changed} corrected, added or left out since."
    )


def _how(head: HeadInfo, images: int) -> str:
    if not head.cross_validated:
        return ""
    return (
        f" As there are few images, it was chosen by cross-validation over the {images:,} training "
        "and validation images, and has learnt from all of them."
    )


def _loss(head: HeadInfo, taps: str) -> str:
    return f"{head.val_losses[taps]:.3f}"
