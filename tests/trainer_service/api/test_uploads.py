"""A real server receives uploads; real sockets send good and bad ones."""

import asyncio
import socket
import threading
import time

import httpx
import psutil
import pytest
import uvicorn
from fastapi import FastAPI, Request

from shared.http.problems import add_problem_handlers
from tests.support.processes.predictor_process import wait_for
from trainer_service.api import uploads
from trainer_service.api.uploads import MAX_FIELD_BYTES, MAX_FIELDS, MAX_FILES, receive_upload

MAX_BYTES = 200_000_000


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server that describes what it receives; yields its URL and its directory."""
    directory = tmp_path_factory.mktemp("staging")
    app = FastAPI()
    add_problem_handlers(app)

    @app.post("/{limit}")
    async def receive(request: Request, limit: int):
        upload = await receive_upload(request, directory, limit)
        return {
            "fields": upload.fields,
            "files": [[f.field, f.name, f.path.name, f.bytes] for f in upload.files],
        }

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}", directory
    server.should_exit = True
    thread.join()


@pytest.fixture
def url(server):
    return f"{server[0]}/{MAX_BYTES}"


@pytest.fixture
def directory(server):
    for path in server[1].iterdir():
        path.unlink()
    return server[1]


def _body(*parts: tuple[str, bytes], end: bool = True) -> bytes:
    body = b"".join(
        b"--limit\r\nContent-Disposition: form-data; "
        + head.encode()
        + b"\r\n\r\n"
        + data
        + b"\r\n"
        for head, data in parts
    )
    return body + b"--limit--\r\n" if end else body


def _post(url, body):
    headers = {"Content-Type": "multipart/form-data; boundary=limit"}
    return httpx.post(url, content=body, headers=headers)


def test_fields_and_files_arrive(url, directory):
    answer = httpx.post(
        url, data={"model": "pets", "note": "späße"}, files={"archive": ("a/b.zip", b"PK\r\n--\0")}
    ).json()

    assert answer["fields"] == {"model": "pets", "note": "späße"}
    [[field, name, stored, size]] = answer["files"]
    assert (field, name, size) == ("archive", "b.zip", 7)
    assert (directory / stored).read_bytes() == b"PK\r\n--\0"


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "..", "C:\\x\\passwd", "a\0b"])
def test_files_get_names_of_our_own(url, directory, name):
    answer = _post(url, _body((f'name="f"; filename="{name}"', b"data"))).json()

    [[_, _, stored, _]] = answer["files"]
    assert [path.name for path in directory.iterdir()] == [stored]
    assert stored.startswith("upload-")
    assert "/" not in answer["files"][0][1]


def test_a_body_without_content_length_arrives(url, directory):
    body = _body(('name="model"', b"pets"), ('name="f"; filename="x"', bytes(range(256)) * 5000))

    answer = _post(url, iter([body[i : i + 777] for i in range(0, len(body), 777)])).json()

    assert answer["fields"] == {"model": "pets"}
    assert (directory / answer["files"][0][2]).read_bytes() == bytes(range(256)) * 5000


@pytest.mark.slow
def test_every_cut_of_the_chunks_gives_the_same_file(url, directory):
    """The boundary may fall on any edge between two pieces that the server reads."""
    data = b"\r\n--limi\r\n--\r--limit" * 3
    body = _body(('name="f"; filename="x"', data))
    for size in range(1, 40):
        answer = _post(url, iter([body[i : i + size] for i in range(0, len(body), size)])).json()

        assert (directory / answer["files"][0][2]).read_bytes() == data


def test_a_body_that_is_announced_too_large_is_refused(server, directory):
    answer = _post(f"{server[0]}/100", _body(('name="f"; filename="x"', b"x" * 200)))

    assert answer.status_code == 413
    assert "HEADSTART_MAX_UPLOAD_BYTES" in answer.json()["detail"]
    assert list(directory.iterdir()) == []


def test_a_chunked_body_that_grows_too_large_is_refused(server, directory):
    body = _body(('name="f"; filename="x"', b"x" * 3_000_000))

    answer = _post(f"{server[0]}/2500000", iter([body[:2_400_000], body[2_400_000:]]))

    assert answer.status_code == 413
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "ends before its closing boundary"),
        (b"nonsense", "The body is not multipart/form-data"),
        (_body(('name="f"; filename="x"', b"data"), end=False), "ends before its closing boundary"),
        (_body(('name="f"; filename="x"', b"data"))[:-6], "ends before its closing boundary"),
        (_body(('filename="x"', b"data")), "Content-Disposition with a name"),
        (_body(('name="a"', b"\xff\xfe")), "a: expected UTF-8"),
        (_body(('name="a"', b"1"), ('name="a"', b"2")), "a: expected once"),
        (_body(('name="a"', b"x" * (MAX_FIELD_BYTES + 1))), f"at most {MAX_FIELD_BYTES} bytes"),
        (_body(*[(f'name="{i}"', b"") for i in range(MAX_FIELDS + 1)]), f"{MAX_FIELDS} fields"),
        (
            _body(*[('name="f"; filename="x"', b"data")] * (MAX_FILES + 1)),
            f"at most {MAX_FILES} files",
        ),
    ],
)
def test_a_bad_body_is_refused_and_leaves_nothing(url, directory, body, reason):
    answer = _post(url, body)

    assert answer.status_code == 422
    assert reason in answer.json()["detail"]
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize("boundary", ["", "; boundary=", f"; boundary={'x' * 300}"])
def test_a_bad_boundary_is_refused(url, boundary):
    headers = {"Content-Type": f"multipart/form-data{boundary}"}

    assert httpx.post(url, content=b"", headers=headers).status_code == 422


def test_another_type_of_body_is_refused(url):
    answer = httpx.post(url, json={"path": "pets"})

    assert answer.status_code == 415
    assert "Received: 'application/json'" in answer.json()["detail"]


def test_a_client_that_goes_away_leaves_nothing(server, directory):
    host, port = server[0].removeprefix("http://").split(":")
    body = _body(('name="f"; filename="x"', b"x" * 5_000_000))
    head = (
        f"POST /{MAX_BYTES} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
        "Content-Type: multipart/form-data; boundary=limit\r\n\r\n"
    )
    with socket.create_connection((host, int(port))) as client:
        client.sendall(head.encode() + body[:4_000_000])
        wait_for(lambda: list(directory.iterdir()), "the file")

    wait_for(lambda: not list(directory.iterdir()), "the file to be removed")


def test_memory_stays_flat(url, directory):
    """150 MB arrive in a process that grows by far less."""
    process = psutil.Process()
    piece = b"x" * 1_000_000

    async def send():
        async def body():
            yield b'--limit\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\n'
            for _ in range(150):
                sizes.append(process.memory_info().rss)
                yield piece
            yield b"\r\n--limit--\r\n"

        headers = {"Content-Type": "multipart/form-data; boundary=limit"}
        async with httpx.AsyncClient(timeout=60) as client:
            return await client.post(url, content=body(), headers=headers)

    sizes: list[int] = []
    answer = asyncio.run(send()).json()

    assert answer["files"][0][3] == 150_000_000
    assert max(sizes) - sizes[0] < 50_000_000


def test_a_folder_is_written_to_the_disk_beside_the_event_loop(url, monkeypatch):
    threads = []

    def finish(form):
        threads.append(threading.current_thread())
        return finish_form(form)

    finish_form = uploads._Form.finish
    monkeypatch.setattr(uploads._Form, "finish", finish)
    assert _post(url, _body(('name="f"; filename="x"', b"data"))).status_code == 200
    assert [thread.name.startswith("AnyIO worker") for thread in threads] == [True]
