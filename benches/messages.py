"""Load for servers that echo WebSocket messages, by echoes.rs, which checks every echo."""

import re
import resource
import subprocess

from load import Result
from servers import ECHOES

# Of one round; enough that no server waits for a client.
CLIENTS = 64


def echoes(port, seconds, size, text, clients):
    """Runs the clients; gives how many messages were echoed, in how many seconds, the 99th percentile in milliseconds, and
    the processor seconds that the clients used."""
    if not ECHOES.exists():
        raise SystemExit(f"{ECHOES} is not there: cargo build --release --example echoes")
    words = [ECHOES, port, clients, size, seconds, *(["--text"] if text else [])]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    report = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if report.returncode:
        raise SystemExit(f"echoes: {report.stderr}")
    count, took, p99 = re.match(r"(\d+) messages in ([\d.]+) s, 99% ([\d.]+) ms", report.stdout).groups()
    return int(count), float(took), float(p99), after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(session, port, seconds, size, text):
    """Warms up, then measures one round."""
    # Few clients with large messages: what the kernel keeps of them is not to be what is measured.
    clients = CLIENTS if size < 65536 else 8
    echoes(port, 1, size, text, clients)
    before, switched = session.cpu(), session.switches()
    count, took, p99, used = echoes(port, seconds, size, text, clients)
    spent, switches = session.cpu() - before, session.switches()
    if not count:
        raise SystemExit("echoes: no message came back")
    return Result(cpu=spent / count, rate=count / took, p99=p99, busy=used / took, **switches.since(switched, count))
