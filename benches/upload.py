"""Large uploads: what a server's memory does while they come in."""

import hashlib
import socket
import threading
import time
from dataclasses import dataclass

SIZE = 100 << 20
CLIENTS = 2
PIECE = b"u" * (1 << 16)


@dataclass
class Result:
    """One round."""

    before: float  # bytes of private memory after an upload of one piece
    peak: float  # the most while the large ones came in
    cpu: float  # milliseconds of processor per upload


def upload(port, size):
    """One upload; raises where its answer is not the length and digest of what was sent."""
    digest = hashlib.sha256()
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % size)
        for _ in range(size // len(PIECE)):
            connection.sendall(PIECE)
            digest.update(PIECE)
        received = b""
        while piece := connection.recv(65536):
            received += piece
    if not received.endswith(b"%d %s" % (size, digest.hexdigest().encode())):
        raise SystemExit(f"answers wrongly: {received[:200]!r}")


def measure(session, port, rounds=2):
    """Uploads by some clients at once, beside which memory is looked at."""
    upload(port, len(PIECE))
    before, spent = session.private(), session.cpu()
    clients = [threading.Thread(target=lambda: [upload(port, SIZE) for _ in range(rounds)]) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    peak = before
    while any(client.is_alive() for client in clients):
        peak = max(peak, session.private())
        time.sleep(0.02)
    return Result(before, peak, (session.cpu() - spent) / 1000 / (CLIENTS * rounds))
