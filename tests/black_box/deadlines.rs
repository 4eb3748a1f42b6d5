//! Clients that take their time: how long each may, what it is told, and the one line that the log has of it.

use std::thread;
use std::time::{Duration, Instant};

use crate::support::packet::request;
use crate::support::wait::PATIENCE;
use crate::support::{Connection, HTTP, Running, Server, process, soon};

fn http(options: &str) -> Running {
    Server::new().ini(&format!("{HTTP}{options}\n")).start()
}

fn uwsgi(options: &str) -> Running {
    Server::new()
        .ini(&format!("socket = 127.0.0.1:0\nmodule = app\n{options}\n"))
        .start()
}

/// Sends `start`, then one byte after the other, until the server has answered or closed.
fn drip(mut connection: Connection, start: &[u8], rest: &[u8]) -> Connection {
    connection.send(start);
    let end = Instant::now() + PATIENCE;
    for byte in rest.iter().cycle() {
        assert!(Instant::now() < end, "the server takes it for ever");
        connection.set_patience(Duration::from_millis(50));
        if connection.has_more() || connection.try_send([*byte]).is_err() {
            break;
        }
    }
    connection.set_patience(PATIENCE);
    connection
}

/// Asserts that the log has one line with all of these.
fn assert_told_once(server: &Running, words: &[&str]) {
    server.wait_for_log(words);
    let log = server.log();
    let lines = log
        .lines()
        .filter(|line| words.iter().all(|word| line.contains(word)));
    assert_eq!(lines.count(), 1, "{log}");
}

#[test]
fn a_head_that_drips_is_answered_408_over_http() {
    let server = http("http-headers-timeout = 1");
    let mut connection = drip(server.connect(), b"GET / HTTP/1.1\r\nHost: ", b"x");
    assert_eq!(connection.response().status, 408);
    connection.assert_closed();
    assert_told_once(&server, &["refused with 408", "http-headers-timeout"]);
    assert_eq!(server.get("/").text(), "hello\n");
}

#[test]
fn a_head_that_drips_is_answered_408_over_uwsgi() {
    let server = uwsgi("http-headers-timeout = 1");
    let packet = request("GET", "/", &[("HTTP_X", "x".repeat(4000).as_str())]);
    let mut connection = drip(server.connect(), &packet[..100], &packet[100..]);
    assert_eq!(connection.response().status, 408);
    connection.assert_closed();
    assert_told_once(&server, &["refused with 408", "http-headers-timeout"]);
}

#[test]
fn a_body_that_drips_is_answered_408_over_http_and_uwsgi() {
    let head = b"POST /count HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n";
    let chunked = b"POST /count HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    let packet = request("POST", "/count", &[("CONTENT_LENGTH", "100000")]);
    let server = http("body-timeout = 1");
    for (head, rest) in [(&head[..], &b"x"[..]), (&chunked[..], b"1\r\nx\r\n")] {
        let mut connection = drip(server.connect(), head, rest);
        assert_eq!(connection.response().status, 408);
        connection.assert_closed();
    }
    assert_eq!(server.get("/count").text(), "1", "the application was called");
    let server = uwsgi("body-timeout = 1");
    let mut connection = drip(server.connect(), &packet, b"x");
    assert_eq!(connection.response().status, 408);
    connection.assert_closed();
    assert_told_once(&server, &["refused with 408", "body-timeout"]);
}

#[test]
fn a_body_that_is_slow_and_steady_arrives() {
    let server = http("body-timeout = 2");
    let mut connection = server.connect();
    connection.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 30720\r\n\r\n");
    for _ in 0..10 {
        connection.send([b'x'; 3072]);
        thread::sleep(Duration::from_millis(300));
    }
    assert_eq!(connection.response().body.len(), 30_720);
}

#[test]
fn a_client_that_takes_nothing_of_its_answer_is_cut() {
    for (server, ask) in [
        (
            http("so-send-timeout = 1"),
            b"GET /zeros/50000000 HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        ),
        (
            uwsgi("socket-timeout = 1"),
            request("GET", "/zeros/50000000", &[]),
        ),
    ] {
        let worker = server.workers()[0];
        let before = process::open_sockets(worker);
        let mut connection = server.connect();
        connection.send(ask);
        soon("it is accepted", || process::open_sockets(worker) == before + 1);
        soon("it is cut", || process::open_sockets(worker) == before);
        assert!(connection.rest_until_cut().len() < 50_000_000);
        // The request was answered as far as the application is concerned.
        assert_told_once(&server, &["GET /zeros/50000000", "HTTP/1.1 200"]);
    }
}

#[test]
fn an_answer_that_is_not_ready_is_waited_for() {
    let server = http("socket-timeout = 1\nhttp-headers-timeout = 1\nhttp-keepalive = 2");
    assert_eq!(server.get("/sleep/3").text(), "slept\n");
}

#[test]
fn a_connection_waits_for_its_next_request_as_long_as_it_is_told_to() {
    let server = http("http-keepalive = 2\nhttp-headers-timeout = 60");
    let mut connection = server.connect();
    assert!(!connection.get("/").says_close());
    let idle = Instant::now();
    connection.assert_closed();
    assert!(
        idle.elapsed() >= Duration::from_millis(1500),
        "{:?}",
        idle.elapsed()
    );

    let server = http("http-keepalive = 0");
    let mut connection = server.connect();
    assert!(connection.get("/").says_close());
    connection.assert_closed();
}

#[test]
fn a_switch_is_enough_for_connections_to_stay() {
    let server = http("http-keepalive = 1\npost-buffering = true");
    let mut connection = server.connect();
    assert_eq!(connection.get("/").text(), "hello\n");
    thread::sleep(Duration::from_secs(2));
    assert_eq!(connection.post("/echo", "body").text(), "body");
}

#[test]
fn what_came_in_time_counts_although_the_application_kept_the_worker_from_looking() {
    let server = http("http-keepalive = 1\nhttp-headers-timeout = 1\nbody-timeout = 1\nso-send-timeout = 1");
    // A client that is about to be cut when the worker is away: half a body, an answer that is not taken.
    let start = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4000\r\n\r\n";
    let mut senders: Vec<Connection> = (0..4)
        .map(|_| {
            let mut sender = server.connect();
            sender.send([&start[..], &[b'x'; 2000]].concat());
            sender
        })
        .collect();
    let mut idle: Vec<Connection> = (0..4).map(|_| server.connect()).collect();
    for client in &mut idle {
        assert_eq!(client.get("/hello").status, 200);
    }
    let mut taker = server.ask("/zeros/10000000");
    assert_eq!(taker.head().unwrap().status, 200);
    let mut busy = server.ask("/sleep/3");
    // By now the worker is away, or soon will be: the test asks less of it then.
    thread::sleep(Duration::from_millis(300));
    for client in &mut idle {
        client.send("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    for sender in &mut senders {
        sender.send([b'x'; 2000]);
    }
    let mut all = vec![0; 10_000_000];
    taker.read_exact(&mut all);
    assert_eq!(busy.response().text(), "slept\n");
    for client in &mut idle {
        assert_eq!(client.response().text(), "hello\n");
    }
    for sender in &mut senders {
        assert_eq!(sender.response().body.len(), 4000);
    }
}
