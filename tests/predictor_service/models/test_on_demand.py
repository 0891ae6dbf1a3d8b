"""A request is answered by the version that it asks for: real files, real networks."""

import asyncio
import gc
import os
import shutil
import weakref
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from predictor_service.api.query import Wanted
from predictor_service.models.hot_reload import HotReload
from predictor_service.models.loading import VersionLoader
from predictor_service.models.on_demand import OnDemand
from predictor_service.models.served import Models, ServedVersion
from shared.engines import PROBABILITIES
from shared.errors import AliasNotFound, Conflict, ModelNotFound, Unavailable, VersionNotFound
from shared.models.annotations import ANNOTATIONS_FILE, Annotations
from tests.support.inputs.tiny_model import CONTRAST, picture, publish_tiny_model
from trainer_service.store.publishing import WritableModelStore

#: Versions 1, 2, 3 … are the surer of green, the higher their number.
SURER = [CONTRAST / 8, CONTRAST / 4, CONTRAST / 2, CONTRAST]


class Predictor:
    """A hot reload and the versions on demand of one store."""

    def __init__(self, settings: Any, pool: ThreadPoolExecutor, **limits: Any) -> None:
        self.store = WritableModelStore(settings.store)
        self.models = Models()
        self.loads: list[str] = []
        self.at_once = 0
        self.most_at_once = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.fault: Exception | None = None
        self._loader = VersionLoader(settings, pool)
        self._reload = HotReload(self.store, self.models, self, settings.poll_seconds)
        limits = {"most": 2, "patience": 20.0} | limits
        self.versions = OnDemand(self.store.root, self.models, self, **limits)

    async def load(self, directory: Path) -> ServedVersion:
        self.loads.append(directory.name)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.gate.wait()
            if self.fault is not None:
                raise self.fault
            return await self._loader.load(directory)
        finally:
            self.at_once -= 1

    async def poll(self) -> None:
        await self._reload.poll()
        self.versions.tidy()

    async def ask(self, version: int | str | None, model: str | None = None) -> tuple[int, float]:
        """Return which version answers a green picture, and how sure it is; as a request does."""
        wanted = Wanted(model, version)
        await self.versions.at_hand(wanted)
        async with self.versions.use(wanted) as used:
            [answer] = await used.served.batcher.predict([picture("green")])
        assert isinstance(answer, dict)
        return used.served.manifest.version, float(answer[PROBABILITIES].max())

    def loaded(self) -> list[int]:
        return [one.manifest.version for one in self.versions.of("colours")]


@pytest.fixture
def follow(settings):
    """Run a scenario with a predictor and a store of four versions, in an event loop."""

    def run(scenario: Callable[[Predictor], Awaitable[None]], **limits: Any) -> None:
        async def main() -> None:
            predictor = Predictor(settings, pool, **limits)
            await predictor.poll()
            predictor.loads.clear()
            await asyncio.wait_for(scenario(predictor), 30)

        for contrast in SURER:
            publish_tiny_model(settings.store, contrast=contrast)
        with ThreadPoolExecutor(2) as pool:
            asyncio.run(main())

    return run


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - what is awaited happens in threads
        await asyncio.sleep(0.01)


def say(store: Path, **versions: dict[str, str]) -> None:
    said = Annotations.model_validate({"versions": {name[1:]: v for name, v in versions.items()}})
    (store / "models/colours" / ANNOTATIONS_FILE).write_text(said.model_dump_json())


def test_the_version_that_is_asked_for_answers_and_the_served_one_stays(follow):
    async def scenario(predictor: Predictor) -> None:
        answers = [await predictor.ask(version) for version in (1, 2, 4, None, 1)]

        assert [version for version, _ in answers] == [1, 2, 4, 4, 1]
        sure = [probability for _, probability in answers]
        assert sure[0] < sure[1] < sure[2] == sure[3]
        assert predictor.loads == ["1", "2"]
        assert predictor.models.get("colours").version == 4

    follow(scenario)


def test_an_alias_is_a_version_and_can_be_moved(follow, store):
    async def scenario(predictor: Predictor) -> None:
        say(store, v2={"alias": "champion", "note": "for the shop"}, v4={"alias": "staging"})
        await predictor.poll()
        assert (await predictor.ask("champion"))[0] == 2
        assert (await predictor.ask("staging", "colours"))[0] == 4
        async with predictor.versions.use(Wanted("colours", "champion")) as used:
            assert used.said.note == "for the shop"
        info = predictor.models.get("colours").info(predictor.versions.of("colours"))
        assert info.aliases == {"champion": 2, "staging": 4}
        assert (info.alias, [one.version for one in info.on_demand]) == ("staging", [2])

        say(store, v3={"alias": "champion"})
        await predictor.poll()
        assert (await predictor.ask("champion"))[0] == 3
        with pytest.raises(AliasNotFound, match=r"no version called 'staging'\. Aliases: champion"):
            await predictor.ask("staging")

    follow(scenario)


def test_unreadable_notes_keep_nothing_from_being_served(follow, store):
    async def scenario(predictor: Predictor) -> None:
        say(store, v2={"alias": "champion"})
        await predictor.poll()
        (store / "models/colours" / ANNOTATIONS_FILE).write_text("{")
        publish_tiny_model(store)
        await predictor.poll()

        model = predictor.models.get("colours")
        assert model.version == 5
        assert "annotations.json" in (model.notice or "")
        assert (await predictor.ask("champion"))[0] == 2  # as it was last read

    follow(scenario)


