"""Downloads files, and gives up on a host that is dead, silent or too slow."""

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from shared.files import atomic_writer

PROBE_SECONDS = 60.0
#: A download that is slower than this during one window is given up.
SLOWEST_BYTES_PER_SECOND = 8 * 1024
#: The length of that window, as a multiple of the timeout.
STALL_TIMEOUTS = 5
WATCH_SECONDS = 0.5

_HDF5 = b"\x89HDF\r\n\x1a\n"
_HEAD_REFUSED = (405, 501)


class DownloadFailed(Exception):
    """A file could not be downloaded; the message is the reason, as the end of a sentence."""


@dataclass(frozen=True)
class Patience:
    """How long to wait for a host.

    Attributes:
        answer: seconds until it answers.
        clock: a monotonic clock, in seconds.
    """

    answer: float
    clock: Callable[[], float] = time.monotonic

    @property
    def stall(self) -> float:
        """Seconds for which a download may be too slow."""
        return STALL_TIMEOUTS * self.answer


class _Probes:
    """The answers of the weights hosts, by host or URL, each kept for `PROBE_SECONDS`."""

    def __init__(self) -> None:
        self._answers: dict[str, tuple[float, str | None]] = {}

    def get(self, key: str) -> tuple[str | None] | None:
        expires, problem = self._answers.get(key, (0.0, None))
        return (problem,) if time.monotonic() < expires else None

    def put(self, key: str, problem: str | None) -> None:
        self._answers[key] = (time.monotonic() + PROBE_SECONDS, problem)

    def clear(self) -> None:
        self._answers.clear()


probes = _Probes()


def cached_probe(url: str, timeout: float) -> str | None:
    """Return why `url` can't be downloaded, or None if it can.

    The result is kept for a minute. That a host is silent is remembered for all of its files, so
    that only one of them waits for it.
    """
    host = urlsplit(url).netloc
    known = probes.get(host) or probes.get(url)
    if known is not None:
        return known[0]
    problem = None
    try:
        patience = Patience(timeout)
        _in_time(lambda _: _probe(url, patience), patience)
    except _Unreachable as error:
        problem = str(error)
        probes.put(host, problem)
    except DownloadFailed as error:
        problem = str(error)
    probes.put(url, problem)
    return problem


