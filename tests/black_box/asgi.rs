//! ASGI over HTTP and over uwsgi: what the specification binds a server to.

use std::collections::HashMap;

use crate::support::packet;
use crate::support::{HTTP, Running, Server, soon};

/// An application whose paths are what it does.
const APP: &str = r#"
import asyncio
import contextvars

HISTORY = []
VARIABLE = contextvars.ContextVar("variable", default="fresh")


async def answer(send, body, status=200, headers=()):
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": body})


async def lifespan(scope, receive, send):
    while True:
        event = await receive()
        if event["type"] == "lifespan.startup":
            scope["state"]["greeting"] = "from the start"
            await send({"type": "lifespan.startup.complete"})
        else:
            print("the life ends", flush=True)
            await send({"type": "lifespan.shutdown.complete"})
            return


async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        return await lifespan(scope, receive, send)
    path = scope["path"]
    if path == "/scope":
        scope["headers"] = [pair for pair in scope["headers"] if pair[0] != b"host"]
        shown = sorted((key, value) for key, value in scope.items() if key not in ("client", "server"))
        types = {key: type(value).__name__ for key, value in scope.items()}
        await answer(send, repr((shown, types)).encode())
    elif path == "/echo":
        body, parts, more = b"", 0, True
        while more:
            event = await receive()
            assert event["type"] == "http.request", event
            body, parts, more = body + event["body"], parts + 1, event["more_body"]
        await answer(send, body, headers=[(b"X-Parts", b"%d" % parts)])
    elif path == "/first-part":
        event = await receive()
        await answer(send, repr(event).encode())
    elif path == "/stream":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number in range(5):
            await send({"type": "http.response.body", "body": b"%d," % number, "more_body": True})
            await asyncio.sleep(0)
        await send({"type": "http.response.body"})
    elif path == "/endless":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        sent = 0
        try:
            while True:
                await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
                sent += 65536
        except OSError as error:
            HISTORY.append("%s after %s" % (type(error).__name__, "much" if sent > 64 << 20 else "little"))
            raise
    elif path == "/watch":
        await receive()
        HISTORY.append((await receive())["type"])
    elif path == "/history":
        await answer(send, repr(HISTORY).encode())
    elif path == "/task":
        task = asyncio.current_task()
        VARIABLE.set("set")
        await asyncio.sleep(0)
        same = task is asyncio.current_task() and task in asyncio.all_tasks()
        try:
            await asyncio.wait_for(asyncio.sleep(30), 0.01)
        except asyncio.TimeoutError:
            await answer(send, b"%r %s" % (same, VARIABLE.get().encode()))
    elif path == "/variable":
        await answer(send, VARIABLE.get().encode())
    elif path == "/background":
        await answer(send, b"answered")
        assert (await receive())["type"] == "http.disconnect"
        await asyncio.sleep(0.05)
        HISTORY.append("background done")
    elif path == "/raise":
        raise LookupError("on purpose")
    elif path == "/raise-late":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"some", "more_body": True})
        raise LookupError("on purpose")
    elif path == "/silent":
        pass
    elif path == "/short":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"some", "more_body": True})
    elif path == "/missteps":
        told = []

        async def attempt(event):
            try:
                await send(event)
            except Exception as error:
                told.append("%s: %s" % (type(error).__name__, error))

        await attempt({"type": "http.response.body", "body": b""})
        await attempt({"type": "http.response.strat"})
        await attempt(["no dict"])
        await attempt({"type": "http.response.start", "headers": []})
        await attempt({"type": "http.response.start", "status": 100})
        await attempt({"type": "http.response.start", "status": 200, "headers": [(b"x", b"a\r\nb: c")]})
        await attempt({"type": "http.response.start", "status": 200, "headers": [("x", "y")]})
        await attempt({"type": "http.response.start", "status": 200, "headers": [(b"Content-Length", b"5x")]})
        lengths = [(b"content-length", b"5"), (b"content-length", b"5"), (b"Content-Length", b"6")]
        await attempt({"type": "http.response.start", "status": 200, "headers": lengths})
        await attempt({"type": "http.response.start", "status": 200, "headers": []})
        await attempt({"type": "http.response.start", "status": 200, "headers": []})
        await attempt({"type": "http.response.body", "body": "text"})
        await send({"type": "http.response.body", "body": "\n".join(told).encode()})
        await attempt({"type": "http.response.body", "body": b"late"})
        HISTORY.append(told[-1])
    else:
        await answer(send, b"hello\n", headers=[(b"content-type", b"text/plain")])
