//! `gevent = N`: WSGI on greenlets. Requests that wait do so side by side in one thread, and nothing else is different.

use std::collections::BTreeSet;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::load::Load;
use crate::support::{Connection, HTTP, Running, Server, packet, process, soon, venv};

const APP: &str = r#"
import contextvars, gc, os, socket, threading, time
import gevent, gevent.event, uwsgi

WHO = contextvars.ContextVar("who", default="nobody")
GO = gevent.event.Event()
PRESENT = 0
MOST = 0
CLOSED = []
WRITTEN = []
MADE = 0

class Pieces:
    def __init__(self, name, pieces):
        self.name, self.pieces = name, pieces

    def __iter__(self):
        return self.pieces

    def close(self):
        CLOSED.append(self.name)

def pause(seconds):
    for number in range(5):
        time.sleep(seconds)
        yield b"piece %d\n" % number

def flood(number):
    for _ in range(number):
        yield b"x" * 65536

def counted():
    global MADE
    for _ in range(100):
        MADE += 1
        yield b"counted"

def broken():
    yield b"some of it"
    raise ValueError("amidst")

def application(environ, start_response):
    global PRESENT, MOST
    path, _, value = environ["PATH_INFO"][1:].partition("/")
    plain = [("Content-Type", "text/plain")]
    if path == "raise":
        raise {"exit": SystemExit, "greenlet": gevent.GreenletExit, "key": KeyboardInterrupt}[value]("as asked")
    if path == "write":
        write = start_response("200 OK", plain)
        for number in range(int(value)):
            write(b"y" * 65536)
        WRITTEN.append(path)
        return [b"end"]
    if path == "hints":
        environ["wsgi.early_hints"]([("Link", "</%s>" % value)])
        time.sleep(0.1)
        environ["wsgi.early_hints"]([("Link", "</%s/2>" % value)])
    if path == "counted":
        status, _, length = value.partition("/")
        start_response(f"{status} As Asked", [("Content-Length", length)] if length else plain)
        return Pieces(path, counted())
    start_response("200 OK", plain)
    if path == "made":
        return [b"%d" % MADE]
    if path == "sleep":
        time.sleep(float(value))
    if path == "deadline":
        uwsgi.set_user_harakiri(1)
        time.sleep(float(value))
        uwsgi.set_user_harakiri(0)
    if path == "block":
        ended = time.perf_counter() + float(value)
        while time.perf_counter() < ended:
            pass
    while path == "stubborn":
        try:
            time.sleep(600)
        except BaseException:
            pass
    while path == "spin":
        pass
    if path == "wait":
        PRESENT += 1
        MOST = max(MOST, PRESENT)
        GO.wait(60)
        PRESENT -= 1
    if path == "stay":
        PRESENT += 1
        MOST = max(MOST, PRESENT)
        time.sleep(float(value))
        PRESENT -= 1
    if path == "go":
        GO.set()
    if path == "most":
        return [b"%d" % MOST]
    if path == "present":
        return [b"%d" % PRESENT]
    if path == "who":
        before = WHO.get()
        WHO.set(value)
        gevent.sleep(0.01)
        return [("%s %s" % (before, WHO.get())).encode()]
    if path == "contexts":
        return [b"%d" % sum(type(thing) is contextvars.Context for thing in gc.get_objects())]
    if path == "echo":
        first, second = socket.socketpair()
        got = []
        reader = threading.Thread(target=lambda: got.append(second.recv(10)))
        reader.start()
        time.sleep(0.01)
        first.send(value.encode())
        reader.join()
        return got
    if path == "name":
        name = socket.getaddrinfo("localhost", 80)
        return [b"%d" % bool(name)]
    if path == "pieces":
        return Pieces(path, pause(float(value)))
    if path == "flood":
        return Pieces(path, flood(int(value)))
    if path == "broken":
        return Pieces(path, broken())
    if path == "body":
        return Pieces(path, iter([str(len(environ["wsgi.input"].read())).encode()]))
    if path == "file":
        return environ["wsgi.file_wrapper"](open(__file__, "rb"))
    if path == "written":
        return [b"%d" % len(WRITTEN)]
    if path == "closed":
        return [" ".join(CLOSED).encode()]
    if path == "greenlet":
        return [type(gevent.getcurrent()).__name__.encode(), b" %r" % environ["wsgi.multithread"]]
    return [b"%d" % os.getpid()]
"#;

