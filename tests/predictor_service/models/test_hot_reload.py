"""What is served follows what is published: real files, real networks, one poll at a time."""

import asyncio
import errno
import json
import os
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from predictor_service.models import hot_reload, loading
from predictor_service.models.hot_reload import StoreVanished, wanted
from predictor_service.models.served import Model, ServedVersion
from shared.engines.openvino_runtime import load_openvino, read_network
from shared.errors import VersionCorrupt
from shared.models.manifest import GOLDEN_FILE, MANIFEST_FILE
from shared.models.model_store import OPENVINO_MODEL, read_manifest
from tests.support.inputs.odd_files import make_deep
from tests.support.inputs.tiny_model import picture, publish_tiny_model, save_network
from tests.support.polled_predictor import Predictor, follow_store
from trainer_service.store import publishing
from trainer_service.store.files.removal import remove_tree


@pytest.fixture
def follow(settings):
    """Run a scenario with a predictor, in an event loop."""
    return partial(follow_store, settings)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - what is awaited happens in threads
        await asyncio.sleep(0.01)


def directory(store: Path, version: int, name: str = "colours") -> Path:
    return store / "models" / name / str(version)


def flip_a_byte(version: Path) -> None:
    path = version / "openvino/model.bin"
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)


def remove_weights(version: Path) -> None:
    (version / "openvino/model.bin").unlink()


def break_manifest(version: Path) -> None:
    (version / MANIFEST_FILE).write_text('{"schema_version": 1')


def swap_golden_answers(staging: Path) -> None:
    path = staging / GOLDEN_FILE
    golden = json.loads(path.read_text())
    golden[0]["probabilities"], golden[1]["probabilities"] = (
        golden[1]["probabilities"],
        golden[0]["probabilities"],
    )
    path.write_text(json.dumps(golden))


def spoil_golden_picture(staging: Path) -> None:
    (staging / "golden/red.png").write_bytes(b"no picture")


def save_network_of_five(staging: Path) -> None:
    save_network(staging / OPENVINO_MODEL, outputs=5)


def add_an_output(staging: Path) -> None:
    """A single output needs no name; of several, one has to be called `probabilities`."""
    network = read_network(staging / OPENVINO_MODEL)
    probabilities = network.output(0).get_node().input_value(0).get_node()
    network.add_outputs([probabilities.input_value(0)])
    load_openvino().save_model(network, staging / OPENVINO_MODEL)


def save_no_network(staging: Path) -> None:
    (staging / OPENVINO_MODEL).write_text("<net/>")


def omit_network(staging: Path) -> None:
    (staging / OPENVINO_MODEL).unlink()


def cut_weights(staging: Path) -> None:
    path = staging / "openvino/model.bin"
    path.write_bytes(path.read_bytes()[:-1])


def put_a_pipe(version: Path, name: str) -> None:
    """To read it is to wait for ever."""
    (version / name).unlink()
    os.mkfifo(version / name)
    list_anew(version, leave_out=name)


def put_a_golden_pipe(version: Path) -> None:
    """A hidden one, as files that are not in the manifest may be."""
    os.mkfifo(version / "golden/.pipe.png")
    path = version / GOLDEN_FILE
    golden = json.loads(path.read_text())
    path.write_text(json.dumps([golden[0] | {"file": ".pipe.png"}, *golden[1:]]))
    list_anew(version)


def list_anew(version: Path, leave_out: str = "") -> None:
    """Make the manifest fit the files that it lists."""
    names = {entry.path for entry in read_manifest(version).files} - {leave_out}
    entries = [publishing._entry(version / name, name).model_dump() for name in names]
    manifest = json.loads((version / MANIFEST_FILE).read_text())
    (version / MANIFEST_FILE).write_text(json.dumps(manifest | {"files": entries}))


def name_a_file_in_no_text(version: Path) -> None:
    Path(os.fsdecode(os.fsencode(version) + b"/\xff")).touch()


