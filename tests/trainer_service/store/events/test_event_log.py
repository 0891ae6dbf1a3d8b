"""The log of events: what it keeps, numbers and announces."""

import json
import multiprocessing
import os
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from tests.support.inputs.odd_files import make_socket
from tests.support.trainer.builders import new_record, progress
from trainer_service.errors import RecordCorrupt
from trainer_service.store.events.event_log import (
    EVENTS_FILE,
    FIELD,
    MOST_BYTES,
    EventLog,
    connect,
    stream_key,
)
from trainer_service.store.records.parts import ErrorInfo, RejectedImage
from trainer_service.store.records.training_record import Promotion, State
from trainer_service.store.stores import TrainingStore

NOWHERE = "redis://127.0.0.1:1/0"
PROCESSES, EACH = 4, 50


@pytest.fixture
def record(trainings):
    made = new_record()
    trainings.create(made)
    return made


def told(log, record):
    return [(event.id, event.type) for event in log.read(record.id)]


def test_every_state_is_told_with_the_time_that_the_one_before_took(trainings, log, record):
    trainings.update(record.id, lambda current: current.enter(State.PREPARING))
    trainings.update(record.id, lambda current: current.enter(State.PREPARING))

    first, second = log.read(record.id)
    assert (first.id, first.type, first.state, first.previous) == (1, "state", "queued", None)
    assert (second.id, second.state, second.previous) == (2, "preparing", "queued")
    assert second.previous_seconds is not None


def test_the_result_is_the_last_event(trainings, log, record):
    def fail(current):
        current.enter(State.FAILED)
        current.error = ErrorInfo(type="InvalidDataset", detail="No images.")

    trainings.update(record.id, fail)
    log.append(record.id, [progress(1)])
    log.append_missing(trainings.get(record.id))

    assert told(log, record) == [(1, "state"), (2, "state"), (3, "result")]
    result = log.last(record.id)
    assert (result.state, result.error.detail) == ("failed", "No images.")


def test_a_result_has_the_metrics_that_are_numbers(trainings, log, record):
    def succeed(current):
        current.enter(State.SUCCEEDED)
        current.version = 3
        current.metrics = {"test": {"accuracy": 0.5, "images": 4, "per_class": {"a": {}}}}

    trainings.update(record.id, succeed)
    result = log.last(record.id)
    assert (result.version, result.metrics) == (3, {"test": {"accuracy": 0.5, "images": 4}})


def test_rejected_files_and_imbalance_are_warned_of_once(trainings, log, record):
    def fill(current):
        current.dataset.labels = {"cat": 90, "dog": 30}
        images = [RejectedImage(name=f"{n}.png", verdict="truncated") for n in range(30)]
        current.dataset.reject(images, {"truncated": 30})

    trainings.update(record.id, fill)
    trainings.update(record.id, fill)

    rejected, imbalance = log.read(record.id)[1:]
    assert (rejected.code, len(rejected.images)) == ("rejected_images", 20)
    assert rejected.detail == "30 files were rejected: 30 truncated."
    assert (imbalance.code, imbalance.labels) == ("class_imbalance", {"cat": 90, "dog": 30})
    assert "90 images of 'cat', 30 of 'dog'" in imbalance.detail


def test_one_rejected_file_is_warned_of_once_however_earlier_releases_worded_it(
    trainings, log, record
):
    image = RejectedImage(name="1.png", verdict="truncated")

    def fill(current):
        current.dataset.reject([image], {"truncated": 1})

    trainings.update(record.id, fill)
    [_, warning] = log.read(record.id)
    assert warning.detail == "1 file was rejected: 1 truncated."
    earlier = warning.model_copy(update={"detail": "1 files were rejected: 1 truncated."})
    log.append_once(record.id, earlier)

    assert told(log, record) == [(1, "state"), (2, "warning")]


@pytest.mark.parametrize(
    ("verdicts", "told"),
    [
        ({"left out by a correction": 1}, "1 image was left out by a correction."),
        (
            {"left out by a correction": 2, "truncated": 1},
            "1 file was rejected: 1 truncated. 2 images were left out by a correction.",
        ),
    ],
)
def test_what_a_correction_has_left_out_was_not_rejected(trainings, log, record, verdicts, told):
    image = RejectedImage(name="1.png", verdict="left out by a correction")
    trainings.update(record.id, lambda current: current.dataset.reject([image], verdicts))

    assert log.read(record.id)[1].detail == told


