"""The application that the black-box tests are served by: one path for every behaviour they ask about."""

import hashlib
import json
import os
import sys
import time
from urllib.parse import parse_qs

STARTED = time.monotonic()
COUNT = 0


def application(environ, start_response):
    name, _, rest = environ["PATH_INFO"].lstrip("/").partition("/")
    tool = TOOLS.get(name or "hello")
    if tool is None:
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"no such tool\n"]
    return tool(environ, start_response, rest)


def answer(start_response, body, headers=(), status="200 OK"):
    headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(body))), *headers]
    start_response(status, headers)
    return [body]


def hello(environ, start_response, rest):
    return answer(start_response, b"hello\n")


def pid(environ, start_response, rest):
    return answer(start_response, b"%d" % os.getpid())


def count(environ, start_response, rest):
    """How many requests came to this tool of this process?"""
    global COUNT
    COUNT += 1
    return answer(start_response, b"%d" % COUNT)


def environ_as_json(environ, start_response, rest):
    shown = {key: value if isinstance(value, (str, int, list, tuple)) else repr(value)
             for key, value in environ.items()}
    return answer(start_response, json.dumps(shown, default=repr).encode())


def evaluate(environ, start_response, rest):
    """Evaluates the query string: what the interpreter looks like from inside."""
    import urllib.parse
    expression = urllib.parse.unquote(environ["QUERY_STRING"])
    return answer(start_response, str(eval(expression)).encode())


def echo(environ, start_response, rest):
    return answer(start_response, environ["wsgi.input"].read())


def digest(environ, start_response, rest):
    """Length and digest of the body, read in pieces."""
    total, sha = 0, hashlib.sha256()
    while piece := environ["wsgi.input"].read(65536):
        total += len(piece)
        sha.update(piece)
    return answer(start_response, f"{total} {sha.hexdigest()}".encode())


def ignore_body(environ, start_response, rest):
    return answer(start_response, b"not read\n")


def sleep(environ, start_response, rest):
    time.sleep(float(rest))
    return answer(start_response, b"slept\n")


def zeros(environ, start_response, rest):
    return answer(start_response, bytes(int(rest)))


class Stream:
    """`pieces` pieces of `size` bytes, a pause between them; says in the log when it is closed."""

    def __init__(self, pieces, size, pause=0):
        self.pieces, self.left, self.size, self.pause = pieces, pieces, size, pause

    def __iter__(self):
        return self

    def __next__(self):
        if not self.left:
            raise StopIteration
        if self.left < self.pieces:
            time.sleep(self.pause)
        self.left -= 1
        return b"s" * self.size

    def close(self):
        print(f"stream closed, {self.left} pieces left", file=sys.stderr, flush=True)


def stream(environ, start_response, rest):
    pieces, size, *pause = rest.split("/")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return Stream(int(pieces), int(size), float(pause[0]) if pause else 0)


def fail(environ, start_response, rest):
    raise LookupError("failed on purpose")


def fail_late(environ, start_response, rest):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "10")])

    def pieces():
        yield b"half"
        raise LookupError("failed late on purpose")

    return pieces()


def say(environ, start_response, rest):
    print("said on standard output")
    print("said on standard error", file=sys.stderr)
    environ["wsgi.errors"].write("said on wsgi.errors\n")
    return answer(start_response, b"said\n")


def headers(environ, start_response, rest):
    """Answers with the headers of the query string: `?Name=value&Name=value`."""
    pairs = [(name, value) for name, values in parse_qs(environ["QUERY_STRING"]).items() for value in values]
    return answer(start_response, b"headers\n", pairs)


def status(environ, start_response, rest):
    """Answers with that status: `/status/204 No Content`."""
    start_response(rest, [("Content-Type", "text/plain")])
    return [b"" if rest[:3] in ("204", "304") else b"status\n"]


def short(environ, start_response, rest):
    start_response("200 OK", [("Content-Length", "10")])
    return [b"short"]


def silent(environ, start_response, rest):
    """Never calls start_response."""
    return [b"silent"]


def write(environ, start_response, rest):
    put = start_response("200 OK", [("Content-Type", "text/plain")])
    put(b"written, ")
    return [b"returned\n"]


def die(environ, start_response, rest):
    os.kill(os.getpid(), int(rest))
    time.sleep(10)


def leave(environ, start_response, rest):
    os._exit(int(rest))


TOOLS = {
    "hello": hello, "pid": pid, "count": count, "environ": environ_as_json, "eval": evaluate, "echo": echo,
    "digest": digest, "ignore-body": ignore_body, "sleep": sleep, "zeros": zeros, "stream": stream, "fail": fail,
    "fail-late": fail_late, "say": say, "headers": headers, "status": status, "short": short, "silent": silent,
    "write": write, "die": die, "exit": leave,
}
