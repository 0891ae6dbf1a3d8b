"""How a comparison goes on; its trainings are done by the test."""

import pytest

from shared.errors import HeadstartError
from shared.models.model_store import MANIFEST_FILE, REPORT_PAGE, ModelStore, is_sound
from tests.support.trainer.builders import trainer_settings
from tests.support.trainer.comparing import Comparing
from trainer_service.comparisons import advance as module
from trainer_service.comparisons.serving_cost import CostUnknown
from trainer_service.queue.steps import PREPARE, Step
from trainer_service.store.events.comparison_events import CandidateEvent, ComparisonResultEvent
from trainer_service.store.files.lease import MAX_DEATHS
from trainer_service.store.records.comparison_record import ComparisonState, ServingCost
from trainer_service.store.records.training_record import State

THREE = ["mobilenet_v2", "vgg16", "convnext_tiny"]
COSTS = {"mobilenet_v2": 2.0, "vgg16": 9.0, "convnext_tiny": 5.0}


@pytest.fixture
def settings(tmp_path):
    # Nothing answers there, so no event is announced.
    return trainer_settings(tmp_path, "redis://127.0.0.1:1/0")


@pytest.fixture
def costs(monkeypatch):
    """Have each version cost as much as its training's architecture, without measuring."""
    known = dict(COSTS)

    def cost_of(worker, training, check_cancelled):
        monkeypatch.setattr(
            "trainer_service.comparisons.measure.serving_cost", lambda *_: asked(training)
        )
        return measured(worker, training, check_cancelled)

    def asked(training):
        cost = known[training.architecture]
        if cost is None:
            raise CostUnknown("It could not be measured: no memory.")
        return ServingCost(precision="f32", single=cost, batched=cost / 2, memory_bytes=10**8)

    measured = module.measured_row
    monkeypatch.setattr(module, "measured_row", cost_of)
    return known


def full(settings, architectures=THREE, **request):
    return Comparing(settings, architectures, rounds="full", **request)


def test_all_are_tried_first_on_few_images_each(settings):
    comparing = Comparing(settings, THREE, tune=["off"], quantize="int8", views=2)

    record = comparing.advance()

    assert record.state == ComparisonState.FIRST_ROUND
    trials = [candidate.trial for candidate in record.candidates]
    assert len(set(trials)) == 3
    assert comparing.steps() == [Step(PREPARE, (trial,)) for trial in trials]
    training = comparing.stores.trainings.get(trials[1])
    assert (training.comparison, training.trial_images) == (record.id, 50)
    assert (training.architecture, training.request.architecture) == ("vgg16", "vgg16")
    assert (training.request.views, training.request.quantize) == (1, "off")
    assert comparing.advance() == record


def test_candidates_with_the_same_features_are_tried_once(settings):
    comparing = Comparing(settings, THREE[:2], tune=["off", "tail"])

    candidates = comparing.advance().candidates

    assert candidates[0].trial == candidates[1].trial != candidates[2].trial
    assert len(comparing.steps()) == 2


def test_the_better_half_is_trained_and_the_others_are_told_with_their_figures(settings):
    comparing = Comparing(settings, THREE)
    comparing.advance()
    for name, loss in (("mobilenet_v2", 0.5), ("vgg16", 0.7), ("convnext_tiny", 0.4)):
        comparing.try_out(name, loss)
    comparing.steps()

    record = comparing.advance()

    assert record.state == ComparisonState.TRAINING
    dropped = record.named("vgg16")
    assert (dropped.first_round.loss, dropped.training) == (0.7, None)
    assert "0.700" in dropped.dropped
    trained = [record.named(name).training for name in ("mobilenet_v2", "convnext_tiny")]
    assert {step.arguments[0] for step in comparing.steps()} == set(trained)
    training = comparing.stores.trainings.get(trained[0])
    assert (training.trial_images, training.request.dataset) == (None, record.dataset.id)


def test_of_several_with_the_same_features_the_first_is_trained_alone(settings):
    comparing = full(settings, THREE[:2], tune=["off", "tail"])
    first, second, third, fourth = comparing.advance().candidates

    assert [step.arguments[0] for step in comparing.steps()] == [first.training, third.training]

    comparing.train(first.name, right=10)
    comparing.advance()

    assert [step.arguments[0] for step in comparing.steps()] == [second.training]
    assert fourth.training not in {one.id for one in comparing.stores.trainings.list()}