@pytest.mark.parametrize(
    ("labels", "request_fields"),
    [({"a": 29, "b": 10}, {}), ({"a": 90, "b": 10}, {"class_weights": "balanced"}), ({}, {})],
)
def test_no_imbalance_is_warned_of(trainings, log, labels, request_fields):
    record = new_record(**request_fields)
    trainings.create(record)
    trainings.update(record.id, lambda current: setattr(current.dataset, "labels", labels))

    assert told(log, record) == [(1, "state")]


@pytest.mark.parametrize(
    ("asked", "served", "warned"),
    [
        ("auto", False, True),
        ("if_better", False, True),
        ("never", False, False),
        ("auto", True, False),
    ],
)
def test_a_version_that_is_not_served_is_warned_of_unless_that_was_asked(
    trainings, log, asked, served, warned
):
    record = new_record(promote=asked)
    trainings.create(record)

    def publish(current):
        current.version = 4
        current.promotion = Promotion(served=served, reason="Its labels differ.")

    trainings.update(record.id, publish)

    said = "Version 4 is published, but not served: Its labels differ."
    assert [event.detail for event in log.read(record.id)[1:]] == ([said] if warned else [])


@pytest.mark.parametrize(
    ("images", "said"),
    [(1, "Only 1 image is"), (2, "Only 2 images are"), (29, "Only 29 images are"), (30, None)],
)
def test_a_small_test_part_is_warned_of(trainings, log, record, images, said):
    split = {"train": 20, "validation": 2, "test": images}
    trainings.update(record.id, lambda current: setattr(current.dataset, "split", split))
    warnings = log.read(record.id)[1:]

    assert [warning.code for warning in warnings] == (["few_test_images"] if said else [])
    assert not said or warnings[0].detail == (
        f"{said} in the test part, so the test accuracy may be off by tens of percentage points. "
        "More images, or a larger split.test, make it more certain."
    )


def test_what_a_crash_kept_from_being_told_is_told_with_the_next_change(trainings, log, record):
    """The record was written, its events were not."""
    record.enter(State.PREPARING)
    (trainings.directory(record.id) / "record.json").write_text(record.model_dump_json())
    trainings.update(record.id, lambda current: current.enter(State.BOTTLENECK))

    states = [event.state for event in log.read(record.id)]
    assert states == ["queued", "preparing", "bottleneck"]


def test_a_line_that_a_crash_cut_off_is_replaced(trainings, log, record):
    file = trainings.directory(record.id) / EVENTS_FILE
    with file.open("a") as torn:
        torn.write('{"id": 2, "type": "progress", "do')
    assert told(log, record) == [(1, "state")]

    log.append(record.id, [progress(7)])
    assert told(log, record) == [(1, "state"), (2, "progress")]
    assert [json.loads(line)["id"] for line in file.read_text().splitlines()] == [1, 2]


def test_reading_goes_on_after_a_cursor_up_to_a_limit(log, record):
    log.append(record.id, [progress(done) for done in range(9)])

    assert [event.id for event in log.read(record.id, 3, 4)] == [4, 5, 6, 7]
    assert [event.id for event in log.read(record.id, 8)] == [9, 10]
    assert log.read(record.id, 99) == []


def test_an_event_longer_than_what_is_read_at_once_is_the_last_one(trainings, log, record):
    labels = {f"label number {number}": 1 + number for number in range(5000)}
    trainings.update(record.id, lambda current: setattr(current.dataset, "labels", labels))

    assert log.last(record.id).labels == labels
    log.append(record.id, [progress(1)])
    assert log.last(record.id).id == 3


DAMAGED = [
    b"\n",
    b"\0" * 60 + b"\n",
    b'{"id":3,"type":"epo\n',
    b"[" * 5000 + b"\n",
    b"\xff{}\n",
    b"{}\n",
]


@pytest.mark.parametrize("line", DAMAGED)
@pytest.mark.parametrize("damaged", [2, 5], ids=["in the middle", "at the end"])
def test_a_damaged_line_is_left_out_and_the_others_keep_their_ids(log, record, line, damaged):
    log.append(record.id, [progress(done) for done in range(4)])
    file = log.directory(record.id) / EVENTS_FILE
    lines = file.read_bytes().splitlines(keepends=True)
    lines[damaged - 1] = line
    file.write_bytes(b"".join(lines))
    sound = [number for number in range(1, 6) if number != damaged]

    assert [event.id for event in log.read(record.id)] == sound
    assert [event.id for event in log.read(record.id, damaged - 1, 1)] == sound[damaged - 1 :][:1]
    assert log.last(record.id).id == sound[-1]
    log.append(record.id, [progress(9)])
    assert [event.id for event in log.read(record.id)] == [*sound, 6]


