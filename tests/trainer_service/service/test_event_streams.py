"""Streams of events, followed as they happen: on a real Redis, and without one."""

import asyncio
import errno
import gc
import warnings
from contextlib import aclosing

import httpx
import pytest
from httpx_sse import EventSource

from tests.support.trainer.builders import new_record, progress
from trainer_service.app import create_app
from trainer_service.service import event_streams
from trainer_service.service.event_streams import EventStreams
from trainer_service.settings import TrainerSettings
from trainer_service.store.events.event_log import EventLog, connect
from trainer_service.store.records.training_record import State
from trainer_service.store.stores import Stores

pytestmark = pytest.mark.integration

NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture(params=["redis", "no redis"])
def url(request, redis_url):
    return redis_url if request.param == "redis" else NOWHERE


def opened(directory, url):
    settings = TrainerSettings(store=directory, redis_url=url, weights=directory / "weights")
    stores = Stores.open(settings)
    record = new_record()
    stores.trainings.create(record)
    return settings, stores, record


def enter(stores, record, state):
    stores.trainings.update(record.id, lambda current: current.enter(state))


async def collect(streams, training_id, after=0, into=None):
    got = [] if into is None else into
    async for event in streams.follow(training_id, after):
        got.append(event.id)
    return got


async def until(condition):
    """Wait for what happens in other tasks and threads."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.005)


def run(story):
    """Run a story to its end, and to that of the tasks that it has started."""

    async def whole():
        result = await story()
        await until(lambda: len(asyncio.all_tasks()) == 1)
        return result

    return asyncio.run(whole())


async def until_read(streams, record, last):
    """Wait until the one who reads for those who follow has read up to an event."""
    await until(lambda: streams._tails[record.id]._last == last)


def test_events_arrive_as_they_happen_up_to_the_result(tmp_path, url, monkeypatch):
    """On the wire: the store is not looked at before the test has been given up."""
    monkeypatch.setattr(event_streams, "BLOCK_SECONDS", 3600)
    _, stores, record = opened(tmp_path, url)
    streams = EventStreams(stores.events, url)
    got = []

    async def story():
        following = asyncio.create_task(collect(streams, record.id, into=got))
        for done in range(3):
            await until(lambda expected=done + 1: len(got) == expected)
            await asyncio.to_thread(stores.events.append, record.id, [progress(done)])
        await until(lambda: len(got) == 4)
        enter(stores, record, State.FAILED)
        await asyncio.wait_for(following, 60)

    run(story)
    assert got == [1, 2, 3, 4, 5, 6]


def test_many_followers_each_get_every_event_once_from_their_cursor_on(tmp_path, url):
    _, stores, record = opened(tmp_path, url)
    streams = EventStreams(stores.events, url)
    stores.events.append(record.id, [progress(done) for done in range(20)])
    got = {after: [] for after in range(0, 60, 2)}

    async def story():
        following = [
            asyncio.create_task(collect(streams, record.id, after, into))
            for after, into in got.items()
        ]
        await until(lambda: all(len(ids) == max(0, 21 - after) for after, ids in got.items()))
        for done in range(20, 40):
            await asyncio.to_thread(stores.events.append, record.id, [progress(done)] * 5)
        enter(stores, record, State.CANCELLED)
        await asyncio.wait_for(asyncio.gather(*following), 60)

    last = 1 + 20 + 100 + 2
    run(story)
    assert got == {after: list(range(after + 1, last + 1)) for after in range(0, 60, 2)}


def test_a_follower_that_lags_behind_what_is_kept_gets_everything(tmp_path, redis_url, monkeypatch):
    monkeypatch.setattr(event_streams, "RECENT", 10)
    _, stores, record = opened(tmp_path, redis_url)
    streams = EventStreams(stores.events, redis_url)

    async def story():
        got = []
        async for event in streams.follow(record.id, 0):
            got.append(event.id)
            if event.id == 1:
                await until_read(streams, record, 1)
                stores.events.append(record.id, [progress(done) for done in range(100)])
                enter(stores, record, State.FAILED)
                await until_read(streams, record, 103)
        return got

    assert run(story) == list(range(1, 104))


def test_a_stream_ends_when_its_training_is_removed(tmp_path, url, monkeypatch):
    """One whose record can't be read has no result, and can be removed while it is followed."""
    monkeypatch.setattr(event_streams, "BLOCK_SECONDS", 0.5)
    settings, stores, record = opened(tmp_path, url)
    streams = EventStreams(stores.events, url)

    async def story():
        following = [asyncio.create_task(collect(streams, record.id)) for _ in range(2)]
        await until(lambda: streams.followers == 2)
        await until_read(streams, record, 1)
        (stores.trainings.directory(record.id) / "record.json").write_text("{")
        await asyncio.to_thread(stores.trainings.delete_unreadable, record.id)
        return await asyncio.wait_for(asyncio.gather(*following), 10)

    assert run(story) == [[1], [1]]
    assert streams.followers == 0
    assert Api(settings, record.id).get().status_code == 404


