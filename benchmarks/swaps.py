"""Measures hot swaps under load: twenty publishes in a row while eight connections predict."""

import json
import multiprocessing
import shutil
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from benchmarks.predictor import BODIES, published_version
from benchmarks.tools import servers
from benchmarks.tools.images import benchmark_images
from benchmarks.tools.isolation import isolated
from benchmarks.tools.load import OK, Answer, collect, summary
from benchmarks.tools.rows import Row
from shared.identifiers import new_id
from shared.models.manifest import MANIFEST_FILE
from shared.models.model_store import read_manifest
from trainer_service.store.publishing import WritableModelStore

CONNECTIONS = 8
PUBLISHES = 20
STEADY_SECONDS = 15.0
SERVED_SECONDS = 60


@dataclass(slots=True)
class Publishing:
    """When each version was published and served.

    Attributes:
        published: when the version was put into the store, by its number.
        served: when the predictor reported that it serves the version, by its number.
    """

    published: dict[int, float] = field(default_factory=dict)
    served: dict[int, float] = field(default_factory=dict)


def run(directory: Path, *, quick: bool = False) -> list[Row]:
    """Measure latency and memory before, during and after the swaps, and check every answer.

    Raises:
        RuntimeError: a request failed, or a version answered that was not served at that time.
    """
    files, _ = benchmark_images(directory, quick=quick)
    version = isolated(published_version, directory, files)
    bodies = [file.read_bytes() for file in files[:BODIES]]
    store = directory / "swaps"
    shutil.rmtree(store, ignore_errors=True)
    publish_copy(version, store)
    publishes, seconds = (2, 0.5) if quick else (PUBLISHES, STEADY_SECONDS)
    with servers.headstart(store) as server:
        collect(server.url, bodies, CONNECTIONS, seconds / 3)
        steady = collect(server.url, bodies, CONNECTIONS, seconds)
        before = server.resident_megabytes()
        swapping, publishing = _swap(server, bodies, version, store, publishes)
        collect(server.url, bodies, CONNECTIONS, seconds / 3)
        after = server.resident_megabytes()
    check([*steady, *swapping], publishing)
    return _rows(steady, swapping, seconds, publishing, (before, after))


def publish_copy(version: Path, store: Path) -> int:
    """Publish the files of a version again, as a new version, and return its number."""
    models = WritableModelStore(store)
    manifest = read_manifest(version).model_copy(update={"training_id": new_id()})
    with models.stage(manifest.model) as staging:
        ignored = shutil.ignore_patterns(MANIFEST_FILE)
        shutil.copytree(version, staging, dirs_exist_ok=True, ignore=ignored)
        return models.publish(staging, manifest)


def check(answers: list[Answer], publishing: Publishing) -> None:
    """Check that every answer succeeded, with the version served at the request or a newer one.

    Raises:
        RuntimeError: an answer is an error, or comes from another version.
    """
    for answer in answers:
        if answer.status != OK:
            raise RuntimeError(f"a request was answered {answer.status}: {answer.body!r}")
        version = json.loads(answer.body)["predictions"][0]["version"]
        oldest = max((v for v, at in publishing.served.items() if at < answer.started), default=1)
        newest = max((v for v, at in publishing.published.items() if at < answer.ended), default=1)
        if not oldest <= version <= newest:
            raise RuntimeError(f"version {version} answered, not one of {oldest} to {newest}")


def _swap(
    server: servers.Server, bodies: list[bytes], version: Path, store: Path, publishes: int
) -> tuple[list[Answer], Publishing]:
    """Publish from another process, as a trainer does, so that it does not delay the load."""
    answers: list[Answer] = []
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        publishing = pool.submit(publish_in_turn, version, store, server.url, publishes)
        while not publishing.done():
            answers.extend(collect(server.url, bodies, CONNECTIONS, 1.0))
        return answers, publishing.result()


def publish_in_turn(version: Path, store: Path, url: str, publishes: int) -> Publishing:
    """Publish copies of a version; each one as soon as the one before it is served.

    Raises:
        RuntimeError: a copy was not served in time.
    """
    publishing = Publishing()
    models = url.replace("/predict", "/models/bench")
    with httpx.Client() as client:
        for _ in range(publishes):
            begun = time.perf_counter()
            number = publish_copy(version, store)
            publishing.published[number] = begun
            _wait_until_served(client, models, number)
            publishing.served[number] = time.perf_counter()
    return publishing


def _wait_until_served(client: httpx.Client, url: str, version: int) -> None:
    deadline = time.perf_counter() + SERVED_SECONDS
    while client.get(url).json()["version"] != version:
        if time.perf_counter() > deadline:
            raise RuntimeError(f"version {version} was not served in {SERVED_SECONDS} s")
        time.sleep(0.05)


def _rows(
    steady: list[Answer],
    swapping: list[Answer],
    seconds: float,
    publishing: Publishing,
    megabytes: tuple[float, float],
) -> list[Row]:
    calm = summary(steady, seconds)
    begun, ended = min(publishing.published.values()), max(publishing.served.values())
    span = ended - begun
    busy = summary([a for a in swapping if a.ended > begun and a.started < ended], span)
    case = f"{len(publishing.served)} publishes, {CONNECTIONS} connections"
    before, after = megabytes
    note = f"{busy.statuses}, each of a version that was served then"
    return [
        Row("swaps", "steady", "p99", calm.p99, "ms"),
        Row("swaps", case, "p99", busy.p99, "ms", busy.p99 / calm.p99, "steady", note),
        Row("swaps", case, "publish to served", span / len(publishing.served), "s"),
        Row("swaps", "before", "memory", before, "MB"),
        Row("swaps", "after", "memory", after, "MB", after / before, "before"),
    ]
