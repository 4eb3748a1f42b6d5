"""How each server is started: one function each, which gives a command line."""

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
VENV = Path(os.environ.get("BENCH_VENV", HERE / "venv"))
UWRS = Path(os.environ.get("BENCH_UWRS", ROOT / "target/release/uwrs"))
FLOOR = Path(os.environ.get("BENCH_FLOOR", ROOT / "target/release/examples/floor"))
ECHOES = Path(os.environ.get("BENCH_ECHOES", ROOT / "target/release/examples/echoes"))


@dataclass(frozen=True)
class Job:
    """What a server is to do."""

    module: str
    name: str
    port: int
    workers: int = 1
    # Of each worker; bjoern and fastwsgi have one.
    threads: int = 1
    # Of gevent, in each worker; 0: none.
    greenlets: int = 0
    keep_alive: bool = True
    interface: str = "wsgi"
    # Of ASGI: uvloop or asyncio.
    loop: str = "uvloop"
    websocket: bool = False
    # A path: speak the uwsgi protocol there, not HTTP on the port.
    uwsgi_socket: str = ""


def uwrs(job):
    where = ["--socket", job.uwsgi_socket] if job.uwsgi_socket else ["--http", f"127.0.0.1:{job.port}"]
    return [UWRS, *where, "--module", f"{job.module}:{job.name}", "--processes", str(job.workers), "--home", VENV,
            "--disable-logging", *(["--threads", str(job.threads)] if job.threads > 1 else []),
            *(["--gevent", str(job.greenlets), "--gevent-monkey-patch"] if job.greenlets else []),
            *(["--loop", job.loop] if job.interface == "asgi" else [])]


def floor(job):
    if job.uwsgi_socket:
        return [FLOOR, "--uwsgi", job.uwsgi_socket]
    return [FLOOR, *([] if job.keep_alive else ["--close"]), str(job.port)]


def uwsgi(job):
    kind = "--http11-socket" if job.keep_alive else "--http-socket"
    where = ["--socket", job.uwsgi_socket] if job.uwsgi_socket else [kind, f"127.0.0.1:{job.port}"]
    return [VENV / "bin/uwsgi", "--master", "--die-on-term", "--need-app", "--single-interpreter", "--disable-logging",
            *where, "--module", job.module, "--callable", job.name, "--processes", str(job.workers), "--home", VENV,
            *(["--gevent", str(job.greenlets), "--gevent-monkey-patch"] if job.greenlets else []),
            *(["--threads", str(job.threads)] if job.threads > 1 else [])]


def bjoern(job):
    return [VENV / "bin/python", HERE / "launch.py", "bjoern", job.module, job.name, str(job.port)]


def fastwsgi(job):
    return [VENV / "bin/python", HERE / "launch.py", "fastwsgi", job.module, job.name, str(job.port)]


def granian(job):
    kind = ["--blocking-threads", str(job.threads)] if job.interface == "wsgi" else ["--loop", job.loop]
    return [VENV / "bin/granian", "--interface", job.interface, "--host", "127.0.0.1", "--port", str(job.port), "--workers",
            str(job.workers), *kind, "--ws" if job.websocket else "--no-ws", "--log-level", "error",
            f"{job.module}:{job.name}"]


def gunicorn(job):
    # Its asgi worker takes 1,000 connections if it is not told otherwise.
    kind = (["gthread", "--threads", str(job.threads)] if job.interface == "wsgi"
            else ["asgi", "--asgi-loop", job.loop, "--worker-connections", "10000"])
    if job.greenlets:
        kind = ["gevent", "--worker-connections", str(job.greenlets)]
    return [VENV / "bin/gunicorn", "--worker-class", *kind, "--keep-alive", "30", "--workers", str(job.workers),
            "--bind", f"127.0.0.1:{job.port}", "--log-level", "error", f"{job.module}:{job.name}"]


def uvicorn(job):
    return [VENV / "bin/uvicorn", "--loop", job.loop, "--http", "httptools", "--no-access-log", "--log-level", "error",
            "--host", "127.0.0.1", "--port", str(job.port), "--workers", str(job.workers), f"{job.module}:{job.name}"]


def hypercorn(job):
    return [VENV / "bin/hypercorn", "--worker-class", job.loop, "--log-level", "error", "--bind", f"127.0.0.1:{job.port}",
            "--workers", str(job.workers), f"{job.module}:{job.name}"]


def uwrs_warm(job):
    """Warmed up before its workers were forked."""
    return [*uwrs(job), "--warm-up", "/"]


def forking(job):
    return [VENV / "bin/python", HERE / "forking.py", job.module, job.name, str(job.port), str(job.workers)]


WSGI = (uwrs, floor, uwsgi, bjoern, fastwsgi, granian, gunicorn)
ASGI = (uwrs, uvicorn, granian, hypercorn, gunicorn)
# For what only memory is asked of.
MEMORY = (uwrs_warm, forking)
ASYNCIO = "_asyncio"
WSGI_NAMES = tuple(server.__name__ for server in WSGI)
MEMORY_NAMES = tuple(server.__name__ for server in (*WSGI, *MEMORY) if server is not floor)
# Each on uvloop and, by another name, on asyncio's own loop.
ASGI_NAMES = tuple(server.__name__ + loop for server in ASGI for loop in ("", ASYNCIO))


def on_asyncio(server):
    return lambda job: server(replace(job, loop="asyncio"))


SERVERS = {server.__name__: server for server in (*WSGI, *ASGI, *MEMORY)}
SERVERS |= {server.__name__ + ASYNCIO: on_asyncio(server) for server in ASGI}


def missing(name):
    """Why that server can't be run; empty: it can."""
    program = SERVERS[name](Job("plain", "hello", 0))[0]
    if not Path(program).exists():
        return f"{program} is not there"
    if name in ("bjoern", "fastwsgi") and not list(VENV.glob(f"lib/python*/site-packages/{name}*")):
        return f"{name} is not installed in {VENV}"
    return ""


if __name__ == "__main__":
    for name in SERVERS:
        print(f"{name:17} {missing(name) or 'ready'}")
    sys.exit(any(missing(name) for name in SERVERS))
