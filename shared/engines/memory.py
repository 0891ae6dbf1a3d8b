"""Tells lack of memory from what is wrong with a network."""

from collections.abc import Iterator
from contextlib import contextmanager

#: What OpenVINO and TensorFlow say, in errors of their own, if they get no memory.
_OUT_OF_MEMORY = ("bad_alloc", "failed to allocate", "out of memory", "oom when allocating")


@contextmanager
def memory_errors() -> Iterator[None]:
    """Raise MemoryError in place of the various errors of engines that get no memory."""
    try:
        yield
    except Exception as error:
        said = str(error)
        if isinstance(error, MemoryError) or not _tells_of_memory(said):
            raise
        raise MemoryError(said.strip().splitlines()[-1]) from error


def _tells_of_memory(said: str) -> bool:
    return any(words in said.lower() for words in _OUT_OF_MEMORY)