def test_what_redis_never_had_or_lost_comes_from_the_store(tmp_path, redis_url, monkeypatch):
    monkeypatch.setattr(event_streams, "BLOCK_SECONDS", 0.1)
    settings, stores, record = opened(tmp_path, redis_url)
    streams = EventStreams(stores.events, redis_url)
    silent = EventLog(settings.store / "trainings", connect(NOWHERE))

    async def story():
        following = asyncio.create_task(collect(streams, record.id))
        await until(lambda: streams.followers)
        await until_read(streams, record, 1)
        silent.append(record.id, [progress(1), progress(2)])
        stores.events.append(record.id, [progress(3)])
        await until_read(streams, record, 4)
        connect(redis_url).flushall()
        stores.events.append(record.id, [progress(4)])
        silent.append(record.id, [progress(5)])
        await until_read(streams, record, 6)
        enter(stores, record, State.FAILED)
        return await asyncio.wait_for(following, 60)

    assert run(story) == list(range(1, 9))


def test_a_cursor_beyond_the_end_ends_with_the_training(tmp_path, redis_url):
    _, stores, record = opened(tmp_path, redis_url)
    streams = EventStreams(stores.events, redis_url)

    async def story():
        following = asyncio.create_task(collect(streams, record.id, after=1000))
        await until(lambda: streams.followers)
        await until_read(streams, record, 1)
        enter(stores, record, State.FAILED)
        first = await asyncio.wait_for(following, 60)
        return first, await asyncio.wait_for(collect(streams, record.id, after=1000), 60)

    assert run(story) == ([], [])


def test_a_stream_that_has_ended_leaves_no_connection_open(tmp_path, redis_url):
    _, stores, record = opened(tmp_path, redis_url)
    streams = EventStreams(stores.events, redis_url)

    async def story():
        following = asyncio.create_task(collect(streams, record.id))
        await until(lambda: streams.followers)
        await until_read(streams, record, 1)
        enter(stores, record, State.FAILED)
        await following

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        run(story)
        gc.collect()
    assert [str(warning.message) for warning in told] == []


def test_when_nobody_follows_any_more_nothing_is_read(tmp_path, redis_url):
    _, stores, record = opened(tmp_path, redis_url)
    streams = EventStreams(stores.events, redis_url)

    def reading():
        return [task for task in asyncio.all_tasks() if task.get_name().startswith("events of")]

    async def story():
        async with aclosing(streams.follow(record.id, 0)) as events:
            assert (await anext(events)).id == 1
            assert len(reading()) == 1
        await until(lambda: not reading())

    run(story)


def test_a_new_follower_gets_the_events_after_an_earlier_read_failed(tmp_path, url, monkeypatch):
    _, stores, record = opened(tmp_path, url)
    streams = EventStreams(stores.events, url)
    last = stores.events.last

    def fail(_):
        raise OSError(errno.ESTALE, "Stale file handle")

    async def story():
        monkeypatch.setattr(stores.events, "last", fail)
        async with aclosing(streams.follow(record.id, 0)) as early:
            assert (await anext(early)).id == 1
            await until(lambda: streams._tails[record.id].has_failed)
            monkeypatch.setattr(stores.events, "last", last)
            late = asyncio.create_task(collect(streams, record.id))
            await until(lambda: not streams._tails[record.id].has_failed)
            await until_read(streams, record, 1)
            with pytest.raises(OSError, match="Stale"):
                await asyncio.wait_for(anext(early), 60)
        assert streams.followers == 1
        enter(stores, record, State.FAILED)
        return await asyncio.wait_for(late, 60)

    assert run(story) == [1, 2, 3]
    assert streams.followers == 0


