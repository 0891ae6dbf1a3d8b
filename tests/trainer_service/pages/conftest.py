"""A trainer for each module, a browser, and pages behind a connection that breaks if told to."""

import pytest

from tests.support.processes.breaking_proxy import BreakingProxy, running_trainer
from tests.support.processes.browser import forgiving_page, running_browser
from tests.support.trainer.builders import emptied_stores, trainer_settings


@pytest.fixture(scope="module")
def settings(tmp_path_factory, redis_url):
    return trainer_settings(tmp_path_factory.mktemp("trainer"), redis_url)


@pytest.fixture(scope="module")
def trainer_port(settings):
    with running_trainer(settings) as port:
        yield port


@pytest.fixture(scope="module")
def url(trainer_port):
    return f"http://127.0.0.1:{trainer_port}"


@pytest.fixture(scope="module")
def chromium():
    with running_browser() as running:
        yield running


@pytest.fixture
def proxy(trainer_port):
    running = BreakingProxy(trainer_port)
    yield running
    running.close()


@pytest.fixture
def page(chromium, proxy):
    with forgiving_page(chromium, proxy.url) as opened:
        yield opened


@pytest.fixture
def stores(settings):
    """What the trainer has; empty at the beginning."""
    return emptied_stores(settings)
