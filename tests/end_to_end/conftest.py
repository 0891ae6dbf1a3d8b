"""A stack for each module, and a browser; modules that need another stack have their own."""

import pytest

from tests.end_to_end.stack import Workers, running_stack
from tests.support.processes.browser import running_browser


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("stack")


@pytest.fixture(scope="module")
def stack(directory, share_backbones):
    share_backbones(directory / "store")
    with running_stack(directory) as running:
        yield running


@pytest.fixture(scope="module")
def workers(stack):
    """None at the beginning; for stacks that have none of their own."""
    with Workers(stack.settings, stack.logs) as running:
        yield running


@pytest.fixture(scope="module")
def chromium():
    with running_browser() as running:
        yield running
