"""A training in its bottleneck phase, whose pictures lie in a folder."""

import hashlib
from contextlib import contextmanager
from datetime import UTC, datetime

from tests.support.inputs.tiny_model import picture
from tests.support.trainer.builders import new_dataset_record, new_record
from trainer_service import training
from trainer_service.datasets.dataset import Dataset
from trainer_service.datasets.records import ImageRecord, save_images
from trainer_service.inline import InlineQueue
from trainer_service.phases.work import Work, Worker
from trainer_service.queue.steps import FINISH, Step
from trainer_service.settings import TrainerSettings
from trainer_service.store.events.event_log import connect
from trainer_service.store.events.progress import ProgressBoard
from trainer_service.store.records.training_record import (
    State,
)
from trainer_service.store.shards import ShardImage, Shards
from trainer_service.store.stores import Stores

START = datetime(2026, 1, 1, tzinfo=UTC)
IDS = "20260101-000000-aaaaaa", "20260101-000000-bbbbbb"
IMAGES = 200


class BottleneckTraining:
    """A training of 200 pictures of a folder in its bottleneck phase: seven shards."""

    def __init__(self, tmp_path, redis_url):
        self.redis = connect(redis_url)
        self.redis.flushall()
        self.pets = tmp_path / "datasets/pets"
        self.settings = TrainerSettings(
            store=tmp_path / "store", datasets=tmp_path / "datasets", redis_url=redis_url
        )
        stores = Stores.open(self.settings)
        board = ProgressBoard(stores.events)
        self.worker = Worker(self.settings, stores, board, InlineQueue())
        self.dataset_id, self.id = IDS
        self.images = [self._image(number) for number in range(IMAGES)]
        self._create(stores)
        self.shards = Shards(stores.trainings.directory(self.id))
        plan = [ShardImage(sha256=image.sha256, path=image.file) for image in self.images]
        self.shards.plan(plan, "f32")

    def _image(self, number):
        label = ("cat", "dog")[number % 2]
        file = self.pets / label / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(picture((number, 255 - number, 0)))
        name = file.relative_to(self.pets).as_posix()
        return ImageRecord(
            name=name,
            file=name,
            label=label,
            split=None,
            sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
            width=16,
            height=16,
            format="png",
            bytes=file.stat().st_size,
            verdict="used",
            detail="",
        )

    def _create(self, stores):
        where = {"source": "pets", "path": True, "in_place": True}
        stores.datasets.create(new_dataset_record(at=START, record_id=self.dataset_id, **where))
        save_images(stores.datasets.directory(self.dataset_id), self.images)
        record = new_record(State.BOTTLENECK, at=START, record_id=self.id, dataset=self.dataset_id)
        record.dataset.images = IMAGES
        stores.trainings.create(record)

    @property
    def record(self):
        return self.worker.stores.trainings.get(self.id)

    @contextmanager
    def work(self):
        """Yield the work of the step that trains the head."""
        with self.worker.stores.trainings.lease(self.id) as held:
            yield Work(self.worker, Step(FINISH, (self.id,)), self.record, held)

    def submitted(self):
        return len(self.worker.queue._steps)

    def files(self):
        datasets = self.worker.stores.datasets
        return Dataset.open(datasets, self.settings, self.dataset_id).files()

    def compute(self):
        for number in self.shards.unfinished():
            training.compute_shard(self.worker, self.id, number)

    def rejected(self):
        return [sha256 for result in self.shards.results() for sha256 in result.rejected]
