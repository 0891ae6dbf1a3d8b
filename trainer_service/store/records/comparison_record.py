"""The record of a comparison."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Self

from pydantic import AwareDatetime, Field

from trainer_service.errors import ComparisonEnded
from trainer_service.requests.comparison import ComparisonRequest
from trainer_service.requests.training import TrainingRequest
from trainer_service.store.records.parts import BaseRecord, Brief, ErrorInfo, RecordPart


class ComparisonState(StrEnum):
    """The state of a comparison; the last three are final."""

    QUEUED = "queued"
    FIRST_ROUND = "first_round"
    TRAINING = "training"
    MEASURING = "measuring"
    PUBLISHING = "publishing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self in {
            ComparisonState.SUCCEEDED,
            ComparisonState.FAILED,
            ComparisonState.CANCELLED,
        }


class ComparisonTransition(RecordPart):
    """A state and when it was entered; `seconds` is how long it lasted, null until it ends."""

    state: ComparisonState
    at: AwareDatetime
    seconds: float | None = None


class ComparisonDataset(RecordPart):
    """The dataset of a comparison, as it was when the comparison was submitted."""

    id: str
    revision: int | None = None
    parent: str | None = None
    root: str | None = None


class FirstRound(RecordPart):
    """What the first round has found of a candidate.

    Attributes:
        loss: the cross-validated log loss, in nats.
        standard_error: of that loss.
        images: how many images it was found on.
    """

    loss: float
    standard_error: float
    images: int


class ServingCost(RecordPart):
    """What it costs to serve a version, as it was measured on a worker.

    Attributes:
        precision: in which the network computed.
        single: core-milliseconds for each picture if they come one by one.
        batched: core-milliseconds for each picture in batches of eight.
        memory_bytes: by how much a process grows that serves the version.
    """

    precision: str
    single: float
    batched: float
    memory_bytes: int


class Row(RecordPart):
    """A row of the table of a comparison.

    Attributes:
        images: how many test images there are.
        accuracy_low, accuracy_high: the 95 % interval of Wilson.
        difference: the accuracy of the best row minus this one's, on the images of both.
        wins: how many test images this one answers right and the best one wrong.
        losses: how many it is the other way round.
        p: of McNemar's exact test of that; 1 for the best row.
        training_seconds: what it takes to train from nothing: computing the features, whenever
            that was done, training, evaluating and exporting.
        cost: of serving; None if it could not be measured, for the reason in `cost_error`.
        version_bytes: the size of the version's files.
        multiply_adds: of the network for one picture.
    """

    images: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    loss: float
    macro_f1: float
    difference: float = 0.0
    wins: int = 0
    losses: int = 0
    p: float = 1.0
    training_seconds: float
    cost: ServingCost | None = None
    cost_error: str | None = None
    version_bytes: int
    multiply_adds: int


class Candidate(RecordPart):
    """One of those that are compared.

    Attributes:
        name: what it is called: its architecture, and what else is varied.
        request: that of its training.
        trial: the id of its training in the first round; None if there is none.
        first_round: what that has found.
        dropped: why it was not trained on all images, as a sentence.
        training: the id of its training on all images.
        row: its row of the table, once it is measured.
        error: why it has no row, although it was not dropped.
    """

    name: str
    architecture: str
    request: TrainingRequest
    trial: str | None = None
    first_round: FirstRound | None = None
    dropped: str | None = None
    training: str | None = None
    row: Row | None = None
    error: str | None = None


class Verdict(RecordPart):
    """What a comparison has found.

    Attributes:
        best: the name of the most accurate candidate.
        recommended: the name of the cheapest that is not significantly worse.
        distinct: whether the images suffice to tell at least one from the best.
        sentence: the recommendation in words.
    """

    best: str
    recommended: str
    distinct: bool
    sentence: str


class PublishedMember(RecordPart):
    """A training of a comparison whose version was published."""

    training: str
    version: int


class ComparisonRecord(BaseRecord):
    """One comparison, as it is kept in the store and as the API returns it.

    Attributes:
        architectures: those that are compared, by their ids.
        verdict: what was found, once all are measured.
        to_publish: the training whose version is to be published; None if none, or no more.
        published: what was published.
        publish_error: why the last one could not be published.
        stop_requested: whether a client wants the table of what there is by now.
    """

    model: str
    state: ComparisonState
    dataset: ComparisonDataset
    transitions: list[ComparisonTransition] = Field(min_length=1)
    architectures: list[str]
    candidates: list[Candidate]
    verdict: Verdict | None = None
    to_publish: str | None = None
    published: list[PublishedMember] = Field(default_factory=list)
    publish_error: str | None = None
    error: ErrorInfo | None = None
    cancel_requested: bool = False
    stop_requested: bool = False
    request: ComparisonRequest

    @property
    def members(self) -> list[str]:
        """The ids of all its trainings that were planned."""
        candidates = self.candidates
        trials = dict.fromkeys(one.trial for one in candidates if one.trial is not None)
        return [*trials, *(one.training for one in candidates if one.training is not None)]

    def candidate_of(self, training_id: str) -> Candidate | None:
        """Return the candidate that a training on all images is of."""
        return next((one for one in self.candidates if one.training == training_id), None)

    def named(self, name: str) -> Candidate:
        """Return the candidate with a name."""
        return next(one for one in self.candidates if one.name == name)

    def enter(self, state: ComparisonState) -> None:
        """Move to another state and set how long the last one took.

        Raises:
            ComparisonEnded: the comparison has ended.
        """
        if state == self.state:
            return
        if self.state.ended:
            raise ComparisonEnded(self.id, self.state)
        now = datetime.now(UTC)
        last = self.transitions[-1]
        last.seconds = round(max(0.0, (now - last.at).total_seconds()), 3)
        seconds = 0.0 if state.ended else None
        self.transitions.append(ComparisonTransition(state=state, at=now, seconds=seconds))
        self.state = state

    def in_lists(self) -> Self:
        """Return a copy as lists show it."""
        return self.model_copy()

    def brief(self) -> Brief:
        """Return the summary that the index keeps in memory."""
        listed = self.in_lists().model_dump_json().encode()
        publishes = self.state.ended and self.to_publish is not None
        state = ComparisonState.PUBLISHING if publishes else self.state
        return Brief(self.id, self.created_at, state, not state.ended, self.dataset.id, listed)