/// A server with so many greenlets, and these lines too. `None`: there is no gevent.
fn server(greenlets: usize, lines: &str) -> Option<Running> {
    let home = venv::with("gevent")?;
    let ini = format!(
        "{HTTP}home = {}\ngevent = {greenlets}\ngevent-monkey-patch = true\n{lines}",
        home.display()
    );
    Some(Server::new().app(APP).ini(&ini).start())
}

/// What comes of a chunked body up to its end.
fn rest_of_chunks(client: &mut Connection) -> String {
    let mut body = Vec::new();
    while let Some(chunk) = client.chunk().unwrap() {
        body.extend(chunk);
    }
    String::from_utf8(body).unwrap()
}

#[test]
fn fifty_requests_that_sleep_do_so_at_once() {
    let Some(server) = server(100, "") else { return };
    server.get("/");
    let begun = Instant::now();
    let sleepers: Vec<Connection> = (0..50).map(|_| server.ask("/sleep/1.5")).collect();
    for mut sleeper in sleepers {
        assert_eq!(sleeper.response().status, 200);
    }
    // One after the other they would take 75 s.
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    assert_eq!(server.get("/greenlet").text(), "Greenlet True");
}

#[test]
fn no_more_requests_run_at_once_than_there_are_greenlets() {
    let Some(server) = server(5, "") else { return };
    let clients: Vec<Connection> = (0..22).map(|_| server.ask("/stay/0.1")).collect();
    for mut client in clients {
        assert_eq!(client.response().status, 200);
    }
    assert_eq!(server.get("/most").text(), "5");
    // One is left for the others, as long as four stay.
    let waiting: Vec<Connection> = (0..4).map(|_| server.ask("/wait")).collect();
    soon("four are there", || server.get("/present").text() == "4");
    let more: Vec<Connection> = (0..20).map(|_| server.ask("/sleep/0.02")).collect();
    for mut client in more {
        assert_eq!(client.response().status, 200);
    }
    server.get("/go");
    for mut client in waiting {
        assert_eq!(client.response().status, 200);
    }
    assert_eq!(server.get("/most").text(), "5");
}

#[test]
fn what_waits_for_a_greenlet_is_answered_when_one_is_free() {
    let Some(server) = server(3, "") else { return };
    let clients: Vec<Connection> = (0..60)
        .map(|number| server.ask(if number % 2 == 0 { "/sleep/0.05" } else { "/" }))
        .collect();
    for mut client in clients {
        assert_eq!(client.response().status, 200);
    }
    let mut kept = server.connect();
    kept.send("GET /sleep/0.01 HTTP/1.1\r\nHost: a\r\n\r\n".repeat(20));
    for _ in 0..20 {
        assert_eq!(kept.response().status, 200);
    }
}

#[test]
fn the_librarys_sockets_threads_and_names_wait_as_greenlets_do() {
    let Some(server) = server(20, "") else { return };
    let slow = server.ask("/sleep/2");
    for _ in 0..3 {
        assert_eq!(server.get("/echo/over").text(), "over");
        assert_eq!(server.get("/name").text(), "1");
    }
    drop(slow);
}

#[test]
fn every_request_has_a_context_of_its_own() {
    let Some(server) = server(10, "") else { return };
    for _ in 0..3 {
        let mut clients: Vec<(String, Connection)> = (0..8)
            .map(|number| (number.to_string(), server.ask(&format!("/who/{number}"))))
            .collect();
        for (number, client) in &mut clients {
            assert_eq!(client.response().text(), format!("nobody {number}"));
        }
    }
}

#[test]
fn what_a_request_was_given_goes_with_it() {
    let Some(server) = server(10, "") else { return };
    let mut client = server.connect();
    for _ in 0..300 {
        assert_eq!(client.get("/who/a").status, 200);
    }
    let contexts: usize = client.get("/contexts").text().parse().unwrap();
    assert!(contexts < 50, "{contexts}");
}

#[test]
fn answers_stream_while_others_are_answered() {
    let Some(server) = server(10, "") else { return };
    let mut streams: Vec<Connection> = (0..5).map(|_| server.ask("/pieces/0.1")).collect();
    assert_eq!(server.get("/closed").text(), "");
    for stream in &mut streams {
        let head = stream.head().unwrap();
        assert_eq!(head.status, 200);
        assert_eq!(stream.chunk().unwrap().unwrap(), b"piece 0\n");
    }
    for stream in &mut streams {
        assert_eq!(rest_of_chunks(stream), "piece 1\npiece 2\npiece 3\npiece 4\n");
    }
    soon("all are closed", || {
        server.get("/closed").text() == ["pieces"; 5].join(" ")
    });
}

