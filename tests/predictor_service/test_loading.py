"""Loading gives way to requests, and what it frees is not kept."""

import asyncio
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from predictor_service import loading
from predictor_service.loading import BACKGROUND_NICENESS, VersionLoader
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


@linux
def test_glibc_is_told_to_keep_few_arenas():
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from predictor_service.memory import limit_arenas; print(limit_arenas())",
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "True"
