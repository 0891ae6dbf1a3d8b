"""Loading gives way to requests, and what it frees is not kept."""

import asyncio
import os
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from predictor_service import loading
from predictor_service.loading import BACKGROUND_NICENESS, VersionLoader
from predictor_service.memory import LEAST_ARENAS
from predictor_service.settings import PredictorSettings
from shared.model_store import ModelStore
from tests.tiny_model import publish_tiny_model

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


ARENAS = """
import ctypes, sys, threading
from predictor_service.memory import limit_arenas

libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fopen.restype = ctypes.c_void_p
libc.malloc_info.argtypes, libc.fclose.argtypes = [ctypes.c_int, ctypes.c_void_p], [ctypes.c_void_p]
limit_arenas()
together = threading.Barrier(64)

def allocate():
    together.wait()
    libc.malloc(1000)
    together.wait()

threads = [threading.Thread(target=allocate) for _ in range(64)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
file = libc.fopen(sys.argv[1].encode(), b"w")
libc.malloc_info(0, file)
libc.fclose(file)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has arenas to limit")
def test_many_threads_have_an_arena_per_core(tmp_path):
    subprocess.run([sys.executable, "-c", ARENAS, tmp_path / "info"], check=True, timeout=60)
    arenas = (tmp_path / "info").read_text().count("<heap nr=")
    assert 1 <= arenas <= max(LEAST_ARENAS, os.cpu_count())