def list_a_long_name(version: Path) -> None:
    path = version / MANIFEST_FILE
    manifest = json.loads(path.read_text())
    manifest["files"].append({"path": "../" + "x" * 1_000_000, "bytes": 0, "sha256": "0" * 64})
    path.write_text(json.dumps(manifest))


AFTER_PUBLISHING = [
    (partial(put_a_pipe, name="openvino/model.xml"), "openvino/model.xml is not in the manifest"),
    (partial(put_a_pipe, name="openvino/model.bin"), "openvino/model.bin is not in the manifest"),
    (put_a_golden_pipe, "golden.json: .pipe.png is not in the manifest"),
    (name_a_file_in_no_text, r"\udcff is not in the manifest."),
    (list_a_long_name, "The manifest names a file outside of the version"),
    (flip_a_byte, "openvino/model.bin is not the file that was published"),
    (remove_weights, "openvino/model.bin is missing"),
    (break_manifest, "manifest.json: the document: Invalid JSON"),
]
BEFORE_PUBLISHING = [
    (swap_golden_answers, "The answer to golden image red.png is not the one from training"),
    (spoil_golden_picture, "Golden image red.png can't be predicted: not an image"),
    (save_network_of_five, "should answer with shape (1, 3): 1 images, 3 labels. Received: (1, 5)"),
    (add_an_output, "an output called 'probabilities'"),
    (save_no_network, "RuntimeError: "),
    (omit_network, "RuntimeError: "),
    (cut_weights, "RuntimeError: Incorrect weights in bin file!"),
]


def test_an_empty_store_serves_nothing_and_says_so(follow):
    async def scenario(predictor: Predictor) -> None:
        assert predictor.models.not_ready() == ["The model store has not been read yet."]
        await predictor.poll()
        assert "No model has been published yet" in predictor.models.not_ready()[0]

    follow(scenario)


def test_the_newest_version_is_loaded_and_older_ones_are_not(store, follow):
    publish_tiny_model(store)
    publish_tiny_model(store)

    async def scenario(predictor: Predictor) -> None:
        await predictor.poll()
        await predictor.poll()
        assert predictor.model().version == 2
        assert predictor.loads == ["colours/2"]
        assert predictor.models.not_ready() == []

    follow(scenario)


def test_requests_in_flight_keep_the_version_they_began_on(store, follow):
    publish_tiny_model(store)

    async def scenario(predictor: Predictor) -> None:
        await predictor.poll()
        old = predictor.model().require_served()
        publish_tiny_model(store, contrast=0.01)
        await predictor.poll()
        assert predictor.model().require_served().manifest.version == 2
        (answer,) = await old.batcher.predict([picture("red")])
        assert answer["probabilities"][0] > 0.99

    follow(scenario)


@pytest.mark.parametrize(("damage", "reason"), AFTER_PUBLISHING)
def test_a_damaged_version_is_quarantined_while_the_old_one_serves_on(
    store, follow, damage, reason
):
    publish_tiny_model(store)

    async def scenario(predictor: Predictor) -> None:
        await predictor.poll()
        damage(directory(store, publish_tiny_model(store)))
        await predictor.poll()
        await predictor.poll()
        assert predictor.model().version == 1
        assert reason in predictor.reasons()[2]
        assert len(predictor.model().info().model_dump_json()) < 5_000
        assert predictor.loads == ["colours/1", "colours/2"]
        publish_tiny_model(store)
        await predictor.poll()
        assert predictor.model().version == 3

    follow(scenario)


@pytest.mark.parametrize(("change", "reason"), BEFORE_PUBLISHING)
def test_a_version_that_answers_wrongly_is_quarantined(store, follow, change, reason):
    publish_tiny_model(store)

    async def scenario(predictor: Predictor) -> None:
        await predictor.poll()
        publish_tiny_model(store, change=change)
        await predictor.poll()
        assert predictor.model().version == 1
        assert reason in predictor.reasons()[2]

    follow(scenario)


