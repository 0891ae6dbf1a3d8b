"""The shards of one training, on disk: what to compute, and what became of it.

    trainings/<id>/shards/plan.json          how many there are, their precision; written last
    trainings/<id>/shards/<n>.json           images of shard n
    trainings/<id>/shards/<n>.result.json    its ShardResult, once its features are stored
    trainings/<id>/shards/<n>.lease          while a worker computes it

Files tell which shards are done, so no counter can be lost, or counted twice when a task repeats.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from shared.files import atomic_write, is_fault_of_the_file
from shared.manifest import Precision
from trainer_service.errors import Setback
from trainer_service.store.lease import LeaseLost
from trainer_service.store.removal import remove_tree
from trainer_service.store.small_files import read_small
from trainer_service.store.stores import SHARDS

#: Of so many used images one may be lost on the way, and in any case a single one.
USED_PER_LOST = 100
#: More than any dataset has; a plan that says otherwise is damaged.
MOST_SHARDS = 1_000_000
#: Of one file: paths of some hundred images, and what became of them.
MOST_BYTES = 2**24

SMALLEST_SHARD = 32
LARGEST_SHARD = 256
SHARDS_PER_TRAINING = 8


class ImagesLost(Setback):
    """More images are lost than a few single files: something is wrong with their folder."""

    title = "Images lost"


class ShardImage(BaseModel):
    """An image to compute; `path` is its file's, relative to the dataset."""

    sha256: str
    path: str


class ShardResult(BaseModel):
    """What became of a shard.

    Attributes:
        rejected: images that turned out unusable, by SHA-256, with the reason.
        lost: those of them whose files are gone, or no longer hold what was read.
    """

    computed: int
    seconds: float
    rejected: dict[str, str]
    lost: list[str] = Field(default_factory=list)


def plan_shards(images: Sequence[ShardImage]) -> list[list[ShardImage]]:
    """Cut the images into shards: enough for several workers, few enough to be worth a task."""
    size = -(-len(images) // SHARDS_PER_TRAINING)
    size = min(LARGEST_SHARD, max(SMALLEST_SHARD, size))
    return [list(images[start : start + size]) for start in range(0, len(images), size)]


_images = TypeAdapter(list[ShardImage])


class PlanLost(LeaseLost):
    """A shard can't be read: its plan is gone, and has to be made again."""


class Plan(BaseModel):
    """How many shards there are, and what their features are computed in by every worker.

    Attributes:
        paths: what those of the images are relative to. A plan that lacks it was made before the
            store told; its paths are those of the host that made it, and it is none any more.
    """

    shards: int = Field(ge=0, le=MOST_SHARDS)
    precision: Precision
    paths: Literal["dataset"]


class Shards:
    def __init__(self, training_directory: Path) -> None:
        self._directory = training_directory / SHARDS

    @property
    def directory(self) -> Path:
        return self._directory

    def plan(self, images: Sequence[ShardImage], precision: Precision) -> int:
        """Cut the images into shards, forgetting any earlier plan, and return how many."""
        self.clear()
        self._directory.mkdir()
        shards = plan_shards(images)
        for number, shard in enumerate(shards):
            atomic_write(self._directory / f"{number}.json", _images.dump_json(shard))
        plan = Plan(shards=len(shards), precision=precision, paths="dataset")
        atomic_write(self._directory / "plan.json", plan.model_dump_json().encode())
        return len(shards)

    def images(self, number: int) -> list[ShardImage]:
        """Return the images of a shard.

        Raises:
            PlanLost: they can't be read.
        """
        file = self._directory / f"{number}.json"
        with self._sound(file):
            return _images.validate_json(read_small(file, MOST_BYTES))

    def finished(self, number: int) -> bool:
        return self._result_file(number).exists()

    def require_few_lost(self, number: int, result: ShardResult, used: int) -> None:
        """Check that with this result no more of the used images are lost than may be.

        Raises:
            ImagesLost: there are more.
        """
        if not result.lost:
            return
        lost = len(result.lost) + sum(len(other.lost) for other in self.results())
        first = next(image for image in self.images(number) if image.sha256 in result.lost)
        example = f"{first.path}: {result.rejected[first.sha256]}"
        if words := too_many_lost(lost, used, example):
            raise ImagesLost(words)

    def finish(self, number: int, result: ShardResult) -> None:
        atomic_write(self._result_file(number), result.model_dump_json().encode())

    def count(self) -> int | None:
        """Return how many shards there are, or None if that is yet to be planned.

        A plan that can't be read counts as missing: it can be made again at any time.
        """
        try:
            return self._plan().shards
        except ValidationError:
            return None
        except OSError as error:
            if is_fault_of_the_file(error):
                return None
            raise

    def precision(self) -> Precision:
        """Return what the features of a planned training are computed in."""
        return self._plan().precision

    def unfinished(self) -> list[int]:
        return [number for number in range(self.count() or 0) if not self.finished(number)]

    def complete(self) -> bool:
        """Return whether there is a plan and every shard of it is finished."""
        return self.count() is not None and not self.unfinished()

    def lease_file(self, number: int) -> Path:
        return self._directory / f"{number}.lease"

    def results(self) -> list[ShardResult]:
        """Return what became of the shards that are finished.

        Raises:
            PlanLost: one of them can't be read.
        """
        found = []
        for file in self._directory.glob("*.result.json"):
            with self._sound(file):
                found.append(ShardResult.model_validate_json(read_small(file, MOST_BYTES)))
        return found

    def clear(self) -> None:
        with suppress(OSError):
            remove_tree(self._directory)

    @contextmanager
    def _sound(self, file: Path) -> Iterator[None]:
        """Give the plan up if one of its files can't be read; made anew, it finds what is done."""
        try:
            yield
        except (OSError, ValidationError) as error:
            if isinstance(error, OSError) and not is_fault_of_the_file(error):
                raise
            (self._directory / "plan.json").unlink(missing_ok=True)
            raise PlanLost(f"{file} can't be read; the shards are planned anew.") from error

    def _plan(self) -> Plan:
        return Plan.model_validate_json(read_small(self._directory / "plan.json", MOST_BYTES))

    def _result_file(self, number: int) -> Path:
        return self._directory / f"{number}.result.json"


def too_many_lost(lost: int, used: int, example: str) -> str | None:
    """Return, in words, that more of the used images are lost than may be; None if that is not so.

    Args:
        lost: how many are gone, or have changed, since the dataset was read.
        used: how many were to be used.
        example: one that is lost, and why.
    """
    most = max(1, used // USED_PER_LOST)
    if lost <= most:
        return None
    return (
        f"{lost} of the {used} images are gone, or have changed, since the dataset was read: "
        f"expected at most {most}. E.g. {example} If they were "
        "changed on purpose, make a new dataset of them and train on that"
    )
