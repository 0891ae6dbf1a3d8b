"""The batcher with engines and decoders whose pace the test decides."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from predictor_service.inference.batching import Batcher, batch_sizes
from shared.errors import InvalidImage, Unavailable
from shared.images.decoding import LargeImage


def decode(data: bytes, *, wait: bool) -> Any:
    if data == b"bad":
        raise InvalidImage("unreadable", "not a picture")
    return np.full((2, 2, 3), int(data), np.uint8)


class Network:
    """Answers each image with its first pixel; computes only while `gate` is open."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.started = threading.Event()
        self.gate = threading.Event()
        self.gate.set()

    def infer(self, pixels: Any) -> Any:
        self.batches.append(len(pixels))
        self.started.set()
        assert self.gate.wait(10)
        return {"pixel": pixels[:, 0, 0, :1].astype(np.float32)}


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - what is awaited happens in threads
        await asyncio.sleep(0.01)


def run(
    test: Callable[[Batcher], Any],
    infer: Callable[[Any], Any],
    *,
    max_batch: int = 4,
    max_queue: int = 8,
) -> Any:
    async def main() -> Any:
        batcher = Batcher(infer, decode, pool, max_batch=max_batch, max_queue=max_queue)
        return await asyncio.wait_for(test(batcher), 20)

    with ThreadPoolExecutor(2) as pool:
        return asyncio.run(main())


def test_each_image_gets_its_own_answer():
    async def predict_all(batcher: Batcher) -> list[list[Any]]:
        return await asyncio.gather(*(batcher.predict([b"%d" % i]) for i in range(8)))

    answers = run(predict_all, Network().infer)

    assert [float(answer["pixel"][0]) for (answer,) in answers] == list(range(8))


def test_images_gather_while_a_batch_computes_and_no_batch_is_larger_than_allowed():
    network = Network()

    async def predict_behind_a_slow_batch(batcher: Batcher) -> None:
        network.gate.clear()
        first = asyncio.create_task(batcher.predict([b"0"]))
        await asyncio.to_thread(network.started.wait)
        rest = asyncio.create_task(batcher.predict([b"1", b"2", b"3", b"4", b"5"]))
        await until(lambda: len(batcher._waiting) == 5)
        network.gate.set()
        await asyncio.gather(first, rest)

    run(predict_behind_a_slow_batch, network.infer)

    assert network.batches == [1, 4, 1]


def test_a_single_image_is_not_kept_waiting_for_company():
    network = Network()

    run(lambda batcher: batcher.predict([b"7"]), network.infer, max_batch=16)

    assert network.batches == [1]


def test_a_bad_image_spoils_no_other():
    answers = run(lambda batcher: batcher.predict([b"1", b"bad", b"3"]), Network().infer)

    assert float(answers[0]["pixel"][0]) == 1
    assert isinstance(answers[1], InvalidImage)
    assert float(answers[2]["pixel"][0]) == 3


def test_a_full_queue_refuses_at_once_and_takes_again_when_it_has_emptied():
    network = Network()

    async def overfill(batcher: Batcher) -> list[Any]:
        network.gate.clear()
        taken = asyncio.create_task(batcher.predict([b"1"] * 8))
        await asyncio.to_thread(network.started.wait)
        with pytest.raises(Unavailable, match=r"HEADSTART_MAX_QUEUE allows 8 images, 8 are"):
            await batcher.predict([b"2"])
        with pytest.raises(Unavailable):
            batcher.check_room()
        network.gate.set()
        await taken
        return await batcher.predict([b"3"])

    assert float(run(overfill, network.infer)[0]["pixel"][0]) == 3


def test_an_idle_batcher_takes_a_request_larger_than_its_queue():
    """Else such a request could never be answered, however often it is sent again."""
    answers = run(lambda batcher: batcher.predict([b"1"] * 9), Network().infer, max_queue=4)

    assert len(answers) == 9


def test_an_engine_that_fails_answers_with_its_error_and_goes_on():
    calls: list[int] = []

    def infer(pixels: Any) -> Any:
        calls.append(len(pixels))
        if len(calls) == 1:
            raise RuntimeError("out of memory")
        return {"pixel": pixels[:, 0, 0, :1].astype(np.float32)}

    async def predict_twice(batcher: Batcher) -> tuple[Any, Any]:
        return (await batcher.predict([b"1"]))[0], (await batcher.predict([b"2"]))[0]

    failed, answered = run(predict_twice, infer)

    assert isinstance(failed, RuntimeError)
    assert float(answered["pixel"][0]) == 2


