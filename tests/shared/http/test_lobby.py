"""Which connections make way for others, and which count as reading."""

import asyncio
import itertools
import socket
from functools import partial

import uvloop
from uvicorn import Config
from uvicorn.server import ServerState

from shared.http.server.connections import SLOW_SECONDS, Connection, Lobby

MIB = 2**20
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def send_much(_, __, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"x" * 32 * MIB})


def test_a_client_that_reads_slowly_is_told_from_one_that_does_not_read():
    """Although the kernel takes more only after about a megabyte was read."""
    clock = itertools.count(step=10)  # seconds

    async def story():
        lobby = Lobby(1, 30)
        config = Config(send_much, http=partial(Connection, lobby), log_config=None)
        state = ServerState()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: Connection(lobby, config=config, server_state=state, app_state={}), "127.0.0.1"
        )
        with socket.create_connection(server.sockets[0].getsockname()) as client:
            client.sendall(REQUEST)
            await until(lambda: any(c.transport.get_write_buffer_size() for c in state.connections))
            [connection] = state.connections
            # The kernel takes what it has room for.
            await until(lambda: connection.unread_for(next(clock)) != 0)
            before = connection.unread_for(next(clock))
            assert connection.unread_for(next(clock)) == before + 10
            waiting = connection.transport.get_write_buffer_size()

            def is_seen_to_read():
                client.recv(65_536)
                return connection.unread_for(next(clock)) == 0

            await until(is_seen_to_read)
            assert connection.transport.get_write_buffer_size() == waiting

    asyncio.Runner(loop_factory=uvloop.new_event_loop).run(story())


async def until(condition):
    while not condition():  # noqa: ASYNC110 - there is no event for what is asked here
        await asyncio.sleep(0.01)


class Transport(asyncio.Transport):
    def __init__(self):
        super().__init__()
        self.unsent = 0
        self.aborted = False

    def abort(self):
        self.aborted = True

    def get_write_buffer_size(self):
        return self.unsent


class Waiting:
    """What a lobby knows of a connection."""

    def __init__(self):
        self.transport = Transport()
        self.slow = 0.0
        self.has_made_way = False

    def slow_for(self, _):
        return self.slow

    def make_way(self):
        self.has_made_way = True


def test_room_is_made_by_the_one_that_waits_longest_and_has_nothing_unsent():
    lobby = Lobby(3, 1)
    unsent, busy, idle, new = Waiting(), Waiting(), Waiting(), Waiting()
    unsent.transport.unsent = 1
    assert all(map(lobby.admit, (unsent, busy, idle)))
    lobby.leave(busy)

    assert lobby.admit(new)
    aborted = [known.transport.aborted for known in (unsent, busy, idle, new)]
    assert aborted == [False, False, True, False]
    lobby.leave(new)
    assert not lobby.admit(Waiting())


def test_only_a_client_that_is_slow_for_a_while_makes_way():
    lobby = Lobby(3, 1)
    busy, hesitant, slow = Waiting(), Waiting(), Waiting()
    hesitant.slow, slow.slow = SLOW_SECONDS / 2, SLOW_SECONDS
    for connection in (busy, hesitant, slow):
        assert lobby.admit(connection)
        lobby.leave(connection)

    assert lobby.admit(Waiting())
    assert [known.has_made_way for known in (busy, hesitant, slow)] == [False, False, True]
