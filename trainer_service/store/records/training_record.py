"""The record of a training."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Literal, Self

from pydantic import AwareDatetime, Field, field_validator

from shared.models.manifest import CoverageInfo, HeadInfo, Quantization, TuneInfo, UnknownInfo
from trainer_service.errors import TrainingEnded
from trainer_service.requests.pretrained import PretrainedRequest
from trainer_service.requests.training import TrainingRequest
from trainer_service.store.records.parts import (
    FEW_LABELS,
    BaseRecord,
    Brief,
    DatasetCounts,
    DoubleCount,
    ErrorInfo,
    RecordPart,
)


class State(StrEnum):
    """The state of a training; the last three are final."""

    QUEUED = "queued"
    PREPARING = "preparing"
    BOTTLENECK = "bottleneck"
    HEAD = "head"
    TUNING = "tuning"
    EVALUATING = "evaluating"
    PUBLISHING = "publishing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self in {State.SUCCEEDED, State.FAILED, State.CANCELLED}


class Transition(RecordPart):
    """A state and when it was entered; `seconds` is how long it lasted, null until it ends."""

    state: State
    at: AwareDatetime
    seconds: float | None = None


TuneStep = Literal["views", "training"]


class Progress(RecordPart):
    """How much of a phase is done, in images or epochs; `per_second` is the speed.

    `per_second` and `eta_seconds` are None while the speed is unknown.

    Attributes:
        step: in the tuning phase, which of its two steps this is: `views` are computed once, then
            `training` counts the images of all epochs.
    """

    phase: State
    step: TuneStep | None = None
    done: int
    total: int
    per_second: float | None = None
    eta_seconds: float | None = None


class TrainingDataset(DatasetCounts):
    """The dataset of a training.

    Attributes:
        id: its id; None of a pre-trained network that is published as it is, which has no dataset.
        split: the number of images of each part.
        doubles: how many images are nearly equal; None if it was not looked for them.
        revision: the dataset's `revision` when the training was submitted.
        parent: the dataset that it was made of; None if of none.
        root: the first dataset of that line; None if this is it.
        corrected: how many images have another label than in the first one, or are left out.
        added: how many images the first one lacks.
    """

    id: str | None = None
    revision: int | None = None
    parent: str | None = None
    root: str | None = None
    corrected: int = 0
    added: int = 0
    split: dict[str, int] = Field(default_factory=dict)
    doubles: DoubleCount | None = None

    @property
    def known_id(self) -> str:
        """The id of the dataset.

        Raises:
            ValueError: there is no dataset.
        """
        if self.id is None:
            raise ValueError("A pre-trained network that is published as it is has no dataset.")
        return self.id

    @property
    def line(self) -> str | None:
        """The first dataset of its line, as that of a `DatasetRecord`; None if there is none."""
        return self.root or self.id


class CacheUse(RecordPart):
    """How many images' features were reused or computed, and the seconds that reuse has saved.

    Further views of images are counted apart.
    """

    reused: int
    computed: int
    seconds_saved: float
    views_reused: int = 0
    views_computed: int = 0


class SuspectCount(RecordPart):
    """How many images have a label that the others contradict; a file beside the record lists them.

    Attributes:
        count: how many there are.
        images: how many images were looked at.
        detail: what answered them, in a sentence or two.
    """

    count: int
    images: int
    detail: str = ""


class Promotion(RecordPart):
    """Whether the version was to be served when it was published, and why.

    A pin, a later decision or the predictor may have it otherwise.
    """

    served: bool
    reason: str


class TrialResult(RecordPart):
    """What a training in the first round of a comparison has found.

    Attributes:
        loss: the cross-validated log loss, in nats.
        standard_error: of that loss.
        images: how many images it was found on.
    """

    loss: float
    standard_error: float
    images: int


class Asked(RecordPart):
    """The requests of clients to cancel or stop a training, as `TrainingRecord` has them."""

    cancel: bool = False
    stop_after: int | None = None
    stop_tuning: bool = False


class TrainingRecord(BaseRecord):
    """One training, as it is kept in the store and as the API returns it.

    Attributes:
        architecture_reason: why it is another architecture than the default, although the request
            names none; None if it is not so.
        metrics: the totals of the evaluation. The report also has the metrics of each label and
            the confusion matrix; with few labels, so has the API's answer for a single training.
        pretrained: what was asked for if nothing is trained, but a pre-trained network published as
            it is; in lists, without the classes. Of `request`, only model and architecture mean
            something then.
        head: how the head was chosen, once it is trained.
        tune: what came of fine-tuning, if it was asked for.
        suspects: how many images look as if their label was wrong, once they are evaluated.
        unknown: how well the version tells which pictures are unknown to it.
        coverage: how often the labels that it answers for a coverage have the right one.
        promotion: whether the version was to be served when it was published, and why.
        report: the address of the report, once there is one.
        stop_after: the last epoch to train, set when a client asks to stop early and publish the
            best head so far. A head that is trained again after a fault stops there as well.
            Nothing is tuned then.
        stop_tuning: set when a client asks to stop while the last layers are tuned, or later.
        comparison: the id of the comparison that it belongs to; None if it was submitted alone.
        withheld: the number of its version in the model store of that comparison. `version` is set
            once that is published.
        trial_images: that it is a trial in the first round of a comparison, with at most so many
            images of each label; None if it is not. A trial has no version.
        trial: what the trial has found.
        feature_seconds: how long it takes to compute the features of its images, whenever that was
            done; known of trainings of comparisons only.
    """

    model: str
    architecture: str
    architecture_reason: str | None = None
    state: State
    version: int | None = None
    pretrained: PretrainedRequest | None = None
    dataset: TrainingDataset
    progress: Progress | None = None
    transitions: list[Transition] = Field(min_length=1)
    cache: CacheUse | None = None
    metrics: dict[str, Any] = Field(default_factory=dict)
    suspects: SuspectCount | None = None
    report: str | None = None
    head: HeadInfo | None = None
    tune: TuneInfo | None = None
    quantization: Quantization | None = None
    unknown: UnknownInfo | None = None
    coverage: CoverageInfo | None = None
    promotion: Promotion | None = None
    error: ErrorInfo | None = None
    cancel_requested: bool = False
    stop_after: int | None = None
    stop_tuning: bool = False
    comparison: str | None = None
    withheld: int | None = None
    trial_images: int | None = None
    trial: TrialResult | None = None
    feature_seconds: float | None = None
    request: TrainingRequest

    @field_validator("request", mode="before")
    @classmethod
    def _name_the_head(cls, request: Any) -> Any:
        """Add head and taps to a record of an earlier release, which had one kind of each."""
        if isinstance(request, dict) and "head" not in request:
            return {"head": "layers", "taps": "last"} | request
        return request

    def enter(self, state: State) -> None:
        """Move to another state and set how long the last one took.

        Entering the current state changes nothing.

        Raises:
            TrainingEnded: the training has ended.
        """
        if state == self.state:
            return
        if self.state.ended:
            raise TrainingEnded(self.id, self.state)
        now = datetime.now(UTC)
        last = self.transitions[-1]
        # Negative if the clock was set back since.
        last.seconds = round(max(0.0, (now - last.at).total_seconds()), 3)
        seconds = 0.0 if state.ended else None
        self.transitions.append(Transition(state=state, at=now, seconds=seconds))
        self.state = state
        self.progress = None

    def in_lists(self) -> Self:
        """Return a copy as lists show it."""
        short = {
            "metrics": numbers(self.metrics),
            "dataset": self.dataset.in_lists(),
            "pretrained": self.pretrained and self.pretrained.in_lists(),
        }
        return self.model_copy(update=short)

    def brief(self) -> Brief:
        """Return the summary that the index keeps in memory."""
        listed = self.in_lists().model_dump_json().encode()
        waits = not self.state.ended
        return Brief(
            self.id,
            self.created_at,
            self.state,
            waits,
            self.dataset.id or "",
            listed,
            self.is_member,
        )

    @property
    def is_member(self) -> bool:
        """Whether it belongs to a comparison, and has not been published by it."""
        return self.comparison is not None and self.version is None


def abridged(metrics: dict[str, Any]) -> dict[str, Any]:
    """Return an evaluation as the API shows it for a single training or version.

    With more than 64 labels, that leaves out the metrics of each label and the confusion matrix,
    which are in the report.
    """
    test = metrics.get("test")
    labels = test.get("per_class") if isinstance(test, dict) else None
    many = isinstance(labels, dict) and len(labels) > FEW_LABELS
    return numbers(metrics) if many else metrics


def numbers(metrics: dict[str, Any]) -> dict[str, dict[str, int | float]]:
    """Return only the numbers of each part of an evaluation, such as the accuracy."""
    return {
        part: {name: value for name, value in values.items() if isinstance(value, int | float)}
        for part, values in metrics.items()
        if isinstance(values, dict)
    }
