"""The command follows a training across a restart of the trainer."""

import json
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from rich.console import Console

from client import patience, reading
from client.errors import ClientError, Unavailable, Unreachable
from client.service import trainer_at
from client.training import training
from client.training.follow import events_of
from tests.support.processes.http_server import serving

ENDING = json.dumps({"title": "Unavailable", "detail": "This process is ending."}).encode()
RESULT = b'id: 1\nevent: result\ndata: {"id": 1, "type": "result"}\n\n'


@pytest.fixture
def trainer(monkeypatch):
    """A trainer that answers with what the test puts into `answers`, then with the last of it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            answers = self.server.answers
            status, kind, body = answers.pop(0) if len(answers) > 1 else answers[0]
            if status is None:  # the connection ends without an answer
                return
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_PUT(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, *_):
            pass

    monkeypatch.setattr(patience, "RETRY_SECONDS", 0)
    with serving(HTTPServer(("127.0.0.1", 0), Handler)) as server:
        yield server


def events(server):
    with trainer_at(f"http://127.0.0.1:{server.server_port}") as service:
        return list(events_of(service, "1"))


def test_a_trainer_that_ends_is_asked_again(trainer):
    trainer.answers = [
        (503, "application/problem+json", ENDING),
        (200, "text/event-stream", b""),
        (200, "text/event-stream", RESULT),
    ]
    assert events(trainer) == [{"id": 1, "type": "result"}]


@pytest.mark.parametrize("status", [502, 504])
def test_a_proxy_that_does_not_reach_the_trainer_is_asked_again(trainer, status):
    trainer.answers = [
        (status, "text/html", b"<h1>Bad Gateway</h1>"),
        (200, "text/event-stream", RESULT),
    ]
    assert events(trainer) == [{"id": 1, "type": "result"}]


def test_a_proxy_that_never_reaches_it_is_told(trainer, monkeypatch):
    monkeypatch.setattr(patience, "PATIENCE_SECONDS", 0.1)
    trainer.answers = [(502, "text/html", b"<h1>Bad Gateway</h1>")]
    with pytest.raises(Unavailable, match=r"can't reach it \(status 502\)"):
        events(trainer)


def test_the_record_of_a_training_that_has_ended_is_waited_for(trainer):
    record = {"id": "1", "state": "succeeded"}
    trainer.answers = [
        (200, "text/event-stream", RESULT),
        (503, "application/problem+json", ENDING),
        (502, "text/html", b""),
        (200, "application/json", json.dumps(record).encode()),
    ]
    with trainer_at(f"http://127.0.0.1:{trainer.server_port}") as service:
        assert training.follow(service, "1", Console(quiet=True)) == record


def test_a_trainer_that_is_not_reached_for_a_moment_is_waited_for(trainer):
    trainer.answers = [(None, "", b""), (200, "application/json", b'{"id": "1"}')]
    with trainer_at(f"http://127.0.0.1:{trainer.server_port}") as service:
        assert patience.get_patiently(service, "/v1/trainings/1") == {"id": "1"}


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    ("answer", "error"),
    [((503, "application/problem+json", ENDING), Unavailable), ((None, "", b""), Unreachable)],
)
def test_one_that_is_away_for_too_long_is_given_up(trainer, monkeypatch, answer, error):
    monkeypatch.setattr(patience, "PATIENCE_SECONDS", 0.1)
    trainer.answers = [answer]
    with (
        trainer_at(f"http://127.0.0.1:{trainer.server_port}") as service,
        pytest.raises(error),
    ):
        patience.get_patiently(service, "/v1/trainings/1")


def test_what_is_refused_is_not_asked_again(trainer):
    problem = json.dumps({"title": "Not found", "detail": "There is none."}).encode()
    trainer.answers = [
        (404, "application/problem+json", problem),
        (200, "application/json", b'{"id": "1"}'),
    ]
    with (
        trainer_at(f"http://127.0.0.1:{trainer.server_port}") as service,
        pytest.raises(ClientError, match="There is none"),
    ):
        patience.get_patiently(service, "/v1/trainings/1")


def test_a_dataset_that_is_read_anew_is_waited_for(trainer, monkeypatch):
    monkeypatch.setattr(reading, "LOOK_SECONDS", 0)
    record = {"id": "1", "state": "ready"}
    trainer.answers = [
        (200, "application/json", json.dumps({"id": "1", "state": "reading"}).encode()),
        (503, "application/problem+json", ENDING),
        (200, "application/json", json.dumps(record).encode()),
    ]
    with trainer_at(f"http://127.0.0.1:{trainer.server_port}") as service:
        assert reading.read_anew(service, "1", {}) == record


def test_a_trainer_that_is_unavailable_for_too_long_is_given_up(trainer, monkeypatch):
    monkeypatch.setattr(patience, "PATIENCE_SECONDS", 0.1)
    trainer.answers = [(503, "application/problem+json", ENDING)]
    with pytest.raises(Unavailable, match="This process is ending"):
        events(trainer)
