"""Ctrl-C in every phase, and services that keep a command waiting."""

import os
import signal
import socket
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from typer.testing import CliRunner

from client.app import app
from client.errors import Unreachable
from client.service import predictor_at
from client.training.training import served

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


class Interrupts(BaseHTTPRequestHandler):
    """Interrupts this process, in place of an answer."""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        os.kill(os.getpid(), signal.SIGINT)

    def log_message(self, *_):
        pass


def test_an_interrupt_before_the_answer_tells_how_to_look_for_the_training():
    with HTTPServer(("127.0.0.1", 0), Interrupts) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        done = CliRunner().invoke(app, ["train", "--dataset", "pets", "--trainer", url])
        thread.join()

    assert done.exit_code == INTERRUPTED
    assert done.stderr == (
        f"Interrupted before the trainer answered. `headstart trainings --trainer {url}` "
        "shows whether it has made a training.\n"
    )


def test_a_predictor_that_never_answers_is_waited_for_no_longer_than_others():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        begun = time.monotonic()
        with predictor_at(url) as predictor, pytest.raises(Unreachable, match="timed out"):
            served(predictor, {"model": "pets", "version": 1}, 0.5)

    assert time.monotonic() - begun < 10
