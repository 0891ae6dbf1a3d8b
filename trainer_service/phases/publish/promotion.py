"""Whether a new version is to be served, which is decided when it is published."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from pydantic import BaseModel, TypeAdapter, ValidationError

from shared.engines import (
    PROBABILITIES,
    Engine,
    Pixels,
    Precision,
    load_version_engine,
    select_engine,
    serving_precisions,
)
from shared.errors import (
    HeadstartError,
    InvalidImage,
    PromotionsUnreadable,
    Unavailable,
    VersionCorrupt,
)
from shared.images.decoding import decode
from shared.models.manifest import Manifest
from shared.models.model_store import REPORT_FILE, ModelSnapshot, read_version_file
from trainer_service.phases.evaluate.evaluation import Evaluated
from trainer_service.phases.evaluate.metrics import losses
from trainer_service.phases.head.data import Probabilities, Truth
from trainer_service.phases.work import Work
from trainer_service.requests.training import Promote
from trainer_service.store.promoting import Verdict
from trainer_service.store.publishing import WritableModelStore
from trainer_service.store.records.training_record import Promotion

#: So many images are answered once more by the served version, at most: the first by their hashes.
MOST_COMPARED = 2000
_BATCH = 16
#: So many labels are named in a reason.
_NAMED = 5


class Incomparable(HeadstartError):
    """There is nothing to compare two versions with; the message says why."""

    title = "Incomparable"


class Answers(NamedTuple):
    """What two versions answer to the same images, which neither has learnt from.

    Attributes:
        new: float32 (n, labels), of the version that is published.
        served: float32 (n, labels), of the version that is served.
        truth: int64 (n,), index of the right label.
    """

    new: Probabilities
    served: Probabilities
    truth: Truth


class _Seen(NamedTuple):
    """A test image as each of the versions sees it: its position, and uint8 (height, width, 3)."""

    position: int
    new: Pixels
    served: Pixels


class _TestRow(BaseModel):
    sha256: str


_WHATEVER_IT_IS: dict[Promote, Verdict] = {
    "always": Verdict(served=True, reason="It was to be served whatever it is: promote is always."),
    "never": Verdict(served=False, reason="It was to be published only: promote is never."),
}

_Report = TypeAdapter(dict[str, Any])
_Rows = TypeAdapter(list[_TestRow])


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
        partial(_compare, work, evaluated, engines),
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


def _compare(
    work: Work, evaluated: Evaluated, engines: Mapping[Precision, Engine], served: Manifest
) -> Answers:
    """Have both versions answer the test images that neither has learnt from.

    Both do so as exported graphs, in one precision: what was computed in training may differ a
    little, so that of two equal versions one would seem better.

    Raises:
        Incomparable: there are none, or the served version can't be run.
        TrainingCancelled: the training was cancelled.
        OSError, MemoryError: the machine can't read the images now.
    """
    try:
        directory = work.worker.stores.models.directory(served.model, served.version)
        common = _common(evaluated, read_version_file(directory, REPORT_FILE))
    except (VersionCorrupt, ValidationError, OSError) as error:
        raise Incomparable(f"its evaluation can't be read: {error}") from error
    if not common:
        raise Incomparable("there is no test image that both have kept out.")
    precision = _precision(work, evaluated)
    of_served = _engine(work, directory, precision)
    positions, new, old = list[int](), list[Probabilities](), list[Probabilities]()
    for batch in _batches(_images_at(work, evaluated, served, common)):
        work.check_cancelled()
        positions += [image.position for image in batch]
        new.append(_answered(engines[precision], np.stack([image.new for image in batch])))
        old.append(_answered(of_served, np.stack([image.served for image in batch])))
    if not positions:
        raise Incomparable("none of the test images that both have kept out can be read.")
    columns = [served.labels.index(label) for label in evaluated.labels]
    truth = evaluated.test_truth[positions]
    return Answers(np.concatenate(new), np.concatenate(old)[:, columns], truth)


def _common(evaluated: Evaluated, report: bytes) -> list[int]:
    """Return the positions of the test images that are in the test of a report, too."""
    rows = _Rows.validate_python(_Report.validate_json(report).get("test"))
    theirs = {row.sha256 for row in rows}
    ours = [
        (image.sha256, position)
        for position, image in enumerate(evaluated.test_images)
        if image.sha256 in theirs
    ]
    return [position for _, position in sorted(ours)[:MOST_COMPARED]]


def _precision(work: Work, evaluated: Evaluated) -> Precision:
    """Return the precision to compare in: that of the evaluation, if versions are served in it."""
    settings, precision = work.worker.settings, evaluated.network.precision
    served = serving_precisions(select_engine(settings.engine), settings.precision)
    return precision if precision in served else "f32"


def _engine(work: Work, directory: Path, precision: Precision) -> Engine:
    engine = select_engine(work.worker.settings.engine)
    try:
        return load_version_engine(directory, engine, precision, work.worker.threads)
    except MemoryError:
        raise
    except Exception as error:  # engines raise exceptions of any class
        raise Incomparable(f"its network can't be loaded: {error}") from error


def _images_at(
    work: Work, evaluated: Evaluated, served: Manifest, positions: list[int]
) -> Iterator[_Seen]:
    """Yield the test images at some positions, without those that are gone."""
    files, limits = work.dataset().files(), work.worker.image_limits
    own, theirs = evaluated.network.architecture.input_size, served.input
    for position in positions:
        image = evaluated.test_images[position]
        with suppress(InvalidImage):
            data = files.read(image.file, image.sha256)
            new = decode(data, own, own, limits)
            alike = new.shape[:2] == (theirs.height, theirs.width)
            old = new if alike else decode(data, theirs.height, theirs.width, limits)
            yield _Seen(position, new, old)


def _batches(images: Iterator[_Seen]) -> Iterator[list[_Seen]]:
    while batch := list(islice(images, _BATCH)):
        yield batch


def _answered(engine: Engine, pixels: Pixels) -> Probabilities:
    try:
        return engine.infer(pixels)[PROBABILITIES]
    except MemoryError:
        raise
    except Exception as error:  # engines raise exceptions of any class
        raise Incomparable(f"its network can't be run: {error}") from error


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
