"""The types of events, and the events of a training that follow from its record."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, TypeAdapter

from shared.models.manifest import TuneMeasure
from trainer_service.store.events.comparison_events import (
    CandidateEvent,
    ComparisonResultEvent,
    ComparisonStateEvent,
)
from trainer_service.store.events.event import BaseEvent, EndEvent
from trainer_service.store.records.parts import (
    LEFT_OUT_BY_CORRECTION,
    TODAYS_VERDICTS,
    DoubleCount,
    ErrorInfo,
    RejectedImage,
)
from trainer_service.store.records.training_record import (
    CacheUse,
    Progress,
    State,
    TrainingRecord,
    numbers,
)

#: The largest label may have this many times the images of the smallest without a warning.
IMBALANCE = 3.0
#: With fewer test images the accuracy may be off by 17 points or more (95 % confidence).
FEW_TEST_IMAGES = 30


class StateEvent(BaseEvent):
    """The training entered a state, having spent `previous_seconds` in the one before."""

    type: Literal["state"] = "state"
    state: State
    previous: State | None = None
    previous_seconds: float | None = None


class ProgressEvent(Progress, BaseEvent):
    """How far a phase is, in images, or in the head phase in epochs or strengths."""

    type: Literal["progress"] = "progress"


class _Epoch(BaseEvent):
    """The metrics at the end of one epoch; null stands for NaN and infinity."""

    epoch: int
    epochs: int
    loss: float | None
    accuracy: float | None
    val_loss: float | None
    val_accuracy: float | None
    learning_rate: float | None


class EpochEvent(_Epoch):
    """The metrics at the end of one epoch of the training of a head of layers."""

    type: Literal["epoch"] = "epoch"


class StrengthEvent(BaseEvent):
    """A regression was solved with one strength of its regularisation, on the features of `taps`.

    The strengths are tried from strong to weak for each of the taps, and then once more with
    `views` of each image if those were asked for; `attempt` counts all of them, from 1. `near` is
    the training near whose choice is searched, of the taps and the strength; null if all are tried.
    """

    type: Literal["strength"] = "strength"
    attempt: int
    attempts: int
    taps: str
    views: int = 1
    strength: float
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    near: str | None = None


class TuneEstimateEvent(BaseEvent):
    """How long tuning will take at most, measured before most of it is done."""

    type: Literal["tune_estimate"] = "tune_estimate"
    seconds: float = Field(description="All that is left: views, and all epochs.")
    views_seconds: float = Field(description="Computing the views that are not stored yet.")
    epoch_seconds: float = Field(description="One epoch.")
    epochs: int
    bytes: int = Field(description="What the views take on disk.")


class TuneProgressEvent(Progress, BaseEvent):
    """How far the tuning phase is: first in views of images, then in images of all epochs."""

    type: Literal["tune_progress"] = "tune_progress"


class TuneEpochEvent(_Epoch):
    """The metrics at the end of one epoch of tuning.

    `val_loss` and `val_accuracy` are those of the averaged weights; `best` says whether no epoch
    before was as good, nor the network that tuning began with: `frozen`.
    """

    type: Literal["tune_epoch"] = "tune_epoch"
    best: bool
    frozen: TuneMeasure | None = None


class WarningEvent(BaseEvent):
    """Something that the user may want to change or know; the training goes on."""

    type: Literal["warning"] = "warning"
    code: Literal[
        "rejected_images",
        "class_imbalance",
        "few_test_images",
        "leaks",
        "int8_refused",
        "tried_again",
        "little_room",
        "tune_slow",
        "tune_refused",
        "tune_unkept",
        "other_architecture",
        "not_served",
    ]
    detail: Annotated[str, TODAYS_VERDICTS]
    images: list[RejectedImage] = Field(default_factory=list)
    labels: dict[str, int] = Field(default_factory=dict)


class ResultEvent(EndEvent):
    """How the training ended."""

    type: Literal["result"] = "result"
    state: State
    model: str
    version: int | None
    metrics: dict[str, dict[str, int | float]]
    cache: CacheUse | None
    error: ErrorInfo | None


Event = Annotated[
    StateEvent
    | ProgressEvent
    | EpochEvent
    | StrengthEvent
    | TuneEstimateEvent
    | TuneProgressEvent
    | TuneEpochEvent
    | WarningEvent
    | ResultEvent
    | ComparisonStateEvent
    | CandidateEvent
    | ComparisonResultEvent,
    Field(discriminator="type"),
]
event_adapter: TypeAdapter[Event] = TypeAdapter(Event)


class EventPage(BaseModel):
    """Events after a cursor."""

    events: list[Event]
    after: int = Field(description="The cursor to ask with next.")
    ended: bool = Field(description="Whether the last of all events is among those up to `after`.")


def events_of(record: TrainingRecord) -> list[Event]:
    """Return the events that follow from a record: states, warnings, and the result.

    As the record changes, events are only added: the earlier ones stay the same, except for the
    `at` of warnings.
    """
    events: list[Event] = [*_states(record), *_warnings(record)]
    if record.state.ended:
        events.append(_result(record))
    return events


def identity(event: Event) -> Any:
    """Return a value that is equal for two events about the same fact, such as the same state."""
    match event:
        case StateEvent():
            return event.type, event.state, event.at
        case WarningEvent():
            # Counts of labels may shift a little as images are decoded; once is enough.
            return event.type, event.code, _distinguishing(event)
        case ComparisonStateEvent():
            return event.type, event.state, event.at
        case CandidateEvent():
            return event.type, event.name, event.what
        case _:
            return event.type


def _distinguishing(event: WarningEvent) -> str:
    """Return the part of a warning's detail in which two of a kind differ."""
    if event.code == "tried_again":
        return event.detail
    # Earlier releases worded the rest of it in another way.
    return event.detail.partition(" rejected: ")[2] if event.images else ""


