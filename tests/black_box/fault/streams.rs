//! Streamed answers amidst everything that goes wrong: clients that follow them, and what their application notes of the
//! threads that it runs on.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::Dice;
use crate::support::record::Record;
use crate::support::{Connection, Response, Running, packet};

/// `/numbered/NAME/PIECES/SIZE/PAUSE`: pieces that say which they are and whose, from the process that the head names. The
/// file `notes` tells of each stream that it has begun (`+`) and was closed (`-`), and what of it was on another thread than its
/// call, or on one that was another's (`!`).
pub(super) const NUMBERED: &str = r#"
import threading

del Stream.close
NOTES = os.open("notes", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
LOCAL = threading.local()


class Numbered:
    def __init__(self, name, pieces, size, pause):
        self.name, self.thread, self.pieces = name, threading.get_native_id(), self.run(pieces, size, pause)
        LOCAL.owner = self
        self.note("+")

    def note(self, mark):
        os.write(NOTES, f"{mark} {os.getpid()} {self.name}\n".encode())

    def look(self, what):
        if LOCAL.__dict__.get("owner") is not self or self.thread != threading.get_native_id():
            self.note(f"! {what}")

    def run(self, pieces, size, pause):
        for number in range(pieces):
            self.look("piece")
            time.sleep(pause)
            words = b"%08d %s " % (number, self.name.encode())
            yield (words * (size // len(words) + 1))[:size]

    def __iter__(self):
        return self

    def __next__(self):
        self.look("next")
        return next(self.pieces)

    def close(self):
        self.look("close")
        LOCAL.owner = None
        self.pieces.close()
        self.note("-")


def numbered(environ, start_response, rest):
    name, pieces, size, pause = rest.split("/")
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Process", str(os.getpid()))])
    return Numbered(name, int(pieces), int(size), float(pause))


TOOLS["numbered"] = numbered
toolbox = application


def application(environ, start_response):
    owner = getattr(LOCAL, "owner", None)
    if owner is not None:
        owner.note(f"! {environ['PATH_INFO']} beside")
    return toolbox(environ, start_response)
"#;

/// Kinds of streams: pieces, their bytes, the application's pause before each in seconds. The first two are more than the kernel
/// keeps for a client that does not read.
const KINDS: [(usize, usize, f32); 4] = [
    (200, 20_000, 0.0),
    (2000, 2000, 0.0),
    (30, 1000, 0.0),
    (40, 3000, 0.01),
];

/// A stream to ask for.
struct Stream {
    name: String,
    pieces: usize,
    size: usize,
    pause: f32,
}

impl Stream {
    fn target(&self) -> String {
        let Self {
            name,
            pieces,
            size,
            pause,
        } = self;
        format!("/numbered/{name}/{pieces}/{size}/{pause}")
    }

    fn body(&self) -> Vec<u8> {
        let piece = |number| {
            let words = format!("{number:08} {} ", self.name).into_bytes();
            let mut piece = words.repeat(self.size / words.len() + 1);
            piece.truncate(self.size);
            piece
        };
        (0..self.pieces).flat_map(piece).collect()
    }
}

/// A client of streams, slow or not, which checks every byte, or leaves amidst.
pub(super) fn follow(port: u16, path: &Path, record: &Record, seed: u64) {
    let mut dice = Dice(seed);
    let speaks_uwsgi = seed.is_multiple_of(3);
    let mut kept: Option<Connection> = None;
    for number in 0.. {
        if !record.goes_on() {
            return;
        }
        let (pieces, size, pause) = KINDS[dice.below(KINDS.len())];
        let stream = Stream {
            name: format!("{seed}-{number}"),
            pieces,
            size,
            pause,
        };
        let target = stream.target();
        let sent = Instant::now();
        let (request, mut connection) = if speaks_uwsgi {
            (packet::request("GET", &target, &[]), Connection::unix(path))
        } else {
            let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes();
            (request, kept.take().unwrap_or_else(|| Connection::narrow(port)))
        };
        let head = match connection.try_send(request).and_then(|()| connection.head()) {
            Ok(head) => head,
            Err(why) => {
                record.lose(sent, target, why);
                continue;
            }
        };
        let Some(worker) = head.header("X-Process").map(|pid| pid.parse().unwrap()) else {
            let wrong = format!("{target}: {}", head.status);
            record.wrong.lock().unwrap().push(wrong);
            continue;
        };
        if dice.below(2) == 0 {
            thread::sleep(Duration::from_millis(dice.below(700) as u64));
        }
        match dice.below(6) {
            0 => continue,
            1 => {
                connection.reset();
                continue;
            }
            2 => connection.widen(),
            _ => {}
        }
        let expected = stream.body();
        match read_body(&mut connection, &head) {
            Ok(body) if body == expected => {
                record.streamed.fetch_add(1, Ordering::Relaxed);
                kept = (!head.says_close()).then_some(connection);
            }
            // uwsgi has no end of a body but the end of the connection, where there is no length.
            Ok(body) if speaks_uwsgi && expected.starts_with(&body) => {
                record.lose_with(worker, sent, target, io::ErrorKind::UnexpectedEof.into());
            }
            Ok(body) => {
                let wrong = format!("{target}: {} other bytes", body.len());
                record.wrong.lock().unwrap().push(wrong);
            }
            Err(why) => record.lose_with(worker, sent, target, why),
        }
    }
}

/// Reads the body that follows that head.
fn read_body(connection: &mut Connection, head: &Response) -> io::Result<Vec<u8>> {
    if head.header("Transfer-Encoding").is_none() {
        return connection.rest_until_end();
    }
    let mut body = Vec::new();
    while let Some(chunk) = connection.chunk()? {
        body.extend(chunk);
    }
    Ok(body)
}

/// What the application has noted of its streams that should not be: what was on a wrong thread; streams that were never closed
/// though their worker was not killed.
pub(super) fn misdeeds(server: &Running) -> Vec<String> {
    let notes = fs::read_to_string(server.file("notes")).unwrap();
    let log = server.log();
    let ends = ["was killed by SIGKILL", "did not leave within"];
    let was_killed = |pid: &str| ends.iter().any(|end| log.contains(&format!("(pid {pid}) {end}")));
    let mut open = HashMap::new();
    let mut wrong = Vec::new();
    for line in notes.lines() {
        let (mark, stream) = line.split_once(' ').unwrap();
        match mark {
            "+" => *open.entry(stream).or_insert(0) += 1,
            "-" => *open.entry(stream).or_insert(0) -= 1,
            _ => wrong.push(line.to_owned()),
        }
    }
    for (stream, count) in open {
        let (pid, _) = stream.split_once(' ').unwrap();
        if count != 0 && !was_killed(pid) {
            wrong.push(format!("{stream}: {count} times more begun than closed"));
        }
    }
    wrong
}
