//! `threads = N`: requests side by side in one worker, and what none of them may do to the others.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::load::Load;
use crate::support::wait::PATIENCE;
use crate::support::{Connection, HTTP, Running, Server, eventually, process, soon};

/// A worker with so many threads.
fn server(threads: usize) -> Running {
    Server::new().ini(&format!("{HTTP}threads = {threads}")).start()
}

/// An application whose requests meet: each waits until `PATH_INFO` of them are there, and says so; or until a file is.
const MEETING: &str = r#"
import os, threading, time

ARRIVED = threading.Condition()
COUNT = 0

def application(environ, start_response):
    global COUNT
    start_response("200 OK", [("Content-Type", "text/plain")])
    path = environ["PATH_INFO"]
    if path == "/hello":
        return [b"hello\n"]
    if path == "/release":
        with ARRIVED:
            COUNT += 1000
            ARRIVED.notify_all()
        return [b"released\n"]
    if path == "/count":
        return [b"%d" % COUNT]
    if path.startswith("/until/"):
        while not os.path.exists(path[7:]):
            time.sleep(0.005)
        return [b"free\n"]
    with ARRIVED:
        COUNT += 1
        ARRIVED.notify_all()
        met = ARRIVED.wait_for(lambda: COUNT >= int(path[1:]), 20)
    return [b"met" if met else b"alone"]
"#;

fn meeting(threads: usize) -> Running {
    Server::new()
        .app(MEETING)
        .ini(&format!("{HTTP}threads = {threads}"))
        .start()
}

#[test]
fn as_many_requests_run_at_once_as_there_are_threads() {
    let server = meeting(4);
    let guests: Vec<Connection> = (0..4).map(|_| server.ask("/4")).collect();
    for mut guest in guests {
        assert_eq!(guest.response().text(), "met");
    }
}

#[test]
fn a_request_overtakes_those_that_wait_as_long_as_a_thread_is_free() {
    let server = meeting(4);
    let stuck: Vec<Connection> = (0..3).map(|_| server.ask("/1000")).collect();
    soon("three are there", || server.get("/count").text() == "3");
    let mut client = server.connect();
    for _ in 0..200 {
        assert_eq!(client.get("/hello").text(), "hello\n");
    }
    assert_eq!(client.get("/release").text(), "released\n");
    for mut guest in stuck {
        assert_eq!(guest.response().text(), "met");
    }
}

#[test]
fn what_comes_while_all_threads_are_busy_waits_and_is_answered() {
    let server = meeting(2);
    let mut stuck: Vec<Connection> = ["/until/first", "/until/second"]
        .map(|target| server.ask(target))
        .into();
    let mut later: Vec<Connection> = (0..40).map(|_| server.ask("/hello")).collect();
    later[0].set_patience(Duration::from_millis(200));
    assert!(!later[0].has_more(), "there was a third thread");
    later[0].set_patience(PATIENCE);
    // One of the two makes way.
    server.write("first", "");
    for client in &mut later {
        assert_eq!(client.response().text(), "hello\n");
    }
    server.write("second", "");
    for guest in &mut stuck {
        assert_eq!(guest.response().text(), "free\n");
    }
}

#[test]
fn a_slow_request_among_quick_ones_delays_none_of_them_by_much() {
    let server = server(4);
    let mut clients: Vec<Connection> = (0..4).map(|_| server.connect()).collect();
    let mut connection = server.connect();
    let slow = thread::spawn(move || {
        for _ in 0..10 {
            assert_eq!(connection.get("/sleep/0.3").text(), "slept\n");
        }
    });
    let mut took: Vec<Duration> = Vec::new();
    while !slow.is_finished() {
        for client in &mut clients {
            let asked = Instant::now();
            assert_eq!(client.get("/hello").text(), "hello\n");
            took.push(asked.elapsed());
        }
    }
    slow.join().unwrap();
    took.sort();
    let p99 = took[took.len() * 99 / 100];
    assert!(
        p99 < Duration::from_millis(100),
        "p99 of {} quick requests is {p99:?}",
        took.len()
    );
}

