"""A trainer for each module, a browser, and pages behind a connection that breaks if told to."""

from contextlib import ExitStack

import pytest
from playwright.sync_api import expect

from tests.support.processes.breaking_proxy import BreakingProxy, running_trainer
from tests.support.processes.browser import forgiving_page, running_browser, watched_page
from tests.support.trainer.builders import emptied_stores, new_record, trainer_settings
from trainer_service.store.records.training_record import State


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


@pytest.fixture
def succeed(stores):
    """Return a function that makes a training that has ended; it returns its id and its report."""

    def made(tune=None, test=None, suspects=None, unknown=None):
        """Make one.

        Args:
            tune: what came of tuning, if it was asked for.
            test: more metrics of the test.
            suspects: how many labels look wrong, if that is known.
            unknown: how well it tells which pictures are unknown.
        """
        record = new_record(tune="tail" if tune else "off")
        label = {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 1}
        per_class = {"cat": label, "dog": label}
        metrics = {"accuracy": 0.5, "loss": 1.0, "images": 2, "per_class": per_class} | (test or {})

        def end(current):
            current.version, current.tune, current.metrics = 1, tune, {"test": metrics}
            current.unknown = unknown
            current.dataset.split = {"train": 1, "validation": 1, "test": 2}
            current.suspects = suspects
            if tune:
                current.enter(State.TUNING)
            current.enter(State.SUCCEEDED)

        stores.trainings.create(record)
        stores.trainings.update(record.id, end)
        answer = {"image": "1.png", "sha256": "0" * 64, "label": "cat", "predicted": "cat"}
        epochs = [{"val_loss": loss, "val_accuracy": 1 - loss / 2} for loss in (0.45, 0.3, 0.35)]
        return record.id, {
            "labels": list(per_class),
            "metrics": {"test": metrics | {"confusion_matrix": [[1, 0], [1, 0]]}},
            "test": [answer | {"probability": 0.5}],
            "history": [],
            "tune_history": epochs if tune and tune.epochs else None,
        }

    return made


@pytest.fixture
def result(chromium, url, succeed):
    """Return a function that opens the page of a training that has ended, on any screen."""
    with ExitStack() as opened:

        def open_result(tune=None, test=None, suspects=None, unknown=None, routes=None, **options):
            training_id, report = succeed(tune, test, suspects, unknown)
            # The service refuses the image, which is not there.
            page = opened.enter_context(watched_page(chromium, url, refusals=None, **options))
            page.route("**/report", lambda route: route.fulfill(json=report))
            for pattern, answer in (routes or {}).items():
                page.route(pattern, answer)
            page.goto(f"/#/trainings/{training_id}")
            expect(page.get_by_role("heading", name="Use it")).to_be_visible()
            return page

        yield open_result
