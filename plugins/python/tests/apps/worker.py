"""Tells of the process that it runs in."""

import atexit
import os
import random
import sys
import threading

import uwsgi

IMPORTED_BY = os.getpid()
FORKED = []
ENDED = []

os.register_at_fork(after_in_child=lambda: FORKED.append("child"))
threading.Thread(target=threading.Event().wait, name="started at import", daemon=True).start()


def hook():
    FORKED.append(f"hook in worker {uwsgi.worker_id()}")


uwsgi.post_fork_hook = hook


@atexit.register
def at_exit():
    path = os.environ.get("UWRS_TEST_AT_EXIT")
    if path:
        with open(path, "a") as file:
            file.write(f"worker {uwsgi.worker_id()} ends\n")


def application(environ, start_response):
    start_response("200 OK", [])
    # A background thread lives in a worker, and gets its turn while the worker rests.
    done = threading.Event()
    threading.Thread(target=done.set).start()
    facts = {
        "imported here": IMPORTED_BY == os.getpid(),
        "forked": FORKED,
        "worker": uwsgi.worker_id(),
        "master": uwsgi.masterpid(),
        "numproc": uwsgi.numproc,
        "opt": sorted(uwsgi.opt.items(), key=lambda item: item[0]),
        "threads": threading.active_count() <= 2 and done.wait(5),
        "main": threading.current_thread() is threading.main_thread(),
        "cwd": os.getcwd(),
        "argv": sys.argv,
        "stdout": (sys.stdout.errors, sys.stdout.line_buffering),
    }
    return ["\n".join(f"{key}: {value}" for key, value in facts.items()).encode()]


def draw(environ, start_response):
    start_response("200 OK", [])
    return [str(random.random()).encode()]
