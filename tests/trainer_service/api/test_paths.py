"""A job's id or a model's name never becomes a path outside of the store."""

import asyncio
import re
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from shared.errors import NotFound
from shared.identifiers import is_id, is_model_name
from trainer_service.app import create_app
from trainer_service.settings import TrainerSettings
from trainer_service.store.events.event_log import EventLog, connect
from trainer_service.store.publishing import WritableModelStore
from trainer_service.store.stores import Stores

NOWHERE = "redis://127.0.0.1:1/0"
ID = "20261123-153522-1f25fc"
#: Calls of the operating system with a path, as Python's audit tells them.
EVENTS = {"open", "os.listdir", "os.scandir", "os.mkdir", "os.rename", "os.remove", "os.rmdir"}
_seen: list[Path] | None = None


def _watch(event, arguments):
    if _seen is not None and event in EVENTS:
        for argument in arguments[:2]:
            with suppress(TypeError, ValueError, OSError):
                _seen.append(Path(argument))


sys.addaudithook(_watch)


@contextmanager
def watched():
    """Yield the list of paths that are touched meanwhile."""
    global _seen  # noqa: PLW0603 - an audit hook can't be taken away again
    _seen = []
    try:
        yield _seen
    finally:
        _seen = None


def strangers(touched, store):
    """Return the paths that are neither in the store nor Python's own."""
    own = [store, Path(sys.prefix), Path(sys.base_prefix), Path(__file__).parents[3], Path("/dev")]
    resolved = {Path(path).resolve() for path in touched}
    return {
        path for path in resolved if not any(path.is_relative_to(root.resolve()) for root in own)
    }


hostile = st.one_of(
    st.text(max_size=80),
    st.lists(
        st.sampled_from(["..", ".", "/", "\\", "~", "\0", "\n", "outside", ID, "%2e", ""]),
        max_size=8,
    ).map("".join),
    st.from_regex(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{6}.{0,3}"),
)
examples = [
    "../outside",
    "..",
    ".",
    "",
    "/etc/passwd",
    f"{ID}/../../outside",
    f"{ID}\n",
    "\u0662" * 8 + "-" + "\u0662" * 6 + "-123456",
    "model\n",
    "-model",
    "a" * 64,
]
bounded = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def with_examples(test):
    for text in examples:
        test = example(text)(test)
    return test


@pytest.fixture
def store(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "record.json").write_text("{}")
    (tmp_path / "store").mkdir()
    return tmp_path / "store"


@bounded
@with_examples
@given(hostile)
def test_the_stores_make_no_path_of_it(store, text):
    stores = Stores.open(TrainerSettings(store=store, redis_url=NOWHERE))
    models = WritableModelStore(store)
    events = EventLog(store / "trainings", connect(NOWHERE))
    by_id = [stores.trainings.directory, stores.trainings.get, stores.trainings.lease_file]
    by_id += [stores.datasets.delete, events.directory, events.read]
    by_name = [models.versions, models.pinned, lambda name: models.pin(name, None)]
    by_name += [lambda name: models.published_by(name, ID), lambda name: models.directory(name, 1)]
    by_name += [models.decisions, models.roll_back, lambda name: models.promote(name, 1)]
    with watched() as touched:
        for call in ([] if is_id(text) else by_id) + ([] if is_model_name(text) else by_name):
            with pytest.raises(NotFound):
                call(text)
        if not is_model_name(text):
            with pytest.raises(NotFound), models.stage(text):
                pass

    assert strangers(touched, store) == set()


def routes(app):
    """Return method and path of every route that has a parameter in its path."""
    paths = app.openapi()["paths"]
    return [(m.upper(), path) for path, methods in paths.items() if "{" in path for m in methods]


@pytest.mark.slow
@settings(bounded, max_examples=25)
@with_examples
@given(hostile)
def test_no_route_leads_out_of_the_store(store, text):
    app = create_app(TrainerSettings(store=store, redis_url=NOWHERE))
    found = routes(app)
    part = quote(text, safe="")

    async def ask():
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as http:
            for method, path in found:
                url = re.sub(r"\{\w+\}", lambda _: part, path)
                headers = {"Accept": "application/json"}
                yield await http.request(method, url, json={"version": None}, headers=headers)

    async def collect():
        return [answer async for answer in ask()]

    with watched() as touched:
        answers = asyncio.run(collect())

    assert len(found) >= 8
    assert {answer.status_code for answer in answers} <= {200, 307, 400, 404, 405, 409, 413, 422}
    assert strangers(touched, store) == set()


def test_the_watch_sees_what_leads_out(store):
    with watched() as touched:
        (store / ".." / "outside" / "record.json").read_text()

    assert strangers(touched, store) == {store.parent / "outside" / "record.json"}
