"""The application of the tests of streams: writes down, in the file `events`, what of it runs on which thread, and when."""

import os
import threading
import time
from urllib.parse import parse_qsl

EVENTS = os.open("events", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
LOCAL = threading.local()
RELEASED = threading.Event()


class Noted:
    """One stay in the code of the application. What is between two of one stream belongs to its thread and to nobody else."""

    def __init__(self, name, what):
        self.name, self.what = name, what

    def __enter__(self):
        self.note("+")
        if self.what == "call":
            LOCAL.owner = self.name
        elif getattr(LOCAL, "owner", None) != self.name:
            self.note("!")

    def __exit__(self, *error):
        self.note("-")

    def note(self, mark):
        line = f"{mark} {os.getpid()} {threading.get_native_id()} {self.name} {self.what}\n"
        os.write(EVENTS, line.encode())


class Stream:
    def __init__(self, name, pieces, close=None):
        self.name, self.pieces, self.closing = name, pieces, close

    def __iter__(self):
        with Noted(self.name, "iter"):
            return self

    def __next__(self):
        with Noted(self.name, "next"):
            return next(self.pieces)

    def close(self):
        with Noted(self.name, "close"):
            self.pieces.close()
            if self.closing == "raises":
                raise LookupError("closing failed on purpose")


def numbered(pieces="128", size="65536", pause="0", fails="", stuck=""):
    """Pieces of numbers of eight digits; after `fails` of them an error, after `stuck` of them nothing for long."""
    for number in range(int(pieces)):
        time.sleep(float(pause))
        if str(number) == fails:
            raise LookupError("failed amidst on purpose")
        if str(number) == stuck:
            time.sleep(60)
        yield b"%08d" % number * (int(size) // 8)


def empty():
    """Has nothing to say until another request allows it."""
    yield b"first"
    while not RELEASED.is_set():
        time.sleep(0.01)
        yield b""
    yield b"released"


def lockstep(pieces="5"):
    """Makes a piece when the client has the one before: the file with its number says so."""
    for number in range(int(pieces)):
        yield b"%08d" % number
        while not os.path.exists(f"read-{number}"):
            time.sleep(0.005)


KINDS = {"stream": numbered, "empty": empty, "lockstep": lockstep}


def application(environ, start_response):
    kind, _, name = environ["PATH_INFO"].lstrip("/").partition("/")
    asked = dict(parse_qsl(environ["QUERY_STRING"]))
    with Noted(name or kind, "call"):
        if kind == "release":
            RELEASED.set()
        time.sleep(float(asked.pop("busy", 0)))
        start_response("200 OK", [("Content-Type", "text/plain")])
        if kind in KINDS:
            close = asked.pop("close", None)
            return Stream(name, KINDS[kind](**asked), close)
        thread = threading.current_thread().name
        who = f"{os.getpid()} {threading.get_native_id()} {thread} {environ['wsgi.multithread']}"
        return [who.encode()]