def test_the_versions_used_last_stay_and_the_memory_of_others_is_given_back(follow):
    async def scenario(predictor: Predictor) -> None:
        for version in (1, 2, 1):
            await predictor.ask(version)
        [first, second] = [weakref.ref(one.engine) for one in predictor.versions.of("colours")]

        await predictor.ask(3)

        assert predictor.loaded() == [1, 3]
        gc.collect()
        await until(lambda: second() is None)
        assert first() is not None

    follow(scenario)


def test_one_version_is_loaded_at_a_time_and_once_for_all_who_ask(follow):
    async def scenario(predictor: Predictor) -> None:
        answers = await asyncio.gather(*(predictor.ask(version) for version in (1, 2, 1, 2, 1)))

        assert [version for version, _ in answers] == [1, 2, 1, 2, 1]
        assert sorted(predictor.loads) == ["1", "2"]
        assert predictor.most_at_once == 1

    follow(scenario)


def test_a_load_goes_on_for_the_others_when_the_first_one_leaves(follow):
    async def scenario(predictor: Predictor) -> None:
        predictor.gate.clear()
        first, second, other = (asyncio.create_task(predictor.ask(v)) for v in (1, 1, 2))
        await until(lambda: bool(predictor.loads))
        first.cancel()
        await asyncio.sleep(0)
        other.cancel()  # whose load has not begun, and never does
        predictor.gate.set()

        assert (await second)[0] == 1
        assert predictor.loads == ["1"]

    follow(scenario)


def test_a_request_does_not_wait_for_ever_for_its_version(follow):
    async def scenario(predictor: Predictor) -> None:
        predictor.gate.clear()
        with pytest.raises(Unavailable, match=r"[Vv]ersion 1") as raised:
            await predictor.ask(1)
        assert raised.value.retry_after >= 1
        predictor.gate.set()
        await until(lambda: predictor.loaded() == [1])
        assert (await predictor.ask(1))[0] == 1

    follow(scenario, patience=0.3)


def test_a_version_in_use_is_never_dropped_and_counts(follow, store):
    async def scenario(predictor: Predictor) -> None:
        async with AsyncExitStack() as requests:
            uses = [await requests.enter_async_context(_use(predictor, v)) for v in (1, 2)]
            with pytest.raises(Unavailable, match="HEADSTART_MAX_VERSIONS_ON_DEMAND allows 2"):
                await predictor.ask(3)
            shutil.rmtree(store / "models/colours/1")
            await predictor.poll()
            assert predictor.loaded() == [2]
            with pytest.raises(Unavailable):  # version 1 still is in memory
                await predictor.ask(3)
            for used in uses:
                [answer] = await used.served.batcher.predict([picture("green")])
                assert isinstance(answer, dict)
        assert (await predictor.ask(3))[0] == 3
        assert predictor.loaded() == [2, 3]

    follow(scenario, patience=0.5)


def _use(predictor: Predictor, version: int) -> Any:
    return predictor.versions.use(Wanted(None, version))


def test_a_damaged_version_says_why_and_is_not_tried_at_each_request(follow, store):
    def flip(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[0] ^= 1
        path.write_bytes(data)

    async def scenario(predictor: Predictor) -> None:
        weights = store / "models/colours/2/openvino/model.bin"
        flip(weights)
        for _ in range(4):
            with pytest.raises(Conflict, match=r"Version 2 of .* is refused: .*model\.bin"):
                await predictor.ask(2)
        assert predictor.loads == ["2"]
        flip(weights)
        assert (await predictor.ask(2))[0] == 2

    follow(scenario)


def test_a_version_that_the_machine_can_not_load_is_tried_again_later(follow):
    async def scenario(predictor: Predictor) -> None:
        predictor.fault = MemoryError("no memory")
        for _ in range(3):
            with pytest.raises(Unavailable, match=r"can't be loaded now: .*no memory") as raised:
                await predictor.ask(2)
            assert 1 < raised.value.retry_after <= 30
        assert predictor.loads == ["2"]

    follow(scenario)


def test_a_version_with_other_files_is_loaded_anew(follow, store):
    async def scenario(predictor: Predictor) -> None:
        assert (await predictor.ask(1))[0] == 1
        manifest = store / "models/colours/1/manifest.json"
        os.utime(manifest, ns=(1, 1))
        assert (await predictor.ask(1))[0] == 1
        assert predictor.loads == ["1", "1"]
        assert predictor.loaded() == [1]

    follow(scenario)


def test_what_is_not_there_is_named(follow):
    async def scenario(predictor: Predictor) -> None:
        for version in (9, "champion"):
            with pytest.raises((VersionNotFound, AliasNotFound), match=r"Versions: 1, 2, 3, 4|yet"):
                await predictor.ask(version)
        with pytest.raises(ModelNotFound):
            await predictor.ask(1, "nobody")

    follow(scenario)


def test_none_is_loaded_if_the_settings_allow_none(follow):
    async def scenario(predictor: Predictor) -> None:
        assert (await predictor.ask(4))[0] == 4
        with pytest.raises(Conflict, match="HEADSTART_MAX_VERSIONS_ON_DEMAND is 0"):
            await predictor.ask(3)
        assert predictor.loads == []

    follow(scenario, most=0)


def test_a_version_that_gets_served_is_not_kept_twice(follow, store):
    async def scenario(predictor: Predictor) -> None:
        await predictor.ask(1)
        predictor.store.pin("colours", 1)
        await predictor.poll()
        assert predictor.models.get("colours").version == 1
        assert predictor.loaded() == []
        assert (await predictor.ask(1))[0] == 1

    follow(scenario)
