"""What is shown of a training while it runs."""

import io
import re

import pytest
from rich.console import Console

from client.training.show import Lines, shown

AT = "2026-01-31T23:59:59Z"


def state(name, previous=None, seconds=None):
    return {"type": "state", "state": name, "previous": previous, "previous_seconds": seconds}


def progress(phase, done, total, per_second=None, eta=None):
    return {
        "type": "progress",
        "phase": phase,
        "done": done,
        "total": total,
        "per_second": per_second,
        "eta_seconds": eta,
    }


def epoch(number, val_loss=0.5):
    values = {"loss": 0.6, "accuracy": 0.7, "val_loss": val_loss, "val_accuracy": 0.8}
    return {"type": "epoch", "epoch": number, "epochs": 9, "learning_rate": 0.001, **values}


def strength(number, val_loss=0.5):
    values = {"loss": 0.6, "accuracy": 0.7, "val_loss": val_loss, "val_accuracy": 0.8}
    where = {"attempt": number, "attempts": 9, "taps": "late", "strength": 0.1}
    return {"type": "strength", **where, **values}


#: A head of layers has epochs, a regression has strengths.
HEADS = pytest.mark.parametrize("step", [epoch, strength])

BEFORE = [
    state("queued"),
    state("preparing", "queued", 0.1),
    progress("preparing", 5, 5, 50.0, 0.0),
    {"type": "warning", "detail": "1 file was rejected: 1 [bold]truncated."},
    state("bottleneck", "preparing", 2.0),
    progress("bottleneck", 0, 240),
    progress("bottleneck", 120, 240, 47.2, 3.0),
    progress("bottleneck", 240, 240, 48.0, 0.0),
    state("head", "bottleneck", 5.25),
    progress("head", 1, 9),
]
AFTER = [
    state("evaluating", "head", 1.5),
    state("publishing", "evaluating", 0.3),
    state("succeeded", "publishing", 4.0),
    {"type": "result", "state": "succeeded"},
]


@HEADS
def test_without_a_terminal_every_phase_is_a_plain_line_with_its_time(step):
    output = io.StringIO()
    with shown(Console(file=output, width=100)) as show:
        for event in [*BEFORE, *map(step, range(1, 8)), *AFTER]:
            show(event)
    lines = output.getvalue().splitlines()

    assert "bottleneck  240/240 took 5.2 s" in lines
    assert "head        7/9 val_loss 0.500 val_accuracy 0.800 took 1.5 s" in lines
    assert "warning: 1 file was rejected: 1 [bold]truncated." in lines
    assert lines[-1] == "succeeded"
    assert "\x1b" not in output.getvalue()


def test_in_a_long_phase_there_is_a_line_every_few_seconds(monkeypatch):
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    output = io.StringIO()
    show = Lines(Console(file=output, width=100))
    show(state("bottleneck", "preparing", 0.1))
    for done in range(0, 100, 5):
        now += 0.5
        show(progress("bottleneck", done, 100, 10.0, 9.0))

    lines = output.getvalue().splitlines()
    assert lines[2] == "bottleneck  15/100 10 images/s, ETA 9 s"
    assert len(lines) == 2 + 5


@HEADS
@pytest.mark.parametrize("value", [0.25, None])
def test_a_terminal_gets_a_bar_for_every_phase(step, value):
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=80, color_system=None)
    with shown(console) as show:
        for event in [*BEFORE, *map(step, range(1, 8)), step(8, val_loss=value), *AFTER]:
            show(event)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output.getvalue())
    last = [line for line in text.splitlines() if line.strip()][-6:]

    assert [line.split()[0] for line in last] == [
        "queued",
        "preparing",
        "bottleneck",
        "head",
        "evaluating",
        "publishing",
    ]
    assert "240/240 5.2 s" in last[2]
    assert ("val_loss 0.250" in last[3]) == (value is not None)
    assert "val_accuracy 0.800" in last[3]
    assert "Warning: 1 file was rejected: 1 [bold]truncated." in text
