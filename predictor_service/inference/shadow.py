"""Lets another version answer some of the pictures beside the served one, unseen, and compares.

It works only while no picture waits for the served version, on one picture at a time, and rests
nine times as long as that took: so it takes a tenth of the time at most.
"""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from predictor_service.api.answers import ShadowInfo
from predictor_service.inference.batching import Answer, Rows
from shared.engines import PROBABILITIES
from shared.logs import get_logger

if TYPE_CHECKING:
    from predictor_service.models.served import ServedVersion

#: How many times as long as a picture took nothing else is answered.
REST = 9.0

log = get_logger(__name__)


class Shadow:
    """A version that answers beside the served one. Only the thread of the event loop may use it.

    Args:
        version: the version.

    Attributes:
        seen: how many pictures the served version has answered since.
        compared: how many of these this version has answered, too.
        different: to how many of those it gave another label as the likeliest.
        failed: how many pictures it could not answer.
        seconds: how long that took in all.
    """

    def __init__(self, version: "ServedVersion") -> None:
        self.version = version
        self.since = datetime.now(UTC)
        self.seen = self.compared = self.different = self.failed = 0
        self.seconds = 0.0
        self._task: asyncio.Task[None] | None = None
        self._rests_until = 0.0

    def offer(
        self, served: "ServedVersion", files: Sequence[bytes], answers: Sequence[Answer]
    ) -> None:
        """Compare the answer to one of some pictures, if there is time for it now.

        Args:
            served: the version that has answered.
            files: the bytes of the pictures.
            answers: what it has answered to each.
        """
        answered = [
            (data, answer)
            for data, answer in zip(files, answers, strict=True)
            if not isinstance(answer, Exception)
        ]
        self.seen += len(answered)
        if answered and not self._has_no_time(served):
            data, answer = answered[0]
            self._task = asyncio.create_task(self._compare(data, _label(served, answer)))

    def _has_no_time(self, served: "ServedVersion") -> bool:
        works = self._task is not None and not self._task.done()
        return works or served.batcher.inside > 0 or time.monotonic() < self._rests_until

    async def _compare(self, data: bytes, label: str) -> None:
        started = time.monotonic()
        try:
            (answer,) = await self.version.batcher.predict([data])
        except Exception as error:  # noqa: BLE001 - nobody waits for the answer
            answer = error
        took = time.monotonic() - started
        self.seconds += took
        self._rests_until = time.monotonic() + REST * took
        if isinstance(answer, Exception):
            self.failed += 1
            log.info("the shadow can't answer", reason=str(answer))
            return
        self.compared += 1
        self.different += _label(self.version, answer) != label

    def info(self) -> ShadowInfo:
        """Return what has been found so far, for the API."""
        return ShadowInfo(
            version=self.version.manifest.version,
            since=self.since,
            seen=self.seen,
            compared=self.compared,
            different=self.different,
            share=round(self.different / self.compared, 6) if self.compared else None,
            failed=self.failed,
            seconds=round(self.seconds, 3),
        )


def _label(version: "ServedVersion", answer: Rows) -> str:
    return version.manifest.labels[int(answer[PROBABILITIES].argmax())]
