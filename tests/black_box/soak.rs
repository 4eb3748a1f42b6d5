//! Requests of every kind, by the thousand: what they took is given back.
//!
//! A short run by default. `UWRS_SOAK=50000` says how many requests of each kind there are after the first tenth.

use std::thread;

use crate::support::growth::{Growth, number};
use crate::support::{Connection, HTTP, Running, Server, TOOLBOX, packet, venv};

const LINES: &str = "
def file(environ, start_response, rest):
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return environ['wsgi.file_wrapper'](open(__file__, 'rb'))
TOOLS['file'] = file
";

/// How an exchange goes.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Plain,
    Upload,
    /// A body that goes to a temporary file.
    LargeUpload,
    Stream,
    File,
    Large,
    Error,
    ErrorAmidst,
    Refused,
    /// The client goes after the head of its answer.
    Gone,
}

const KINDS: [Kind; 10] = [
    Kind::Plain,
    Kind::Upload,
    Kind::LargeUpload,
    Kind::Stream,
    Kind::File,
    Kind::Large,
    Kind::Error,
    Kind::ErrorAmidst,
    Kind::Refused,
    Kind::Gone,
];

impl Kind {
    fn target(self) -> &'static str {
        match self {
            Self::Plain => "/",
            Self::Upload | Self::LargeUpload => "/digest",
            Self::Stream => "/stream/20/100",
            Self::File => "/file",
            Self::Large => "/zeros/200000",
            Self::Error => "/fail",
            Self::ErrorAmidst => "/fail-late",
            Self::Refused => "no-target",
            Self::Gone => "/stream/100000/10000",
        }
    }

    fn body(self) -> Vec<u8> {
        match self {
            Self::Upload => vec![b'x'; 1000],
            Self::LargeUpload => vec![b'x'; 40_000],
            _ => Vec::new(),
        }
    }

    /// Does the connection end with it?
    fn ends(self) -> bool {
        matches!(self, Self::ErrorAmidst | Self::Refused | Self::Gone)
    }

    /// One exchange, as far as this kind of client goes.
    fn finish(self, connection: &mut Connection) {
        match self {
            Self::ErrorAmidst => drop(connection.rest_until_cut()),
            Self::Gone => drop(connection.head().unwrap()),
            _ => drop(connection.response()),
        }
    }
}

/// A request with a body.
pub(crate) fn post(target: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

fn over_http(server: &Running, kind: Kind, count: usize) {
    let request = post(kind.target(), &kind.body());
    let mut connection = server.connect();
    for _ in 0..count {
        connection.send(&request);
        kind.finish(&mut connection);
        if kind.ends() {
            connection = server.connect();
        }
    }
}

fn over_uwsgi(server: &Running, kind: Kind, count: usize) {
    let body = kind.body();
    let length = body.len().to_string();
    let head = packet::request("POST", kind.target(), &[("CONTENT_LENGTH", &length)]);
    let request = [head, body].concat();
    for _ in 0..count {
        let mut connection = server.connect_unix("uwsgi.sock");
        connection.send(&request);
        kind.finish(&mut connection);
    }
}

fn soak(lines: &str) {
    let count = number("UWRS_SOAK", 500);
    let ini =
        format!("{HTTP}socket = %duwsgi.sock\n{lines}\npost-buffering = 20000\ndisable-logging = true\n");
    let server = Server::new()
        .app(&format!("{TOOLBOX}\n{LINES}"))
        .ini(&ini)
        .start();
    let worker = server.settle(1)[0];
    let mut growth = Growth::of(worker);
    for kind in KINDS {
        for (protocol, run) in [
            ("http", over_http as fn(&Running, Kind, usize)),
            ("uwsgi", over_uwsgi),
        ] {
            growth.assert_none(
                &format!("{kind:?} by {protocol}"),
                count / 10 + 300,
                count,
                |count| run(&server, kind, count),
            );
        }
    }
    growth.tell();
    assert_eq!(server.settle(1), [worker], "the worker is the same");
}

#[test]
fn memory_is_flat_over_requests_of_every_kind() {
    soak("");
}

#[test]
fn memory_is_flat_over_requests_of_every_kind_with_threads() {
    soak("threads = 3");
}

#[test]
fn clients_that_leave_amidst_side_by_side_shut_nobody_out() {
    let server = Server::new()
        .app(&format!("{TOOLBOX}\ndel Stream.close\n"))
        .ini(&format!(
            "{HTTP}socket = %duwsgi.sock\nthreads = 3\ndisable-logging = true\n"
        ))
        .start();
    let count = number("UWRS_SOAK", 500) * 4;
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| over_uwsgi(&server, Kind::Gone, count));
        }
    });
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn memory_is_flat_over_requests_of_every_kind_on_greenlets() {
    let Some(home) = venv::with("gevent") else { return };
    soak(&format!(
        "home = {}\ngevent = 20\ngevent-monkey-patch = true",
        home.display()
    ));
}
