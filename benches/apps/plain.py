"""The applications without a framework."""

import hashlib
import time


def hello(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "13")])
    return [b"Hello, World!"]


def environ(environ, start_response):
    """Reads what a framework reads of every request."""
    size = sum(len(environ.get(key, "")) for key in READ)
    body = b"%d" % size
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


READ = ("REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "CONTENT_TYPE", "CONTENT_LENGTH", "SERVER_NAME", "SERVER_PORT",
        "SERVER_PROTOCOL", "REMOTE_ADDR", "HTTP_HOST", "HTTP_ACCEPT", "HTTP_COOKIE", "HTTP_USER_AGENT")


def echo(environ, start_response):
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def wait(environ, start_response):
    """As one that waits for a database."""
    time.sleep(0.01)
    return hello(environ, start_response)


def digest(environ, start_response):
    total, sha = 0, hashlib.sha256()
    while piece := environ["wsgi.input"].read(65536):
        total += len(piece)
        sha.update(piece)
    body = f"{total} {sha.hexdigest()}".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


BIG = b"b" * (1 << 20)


def big(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(BIG)))])
    return [BIG]


PIECE = b"p" * 1024


def stream(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(100 * 1024))])
    return (PIECE for _ in range(100))