#[test]
fn a_generator_that_takes_its_time_holds_no_one_up() {
    let server = server(2);
    let mut stream = server.ask("/stream/4/10/0.5");
    assert_eq!(stream.head().unwrap().status, 200);
    let begun = Instant::now();
    let mut client = server.connect();
    for _ in 0..50 {
        assert_eq!(client.get("/hello").text(), "hello\n");
    }
    let took = begun.elapsed();
    assert!(
        took < Duration::from_millis(1000),
        "50 answers beside a stream took {took:?}"
    );
    let mut pieces = 0;
    while let Some(piece) = stream.chunk().unwrap() {
        assert_eq!(piece, b"ssssssssss");
        pieces += 1;
    }
    assert_eq!(pieces, 4);
    server.wait_for_log(&["stream closed, 0 pieces left"]);
}

#[test]
fn a_stream_is_not_pulled_while_its_reader_sleeps_and_closed_when_it_goes() {
    let server = server(2);
    // More readers than threads: none of them may hold one.
    let readers: Vec<Connection> = (0..6).map(|_| server.ask("/stream/100000/65536")).collect();
    let worker = server.workers()[0];
    let mut client = server.connect();
    for _ in 0..50 {
        assert_eq!(client.get("/hello").text(), "hello\n");
    }
    let resident = process::resident_bytes(worker);
    assert!(resident < 150 << 20, "{resident} bytes for six sleeping readers");
    drop(readers);
    soon("all are closed", || server.count_log("stream closed") == 6);
}

#[test]
fn a_stream_is_closed_while_its_next_piece_is_waited_for() {
    let server = server(2);
    let mut reader = server.ask("/stream/1000/10/0.2");
    assert_eq!(reader.head().unwrap().status, 200);
    assert!(reader.chunk().unwrap().is_some());
    drop(reader);
    server.wait_for_log(&["stream closed"]);
    assert_eq!(server.get("/hello").text(), "hello\n");
}

#[test]
fn slow_senders_hold_no_thread() {
    let server = server(2);
    let mut senders: Vec<Connection> = (0..8).map(|_| server.connect()).collect();
    for sender in &mut senders {
        sender.send("POST /echo HTTP/1.1\r\nHost: example.org\r\nContent-Length: 4\r\n\r\nab");
    }
    let mut client = server.connect();
    for _ in 0..20 {
        assert_eq!(client.get("/hello").text(), "hello\n");
    }
    for sender in &mut senders {
        sender.send("cd");
        assert_eq!(sender.response().text(), "abcd");
    }
}

/// An application that tells of the thread that runs it.
const THREADS: &str = r#"
import json, threading, time

LOCAL = threading.local()

def application(environ, start_response):
    LOCAL.count = getattr(LOCAL, "count", 0) + 1
    thread = threading.current_thread()
    time.sleep(0.002)
    body = json.dumps([thread.name, LOCAL.count, thread in threading.enumerate(), environ["wsgi.multithread"]])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body.encode()]
"#;

#[test]
fn threads_have_names_and_keep_their_locals() {
    let server = Server::new()
        .app(THREADS)
        .ini(&format!("{HTTP}threads = 3"))
        .start();
    let port = server.port();
    let clients: Vec<_> = (0..6)
        .map(|_| {
            thread::spawn(move || {
                let mut connection = Connection::tcp(port);
                let answers = (0..40).map(|_| connection.get("/").text().to_owned());
                answers.collect::<Vec<String>>()
            })
        })
        .collect();
    let mut seen = BTreeSet::new();
    for client in clients {
        for answer in client.join().unwrap() {
            let parts: Vec<&str> = answer.trim_matches(['[', ']']).split(", ").collect();
            assert_eq!(&parts[2..], ["true", "true"], "{answer}");
            // A local that was shared or forgotten would count twice, or begin anew.
            let is_new = seen.insert((parts[0].to_owned(), parts[1].parse::<usize>().unwrap()));
            assert!(is_new, "{answer} came twice");
        }
    }
    let names: BTreeSet<&str> = seen.iter().map(|(name, _)| name.as_str()).collect();
    let known = [
        "\"uwrsWorker1Core0\"",
        "\"uwrsWorker1Core1\"",
        "\"uwrsWorker1Core2\"",
    ];
    assert!(names.iter().all(|name| known.contains(name)), "{names:?}");
    assert!(names.len() > 1, "{names:?}");
    for name in names {
        let counts: Vec<usize> = seen
            .iter()
            .filter(|(of, _)| of == name)
            .map(|(_, count)| *count)
            .collect();
        assert_eq!(counts, (1..=counts.len()).collect::<Vec<_>>(), "{name}");
    }
}

