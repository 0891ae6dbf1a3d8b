"""A file of a source as the system gives it, piece by piece."""

import io
import os
from typing import IO, TYPE_CHECKING, cast

from trainer_service.datasets.sources.hang_guard import HangGuard

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# Fewer system calls mean fewer times that the reading thread has to wait for the GIL.
BUFFER = 1 << 20


class RawFile(io.RawIOBase):
    """A file of which is read a piece at a time, and remembered if the system failed to."""

    def __init__(self, file: IO[bytes], name: str, hang_guard: HangGuard) -> None:
        super().__init__()
        self.failed: OSError | None = None
        self._file = cast(io.BufferedReader, file).raw
        self._name = name
        self._hang_guard = hang_guard

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def readinto(self, buffer: "WriteableBuffer") -> int | None:
        with self._hang_guard.system_call(self._name):
            try:
                return self._file.readinto(memoryview(buffer)[:BUFFER])
            except OSError as error:
                self.failed = OSError(error.errno, error.strerror, self._name)
                raise self.failed from error
