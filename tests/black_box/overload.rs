//! Too many requests: `limit-concurrency` sends them away, `backpressure` leaves them to others.

use std::time::Duration;

use crate::support::{Connection, HTTP, Running, Server, packet, soon};

/// `/wait` adds to one file, and waits until another is there.
const ASGI: &str = r#"
import asyncio, os

async def application(scope, receive, send):
    if scope["type"] != "http":
        raise RuntimeError("no lifespan")
    if scope["path"] == "/wait":
        with open("waits", "a") as waits:
            waits.write("x")
        while not os.path.exists("go"):
            await asyncio.sleep(0.02)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"%d" % os.getpid()})
"#;

const WSGI: &str = r#"
import os, time

def application(environ, start_response):
    if environ["PATH_INFO"] == "/wait":
        with open("waits", "a") as waits:
            waits.write("x")
    while environ["PATH_INFO"] == "/wait" and not os.path.exists("go"):
        time.sleep(0.02)
    start_response("200 OK", [])
    return [b"%d" % os.getpid()]
"#;

/// Waits until so many requests for `/wait` are in the application.
fn wait_for_waits(server: &Running, count: u64) {
    soon("they are in the application", || {
        server
            .file("waits")
            .metadata()
            .is_ok_and(|file| file.len() >= count)
    });
}

/// A client is answered with 503 now.
fn is_sent_away(server: &Running) -> bool {
    server.get("/").status == 503
}

#[test]
fn more_requests_than_a_worker_may_have_are_sent_away_and_the_connection_is_kept() {
    let server = Server::new()
        .app(ASGI)
        .ini(&format!("{HTTP}limit-concurrency = 3"))
        .start();
    let mut kept = server.connect();
    assert_eq!(kept.get("/").status, 200);
    // Idle connections are not counted.
    let _idle: Vec<Connection> = (0..8)
        .map(|_| {
            let mut idle = server.connect();
            idle.get("/");
            idle
        })
        .collect();
    let mut waiting: Vec<Connection> = (0..3).map(|_| server.ask("/wait")).collect();
    soon("three are in hand", || is_sent_away(&server));
    for _ in 0..50 {
        let response = kept.get("/");
        assert_eq!(
            (response.status, response.text(), response.header("retry-after")),
            (503, "Service Unavailable\n", Some("1")),
            "{}",
            server.log()
        );
        assert!(!response.says_close());
    }
    assert_eq!(kept.post("/", "a body").status, 503);
    server.write("go", "");
    for client in &mut waiting {
        assert_eq!(client.response().status, 200);
    }
    assert_eq!(server.get("/").status, 200);
    server.wait_for_log(&["GET / => generated 20 bytes in ", "(HTTP/1.1 503)"]);
    server
        .wait_for_log(&["a request was answered with 503: 3 are in hand already (raise limit-concurrency, "]);
    assert!(server.count_log("answered with 503") <= 2, "{}", server.log());
    // What was not told at once.
    server.wait_for_log(&["requests were answered with 503: 3 are in hand already"]);
}

#[test]
fn what_waits_for_a_thread_counts_and_what_is_too_much_hears_so() {
    for protocol in ["http", "uwsgi"] {
        let lines = "module = app\nthreads = 2\nlimit-concurrency = 4\n";
        let socket = match protocol {
            "http" => "http = 127.0.0.1:0\n",
            _ => "socket = app.sock\n",
        };
        let server = Server::new().app(WSGI).ini(&format!("{lines}{socket}")).start();
        let ask = |target: &str| match protocol {
            "http" => server.ask(target),
            _ => {
                let mut connection = server.connect_unix("app.sock");
                connection.send(packet::request("GET", target, &[]));
                connection
            }
        };
        // Two in the application, two that wait for a thread.
        let mut waiting: Vec<Connection> = (0..4).map(|_| ask("/wait")).collect();
        // One that comes too early waits with them.
        soon("four are in hand", || {
            let mut late = ask("/wait");
            late.set_patience(Duration::from_millis(200));
            late.try_response().is_ok_and(|response| response.status == 503)
        });
        for _ in 0..5 {
            assert_eq!(ask("/").response().status, 503, "{protocol}: {}", server.log());
        }
        server.write("go", "");
        for client in &mut waiting {
            assert_eq!(client.response().status, 200, "{protocol}: {}", server.log());
        }
        assert_eq!(ask("/").response().status, 200);
    }
}

#[test]
fn nobody_is_sent_away_while_another_worker_is_idle() {
    let server = Server::new()
        .app(WSGI)
        .ini(&format!("{HTTP}processes = 2\nlimit-concurrency = 1"))
        .start();
    server.settle(2);
    let mut waiting = server.ask("/wait");
    wait_for_waits(&server, 1);
    for _ in 0..20 {
        let response = server.get("/");
        assert_eq!(response.status, 200, "{}", server.log());
    }
    server.write("go", "");
    assert_eq!(waiting.response().status, 200);
}

#[test]
fn a_worker_with_enough_requests_accepts_no_more_and_others_take_them() {
    let server = Server::new()
        .app(ASGI)
        .ini(&format!("{HTTP}processes = 2\nbackpressure = 4"))
        .start();
    server.settle(2);
    let mut waiting: Vec<Connection> = (0..8).map(|_| server.ask("/wait")).collect();
    // Four for each; whoever comes now waits in the backlog.
    wait_for_waits(&server, 8);
    let mut late: Vec<Connection> = (0..3).map(|_| server.ask("/")).collect();
    late[0].set_patience(Duration::from_millis(700));
    assert!(late[0].try_response().is_err(), "{}", server.log());
    server.write("go", "");
    let mut pids: Vec<String> = Vec::new();
    for client in &mut waiting {
        let response = client.response();
        assert_eq!(response.status, 200);
        pids.push(response.text().to_owned());
    }
    pids.sort();
    pids.dedup();
    assert_eq!(pids.len(), 2, "each has its share");
    for client in &mut late {
        client.set_patience(Duration::from_secs(20));
        assert_eq!(client.response().status, 200);
    }
    soon("it accepts again", || server.get("/").status == 200);
}
