"""The command creates things once although its connection breaks; with a real trainer."""

import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import BaseRequestHandler, TCPServer

import pytest
from typer.testing import CliRunner

from client.app import app
from client.training import once
from client.training.once import TRIES
from tests.support.inputs.tiny_model import picture
from tests.support.processes.breaking_proxy import BreakingProxy, running_trainer
from tests.support.processes.http_server import serving
from tests.support.trainer.builders import emptied_stores, trainer_settings
from trainer_service.store.idempotency import KeyUnreadable

ARCHITECTURE = "efficientnet_lite0"
WAIT = 0.05


@pytest.fixture(autouse=True)
def _little_patience(monkeypatch):
    monkeypatch.setattr(once, "FIRST_WAIT_SECONDS", WAIT)


@pytest.fixture(scope="module")
def settings(tmp_path_factory, redis_url):
    return trainer_settings(tmp_path_factory.mktemp("trainer"), redis_url)


@pytest.fixture(scope="module")
def trainer_port(settings):
    with running_trainer(settings) as port:
        yield port


@pytest.fixture
def proxy(trainer_port):
    running = BreakingProxy(trainer_port)
    yield running
    running.close()


@pytest.fixture
def stores(settings):
    """What the trainer has; empty at the beginning."""
    return emptied_stores(settings)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "pets" / "cat").mkdir(parents=True)
    for number in range(3):
        (tmp_path / "pets" / "cat" / f"{number}.png").write_bytes(picture("red"))
    # So large that its end is sent after its beginning was passed on.
    (tmp_path / "pets" / "notes.txt").write_bytes(b"0" * 1_000_000)
    return tmp_path / "pets"


def train(url, *arguments):
    options = ["--architecture", ARCHITECTURE, "--detach", "--json", "--trainer", url]
    return CliRunner().invoke(app, ["train", *map(str, arguments), *options])


def only(records):
    [record] = records.list()
    return record


@pytest.mark.integration
@pytest.mark.parametrize("lost", ["answers", "uploads"])
@pytest.mark.parametrize("kind", ["folder", "archive", "dataset"])
def test_one_training_is_made_on_one_dataset(proxy, stores, folder, settings, kind, lost):
    setattr(proxy, lost, 2)
    done = train(proxy.url, *what(kind, folder))

    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["id"] == only(stores.trainings).id
    assert only(stores.trainings).dataset.id == only(stores.datasets).id
    # The second may be told that the first is still being answered.
    first, *others = done.stderr.splitlines()
    assert (
        first == f"The connection to the trainer broke. It is sent again in {WAIT} s (try 2 of 6)."
    )
    assert others


def what(kind, folder):
    if kind == "dataset":
        return ["--dataset", "pets"]
    if kind == "archive":
        return [folder / "notes.txt"]  # what is in it is nobody's business before it is read
    return [folder]


@pytest.mark.integration
def test_two_commands_make_two(proxy, stores, folder):
    assert train(proxy.url, folder).exit_code == train(proxy.url, folder).exit_code == 0
    assert len(stores.trainings.list()) == 2


@pytest.mark.integration
def test_it_gives_up_after_the_last_try(proxy, stores, folder, monkeypatch):
    monkeypatch.setattr(once, "FIRST_WAIT_SECONDS", 0.001)
    proxy.uploads = TRIES
    done = train(proxy.url, folder)

    assert (done.exit_code, proxy.posts) == (3, TRIES)
    assert "can't be reached" in json.loads(done.stdout)["error"]["detail"]
    assert stores.datasets.list() == []


def test_what_is_no_http_is_not_asked_again():
    class Stranger(BaseRequestHandler):
        def handle(self):
            self.request.recv(1000)
            self.request.sendall(b"+PONG\r\n\r\n")

    with serving(TCPServer(("127.0.0.1", 0), Stranger)) as server:
        done = train(f"http://127.0.0.1:{server.server_address[1]}", "--dataset", "pets")

    assert done.exit_code == 1
    assert "is not Headstart's trainer" in done.stdout
    assert done.stderr == ""


class Answers(BaseHTTPRequestHandler):
    """Answers with what the test puts into `server.answers`, and keeps the keys that came."""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.keys.append(self.headers["Idempotency-Key"])
        status, headers, body = self.server.answers.pop(0)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def answering():
    with serving(HTTPServer(("127.0.0.1", 0), Answers)) as server:
        server.keys = []
        yield server


RECORD = (202, {}, {"id": "1", "state": "queued"})
BUSY = {"detail": "Redis can't be reached."}
#: The trainer's own message, a part of which the command looks for.
PENDING = {"detail": "Another request with this Idempotency-Key is being answered now."}


def submit(server, *answers):
    server.answers = [*answers]
    return train(f"http://127.0.0.1:{server.server_port}", "--dataset", "pets")


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        ((503, {"Retry-After": "1"}, BUSY), 1),
        ((503, {}, BUSY), WAIT),
        ((503, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, BUSY), WAIT),
        ((502, {}, {}), WAIT),
        ((409, {}, PENDING), WAIT),
    ],
)
def test_a_temporary_refusal_is_waited_for_as_long_as_it_says(
    answering, monkeypatch, answer, seconds
):
    waits = []
    monkeypatch.setattr("time.sleep", waits.append)
    done = submit(answering, answer, RECORD)

    assert done.exit_code == 0, done.output
    assert waits == [seconds]
    assert len(answering.keys) == 2
    assert len(set(answering.keys)) == 1
    assert 16 <= len(answering.keys[0]) <= 255


@pytest.mark.parametrize(
    "answer",
    [
        (503, {"Retry-After": "3600"}, BUSY),
        (409, {}, {"detail": "Dataset '1' is being removed."}),
        (409, {}, {"detail": str(KeyUnreadable())}),
        (422, {}, {"detail": "no"}),
        (500, {}, {"detail": "Something went wrong."}),
    ],
)
def test_a_permanent_refusal_is_shown_at_once(answering, answer):
    done = submit(answering, answer)

    assert done.exit_code == 1
    assert json.loads(done.stdout)["error"] == answer[2]
    assert len(answering.keys) == 1


def test_one_that_stays_busy_is_given_up(answering, monkeypatch):
    monkeypatch.setattr(once, "FIRST_WAIT_SECONDS", 0.001)
    done = submit(answering, *[(503, {}, BUSY)] * TRIES)

    assert done.exit_code == 1
    assert json.loads(done.stdout)["error"] == BUSY
    assert len(set(answering.keys)) == 1
