//! Clients that behave as badly as they can: the worker stays, others are served, nothing leaks, the log keeps quiet.

use std::thread;
use std::time::{Duration, Instant};

use crate::support::packet::request;
use crate::support::{Connection, HTTP, Running, Server, process, soon};

fn server(options: &str) -> Running {
    Server::new()
        .ini(&format!("{HTTP}socket = 127.0.0.1:0\n{options}\n"))
        .start()
}

fn http(server: &Running) -> Connection {
    Connection::tcp(server.ports()[0])
}

fn uwsgi(server: &Running) -> Connection {
    Connection::tcp(server.ports()[1])
}

/// Asserts that all of `rude` leaves nothing behind.
fn assert_unimpressed(server: &Running, rude: impl FnOnce()) {
    assert_eq!(http(server).get("/").text(), "hello\n");
    let worker = server.workers()[0];
    let before = process::open_sockets(worker);
    rude();
    soon("all connections are over", || {
        process::open_sockets(worker) <= before
    });
    assert_eq!(http(server).get("/").text(), "hello\n");
    assert_eq!(server.workers(), [worker]);
    let log = server.log();
    for line in log.lines().filter(|line| line.contains("[worker")) {
        assert!(!line.contains(" error: ") && !line.contains(" warn: "), "{log}");
    }
    assert!(!log.contains("panicked") && !log.contains("Traceback"), "{log}");
}

/// What a client of either protocol has said when it leaves: from nothing to everything.
fn phases() -> Vec<(Vec<u8>, Vec<u8>)> {
    let packet = |method, target, more: &[(&str, &str)]| request(method, target, more);
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes();
    let body = [("CONTENT_LENGTH", "100000")];
    let mut phases = vec![
        (b"".to_vec(), b"".to_vec()),
        (b"G".to_vec(), packet("GET", "/", &[])[..2].to_vec()),
        (
            b"GET / HTTP/1.1\r\nHo".to_vec(),
            packet("GET", "/", &[])[..30].to_vec(),
        ),
        (
            b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n".to_vec(),
            packet("POST", "/echo", &body),
        ),
        (
            b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nbody".to_vec(),
            [packet("POST", "/echo", &body), b"body".to_vec()].concat(),
        ),
        (
            b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbo".to_vec(),
            packet("POST", "/echo", &[("CONTENT_LENGTH", "1")]),
        ),
    ];
    for target in [
        "/",
        "/sleep/0.2",
        "/zeros/20000000",
        "/stream/1000/20000",
        "/stream/20/10/0.02",
    ] {
        phases.push((get(target), packet("GET", target, &[])));
    }
    phases
}

#[test]
fn resets_in_every_phase() {
    for options in ["", "threads = 2"] {
        let server = server(options);
        assert_unimpressed(&server, || {
            for (in_http, in_uwsgi) in phases() {
                for (mut connection, bytes) in [(http(&server), in_http), (uwsgi(&server), in_uwsgi)] {
                    connection.send(bytes);
                    // At once, and when the server is in the midst of it.
                    thread::sleep(Duration::from_millis(if options.is_empty() { 0 } else { 30 }));
                    connection.reset();
                }
            }
        });
    }
}

#[test]
fn half_closes_in_every_phase() {
    let server = server("");
    assert_unimpressed(&server, || {
        for (in_http, in_uwsgi) in phases() {
            let is_whole = in_http.starts_with(b"GET") && in_http.ends_with(b"\r\n\r\n");
            for (mut connection, bytes) in [(http(&server), in_http), (uwsgi(&server), in_uwsgi)] {
                connection.send(bytes);
                connection.half_close();
                // Who has asked and hears on is answered; who was not done is let go.
                let answer = connection.rest_until_cut();
                assert_eq!(
                    is_whole,
                    answer.starts_with(b"HTTP/1.1 200"),
                    "{}",
                    answer.escape_ascii()
                );
            }
        }
    });
}

#[test]
fn resets_while_connections_are_idle() {
    let server = server("");
    assert_unimpressed(&server, || {
        for _ in 0..20 {
            let mut connection = http(&server);
            assert_eq!(connection.get("/").text(), "hello\n");
            connection.reset();
        }
    });
}

#[test]
fn what_is_sent_behind_the_last_request_resets_nothing() {
    let last = "GET /sleep/0.3 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    for lines in ["", "threads = 2\n", "processes = 2\n"] {
        let server = server(lines);
        for more in ["\r\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"] {
            let mut connection = http(&server);
            connection.send(last);
            // The application is at work on it.
            thread::sleep(Duration::from_millis(100));
            connection.send(more);
            assert_eq!(connection.response().text(), "slept\n");
            let rest = connection.rest_until_end();
            assert!(
                rest.as_ref().is_ok_and(Vec::is_empty),
                "{lines}{more:?}: {rest:?}"
            );
        }
        for length in [1, 100_000] {
            let mut connection = uwsgi(&server);
            connection.send(request("GET", "/sleep/0.3", &[]));
            thread::sleep(Duration::from_millis(100));
            connection.send(vec![b'x'; length]);
            let answer = connection.rest_until_end();
            assert!(
                answer.as_ref().is_ok_and(|answer| answer.ends_with(b"slept\n")),
                "{lines}{answer:?}"
            );
        }
    }
}

#[test]
fn requests_without_end_and_never_a_look_at_the_answers() {
    let server = server("so-send-timeout = 2");
    assert_unimpressed(&server, || {
        let worker = server.workers()[0];
        let before = process::resident_bytes(worker);
        let mut connection = http(&server);
        let requests = "GET /zeros/1000 HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1000);
        connection.set_write_patience(Duration::from_millis(500));
        let start = Instant::now();
        let mut sent = 0;
        while connection.try_send(&requests).is_ok() {
            sent += 1;
            assert!(
                sent < 10_000 && start.elapsed() < Duration::from_secs(60),
                "all of it is taken"
            );
            // Newcomers do not wait for that.
            assert_eq!(http(&server).get("/").text(), "hello\n");
        }
        let after = process::resident_bytes(worker);
        assert!(
            after < before + (20 << 20),
            "{before} bytes before, {after} after"
        );
        // What it has not taken in two seconds it will not take.
    });
}
