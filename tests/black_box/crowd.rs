//! More clients than there is room for: idle connections make room, those who are busy are left in peace, those who
//! wait are served in the end.

use std::fs;
use std::time::{Duration, Instant};

use crate::support::wait::PATIENCE;
use crate::support::{Connection, HTTP, Running, Server, process};

fn server(options: &str) -> Running {
    Server::new().ini(&format!("{HTTP}{options}\n")).start()
}

/// Clients that have been served and stay, one after the other.
fn idlers(server: &Running, count: usize) -> Vec<Connection> {
    let idler = |_| {
        let mut connection = server.connect();
        assert_eq!(connection.get("/").text(), "hello\n");
        connection
    };
    (0..count).map(idler).collect()
}

fn is_open(connection: &mut Connection) -> bool {
    connection.set_patience(Duration::from_millis(100));
    let is_open = !connection.has_more();
    connection.set_patience(PATIENCE);
    is_open
}

#[test]
fn the_connection_that_was_idle_for_longest_makes_room() {
    let server = server("max-connections = 4\nhttp-keepalive = 3600");
    let mut clients = idlers(&server, 4);
    // The first one is not the one that waited longest any more.
    assert_eq!(clients[0].get("/").text(), "hello\n");
    clients.extend(idlers(&server, 1));
    clients[1].assert_closed();
    for place in [0, 2, 3, 4] {
        assert!(is_open(&mut clients[place]), "{place} is closed");
    }
    for place in [0, 2, 3, 4] {
        assert_eq!(clients[place].get("/").text(), "hello\n");
    }
}

#[test]
fn those_who_are_busy_are_left_in_peace_and_others_wait() {
    for threads in [1, 2] {
        let server = server(&format!("max-connections = 2\nthreads = {threads}\n"));
        let mut busy = [server.connect(), server.connect()];
        for connection in &mut busy {
            connection.send("GET / HTTP/1.1\r\n");
        }
        let mut waits = server.connect();
        waits.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        server.wait_for_log(&["all of 2 connections are busy", "max-connections"]);
        assert!(is_open(&mut waits), "it is answered");
        let [mut first, mut second] = busy;
        first.send("Host: x\r\n\r\n");
        assert_eq!(first.response().text(), "hello\n");
        // It has nothing to say any more and makes room.
        first.assert_closed();
        assert_eq!(waits.response().text(), "hello\n");
        second.send("Host: x\r\nConnection: close\r\n\r\n");
        assert_eq!(second.response().text(), "hello\n");
        second.assert_closed();
        assert_eq!(server.get("/").text(), "hello\n");
    }
}

#[test]
fn one_that_leaves_makes_room_for_one_that_waits() {
    let server = server("max-connections = 1");
    let mut busy = server.connect();
    busy.send("GET / HTTP/1.1\r\n");
    let mut waits = server.connect();
    waits.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    server.wait_for_log(&["all of 1 connections are busy"]);
    drop(busy);
    assert_eq!(waits.response().text(), "hello\n");
}

#[test]
fn idle_connections_have_less_time_when_there_are_many() {
    let server = server("max-connections = 10\nhttp-keepalive = 3600");
    let mut clients = idlers(&server, 10);
    for client in &mut clients {
        client.assert_closed();
    }
    let mut few = idlers(&server, 5);
    let idle = Instant::now();
    while idle.elapsed() < Duration::from_secs(2) {
        for client in &mut few {
            assert!(is_open(client), "half of the room is nothing to worry about");
        }
    }
}

#[test]
fn an_idle_connection_costs_less_than_a_kib() {
    // The benchmark has ten thousand; so many fit into the descriptors that a test has anywhere.
    const MANY: usize = 600;
    let server = server("http-keepalive = 3600");
    let worker = server.workers()[0];
    // What the first ones make the worker set aside, and what requests make it copy of the mold's memory.
    for _ in 0..10 {
        idlers(&server, 60);
    }
    let before = process::private_bytes(worker);
    let clients = idlers(&server, MANY);
    let each = process::private_bytes(worker).saturating_sub(before) / MANY as u64;
    assert!(each < 1024, "{each} bytes");
    drop(clients);
}

/// An application that has files of its own open, and opens more.
const OPENS_FILES: &str = r#"
HELD = [open(__file__) for _ in range(30)]

def application(environ, start_response):
    files = [open(__file__) for _ in range(4)]
    for file in files:
        file.close()
    start_response("200 OK", [("Content-Length", "6")])
    return [b"hello\n"]
"#;

