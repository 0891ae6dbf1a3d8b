"""Loading gives way to requests, and what it frees is not kept."""

import asyncio
import gc
import os
import platform
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from predictor_service.app import create_app
from predictor_service.inference import explain
from predictor_service.inference.explain import DAMAGED_RETRY_SECONDS, LOAD_RETRY_SECONDS, Parts
from predictor_service.inference.memory import LEAST_ARENAS
from predictor_service.models import loading
from predictor_service.models.loading import BACKGROUND_NICENESS, VersionLoader
from predictor_service.settings import PredictorSettings
from shared.errors import Unavailable, VersionCorrupt
from shared.models.model_store import ModelStore
from tests.support.clock import Clock
from tests.support.inputs.explainable_model import publish_explainable_model
from tests.support.inputs.tiny_model import picture, publish_tiny_model

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a priority per thread")


@linux
def test_the_first_version_loads_at_once_and_later_ones_give_way(tmp_path, monkeypatch):
    niceness = []

    def engine(*arguments, **named):
        niceness.append(os.getpriority(os.PRIO_PROCESS, 0))
        return load(*arguments, **named)

    load = loading.load_version_engine
    monkeypatch.setattr(loading, "load_version_engine", engine)
    publish_tiny_model(tmp_path)
    directory = ModelStore(tmp_path).directory("colours", 1)

    async def load_twice():
        with ThreadPoolExecutor(2) as pool:
            loader = VersionLoader(PredictorSettings(store=tmp_path, precision="f32"), pool)
            await loader.load(directory)
            await loader.load(directory)

    before = os.getpriority(os.PRIO_PROCESS, 0)
    asyncio.run(load_twice())
    assert niceness == [before, BACKGROUND_NICENESS]
    assert os.getpriority(os.PRIO_PROCESS, 0) == before


class Witnessed:
    """An engine that tells which thread frees it."""

    def __init__(self, engine, freed_in):
        self.engine = engine
        self.freed_in = freed_in

    def __getattr__(self, name):
        return getattr(self.engine, name)

    def infer(self, pixels):
        return self.engine.infer(pixels)

    def __del__(self):
        self.freed_in.append(threading.current_thread().name)


def test_an_engine_is_freed_where_it_holds_up_nobody(tmp_path, monkeypatch):
    freed_in = []
    load = loading.load_version_engine
    monkeypatch.setattr(
        loading,
        "load_version_engine",
        lambda *arguments, **named: Witnessed(load(*arguments, **named), freed_in),
    )
    publish_tiny_model(tmp_path)
    directory = ModelStore(tmp_path).directory("colours", 1)

    async def load_and_drop():
        with ThreadPoolExecutor(2) as pool:
            loader = VersionLoader(PredictorSettings(store=tmp_path, precision="f32"), pool)
            served = await loader.load(directory)
            await served.batcher.predict([picture("red")])
            assert not freed_in
            del served
            async with asyncio.timeout(60):
                while not freed_in:  # noqa: ASYNC110 - what is awaited happens in a thread
                    await asyncio.sleep(0.01)

    asyncio.run(load_and_drop())
    assert [name.rpartition("_")[0] for name in freed_in] == ["free"]


def test_what_heatmaps_are_made_of_is_loaded_once_when_asked_for_and_goes_with_the_version(
    tmp_path, monkeypatch
):
    loaded, freed_in = [], []
    load = loading.load_explaining_engine

    def witnessed(*arguments):
        loaded.append(os.getpriority(os.PRIO_PROCESS, 0))
        return Witnessed(load(*arguments), freed_in)

    monkeypatch.setattr(loading, "load_explaining_engine", witnessed)
    publish_explainable_model(tmp_path)
    directory = ModelStore(tmp_path).directory("colours", 1)

    async def explain_and_drop():
        with ThreadPoolExecutor(2) as pool:
            loader = VersionLoader(PredictorSettings(store=tmp_path, precision="f32"), pool)
            served = await loader.load(directory)
            await served.batcher.predict([picture("red")])
            assert not loaded
            asked = [served.explainer.explain([picture("red")], "top") for _ in range(3)]
            for (explained,) in await asyncio.gather(*asked):
                assert explained.heat["label"] == "red"
            assert len(loaded) == 1
            del served, asked
            async with asyncio.timeout(60):
                while not freed_in:  # noqa: ASYNC110 - what is awaited happens in a thread
                    await asyncio.sleep(0.01)

    asyncio.run(explain_and_drop())
    assert [name.rpartition("_")[0] for name in freed_in] == ["free"]


def explain_once(store):
    """Load a version and ask for a heatmap."""
    directory = ModelStore(store).directory("colours", 1)

    async def explain():
        with ThreadPoolExecutor(2) as pool:
            loader = VersionLoader(PredictorSettings(store=store, precision="f32"), pool)
            served = await loader.load(directory)
            try:
                await served.explainer.explain([picture("red")], "top")
            finally:
                loader.close()

    asyncio.run(explain())


@pytest.mark.parametrize("maps", [
    {"channels": 4},
    {"height": 10**30},
    {"height": 16, "width": 4},
    {"channels": 1, "height": 24},
])  # fmt: skip
def test_maps_of_other_sizes_than_the_manifest_says_are_told(tmp_path, maps):
    publish_explainable_model(tmp_path, **maps)

    with pytest.raises(Unavailable, match="'map_0' should have"):
        explain_once(tmp_path)