def test_the_table_compares_each_with_the_best_and_the_recommended_is_published(settings, costs):
    comparing = full(settings)
    comparing.advance()
    comparing.train("mobilenet_v2", right=17)
    comparing.train("vgg16", right=6)
    comparing.train("convnext_tiny", right=18)

    record = comparing.advance()

    assert (record.state, record.error) == (ComparisonState.SUCCEEDED, None)
    assert [one.state for one in record.transitions] == [
        "queued", "training", "measuring", "publishing", "succeeded",
    ]  # fmt: skip
    row = record.named("vgg16").row
    assert (row.images, row.accuracy, row.difference) == (20, 0.3, 0.6)
    assert (row.wins, row.losses) == (0, 12)
    assert row.p == pytest.approx(2 / 2**12)
    assert row.training_seconds == 3.0
    assert row.multiply_adds == 15_346_630_656
    assert row.version_bytes > 1000
    assert record.named("convnext_tiny").row.p == 1
    assert (record.verdict.best, record.verdict.recommended) == ("convnext_tiny", "mobilenet_v2")
    [published] = record.published
    assert published.training == record.named("mobilenet_v2").training
    training = comparing.stores.trainings.get(published.training)
    assert (training.version, training.is_member) == (1, False)
    assert training.promotion.served
    assert training.promotion.reason.startswith("No version was served before. 85.0 % of 20")
    page = comparing.stores.comparisons.page_file(record.id).read_text()
    assert record.verdict.sentence in page
    assert page.count("<circle") == 3


def test_what_is_published_is_sound_and_names_its_own_number(settings, costs):
    comparing = full(settings, THREE[:2], publish="best")
    comparing.advance()
    comparing.train("vgg16", right=18)
    comparing.train("mobilenet_v2", right=10)
    stores = comparing.stores
    with stores.models.stage("pets") as staging:  # a version of before
        (staging / "file").write_text("x")
        withheld = stores.comparisons.withheld(comparing.id)
        before = withheld.manifest("pets", 1).model_copy(update={"training_id": "other"})
        assert stores.models.publish(staging, before) == 1

    record = comparing.advance()

    assert [one.version for one in record.published] == [2]
    directory = ModelStore(settings.store).directory("pets", 2)
    manifest = ModelStore(settings.store).manifest("pets", 2)
    assert is_sound(directory)
    assert (manifest.version, manifest.training_id) == (2, record.named("vgg16").training)
    assert "<h1>pets, version 2</h1>" in (directory / REPORT_PAGE).read_text()
    own = stores.comparisons.directory(record.id) / "models" / "pets" / "1"
    assert is_sound(own)
    assert (own / MANIFEST_FILE).stat().st_nlink == 1
    graph = next(entry.path for entry in manifest.files if entry.path.endswith(".bin"))
    assert (own / graph).samefile(directory / graph)


def test_nothing_is_published_unless_asked_and_then_by_a_request_later(settings, costs):
    comparing = full(settings, THREE[:2], publish="none")
    comparing.advance()
    for name in THREE[:2]:
        comparing.train(name, right=12)
    record = comparing.advance()

    assert (record.state, record.published) == (ComparisonState.SUCCEEDED, [])
    assert ModelStore(settings.store).names() == []

    wanted = record.named("vgg16").training
    comparing.stores.comparisons.update(record.id, lambda one: setattr(one, "to_publish", wanted))
    record = comparing.advance()

    assert [(one.training, one.version) for one in record.published] == [(wanted, 1)]
    assert record.to_publish is None


def test_a_damaged_version_is_not_published_but_the_table_stays(settings, costs):
    comparing = full(settings, THREE[:2])
    comparing.advance()
    for name in THREE[:2]:
        comparing.train(name, right=12)
    models = comparing.stores.comparisons.directory(comparing.id) / "models"
    for graph in models.rglob("*.bin"):
        graph.write_bytes(b"damaged")

    record = comparing.advance()

    assert (record.state, record.published) == (ComparisonState.SUCCEEDED, [])
    assert "is not the file that was published" in record.publish_error
    assert ModelStore(settings.store).names() == []


