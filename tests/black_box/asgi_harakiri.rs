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
    say("now it is blocked")
    libc = ctypes.PyDLL(None)
    while True:
        libc.sleep(3600)

def spend(seconds):
    time.sleep(seconds)

async def block(seconds):
    await asyncio.sleep(0)
    spend(seconds)

def block_later(seconds):
    spend(seconds)

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
    if name == "block":
        await block(float(value))
    if name == "block_later":
        asyncio.get_running_loop().call_later(0.1, block_later, float(value))
    if name == "upload":
        size, more = 0, True
        while more:
            event = await receive()
            size, more = size + len(event["body"]), event["more_body"]
            if size == 1000:
                say("the upload begins")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        return await send({"type": "http.response.body", "body": b"%d" % size})
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

#[test]
fn the_task_of_one_request_is_cancelled_and_its_client_hears_504_while_the_loop_turns() {
    for server in servers("harakiri = 1") {
        let mut connection = server.connect();
        let pid = connection.get("/").text().to_owned();
        let mut other = server.ask("/pieces/0.7");
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
    let rest = server.ask("/stops").rest_until_cut();
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
    let mut client = server.ask("/stops");
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
    server.wait_for_successor_of(&old);
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

#[test]
fn the_client_of_a_request_that_blocks_the_loop_hears_so_and_another_worker_takes_over_first() {
    for way in ["/blocked_in_python", "/blocked_at_once", "/blocked_in_c"] {
        for server in servers("harakiri = 1\nharakiri-graceful-timeout = 2") {
            let old = server.get("/").text().to_owned();
            let mut waiting = server.ask("/slow/3600");
            let response = server.get(way);
            assert_eq!(
                (response.status, response.text()),
                (504, "Gateway Timeout\n"),
                "{way}: {}",
                server.log()
            );
            // Who waits for the loop as well, too.
            assert_eq!(waiting.response().status, 504, "{way}: {}", server.log());
            server.wait_for_log(&[&format!("\"GET {way}\" from 127.0.0.1:"), "(harakiri = 1)"]);
            server.wait_for_log(&["app.py\", line ", &way[1..]]);
            server.wait_for_log(&["did not leave within 2 s and is killed"]);
            let takes_over = server.place_in_log(&["worker 1: pid ", &format!("takes over from pid {old}")]);
            let killed = server.place_in_log(&["is killed"]);
            assert!(takes_over < killed, "{}", server.log());
            assert_ne!(server.get("/").text(), old);
        }
    }
}

#[test]
fn a_web_server_in_front_hears_of_a_loop_that_is_blocked() {
    let server = Server::new()
        .app(APP)
        .ini("socket = app.sock\nmodule = app\nharakiri = 1\nthreads = 3\nharakiri-graceful-timeout = 1")
        .start();
    let mut connection = server.connect_unix("app.sock");
    connection.send(packet::request("GET", "/blocked_in_c", &[]));
    assert_eq!(connection.response().status, 504, "{}", server.log());
}

#[test]
fn an_answer_that_is_under_way_is_cut_while_the_loop_is_blocked() {
    let server = server("harakiri = 1\nharakiri-graceful-timeout = 60");
    let pid: i32 = server.get("/").text().parse().unwrap();
    let mut client = server.ask("/stops");
    assert_eq!(client.head().unwrap().status, 200);
    let blocking = server.ask("/blocked_in_c");
    let rest = client.rest_until_cut();
    assert!(
        !String::from_utf8_lossy(&rest).contains("\r\n0\r\n"),
        "{}",
        server.log()
    );
    assert!(
        process::is_alive(pid),
        "not by the worker's death: {}",
        server.log()
    );
    drop(blocking);
    process::signal(pid, nix::sys::signal::Signal::SIGKILL);
}

#[test]
fn clients_of_a_worker_whose_loop_is_blocked_go_on_at_another() {
    let server = server("processes = 2\nharakiri = 20\nslow-callback = 0.5");
    server.settle(2);
    // Kept alive, with both.
    let mut clients: Vec<Connection> = (0..16).map(|_| server.connect()).collect();
    let mut pids: Vec<String> = Vec::new();
    for client in &mut clients {
        pids.push(client.get("/").text().to_owned());
    }
    let mut blocking = server.connect();
    let blocked = blocking.get("/").text().to_owned();
    assert!(pids.contains(&blocked), "{pids:?}");
    blocking.send("GET /blocked_in_c HTTP/1.1\r\nHost: a\r\n\r\n");
    server.wait_for_log(&["now it is blocked"]);
    let began = Instant::now();
    for client in &mut clients {
        let response = client.get("/");
        assert_eq!(response.status, 200, "{}", server.log());
        assert_ne!(response.text(), blocked);
    }
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    process::signal(blocked.parse().unwrap(), nix::sys::signal::Signal::SIGKILL);
}

#[test]
fn a_loop_that_was_blocked_for_a_while_goes_on_with_what_came_meanwhile() {
    let server = server("harakiri = 60\nslow-callback = 0.2\nworker-reload-mercy = 1");
    let mut blocking = server.connect();
    let pid = blocking.get("/").text().to_owned();
    let mut upload = server.connect();
    upload.send("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n");
    upload.send("x".repeat(1000));
    server.wait_for_log(&["the upload begins"]);
    let mut gone = server.ask("/stops");
    assert_eq!(gone.head().unwrap().status, 200);
    let mut idle = server.connect();
    assert_eq!(idle.get("/").text(), pid);
    blocking.send("GET /block/3 HTTP/1.1\r\nHost: a\r\n\r\n");
    thread::sleep(Duration::from_millis(1000));
    upload.send("y".repeat(299_000));
    gone.reset();
    idle.send("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(blocking.response().text(), pid);
    assert_eq!(upload.response().text(), "300000");
    for _ in 0..2 {
        assert_eq!(idle.response().text(), pid);
    }
    server.wait_for_log(&[
        "the event loop was blocked for ",
        "(slow-callback = 0.2) by application",
    ]);
    assert_eq!(blocking.get("/").text(), pid);
}

#[test]
fn large_bodies_come_whole_although_the_application_is_called_after_the_turn() {
    let server = server("harakiri = 60");
    let mut client = server.connect();
    for _ in 0..5 {
        let response = client.post("/upload", vec![b'x'; 3_000_000]);
        assert_eq!(response.text(), "3000000", "{}", server.log());
    }
}

#[test]
fn what_blocks_the_loop_is_named_once_it_turns_again() {
    // A background task, a timer's callback, a request; on both loops.
    for server in servers("slow-callback = 0.3") {
        for (way, name) in [("/block/1", "block"), ("/block_later/1", "block_later")] {
            assert_eq!(server.get(way).status, 200);
            server.wait_for_log(&["the event loop was blocked for ", "(slow-callback = 0.3) by "]);
            server.wait_for_log(&["app.py\", line ", &format!("in {name}")]);
            server.wait_for_log(&["app.py\", line ", "in spend"]);
        }
        let told = server.count_log("the event loop was blocked");
        assert!(server.get("/slow/0.6").status == 200 && server.get("/block/0.05").status == 200);
        assert_eq!(
            server.count_log("the event loop was blocked"),
            told,
            "{}",
            server.log()
        );
    }
}

#[test]
fn a_request_may_set_a_deadline_of_its_own_and_take_it_back() {
    let app = APP.replace("import asyncio,", "import uwsgi, asyncio,").replace(
        "    if name == \"slow\":",
        "    if name.startswith(\"own_\"):
        if name == \"own_later\":
            await asyncio.sleep(0.1)
        uwsgi.set_user_harakiri(1)
        name = \"slow\"
        if value == \"0\":
            uwsgi.set_user_harakiri(0)
            value = \"2.5\"
        if value == \"blocked\":
            time.sleep(3600)
    if name == \"slow\":",
    );
    let server = Server::new()
        .app(&app)
        .ini(&format!("{HTTP}harakiri-graceful-timeout = 1"))
        .start();
    let old = server.get("/").text().to_owned();
    for way in ["/own_at_once/30", "/own_later/30"] {
        let mut other = server.ask("/pieces/0.5");
        assert_eq!(server.get(way).status, 504, "{way}: {}", server.log());
        server.wait_for_log(&[&format!("\"GET {way}\" from "), "(set_user_harakiri)"]);
        server.wait_for_log(&[&format!("\"GET {way}\": its task is cancelled")]);
        assert_eq!(other.response().text(), "piece\n".repeat(5));
    }
    assert_eq!(server.get("/own_later/0").text(), old);
    // The loop saw to all of it.
    assert_eq!(server.get("/").text(), old, "{}", server.log());
    assert_eq!(server.count_log("is stuck"), 0, "{}", server.log());
    assert_eq!(server.get("/own_later/blocked").status, 504, "{}", server.log());
    server.wait_for_log(&["worker 1: pid ", &format!("takes over from pid {old}")]);
    assert_ne!(server.get("/").text(), old);
}