def download(
    url: str,
    target: Path,
    expected_hash: str | None,
    patience: Patience,
    check_cancelled: Callable[[], None] = lambda: None,
) -> None:
    """Download a weights file; `target` is either complete and checked, or not there.

    Args:
        url: the address of the file; http or https.
        target: the file to write.
        expected_hash: the hex MD5 or SHA-256 of the file; None if that is not known.
        patience: how long to wait for the host.
        check_cancelled: called repeatedly meanwhile; what it raises ends the download.

    Raises:
        DownloadFailed: it could not be downloaded, or is not the file that was expected.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _in_time(
            lambda progress: _fetch(url, target, expected_hash, patience, progress),
            patience,
            check_cancelled,
        )
    except OSError as error:
        raise DownloadFailed(f"{target} can't be written ({error.strerror or error})") from error


@lru_cache(maxsize=64)
def _digest(path: Path, _modified: int, _size: int, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """Return the hex digest of a file, which is computed again only if the file has changed."""
    status = path.stat()
    return _digest(path, status.st_mtime_ns, status.st_size, algorithm)


def matches(path: Path, expected_hash: str | None) -> bool:
    """Return whether a file has the expected MD5 or SHA-256; without one, every file does."""
    return expected_hash is None or file_digest(path, _algorithm(expected_hash)) == expected_hash


def _algorithm(expected_hash: str) -> str:
    return "sha256" if len(expected_hash) == 64 else "md5"  # noqa: PLR2004 - hex digits


class _Unreachable(DownloadFailed):
    """The host gave no answer at all."""


class _Progress:
    """What a transfer and the thread that watches it tell each other."""

    def __init__(self) -> None:
        self.answered = threading.Event()
        self.ended = threading.Event()
        self.abandoned = threading.Event()
        self.received = 0
        self.error: Exception | None = None


def _in_time(
    transfer: Callable[[_Progress], None],
    patience: Patience,
    check_cancelled: Callable[[], None] = lambda: None,
) -> None:
    """Run `transfer` in a thread of its own, and abandon that thread if it takes too long.

    The timeouts of sockets cover neither a name server that does not answer nor a host that sends
    a byte now and then.
    """
    progress = _Progress()
    threading.Thread(target=_run, args=(transfer, progress), daemon=True).start()
    try:
        _watch(progress, patience, check_cancelled)
    finally:
        progress.abandoned.set()
    if progress.error is not None:
        raise progress.error


def _run(transfer: Callable[[_Progress], None], progress: _Progress) -> None:
    try:
        transfer(progress)
    except HTTPError as error:
        progress.error = DownloadFailed(f"the host answered {error.code} {error.reason}")
    except DownloadFailed as error:
        progress.error = error
    except (HTTPException, OSError, ValueError) as error:
        progress.error = _in_words(error, progress)
    finally:
        progress.answered.set()
        progress.ended.set()


def _in_words(error: Exception, progress: _Progress) -> DownloadFailed:
    reason = getattr(error, "reason", None) or error
    if not progress.answered.is_set():
        return _Unreachable(str(reason) or type(error).__name__)
    if isinstance(reason, TimeoutError):
        return _stalled(progress)
    return DownloadFailed(str(reason) or type(error).__name__)


def _stalled(progress: _Progress) -> DownloadFailed:
    return DownloadFailed(f"the download stalled after {progress.received:,} bytes")


def _watch(progress: _Progress, patience: Patience, check_cancelled: Callable[[], None]) -> None:
    if not progress.answered.wait(patience.answer):
        raise _Unreachable(f"no answer within {patience.answer:g} seconds")
    received, since = 0, patience.clock()
    while not progress.ended.wait(min(patience.stall, WATCH_SECONDS)):
        check_cancelled()
        if patience.clock() - since < patience.stall:
            continue
        if progress.received - received < SLOWEST_BYTES_PER_SECOND * patience.stall:
            raise _stalled(progress)
        received, since = progress.received, patience.clock()


def _open(url: str, method: str, patience: Patience) -> HTTPResponse:
    if urlsplit(url).scheme not in ("http", "https"):
        raise ValueError("`weights_url` should begin with http:// or https://")
    request = Request(url, method=method, headers={"User-Agent": "headstart"})  # noqa: S310
    # The watching thread gives up on a silent host; this timeout only ends an abandoned thread.
    response: HTTPResponse = urlopen(request, timeout=patience.stall)  # noqa: S310 - http(s) only
    return response


def _probe(url: str, patience: Patience) -> None:
    try:
        _open(url, "HEAD", patience).close()
    except HTTPError as error:
        if error.code not in _HEAD_REFUSED:
            raise


def _fetch(
    url: str, target: Path, expected_hash: str | None, patience: Patience, progress: _Progress
) -> None:
    with _open(url, "GET", patience) as response:
        progress.answered.set()
        with atomic_writer(target) as file:
            first = _copy(response, file, progress)
            _check_length(response, progress.received)
            file.flush()
            _check_content(Path(file.name), first, expected_hash)
            if progress.abandoned.is_set():
                raise DownloadFailed("it was given up")


def _copy(response: HTTPResponse, file: Any, progress: _Progress) -> bytes:
    first = b""
    # read1 returns what has arrived, so that `received` tells a trickle from a stream.
    while chunk := response.read1(1 << 20):
        if progress.abandoned.is_set():
            raise DownloadFailed("it was given up")
        first = first or chunk[: len(_HDF5)]
        file.write(chunk)
        progress.received += len(chunk)
    return first


def _check_length(response: HTTPResponse, received: int) -> None:
    expected = response.headers.get("Content-Length")
    if expected is not None and int(expected) != received:
        raise DownloadFailed(f"it ended after {received:,} of {int(expected):,} bytes")


def _check_content(path: Path, first: bytes, expected_hash: str | None) -> None:
    if expected_hash is not None:
        with path.open("rb") as file:
            received = hashlib.file_digest(file, _algorithm(expected_hash)).hexdigest()
        if received != expected_hash:
            raise DownloadFailed(
                f"its {_algorithm(expected_hash).upper()} should be {expected_hash}, but is "
                f"{received}"
            )
    elif not first.startswith(_HDF5):
        raise DownloadFailed("it is not an HDF5 file")
