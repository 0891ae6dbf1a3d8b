"""What every test may ask for: a real Redis, and the data that lies outside the repository."""

import gc
import multiprocessing.process
import os
import signal
import subprocess
from pathlib import Path

import hypothesis
import pytest

from launcher.services import redis_server
from tests.support.memory import let_networks_go
from trainer_service.store.stores import BACKBONES

# How long an example takes depends more on the machine than on the code.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")

# What a shell starts in the background ignores it, and so do the children of that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory):
    """A Redis for each test module, as stores that share one wait for each other."""
    directory = tmp_path_factory.mktemp("redis")
    with redis_server(directory, directory) as url:
        yield url


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Collect no garbage while tests are collected, as what is imported then stays."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """Keep `make unit` fast: a test that starts a process, or whose fixtures do, needs a mark.

    A fixture could not check this: those of a module or a session are set up before those of a
    test.
    """
    if any(map(item.get_closest_marker, ("process", "integration", "slow"))):
        return (yield)

    def refuse(*_, **__):
        pytest.fail("this test starts a process: mark it @pytest.mark.process")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess.Popen, "__init__", refuse)
        patch.setattr(multiprocessing.process.BaseProcess, "start", refuse)
        return (yield)


@pytest.fixture(scope="module", autouse=True)
def _networks_go_with_the_module():
    yield
    let_networks_go()


@pytest.fixture(scope="session")
def common_directory(tmp_path_factory) -> Path:
    """A directory that all processes of this run have: what costs much is made once for all."""
    own = tmp_path_factory.getbasetemp()
    common = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "common"
    common.mkdir(exist_ok=True)
    return common


@pytest.fixture(scope="session")
def random_weights_directory(common_directory) -> Path:
    """Where tests have `random_weights` of backbones, which they do not change."""
    directory = common_directory / "random weights"
    directory.mkdir(exist_ok=True)
    return directory


@pytest.fixture(scope="session")
def share_backbones(common_directory):
    """Return a function that gives a new store the backbones that others have converted."""
    common = common_directory / BACKBONES
    common.mkdir(exist_ok=True)

    def share(store: Path) -> None:
        store.mkdir(parents=True)
        (store / BACKBONES).symlink_to(common)

    return share


@pytest.fixture(scope="session")
def cats_and_dogs() -> Path:
    return _outside("HEADSTART_TEST_DATA") / "cats_vs_dogs"


@pytest.fixture(scope="session")
def real_weights() -> Path:
    return _outside("HEADSTART_TEST_WEIGHTS")


def _outside(variable: str) -> Path:
    if variable not in os.environ:
        pytest.skip(f"{variable} is not set: it names data that is not in the repository")
    return Path(os.environ[variable])
