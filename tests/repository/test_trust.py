"""What is read from files and messages is never run."""

import ast
from pathlib import Path

import pytest
from kombu.exceptions import ContentDisallowed
from kombu.serialization import loads, prepare_accept_content

from trainer_service.queue.celery_app import create_celery
from trainer_service.settings import TrainerSettings

ROOT = Path(__file__).parents[2]
PACKAGES = ("client", "launcher", "predictor_service", "shared", "trainer_service")
FILES = [file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))]

#: They run what they read, or can be made to.
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "torch"}
CALLS = {"eval", "exec", "compile", "__import__", "enable_unsafe_deserialization", "load_model"}
#: Its unpickler knows four harmless names; see docs/decisions/0017-files-are-data.md.
EXCEPTIONS = {("trainer_service/backbones/legacy_pth.py", "pickle")}


def dangers(source: str) -> set[str]:
    """Return what in some source code can run what it reads."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} & MODULES
        elif isinstance(node, ast.ImportFrom):
            found |= {(node.module or "").partition(".")[0]} & MODULES
        elif isinstance(node, ast.Call):
            name = getattr(node.func, "id", None)
            attribute = getattr(node.func, "attr", None)
            found |= {name} & CALLS
            found |= {attribute} & {"load_model", "enable_unsafe_deserialization"}
            found |= {keyword.arg for keyword in node.keywords} & {"allow_pickle", "safe_mode"}
    return {danger for danger in found if danger}


def test_nothing_runs_what_it_reads():
    found = {
        (file.relative_to(ROOT).as_posix(), danger)
        for file in FILES
        for danger in dangers(file.read_text())
    }

    assert len(FILES) > 100
    assert found == EXCEPTIONS


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from torch.serialization import load",
        "numpy.load(file, allow_pickle=True)",
        "keras.models.load_model(path)",
        "eval(text)",
        "f(safe_mode=False)",
    ],
)
def test_the_search_finds_what_it_is_for(source):
    assert dangers(source)


@pytest.mark.parametrize("content_type", ["application/x-python-serialize", "application/x-yaml"])
def test_celery_takes_json_only(content_type):
    accepted = prepare_accept_content(create_celery(TrainerSettings()).conf.accept_content)

    assert loads(b"[1]", "application/json", "utf-8", accept=accepted) == [1]
    with pytest.raises(ContentDisallowed):
        loads(b"[1]", content_type, "binary", accept=accepted)


@pytest.mark.slow
def test_a_keras_file_with_code_in_it_is_refused_by_default(tmp_path):
    """What the services write may be loaded by anyone: Keras' own default protects them."""
    keras = pytest.importorskip("keras")
    model = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: x)])
    model.save(tmp_path / "model.keras")

    with pytest.raises(ValueError, match=r"[Ll]ambda"):
        keras.saving.load_model(tmp_path / "model.keras")
