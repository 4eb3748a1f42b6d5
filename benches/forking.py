"""The floor of memory for servers that fork: forking.py MODULE CALLABLE PORT WORKERS.

A script that imports the application, forks, and answers requests one after another. What it takes, any server takes that
loads the application once; see README.md for what is done beyond that.
"""

import importlib
import io
import os
import signal
import socket
import sys

module, name, port, workers = sys.argv[1:]
sys.path.insert(0, os.getcwd())
application = getattr(importlib.import_module(module), name)


def answer(connection):
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(65536)
        if not piece:
            return
        received += piece
    method, path, _ = received.split(b"\r\n")[0].decode("latin-1").split(" ")
    environ = {
        "REQUEST_METHOD": method, "SCRIPT_NAME": "", "PATH_INFO": path, "QUERY_STRING": "", "SERVER_NAME": "localhost",
        "SERVER_PORT": port, "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_HOST": "localhost", "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0), "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(), "wsgi.errors": sys.stderr,
        "wsgi.multithread": False, "wsgi.multiprocess": True, "wsgi.run_once": False,
    }
    head = []
    result = application(environ, lambda status, headers, error=None: head.extend((status, headers)))
    body = b"".join(result)
    getattr(result, "close", bool)()
    fields = [f"{field}: {value}\r\n" for field, value in head[1] if field.lower() != "content-length"]
    start = f"HTTP/1.1 {head[0]}\r\n{''.join(fields)}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    connection.sendall(start.encode("latin-1") + body)


listener = socket.create_server(("127.0.0.1", int(port)), backlog=1024)
children = []
for _ in range(int(workers)):
    pid = os.fork()
    if not pid:
        while True:
            try:
                with listener.accept()[0] as connection:
                    answer(connection)
            except OSError:
                pass
    children.append(pid)
signal.signal(signal.SIGTERM, lambda *_: [os.kill(pid, signal.SIGKILL) for pid in children])
for _ in children:
    os.wait()