@pytest.mark.parametrize(
    ("shift", "precision"),
    [(0.0, "bf16"), (0.04, "bf16"), (0.06, "f32")],
    ids=["alike", "tolerable", "too far"],
)
def test_a_lower_precision_serves_only_if_it_answers_as_it_did_for_the_trainer(
    store, follow, monkeypatch, shift, precision
):
    """Runs on every machine: the CPU only has to accept the setting."""
    monkeypatch.setattr(loading, "serving_precisions", lambda *_, **__: ["bf16", "f32"])

    def record_bf16(staging: Path) -> None:
        path = staging / GOLDEN_FILE
        golden = json.loads(path.read_text())
        for image in golden:
            image["reduced"] = {"bf16": [value - shift for value in image["probabilities"]]}
        path.write_text(json.dumps(golden))

    publish_tiny_model(store, change=record_bf16)

    async def scenario(predictor: Predictor) -> None:
        await predictor.poll()
        assert predictor.model().info().precision == precision
        assert predictor.reasons() == {}

    follow(scenario)


def test_labels_that_do_not_fit_the_network_are_quarantined(store, follow):
    def describe_four_labels(staging: Path) -> None:
        path = staging / GOLDEN_FILE
        golden = json.loads(path.read_text())
        for image in golden:
            image["probabilities"].append(0.0)
        path.write_text(json.dumps(golden))

    labels = ("red", "green", "blue", "purple")
    publish_tiny_model(store, labels=labels, change=describe_four_labels)

    async def scenario(predictor: Predictor) -> None:
        await predictor.poll()
        assert predictor.model().served is None
        assert "4 labels. Received: (1, 3)" in predictor.reasons()[1]
        assert "4 labels. Received: (1, 3)" in predictor.models.not_ready()[0]

    follow(scenario)


def test_with_nothing_served_yet_the_newest_good_version_is_taken(store, follow):
    publish_tiny_model(store)
    publish_tiny_model(store)
    flip_a_byte(directory(store, publish_tiny_model(store)))

    async def scenario(predictor: Predictor) -> None:
        await predictor.poll()
        assert predictor.model().version == 2
        assert list(predictor.reasons()) == [3]

    follow(scenario)


def test_a_repaired_version_is_taken(store, follow):
    publish_tiny_model(store)

    async def scenario(predictor: Predictor) -> None:
        await predictor.poll()
        version = directory(store, publish_tiny_model(store))
        flip_a_byte(version)
        await predictor.poll()
        assert predictor.model().version == 1
        flip_a_byte(version)
        await predictor.poll()
        assert predictor.model().version == 2
        assert predictor.reasons() == {}

    follow(scenario)


def test_pinning_and_unpinning_switch_the_version(store, follow):
    for _ in range(3):
        publish_tiny_model(store)

    async def scenario(predictor: Predictor) -> None:
        await predictor.poll()
        assert predictor.model().version == 3
        predictor.store.pin("colours", 1)
        await predictor.poll()
        assert (predictor.model().version, predictor.model().pinned) == (1, 1)
        publish_tiny_model(store)
        await predictor.poll()
        assert predictor.model().version == 1
        predictor.store.pin("colours", None)
        await predictor.poll()
        assert (predictor.model().version, predictor.model().pinned) == (4, None)

    follow(scenario)


def test_a_pinned_version_that_is_gone_serves_on_and_is_said(store, follow):
    publish_tiny_model(store)
    publish_tiny_model(store)

    async def scenario(predictor: Predictor) -> None:
        predictor.store.pin("colours", 1)
        await predictor.poll()
        assert (predictor.model().version, predictor.model().notice) == (1, None)
        shutil.rmtree(directory(store, 1))
        publish_tiny_model(store)
        await predictor.poll()
        assert predictor.model().version == 1
        assert predictor.model().notice == (
            "Version 1 is pinned but is not in the store; version 1 is served."
        )

    follow(scenario)


