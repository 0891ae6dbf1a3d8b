"""A comparison whose trainings are done by the test: their versions are tiny models."""

import json

from shared.models.model_store import REPORT_FILE, REPORT_PAGE
from tests.support.inputs.tiny_model import publish_tiny_model
from tests.support.trainer.builders import make_read_dataset, new_comparison_record
from trainer_service.comparisons.advance import advance
from trainer_service.inline import InlineQueue
from trainer_service.phases.work import Worker
from trainer_service.store.events.progress import ProgressBoard
from trainer_service.store.records.training_record import State, TrialResult
from trainer_service.store.stores import Stores

IMAGES = 20


class Comparing:
    """A comparison in a store of its own, and a worker whose queue keeps all steps."""

    def __init__(self, settings, architectures, **request):
        self.stores = Stores.open(settings)
        self.queue = InlineQueue()
        self.worker = Worker(settings, self.stores, ProgressBoard(self.stores.events), self.queue)
        dataset = make_read_dataset(self.stores.datasets, {"cat": 60, "dog": 60})
        record = new_comparison_record(dataset=dataset, architectures=architectures, **request)
        record.dataset.revision = self.stores.datasets.get(dataset).revision
        self.stores.comparisons.create(record)
        self.id = record.id

    @property
    def record(self):
        return self.stores.comparisons.get(self.id)

    def advance(self):
        advance(self.worker, self.id)
        return self.record

    def steps(self):
        """Take the submitted steps off the queue."""
        taken = list(self.queue._steps)
        self.queue._steps.clear()
        return taken

    def try_out(self, name, loss, standard_error=0.01):
        """Do a training of the first round."""

        def succeed(record):
            record.trial = TrialResult(loss=loss, standard_error=standard_error, images=100)
            record.enter(State.SUCCEEDED)

        self.stores.trainings.update(self.record.named(name).trial, succeed)

    def train(self, name, right, loss=0.5):
        """Do a training on all images, of which it answers the first so many right."""
        training = self.stores.trainings.get(self.record.named(name).training)
        withheld = self.stores.comparisons.directory(self.id)

        test = {
            "images": IMAGES,
            "accuracy": right / IMAGES,
            "accuracy_low": 0.1,
            "accuracy_high": 0.9,
            "loss": loss,
            "macro_f1": 0.5,
        }
        # As with many labels, only the report tells how often each is there.
        support = {"red": {"support": 5}, "green": {"support": 5}, "blue": {"support": 10}}

        def write_report(staging):
            rows = [
                {"sha256": f"{n:064}", "label": "cat", "predicted": "cat" if n < right else "dog"}
                for n in range(IMAGES)
            ]
            (staging / REPORT_FILE).parent.mkdir()
            report = {"test": rows, "metrics": {"test": test | {"per_class": support}}}
            (staging / REPORT_FILE).write_text(json.dumps(report))
            (staging / REPORT_PAGE).write_text(
                "<title>pets, version 1</title><h1>pets, version 1</h1>"
            )

        number = publish_tiny_model(withheld, "pets", training_id=training.id, change=write_report)
        self.stores.trainings.keep_evaluation(training.id, {"test": test})

        def succeed(record):
            record.withheld, record.metrics = number, {"test": test}
            record.feature_seconds = 3.0
            record.enter(State.SUCCEEDED)

        self.stores.trainings.update(training.id, succeed)

    def fail(self, training_id, state=State.FAILED):
        self.stores.trainings.update(training_id, lambda record: record.enter(state))
