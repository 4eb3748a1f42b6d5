"""Flask on greenlets: a page that is made of three slow answers at once, and a clock that goes on and on."""

import time
from datetime import datetime

import gevent
from flask import Flask, Response

app = Flask(__name__)


def ask(name):
    """As slow as a question to another server would be. `time.sleep` lets other greenlets run, and so do sockets."""
    time.sleep(0.2)
    return f"{name} answered"


@app.get("/")
def index():
    began = time.monotonic()
    answers = gevent.joinall([gevent.spawn(ask, name) for name in ("one", "two", "three")])
    took = time.monotonic() - began
    return {"answers": [answer.value for answer in answers], "took": f"{took:.1f} s"}


@app.get("/clock")
def clock():
    def ticks():
        while True:
            yield f"{datetime.now():%H:%M:%S}\n"
            time.sleep(1)

    return Response(ticks(), mimetype="text/plain")
