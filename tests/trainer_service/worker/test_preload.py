"""What a worker imports beside its first task."""

import threading

import pytest

from trainer_service import training
from trainer_service.worker import preload, tasks


@pytest.mark.parametrize(
    ("task", "arguments"), [("compute_shard", ("a-training", 0)), ("finish", ("a-training",))]
)
def test_no_network_is_run_before_the_import_has_ended(task, arguments, monkeypatch):
    imported, ran = threading.Event(), threading.Event()
    monkeypatch.setattr(tasks, "worker", lambda: None)
    monkeypatch.setattr(training, task, lambda *_: ran.set())
    preload.start(lambda: imported.wait(60) and None)

    running = threading.Thread(target=getattr(tasks, task), args=arguments)
    running.start()

    assert not ran.wait(0.2)
    imported.set()
    assert ran.wait(60)
    running.join(60)


def test_a_dataset_is_read_beside_the_import(monkeypatch):
    imported, read = threading.Event(), threading.Event()
    monkeypatch.setattr(tasks, "worker", lambda: None)
    monkeypatch.setattr(tasks.reading_step, "read_dataset", lambda *_: read.set())
    preload.start(lambda: imported.wait(60) and None)

    tasks.read_dataset("a-dataset")

    assert read.is_set()
    imported.set()
    preload.wait()
