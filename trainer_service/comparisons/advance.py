"""The step that looks what comes next in a comparison, and does it.

It may be repeated at any time: what is next follows from the record and the trainings alone. A step
that is lost together with its worker or with Redis is found by `worker.lost_steps`.
"""

import time
from collections.abc import Callable
from contextlib import suppress

from shared.errors import Conflict, HeadstartError
from shared.identifiers import new_id
from shared.logs import get_logger
from trainer_service.comparisons.decide import Action, next_action, to_create, unmeasured
from trainer_service.comparisons.halving import Loss, going_on, why_dropped
from trainer_service.comparisons.measure import compare_rows, measured_row, right_answers
from trainer_service.comparisons.members import create_member, ended_training, members_of
from trainer_service.comparisons.publishing import publish_withheld
from trainer_service.comparisons.recommend import Choice, recommend
from trainer_service.errors import RecordUnwritable, TrainingCancelled, TrainingEnded
from trainer_service.phases.work import Worker
from trainer_service.report.comparison import render_comparison
from trainer_service.service.trainings import cancel_in, stop_in
from trainer_service.store.files.lease import Lease, LeaseLost, require_survivable
from trainer_service.store.outcome import error_info, in_words
from trainer_service.store.records.comparison_record import (
    Candidate,
    ComparisonRecord,
    ComparisonState,
    FirstRound,
    PublishedMember,
    Row,
    Verdict,
)
from trainer_service.store.records.parts import ErrorInfo

_POLL_SECONDS = 0.3

log = get_logger(__name__)


def advance(worker: Worker, comparison_id: str) -> None:
    """Do what is next in a comparison, until its trainings have to go on or it has ended.

    Raises:
        ComparisonNotFound, RecordCorrupt: there is no such comparison, or its record is damaged.
        OSError, RecordUnwritable, Unavailable: the store can't be used now; the step is repeated.
    """
    due = True
    while due:
        with worker.stores.comparisons.lease(comparison_id) as held:
            if held is None:
                return
            _Advance(worker, comparison_id, held).run()
        # The step that a training has submitted on its end may have met the lease and done nothing.
        record = worker.stores.comparisons.get(comparison_id)
        due = next_action(record, members_of(worker.stores, record)) is not None