def test_whatever_engines_raise_of_a_graph_is_told(tmp_path, monkeypatch):
    def damaged(*_):
        raise RuntimeError("no such operation")

    monkeypatch.setattr(loading, "load_explaining_engine", damaged)
    publish_explainable_model(tmp_path)

    with pytest.raises(Unavailable, match="no such operation"):
        explain_once(tmp_path)


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (VersionCorrupt("graph.xml is damaged"), DAMAGED_RETRY_SECONDS),
        (MemoryError(), LOAD_RETRY_SECONDS),
    ],
)
def test_a_fault_of_what_heatmaps_are_made_of_is_remembered_for_a_while(
    tmp_path, monkeypatch, error, seconds
):
    publish_explainable_model(tmp_path)
    clock, tries, faults = Clock(), [], [error]
    monkeypatch.setattr(explain, "monotonic", clock)

    async def ask():
        with ThreadPoolExecutor(2) as pool:
            loader = VersionLoader(PredictorSettings(store=tmp_path, precision="f32"), pool)
            explainer = (await loader.load(ModelStore(tmp_path).directory("colours", 1))).explainer
            load, look = explainer._parts

            async def faulty(held):
                tries.append(clock.now)
                for fault in faults:
                    raise fault
                await load(held)

            explainer._parts = Parts(faulty, look)
            waits = []
            for later in (0, 2, seconds - 2.5):
                clock.now += later
                with pytest.raises(Unavailable) as refused:
                    await explainer.explain([picture("red")], "top")
                waits.append(refused.value.retry_after)
            faults.clear()
            clock.now += 1
            (explained,) = await explainer.explain([picture("red")], "top")
            loader.close()
            return waits, explained.heat["label"]

    assert asyncio.run(ask()) == ([seconds, seconds - 2, 1], "red")
    assert len(tries) == 2, "not for each request"


def test_one_that_leaves_does_not_end_the_loading_for_others(tmp_path, monkeypatch):
    begun, may_end = threading.Event(), threading.Event()
    load = loading.load_explaining_engine

    def slow(*arguments):
        begun.set()
        assert may_end.wait(30)
        return load(*arguments)

    monkeypatch.setattr(loading, "load_explaining_engine", slow)
    publish_explainable_model(tmp_path)
    directory = ModelStore(tmp_path).directory("colours", 1)

    async def leave():
        with ThreadPoolExecutor(2) as pool:
            loader = VersionLoader(PredictorSettings(store=tmp_path, precision="f32"), pool)
            served = await loader.load(directory)
            leaving, staying = (
                asyncio.create_task(served.explainer.explain([picture(colour)], "top"))
                for colour in ("red", "blue")
            )
            await asyncio.to_thread(begun.wait, 30)
            leaving.cancel()
            await asyncio.wait([leaving])
            may_end.set()
            (explained,) = await staying
            return leaving.cancelled(), explained.heat["label"]

    assert asyncio.run(leave()) == (True, "blue")


def test_the_threads_of_a_predictor_end_with_it(tmp_path):
    before = set(threading.enumerate())
    publish_tiny_model(tmp_path)
    app = create_app(PredictorSettings(store=tmp_path, precision="f32", poll_seconds=0.05))

    async def serve_until(version):
        while not (models := app.state.models.all()) or models[0].version != version:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    async def serve():
        async with asyncio.timeout(60), app.router.lifespan_context(app):
            await serve_until(1)
            publish_tiny_model(tmp_path)
            await serve_until(2)  # in a thread for it, and another one frees the first
            gc.collect()
            while "free_0" not in {thread.name for thread in threading.enumerate()}:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    asyncio.run(serve())
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
    assert set(threading.enumerate()) <= before


ARENAS = """
import ctypes, sys, threading
from predictor_service.inference.memory import steady_malloc

libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fopen.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
libc.malloc_info.argtypes, libc.fclose.argtypes = [ctypes.c_int, ctypes.c_void_p], [ctypes.c_void_p]
assert steady_malloc()
together = threading.Barrier(64)

def allocate():
    together.wait()
    libc.malloc(1000)
    together.wait()

threads = [threading.Thread(target=allocate) for _ in range(64)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
libc.free(libc.malloc(8 << 20))
libc.malloc(8 << 20)
file = libc.fopen(sys.argv[1].encode(), b"w")
libc.malloc_info(0, file)
libc.fclose(file)
"""


@pytest.mark.process
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has arenas to limit")
def test_many_threads_have_an_arena_per_core_and_large_blocks_go_back(tmp_path):
    """By itself glibc keeps the second of two large blocks in an arena once the first is freed."""
    subprocess.run([sys.executable, "-c", ARENAS, tmp_path / "info"], check=True, timeout=60)
    info = (tmp_path / "info").read_text()
    arenas = info.count("<heap nr=")
    assert 1 <= arenas <= max(LEAST_ARENAS, os.cpu_count())
    assert int(re.search(r'"mmap" count="\d+" size="(\d+)"', info)[1]) >= 8 << 20