def test_a_damaged_result_is_told_again(trainings, log, record):
    trainings.update(record.id, lambda current: current.enter(State.FAILED))
    file = log.directory(record.id) / EVENTS_FILE
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([*lines[:-1], b"{\n"]))
    EventLog(log.directory(record.id).parent, connect(NOWHERE)).append_missing(
        trainings.get(record.id)
    )
    assert told(log, record)[-1] == (4, "result")


def test_removed_lines_leave_no_reader_in_an_endless_loop(log, record):
    """A request for events after an id must not get an older one."""
    log.append(record.id, [progress(done) for done in range(4)])
    file = log.directory(record.id) / EVENTS_FILE
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[2:]))
    assert [event.id for event in log.read(record.id)] == [1, 2, 3]
    assert [event.id for event in log.read(record.id, 2)] == [3]


def test_without_a_log_that_can_be_opened_a_training_goes_on(trainings, log, record):
    file = log.directory(record.id) / EVENTS_FILE
    file.unlink()
    file.mkdir()
    with capture_logs() as logs:
        for state in (State.PREPARING, State.BOTTLENECK):
            trainings.update(record.id, lambda current, to=state: current.enter(to))
    assert trainings.get(record.id).state == State.BOTTLENECK
    assert len([line for line in logs if line["event"] == "events are not kept"]) == 1
    for look in (log.read, log.last):
        with pytest.raises(RecordCorrupt, match=f"{record.id}/events.jsonl can't be read"):
            look(record.id)


def test_the_memory_of_complete_logs_is_limited(log, record, monkeypatch):
    monkeypatch.setattr("trainer_service.store.events.event_log._REMEMBERED", 3)
    for _ in range(10):
        other = new_record()
        log.directory(other.id).mkdir()
        log.append_missing(other)
        assert len(log._complete) <= 3


def test_a_clock_that_was_set_back_makes_no_time_negative(trainings, log, record):
    def to_the_future(current):
        current.transitions[-1].at += timedelta(hours=1)

    trainings.update(record.id, to_the_future)
    updated = trainings.update(record.id, lambda current: current.enter(State.PREPARING))
    assert updated.transitions[0].seconds == 0
    assert log.last(record.id).previous_seconds == 0


def _append(directory, training_id):
    log = EventLog(directory, connect(NOWHERE))
    for done in range(EACH):
        log.append(training_id, [progress(done)])


@pytest.mark.process
def test_processes_that_write_at_once_get_ids_without_gap_or_repetition(tmp_path, log, record):
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=_append, args=(tmp_path, record.id)) for _ in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()

    ids = [event.id for event in log.read(record.id)]
    assert ids == list(range(1, PROCESSES * EACH + 2))


@pytest.mark.integration
def test_redis_has_the_same_events_under_the_same_ids(tmp_path, redis_url):
    client = connect(redis_url)
    log = EventLog(tmp_path, client)
    record = new_record()
    TrainingStore(tmp_path, log).create(record)
    log.append(record.id, [progress(1), progress(2)])

    entries = client.xrange(stream_key(record.id))
    assert [entry_id for entry_id, _ in entries] == ["1-0", "2-0", "3-0"]
    announced = [fields[FIELD] for _, fields in entries]
    stored = (tmp_path / record.id / EVENTS_FILE).read_text().splitlines()
    assert announced == stored
    assert client.ttl(stream_key(record.id)) > 0


@pytest.mark.timeout(30)
@pytest.mark.parametrize("kind", ["pipe", "device", "socket", "sparse"])
def test_anything_in_place_of_a_log_neither_blocks_nor_fills_the_memory(log, record, kind):
    file = log.directory(record.id) / EVENTS_FILE
    file.unlink()
    match kind:
        case "pipe":
            os.mkfifo(file)
        case "device":
            file.symlink_to("/dev/zero")
        case "socket":
            make_socket(file)
        case _:
            file.touch()
            os.truncate(file, MOST_BYTES + 1)

    with pytest.raises(RecordCorrupt):
        log.read(record.id)
    with pytest.raises(RecordCorrupt):
        log.last(record.id)
    with capture_logs() as logs:
        log.append(record.id, [progress(1)])  # the training goes on
    assert [line["event"] for line in logs] == ["events are not kept"]
