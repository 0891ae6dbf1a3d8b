"""Shows the events of a training, as live bars on a terminal and as lines elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TransferSpeedColumn,
)

from client.service import Record
from client.terminal import plain

#: Without a terminal, a line about progress is printed at most this often.
LINE_SECONDS = 2.0
ENDS = {"succeeded", "failed", "cancelled"}

Show = Callable[[Record], None]


@contextmanager
def shown(console: Console) -> Iterator[Show]:
    """Yield a function that shows an event of a training."""
    if not console.is_terminal:
        yield Lines(console)
        return
    with Progress(
        TextColumn("{task.description:<11}"),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[counts]:>11}"),
        TextColumn("{task.fields[news]}"),
        console=console,
    ) as bars:
        yield Bars(bars)


@contextmanager
def upload_shown(console: Console, name: str, length: int) -> Iterator[Callable[[int], None]]:
    """Yield a function that shows how many bytes have been sent so far.

    Args:
        console: the console to print to.
        name: the name of the file.
        length: the number of bytes to send.
    """
    if not console.is_terminal:
        console.print(plain(f"uploading {name}, {decimal(length)}"), soft_wrap=True)
        yield lambda _: None
        return
    with Progress(
        TextColumn("{task.description:<11}"),
        BarColumn(bar_width=20),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=console,
    ) as bars:
        task = bars.add_task("uploading", total=length)
        yield lambda sent: bars.update(task, completed=sent)


class Bars:
    """Shows a bar for every phase that the training has entered."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}
        self._tuned = ""

    def __call__(self, event: Record) -> None:
        match event["type"]:
            case "state":
                self._leave(event)
                self._enter(event["state"])
            case "progress":
                self._update(event["phase"], event["done"], event["total"])
                # The head's bar shows its epochs or strengths instead.
                if event["phase"] != "head":
                    self._set_news(event["phase"], speed(event))
            case "epoch" | "strength":
                self._update("head", *head_counts(event))
                self._set_news("head", losses(event))
            case "tune_estimate":
                self._bars.console.print(plain(tuning_time(event)))
            case "tune_progress":
                self._update(event["phase"], event["done"], event["total"])
                self._news_of_tuning(speed(event))
            case "tune_epoch":
                self._tuned = tuned_epoch(event)
                self._news_of_tuning("")
            case "warning":
                self._bars.console.print(plain("Warning:", "yellow"), plain(event["detail"]))

    def _enter(self, state: str) -> None:
        if state not in ENDS and state not in self._tasks:
            self._tasks[state] = self._bars.add_task(state, total=None, counts="", news="")

    def _leave(self, event: Record) -> None:
        if event["previous"] in self._tasks:
            task = self._tasks[event["previous"]]
            done = self._bars.tasks[task].completed or 1
            self._bars.update(task, total=done, completed=done)
            took = f"{event['previous_seconds']:.1f} s"
            # The last loss and accuracy of the head and of tuning stay visible.
            head = self._bars.tasks[task].fields["news"] if event["previous"] == "head" else ""
            kept = self._tuned if event["previous"] == "tuning" else head
            self._set_news(event["previous"], f"{took}  {kept}".rstrip())

    def _news_of_tuning(self, pace: str) -> None:
        """Show the last epoch, and how fast it goes."""
        self._enter("tuning")
        self._set_news("tuning", f"{self._tuned}  {pace}".strip())

    def _update(self, phase: str, done: int, total: int) -> None:
        self._enter(phase)
        counts = f"{done}/{total}"
        self._bars.update(self._tasks[phase], completed=done, total=total, counts=counts)

    def _set_news(self, phase: str, news: str) -> None:
        self._bars.update(self._tasks[phase], news=news)


class Lines:
    """Prints a line when a phase begins or ends, and now and then in between."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._reached = ""
        self._shown = 0.0

    def __call__(self, event: Record) -> None:
        match event["type"]:
            case "state":
                self._change(event)
            case "progress" if event["phase"] != "head":
                counts = f"{event['done']}/{event['total']}"
                self._set_news(event["phase"], f"{counts} {speed(event)}", counts)
            case "epoch" | "strength":
                done, total = head_counts(event)
                news = f"{done}/{total} {losses(event)}"
                self._set_news("head", news, news)
            case "tune_estimate":
                self._line("tuning", tuning_time(event))
            case "tune_progress":
                counts = f"{event['step']} {event['done']}/{event['total']}"
                self._set_news("tuning", f"{counts} {speed(event)}", counts)
            case "tune_epoch":
                # Each takes long, so each has a line.
                self._reached = tuned_epoch(event)
                self._line("tuning", self._reached)
            case "warning":
                self._print(f"warning: {event['detail']}")

    def _change(self, event: Record) -> None:
        if event["previous"]:
            self._line(event["previous"], f"{self._reached} took {event['previous_seconds']:.1f} s")
        self._reached, self._shown = "", time.monotonic()
        self._line(event["state"], "")

    def _set_news(self, phase: str, news: str, reached: str) -> None:
        self._reached = reached
        if time.monotonic() - self._shown >= LINE_SECONDS:
            self._shown = time.monotonic()
            self._line(phase, news)

    def _line(self, phase: str, news: str) -> None:
        self._print(f"{phase:<11} {' '.join(news.split())}".rstrip())

    def _print(self, line: str) -> None:
        self._console.print(plain(line), soft_wrap=True)


def speed(progress: Record) -> str:
    """Return the speed and the remaining time of a progress event as text."""
    if not progress["per_second"]:
        return ""
    unit = "epochs/s" if progress["phase"] == "head" else "images/s"
    unit = "views/s" if progress.get("step") == "views" else unit
    return f"{progress['per_second']:.0f} {unit}, ETA {progress['eta_seconds']:.0f} s"


def head_counts(event: Record) -> tuple[int, int]:
    """Return how many epochs or strengths are done, and of how many, from an event of one."""
    if event["type"] == "epoch":
        return event["epoch"], event["epochs"]
    return event["attempt"], event["attempts"]


def tuned_epoch(event: Record) -> str:
    """Return an epoch of tuning as text, and whether it is the best so far."""
    text = f"epoch {event['epoch']}/{event['epochs']} {losses(event)}"
    return f"{text}, the best so far" if event["best"] else text


def tuning_time(event: Record) -> str:
    """Return how long tuning will take, from the event that estimates it."""
    total, views, each = (
        duration(event[name]) for name in ("seconds", "views_seconds", "epoch_seconds")
    )
    return f"takes {total} at most: {views} for views, {each} for each of {event['epochs']} epochs"


def duration(seconds: float) -> str:
    """Return a time as people say it: "8.5 s", "3 min 20 s" or "2 h 5 min"."""
    if seconds < 10:  # noqa: PLR2004 - then tenths matter
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def losses(event: Record) -> str:
    """Return loss and accuracy on the validation images of an epoch or strength as text."""
    values = ((name, event[name]) for name in ("val_loss", "val_accuracy"))
    return " ".join(f"{name} {value:.3f}" for name, value in values if value is not None)
