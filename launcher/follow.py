"""Shows a training as it runs: a bar for every phase."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
)

Record = dict[str, Any]

POLL_SECONDS = 0.2
#: Without a terminal there are no bars: a line at most this often.
LINE_SECONDS = 2.0
ENDS = {"succeeded", "failed", "cancelled"}
UNITS = {"preparing": "images/s", "bottleneck": "images/s", "head": "epochs/s"}


def follow(client: httpx.Client, url: str, console: Console) -> Record:
    """Show the training until it has ended, and return its last record."""
    show = _show_bars if console.is_terminal else _show_lines
    return show(_records(client, url), console)


def _records(client: httpx.Client, url: str) -> Iterator[Record]:
    while True:
        record: Record = client.get(url).raise_for_status().json()
        yield record
        if record["state"] in ENDS:
            return
        time.sleep(POLL_SECONDS)


def _show_bars(records: Iterator[Record], console: Console) -> Record:
    record: Record = {}
    with Progress(
        TextColumn("{task.description:<11}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        console=console,
    ) as bars:
        phases = _Phases(bars)
        for record in records:
            phases.update(record)
    return record


class _Phases:
    """One bar per phase that the training has entered."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def update(self, record: Record) -> None:
        for transition in record["transitions"]:
            self._show(transition, record)

    def _show(self, transition: Record, record: Record) -> None:
        state, seconds = transition["state"], transition["seconds"]
        if state in ENDS:
            return
        if state not in self._tasks:
            self._tasks[state] = self._bars.add_task(state, total=None, speed="")
        task = self._tasks[state]
        if seconds is not None:
            done = self._bars.tasks[task].completed or 1
            self._bars.update(task, total=done, completed=done, speed=f"{seconds:.1f} s")
        elif progress := record["progress"]:
            self._bars.update(
                task, total=progress["total"], completed=progress["done"], speed=speed(progress)
            )


def _show_lines(records: Iterator[Record], console: Console) -> Record:
    record: Record = {}
    state, shown = "", 0.0
    for record in records:
        now = time.monotonic()
        if record["state"] != state or (record["progress"] and now - shown >= LINE_SECONDS):
            state, shown = record["state"], now
            console.print(_line(record), highlight=False)
    return record


def _line(record: Record) -> str:
    progress = record["progress"]
    if not progress:
        return f"{record['state']:<11}"
    counts = f"{progress['done']}/{progress['total']}"
    return f"{record['state']:<11} {counts} {speed(progress)}"


def speed(progress: Record) -> str:
    if not progress["per_second"]:
        return ""
    unit = UNITS.get(progress["phase"], "/s")
    return f"{progress['per_second']:.0f} {unit}, ETA {progress['eta_seconds']:.0f} s"


def wait_until(done: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
