"""Every line, whoever logs it, is an event with the fields of the moment."""

import json
import subprocess
import sys

import pytest

OWN = """
import logging, warnings
from shared.logs import bind, configure_logging, get_logger
log = get_logger("own")
configure_logging("worker", {format!r}, {level!r})
bind(training_id="t1", model="pets")
log.info("entered", state="head")
log.debug("detail")
logging.getLogger("uvicorn.error").info("Started server process [%d]", 7)
logging.getLogger("tensorflow").warning("slow")
logging.getLogger("absl").warning("slow")
logging.getLogger("celery.worker").warning("late")
warnings.warn("old")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("failed", file="a\\nb\\x1b[31m\\u202e.png")
"""


def logged(log_format: str, level: str = "info") -> list[str]:
    script = OWN.format(format=log_format, level=level)
    command = [sys.executable, "-c", script]
    ran = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert ran.stdout == ""
    return ran.stderr.splitlines()


@pytest.mark.process
def test_json_is_one_object_a_line_with_everything_that_is_bound():
    lines = [json.loads(line) for line in logged("json")]

    assert [line["logger"] for line in lines] == [
        "own",
        "uvicorn.error",
        "tensorflow",
        "absl",
        "celery.worker",
        "py.warnings",
        "own",
    ]
    for line in lines:
        assert (line["service"], line["training_id"], line["model"]) == ("worker", "t1", "pets")
        assert line["timestamp"].endswith("Z")
    assert lines[0]["event"] == "entered"
    assert lines[0]["state"] == "head"
    assert lines[0]["level"] == "info"
    assert lines[1]["event"] == "Started server process [7]"
    assert lines[-1]["exception"].endswith("ZeroDivisionError: division by zero")
    assert lines[-1]["file"] == "a\nb\x1b[31m\u202e.png"


@pytest.mark.process
def test_people_get_lines_that_no_value_can_break_or_colour():
    lines = logged("console")

    assert "entered" in lines[0]
    assert "model=pets" in lines[0]
    assert "state=head" in lines[0]
    failed = next(line for line in lines if "failed" in line)
    assert r'file="a\nb\u001b[31m\u202e.png"' in failed
    assert "\x1b" not in "".join(lines)
    assert "ZeroDivisionError: division by zero" in lines


@pytest.mark.process
@pytest.mark.parametrize(("level", "lines"), [("debug", 8), ("info", 7), ("error", 1)])
def test_the_level_holds_for_every_logger(level, lines):
    assert len(logged("json", level)) == lines
