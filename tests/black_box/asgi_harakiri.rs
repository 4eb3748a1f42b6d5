//! `harakiri` under ASGI: a request that keeps its client waiting, while the loop turns and while something blocks it.

use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Connection, HTTP, Running, Server, packet, process, soon, venv};

/// An application that gets stuck in several ways, and tells of what is raised in it.
const APP: &str = r#"
import asyncio, ctypes, os, sys, time

def say(text):
    print(text, file=sys.stderr, flush=True)

async def inner(seconds):
    await asyncio.sleep(seconds)

async def outer(seconds):
    try:
        await asyncio.create_task(inner(seconds), name="a subtask")
    except asyncio.CancelledError:
        say("outer is cancelled")
        raise

async def stubborn(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            say("stubborn goes on")

async def blocked_in_python():
    await asyncio.sleep(0)
    time.sleep(3600)

async def blocked_at_once():
    time.sleep(3600)

async def blocked_in_c():
    await asyncio.sleep(0)
    libc = ctypes.PyDLL(None)
    while True:
        libc.sleep(3600)

async def send_part(send, body):
    await send({"type": "http.response.body", "body": body, "more_body": True})

async def application(scope, receive, send):
    if scope["type"] != "http":
        raise RuntimeError("no lifespan")
    name, _, value = scope["path"][1:].partition("/")
    if name == "slow":
        await outer(float(value))
    if name == "stubborn":
        await stubborn(float(value))
    if name.startswith("blocked"):
        await globals()[name]()
    if name == "receive":
        say(repr((await receive())["type"]))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if name == "stops":
        await send_part(send, b"some of it")
        try:
            await asyncio.sleep(3600)
        finally:
            say("stops is cancelled")
    if name == "pieces":
        for _ in range(5):
            await asyncio.sleep(float(value))
            await send_part(send, b"piece\n")
        return await send({"type": "http.response.body"})
    await send({"type": "http.response.body", "body": b"%d" % os.getpid()})
    if name == "background":
        await asyncio.sleep(float(value))
        say("the background is done")
"#;

/// A server with these lines too.
fn server(lines: &str) -> Running {
    Server::new().app(APP).ini(&format!("{HTTP}{lines}")).start()
}

/// Such servers, on asyncio's loop, and on uvloop's where that is installed.
fn servers(lines: &str) -> Vec<Running> {
    let mut servers = vec![server(&format!("loop = asyncio\n{lines}"))];
    servers.extend(venv::with("uvloop").map(|home| {
        let home = home.to_str().unwrap();
        server(&format!("loop = uvloop\nhome = {home}\n{lines}"))
    }));
    servers
}

/// Asks without waiting for the answer.
fn ask(server: &Running, target: &str) -> Connection {
    let mut connection = server.connect();
    connection.send(format!("GET {target} HTTP/1.1\r\nHost: example.org\r\n\r\n"));
    connection
}

#[test]
fn the_task_of_one_request_is_cancelled_and_its_client_hears_504_while_the_loop_turns() {
    for server in servers("harakiri = 1") {
        let mut connection = server.connect();
        let pid = connection.get("/").text().to_owned();
        let mut other = ask(&server, "/pieces/0.7");
        let response = connection.get("/slow/30");
        assert_eq!(
            (response.status, response.text()),
            (504, "Gateway Timeout\n"),
            "{}",
            server.log()
        );
        server.wait_for_log(&["outer is cancelled"]);
        server.wait_for_log(&["\"GET /slow/30\" from 127.0.0.1:", "(harakiri = 1)"]);
        server.wait_for_log(&["\"GET /slow/30\": its task is cancelled"]);
        // Where it waits, through the task that it waits for.
        server.wait_for_log(&["app.py\", line ", "in outer"]);
        server.wait_for_log(&["app.py\", line ", "in inner"]);
        server.wait_for_log(&["await asyncio.sleep(seconds)"]);
        soon("the access log has it", || {
            server.log().contains("(HTTP/1.1 504)")
        });
        // The connection, the worker and the others go on.
        assert_eq!(connection.get("/").text(), pid);
        assert_eq!(other.response().text(), "piece\n".repeat(5));
        assert_eq!(server.count_log("CancelledError"), 0, "{}", server.log());
        assert_eq!(server.count_log("is stuck"), 0, "{}", server.log());
    }
}

#[test]
fn a_web_server_in_front_hears_so_too() {
    let server = Server::new()
        .app(APP)
        .ini("socket = app.sock\nmodule = app\nharakiri = 1")
        .start();
    let mut connection = server.connect_unix("app.sock");
    connection.send(packet::request("GET", "/slow/30", &[]));
    assert_eq!(connection.response().status, 504);
    server.wait_for_log(&["\"GET /slow/30\" from a unix socket has kept its client waiting"]);
}

#[test]
fn an_answer_that_stops_amidst_its_body_is_cut() {
    let server = server("harakiri = 1");
    let pid = server.get("/").text().to_owned();
    let rest = ask(&server, "/stops").rest_until_cut();
    let text = String::from_utf8_lossy(&rest);
    assert!(
        text.contains("some of it") && !text.contains("\r\n0\r\n"),
        "{text}"
    );
    assert_eq!(server.get("/").text(), pid);
}

#[test]
fn a_client_that_sends_slowly_and_what_follows_an_answer_are_left_alone() {
    let server = server("harakiri = 1");
    let mut connection = server.connect();
    connection.send("POST /receive HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n");
    thread::sleep(Duration::from_millis(2500));
    connection.send("abc");
    assert_eq!(connection.response().status, 200, "{}", server.log());
    assert_eq!(server.get("/background/2.5").status, 200);
    server.wait_for_log(&["the background is done"]);
    assert_eq!(server.count_log("harakiri"), 0, "{}", server.log());
}

#[test]
fn a_task_is_cancelled_although_its_client_has_gone() {
    let server = server("harakiri = 2");
    let mut client = ask(&server, "/stops");
    assert_eq!(client.head().unwrap().status, 200);
    client.reset();
    server.wait_for_log(&["\"GET /stops\", whose client is gone, has gone on for "]);
    server.wait_for_log(&["stops is cancelled"]);
    server.wait_for_log(&["app.py\", line ", "in application"]);
}

#[test]
fn a_task_that_takes_no_notice_has_its_worker_replaced_and_others_are_finished() {
    let server = server("harakiri = 1\nharakiri-graceful-timeout = 2");
    let old = server.get("/").text().to_owned();
    assert_eq!(server.get("/stubborn/3600").status, 504);
    server.wait_for_log(&["stubborn goes on"]);
    server.wait_for_log(&[
        &format!("worker 1 (pid {old}): the task of a request has gone on for "),
        "(harakiri-graceful-timeout = 2)",
    ]);
    server.wait_for_log(&["worker 1: pid ", &format!("takes over from pid {old}")]);
    assert_ne!(server.get("/").text(), old);
    soon("it is gone", || !process::is_alive(old.parse().unwrap()));
}

#[test]
fn a_task_that_takes_a_moment_to_end_costs_no_worker() {
    let server = server("harakiri = 1\nharakiri-graceful-timeout = 6");
    let old = server.get("/").text().to_owned();
    assert_eq!(server.get("/stubborn/3").status, 504);
    let end = Instant::now() + Duration::from_secs(8);
    while Instant::now() < end {
        assert_eq!(server.get("/").text(), old, "{}", server.log());
        thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(server.count_log("takes over"), 0, "{}", server.log());
}
