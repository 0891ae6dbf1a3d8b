"""A renamed model is served under its new name, and without a gap."""

import asyncio

from predictor_service.models.served import ServedVersion
from shared.errors import ModelNotFound
from tests.support.inputs.tiny_model import picture, publish_tiny_model
from tests.support.polled_predictor import Predictor, follow_store
from trainer_service.store.model_life import remove_model, rename_model


async def answers(version: ServedVersion) -> bool:
    [answer] = await version.batcher.predict([picture("green")])
    return isinstance(answer, dict)


def test_the_old_name_answers_until_the_new_one_does(settings, store):
    publish_tiny_model(store)
    publish_tiny_model(store, "other")
    seen: list[tuple[str, ...]] = []

    async def scenario(predictor: Predictor) -> None:
        def served() -> tuple[str, ...]:
            return tuple(model.name for model in predictor.models.all() if model.served)

        async def look() -> None:
            while True:
                seen.append(served())
                await asyncio.sleep(0)

        await predictor.poll()
        rename_model(predictor.store, "colours", "shades")
        looking = asyncio.create_task(look())
        await predictor.poll()
        looking.cancel()
        assert set(seen) == {("colours", "other")}  # and then both in the same moment
        assert served() == ("other", "shades")
        version = predictor.model("shades").require_served()
        assert version.manifest.model == "shades"
        assert await answers(version)

    follow_store(settings, scenario)


def test_a_removed_model_is_not_kept(settings, store):
    publish_tiny_model(store)

    async def scenario(predictor: Predictor) -> None:
        rename_model(predictor.store, "colours", "shades")
        await predictor.poll()
        remove_model(predictor.store, "shades", force=True)
        await predictor.poll()
        assert predictor.models.all() == []

    follow_store(settings, scenario)


def test_a_new_model_of_the_old_name_is_another_one(settings, store):
    publish_tiny_model(store)

    async def scenario(predictor: Predictor) -> None:
        await predictor.poll()
        rename_model(predictor.store, "colours", "shades")
        publish_tiny_model(store)
        await predictor.poll()
        assert predictor.model("colours").version == 2
        assert predictor.model("shades").version == 1
        remove_model(predictor.store, "colours", force=True)
        await predictor.poll()
        try:
            predictor.model("colours")
        except ModelNotFound:
            return
        raise AssertionError("The removed model is still there.")

    follow_store(settings, scenario)