"#;

fn server() -> Running {
    Server::new().app(APP).ini(HTTP).start()
}

fn history(server: &Running) -> String {
    server.get("/history").text().to_owned()
}

#[test]
fn an_asgi_application_needs_no_word_more_than_a_wsgi_one() {
    let server = server();
    let response = server.get("/");
    assert_eq!((response.status, response.text()), (200, "hello\n"));
    assert_eq!(response.header("content-length"), Some("6"));
    assert!(server.log().contains("ASGI application app:application loaded"));
}

#[test]
fn a_scope_has_every_field_with_the_type_it_is_to_have() {
    let server = server();
    let response = server.connect().get("/scope?a=%20b");
    let text = response.text();
    for part in [
        "('asgi', {'version': '3.0', 'spec_version': '2.5'})",
        "('http_version', '1.1')",
        "('method', 'GET')",
        "('path', '/scope')",
        "('query_string', b'a=%20b')",
        "('raw_path', b'/scope')",
        "('root_path', '')",
        "('scheme', 'http')",
        "('state', {'greeting': 'from the start'})",
        "('type', 'http')",
        "'client': 'tuple'",
        "'server': 'tuple'",
        "'headers': 'list'",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

#[test]
fn uwsgi_reaches_the_same_application() {
    let server = Server::new()
        .app(APP)
        .ini("socket = app.sock\nmodule = app")
        .start();
    let mut connection = server.connect_unix("app.sock");
    connection.send(packet::request("GET", "/scope", &[]));
    let response = connection.response();
    assert!(
        response.text().contains("('path', '/scope')"),
        "{}",
        response.text()
    );
    assert!(
        response.text().contains("('state', {'greeting'"),
        "{}",
        response.text()
    );
}

#[test]
fn a_small_body_comes_in_one_part_and_a_large_one_in_several() {
    let server = server();
    let response = server.connect().post("/echo", "hello");
    assert_eq!(
        (response.header("x-parts"), response.text()),
        (Some("1"), "hello")
    );
    let large: Vec<u8> = (0..3_000_000_u32).map(|number| number as u8).collect();
    let response = server.connect().post("/echo", &large);
    assert!(response.body == large, "{} bytes came back", response.body.len());
    assert_ne!(response.header("x-parts"), Some("1"));
}

#[test]
fn a_body_is_given_as_it_comes() {
    let server = server();
    let mut connection = server.connect();
    connection.send("POST /first-part HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
    let response = connection.response();
    assert_eq!(
        response.text(),
        "{'type': 'http.request', 'body': b'hello', 'more_body': True}"
    );
    // Where the next request would begin nobody knows.
    assert!(response.says_close());
}

#[test]
fn a_client_that_waits_to_be_asked_for_its_body_is_asked_when_the_application_wants_it() {
    let server = server();
    let mut connection = server.connect();
    connection.send("POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(connection.head().unwrap().status, 100);
    connection.send("hello");
    assert_eq!(connection.response().text(), "hello");
    let mut connection = server.connect();
    connection.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(
        connection.response().status,
        200,
        "who does not want it does not ask"
    );
}

#[test]
fn an_answer_is_streamed_in_chunks() {
    let server = server();
    let mut connection = server.connect();
    let response = connection.get("/stream");
    assert_eq!(response.text(), "0,1,2,3,4,");
    assert_eq!(response.header("transfer-encoding"), Some("chunked"));
    assert_eq!(connection.get("/").status, 200, "and the connection goes on");
}

#[test]
fn a_client_that_does_not_read_holds_its_application_back_and_one_that_leaves_ends_it() {
    let server = server();
    let mut connection = server.connect();
    connection.send("GET /endless HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(connection.head().unwrap().status, 200);
    // The loop is free meanwhile.
    assert_eq!(server.get("/").status, 200);
    drop(connection);
    soon("the application hears of it", || {
        history(&server).contains("ClientDisconnected after little")
    });
    assert!(!server.log().contains("Traceback"), "{}", server.log());
}

#[test]
fn an_application_hears_that_its_client_has_gone() {
    let server = server();
    let mut connection = server.connect();
    connection.send("GET /watch HTTP/1.1\r\nHost: a\r\n\r\n");
    drop(connection);
    soon("it hears", || history(&server).contains("http.disconnect"));
}

#[test]
fn a_request_is_a_task_like_any_other() {
    let server = server();
    assert_eq!(server.get("/task").text(), "True set");
    assert_eq!(
        server.get("/variable").text(),
        "fresh",
        "context is each request's own"
    );
}

#[test]
fn work_behind_the_answer_holds_up_neither_its_client_nor_others() {
    let server = server();
    let mut connection = server.connect();
    assert_eq!(connection.get("/background").text(), "answered");
    assert_eq!(connection.get("/").status, 200);
    soon("the work is done", || {
        history(&server).contains("background done")
    });
}

#[test]
fn an_application_that_fails_is_answered_for() {
    let server = server();
    for target in ["/raise", "/silent"] {
        assert_eq!(server.get(target).status, 500, "{target}");
    }
    server.wait_for_log(&["GET /raise: the application raised"]);
    server.wait_for_log(&["LookupError: on purpose"]);
    server.wait_for_log(&["GET /silent: the application returned without an answer"]);
}

#[test]
fn an_answer_that_breaks_off_does_not_look_whole() {
    let server = server();
    for target in ["/raise-late", "/short"] {
        let mut connection = server.connect();
        connection.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let rest = connection.rest_until_cut();
        let text = String::from_utf8_lossy(&rest);
        assert!(
            text.contains("4\r\nsome\r\n") && !text.contains("\r\n0\r\n"),
            "{text}"
        );
    }
}

#[test]
fn what_may_not_be_sent_raises_and_says_why() {
    let server = server();
    let response = server.get("/missteps");
    let told: Vec<&str> = response.text().lines().collect();
    let expected = [
        "RuntimeError: send: http.response.body came before http.response.start",
        "ValueError: send: \"http.response.strat\" is no event",
        "TypeError: send: an event must be a dict, not list",
        "KeyError: 'http.response.start: \"status\" is missing'",
        "ValueError: http.response.start: \"status\" must be 200 to 999, not 100",
        "ValueError: send: header x: a control character",
        "TypeError: send: a header's name must be bytes, not str",
        "ValueError: send: header Content-Length: not a number of bytes: b\"5x\"",
        "ValueError: send: header Content-Length: given twice, and they differ: 5 before: b\"6\"",
        "RuntimeError: send: http.response.start came already",
        "TypeError: http.response.body: \"body\" must be bytes, not str",
    ];
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with(expected), "{told} is not {expected}");
    }
    assert!(history(&server).contains("the response is complete"));
}

#[test]
fn what_cannot_be_called_as_it_is_to_be_is_refused_at_the_start() {
    let wsgi = "def application(environ, start_response):\n    pass\n";
    for (app, lines, expected) in [
        (wsgi, "interface = asgi", "leave interface = asgi out"),
        ("def application():\n    pass\n", "", "say app:application()"),
    ] {
        let finished = Server::new().app(app).ini(&format!("{HTTP}{lines}\n")).run();
        finished.assert_refused(22, &["cannot start: app:application takes", expected]);
    }
}

#[test]
fn a_life_ends_after_the_last_request() {
    let mut server = server();
    assert_eq!(server.get("/").status, 200);
    server.signal(nix::sys::signal::Signal::SIGTERM);
    server.wait_for_end();
    assert!(server.log().contains("the life ends"), "{}", server.log());
}

/// An application whose life does not begin.
const STILLBORN: &str = r#"
async def application(scope, receive, send):
    assert scope["type"] == "lifespan"
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "the database is away"})
"#;

#[test]
fn an_application_that_says_it_cannot_start_stops_the_boot() {
    let finished = Server::new().app(STILLBORN).ini(HTTP).run();
    finished.assert_refused(22, &["the application cannot start: the database is away"]);
}

#[test]
fn a_reload_whose_application_cannot_start_leaves_the_old_one_serving() {
    let server = server();
    server.write("app.py", STILLBORN);
    server.signal(nix::sys::signal::Signal::SIGHUP);
    server.wait_for_log(&["the application cannot start: the database is away"]);
    assert_eq!(server.get("/").text(), "hello\n");
}

#[test]
fn lifespan_may_be_demanded_or_left_out() {
    let none = "async def application(scope, receive, send):\n    assert scope['type'] == 'http'\n";
    let finished = Server::new().app(none).ini(&format!("{HTTP}lifespan = on")).run();
    finished.assert_refused(22, &["lifespan = on", "AssertionError"]);
    let server = Server::new()
        .app(STILLBORN)
        .ini(&format!("{HTTP}lifespan = off"))
        .start();
    assert_eq!(server.get("/").status, 500);
}

#[test]
fn wsgi_and_asgi_applications_live_side_by_side() {
    let wsgi = r#"
import asyncio

def application(environ, start_response):
    start_response("200 OK", [])
    async def own():
        return b"a loop of its own"
    return [asyncio.run(own())]
"#;
    let server = Server::new()
        .app(APP)
        .file("old.py", wsgi)
        .ini(&format!(
            "{HTTP}mount = /old=old:application\nmanage-script-name = true"
        ))
        .start();
    assert_eq!(server.get("/old/x").text(), "a loop of its own");
    assert_eq!(server.get("/").text(), "hello\n");
}

#[test]
fn an_asgi_2_application_is_served() {
    let app = r#"
def application(scope):
    async def run(receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"two"})
    return run
"#;
    let server = Server::new().app(app).ini(HTTP).start();
    assert_eq!(server.get("/").text(), "two");
}