#[test]
fn one_connection_that_asks_a_lot_leaves_room_for_a_newcomer() {
    let server = server(2);
    let mut greedy = server.connect();
    greedy.send("GET /hello HTTP/1.1\r\nHost: example.org\r\n\r\n".repeat(5_000));
    let mut newcomer = server.connect();
    let asked = Instant::now();
    assert_eq!(newcomer.get("/hello").text(), "hello\n");
    let waited = asked.elapsed();
    assert!(
        waited < Duration::from_millis(500),
        "the newcomer waited {waited:?}"
    );
    for _ in 0..5_000 {
        assert_eq!(greedy.response().text(), "hello\n");
    }
}

#[test]
fn a_reload_under_load_loses_nothing() {
    let app = "import time\ndef application(environ, start_response):\n    time.sleep(0.005)\n    \
               start_response('200 OK', [('Content-Type', 'text/plain')])\n    return [b'1']\n";
    let server = Server::new()
        .app(app)
        .ini(&format!("{HTTP}threads = 4\nprocesses = 2"))
        .start();
    let load = Load::start(server.port(), 4, 4);
    load.wait_for(100);
    server.reload();
    load.wait_for(100);
    server.reload();
    load.wait_for(100);
    let report = load.finish();
    // A kept connection may meet the end of its worker, before its request was heard.
    let lost: Vec<_> = report
        .lost
        .iter()
        .filter(|lost| lost.previous.is_none())
        .collect();
    assert!(lost.is_empty(), "{lost:?}");
}

#[test]
fn a_worker_that_leaves_finishes_what_its_threads_have_in_hand() {
    let mut server = server(3);
    let slow: Vec<Connection> = (0..3).map(|_| server.ask("/sleep/1")).collect();
    // They are in the application once a fourth has to wait.
    let busy = eventually("all threads are busy", || {
        let asked = Instant::now();
        let text = server.get("/hello").text().to_owned();
        (text == "hello\n").then(|| asked.elapsed())
    });
    assert!(busy < Duration::from_secs(20));
    server.signal(nix::sys::signal::Signal::SIGTERM);
    for mut connection in slow {
        assert_eq!(connection.response().text(), "slept\n");
    }
    assert!(server.wait_for_end().success());
}

#[test]
fn an_exception_or_a_broken_stream_in_a_thread_ends_its_own_request_only() {
    let server = server(2);
    let mut client = server.connect();
    for _ in 0..10 {
        let failed = server.get("/fail");
        assert_eq!(failed.status, 500);
        let mut broken = server.ask("/fail-late");
        assert_eq!(broken.head().unwrap().status, 200);
        assert_eq!(client.get("/hello").text(), "hello\n");
    }
}

/// An application that gives a hint, and its answer when another request allows it.
const HINTS: &str = r#"
import threading

ALLOWED = threading.Event()

def application(environ, start_response):
    if environ["PATH_INFO"] == "/allow":
        ALLOWED.set()
    else:
        environ["wsgi.early_hints"]([("Link", "</style.css>; rel=preload")])
        ALLOWED.wait(20)
    start_response("200 OK", [("Content-Length", "5")])
    return [b"done\n"]
"#;

#[test]
fn early_hints_arrive_before_the_answer_is_made() {
    let server = Server::new()
        .app(HINTS)
        .ini(&format!("{HTTP}threads = 2"))
        .start();
    let mut client = server.ask("/hinted");
    let hints = client.head().unwrap();
    assert_eq!(hints.status, 103);
    assert_eq!(hints.header("Link"), Some("</style.css>; rel=preload"));
    assert_eq!(server.get("/allow").text(), "done\n");
    assert_eq!(client.response().text(), "done\n");
}
