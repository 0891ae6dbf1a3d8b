"""Names that others could make lead here are refused where no key protects the service."""

import http.client
import json

import pytest
from pydantic import ValidationError

from shared.http.guard.hosts import MOST_REMEMBERED, OwnHosts
from shared.settings import SharedSettings
from tests.support.processes.predictor_process import running_predictor

OWN = [
    "127.0.0.1:8001",
    "192.168.1.7",
    "[::1]:8001",
    "[fe80::1%25eth0]",
    "localhost:8001",
    "LocalHost.",
    "studio.localhost",
    "predictor",
    "Predictor:8001",
    "nas.local:8001",
    "predictor.monitoring.svc.cluster.local",
    "vm.zone.internal",
    "nas.home.arpa",
]
FOREIGN = [
    "evil.example",
    "evil.example:8001",
    "127.0.0.1.evil.example:8001",
    "localhost.evil.example",
    "local.example.",
    "notlocal.evillocal",
    "home.arpa.evil.example",
    "[::1].evil.example",
    "[evil.example]",
    "127.0.0.1@evil.example",
    "evil.example:127.0.0.1",
    "a.local" + "x" * 300 + ".local",
    "käse.example",
]


def status(call, host, path="/v1/things"):
    return call("GET", path, headers={"Host": host.encode()}).status_code


@pytest.mark.parametrize("host", OWN)
def test_addresses_and_names_that_no_stranger_can_have_are_answered(open_call, host):
    assert status(open_call, host) == 200


@pytest.mark.parametrize("host", FOREIGN)
def test_other_names_are_refused(open_call, host):
    assert status(open_call, host) == 421


def test_what_it_listens_on_is_its_own_however_it_is_written():
    hosts = OwnHosts("Studio.Example.", ())
    assert hosts.accept(b"studio.example:8001")
    assert hosts.accept(b"STUDIO.example.")


@pytest.mark.parametrize("path", ["/", "/v1/things", "/web/base.css", "/docs", "/openapi.json"])
def test_pages_and_data_alike(open_call, path):
    answer = open_call("GET", path, headers={"Host": "evil.example:8001"})

    assert answer.status_code == 421
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["title"] == "Misdirected Request"
    assert "HEADSTART_ALLOWED_HOSTS" in answer.json()["detail"]
    assert "Received: 'evil.example:8001'" in answer.json()["detail"]


def test_health_is_told_under_any_name(open_call):
    assert status(open_call, "evil.example", "/healthz") == 200
    assert status(open_call, "evil.example", "/readyz") == 200


def test_names_that_are_listed_are_answered(call_with):
    call = call_with(allowed_hosts="Headstart.example, *.svc,")

    assert status(call, "headstart.example:443") == 200
    assert status(call, "predictor.monitoring.svc:8001") == 200
    assert status(call, "svc.example") == 421
    assert status(call, "sub.headstart.example") == 421
    assert status(call_with(allowed_hosts="*"), "evil.example") == 200


def test_the_name_that_it_listens_on_is_answered(call_with):
    assert status(call_with(host="headstart.example"), "headstart.example:8001") == 200


def test_with_keys_only_a_list_refuses(call_with):
    keys = {"api_keys": "first-key-0123456789"}

    assert status(call_with(**keys), "headstart.example") == 401
    assert status(call_with(**keys, allowed_hosts="headstart.example"), "evil.example") == 421


@pytest.mark.parametrize("listed", ["http://a.example", "a.example:80", "*example", "a.*.b", "ä.b"])
def test_what_is_no_name_ends_the_start(listed):
    with pytest.raises(ValidationError, match="HEADSTART_ALLOWED_HOSTS: expected") as caught:
        SharedSettings(allowed_hosts=f"a.example,{listed}")
    assert repr(listed) in str(caught.value)


def test_strangers_names_are_not_all_remembered():
    hosts = OwnHosts("127.0.0.1", ())
    for number in range(2 * MOST_REMEMBERED):
        assert not hosts.accept(f"{number}.example".encode())

    assert hosts.accept.cache_info().currsize == MOST_REMEMBERED


@pytest.mark.integration
def test_over_the_wire(tmp_path):
    settings = {"allowed_hosts": "predictor.test"}
    with running_predictor(tmp_path / "store", tmp_path / "log", **settings) as predictor:
        address = predictor.url.removeprefix("http://")
        assert _get(address, "predictor.test:8001")[0] == 200
        assert _get(address, None)[0] == 200  # HTTP/1.0: no browser
        code, problem = _get(address, "evil.example:8001")

    assert code == 421
    assert "'evil.example:8001'" in problem["detail"]


def _get(address, host):
    connection = http.client.HTTPConnection(address, timeout=30)
    if host is None:
        connection._http_vsn_str = "HTTP/1.0"
    connection.putrequest("GET", "/v1/models", skip_host=True)
    if host is not None:
        connection.putheader("Host", host)
    connection.endheaders()
    answer = connection.getresponse()
    body = json.loads(answer.read())
    connection.close()
    return answer.status, body