class Api:
    """The API, asked for the events of one training."""

    def __init__(self, settings, training_id):
        self._app = create_app(settings)
        self._url = f"/v1/trainings/{training_id}/events"

    def get(self, accept="*/*", last=None, **params):
        async def get():
            transport = httpx.ASGITransport(self._app)
            headers = {"Accept": accept} | ({"Last-Event-ID": last} if last is not None else {})
            async with httpx.AsyncClient(transport=transport, base_url="http://trainer") as client:
                return await client.get(self._url, headers=headers, params=params)

        return asyncio.run(get())

    def page(self, **params):
        return self.get(accept="application/json", **params).json()


def messages(answer):
    """Return the id, type and data of each message of a stream."""
    return [
        (int(message.id), message.event, message.json())
        for message in EventSource(answer).iter_sse()
    ]


@pytest.fixture
def api(tmp_path, url):
    """The API with a training of six events that has failed."""
    settings, stores, record = opened(tmp_path, url)
    stores.events.append(record.id, [progress(done) for done in range(3)])
    enter(stores, record, State.FAILED)
    return Api(settings, record.id)


def test_the_stream_of_an_ended_training_is_replayed_and_ends(api):
    got = messages(api.get())

    assert [number for number, _, _ in got] == [1, 2, 3, 4, 5, 6]
    assert [kind for _, kind, _ in got] == ["state", *["progress"] * 3, "state", "result"]
    assert all(data["id"] == number and data["type"] == kind for number, kind, data in got)


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("application/json", "application/json"),
        ("application/*", "application/json"),
        ("application/json, text/plain, */*", "application/json"),
        ("text/event-stream;q=0.5, application/json", "application/json"),
        ("text/event-stream, application/json;q=0.5", "text/event-stream"),
        ("text/event-stream, application/json", "text/event-stream"),
        ("application/json;q=0", "text/event-stream"),
        ("text/event-stream;q=0, */*", "application/json"),
        ("application/json;q=nan, text/event-stream", "text/event-stream"),
        ("application/jsonlines", "text/event-stream"),
        ("*/*", "text/event-stream"),
    ],
)
def test_the_accept_header_decides_between_stream_and_page(api, accept, media_type):
    answer = api.get(accept=accept)

    assert answer.headers["content-type"].partition(";")[0] == media_type
    assert answer.headers["vary"] == "Accept"


def test_last_event_id_overrides_the_cursor_and_resumes_after_it(api):
    assert [number for number, _, _ in messages(api.get(after=1))] == [2, 3, 4, 5, 6]
    assert [number for number, _, _ in messages(api.get(after=1, last="4"))] == [5, 6]


def test_after_the_last_event_a_browser_is_told_to_ask_no_more(api):
    assert api.get(last="6").status_code == 204


def test_pages_of_json_are_the_same_events(api):
    first, second = api.page(limit=4), api.page(limit=4, after=4)

    assert (first["after"], first["ended"]) == (4, False)
    assert (second["after"], second["ended"]) == (6, True)
    streamed = [data for _, _, data in messages(api.get())]
    assert first["events"] + second["events"] == streamed
    assert api.page(after=6) == {"events": [], "after": 6, "ended": True}


@pytest.mark.parametrize(
    ("options", "field"),
    [({"last": "seven"}, "last-event-id"), ({"after": -1}, "after"), ({"limit": 0}, "limit")],
)
def test_a_wrong_cursor_is_named(tmp_path, options, field):
    settings, _, record = opened(tmp_path, NOWHERE)
    answer = Api(settings, record.id).get(**options)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"].endswith(field)


def test_events_of_an_unknown_training_are_not_found(tmp_path):
    settings, _, _ = opened(tmp_path, NOWHERE)
    assert Api(settings, "20260101-000000-abcdef").get().status_code == 404


def test_a_result_that_a_crash_kept_from_being_told_is_told_when_asked_for(tmp_path):
    """So are the events of a training that ended before there were any."""
    settings, stores, record = opened(tmp_path, NOWHERE)
    record.enter(State.CANCELLED)
    directory = stores.trainings.directory(record.id)
    (directory / "record.json").write_text(record.model_dump_json())
    (directory / "events.jsonl").unlink()

    assert [kind for _, kind, _ in messages(Api(settings, record.id).get())] == [
        "state",
        "state",
        "result",
    ]
