"""A server as a session of processes: started, watched through /proc, stopped."""

import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

TICK = 1_000_000 / os.sysconf("SC_CLK_TCK")
APPS = Path(__file__).resolve().parent / "apps"


@dataclass(frozen=True)
class Switches:
    """Context switches."""

    waited: int
    ousted: int

    def since(self, before, requests):
        """Both, for each of the requests that came since `before`."""
        return {"waited": (self.waited - before.waited) / requests, "ousted": (self.ousted - before.ousted) / requests}


class Session:
    """A program and all that it starts."""

    def __init__(self, command, log):
        self.log = log
        self.started = time.monotonic()
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(APPS)}
        with open(log, "wb") as file:
            self.process = subprocess.Popen([str(word) for word in command], cwd=APPS, env=environment, stdout=file,
                                            stderr=file, stdin=subprocess.DEVNULL, start_new_session=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            pass
        for pid, _ in self.members():
            os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def members(self):
        """Every living process of the session, with the fields of its stat behind the name."""
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                fields = Path("/proc", entry, "stat").read_text().rpartition(") ")[2].split()
            except OSError:
                continue
            if int(fields[3]) == self.process.pid and fields[0] != "Z":
                yield int(entry), fields

    def cpu(self):
        """Microseconds of processor that the session has used, those of its reaped children too."""
        # utime, stime, cutime, cstime: the last two count children that were waited for, which are no longer listed.
        return sum(int(field) for _, fields in self.members() for field in fields[11:15]) * TICK

    def switches(self):
        """How often the threads of the session have left the processor: because they waited, and because others were to
        have it. Those of threads that have ended are not known."""
        waited = ousted = 0
        for pid, _ in self.members():
            for status in Path(f"/proc/{pid}/task").glob("*/status"):
                try:
                    lines = status.read_text().splitlines()
                except OSError:
                    continue
                counts = {name: int(count) for name, _, count in (line.partition(":") for line in lines)
                          if name.endswith("_ctxt_switches")}
                waited += counts["voluntary_ctxt_switches"]
                ousted += counts["nonvoluntary_ctxt_switches"]
        return Switches(waited, ousted)

    def cpu_share(self, seconds):
        """The share of one processor that the session uses in the next `seconds`."""
        before = self.cpu()
        time.sleep(seconds)
        return (self.cpu() - before) / 1e6 / seconds

    def pss(self):
        """Bytes of memory, shared pages divided among those that share them."""
        return self.pages("Pss:")

    def private(self):
        """Bytes of memory that are no one else's."""
        return self.pages("Private_Clean:", "Private_Dirty:")

    def pages(self, *kinds):
        total = 0
        for pid, _ in self.members():
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith(kinds):
                    total += int(line.split()[1]) * 1024
        return total

    def first_answer(self, ask, patience=60):
        """Waits until `ask` gives an answer; seconds since the start."""
        deadline = self.started + patience
        while True:
            try:
                ask()
                return time.monotonic() - self.started
            except (OSError, ValueError) as error:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"{self.process.args[0]} does not answer ({error}):\n"
                                     + Path(self.log).read_text(errors="replace")) from error
                time.sleep(0.001)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answer(address, method="GET", body=b""):
    """Asks once over a connection of its own; gives the body. Raises OSError or ValueError."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as connection:
        connection.settimeout(10)
        connection.connect(address)
        head = f"{method} / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode() + body)
        received = b""
        while True:
            head, end, content = received.partition(b"\r\n\r\n")
            length = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
            if end and length and len(content) >= int(length[0]):
                break
            piece = connection.recv(1 << 20)
            if not piece:
                break
            received += piece
    if not received.split(b" ")[1:2] == [b"200"]:
        raise ValueError(f"answered {received[:200]!r}")
    return received, content
