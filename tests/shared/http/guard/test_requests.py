"""Other origins' pages, bodies without end, and the headers that every answer carries."""

import pytest

from shared.http.security_headers import SECURITY_HEADERS

NOTE = {"text": "hello"}


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "http://here:3000"},
        {"Origin": "null"},
        {"Origin": "http://[", "Host": "here"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://here"},
    ],
)
def test_another_origins_page_changes_nothing(open_call, headers):
    answer = open_call("PUT", "/v1/things", json=NOTE, headers=headers)

    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://here"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        # A proxy has changed the host's name.
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://public.example"},
    ],
)
def test_programs_and_the_own_page_may(open_call, headers):
    assert open_call("PUT", "/v1/things", json=NOTE, headers=headers).json() == 5


def test_other_origins_are_told_nothing_by_cors(open_call):
    headers = {"Origin": "http://evil.example", "Access-Control-Request-Method": "PUT"}
    for method in ("GET", "OPTIONS"):
        answer = open_call(method, "/v1/things", headers=headers)
        assert not [name for name in answer.headers if name.startswith("access-control")]


class TestBodies:
    LIMIT = 1000

    @pytest.fixture
    def bounded(self, call_with):
        return call_with(max_json_bytes=self.LIMIT)

    def test_a_body_within_the_limit_is_taken(self, bounded):
        assert bounded("PUT", "/v1/things", json={"text": "x" * 900}).json() == 900

    @pytest.mark.parametrize("kind", ["application/json", "text/plain", "multipart/form-data"])
    def test_a_larger_one_is_refused_by_its_length(self, bounded, kind):
        answer = bounded("PUT", "/v1/things", content=b"x" * 1001, headers={"Content-Type": kind})

        assert answer.status_code == 413
        assert "HEADSTART_MAX_JSON_BYTES allows a body of 1000 bytes" in answer.json()["detail"]

    def test_one_without_end_is_refused_as_soon_as_it_is_too_large(self, bounded):
        sent = []

        async def endless():
            while True:
                sent.append(1)
                yield b" " * 100

        answer = bounded(
            "PUT", "/v1/things", content=endless(), headers={"Content-Type": "application/json"}
        )

        assert answer.status_code == 413
        assert "HEADSTART_MAX_JSON_BYTES" in answer.json()["detail"]
        assert len(sent) <= 12

    def test_what_needs_no_key_may_have_little(self, open_call):
        key = {"key": "x" * 50_000}

        assert open_call("POST", "/v1/session", json=key).status_code == 413
        assert open_call("PUT", "/v1/things", json=key | {"text": "x"}).json() == 1

    def test_routes_that_stream_have_limits_of_their_own(self, bounded):
        assert bounded("POST", "/v1/stream", content=b"x" * 5000).json() == 5000
        assert bounded("POST", "/v1/models/a:stream", content=b"x" * 5000).json() == 5000
        assert bounded("POST", "/v1/models/a/b:stream", content=b"x" * 5000).status_code == 413


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/things", 200),
        ("GET", "/nowhere", 404),
        ("PATCH", "/v1/things", 405),
        ("PUT", "/v1/things", 422),
        ("GET", "/v1/broken", 500),
        ("GET", "/web/base.css", 200),
        ("GET", "/docs", 200),
    ],
)
def test_every_answer_has_the_headers(open_call, method, path, status):
    answer = open_call(method, path)
    replaced = {"Cache-Control", "Content-Security-Policy"}

    assert answer.status_code == status
    for name, value in SECURITY_HEADERS.items():
        assert name in answer.headers
        assert name in replaced or answer.headers[name] == value
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


def test_refusals_have_the_headers_too(call):
    for answer in (
        call("GET", "/v1/things"),
        call("PUT", "/v1/things", headers={"Origin": "http://evil.example"}),
    ):
        assert answer.status_code in {401, 403}
        assert all(answer.headers[name] == value for name, value in SECURITY_HEADERS.items())


def test_the_document_tells_of_keys_and_refusals(open_call):
    document = open_call("GET", "/openapi.json").json()
    things = document["paths"]["/v1/things"]

    assert set(document["components"]["securitySchemes"]) == {"bearer", "header", "session"}
    assert {"bearer": []} in things["get"]["security"]
    assert {"401", "403", "413"} <= set(things["put"]["responses"])
    assert "security" not in document["paths"]["/healthz"]["get"]