def test_a_training_that_fails_leaves_its_row_out(settings, costs):
    comparing = full(settings, THREE[:2])
    record = comparing.advance()
    comparing.train("mobilenet_v2", right=12)
    comparing.fail(record.named("vgg16").training)

    record = comparing.advance()

    assert record.state == ComparisonState.SUCCEEDED
    assert record.named("vgg16").error == "Its training is failed."
    assert record.verdict.recommended == "mobilenet_v2"


def test_it_fails_if_nothing_is_trained_to_the_end(settings):
    comparing = full(settings, THREE[:2])
    record = comparing.advance()
    for candidate in record.candidates:
        comparing.fail(candidate.training)

    record = comparing.advance()

    assert (record.state, record.verdict) == (ComparisonState.FAILED, None)
    assert record.error.detail.startswith("None of them was trained to the end.")


def test_without_the_cost_of_one_the_multiply_adds_decide(settings, costs):
    costs["vgg16"] = None
    comparing = full(settings, THREE[1:])
    comparing.advance()
    for name in THREE[1:]:
        comparing.train(name, right=12)

    record = comparing.advance()

    assert record.named("vgg16").row.cost_error == "It could not be measured: no memory."
    assert record.verdict.recommended == "convnext_tiny"


@pytest.mark.process
def test_the_cost_of_serving_is_measured_in_a_process_of_its_own(settings):
    comparing = full(settings, THREE[:1])
    comparing.advance()
    comparing.train("mobilenet_v2", right=12)

    row = comparing.advance().candidates[0].row

    assert row.cost_error is None
    assert row.cost.precision in {"f32", "bf16"}
    assert 0 < row.cost.batched <= 4 * row.cost.single
    assert row.cost.memory_bytes > 0


def test_a_cancelled_comparison_ends_once_its_trainings_have(settings):
    comparing = full(settings, THREE[:2])
    record = comparing.advance()
    first, second = (candidate.training for candidate in record.candidates)
    comparing.stores.comparisons.update(
        record.id, lambda one: setattr(one, "cancel_requested", True)
    )
    with comparing.stores.trainings.lease(first):  # a worker is busy with it
        assert comparing.advance().state == ComparisonState.TRAINING
        assert comparing.stores.trainings.get(first).cancel_requested
        assert comparing.stores.trainings.get(second).state == State.CANCELLED
    comparing.fail(first, State.CANCELLED)

    assert comparing.advance().state == ComparisonState.CANCELLED


def test_one_that_is_stopped_makes_its_table_of_what_there_is(settings, costs):
    comparing = full(settings)
    record = comparing.advance()
    comparing.train("mobilenet_v2", right=12)
    running = record.named("vgg16").training
    comparing.stores.trainings.update(running, lambda one: one.enter(State.HEAD))
    comparing.stores.comparisons.update(record.id, lambda one: setattr(one, "stop_requested", True))

    assert comparing.advance().state == ComparisonState.TRAINING
    assert comparing.stores.trainings.get(running).stop_after is not None
    comparing.train("vgg16", right=11)
    record = comparing.advance()

    assert record.state == ComparisonState.SUCCEEDED
    assert [one.name for one in record.candidates if one.row] == ["mobilenet_v2", "vgg16"]
    assert record.named("convnext_tiny").error == "Its training is cancelled."


@pytest.mark.parametrize("calls", range(1, 9))
def test_killed_after_any_write_it_ends_with_the_same_table(settings, costs, monkeypatch, calls):
    """The process dies when it is about to write the record for the so-manieth time."""
    comparing = full(settings, THREE[:2])
    writes = [0]
    update = comparing.stores.comparisons.update

    def dying(*arguments):
        writes[0] += 1
        if writes[0] == calls:
            raise KeyboardInterrupt
        return update(*arguments)

    object.__setattr__(comparing.stores.comparisons, "update", dying)

    def survive():
        try:
            return comparing.advance()
        except KeyboardInterrupt:
            return comparing.advance()

    record = survive()
    comparing.train("mobilenet_v2", right=12)
    comparing.train("vgg16", right=11)
    record = survive()

    assert record.state == ComparisonState.SUCCEEDED
    assert [one.row.accuracy for one in record.candidates] == [0.6, 0.55]
    assert [one.version for one in record.published] == [1]
    assert ModelStore(settings.store).versions("pets") == [1]
    assert len(comparing.stores.trainings.list()) == 2


