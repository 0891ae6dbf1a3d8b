"""Ctrl-C while a command is still importing its modules."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INTERRUPTED = 130

#: Runs a module as `python -m` does; the import of the module named first interrupts it.
RUN = """
import os, runpy, signal, sys

during, module, handler = sys.argv[1:]
sys.argv[1:] = ["--help"]

class Interrupt:
    def find_spec(self, name, *_):
        if name == during:
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, getattr(signal, handler))
sys.meta_path.insert(0, Interrupt())
runpy.run_module(module, run_name="__main__")
"""


def run(during, module, handler):
    return subprocess.run(
        [sys.executable, "-c", RUN, during, module, handler],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.process
@pytest.mark.parametrize(
    ("module", "during"),
    [
        ("launcher", "launcher.command"),
        ("launcher", "pydantic"),
        ("launcher", "redis"),
        ("client", "client.app"),
        ("client", "typer"),
        ("client", "httpx"),
    ],
)
def test_an_interrupted_import_ends_the_command_quietly(module, during):
    done = run(during, module, "default_int_handler")

    assert (done.returncode, done.stdout, done.stderr) == (INTERRUPTED, "", "")


@pytest.mark.process
@pytest.mark.parametrize("module", ["launcher", "client"])
def test_an_interrupt_that_is_ignored_stays_so(module):
    done = run("httpx", module, signal.SIG_IGN.name)

    assert done.returncode == 0
    assert "usage" in done.stdout.lower()