def test_a_pinned_version_that_fails_leaves_the_old_one_and_is_said(store, follow):
    publish_tiny_model(store)
    flip_a_byte(directory(store, publish_tiny_model(store)))
    publish_tiny_model(store)

    async def scenario(predictor: Predictor) -> None:
        await predictor.poll()
        predictor.store.pin("colours", 2)
        await predictor.poll()
        assert predictor.model().version == 3
        assert predictor.model().notice == (
            "Version 2 is pinned but could not be loaded; version 3 is served."
        )

    follow(scenario)


def test_a_deleted_version_gives_way_to_the_one_before(store, follow):
    publish_tiny_model(store)
    publish_tiny_model(store)

    async def scenario(predictor: Predictor) -> None:
        await predictor.poll()
        shutil.rmtree(directory(store, 2))
        await predictor.poll()
        assert predictor.model().version == 1

    follow(scenario)


def test_a_version_published_anew_under_the_same_number_is_loaded(store, follow):
    """A store that was emptied and filled again starts to count from one again."""
    publish_tiny_model(store)

    async def scenario(predictor: Predictor) -> None:
        await predictor.poll()
        first = predictor.model().require_served().manifest.training_id
        shutil.rmtree(store / "models" / "colours")
        publish_tiny_model(store, contrast=0.01)
        await predictor.poll()
        assert predictor.model().require_served().manifest.training_id != first

    follow(scenario)


def test_damage_to_the_served_version_leaves_it_serving(store, follow):
    publish_tiny_model(store)
    publish_tiny_model(store)

    async def scenario(predictor: Predictor) -> None:
        await predictor.poll()
        break_manifest(directory(store, 2))
        await predictor.poll()
        await predictor.poll()
        assert predictor.model().version == 2
        assert list(predictor.reasons()) == [2]
        assert predictor.loads == ["colours/2", "colours/2"]

    follow(scenario)


def test_a_removed_model_is_unloaded(store, follow):
    publish_tiny_model(store)
    publish_tiny_model(store, "others")

    async def scenario(predictor: Predictor) -> None:
        await predictor.poll()
        shutil.rmtree(store / "models" / "others")
        await predictor.poll()
        assert [model.name for model in predictor.models.all()] == ["colours"]

    follow(scenario)


def test_a_store_that_vanishes_takes_nothing_down_and_may_return(store, follow, caplog):
    publish_tiny_model(store)

    async def scenario(predictor: Predictor) -> None:
        task = asyncio.create_task(predictor.run())
        await until(lambda: not predictor.models.not_ready())
        store.rename(store.with_name("away"))
        with pytest.raises(StoreVanished):
            await predictor.poll()
        known = predictor.polls
        await until(lambda: predictor.polls > known + 3)
        assert predictor.model().version == 1
        assert predictor.models.fault == f"The model store is gone: {store / 'models'}."
        store.with_name("away").rename(store)
        publish_tiny_model(store)
        await until(lambda: predictor.model().version == 2)
        await until(lambda: predictor.models.fault is None)
        task.cancel()

    follow(scenario)
    complaints = [r for r in caplog.records if "can't read the model store" in r.message]
    assert len(complaints) == 1


def test_a_new_version_is_seen_long_before_the_next_poll(store, settings):
    """So is a pin, and a model that is new."""
    publish_tiny_model(store)
    rarely = settings.model_copy(update={"poll_seconds": 3600.0})

    async def scenario(predictor: Predictor) -> None:
        task = asyncio.create_task(predictor.run())
        await until(lambda: not predictor.models.not_ready())
        publish_tiny_model(store)
        await until(lambda: predictor.model().version == 2)
        predictor.store.pin("colours", 1)
        await until(lambda: predictor.model().version == 1)
        publish_tiny_model(store, "animals")
        await until(lambda: "animals" in {model.name for model in predictor.models.all()})
        known = predictor.polls
        await asyncio.sleep(5 * hot_reload.GLANCE_SECONDS)
        assert predictor.polls <= known + 1, "it polls although nothing changes"
        task.cancel()

    async def main(pool: ThreadPoolExecutor) -> None:
        await asyncio.wait_for(scenario(Predictor(rarely, pool)), 60)

    with ThreadPoolExecutor(2) as pool:
        asyncio.run(main(pool))


