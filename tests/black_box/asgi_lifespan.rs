//! ASGI's lifespan specification, sentence by sentence, where `asgi.rs` does not say it along the way.

use nix::sys::signal::Signal;

use crate::support::{HTTP, Server, venv};

/// A life as the files beside it say, and its requests.
const APP: &str = r#"
import asyncio
import os

LOOPS = []


async def lifespan(scope, receive, send):
    told = ["%s=%r" % (key, scope[key]) for key in sorted(scope)]
    assert await receive() == {"type": "lifespan.startup"}
    for event in ({"type": "lifespan.unheard-of"}, {"type": "http.response.start", "status": 200}, {"no": "type"}):
        try:
            await send(event)
            told.append("sent")
        except Exception as error:
            told.append(type(error).__name__)
    scope["state"].update(told=told, loop=asyncio.get_running_loop(), pid=os.getpid(), shared=[])
    while os.path.exists("slow"):
        await asyncio.sleep(0.01)
    scope["state"]["started"] = True
    print("started", flush=True)
    await send({"type": "lifespan.startup.complete", "unknown": 1})
    assert await receive() == {"type": "lifespan.shutdown"}
    print("shutdown begins", flush=True)
    await asyncio.sleep(0.5)
    if os.path.exists("fails"):
        return await send({"type": "lifespan.shutdown.failed", "message": "the drawer is stuck"})
    print("shutdown ends", flush=True)
    await send({"type": "lifespan.shutdown.complete"})


async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        return await lifespan(scope, receive, send)
    state = scope["state"]
    assert state["started"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/stream":
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        while not os.path.exists("enough"):
            await asyncio.sleep(0.01)
        print("the stream ends", flush=True)
        await send({"type": "http.response.body", "body": b"y"})
    elif scope["path"] == "/own":
        state["shared"].append(1)
        own = state["loop"] is asyncio.get_running_loop() and state["pid"] == os.getpid()
        await send({"type": "http.response.body", "body": b"%r" % own})
    else:
        await send({"type": "http.response.body", "body": "\n".join(state["told"]).encode()})
"#;

#[test]
fn a_lifespan_has_its_scope_and_an_empty_state_and_raises_at_other_events() {
    let server = Server::new().app(APP).ini(HTTP).start();
    assert_eq!(
        server.get("/").text(),
        "asgi={'version': '3.0', 'spec_version': '2.0'}\nstate={}\ntype='lifespan'\n\
         RuntimeError\nRuntimeError\nKeyError"
    );
}

#[test]
fn each_process_has_a_life_of_its_own_on_the_loop_of_its_requests() {
    let server = Server::new()
        .app(APP)
        .ini(&format!("{HTTP}processes = 3\n"))
        .start();
    server.settle(3);
    assert_eq!(server.count_log("started"), 3, "{}", server.log());
    for _ in 0..20 {
        assert_eq!(server.get("/own").text(), "True");
    }
}

#[test]
fn no_request_is_served_before_the_start_is_complete() {
    let server = Server::new().app(APP).ini(HTTP).start();
    server.write("slow", "");
    server.signal(Signal::SIGHUP);
    server.wait_for_log(&["[mold 2]", "loaded"]);
    // The old generation serves meanwhile.
    assert_eq!(server.get("/own").text(), "True");
    assert_eq!(server.count_log("generation 2 serves"), 0);
    std::fs::remove_file(server.file("slow")).unwrap();
    server.wait_for_log(&["generation 2 serves"]);
    assert_eq!(server.get("/own").text(), "True");
}

#[test]
fn the_shutdown_comes_after_the_last_request_and_is_waited_for_on_asyncio() {
    the_shutdown_comes_last("asyncio");
}

/// To stop uvloop twice stops it again when it runs for the shutdown.
#[test]
fn the_shutdown_comes_after_the_last_request_and_is_waited_for_on_uvloop() {
    for _ in 0..5 {
        the_shutdown_comes_last("uvloop");
    }
}

fn the_shutdown_comes_last(event_loop: &str) {
    let Some(home) = venv::with(event_loop) else {
        return;
    };
    let ini = format!("{HTTP}loop = {event_loop}\nhome = {}\n", home.display());
    let mut server = Server::new().app(APP).ini(&ini).start();
    let mut idle = server.connect();
    assert_eq!(idle.get("/own").text(), "True");
    let mut connection = server.connect();
    connection.send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    connection.head().unwrap();
    server.signal(Signal::SIGTERM);
    server.wait_for_log(&["stopping gracefully"]);
    assert_eq!(connection.chunk().unwrap(), Some(b"x".to_vec()));
    server.write("enough", "");
    assert_eq!(connection.chunk().unwrap(), Some(b"y".to_vec()));
    server.wait_for_end();
    let log = server.log();
    let place = |line: &str| {
        log.find(line)
            .unwrap_or_else(|| panic!("{line} is not in\n{log}"))
    };
    assert!(place("the stream ends") < place("shutdown begins"), "{log}");
    assert!(place("shutdown begins") < place("shutdown ends"), "{log}");
}

#[test]
fn a_shutdown_that_fails_is_told_and_ends_the_worker_none_the_less() {
    let mut server = Server::new().app(APP).ini(HTTP).start();
    server.write("fails", "");
    server.signal(Signal::SIGTERM);
    server.wait_for_end();
    let log = server.log();
    assert!(
        log.contains("lifespan: the shutdown failed") && log.contains("the drawer is stuck"),
        "{log}"
    );
}

#[test]
fn an_application_that_raises_has_no_life_and_is_served() {
    for life in [
        "raise LookupError('at the scope')",
        "await receive()\n        raise LookupError('at the start')",
        "await receive()\n        return",
    ] {
        let app = format!(
            r#"
async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        {life}
    assert "state" not in scope
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": b"served"}})
"#
        );
        let mut server = Server::new().app(&app).ini(HTTP).start();
        assert_eq!(server.get("/").text(), "served", "{life}");
        server.signal(Signal::SIGTERM);
        server.wait_for_end();
        let log = server.log();
        assert!(!log.contains("Traceback"), "{log}");
    }
}

#[test]
fn a_start_that_fails_need_not_say_why() {
    let app = r#"
async def application(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed"})
"#;
    let finished = Server::new().app(app).ini(HTTP).run();
    finished.assert_refused(22, &["the application cannot start: no reason was given"]);
}

#[test]
fn a_life_that_ends_by_itself_leaves_its_requests_alone() {
    let app = r#"
async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        return await send({"type": "lifespan.startup.complete"})
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"served"})
"#;
    let mut server = Server::new().app(app).ini(HTTP).start();
    assert_eq!(server.get("/").text(), "served");
    server.signal(Signal::SIGTERM);
    server.wait_for_end();
    assert!(!server.log().contains("lifespan:"), "{}", server.log());
}