#[test]
fn a_client_that_reads_nothing_holds_up_a_greenlet_and_no_one_else() {
    for target in ["/flood/400", "/write/400"] {
        let Some(server) = server(4, "") else { return };
        let mut slow = server.ask(target);
        thread::sleep(Duration::from_millis(300));
        for _ in 0..20 {
            assert_eq!(server.get("/").status, 200);
        }
        assert_eq!(server.get("/closed").text(), "", "it has not been read");
        assert_eq!(server.get("/written").text(), "0", "it has not been read");
        let worker = server.workers()[0];
        assert!(process::resident_bytes(worker) < 200 << 20, "nothing piles up");
        let response = slow.response();
        assert!(response.body.len() >= 400 * 65536, "{}", response.body.len());
        soon("it is done", || {
            server.get("/closed").text() == "flood" || server.get("/written").text() == "1"
        });
    }
}

#[test]
fn a_client_that_goes_has_its_answer_closed() {
    let Some(server) = server(4, "") else { return };
    let gone = server.ask("/flood/4000");
    thread::sleep(Duration::from_millis(200));
    gone.reset();
    soon("the one that waited for its client is closed", || {
        server.get("/closed").text() == "flood"
    });
    let mut gone = server.ask("/pieces/0.2");
    assert_eq!(gone.head().unwrap().status, 200);
    gone.reset();
    soon("the one that slept is closed", || {
        server.get("/closed").text() == "flood pieces"
    });
    // All are free again.
    let sleepers: Vec<Connection> = (0..4).map(|_| server.ask("/sleep/0.2")).collect();
    for mut sleeper in sleepers {
        assert_eq!(sleeper.response().status, 200);
    }
}

#[test]
fn whatever_an_application_raises_is_a_500_and_the_worker_serves_on() {
    let Some(server) = server(2, "") else { return };
    let pid = server.get("/").text().to_owned();
    for (target, name) in [
        ("/raise/exit", "SystemExit"),
        ("/raise/greenlet", "GreenletExit"),
        ("/raise/key", "KeyboardInterrupt"),
    ] {
        for _ in 0..3 {
            assert_eq!(server.get(target).status, 500);
        }
        server.wait_for_log(&["the application raised"]);
        server.wait_for_log(&[name, "as asked"]);
    }
    let mut broken = server.ask("/broken");
    assert_eq!(broken.head().unwrap().status, 200);
    assert_eq!(broken.chunk().unwrap().unwrap(), b"some of it");
    assert!(broken.chunk().is_err(), "it is cut");
    server.wait_for_log(&["the application raised amidst its answer"]);
    assert_eq!(server.get("/closed").text(), "broken");
    assert_eq!(server.get("/").text(), pid);
}

#[test]
fn harakiri_kills_a_greenlet_and_leaves_the_others_alone() {
    let Some(server) = server(10, "harakiri = 2\n") else {
        return;
    };
    let pid = server.get("/").text().to_owned();
    let mut stuck: Vec<Connection> = ["/sleep/600", "/wait", "/pieces/600"]
        .map(|target| server.ask(target))
        .into();
    let mut long = server.ask("/pieces/0.8");
    for client in &mut stuck[..2] {
        assert_eq!(client.response().status, 504);
    }
    assert_eq!(stuck[2].response().status, 504, "nothing of it had gone");
    assert_eq!(long.head().unwrap().status, 200);
    assert_eq!(
        rest_of_chunks(&mut long),
        "piece 0\npiece 1\npiece 2\npiece 3\npiece 4\n",
        "longer than the limit, all in all"
    );
    server.wait_for_log(&["\"GET /sleep/600\" from 127.0.0.1:", "(harakiri = 2)"]);
    server.wait_for_log(&["\"GET /sleep/600\": its greenlet is killed, where it waits"]);
    server.wait_for_log(&["app.py", "in application"]);
    soon("all are over", || server.get("/closed").text() == "pieces pieces");
    assert_eq!(server.get("/").text(), pid, "{}", server.log());
    let sleepers: Vec<Connection> = (0..9).map(|_| server.ask("/sleep/0.5")).collect();
    for mut sleeper in sleepers {
        assert_eq!(sleeper.response().text(), pid);
    }
}

#[test]
fn a_greenlet_that_takes_no_notice_or_never_waits_costs_its_worker() {
    for target in ["/stubborn", "/spin"] {
        let lines = "harakiri = 1\nharakiri-graceful-timeout = 1\n";
        let Some(server) = server(10, lines) else { return };
        let pid = server.get("/").text().to_owned();
        let mut stuck = server.ask(target);
        assert_eq!(stuck.response().status, 504);
        server.wait_for_log(&[&format!("takes over from pid {pid}")]);
        soon("it is dead", || !process::is_alive(pid.parse().unwrap()));
        assert_ne!(server.get("/").text(), pid);
    }
}

