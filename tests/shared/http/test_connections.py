"""What a client can do to a service before its request has begun and after its answer has."""

import select
import socket
import struct
import time
from contextlib import ExitStack, suppress

import pytest

from shared.http.server.connections import INTERIM_ANSWER
from tests.support.processes.predictor_process import wait_for
from tests.support.processes.small_service import read_all, running_service

pytestmark = pytest.mark.process

MIB = 2**20
SILENCE_SECONDS = 0.5
#: Beyond what a service has after its first answers.
MOST_GROWTH = 16 * MIB

#: The page of another origin, which may use the service.
PAGE = b"http://page:8001"

CHUNKED = b"POST /v1/stream HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    log = tmp_path_factory.mktemp("service") / "log"
    settings = {"silence_seconds": SILENCE_SECONDS, "allowed_origins": PAGE.decode()}
    with running_service(log, **settings) as running:
        yield running


FILES = 128

#: Of SO_LINGER: what is on its way is dropped, and the other side told so.
RESET_WHEN_CLOSED = struct.pack("ii", 1, 0)


@pytest.fixture(scope="module")
def narrow(tmp_path_factory):
    """A service that may open few files, and is patient."""
    log = tmp_path_factory.mktemp("narrow") / "log"
    with running_service(log, files=FILES, silence_seconds=3600) as running:
        yield running


def get(path, *headers):
    return b"\r\n".join([b"GET %b HTTP/1.1" % path, b"Host: x", *headers]) + b"\r\n\r\n"


def pour(connection, piece, size):
    """Send a piece again and again, as long as the other side lets us."""
    with suppress(OSError):
        for _ in range(size // len(piece)):
            connection.sendall(piece)


@pytest.mark.parametrize(
    ("begin", "piece", "status"),
    [
        (b"GET / HTTP/1.1\r\n", b"a: %b\r\n" % (b"b" * 1000), b"431"),
        (b"GET / HTTP/1.1\r\n", b"a:\r\n", b"431"),
        (b"GET / HTTP/1.1\r\na: ", b"b" * 65_536, b"431"),
        (b"GET /", b"a" * 65_536, b"414"),
        (b"", b"\r\n" * 32_768, b"431"),
        (CHUNKED + b"0\r\n", b"a: %b\r\n" % (b"b" * 1000), b"431"),
        (CHUNKED + b"0\r\na: ", b"b" * 65_536, b"431"),
        (CHUNKED + b"1;", b"b" * 65_536, b"431"),
    ],
    ids=[
        "headers",
        "short headers",
        "a header",
        "URL",
        "nothing",
        "trailers",
        "a trailer",
        "chunk",
    ],
)
def test_an_endless_request_is_refused_and_costs_no_memory(service, begin, piece, status):
    before = service.memory()
    with service.connect() as connection:
        connection.sendall(begin)
        pour(connection, piece, 64 * MIB)
        answer = read_all(connection)

    assert answer.startswith(b"HTTP/1.1 " + status)
    assert b"content-type: application/problem+json" in answer
    assert service.memory() - before < MOST_GROWTH


@pytest.mark.parametrize("origin", [PAGE, b"http://evil.example"])
@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/1.1\r\nOrigin: %b\r\n" + b"a:\r\n" * 300, b"431"),
        (b"GET / HTTP/1.1\r\nOrigin: %b\r\nHost: x\r\nHost: y\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nOrigin: %b\r\nA: b\r\nno header\r\n\r\n", b"400"),
        (b"CONNECT x:1 HTTP/1.1\r\nOrigin: %b\r\n\r\n", b"501"),
        (b"GET / HTTP/1.1\r\nOrigin: %b\r\nHo", b"408"),
        (CHUNKED.replace(b"\r\n\r\n", b"\r\nOrigin: %b\r\n\r\n"), b"408"),
        (
            b"GET /v1/x HTTP/1.1\r\nHost: x\r\nOrigin: %b\r\nContent-Length: 99999999\r\n\r\n",
            b"413",
        ),
    ],
    ids=["long", "two hosts", "malformed", "CONNECT", "silent", "silent body", "large body"],
)
def test_a_listed_page_can_read_each_refusal(service, head, status, origin):
    """A browser reports any other one as an error of the network, without its reason."""
    with service.connect() as connection:
        connection.sendall(head.replace(b"%b", origin))
        answer = read_all(connection) if status != b"413" else connection.recv(4096)

    if origin == PAGE:
        assert answer.startswith(b"HTTP/1.1 " + status)
        assert b"access-control-allow-origin: " + PAGE in answer.lower()
    else:
        assert b"access-control" not in answer.lower()


