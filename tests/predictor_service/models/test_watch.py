"""A version that fails in its first minutes is left for the one before."""

import asyncio
from pathlib import Path

import pytest

from predictor_service.models.watch import MOST_FAILURES, Trial, found_wrong
from predictor_service.settings import PredictorSettings
from shared.errors import Unavailable, VersionCorrupt
from shared.models.model_store import OPENVINO_MODEL
from tests.support.inputs.tiny_model import picture, publish_tiny_model, save_network
from tests.support.polled_predictor import Predictor, follow_store

WHITE = picture((255, 255, 255))


def fail_if_bright(staging: Path) -> None:
    save_network(staging / OPENVINO_MODEL, fails_above=240)


def watched(settings: PredictorSettings, seconds: float = 30) -> PredictorSettings:
    return settings.model_copy(update={"watch_seconds": seconds})


async def until_failing(predictor: Predictor) -> None:
    while predictor.model().failing is None:  # noqa: ASYNC110 - a task of its own sets it
        await asyncio.sleep(0.01)


async def send(predictor: Predictor, times: int) -> list[Exception]:
    served = predictor.model().require_served()
    answers = [(await served.batcher.predict([WHITE]))[0] for _ in range(times)]
    return [answer for answer in answers if isinstance(answer, Exception)]


def test_a_version_that_fails_requests_is_left_for_the_one_before(settings):
    publish_tiny_model(settings.store)
    publish_tiny_model(settings.store, change=fail_if_bright)

    async def scenario(predictor: Predictor) -> None:
        await predictor.poll()
        assert predictor.model().version == 2
        errors = await send(predictor, MOST_FAILURES)
        assert [str(error) for error in errors] == [
            "The network's probabilities should add up to 1. Received: nan."
        ] * MOST_FAILURES
        await until_failing(predictor)
        await predictor.poll()
        assert predictor.model().version == 1
        assert await send(predictor, 3) == []
        for _ in range(2):
            assert "It was left 0 s after it was loaded: 3 times, its" in predictor.reasons()[2]
            assert "Version 1 is served instead." in predictor.reasons()[2]
            assert predictor.model().notice.startswith("Version 2 was left 0 s after")
            await predictor.poll()
        assert predictor.loads == ["colours/2", "colours/1"]
        publish_tiny_model(settings.store)
        await predictor.poll()
        assert predictor.model().version == 3

    follow_store(watched(settings), scenario)


def test_a_pinned_version_is_left_as_well(settings):
    publish_tiny_model(settings.store, change=fail_if_bright)
    publish_tiny_model(settings.store)

    async def scenario(predictor: Predictor) -> None:
        predictor.store.pin("colours", 1)
        await predictor.poll()
        await send(predictor, MOST_FAILURES)
        await until_failing(predictor)
        await predictor.poll()
        assert predictor.model().version == 2
        assert "Version 1 is pinned but" in predictor.model().notice

    follow_store(watched(settings), scenario)


def test_without_a_version_to_return_to_it_is_served_on_and_told(settings):
    publish_tiny_model(settings.store, change=fail_if_bright)

    async def scenario(predictor: Predictor) -> None:
        await predictor.poll()
        await send(predictor, MOST_FAILURES)
        await until_failing(predictor)
        for _ in range(2):
            await predictor.poll()
            assert predictor.model().version == 1
            assert "There is no other version to return to" in predictor.model().notice
        publish_tiny_model(settings.store)
        await predictor.poll()
        assert predictor.model().version == 2
        assert predictor.model().notice.startswith("Version 1 was left")

    follow_store(watched(settings), scenario)


def test_golden_images_are_answered_again_while_it_serves(settings):
    publish_tiny_model(settings.store)
    publish_tiny_model(settings.store, contrast=0.01)

    async def scenario(predictor: Predictor) -> None:
        await predictor.poll()
        served = predictor.model().require_served()
        directory = settings.store / "models/colours"
        await predictor.check(served, directory / "2")
        with pytest.raises(VersionCorrupt, match=r"answer to golden image red\.png is not the"):
            await predictor.check(served, directory / "1")
        (directory / "2/golden/red.png").unlink()
        with pytest.raises(VersionCorrupt, match=r"red\.png is missing"):
            await predictor.check(served, directory / "2")

    follow_store(watched(settings), scenario)


def test_after_its_first_minutes_a_version_stays(settings):
    publish_tiny_model(settings.store)
    publish_tiny_model(settings.store, change=fail_if_bright)

    async def scenario(predictor: Predictor) -> None:
        await predictor.poll()
        await asyncio.sleep(0.3)
        await send(predictor, 2 * MOST_FAILURES)
        await asyncio.sleep(0.3)
        await predictor.poll()
        assert predictor.model().version == 2

    follow_store(watched(settings, 0.1), scenario)


def found(trial: Trial, outcomes: list[Exception | None], seconds: float = 5.0) -> str | None:
    """Watch a version whose golden images come out as told, until they are all told."""

    async def check() -> None:
        outcome = outcomes.pop(0)
        if outcome is not None:
            raise outcome

    return asyncio.run(found_wrong(trial, check, lambda: bool(outcomes), seconds))


@pytest.mark.parametrize(
    ("outcomes", "wrong"),
    [
        ([None, VersionCorrupt("It is off.", "answers")], "It is off"),
        ([Unavailable("full"), OSError(5, "I/O"), VersionCorrupt("It is gone."), None], None),
    ],
)
def test_only_wrong_answers_to_golden_images_are_held_against_it(outcomes, wrong):
    assert found(Trial(), outcomes, seconds=1.0) == wrong
    assert outcomes == []


def test_one_failure_has_the_golden_images_answered_at_once():
    trial = Trial()
    trial.fail(RuntimeError("odd"))
    assert found(trial, [VersionCorrupt("It is off.", "answers")], seconds=3000.0) == "It is off"


def test_failures_of_the_machine_do_not_count():
    trial = Trial()
    for error in (MemoryError(), OSError(5, "I/O")):
        trial.fail(error)
    assert trial.failures == 0


def test_requests_get_no_answer_that_is_no_probability(settings):
    """One picture of a batch takes nothing from the others."""
    publish_tiny_model(settings.store, change=fail_if_bright)

    async def scenario(predictor: Predictor) -> None:
        await predictor.poll()
        batcher = predictor.model().require_served().batcher
        answers = await batcher.predict([picture("red"), WHITE, picture("green")])
        kinds = [isinstance(answer, VersionCorrupt) for answer in answers]
        assert kinds == [False, True, False]

    follow_store(settings, scenario)
