"""Connections that are kept and say nothing: what each costs, and what they cost an active client."""

import resource
import socket
from dataclasses import dataclass

from load import p99

REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"
# A WebSocket's, and then a text, masked with four zeros.
HANDSHAKE = (b"GET / HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
             b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
MESSAGE = b"\x81\x8d\0\0\0\0Hello, World!"


@dataclass
class Result:
    """One round."""

    bytes: float  # of the server's own memory, for each idle connection
    alone: float  # p99 of an active client, milliseconds
    beside: float  # the same beside the idle ones
    cpu: float  # share of a processor that the server uses while nothing happens


class Crowd:
    """Connections that have had one answer each; of WebSockets: the echo of one message."""

    def __init__(self, port, count, websocket=False):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard < count + 256:
            raise SystemExit(f"{count} idle connections need as many descriptors: ulimit -Hn {count + 256}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + 256), hard))
        connect = self.open if websocket else self.connect
        self.connections = [connect(port) for _ in range(count)]

    def connect(self, port):
        connection = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.ask(connection, REQUEST, b"Hello, World!")
        return connection

    def open(self, port):
        connection = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.ask(connection, HANDSHAKE, b"\r\n\r\n")
        self.ask(connection, MESSAGE, b"\x81\x0dHello, World!")
        return connection

    def ask(self, connection, words, ending):
        """Sends `words` and hears until `ending`."""
        connection.sendall(words)
        answer = b""
        while not answer.endswith(ending):
            piece = connection.recv(65536)
            if not piece:
                raise SystemExit(f"a connection was closed instead of answered: {answer!r}")
            answer += piece

    def leave(self):
        """Closes all; gives how many the server had closed before."""
        closed = 0
        for connection in self.connections:
            connection.setblocking(False)
            try:
                closed += connection.recv(1) == b""
            except BlockingIOError:
                pass
            except ConnectionError:
                closed += 1
            connection.close()
        return closed


def measure(session, port, seconds, count):
    """One round: a client alone, and beside `count` idle connections."""
    # Whatever the first connections make a server set aside is not what the others cost.
    Crowd(port, 64).leave()
    p99(port, 1)
    alone = p99(port, seconds)
    before = session.private()
    crowd = Crowd(port, count)
    each = (session.private() - before) / count
    idle_cpu = session.cpu_share(2)
    beside = p99(port, seconds)
    closed = crowd.leave()
    if closed:
        print(f"    {closed} of {count} idle connections were closed by the server")
    return Result(each, alone, beside, idle_cpu)


def measure_websockets(session, port, count):
    """One round: bytes of the server's own memory for each of `count` WebSockets that have said one word and say no more."""
    Crowd(port, 64, websocket=True).leave()
    before = session.private()
    crowd = Crowd(port, count, websocket=True)
    each = (session.private() - before) / count
    closed = crowd.leave()
    if closed:
        print(f"    {closed} of {count} idle WebSockets were closed by the server")
    return each