def a_loop(path: Path) -> None:
    """Put there what not even root can list or open."""
    path.symlink_to(path.name)


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.message for r in caplog.records if "can't read all of a model" in r.message]


def test_a_model_that_cannot_be_listed_holds_up_no_other_and_is_told(store, follow, caplog):
    publish_tiny_model(store)
    publish_tiny_model(store, "astray")
    directory(store, 1, "astray").parent.rename(store / "elsewhere")
    a_loop(store / "models/astray")

    async def scenario(predictor: Predictor) -> None:
        await predictor.poll()
        astray = predictor.model("astray")
        assert predictor.models.not_ready() == []
        assert predictor.model().version == 1
        assert "can't be listed: Too many levels of symbolic links" in astray.notice
        assert astray.why_not_served() == astray.notice
        publish_tiny_model(store)
        await predictor.poll()
        assert predictor.model().version == 2
        (store / "models/astray").unlink()
        (store / "elsewhere").rename(store / "models/astray")
        await predictor.poll()
        assert (astray.version, astray.notice) == (1, None)

    follow(scenario)
    assert len(complaints(caplog)) == 1


def test_what_is_served_of_a_model_that_cannot_be_listed_any_more_goes_on(store, follow):
    publish_tiny_model(store)

    async def scenario(predictor: Predictor) -> None:
        await predictor.poll()
        (store / "models/colours").rename(store / "elsewhere")
        a_loop(store / "models/colours")
        await predictor.poll()
        assert (predictor.model().version, predictor.model().versions) == (1, [1])
        assert "can't be listed" in predictor.model().notice

    follow(scenario)


def test_a_version_of_folders_in_folders_is_quarantined_and_holds_up_no_other(store, follow):
    publish_tiny_model(store)
    publish_tiny_model(store)
    publish_tiny_model(store, "other")
    make_deep(directory(store, 2) / "openvino")

    async def scenario(predictor: Predictor) -> None:
        for _ in range(3):
            await predictor.poll()
        assert predictor.model().version == 1
        assert list(predictor.model().quarantined) == [2]
        assert predictor.model("other").version == 1

    follow(scenario)
    remove_tree(store)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_model_whose_directory_is_of_another_mode_is_told(store, follow):
    publish_tiny_model(store)
    publish_tiny_model(store, "closed")
    closed = store / "models/closed"
    closed.chmod(0)

    async def scenario(predictor: Predictor) -> None:
        await predictor.poll()
        assert predictor.model().version == 1
        assert f"Permission denied (user id {os.geteuid()})" in predictor.model("closed").notice
        closed.chmod(0o700)
        directory(store, 1, "closed").chmod(0)
        await predictor.poll()
        assert list(predictor.model("closed").quarantined) == [1]
        directory(store, 1, "closed").chmod(0o700)
        await predictor.poll()
        assert predictor.model("closed").version == 1

    follow(scenario)


def test_an_unreadable_pin_leaves_what_is_served_and_is_told(store, follow, caplog):
    publish_tiny_model(store)
    publish_tiny_model(store)
    pin = store / "models/colours/pin.json"

    async def scenario(predictor: Predictor) -> None:
        predictor.store.pin("colours", 1)
        await predictor.poll()
        pin.write_text("[" * 4000)
        publish_tiny_model(store)
        publish_tiny_model(store, "others")
        await predictor.poll()
        await predictor.poll()
        assert predictor.model("others").version == 1
        assert (predictor.model().version, predictor.model().pinned) == (1, 1)
        assert "The pin of model 'colours' can't be read" in predictor.model().notice
        predictor.store.pin("colours", None)
        await predictor.poll()
        assert (predictor.model().version, predictor.model().notice) == (3, None)

    follow(scenario)
    assert len(complaints(caplog)) == 1