#[test]
fn a_deadline_of_the_applications_own_is_its_greenlets() {
    let Some(server) = server(10, "") else { return };
    let pid = server.get("/").text().to_owned();
    let mut stuck = server.ask("/deadline/600");
    let mut quick = server.ask("/deadline/0.2");
    let mut other = server.ask("/sleep/3");
    assert_eq!(quick.response().text(), pid);
    assert_eq!(stuck.response().status, 504);
    assert_eq!(other.response().text(), pid);
    server.wait_for_log(&["\"GET /deadline/600\": its greenlet is killed"]);
    assert_eq!(server.get("/").text(), pid, "{}", server.log());
}

#[test]
fn what_never_waits_is_named_by_the_log() {
    let Some(server) = server(10, "slow-callback = 0.3\n") else {
        return;
    };
    assert_eq!(server.get("/block/1.5").status, 200);
    server.wait_for_log(&["app.py\", line ", "in application"]);
}

#[test]
fn bodies_files_hints_and_heads_are_as_on_threads() {
    let Some(server) = server(4, "post-buffering = 4096\n") else {
        return;
    };
    for length in [0, 10, 100_000, 3_000_000] {
        let body = vec![b'b'; length];
        assert_eq!(server.connect().post("/body", &body).text(), length.to_string());
    }
    assert_eq!(server.get("/file").text(), APP);
    let mut first = server.ask("/hints/1");
    let mut second = server.ask("/hints/2");
    for (client, number) in [(&mut first, "1"), (&mut second, "2")] {
        for link in [format!("</{number}>"), format!("</{number}/2>")] {
            let hint = client.head().unwrap();
            assert_eq!((hint.status, hint.header("Link")), (103, Some(&*link)));
        }
        assert_eq!(client.response().status, 200);
    }
    let mut connection = server.connect();
    connection.send("HEAD /flood/3 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(connection.head().unwrap().status, 200);
    assert_eq!(connection.get("/").status, 200, "no body is between the two");
}

#[test]
fn what_no_client_gets_is_not_asked_for() {
    let Some(server) = server(4, "") else { return };
    let mut connection = server.connect();
    let mut made = 0;
    for (method, target, pieces) in [
        ("HEAD", "/counted/200", 1),
        ("GET", "/counted/204", 1),
        ("GET", "/counted/205", 1),
        ("GET", "/counted/304", 1),
        ("GET", "/counted/200/7", 1),
        ("GET", "/counted/200/21", 3),
        ("HEAD", "/write/3", 0),
    ] {
        connection.send(format!("{method} {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let head = connection.head().unwrap();
        assert!(head.status < 400, "{target}");
        if let Some((_, length)) = target.split_once("200/") {
            connection.read_exact(&mut vec![0; length.parse().unwrap()]);
        }
        made += pieces;
        assert_eq!(
            connection.get("/made").text(),
            made.to_string(),
            "{method} {target}"
        );
    }
    assert_eq!(
        connection.get("/written").text(),
        "1",
        "writing for HEAD is no error"
    );
    assert!(!server.log().contains("Traceback"), "{}", server.log());
}

#[test]
fn the_uwsgi_protocol_reaches_greenlets_as_well() {
    let Some(server) = server(20, "socket = app.sock\n") else {
        return;
    };
    let begun = Instant::now();
    let mut clients: Vec<Connection> = (0..15)
        .map(|_| {
            let mut client = server.connect_unix("app.sock");
            client.send(packet::request("GET", "/sleep/1", &[]));
            client
        })
        .collect();
    for client in &mut clients {
        let answer = client.rest();
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"), "{answer:?}");
    }
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

#[test]
fn a_worker_that_is_asked_to_leave_finishes_its_greenlets() {
    let Some(mut server) = server(10, "") else { return };
    let mut slow: Vec<Connection> = (0..5).map(|_| server.ask("/pieces/0.3")).collect();
    for client in &mut slow {
        assert_eq!(client.head().unwrap().status, 200);
    }
    server.signal(Signal::SIGTERM);
    for client in &mut slow {
        assert_eq!(
            rest_of_chunks(client),
            "piece 0\npiece 1\npiece 2\npiece 3\npiece 4\n"
        );
    }
    assert!(server.wait_for_end().success());
}

#[test]
fn reloads_under_load_lose_nothing() {
    let Some(home) = venv::with("gevent") else { return };
    let app = "\
import os, time
def application(environ, start_response):
    time.sleep(0.005)
    start_response('200 OK', [])
    return iter([b'%d' % os.getpid(), b''])
";
    let ini = format!(
        "{HTTP}home = {}\ngevent = 10\ngevent-monkey-patch = true\nprocesses = 2\nworker-reload-mercy = 30\n",
        home.display()
    );
    let server = Server::new().app(app).ini(&ini).start();
    let load = Load::start(server.port(), 4, 12);
    for _ in 0..5 {
        load.wait_for(200);
        server.reload();
    }
    load.wait_for(200);
    let report = load.finish();
    assert!(report.lost.is_empty(), "{:#?}", report.lost);
    let workers: BTreeSet<u64> = report.answered.iter().map(|answered| answered.value).collect();
    assert!(workers.len() >= 10, "{workers:?}");
}

#[test]
fn max_requests_and_several_workers_lose_nothing_either() {
    let Some(server) = server(8, "processes = 2\nmax-requests = 100\n") else {
        return;
    };
    let load = Load::start(server.port(), 4, 8);
    load.wait_for(2000);
    let report = load.finish();
    assert!(report.lost.is_empty(), "{:#?}\n{}", report.lost, server.log());
}

#[test]
fn a_worker_without_a_free_greenlet_leaves_requests_to_the_other() {
    let Some(server) = server(2, "processes = 2\n") else {
        return;
    };
    let mut clients: Vec<Connection> = (0..16).map(|_| server.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.get("/").status, 200);
    }
    let mut sleeping: Vec<Connection> = (0..2).map(|_| server.ask("/sleep/4")).collect();
    let begun = Instant::now();
    for client in &mut clients {
        assert_eq!(client.get("/").status, 200);
    }
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    for client in &mut sleeping {
        assert_eq!(client.response().status, 200);
    }
}

#[test]
fn what_an_application_starts_when_it_is_imported_lives_on_in_its_workers() {
    let Some(home) = venv::with("gevent") else { return };
    let app = "\
import os, threading, time, gevent
TICKS = []
def tick():
    while True:
        TICKS.append(os.getpid())
        time.sleep(0.02)
threading.Thread(target=tick, daemon=True).start()
gevent.spawn(tick)
time.sleep(0.05)
gevent.get_hub().threadpool.apply(os.getpid)
def application(environ, start_response):
    start_response('200 OK', [])
    ours = TICKS.count(os.getpid())
    found = gevent.get_hub().threadpool.apply(os.getpid) == os.getpid()
    return [b'%d %d' % (ours > 4, found)]
";
    let ini = format!(
        "{HTTP}home = {}\ngevent = 10\ngevent-monkey-patch = true\nprocesses = 2\n",
        home.display()
    );
    let server = Server::new().app(app).ini(&ini).start();
    soon("both tick", || server.get("/").text() == "1 1");
    assert_eq!(server.count_log("do not live on"), 0, "{}", server.log());
    assert_eq!(server.count_log("an event loop (epoll)"), 0, "{}", server.log());
}

#[test]
fn lazy_applications_and_a_single_process_have_greenlets_too() {
    for lines in ["lazy-apps = true\n", "master = false\n"] {
        let Some(server) = server(10, lines) else { return };
        let sleepers: Vec<Connection> = (0..8).map(|_| server.ask("/sleep/0.5")).collect();
        for mut sleeper in sleepers {
            assert_eq!(sleeper.response().status, 200);
        }
    }
}

#[test]
fn an_asgi_application_is_refused_and_so_is_a_python_without_gevent() {
    let Some(home) = venv::with("gevent") else { return };
    let app = "async def application(scope, receive, send):\n    pass\n";
    let ini = format!("{HTTP}home = {}\ngevent = 10\n", home.display());
    Server::new()
        .app(app)
        .ini(&ini)
        .run()
        .assert_refused(22, &["gevent: app:application speaks ASGI", "leave gevent out"]);
    let server = Server::new()
        .app(APP)
        .ini(&format!("{HTTP}home = empty\ngevent = 10\n"));
    let made = Command::new(home.join("bin/python"))
        .args(["-m", "venv", "--without-pip"])
        .arg(server.path().join("empty"))
        .status()
        .unwrap();
    assert!(made.success());
    server.run().assert_refused(
        22,
        &[
            "gevent = 10: it is not installed in ",
            "/empty (Python 3.",
            "pip install gevent",
        ],
    );
}
