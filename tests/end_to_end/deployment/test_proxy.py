"""The examples of docs/operations/proxy.md, by a real nginx and a real Caddy, before services."""

import os
import re
import shutil
import ssl
import subprocess
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from launcher.services import free_port
from tests.end_to_end.stack import running_stack
from tests.support.processes.predictor_process import wait_for

pytestmark = [pytest.mark.integration, pytest.mark.slow]

PAGE = Path(__file__).parents[3] / "docs/operations/proxy.md"
KEY = "the-key-of-this-test"
#: nginx refuses more than a megabyte unless it is told otherwise.
ARCHIVE = os.urandom(3 << 20)


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """There is no worker: what is submitted stays queued."""
    with running_stack(tmp_path_factory.mktemp("proxy"), workers=0, api_keys=KEY) as running:
        yield running


@pytest.fixture(scope="module", params=["nginx", "caddy"])
def proxied(request, stack, tmp_path_factory):
    """Clients of trainer and predictor, with nothing but the proxy between."""
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    directory, port = tmp_path_factory.mktemp(request.param), free_port()
    start = {"nginx": nginx, "caddy": caddy}[request.param]
    with (
        start(directory, port, example(request.param, stack)),
        client("trainer.example", port) as trainer,
        client("predictor.example", port) as predictor,
    ):
        wait_for(lambda: answers(trainer), f"{request.param} to answer")
        yield trainer, predictor


def example(proxy, stack):
    """Return the page's configuration, with the ports of these services."""
    language = {"nginx": "nginx", "caddy": "caddyfile"}[proxy]
    [block] = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    for port, service in ((8000, stack.trainer), (8001, stack.predictor)):
        assert f"127.0.0.1:{port}" in block
        block = block.replace(f"127.0.0.1:{port}", service.base_url.netloc.decode())
    return block


@contextmanager
def nginx(directory, port, block):
    key, certificate = directory / "key.pem", directory / "certificate.pem"
    made = ["-nodes", "-subj", "/CN=headstart", "-keyout", key, "-out", certificate]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", *made], check=True, capture_output=True
    )
    block = block.replace("listen 443", f"listen {port}")
    block = block.replace("/etc/ssl/headstart/fullchain.pem", str(certificate))
    block = block.replace("/etc/ssl/headstart/privkey.pem", str(key))
    places = "".join(
        f"{kind}_temp_path {directory}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    file = directory / "nginx.conf"
    file.write_text(
        f"daemon off; pid {directory}/pid; error_log {directory}/error.log;\n"
        f"events {{}}\nhttp {{ access_log off;\n{places}{block}}}\n"
    )
    with running(["nginx", "-p", directory, "-e", directory / "error.log", "-c", file], directory):
        yield


@contextmanager
def caddy(directory, port, block):
    file = directory / "Caddyfile"
    own = "admin off\nlocal_certs\nskip_install_trust\nauto_https disable_redirects"
    file.write_text(f"{{\n{own}\nhttps_port {port}\n}}\n{block}")
    command = ["caddy", "run", "--adapter", "caddyfile", "--config", file]
    with running(command, directory):
        yield


@contextmanager
def running(command, directory):
    places = {name: str(directory) for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")}
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, env=os.environ | places, stdout=log, stderr=log)
    try:
        yield
        assert process.poll() is None, (directory / "log").read_text()
    finally:
        process.terminate()
        process.wait(timeout=30)


@contextmanager
def client(name, port):
    """Yield a client for which the name leads to this machine."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE

    def name_it(request):
        request.extensions["sni_hostname"] = name

    with httpx.Client(
        base_url=f"https://127.0.0.1:{port}",
        verify=context,
        headers={"Host": f"{name}:{port}"},
        event_hooks={"request": [name_it]},
        timeout=30,
    ) as http:
        yield http


def answers(http):
    try:
        return http.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


def submit(http, **options):
    files = {"archive": ("pictures.zip", ARCHIVE)}
    form = {"model": "proxied", "architecture": "efficientnet_lite0"}
    return http.post("/v1/trainings", data=form, files=files, **options)


def test_a_browser_signs_in_by_a_secure_cookie(proxied):
    for http in proxied:
        origin = f"https://{http.headers['Host']}"
        answer = http.post("/v1/session", json={"key": KEY}, headers={"Origin": origin})

        assert answer.status_code == 204, answer.text
        assert "; Secure" in answer.headers["set-cookie"]
        assert http.get("/v1/models").status_code == 200
        http.cookies.clear()
        assert http.get("/v1/models").status_code == 401


def test_a_large_archive_goes_through_and_events_come_at_once(proxied):
    trainer, _ = proxied
    key = {"X-API-Key": KEY}
    submitted = submit(trainer, headers=key)

    assert submitted.status_code == 202, submitted.text
    events = f"/v1/trainings/{submitted.json()['id']}/events"
    with trainer.stream("GET", events, headers=key) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        # If the proxy buffered it, the client would wait for nothing.
        line = next(line for line in stream.iter_lines() if line.startswith("data:"))
    assert '"queued"' in line


def test_a_strangers_uploads_are_refused_in_words(proxied):
    """Also if the refusal comes while the proxy still sends."""
    trainer, _ = proxied
    for _ in range(20):
        # A connection whose upload was not read is closed: the next request needs another.
        refused = submit(trainer, headers={"Connection": "close"})

        assert refused.status_code == 401
        assert refused.headers["content-type"] == "application/problem+json"