/// Says which thread it is on, and whether its state is of a life that began there.
const THREADS: &str = r#"
import asyncio
import threading


async def application(scope, receive, send):
    here = threading.get_ident()
    if scope["type"] == "lifespan":
        await receive()
        scope["state"]["thread"] = here
        await send({"type": "lifespan.startup.complete"})
        await receive()
        return await send({"type": "lifespan.shutdown.complete"})
    if scope["path"] == "/slow":
        await asyncio.sleep(1)
    body = b"%d %s" % (here, b"own" if scope["state"]["thread"] == here else b"another's")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
"#;

#[test]
fn threads_are_loops_where_python_has_no_global_lock_and_a_warning_where_it_has() {
    let server = Server::new()
        .app(THREADS)
        .ini(&format!("{HTTP}threads = 3\nprocesses = 1\n"))
        .start();
    let has_lock = server
        .log()
        .contains("an ASGI application has one loop in one thread");
    let expected = if has_lock { 1 } else { 3 };
    let mut seen = HashMap::new();
    soon("each thread has answered on a connection", || {
        let mut connection = server.connect();
        let answer = connection.get("/").text().to_owned();
        assert!(answer.ends_with(" own"), "{answer}");
        seen.entry(answer).or_insert(connection);
        seen.len() == expected
    });
    for (answer, connection) in &mut seen {
        assert_eq!(
            &connection.get("/").text(),
            answer,
            "a connection stays in its loop"
        );
        connection.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    server.signal(nix::sys::signal::Signal::SIGTERM);
    for (answer, connection) in &mut seen {
        assert_eq!(
            &connection.response().text(),
            answer,
            "what is in hand is finished"
        );
    }
}
