"""The loopback server stops as a server that is cut off does: nobody is left waiting."""

import contextlib
import socket
import threading

import pytest

from rollouts.testing import LoopbackServer

REQUEST = b"POST /api/v1/chat/completions HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}"


@pytest.mark.parametrize("others", range(5))
def test_a_connection_that_comes_while_it_stops_is_cut_and_not_forgotten(others):
    server = LoopbackServer()
    server.hold()
    server.start()
    opened = []

    def connect():
        with contextlib.suppress(OSError):  # no longer listening
            for _ in range(200):
                opened.append(socket.create_connection(("127.0.0.1", server.port), timeout=10))
                opened[-1].sendall(REQUEST)

    clients = [threading.Thread(target=connect) for _ in range(3)]
    for client in clients:
        client.start()
    server.wait_for(1 + 10 * others)
    server.stop()
    for client in clients:
        client.join()

    for connection in opened:
        with contextlib.suppress(ConnectionError):
            assert connection.recv(1) == b""  # a timeout is the failure
        connection.close()