def test_trainings_that_were_planned_before_a_crash_are_created_after_it(settings):
    comparing = full(settings, THREE[:2])
    record = comparing.advance()
    lost = record.candidates[1].training
    comparing.stores.trainings.delete(lost)

    comparing.advance()

    assert comparing.stores.trainings.get(lost).state == State.QUEUED


def test_a_dataset_that_is_read_in_another_way_meanwhile_ends_it(settings):
    comparing = full(settings, THREE[:2])
    dataset = comparing.record.dataset.id
    comparing.stores.datasets.update(dataset, lambda record: setattr(record, "revision", 7))

    record = comparing.advance()

    assert record.state == ComparisonState.FAILED
    assert "has been read in another way meanwhile" in record.error.detail


def test_a_mistake_ends_it_with_its_trainings(settings, monkeypatch):
    comparing = full(settings, THREE[:2])
    comparing.advance()
    for name in THREE[:2]:
        comparing.train(name, right=12)
    monkeypatch.setattr(module, "measured_row", lambda *_: 1 / 0)

    record = comparing.advance()

    assert (record.state, record.error.type) == (ComparisonState.FAILED, "ZeroDivisionError")


def test_a_full_disk_ends_nothing(settings, monkeypatch):
    comparing = full(settings, THREE[:2])
    monkeypatch.setattr(module, "create_member", lambda *_: (_ for _ in ()).throw(OSError(28, "x")))

    with pytest.raises(OSError, match="28"):
        comparing.advance()

    assert comparing.record.state == ComparisonState.TRAINING


def test_one_that_kills_every_worker_is_given_up(settings):
    comparing = full(settings, THREE[:2])
    lease = comparing.stores.comparisons.lease_file(comparing.id)
    lease.write_text(f'{{"host": "x", "pid": 1, "deaths": {MAX_DEATHS}}}')

    record = comparing.advance()

    assert (record.state, record.error.type) == (ComparisonState.FAILED, "WorkersDied")


def test_while_another_process_is_at_it_nothing_is_done(settings):
    comparing = full(settings, THREE[:2])
    with comparing.stores.comparisons.lease(comparing.id):
        assert comparing.advance().state == ComparisonState.QUEUED


def test_events_tell_what_becomes_of_each_and_end_with_the_result(settings, costs):
    comparing = Comparing(settings, THREE[:2])
    comparing.advance()
    comparing.try_out("mobilenet_v2", 0.4)
    comparing.try_out("vgg16", 0.7)
    comparing.advance()
    comparing.train("mobilenet_v2", right=12)
    comparing.advance()

    events = comparing.stores.comparison_events.read(comparing.id)

    told = [(one.name, one.what) for one in events if isinstance(one, CandidateEvent)]
    assert told == [
        ("mobilenet_v2", "tried"),
        ("vgg16", "tried"),
        ("vgg16", "dropped"),
        ("mobilenet_v2", "trained"),
    ]
    assert [event.id for event in events] == list(range(1, len(events) + 1))
    assert isinstance(events[-1], ComparisonResultEvent)
    assert [one.version for one in events[-1].published] == [1]


def test_it_is_removed_with_its_trainings_but_not_what_was_published(settings, costs):
    comparing = full(settings, THREE[:2])
    comparing.advance()
    for name in THREE[:2]:
        comparing.train(name, right=12)
    record = comparing.advance()

    comparing.stores.remove_comparison(record)

    [kept] = comparing.stores.trainings.list()
    assert (kept.id, kept.version) == (record.published[0].training, 1)
    assert comparing.stores.trainings.get(kept.id).comparison is None
    with pytest.raises(HeadstartError):
        comparing.stores.comparisons.get(record.id)
    assert is_sound(ModelStore(settings.store).directory("pets", 1))


def test_a_training_that_ends_at_the_last_moment_is_not_missed(settings, costs, monkeypatch):
    """Its own step meets the lease, and does nothing."""
    comparing = full(settings, THREE[:1])
    comparing.advance()
    looked = module.members_of
    looks = [0]

    def look(stores, record):
        found = looked(stores, record)
        looks[0] += 1
        if looks[0] == 1:
            comparing.train("mobilenet_v2", right=12)
        return found

    monkeypatch.setattr(module, "members_of", look)

    assert comparing.advance().state == ComparisonState.SUCCEEDED