class _Advance:
    """One step of a comparison, while this process holds its lease."""

    def __init__(self, worker: Worker, comparison_id: str, held: Lease) -> None:
        self._worker = worker
        self._stores = worker.stores
        self._id = comparison_id
        self._held = held
        self._next_check = 0.0

    def run(self) -> None:
        """Do one action after the other."""
        try:
            require_survivable(self._held)
            while (action := self._next()) is not None:
                self._held.raise_if_lost()
                log.info("a comparison goes on", action=action)
                self._do(action)
        except LeaseLost as lost:
            log.warning("left to another worker", reason=str(lost))
        except (OSError, RecordUnwritable):
            raise
        except HeadstartError as error:
            self._fail(error)
        except Exception as error:
            log.exception("a comparison failed")
            self._fail(error)

    def _next(self) -> Action | None:
        record = self._record()
        return next_action(record, members_of(self._stores, record))

    def _do(self, action: Action) -> None:
        actions: dict[Action, Callable[[], None]] = {
            Action.BEGIN: self._begin,
            Action.CREATE: self._create,
            Action.JUDGE: self._judge,
            Action.MEASURE: self._measure,
            Action.CONCLUDE: self._conclude,
            Action.PUBLISH: self._publish,
            Action.FINISH: self._finish,
            Action.END_MEMBERS: self._end_members,
            Action.CANCEL: self._cancel,
        }
        actions[action]()

    def _record(self) -> ComparisonRecord:
        return self._stores.comparisons.get(self._id)

    def _update(self, change: Callable[[ComparisonRecord], None]) -> ComparisonRecord:
        return self._stores.comparisons.update(self._id, change)

    def _begin(self) -> None:
        """Plan the trainings of the first round, or if there is none those on all images."""

        def begin(record: ComparisonRecord) -> None:
            spaces = {_space(one) for one in record.candidates}
            if record.request.rounds == "full" or len(spaces) == 1:
                _plan_trainings(record, record.candidates)
                return
            trials = {space: new_id() for space in sorted(spaces)}
            for candidate in record.candidates:
                candidate.trial = trials[_space(candidate)]
            record.enter(ComparisonState.FIRST_ROUND)

        self._update(begin)

    def _create(self) -> None:
        record = self._record()
        for candidate, training_id in to_create(record, members_of(self._stores, record)):
            create_member(self._stores, self._worker.queue, record, candidate, training_id)

    def _judge(self) -> None:
        """Note what the first round has found, and plan the trainings of those that go on."""

        def judge(record: ComparisonRecord) -> None:
            losses: dict[str, Loss] = {}
            for one in record.candidates:
                found = ended_training(self._stores, one.trial or "")
                if isinstance(found, str) or found.trial is None:
                    one.error = f"The first round failed: {found if isinstance(found, str) else ''}"
                    continue
                one.first_round = FirstRound(**found.trial.model_dump())
                losses[one.name] = Loss(found.trial.loss, found.trial.standard_error)
            going = going_on(losses)
            if not going:
                _end_without_rows(record)
                return
            for one in record.candidates:
                if one.name in losses and one.name not in going:
                    best = going[0]
                    one.dropped = why_dropped(losses[one.name], losses[best], best)
            _plan_trainings(record, [record.named(name) for name in going])

        self._update(judge)

    def _measure(self) -> None:
        """Add the row of one candidate; with the first, the state changes."""
        record = self._update(lambda record: record.enter(ComparisonState.MEASURING))
        for candidate in unmeasured(record)[:1]:
            row, error = self._row_of(candidate)

            def note(
                record: ComparisonRecord,
                name: str = candidate.name,
                row: Row | None = row,
                error: str | None = error,
            ) -> None:
                record.named(name).row, record.named(name).error = row, error

            self._update(note)

    def _row_of(self, candidate: Candidate) -> tuple[Row | None, str | None]:
        training = ended_training(self._stores, candidate.training or "")
        if isinstance(training, str):
            return None, training
        try:
            return measured_row(self._worker, training, self._check_cancelled), None
        except TrainingCancelled:
            return None, "It was cancelled before it was measured."
        except HeadstartError as error:
            return None, error.detail

    def _check_cancelled(self) -> None:
        """Raise TrainingCancelled if the comparison was cancelled; it looks at intervals only."""
        if time.monotonic() < self._next_check:
            return
        self._next_check = time.monotonic() + _POLL_SECONDS
        self._held.raise_if_lost()
        if self._record().cancel_requested:
            raise TrainingCancelled(f"Comparison {self._id!r} was cancelled.")

    def _conclude(self) -> None:
        """Compare the rows with the best one, and say which is recommended."""
        record = self._record()
        rows, answers = {}, {}
        for one in record.candidates:
            training = ended_training(self._stores, one.training or "") if one.row else ""
            if one.row is not None and not isinstance(training, str):
                rows[one.name] = one.row
                answers[one.name] = right_answers(self._stores, training)
        if not rows:
            self._update(_end_without_rows)
            return
        best, rows = compare_rows(rows, answers)
        chosen = recommend(_choices(rows))

        def conclude(record: ComparisonRecord) -> None:
            for name, row in rows.items():
                record.named(name).row = row
            record.verdict = Verdict(
                best=best,
                recommended=chosen.name,
                distinct=chosen.distinct,
                sentence=chosen.sentence,
            )
            wanted = {"none": None, "best": best, "recommended": chosen.name}
            taken = wanted[record.request.publish]
            record.to_publish = record.named(taken).training if taken else None
            record.enter(ComparisonState.PUBLISHING)

        self._write_page(self._update(conclude))

    def _write_page(self, record: ComparisonRecord) -> None:
        page = render_comparison(record, self._stores.datasets.get(record.dataset.id))
        self._stores.comparisons.page_file(self._id).write_text(page, "utf-8")

    def _publish(self) -> None:
        """Publish a version, or note why that can't be; the table stays in any case."""
        training_id = self._record().to_publish or ""
        version, error = None, None
        try:
            version = publish_withheld(self._stores, self._stores.trainings.get(training_id))
        except HeadstartError as refused:
            error = refused.detail

        def note(record: ComparisonRecord) -> None:
            if record.to_publish == training_id:
                record.to_publish = None
            record.publish_error = error
            known = {one.training for one in record.published}
            if version is not None and training_id not in known:
                record.published.append(PublishedMember(training=training_id, version=version))

        self._update(note)

    def _finish(self) -> None:
        self._update(lambda record: record.enter(ComparisonState.SUCCEEDED))

    def _end_members(self) -> None:
        """Cancel or stop what runs; what has nothing to show yet is cancelled in either case."""
        record = self._record()
        for training_id, member in members_of(self._stores, record).items():
            if member.state.ended or member.asked:
                continue
            with suppress(TrainingEnded):
                if record.cancel_requested or not self._stopped(training_id):
                    cancel_in(self._stores, training_id)

    def _stopped(self, training_id: str) -> bool:
        try:
            stop_in(self._stores, self._worker.board, training_id)
        except TrainingEnded:
            raise
        except Conflict:
            return False
        return True

    def _cancel(self) -> None:
        self._update(lambda record: record.enter(ComparisonState.CANCELLED))

    def _fail(self, error: Exception) -> None:
        """End the comparison, and its trainings with it."""
        for training_id in members_of(self._stores, self._record()):
            with suppress(TrainingEnded):
                cancel_in(self._stores, training_id)

        def fail(record: ComparisonRecord) -> None:
            if not record.state.ended:
                record.error = error_info(error)
                record.enter(ComparisonState.FAILED)
            else:
                record.to_publish, record.publish_error = None, in_words(error)

        self._update(fail)


def _space(candidate: Candidate) -> tuple[str, str]:
    """Return what names the features of a candidate, which the first round tries."""
    return candidate.architecture, candidate.request.computed_taps


def _plan_trainings(record: ComparisonRecord, candidates: list[Candidate]) -> None:
    for candidate in candidates:
        candidate.training = new_id()
    record.enter(ComparisonState.TRAINING)


def _end_without_rows(record: ComparisonRecord) -> None:
    """End a comparison of which no candidate was trained to the end."""
    reasons = [one.error for one in record.candidates if one.error is not None]
    record.error = ErrorInfo(
        type="NothingTrained",
        detail=f"None of them was trained to the end. {reasons[0] if reasons else ''}".strip(),
    )
    record.enter(ComparisonState.FAILED)


def _choices(rows: dict[str, Row]) -> list[Choice]:
    """Return what the recommendation is made of; without the cost of one, multiply-adds count."""
    costs = {name: row.cost.single for name, row in rows.items() if row.cost is not None}
    return [
        Choice(
            name,
            row.accuracy,
            row.loss,
            costs[name] if len(costs) == len(rows) else row.multiply_adds,
            row.p,
        )
        for name, row in rows.items()
    ]
