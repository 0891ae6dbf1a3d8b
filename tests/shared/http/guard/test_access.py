"""Once there are keys, nothing but health and the page's own files is had without one."""

import hmac
import time

import pytest

from shared.http.guard.access import SESSION_COOKIE
from shared.http.guard.keys import SESSION_SECONDS, ApiKeys

FIRST, SECOND = "first-key-0123456789", "second-key-0123456789"


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


def session_of(call, key=FIRST):
    """Sign in and return the cookie's value."""
    answer = call("POST", "/v1/session", json={"key": key})
    assert answer.status_code == 204
    return answer.cookies[SESSION_COOKIE]


@pytest.mark.parametrize("path", ["/v1/things", "/openapi.json", "/docs", "/metrics", "/nowhere"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": FIRST},
        {"Authorization": f"Basic {FIRST}"},
        bearer("wrong-key-0123456789"),
        bearer(FIRST[:-1]),
        bearer(FIRST + "x"),
        bearer(""),
        {"X-API-Key": ""},
        {"X-API-Key": f"{FIRST},{SECOND}"},
        {"Cookie": f"{SESSION_COOKIE}={FIRST}"},
        {**bearer("wrong-key-0123456789"), "X-API-Key": FIRST},
    ],
)
def test_nobody_gets_in_without_a_key(call, path, headers):
    answer = call("GET", path, headers=headers)

    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.json()["title"] == "Unauthorized"
    assert FIRST not in answer.text


@pytest.mark.parametrize("key", [FIRST, SECOND])
def test_any_key_opens_it(call, key):
    for headers in (bearer(key), {"Authorization": f"bearer {key}"}, {"X-API-Key": key}):
        assert call("GET", "/v1/things", headers=headers).json() == "things"


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/web/base.css"])
def test_health_and_the_files_of_the_page_need_no_key(call, path):
    assert call("GET", path).status_code == 200


@pytest.mark.parametrize("path", ["/web/../v1/things", "/pages/..%2fv1/things", "//v1/things"])
def test_an_open_path_leads_nowhere_else(call, path):
    assert call("GET", path).status_code in {401, 404}


def test_without_keys_everybody_may(open_call):
    assert open_call("GET", "/v1/things").status_code == 200
    assert open_call("POST", "/v1/session", json={"key": "x"}).status_code == 204


def test_the_body_of_a_stranger_is_not_read(call):
    def never():
        raise AssertionError("the body was read")
        yield b""

    async def body():
        for chunk in never():
            yield chunk

    assert call("POST", "/v1/stream", content=body()).status_code == 401


def test_a_key_is_compared_with_each_in_constant_time(monkeypatch):
    compared = []
    compare = hmac.compare_digest

    def spy(a, b):
        compared.append(len(a) == len(b))
        return compare(a, b)

    monkeypatch.setattr(hmac, "compare_digest", spy)
    keys = ApiKeys("a" * 16, "b" * 40)

    assert keys.accept("a" * 16)
    assert not keys.accept("c")
    assert compared == [True] * 4


class TestSession:
    def test_a_session_opens_what_its_key_does(self, call):
        cookie = {"Cookie": f"{SESSION_COOKIE}={session_of(call)}"}

        assert call("GET", "/v1/things", headers=cookie).status_code == 200

    def test_no_script_and_no_other_site_gets_at_it(self, call):
        answer = call("POST", "/v1/session", json={"key": FIRST})
        attributes = answer.headers["set-cookie"].lower()

        assert "httponly" in attributes
        assert "samesite=strict" in attributes
        assert "path=/;" in attributes
        assert "secure" not in attributes
        assert FIRST not in attributes
        over_https = call("POST", "https://here/v1/session", json={"key": FIRST})
        assert "secure" in over_https.headers["set-cookie"].lower()

    @pytest.mark.parametrize("key", ["", "wrong-key-0123456789", "ключ", FIRST + " "])
    def test_a_wrong_key_gets_none(self, call, key):
        answer = call("POST", "/v1/session", json={"key": key})

        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers

    def test_it_ends(self, call, monkeypatch):
        cookie = {"Cookie": f"{SESSION_COOKIE}={session_of(call)}"}
        later = time.time() + SESSION_SECONDS + 1
        monkeypatch.setattr(time, "time", lambda: later)

        assert call("GET", "/v1/things", headers=cookie).status_code == 401

    def test_it_ends_with_its_key(self, call, call_with):
        session = session_of(call, SECOND)
        other = call_with(api_keys=FIRST)

        answer = other("GET", "/v1/things", headers={"Cookie": f"{SESSION_COOKIE}={session}"})

        assert answer.status_code == 401

    def test_it_holds_over_a_restart(self, call, call_with):
        again = call_with(api_keys=f"{SECOND},{FIRST}")
        cookie = {"Cookie": f"{SESSION_COOKIE}={session_of(call)}"}

        assert again("GET", "/v1/things", headers=cookie).status_code == 200

    @pytest.mark.parametrize(
        "change",
        [
            lambda session: "9" + session,
            lambda session: session[:-1] + ("0" if session[-1] != "0" else "1"),
            lambda session: session.partition(".")[0],
            lambda session: "." + session.partition(".")[2],
            lambda _: ".",
            lambda _: "\u00e4.\u00f6",
        ],
    )
    def test_it_cannot_be_made_or_changed(self, change):
        keys = ApiKeys(FIRST, SECOND)

        assert keys.accept_session(keys.new_session(FIRST))
        assert not keys.accept_session(change(keys.new_session(FIRST)))

    def test_it_can_be_given_back(self, call):
        answer = call("DELETE", "/v1/session")

        assert answer.status_code == 204
        assert f'{SESSION_COOKIE}="";' in answer.headers["set-cookie"]

    def test_a_page_can_tell_whether_there_is_one(self, call, open_call):
        cookie = {"Cookie": f"{SESSION_COOKIE}={session_of(call)}"}
        forged = {"Cookie": f"{SESSION_COOKIE}=9{session_of(call)}"}

        assert call("GET", "/v1/session", headers=cookie).json() == {"signed_in": True}
        for service, headers in ((call, {}), (call, forged), (open_call, cookie)):
            answer = service("GET", "/v1/session", headers=headers)
            assert answer.json() == {"signed_in": False}
