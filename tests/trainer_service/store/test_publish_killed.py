"""SIGKILL at every step of publishing: a version is whole, or it is not there.

A process publishes into a store of its own and kills itself at one of the calls that write,
rename, sync or remove: before it or after it, each in turn, until it gets through.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from shared.models.model_store import verify
from trainer_service.store.files.lease import LeaseWatch
from trainer_service.store.files.work_in_progress import directory_of, remove_if_abandoned
from trainer_service.store.publishing import WritableModelStore

ROOT = Path(__file__).parents[3]
TRAINING = "20260101-000000-abcdef"

PUBLISH = """
import builtins, io, os, signal, sys
from pathlib import Path
from trainer_service.store.publishing import WritableModelStore
from tests.support.inputs.tiny_model import tiny_manifest, write_golden

CALLS = ("mkdir", "rename", "replace", "fsync", "unlink", "rmdir")


def publish(store, training_id):
    models = WritableModelStore(store)
    with models.stage("pets") as staging:
        write_golden(staging)
        (staging / "model.bin").write_bytes(b"weights")
        return models.publish(staging, tiny_manifest("pets", training_id=training_id))


def die_at(step):
    left = [step]

    def count():
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(function):
        def call(*arguments, **options):
            count()
            result = function(*arguments, **options)
            count()
            return result

        return call

    for name in CALLS:
        setattr(os, name, around(getattr(os, name)))
    io.open = builtins.open = around(io.open)


step, status = 0, signal.SIGKILL
while status == signal.SIGKILL:
    step += 1
    store = Path(sys.argv[1]) / str(step)
    process = os.fork()
    if process == 0:
        publish(store, None)
        die_at(step)
        publish(store, sys.argv[2])
        os._exit(0)
    status = os.waitpid(process, 0)[1]
    assert status in (0, signal.SIGKILL), status
print(step)
"""


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Return a store for each step, the last of them undisturbed."""
    root = tmp_path_factory.mktemp("killed")
    command = [sys.executable, "-c", PUBLISH, str(root), TRAINING]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [root / str(step + 1) for step in range(int(done.stdout))]


def integers(store):
    """Return what TensorFlow Serving takes for versions, whatever we think of it."""
    return [path for path in (store / "models/pets").iterdir() if path.name.isdecimal()]


@pytest.mark.process
def test_whatever_has_a_number_for_a_name_is_complete(stores):
    published = []
    for store in stores:
        for directory in integers(store):
            assert verify(directory).version == int(directory.name)
        published.append(len(integers(store)))

    assert len(stores) > 30
    assert published == sorted(published)
    assert set(published) == {1, 2}


@pytest.mark.process
def test_leftovers_are_removed_and_publishing_again_makes_one_version(stores):
    source = PUBLISH.partition("def die_at")[0] + "import json\n"
    source += f"print(json.dumps([publish(Path(s), {TRAINING!r}) for s in sys.argv[1:]]))"
    command = [sys.executable, "-c", source, *map(str, stores)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    left = {directory_of(path) for s in stores for path in s.glob("models/pets/.staging-*")}
    removed = {path for path in left if remove_if_abandoned(path, LeaseWatch(20))}

    assert json.loads(done.stdout) == [2] * len(stores)
    assert left
    assert removed == left
    for store in stores:
        models = WritableModelStore(store)
        assert models.versions("pets") == [1, 2]
        assert models.published_by("pets", TRAINING) == 2
        assert list(store.glob("models/pets/.staging-*")) == []
        assert list(store.glob("models/pets/*/*.lease")) == []


def test_a_version_in_the_making_is_not_taken_for_abandoned(tmp_path):
    with WritableModelStore(tmp_path).stage("pets") as staging:
        assert not remove_if_abandoned(staging, LeaseWatch(20))
        assert staging.is_dir()