def test_headers_within_the_bounds_arrive(service):
    headers = [b"h%d: %b" % (number, b"v" * 600) for number in range(100)]
    answer = service.ask(b"/v1/headers", *headers)

    assert answer.startswith(b"HTTP/1.1 200")
    assert all(b'"h%d"' % number in answer for number in range(100))
    longest = service.ask(b"/v1/headers?" + b"q" * 60_000)
    assert longest.startswith(b"HTTP/1.1 200")


def test_trailers_do_not_pass_for_headers(service):
    with service.connect() as connection:
        connection.sendall(CHUNKED + b"0\r\nX-Api-Key: k\r\n\r\n" + get(b"/", b"Connection: close"))
        answer = read_all(connection)

    assert b'{"size":1,"headers":["host","transfer-encoding"]}' in answer


def test_connections_of_silent_clients_are_closed(service):
    """Also those that were answered before they had sent all, and those that do not read."""
    refused = b"POST /v1/things HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n"
    beginnings = {
        "nothing": b"",
        "a line's end": b"\r\n",
        "half a head": b"GET / HT",
        "half a body": refused + b"a",
        "answer in pieces": get(b"/v1/large?pieces=1000"),
        "answer as a whole": get(b"/v1/whole?pieces=300"),
        "last answer": get(b"/v1/whole?pieces=300", b"Connection: close"),
        "end of an answer": get(b"/v1/whole?pieces=64"),
    }
    with ExitStack() as stack:
        silent = {name: stack.enter_context(connect_small(service)) for name in beginnings}
        for name, connection in silent.items():
            connection.sendall(beginnings[name])
        wait_for(lambda: service.connections() == len(silent), "the connections")

        def all_are_left():
            with suppress(OSError):
                silent["half a body"].sendall(b"a")  # it trickles, for nobody
            return service.connections() == 0

        wait_for(all_are_left, "them to be left")
        assert silent["half a head"].recv(9999).startswith(b"HTTP/1.1 408")
        assert silent["nothing"].recv(9999) == b""


