"""What is served follows what was decided: one poll at a time."""

from dataclasses import replace

import pytest

from predictor_service.models.hot_reload import wanted
from predictor_service.models.served import Model
from tests.support.inputs.tiny_model import publish_tiny_model
from tests.support.polled_predictor import Predictor, follow_store
from trainer_service.store.promoting import Verdict, decided

REFUSED = Verdict(served=False, reason="Its labels differ from those of version 1.")
SERVED = Verdict(served=True, reason="It is better.")


def test_what_is_decided_is_served_and_survives_damage(settings):
    store = settings.store

    async def scenario(predictor: Predictor) -> None:
        async def served() -> int | None:
            await predictor.poll()
            return predictor.model().version

        publish_tiny_model(store)
        assert await served() == 1
        publish_tiny_model(store, verdict=REFUSED)
        assert await served() == 1
        publish_tiny_model(store, verdict=SERVED)
        assert await served() == 3
        predictor.store.roll_back("colours")
        assert await served() == 1
        predictor.store.promote("colours", 2)
        assert await served() == 2
        assert predictor.loads == ["colours/1", "colours/3", "colours/1", "colours/2"]

        file = store / "models/colours/promotions.json"
        kept = file.read_bytes()
        file.write_bytes(b"{")
        publish_tiny_model(store)
        assert await served() == 2
        assert "promotions.json" in predictor.model().notice
        predictor.store.pin("colours", 1)
        assert await served() == 1
        predictor.store.pin("colours", None)
        file.write_bytes(kept)
        predictor.store.promote("colours", 4)
        assert await served() == 4
        assert predictor.model().notice is None

    follow_store(settings, scenario)


def test_a_model_without_a_version_to_serve_says_why(settings):
    publish_tiny_model(settings.store, verdict=REFUSED)

    async def scenario(predictor: Predictor) -> None:
        await predictor.poll()
        assert predictor.loads == []
        (why,) = predictor.models.not_ready()
        assert "Version 1 was published without being served: Its labels differ" in why
        predictor.store.promote("colours", 1)
        await predictor.poll()
        assert predictor.model().version == 1

    follow_store(settings, scenario)


def test_a_version_that_is_not_to_be_served_stays_until_another_one_is_loaded(settings):
    async def scenario(predictor: Predictor) -> None:
        publish_tiny_model(settings.store)
        publish_tiny_model(settings.store)
        await predictor.poll()
        predictor.store.roll_back("colours")
        (settings.store / "models/colours/1/openvino/model.bin").unlink()
        await predictor.poll()
        assert predictor.model().version == 2
        assert list(predictor.model().quarantined) == [1]

    follow_store(settings, scenario)


@pytest.mark.parametrize("known", [True, False])
def test_what_cannot_be_read_of_a_model_stays_as_it_was(settings, known):
    for verdict in (SERVED, SERVED, REFUSED):
        publish_tiny_model(settings.store, verdict=verdict)

    async def scenario(predictor: Predictor) -> None:
        await predictor.poll()
        decided = predictor.model().decisions
        if not known:
            (settings.store / "models/colours/promotions.json").write_bytes(b"")
        predictor.store.pin("colours", 1)
        await predictor.poll()
        assert (predictor.model().pinned, predictor.model().decisions) == (1, decided)

    follow_store(settings, scenario)


def test_only_versions_that_are_preferred_to_the_served_one_are_tried():
    model = Model("colours", versions=[1, 2, 3])
    assert wanted(model) == [3, 2, 1]
    model = replace(model, decisions=(decided(3, REFUSED), decided(2, SERVED)))
    assert wanted(model) == [2, 1]
