"""Whether a new version is to be served, which is decided when it is published."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast

import numpy as np

from shared.engines import Engine, Precision
from shared.errors import PromotionsUnreadable, Unavailable
from shared.models.manifest import Manifest
from shared.models.model_store import ModelSnapshot
from trainer_service.phases.evaluate.evaluation import Evaluated
from trainer_service.phases.evaluate.metrics import losses
from trainer_service.phases.publish.paired_answers import Answers, Incomparable, compare_answers
from trainer_service.phases.work import Work
from trainer_service.requests.training import Promote
from trainer_service.store.promoting import Verdict
from trainer_service.store.publishing import WritableModelStore
from trainer_service.store.records.training_record import Promotion

#: So many labels are named in a reason.
_NAMED = 5


_WHATEVER_IT_IS: dict[Promote, Verdict] = {
    "always": Verdict(served=True, reason="It was to be served whatever it is: promote is always."),
    "never": Verdict(served=False, reason="It was to be published only: promote is never."),
}


def judge(
    work: Work, evaluated: Evaluated, engines: Mapping[Precision, Engine], model: ModelSnapshot
) -> Verdict:
    """Decide whether the version that a training is about to publish is to be served.

    Args:
        work: the training.
        evaluated: its network and the evaluation of it.
        engines: the exported graphs of the version, by precision; float32 is among them.
        model: the model as it is now.

    Raises:
        VersionNotFound: the version that was served has been removed meanwhile.
        TrainingCancelled: the training was cancelled.
        OSError, MemoryError: the machine can't read the test images now.
    """
    return judge_version(
        work.worker.stores.models,
        model,
        work.record.request.promote,
        evaluated.labels,
        evaluated.metrics["test"],
        partial(compare_answers, work, evaluated, engines),
    )


def promotion_of(models: WritableModelStore, name: str, version: int) -> Promotion | None:
    """Return what was decided about a version; None if an earlier release has published it."""
    try:
        decision = models.last_decision(name, version)
    except PromotionsUnreadable as error:
        return Promotion(served=False, reason=error.detail)
    if decision is None:
        return None
    return Promotion(served=decision.served, reason=decision.reason)


def judge_version(  # noqa: PLR0913, PLR0917
    models: WritableModelStore,
    model: ModelSnapshot,
    asked: Promote,
    labels: Sequence[str],
    test: dict[str, Any],
    compare: Callable[[Manifest], Answers],
) -> Verdict:
    """Decide whether a new version is to be served in place of that which is served now.

    Args:
        models: the model store.
        model: the model as it is now.
        asked: what the request says.
        labels: the labels of the new version.
        test: the evaluation on its test images, as `evaluate` returns it.
        compare: has the version of a manifest answer what `decide` compares.

    Raises:
        VersionNotFound: the version that was served has been removed meanwhile.
        Exception: what `compare` raises.
    """
    try:
        number = models.to_serve(model)
    except Unavailable as error:
        return _no(error.detail)
    served = None if number is None else models.manifest(model.name, number)
    verdict = decide(asked, labels, test, served, lambda: compare(cast("Manifest", served)))
    if verdict.served and model.pinned is not None:
        stays = f"Version {model.pinned} is pinned, so it is served until the model is un-pinned."
        return Verdict(served=True, reason=f"{verdict.reason} {stays}")
    return verdict


def decide(
    asked: Promote,
    labels: Sequence[str],
    test: dict[str, Any],
    served: Manifest | None,
    compare: Callable[[], Answers],
) -> Verdict:
    """Decide whether a new version is to be served.

    Args:
        asked: what the request says.
        labels: the labels of the new version.
        test: the evaluation on its test images, as `evaluate` returns it.
        served: the manifest of the version that is served; None if there is none.
        compare: returns what both answer to images that neither has learnt from; it is called only
            if that matters, and raises Incomparable if there are none.
    """
    if asked in _WHATEVER_IT_IS:
        return _WHATEVER_IT_IS[asked]
    against = _other_labels(labels, served) if served else None
    if against := against or _no_better_than_a_constant(test):
        return _no(against)
    if served is None:
        return _yes(f"No version was served before. {_right(test)}.")
    if asked == "if_better":
        return _by_loss(compare, served)
    return _yes(
        f"It is the newest. {_right(test)}; version {served.version}, served before: "
        f"{_right_of(served)}."
    )


def _by_loss(compare: Callable[[], Answers], served: Manifest) -> Verdict:
    """Return the verdict by the mean difference of the losses, image by image."""
    try:
        answers = compare()
    except Incomparable as error:
        return _no(f"It can't be compared with version {served.version}, which is served: {error}")
    new, old = (losses(one, answers.truth) for one in (answers.new, answers.served))
    not_worse = bool(np.mean(new - old) <= 0)  # False if a loss is not a number
    told = (
        f"Its log loss is {new.mean():.4f} on the {_images(len(new))} that both have kept out; "
        f"that of version {served.version}, which was served, is {old.mean():.4f}."
    )
    return Verdict(served=not_worse, reason=told if not_worse else f"{told} So it is worse.")


def _other_labels(labels: Sequence[str], served: Manifest) -> str | None:
    """Return how the labels differ from those of the served version; None if they do not."""
    missing, further = (set(served.labels) - set(labels), set(labels) - set(served.labels))
    if not missing and not further:
        return None
    parts = [
        f"{what} {_named(sorted(names))}"
        for what, names in (("it lacks", missing), ("it has also", further))
        if names
    ]
    return (
        f"Its labels differ from those of version {served.version}, which is served: "
        f"{', and '.join(parts)}."
    )


def _no_better_than_a_constant(test: dict[str, Any]) -> str | None:
    """Return that always answering the commonest label is as good; None if it is not."""
    images = test["images"]
    right = round(test["accuracy"] * images)
    label, most = max(
        ((name, row["support"]) for name, row in test["per_class"].items()),
        key=lambda one: one[1],
    )
    if right > most or right == images:
        return None
    return (
        f"It answers {right} of {_images(images)} right, which is no better than always answering "
        f"{label!r}: that is right for {most}."
    )


def _yes(reason: str) -> Verdict:
    return Verdict(served=True, reason=reason)


def _no(reason: str) -> Verdict:
    return Verdict(served=False, reason=reason)


def _right(test: dict[str, Any]) -> str:
    return f"{100 * test['accuracy']:.1f} % of {_images(test['images'])} are answered right"


def _right_of(served: Manifest) -> str:
    """Return the accuracy of a version on its own test images; manifests may lack it."""
    test = served.metrics.get("test")
    test = test if isinstance(test, dict) else {}
    accuracy, images = test.get("accuracy"), test.get("images")
    if not isinstance(accuracy, int | float):
        return "not known"
    of = f" of {images}" if isinstance(images, int) else ""
    return f"{100 * accuracy:.1f} %{of}"


def _images(number: int) -> str:
    return "1 test image" if number == 1 else f"{number} test images"


def _named(labels: list[str]) -> str:
    more = len(labels) - _NAMED
    shown = ", ".join(map(repr, labels[:_NAMED]))
    return f"{shown} and {more} more" if more > 0 else shown