def connect_small(service):
    """Connect with little room for what is not read."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(20)
    connection.connect(service.address)
    return connection


def test_headers_may_not_trickle_for_ever(service):
    with service.connect() as connection:
        connection.sendall(b"GET /v1/slow?seconds=0 HTTP/1.1\r\nHost: x\r\nX-Long: ")
        trickled = 0
        while not select.select([connection], [], [], SILENCE_SECONDS / 10)[0]:
            connection.sendall(b"a")
            trickled += 1
            assert trickled < 200
        assert trickled > 1
        assert connection.recv(9999).startswith(b"HTTP/1.1 408")


def test_a_slow_answer_is_waited_for(service):
    answer = service.ask(b"/v1/slow?seconds=%.1f" % (3 * SILENCE_SECONDS))
    assert answer.endswith(b"slow")


def test_requests_sent_ahead_are_answered_in_their_order(service):
    paths = [b"/v1/slow?seconds=0.2", b"/v1/headers", b"/healthz"]
    with service.connect() as connection:
        last = get(b"/v1/whole?pieces=1", b"Connection: close")
        connection.sendall(b"".join(map(get, paths)) + last)
        answer = read_all(connection)

    assert answer.count(b"HTTP/1.1 200 OK") == 4
    places = [answer.find(text) for text in (b"\r\n\r\nslow", b'["host"', b"\r\n\r\nok", b"xxx")]
    assert places == sorted(places)
    assert -1 not in places


def test_what_is_sent_too_far_ahead_is_not_kept(service):
    """What came before it is answered; then the connection ends."""
    before = service.memory()
    with service.connect() as connection:
        connection.sendall(get(b"/v1/slow?seconds=0.5"))
        pour(connection, get(b"/healthz") * 1000, 16 * MIB)
        answer = read_all(connection)

    assert b"\r\n\r\nslow" in answer
    assert 2 <= answer.count(b"HTTP/1.1 200 OK") < 20
    assert service.memory() - before < MOST_GROWTH


def test_what_is_wrong_after_a_request_does_not_break_its_answer(service):
    with service.connect() as connection:
        connection.sendall(get(b"/v1/slow?seconds=0.5") + b"GET /" + b"a" * 100_000)
        answer = read_all(connection)

    assert answer.count(b"HTTP/1.1") == 1
    assert answer.endswith(b"\r\n\r\nslow")


def test_a_body_that_is_expected_is_asked_for(service):
    head = b"POST /v1/stream HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nExpect: 100-continue\r\n"
    with service.connect() as connection:
        connection.sendall(head + b"Connection: close\r\n\r\n")
        assert connection.recv(9999) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"a")

        assert b'{"size":1' in read_all(connection)


def ask_and_shut(service, request):
    """Send a request and nothing after it; return all that comes."""
    with service.connect() as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return read_all(connection).removeprefix(INTERIM_ANSWER)


@pytest.mark.parametrize(
    ("request_", "end"),
    [
        (get(b"/healthz"), b"ok"),
        (get(b"/v1/slow?seconds=1.5"), b"slow"),
        (get(b"/v1/slow?seconds=0.3").replace(b"HTTP/1.1", b"HTTP/1.0"), b"slow"),
        (get(b"/v1/whole?pieces=100"), b"x" * 1000),
        (get(b"/v1/large?pieces=100"), b"x" * 1000 + b"\r\n0\r\n\r\n"),
        (CHUNKED + b"0\r\n\r\n", b'{"size":1,"headers":["host","transfer-encoding"]}'),
    ],
    ids=["fast", "slow", "HTTP/1.0", "whole", "in pieces", "with a body"],
)
def test_a_client_that_shuts_its_sending_side_is_answered(service, request_, end):
    answer = ask_and_shut(service, request_)
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(end)


def test_a_client_that_shuts_its_sending_side_gets_all_answers(service):
    requests = [get(b"/v1/slow?seconds=0.2"), get(b"/v1/headers"), get(b"/healthz")]
    answer = ask_and_shut(service, b"".join(requests))

    assert answer.count(b"HTTP/1.1 200") == 3
    assert answer.endswith(b"ok")


@pytest.mark.parametrize(
    "request_",
    [b"GET / HTTP/1.1\r\nHost:", b"POST /v1/stream HTTP/1.1\r\nContent-Length: 9\r\n\r\na"],
    ids=["head", "body"],
)
def test_a_request_that_ends_early_gets_a_reason(service, request_):
    answer = ask_and_shut(service, request_)
    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.endswith(b'"detail": "The request ended before it was complete."}')


@pytest.mark.parametrize("version", [b"HTTP/1.1", b"HTTP/1.0"])
def test_a_client_that_left_is_distinguished_from_one_that_only_stopped_sending(narrow, version):
    with ExitStack() as stack:
        for _ in range(FILES // 8):
            connection = stack.enter_context(narrow.connect())
            connection.sendall(get(b"/v1/slow?seconds=3600").replace(b"HTTP/1.1", version))
        wait_for(lambda: narrow.connections() == FILES // 8, "all of them to be taken")
    wait_for(lambda: narrow.connections() == 0, "all of them to be let go")


def test_a_client_that_left_with_pipelined_requests_is_dropped(narrow):
    with ExitStack() as stack:
        for _ in range(FILES // 8):
            connection = stack.enter_context(narrow.connect())
            connection.sendall(get(b"/v1/until-left") + get(b"/v1/slow?seconds=3600"))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_WHEN_CLOSED)
        wait_for(lambda: narrow.connections() == FILES // 8, "all of them to be taken")
    wait_for(lambda: narrow.connections() == 0, "all of them to be let go")
    wait_for(
        lambda: narrow.log.count("the client has left") == FILES // 8, "each request to be given up"
    )
    assert "Traceback" not in narrow.log


UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n"
POST = b"POST /v1/stream HTTP/1.1\r\nHost: x\r\n" + UPGRADE


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (POST + b"Content-Length: 5\r\n\r\n", b"abcde"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n", b"5\r\nabcde\r\n0\r\n\r\n"),
    ],
    ids=["announced", "chunked"],
)
@pytest.mark.parametrize("pause", [0, 0.05])
def test_an_upgrade_to_another_protocol_is_ignored(service, head, body, pause):
    following = get(b"/healthz", UPGRADE.strip()) + get(b"/v1/headers", b"Connection: close")
    with service.connect() as connection:
        connection.sendall(head)
        time.sleep(pause)
        connection.sendall(body + following)
        answer = read_all(connection)

    assert answer.count(b"HTTP/1.1 200") == 3
    assert b'{"size":5' in answer
    assert answer.endswith(b'[["host","x"],["connection","close"]]')


@pytest.mark.parametrize("last", [b"Upgrade, close", b"close, Upgrade"])
def test_an_upgrade_in_a_last_request_is_ignored(service, last):
    head = POST.replace(b"Upgrade, HTTP2-Settings", last) + b"Content-Length: 5\r\n\r\n"
    with service.connect() as connection:
        connection.sendall(head + b"abcde")
        answer = read_all(connection)

    assert answer.startswith(b"HTTP/1.1 200")
    assert b'{"size":5' in answer


@pytest.mark.parametrize("headers", [b"", UPGRADE])
@pytest.mark.parametrize("target", [b"x:80", b"/healthz"])
def test_connect_is_refused_with_the_reason(service, target, headers):
    """The parser would go over the same bytes for ever."""
    with service.connect() as connection:
        connection.sendall(b"CONNECT %b HTTP/1.1\r\nHost: x\r\n%b\r\nabc" % (target, headers))
        answer = read_all(connection)

    assert answer.startswith(b"HTTP/1.1 501")
    assert b"does not know the method CONNECT" in answer
    assert service.ask(b"/healthz").startswith(b"HTTP/1.1 200")


def test_a_request_for_two_hosts_is_refused(service):
    """The one that the guard looks at would not be the one that is answered."""
    answer = service.ask(b"/healthz", b"Host: a.example")
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"Expected one header `Host`" in answer


def test_a_body_is_never_taken_for_a_request(service):
    hidden = get(b"/v1/headers", b"Cookie: hidden")
    with service.connect() as connection:
        connection.sendall(POST + b"Content-Length: %d\r\n\r\n" % len(hidden))
        time.sleep(0.05)
        connection.sendall(hidden + get(b"/healthz", b"Connection: close"))
        answer = read_all(connection)

    assert answer.count(b"HTTP/1.1 200") == 2
    assert b"hidden" not in answer


def test_more_idle_clients_than_there_are_files_keep_nobody_out(narrow):
    with ExitStack() as stack:
        for number in range(2 * FILES):
            connection = stack.enter_context(narrow.connect())
            with suppress(OSError):
                connection.sendall(b"GET /" * (number % 2))
        answers = [narrow.ask(b"/v1/files?number=40") for _ in range(20)]
        assert narrow.connections() < FILES / 2

    assert all(answer.endswith(b"opened") for answer in answers)
    assert "Too many open files" not in narrow.log
    assert "few connections; see ulimit -n" in narrow.log


def test_if_every_connection_is_in_use_a_new_one_is_told_so(narrow):
    with ExitStack() as stack:
        busy = [stack.enter_context(narrow.connect()) for _ in range(FILES // 2)]
        for connection in busy:
            with suppress(OSError):
                connection.sendall(get(b"/v1/slow?seconds=3600"))
        answer = wait_for(lambda: read_all_of(narrow), "a refusal")
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"retry-after: 1" in answer

    wait_for(lambda: narrow.ask(b"/healthz").startswith(b"HTTP/1.1 200"), "a place")


def test_clients_that_send_slowly_keep_nobody_out(narrow):
    head = b"POST /v1/session HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    with ExitStack() as stack:
        slow = [stack.enter_context(narrow.connect()) for _ in range(FILES // 2)]
        for connection in slow:
            with suppress(OSError):
                connection.sendall(head + b"Content-Length: 1000\r\n\r\n ")
        wait_for(lambda: narrow.ask(b"/healthz").startswith(b"HTTP/1.1 200"), "a place")
        told = [received(connection) for connection in slow]

    assert any(b"408" in answer and b"others needed its connection" in answer for answer in told)


def received(connection):
    connection.setblocking(False)
    try:
        return connection.recv(9999)
    except OSError:
        return b""


def read_all_of(service):
    with service.connect() as connection:
        connection.settimeout(1)
        try:
            return connection.recv(9999)
        except TimeoutError:
            return b""


def has_ipv6():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no ::1")
def test_an_address_of_ipv6_is_listened_on_told_and_answered(tmp_path):
    with running_service(tmp_path / "log", host="::1") as service:
        host, port = service.address
        assert (host, f"url=http://[::1]:{port} " in service.log) == ("::1", True)
        for name, status in ((b"[::1]:1", b"200"), (b"[::1]", b"200"), (b"a.example", b"421")):
            lines = [b"GET /v1/headers HTTP/1.1", b"Host: " + name, b"Connection: close"]
            with service.connect() as connection:
                connection.sendall(b"\r\n".join(lines) + b"\r\n\r\n")
                assert read_all(connection).startswith(b"HTTP/1.1 " + status)
