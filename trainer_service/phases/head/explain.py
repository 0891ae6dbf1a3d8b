"""Says in a sentence or two how a head was chosen."""

from shared.manifest import HeadInfo

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
    """Return the same with `detail`: what was chosen, and why.

    Args:
        head: what was chosen, with the validation losses of what was tried.
        asked: what the request said of the taps.
        images: how many images decided.
        cut_short: whether not all was tried, as that would have taken too long.
    """
    seen = f"{head.features:,} features of {_LAYERS[head.taps]}"
    if head.kind == "regression":
        detail = (
            f"A logistic regression of strength {head.strength:.2g} on {seen}: its validation "
            f"loss is {_loss(head, head.taps)}{_against(head, asked)}.{_how(head, images)}"
        )
    elif head.val_losses:
        detail = (
            f"Layers trained on {seen}: a logistic regression on them had a validation loss of "
            f"{_loss(head, head.taps)}{_against(head, asked)}."
        )
    else:
        detail = f"Layers trained on {seen}, which were asked for."
    return head.model_copy(update={"detail": f"{detail}{_CUT_SHORT if cut_short else ''}"})


def _against(head: HeadInfo, asked: str) -> str:
    others = [taps for taps in head.val_losses if taps != head.taps]
    if others:
        losses = (f"{_loss(head, taps)} with {_LAYERS[taps]}" for taps in others)
        return f", against {' and '.join(losses)}"
    return "" if asked == "auto" else "; these layers were asked for"


def _how(head: HeadInfo, images: int) -> str:
    if not head.cross_validated:
        return ""
    return (
        f" As there are few images, it was chosen by cross-validation over the {images:,} training "
        "and validation images, and has learnt from all of them."
    )


def _loss(head: HeadInfo, taps: str) -> str:
    return f"{head.val_losses[taps]:.3f}"
