"""New clients do not wait for those who are connected already."""

import asyncio
import resource
import socket
from contextlib import ExitStack, contextmanager
from functools import partial

import uvloop
from structlog.testing import capture_logs
from uvicorn import Config

from shared.http.server.connections import Connection, Lobby
from shared.http.server.draining import DrainingServer, Gate

CLIENTS = 128


async def answer(_, __, send):
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


@contextmanager
def listening():
    with socket.create_server(("127.0.0.1", 0), backlog=CLIENTS) as listener:
        yield listener


async def start(listener):
    lobby = Lobby(4 * CLIENTS, 30)
    http = partial(Connection, lobby)
    config = Config(answer, http=http, lifespan="off", log_config=None, server_header=False)
    config.load()
    server = DrainingServer(config, Gate(), lobby, 1)
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listener])
    return server


def run(story):
    return asyncio.Runner(loop_factory=uvloop.new_event_loop).run(story)


def test_all_who_wait_are_connected_within_a_few_turns_of_the_event_loop():
    async def story():
        with ExitStack() as stack:
            listener = stack.enter_context(listening())
            for _ in range(CLIENTS):
                stack.enter_context(socket.create_connection(listener.getsockname()))
            server = await start(listener)
            turns = 0
            while len(server.server_state.connections) < CLIENTS:
                await asyncio.sleep(0)
                turns += 1
            await server.shutdown([listener])
            return turns

    assert run(story()) < CLIENTS / 8


def test_where_no_file_can_be_opened_the_client_waits_until_one_can():
    async def story():
        with ExitStack() as stack:
            listener = stack.enter_context(listening())
            client = stack.enter_context(socket.create_connection(listener.getsockname()))
            client.setblocking(False)
            client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            server = await start(listener)
            with few_files(), capture_logs() as logged:
                while not logged:  # noqa: ASYNC110 - there is no event for it
                    await asyncio.sleep(0.01)
                assert not server.server_state.connections
            assert "Too many open files" in logged[0]["reason"]
            answered = await asyncio.get_running_loop().sock_recv(client, 9999)
            await server.shutdown([listener])
            return answered

    assert run(story()).startswith(b"HTTP/1.1 204")


@contextmanager
def few_files():
    """Let nothing more be opened."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as lowest_free:
        number = lowest_free.fileno()
    resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_answers_are_sent_without_waiting_for_more():
    async def story():
        with listening() as listener:
            server = await start(listener)
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            [connection] = server.server_state.connections
            taken = connection.transport.get_extra_info("socket")
            without_delay = taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            writer.close()
            await server.shutdown([listener])
            return without_delay

    assert run(story()) == 1