/// An application that waits where it should not.
const STUCK: &str = r#"
import asyncio

async def database():
    await asyncio.sleep(1000)

async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        if AT == "start":
            await database()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if AT == "stop":
            await database()
        return await send({"type": "lifespan.shutdown.complete"})
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"served"})
    while AT == "task":
        try:
            await database()
        except asyncio.CancelledError:
            pass
"#;

fn stuck(at: &str, lines: &str) -> Server {
    let app = format!("{STUCK}\n\nAT = \"{at}\"\n");
    Server::new().app(&app).ini(&format!("{HTTP}{lines}\n"))
}

#[test]
fn a_start_that_takes_long_is_told_with_its_place() {
    let finished = stuck("start", "boot-timeout = 8").run();
    finished.assert_refused(1, &["cannot start", "(boot-timeout)"]);
    for part in [
        "lifespan: the application has been starting for 5 s; it is here",
        "await database()",
        "in database",
    ] {
        assert!(finished.log.contains(part), "{part} is not in\n{}", finished.log);
    }
}

#[test]
fn so_is_a_shutdown_and_a_task_that_a_worker_waits_for() {
    for (at, expected) in [
        (
            "stop",
            "lifespan: the application has been shutting down for 5 s; it is here",
        ),
        (
            "task",
            "\"GET /\": its task goes on, and the worker waits for it; it is here",
        ),
    ] {
        let mut server = stuck(at, "worker-reload-mercy = 8").start();
        assert_eq!(server.get("/").text(), "served");
        server.signal(Signal::SIGTERM);
        server.wait_for_log(&[expected]);
        assert!(server.log().contains("in database"), "{}", server.log());
        server.wait_for_end();
    }
}