def test_with_an_unreadable_pin_and_nothing_served_the_newest_is_taken(store, follow):
    publish_tiny_model(store)
    publish_tiny_model(store)
    (store / "models/colours/pin.json").mkdir()

    async def scenario(predictor: Predictor) -> None:
        await predictor.poll()
        assert predictor.model().version == 2
        assert "Is a directory" in predictor.model().notice

    follow(scenario)


def test_a_version_that_cannot_be_looked_at_holds_up_no_other(store, follow):
    publish_tiny_model(store)
    publish_tiny_model(store, "others")
    a_loop(directory(store, 2))

    async def scenario(predictor: Predictor) -> None:
        await predictor.poll()
        assert predictor.model("others").version == 1
        assert predictor.model().version == 1
        assert "Too many levels of symbolic links" in predictor.reasons()[2]
        assert predictor.models.not_ready() == []

    follow(scenario)


def test_a_disk_error_on_one_version_holds_up_no_other(store, follow, monkeypatch):
    """Neither as it is first looked at, nor in quarantine."""
    publish_tiny_model(store)
    bad = directory(store, publish_tiny_model(store))
    publish_tiny_model(store, "others")
    scandir, stat = os.scandir, Path.stat

    def fail(path: Any) -> None:
        if bad in (Path(path), Path(path).parent):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    monkeypatch.setattr(os, "scandir", lambda path=".": fail(path) or scandir(path))
    monkeypatch.setattr(Path, "stat", lambda path, **options: fail(path) or stat(path, **options))

    async def scenario(predictor: Predictor) -> None:
        for _ in range(3):
            await predictor.poll()
            assert predictor.model("others").version == 1
            assert predictor.model().version == 1
            assert "Input/output error" in predictor.reasons()[2]
        assert predictor.loads == ["colours/2", "colours/1", "others/1"]

    follow(scenario)


def test_whatever_goes_wrong_with_a_model_holds_up_no_other(store, settings, monkeypatch):
    publish_tiny_model(store)
    publish_tiny_model(store, "others")

    async def scenario() -> None:
        predictor = Predictor(settings, pool)
        load = predictor._reload._load

        async def fail(model: Model, version: int) -> bool:
            if model.name == "colours":
                raise RuntimeError("Nobody has thought of this.")
            return await load(model, version)

        monkeypatch.setattr(predictor._reload, "_load", fail)
        await predictor.poll()
        assert predictor.model("others").version == 1
        assert predictor.model().notice == "RuntimeError: Nobody has thought of this."
        assert predictor.models.not_ready() == []

    with ThreadPoolExecutor(2) as pool:
        asyncio.run(scenario())


def test_a_version_that_goes_before_it_is_loaded_is_in_quarantine_no_longer_than_a_look(
    store, settings, monkeypatch
):
    publish_tiny_model(store)
    publish_tiny_model(store)

    async def scenario() -> None:
        predictor = Predictor(settings, pool)
        look = predictor.store.snapshot

        def look_and_remove(name: str) -> Any:
            found = look(name)
            shutil.rmtree(directory(store, 2), ignore_errors=True)
            return found

        monkeypatch.setattr(predictor.store, "snapshot", look_and_remove)
        await predictor.poll()
        assert predictor.model().version == 1
        await predictor.poll()
        assert predictor.reasons() == {}

    with ThreadPoolExecutor(2) as pool:
        asyncio.run(scenario())


def test_nothing_is_kept_of_a_removed_model(store, follow):
    async def scenario(predictor: Predictor) -> None:
        for number in range(3):
            publish_tiny_model(store, f"model-{number}")
            break_manifest(
                directory(store, publish_tiny_model(store, f"model-{number}"), f"model-{number}")
            )
            await predictor.poll()
            shutil.rmtree(store / f"models/model-{number}")
        publish_tiny_model(store)
        await predictor.poll()
        assert set(predictor._reload._known) == {"colours"}

    follow(scenario)