#[test]
fn a_worker_that_runs_out_of_descriptors_serves_on() {
    for options in ["max-fd = 64", "max-fd = 64\nmax-connections = 1000\nthreads = 2"] {
        let server = Server::new()
            .app(OPENS_FILES)
            .ini(&format!("{HTTP}{options}\nhttp-keepalive = 3600\n"))
            .start();
        let worker = server.workers()[0];
        let limits = fs::read_to_string(format!("/proc/{worker}/limits")).unwrap();
        let line = limits.lines().find(|line| line.starts_with("Max open files"));
        assert_eq!(line.unwrap().split_whitespace().nth(3), Some("64"), "{limits}");
        // Those that were there first go, so that each newcomer is served.
        let clients = idlers(&server, 200);
        assert_eq!(server.get("/").text(), "hello\n");
        assert!(process::open_files(worker).len() <= 64);
        assert_eq!(server.workers(), [worker]);
        drop(clients);
        let log = server.log();
        assert!(!log.contains(" error: ") && !log.contains("Traceback"), "{log}");
    }
}

/// An application that takes all descriptors there are, and gives them back.
const TAKES_ALL: &str = r#"
HELD = []

def application(environ, start_response):
    if environ["PATH_INFO"] == "/take":
        try:
            while True:
                HELD.append(open("/dev/null"))
        except OSError:
            pass
    if environ["PATH_INFO"] == "/give":
        HELD.clear()
    start_response("200 OK", [("Content-Length", "6")])
    return [b"hello\n"]
"#;

#[test]
fn idle_connections_go_when_the_application_has_taken_all_descriptors() {
    let server = Server::new()
        .app(TAKES_ALL)
        .ini(&format!("{HTTP}max-fd = 64\nhttp-keepalive = 3600\n"))
        .start();
    let mut clients = idlers(&server, 10);
    assert_eq!(clients[9].get("/take").text(), "hello\n");
    let newcomers = idlers(&server, 20);
    clients[0].assert_closed();
    assert_eq!(server.get("/give").text(), "hello\n");
    assert_eq!(server.count_log("Too many open files"), 0, "{}", server.log());
    drop(newcomers);
}

#[test]
fn without_descriptors_those_who_are_there_are_served_and_others_when_there_are_some() {
    let server = Server::new()
        .app(TAKES_ALL)
        .ini(&format!("{HTTP}max-fd = 64\nhttp-headers-timeout = 3600\n"))
        .start();
    let mut busy = server.connect();
    assert_eq!(busy.get("/take").text(), "hello\n");
    busy.send("GET /give HTTP/1.1\r\n");
    let mut waits = server.connect();
    waits.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    server.wait_for_log(&["Too many open files", "max-fd"]);
    assert!(is_open(&mut waits), "it is answered");
    busy.send("Host: x\r\n\r\n");
    assert_eq!(busy.response().text(), "hello\n");
    assert_eq!(waits.response().text(), "hello\n");
    assert!(server.count_log("Too many open files") <= 4, "{}", server.log());
}

/// An application that takes its time, and counts its requests.
const COUNTS: &str = r#"
import time
COUNT = 0

def application(environ, start_response):
    global COUNT
    COUNT += 1
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/slow":
        time.sleep(0.01)
        return [b"slow\n"]
    if environ["PATH_INFO"] == "/pieces":
        return Pieces()
    return [str(COUNT).encode()]

class Pieces:
    def __iter__(self):
        global COUNT
        for _ in range(400):
            COUNT += 1
            time.sleep(0.01)
            yield b"piece\n"
"#;

#[test]
fn one_that_asks_much_leaves_others_their_turns() {
    let slow = "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n".repeat(400);
    let pieces = "GET /pieces HTTP/1.1\r\nHost: x\r\n\r\n".to_owned();
    for much in [slow, pieces] {
        let server = Server::new().app(COUNTS).ini(HTTP).start();
        let mut greedy = server.connect();
        greedy.send(&much);
        let mut modest = server.connect();
        let mut count = || modest.get("/").text().parse::<u32>().unwrap();
        // How much of the other's is done while this one waits for an answer. A machine that is busy elsewhere
        // makes it more now and then.
        let mut last = count();
        let mut between = Vec::new();
        for _ in 0..15 {
            let now = count();
            between.push(now - last);
            last = now;
        }
        assert!(last < 390, "the other was done too early: {between:?}");
        let best = between.iter().min();
        assert!(best.is_some_and(|best| *best <= 4), "{between:?}");
        drop(greedy);
    }
}
