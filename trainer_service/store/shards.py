"""The shards of one training, on disk: the images to compute features of, and the results.

    trainings/<id>/shards/plan.json          the `Plan`; written last, when all shards are
    trainings/<id>/shards/<n>.json           the images of shard n
    trainings/<id>/shards/<n>.result.json    its ShardResult, once its features are stored
    trainings/<id>/shards/<n>.lease          held by the worker that computes it

The result files show which shards are done. There is no counter that a crash could lose, or that a
repeated task could increment twice.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from shared.documents import read_small
from shared.files import atomic_write, is_fault_of_the_file
from shared.models.manifest import Precision
from trainer_service.errors import Setback
from trainer_service.store.files.lease import LeaseLost
from trainer_service.store.files.removal import remove_tree
from trainer_service.store.stores import SHARDS

#: One in this many used images may be lost on the way, and always at least one image.
USED_PER_LOST = 100
#: More than any dataset has; a plan with more is damaged.
MOST_SHARDS = 1_000_000
#: Of one file, which has the paths or results of a few hundred images.
MOST_BYTES = 2**24

SMALLEST_SHARD = 32
LARGEST_SHARD = 256
SHARDS_PER_TRAINING = 8


class ImagesLost(Setback):
    """So many images are lost that something must be wrong with their whole folder or disk."""

    title = "Images lost"


class ShardImage(BaseModel):
    """An image to compute features of.

    Attributes:
        path: relative to the dataset's directory.
        views: the numbers of its views that are computed; none: the image itself is.
    """

    sha256: str
    path: str
    views: list[int] = Field(default_factory=list)

    @property
    def rows(self) -> int:
        """How many rows of features are computed."""
        return len(self.views) or 1


class ShardResult(BaseModel):
    """The result of computing a shard.

    Attributes:
        computed: of how many images features were computed.
        seconds: how long that took.
        rejected: SHA-256 of each image that turned out to be unusable, with the reason.
        lost: those of them whose files are gone or have changed since the dataset was read.
    """

    computed: int
    seconds: float
    rejected: dict[str, str]
    lost: list[str] = Field(default_factory=list)


def plan_shards(images: Sequence[ShardImage]) -> list[list[ShardImage]]:
    """Divide the images into about 8 shards of 32 to 256 rows of features.

    That is enough to keep several workers busy, and each shard is worth the overhead of a task.
    """
    rows = max((image.rows for image in images), default=1)
    size = -(-len(images) // SHARDS_PER_TRAINING)
    size = min(LARGEST_SHARD // rows, max(-(-SMALLEST_SHARD // rows), size))
    return [list(images[start : start + size]) for start in range(0, len(images), size)]


_images = TypeAdapter(list[ShardImage])


class PlanLost(LeaseLost):
    """A file of the plan can't be read; the plan was discarded and has to be made again."""


class Plan(BaseModel):
    """How many shards there are, and the precision in which every worker computes them.

    Attributes:
        paths: what the paths of the images are relative to. Plans of earlier releases lack it:
            their paths are absolute ones of the host that made the plan, so they are invalid.
    """

    shards: int = Field(ge=0, le=MOST_SHARDS)
    precision: Precision
    paths: Literal["dataset"]


class Shards:
    """The shards of one training.

    Args:
        training_directory: the directory `trainings/<id>`.
    """

    def __init__(self, training_directory: Path) -> None:
        self._directory = training_directory / SHARDS

    @property
    def directory(self) -> Path:
        return self._directory

    def plan(
        self,
        images: Sequence[ShardImage],
        precision: Precision,
        viewed: Sequence[ShardImage] = (),
    ) -> int:
        """Divide the images into shards, replacing any earlier plan; return how many there are.

        Args:
            images: those that are computed as they are; their shards come first.
            precision: what every worker computes in.
            viewed: those of which views are computed. No shard has images of both kinds.
        """
        self.clear()
        self._directory.mkdir()
        shards = plan_shards(images) + plan_shards(viewed)
        for number, shard in enumerate(shards):
            atomic_write(self._directory / f"{number}.json", _images.dump_json(shard))
        plan = Plan(shards=len(shards), precision=precision, paths="dataset")
        atomic_write(self._directory / "plan.json", plan.model_dump_json().encode())
        return len(shards)

    def images(self, number: int) -> list[ShardImage]:
        """Return the images of a shard.

        Raises:
            PlanLost: their file can't be read.
        """
        file = self._directory / f"{number}.json"
        with self._plan_discarded_on_fault(file):
            return _images.validate_json(read_small(file, MOST_BYTES))

    def finished(self, number: int) -> bool:
        return self._result_file(number).exists()

    def require_few_lost(self, number: int, result: ShardResult, used: int) -> None:
        """Check that few images are lost in this result and all earlier ones together.

        Args:
            number: the number of the shard.
            result: its result, which is not stored yet.
            used: how many images the training uses in all shards.

        Raises:
            ImagesLost: more than 1 in `USED_PER_LOST` are lost.
        """
        if not result.lost:
            return
        # An image may be lost twice: as it is, and with its views.
        lost = {sha256 for one in (result, *self.results()) for sha256 in one.lost}
        first = next(image for image in self.images(number) if image.sha256 in result.lost)
        example = f"{first.path}: {result.rejected[first.sha256]}"
        if words := too_many_lost(len(lost), used, example):
            raise ImagesLost(words)

    def finish(self, number: int, result: ShardResult) -> None:
        atomic_write(self._result_file(number), result.model_dump_json().encode())

    def count(self) -> int | None:
        """Return how many shards there are, or None if there is no plan.

        A plan that can't be read counts as missing, since it can be made again at any time.
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
        """Return the precision in which the features are computed; there must be a plan."""
        return self._plan().precision

    def unfinished(self) -> list[int]:
        return [number for number in range(self.count() or 0) if not self.finished(number)]

    def complete(self) -> bool:
        """Return whether there is a plan and every shard of it is finished."""
        return self.count() is not None and not self.unfinished()

    def lease_file(self, number: int) -> Path:
        return self._directory / f"{number}.lease"

    def results(self) -> list[ShardResult]:
        """Return the results of the finished shards, in no order.

        Raises:
            PlanLost: one of them can't be read.
        """
        found = []
        for file in self._directory.glob("*.result.json"):
            with self._plan_discarded_on_fault(file):
                found.append(ShardResult.model_validate_json(read_small(file, MOST_BYTES)))
        return found

    def clear(self) -> None:
        with suppress(OSError):
            remove_tree(self._directory)

    @contextmanager
    def _plan_discarded_on_fault(self, file: Path) -> Iterator[None]:
        """Discard the plan if the body finds that one of its files can't be read.

        The next plan finds the features that are stored already.
        """
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
    """Return the error message if more than 1 in `USED_PER_LOST` images are lost, else None.

    Args:
        lost: how many images are gone, or have changed, since the dataset was read.
        used: how many images the training uses.
        example: the path of one that is lost, and the reason, for the message.
    """
    most = max(1, used // USED_PER_LOST)
    if lost <= most:
        return None
    return (
        f"{lost} of the {used} images are gone, or have changed, since the dataset was read: "
        f"expected at most {most}. E.g. {example} If they were "
        "changed on purpose, make a new dataset of them and train on that"
    )