def test_a_store_that_vanishes_while_it_is_looked_at_takes_nothing_down(
    store, settings, monkeypatch
):
    publish_tiny_model(store)

    async def scenario() -> None:
        predictor = Predictor(settings, pool)
        await predictor.poll()
        look = predictor.store.snapshot

        def vanish(name: str) -> Any:
            store.rename(store.with_name("away"))
            return look(name)

        monkeypatch.setattr(predictor.store, "snapshot", vanish)
        with pytest.raises(StoreVanished):
            await predictor.poll()
        assert predictor.model().version == 1

    with ThreadPoolExecutor(2) as pool:
        asyncio.run(scenario())


def test_a_store_that_can_not_be_read_from_the_start_says_why_it_is_not_ready(store, follow):
    store.mkdir()
    a_loop(store / "models")

    async def scenario(predictor: Predictor) -> None:
        task = asyncio.create_task(predictor.run())
        await until(lambda: predictor.models.fault is not None)
        (reason,) = predictor.models.not_ready()
        assert reason.startswith("The model store can't be read: OSError")
        (store / "models").unlink()
        publish_tiny_model(store)
        await until(lambda: not predictor.models.not_ready())
        task.cancel()

    follow(scenario)


def test_a_slow_load_delays_nobody(store, follow, monkeypatch):
    """The event loop goes on turning while a network is loaded."""
    load = loading.load_version_engine
    turning = threading.Event()

    def load_slowly(*arguments: Any) -> Any:
        assert turning.wait(60), "the event loop stands still"
        return load(*arguments)

    monkeypatch.setattr(loading, "load_version_engine", load_slowly)
    publish_tiny_model(store)

    async def scenario(predictor: Predictor) -> None:
        poll = asyncio.create_task(predictor.poll())
        await until(lambda: any(model.loading for model in predictor.models.all()))
        turning.set()
        await poll
        assert predictor.model().version == 1

    follow(scenario)


def test_a_version_that_the_machine_could_not_load_is_tried_again(store, settings, monkeypatch):
    """Too many open files say nothing about the version, and its files will not change."""
    from predictor_service.models import refusal

    publish_tiny_model(store)
    failures = [OSError(24, "Too many open files")]

    async def scenario() -> None:
        predictor = Predictor(settings, pool)
        load = predictor.load

        async def fail_once(version: Path) -> ServedVersion:
            if failures:
                raise failures.pop()
            return await load(version)

        monkeypatch.setattr(predictor, "load", fail_once)
        await predictor.poll()
        assert "Too many open files" in predictor.reasons()[1]
        await predictor.poll()
        assert predictor.model().version == 1

    monkeypatch.setattr(refusal, "RETRY_SECONDS", 0.0)
    with ThreadPoolExecutor(2) as pool:
        asyncio.run(scenario())


def test_a_version_that_changed_while_it_was_loaded_is_tried_again(store, settings):
    publish_tiny_model(store)

    async def scenario() -> None:
        predictor = Predictor(settings, pool)

        async def change_and_fail(version: Path) -> ServedVersion:
            (version / ".touched").write_bytes(b"")
            raise VersionCorrupt("half of it was not there yet")

        predictor._reload._loader.load = change_and_fail
        await predictor.poll()
        assert predictor.reasons() == {}

    with ThreadPoolExecutor(2) as pool:
        asyncio.run(scenario())


@pytest.mark.parametrize(
    ("versions", "pinned", "refused", "expected"),
    [
        ([], None, [], []),
        ([1, 2, 3], None, [], [3, 2, 1]),
        ([1, 2, 3], None, [3], [2, 1]),
        ([1, 2, 3], 2, [], [2, 3, 1]),
        ([1, 2, 3], 2, [2], [3, 1]),
        ([1, 2, 3], 9, [], [3, 2, 1]),
        ([1], None, [1], []),
    ],
)
def test_versions_worth_loading_while_nothing_is_served(versions, pinned, refused, expected):
    model = Model("m", versions=versions, pinned=pinned, quarantined=dict.fromkeys(refused))

    assert wanted(model) == expected
