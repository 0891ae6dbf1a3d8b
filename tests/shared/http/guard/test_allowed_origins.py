"""The pages of listed origins may ask and post, with a key and not with a session."""

import pytest
from pydantic import ValidationError

from shared.http.guard.access import SESSION_COOKIE
from tests.shared.http.guard.conftest import KEYS

SIBLING = "http://here:8001"
PAGE = {"Origin": SIBLING, "Sec-Fetch-Site": "same-site"}
PREFLIGHT = PAGE | {"Access-Control-Request-Method": "POST"}


@pytest.fixture
def sibling(call_with):
    """Call a service that one other origin may use."""
    return call_with(allowed_origins=SIBLING)


def permissions(answer):
    return {name for name in answer.headers if name.startswith("access-control")}


def test_a_listed_page_asks_and_posts(sibling):
    for method, path in (("GET", "/v1/things"), ("POST", "/v1/stream")):
        answer = sibling(method, path, headers=PAGE)
        assert answer.status_code == 200
        assert answer.headers["Access-Control-Allow-Origin"] == SIBLING
        assert "Origin" in answer.headers["Vary"]


def test_it_reads_refusals_and_errors_too(sibling):
    for method, path, status in (("GET", "/nowhere", 404), ("GET", "/v1/broken", 500)):
        answer = sibling(method, path, headers=PAGE)
        assert answer.status_code == status
        assert answer.headers["Access-Control-Allow-Origin"] == SIBLING


def test_it_reads_that_the_service_ends(sibling):
    sibling.app.state.gate.shut()

    answer = sibling("POST", "/v1/stream", headers=PAGE)

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert answer.headers["Access-Control-Allow-Origin"] == SIBLING


def test_a_browser_is_told_what_it_may_send(call_with):
    answer = call_with(allowed_origins=SIBLING, api_keys=KEYS[0])(
        "OPTIONS", "/v1/stream", headers=PREFLIGHT
    )

    assert answer.status_code == 204
    assert answer.headers["Access-Control-Allow-Origin"] == SIBLING
    assert answer.headers["Access-Control-Allow-Methods"] == "GET, HEAD, POST"
    assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Credentials" not in answer.headers


def test_it_removes_and_replaces_nothing(sibling):
    for method in ("PUT", "DELETE", "PATCH"):
        answer = sibling(method, "/v1/things", headers=PAGE)
        assert answer.status_code == 403
        assert "HEADSTART_ALLOWED_ORIGINS" in answer.json()["detail"]
        assert permissions(answer) == set()


def test_it_posts_images_and_decides_nothing(sibling):
    """Which version is served, and what a model is called, is changed by posts as well."""
    answer = sibling("POST", "/v1/things", headers=PAGE)

    assert answer.status_code == 403
    assert "only to ask and to post images" in answer.json()["detail"]
    own = {"Origin": "http://here", "Sec-Fetch-Site": "same-origin"}
    assert sibling("POST", "/v1/things", headers=own).status_code == 405


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "https://here:8001",
        "http://here:8002",
        "http://here:8001.evil.example",
        "null",
    ],
)
def test_no_other_page_may(sibling, origin):
    other = {"Origin": origin, "Sec-Fetch-Site": "cross-site"}

    assert sibling("POST", "/v1/stream", headers=other).status_code == 403
    for method in ("GET", "OPTIONS"):
        answer = sibling(method, "/v1/things", headers=PREFLIGHT | other)
        assert permissions(answer) == set()
        assert answer.headers["Vary"] == "Origin"


def test_a_session_does_not_count_for_it_and_a_key_does(call_with):
    call = call_with(allowed_origins=SIBLING, api_keys=KEYS[0])
    cookie = call("POST", "/v1/session", json={"key": KEYS[0]}).cookies[SESSION_COOKIE]
    session = {"Cookie": f"{SESSION_COOKIE}={cookie}"}
    assert call("GET", "/v1/things", headers=session).status_code == 200

    refused = call("GET", "/v1/things", headers=session | PAGE)
    assert refused.status_code == 401
    assert refused.headers["Access-Control-Allow-Origin"] == SIBLING
    key = {"Authorization": f"Bearer {KEYS[0]}"}
    assert call("POST", "/v1/stream", headers=key | PAGE).status_code == 200


def test_it_plants_no_session(call_with):
    """Whoever uses the service's own page then would do so under the key of somebody else."""
    call = call_with(allowed_origins=SIBLING, api_keys=KEYS[0])

    answer = call("POST", "/v1/session", json={"key": KEYS[0]}, headers=PAGE)

    assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)
    assert "only to ask and to post images" in answer.json()["detail"]
    own = {"Origin": "http://here", "Sec-Fetch-Site": "same-origin"}
    assert call("POST", "/v1/session", json={"key": KEYS[0]}, headers=own).cookies


def test_the_hosts_of_the_service_stay_the_same(sibling):
    answer = sibling("GET", "/v1/things", headers=PAGE | {"Host": "evil.example"})
    assert answer.status_code == 421
    assert answer.headers["Access-Control-Allow-Origin"] == SIBLING
    stranger = {"Origin": "http://evil.example", "Host": "evil.example"}
    assert permissions(sibling("GET", "/v1/things", headers=stranger)) == set()


def test_an_origin_is_read_as_browsers_write_it(call_with):
    call = call_with(allowed_origins=" HTTPS://Other.Example:443/ ,http://[::1]:8001,")

    for origin in ("https://other.example", "http://[::1]:8001"):
        headers = {"Origin": origin, "Sec-Fetch-Site": "cross-site"}
        assert call("POST", "/v1/stream", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "origin",
    ["*", "other.example", "ftp://a", "http://a/b", "http://a b", "http://a:080", "http://a:65536"],
)
def test_anything_else_ends_the_start(call_with, origin):
    with pytest.raises(ValidationError, match="HEADSTART_ALLOWED_ORIGINS: expected") as caught:
        call_with(allowed_origins=f"http://here,{origin}")
    assert origin in str(caught.value)
