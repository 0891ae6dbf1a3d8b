"""A version that answers beside the pinned one, unseen."""

import asyncio
from functools import partial

import pytest

from predictor_service.inference import shadow as shadow_module
from predictor_service.inference.shadow import Shadow
from shared.models.model_store import OPENVINO_MODEL
from tests.support.inputs.tiny_model import picture, publish_tiny_model, save_network
from tests.support.polled_predictor import Predictor, follow_store


async def answered(predictor: Predictor, colour: str) -> None:
    """Answer a picture as a request does, and wait for what the shadow makes of it."""
    model = predictor.model()
    answers = await model.served.batcher.predict([picture(colour)])
    model.shadow.offer(model.served, [picture(colour)], answers)
    if model.shadow._task is not None:
        await model.shadow._task


@pytest.fixture
def without_rest(monkeypatch):
    monkeypatch.setattr(shadow_module, "REST", 0.0)


@pytest.mark.usefixtures("without_rest")
def test_the_newest_version_answers_beside_the_pinned_one(settings):
    publish_tiny_model(settings.store)
    publish_tiny_model(settings.store)
    publish_tiny_model(settings.store, labels=("red", "green", "violet"), change=name_golden)

    async def scenario(predictor: Predictor) -> None:
        predictor.store.pin("colours", 1, shadow=True)
        await predictor.poll()
        await predictor.poll()
        assert predictor.loads == ["colours/1", "colours/3"]
        for colour in ("red", "blue", "green", "blue"):
            await answered(predictor, colour)
        told = predictor.model().info().shadow
        assert (told.version, told.seen, told.compared, told.different) == (3, 4, 4, 2)
        assert (told.share, told.failed) == (0.5, 0)
        assert told.seconds > 0
        assert predictor.model().version == 1

        predictor.store.pin("colours", 2)
        await predictor.poll()
        assert predictor.model().info().shadow is None
        predictor.store.pin("colours", None)
        await predictor.poll()
        assert predictor.model().version == 3

    follow_store(settings, scenario)


def name_golden(staging):
    file = staging / "golden/golden.json"
    file.write_text(file.read_text().replace('"label":"blue"', '"label":"violet"'))


def test_it_takes_no_time_that_a_request_could_need(settings):
    publish_tiny_model(settings.store)
    publish_tiny_model(settings.store)

    async def scenario(predictor: Predictor) -> None:
        predictor.store.pin("colours", 1, shadow=True)
        await predictor.poll()
        model = predictor.model()
        answer = await model.served.batcher.predict([picture("red")])
        waiting = asyncio.create_task(model.served.batcher.predict([picture("red")]))
        await asyncio.sleep(0)
        offer = partial(model.shadow.offer, model.served, [picture("red")], answer)
        offer()
        assert model.shadow._task is None, "a picture waits for the served version"
        await waiting
        offer()
        first = model.shadow._task
        offer()
        assert model.shadow._task is first, "it answers one already"
        await first
        model.shadow._rests_until += 60
        offer()
        assert model.shadow._task is first, "it rests"
        told = model.shadow.info()
        assert (told.seen, told.compared) == (4, 1)
        assert model.shadow._rests_until - told.seconds * shadow_module.REST > 60

    follow_store(settings, scenario)


def fail_if_red(staging):
    save_network(staging / OPENVINO_MODEL, fails_above=231)


@pytest.mark.usefixtures("without_rest")
def test_what_it_cannot_answer_harms_nothing(settings):
    publish_tiny_model(settings.store)
    publish_tiny_model(settings.store, change=fail_if_red)

    async def scenario(predictor: Predictor) -> None:
        predictor.store.pin("colours", 1, shadow=True)
        await predictor.poll()
        model = predictor.model()
        white = picture((255, 255, 255))
        answers = await model.served.batcher.predict([white, b"no picture"])
        model.shadow.offer(model.served, [white, b"no picture"], answers)
        await model.shadow._task
        told = model.shadow.info()
        assert (told.seen, told.compared, told.failed, told.share) == (1, 0, 1, None)

    follow_store(settings, scenario)


def test_a_damaged_newest_version_is_refused_and_the_one_before_taken(settings):
    for _ in range(3):
        publish_tiny_model(settings.store)
    (settings.store / "models/colours/3/openvino/model.bin").unlink()

    async def scenario(predictor: Predictor) -> None:
        predictor.store.pin("colours", 1, shadow=True)
        for _ in range(2):
            await predictor.poll()
        assert list(predictor.model().quarantined) == [3]
        assert isinstance(predictor.model().shadow, Shadow)
        assert predictor.model().info().shadow.version == 2

    follow_store(settings, scenario)
