"""Measures a predictor with more requests than its queue holds: what is answered and refused."""

from pathlib import Path

from benchmarks.predictor import BODIES, published_version
from benchmarks.tools import servers
from benchmarks.tools.images import benchmark_images
from benchmarks.tools.isolation import isolated
from benchmarks.tools.load import OK, UNAVAILABLE, Answer, collect, percentiles, summary
from benchmarks.tools.rows import Row

QUEUE = 32
CONNECTIONS = 256
SECONDS = 10.0


def run(directory: Path, *, quick: bool = False) -> list[Row]:
    """Load a predictor with as many connections as its queue holds, then with eight times more."""
    files, _ = benchmark_images(directory, quick=quick)
    version = isolated(published_version, directory, files)
    bodies = [file.read_bytes() for file in files[:BODIES]]
    seconds = 1.0 if quick else SECONDS
    with servers.headstart(version.parents[2], HEADSTART_MAX_QUEUE=str(QUEUE)) as server:
        collect(server.url, bodies, QUEUE, seconds / 4)
        within = collect(server.url, bodies, QUEUE, seconds)
        beyond = collect(server.url, bodies, CONNECTIONS, seconds)
    return _rows(within, beyond, seconds)


def _rows(within: list[Answer], beyond: list[Answer], seconds: float) -> list[Row]:
    steady, loaded = summary(within, seconds), summary(beyond, seconds)
    refused = [answer for answer in beyond if answer.status == UNAVAILABLE]
    strange = [answer for answer in beyond if answer.status not in {OK, UNAVAILABLE}]
    without = [answer for answer in refused if "\r\nretry-after:" not in answer.head]
    if strange or without:
        raise RuntimeError(f"{len(strange)} other statuses, {len(without)} without Retry-After")
    case = f"{CONNECTIONS} connections, a queue of {QUEUE}"
    rows = [
        Row(
            "overload", f"{QUEUE} connections", "answered", steady.requests_per_second, "requests/s"
        ),
        Row(
            "overload",
            case,
            "answered",
            loaded.requests_per_second,
            "requests/s",
            loaded.requests_per_second / steady.requests_per_second,
            f"{QUEUE} connections",
            f"p50 {loaded.p50:.1f} ms, p99 {loaded.p99:.1f} ms; {loaded.statuses}",
        ),
    ]
    if refused:
        p50, p99 = percentiles([answer.milliseconds for answer in refused])
        note = f"p99 {p99:.1f} ms, every one with Retry-After"
        rows.append(Row("overload", case, "refused with 503, p50", p50, "ms", note=note))
    return rows
