"""Load by wrk, and what a server spent under it."""

import re
import resource
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

# After a load, until the server has answered what those clients had asked for when they went: seconds.
AFTERMATH = 0.3
UNITS = {"us": 0.001, "ms": 1, "s": 1000, "m": 60_000}


@dataclass
class Result:
    """One round."""

    cpu: float  # µs per request, of the server
    rate: float  # requests per second
    p99: float  # milliseconds
    busy: float  # share of one processor that the load's program used: near 1, it is what limits the rate
    waited: float  # context switches per request, of the server, because it waited
    ousted: float  # the same because others were to have the processor
    front: float = 0  # µs per request, of nginx in front

    @property
    def switches(self):
        """All context switches per request."""
        return self.waited + self.ousted


def median(results):
    """The median of each figure of some results of one kind."""
    kind = type(results[0])
    return kind(*(statistics.median(getattr(result, field) for result in results) for field in kind.__dataclass_fields__))


def script(method, body):
    """A script for wrk that sends a body."""
    file = tempfile.NamedTemporaryFile("w", suffix=".lua", delete=False)
    with file:
        file.write(f'wrk.method = "{method}"\nwrk.body = string.rep("e", {len(body)})\n')
    return file.name


def wrk(port, seconds, connections, close=False, body=b""):
    """Runs wrk; gives its report and the processor seconds it used."""
    words = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "10s"]
    if close:
        words += ["-H", "Connection: close"]
    if body:
        words += ["-s", script("POST", body)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    report = subprocess.run([*words, f"http://127.0.0.1:{port}/"], capture_output=True, text=True, check=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if body:
        Path(words[-1]).unlink()
    return report, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def p99(port, seconds):
    """The 99th percentile of one client's latency, milliseconds."""
    report, _ = wrk(port, seconds, 1)
    return latency(report)


def latency(report):
    """The 99th percentile of a report, milliseconds."""
    value, unit = re.search(r"99%\s+([\d.]+)(us|ms|s|m)", report).groups()
    return float(value) * UNITS[unit]


def measure(session, port, seconds, connections=64, close=False, body=b"", front=None):
    """Warms up, then measures one round."""
    wrk(port, 1, connections, close, body)
    time.sleep(AFTERMATH)
    before, before_front, switched = session.cpu(), front.cpu() if front else 0, session.switches()
    report, used = wrk(port, seconds, connections, close, body)
    spent, spent_front = session.cpu() - before, (front.cpu() if front else 0) - before_front
    switches = session.switches()
    requests, took = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s|m)", report).group(1, 2)
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", report)
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", report)
    # wrk counts the close of a connection that was to be closed as an error of reading.
    trouble = failed or errors and any(int(count) for place, count in enumerate(errors.groups()) if place != 1 or not close)
    if trouble:
        print(f"    wrk complains: {trouble.group(0)}")
    count = int(requests)
    return Result(cpu=spent / count, rate=count / float(took), p99=latency(report),
                  busy=used / float(took), **switches.since(switched, count), front=spent_front / count)