def _states(record: TrainingRecord) -> list[StateEvent]:
    previous = [None, *record.transitions]
    return [
        StateEvent(
            at=transition.at,
            state=transition.state,
            previous=before.state if before else None,
            previous_seconds=before.seconds if before else None,
        )
        for before, transition in zip(previous, record.transitions, strict=False)
    ]


def _warnings(record: TrainingRecord) -> list[WarningEvent]:
    dataset = record.dataset
    warnings = []
    if record.architecture_reason is not None:
        warnings.append(WarningEvent(code="other_architecture", detail=record.architecture_reason))
    if dataset.rejected:
        told = _not_used(dataset.verdicts)
        warnings.append(WarningEvent(code="rejected_images", detail=told, images=dataset.rejected))
    if record.request.class_weights == "none" and (detail := _imbalance(dataset.labels)):
        warnings.append(WarningEvent(code="class_imbalance", detail=detail, labels=dataset.labels))
    if detail := _few_test_images(dataset.split.get("test")):
        warnings.append(WarningEvent(code="few_test_images", detail=detail))
    if dataset.doubles is not None and dataset.doubles.leaks:
        warnings.append(
            WarningEvent(code="leaks", detail=_leaks(dataset.known_id, dataset.doubles))
        )
    if record.quantization is not None and not record.quantization.accepted:
        warnings.append(WarningEvent(code="int8_refused", detail=record.quantization.detail))
    if record.tune is not None and not record.tune.published:
        warnings.append(WarningEvent(code="tune_refused", detail=record.tune.reason))
    promotion = record.promotion
    if promotion is not None and not promotion.served and record.request.promote != "never":
        detail = f"Version {record.version} is published, but not served: {promotion.reason}"
        warnings.append(WarningEvent(code="not_served", detail=detail))
    return warnings


def _not_used(verdicts: dict[str, int]) -> str:
    """Say how many files were rejected, and how many images somebody has left out."""
    rejected = {name: count for name, count in verdicts.items() if name != LEFT_OUT_BY_CORRECTION}
    sentences = []
    if rejected:
        in_order = sorted(rejected.items(), key=lambda item: -item[1])
        counts = ", ".join(f"{count} {verdict}" for verdict, count in in_order)
        sentences.append(f"{_were('file', sum(rejected.values()))} rejected: {counts}.")
    if left_out := verdicts.get(LEFT_OUT_BY_CORRECTION):
        sentences.append(f"{_were('image', left_out)} {LEFT_OUT_BY_CORRECTION}.")
    return " ".join(sentences)


def _were(what: str, number: int) -> str:
    return f"1 {what} was" if number == 1 else f"{number} {what}s were"


def _imbalance(labels: dict[str, int]) -> str | None:
    counts = sorted(labels.items(), key=lambda item: item[1])
    if not counts or counts[-1][1] < IMBALANCE * counts[0][1]:
        return None
    (rare, least), (frequent, most) = counts[0], counts[-1]
    return (
        f"The labels are imbalanced: {most} images of {frequent!r}, {least} of {rare!r}. "
        "class_weights=balanced gives each label the same weight."
    )


def _few_test_images(images: int | None) -> str | None:
    if images is None or images >= FEW_TEST_IMAGES:
        return None
    are = "image is" if images == 1 else "images are"
    return (
        f"Only {images} {are} in the test part, so the test accuracy may be off by tens of "
        "percentage points. More images, or a larger split.test, make it more certain."
    )


def _leaks(dataset_id: str, doubles: DoubleCount) -> str:
    groups = "1 group" if doubles.leaks == 1 else f"{doubles.leaks} groups"
    lie = "lies" if doubles.leaks == 1 else "lie"
    return (
        f"The split leaks: {groups} of nearly equal images {lie} in several of its parts, e.g. "
        f"{doubles.example}. So the test may promise too much. The dataset brings it so, or a "
        f"label has too few other images. GET /v1/datasets/{dataset_id}/doubles lists all groups."
    )


def _result(record: TrainingRecord) -> ResultEvent:
    return ResultEvent(
        at=record.transitions[-1].at,
        state=record.state,
        model=record.model,
        version=record.version,
        metrics=numbers(record.metrics),
        cache=record.cache,
        error=record.error,
    )