def test_a_client_that_leaves_frees_its_places():
    network = Network()

    async def leave(batcher: Batcher) -> Any:
        network.gate.clear()
        gone = asyncio.create_task(batcher.predict([b"1"] * 8))
        await asyncio.to_thread(network.started.wait)
        gone.cancel()
        await asyncio.wait([gone])
        network.gate.set()
        await until(lambda: not batcher._inside)
        return await batcher.predict([b"2"] * 8)

    assert len(run(leave, network.infer)) == 8


class Album:
    """Decodes: what begins with L is large, and waits until the album is opened."""

    def __init__(self) -> None:
        self.decoded: list[bytes] = []
        self.opened = threading.Event()

    def decode(self, data: bytes, *, wait: bool) -> Any:
        if data.startswith(b"L"):
            if not wait:
                raise LargeImage
            assert self.opened.wait(10)
        self.decoded.append(data)
        return np.full((2, 2, 3), int(data[1:]), np.uint8)


def run_with(album: Album, test: Callable[[Batcher], Any], **limits: int) -> Any:
    async def main() -> Any:
        batcher = Batcher(
            Network().infer, album.decode, pool, max_batch=4, large_pool=large_pool, **limits
        )
        return await asyncio.wait_for(test(batcher), 20)

    with ThreadPoolExecutor(2) as pool, ThreadPoolExecutor(2) as large_pool:
        try:
            return asyncio.run(main())
        finally:
            album.opened.set()


def test_small_pictures_pass_the_large_ones_that_wait():
    album = Album()

    async def predict_behind_large_ones(batcher: Batcher) -> Any:
        large = asyncio.create_task(batcher.predict([b"L%d" % i for i in range(8)]))
        await until(lambda: batcher._large == 8)
        small = await batcher.predict([b"S%d" % i for i in range(8)])  # all places are free
        assert not large.done()
        assert batcher.inside == 8
        album.opened.set()
        answers = small + await large
        assert batcher.inside == 0
        return answers

    answers = run_with(album, predict_behind_large_ones, max_queue=8)

    assert [float(answer["pixel"][0]) for answer in answers] == [*range(8), *range(8)]


def test_more_large_pictures_than_may_wait_are_refused():
    album = Album()

    async def overfill(batcher: Batcher) -> Any:
        first = asyncio.create_task(batcher.predict([b"L1", b"L2"]))
        await until(lambda: batcher._large == 2)
        refused = await batcher.predict([b"L3", b"S4"])
        album.opened.set()
        await first
        return refused, await batcher.predict([b"L5"])

    (large, small), later = run_with(album, overfill, max_queue=8, max_large=2)

    assert isinstance(large, Unavailable)
    assert "2 large images are waiting" in str(large)
    assert large.retry_after == 5
    assert float(small["pixel"][0]) == 4
    assert float(later[0]["pixel"][0]) == 5


def test_what_a_client_that_left_has_sent_is_not_decoded():
    album = Album()

    async def leave(batcher: Batcher) -> None:
        gone = asyncio.create_task(batcher.predict([b"L%d" % i for i in range(8)]))
        await until(lambda: batcher._large == 8)
        gone.cancel()
        await asyncio.wait([gone])
        album.opened.set()
        await until(lambda: batcher.inside == 0)

    run_with(album, leave, max_queue=8)

    assert len(album.decoded) <= 2  # those that had begun, one in each thread


def test_want_of_memory_is_handed_on_as_what_it_is():
    def decode(_: bytes, *, wait: bool) -> Any:
        raise MemoryError

    async def predict(pool: ThreadPoolExecutor) -> Any:
        batcher = Batcher(Network().infer, decode, pool, max_batch=4, max_queue=8)
        return await batcher.predict([b"1"])

    with ThreadPoolExecutor(2) as pool:
        (answer,) = asyncio.run(predict(pool))

    assert isinstance(answer, MemoryError)


def test_no_files_are_no_answers():
    assert run(lambda batcher: batcher.predict([]), Network().infer) == []


@pytest.mark.parametrize(
    ("max_batch", "sizes"),
    [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (16, [1, 2, 4, 8, 16]), (12, [1, 2, 4, 8, 12])],
)
def test_batches_have_one_of_a_few_sizes(max_batch, sizes):
    assert batch_sizes(max_batch) == sizes


def test_what_is_left_over_forms_the_next_batch():
    network = Network()

    async def predict_behind_a_slow_batch(batcher: Batcher) -> None:
        network.gate.clear()
        first = asyncio.create_task(batcher.predict([b"0"]))
        await asyncio.to_thread(network.started.wait)
        rest = asyncio.create_task(batcher.predict([b"1"] * 7))
        await until(lambda: len(batcher._waiting) == 7)
        network.gate.set()
        await asyncio.gather(first, rest)

    run(predict_behind_a_slow_batch, network.infer, max_batch=16)

    assert network.batches == [1, 4, 2, 1]
