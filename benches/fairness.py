"""One connection that asks for very much at once, and how long newcomers wait beside it."""

import re
import select
import socket
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"
PIPELINED = 10_000
NEWCOMERS = 100


@dataclass
class Result:
    """One round: milliseconds from a newcomer's connection to its answer."""

    usual: float  # the median of the newcomers
    worst: float  # the one that waited longest


def be_greedy(port):
    """Never has fewer than some 10,000 requests unanswered, and takes every answer; until it is killed."""
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(REQUEST)
    size = length_of_answer(connection)
    connection.setblocking(False)
    asked, received, rest = 0, 0, b""
    while True:
        try:
            while rest or asked - received // size < PIPELINED:
                rest = rest or REQUEST * 1000
                rest = rest[connection.send(rest):]
                asked += 0 if rest else 1000
        except BlockingIOError:
            pass
        select.select([connection], [connection] if rest else [], [])
        try:
            piece = connection.recv(1 << 20)
        except BlockingIOError:
            continue
        if not piece:
            raise SystemExit("the connection was closed")
        received += len(piece)


def length_of_answer(connection):
    """Bytes of the answer that comes, head and all."""
    received = b""
    while True:
        received += connection.recv(1 << 20)
        head, end, content = received.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        if end and len(content) == int(length[1]):
            return len(received)


def measure(port):
    """One round."""
    greedy = subprocess.Popen([sys.executable, __file__, str(port)])
    try:
        time.sleep(0.5)
        waits = []
        for _ in range(NEWCOMERS):
            begun = time.perf_counter()
            with socket.create_connection(("127.0.0.1", port), timeout=30) as newcomer:
                newcomer.sendall(REQUEST)
                newcomer.recv(1)
            waits.append(1000 * (time.perf_counter() - begun))
            time.sleep(0.01)
        if greedy.poll() is not None:
            raise SystemExit("the greedy client has given up")
        return Result(statistics.median(waits), max(waits))
    finally:
        greedy.kill()
        greedy.wait()


if __name__ == "__main__":
    be_greedy(int(sys.argv[1]))
