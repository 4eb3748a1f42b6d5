//! FastAPI, Starlette, Quart, Litestar, Channels and Django's asynchronous side: the examples, with the real packages, on either loop.

use std::path::Path;

use crate::examples::{FREE_PORT, ini};
use crate::frameworks::{django, examples, form_with_file};
use crate::support::{Connection, Response, Running, Server, soon, venv};
use crate::websocket::{client as websocket_client, seen};

/// An example with the ini that lies beside it, and further lines. `None` where its packages are not there.
fn example(name: &str, event_loop: &str) -> Option<Running> {
    let home = venv::with(name)?;
    if event_loop == "uvloop" {
        venv::with("uvloop")?;
    }
    let changes = [FREE_PORT, ("%d.venv", home.to_str().unwrap())];
    let text = ini(&examples().join(name).join("uwsgi.ini"), &changes);
    let text = format!("{text}\nloop = {event_loop}\n");
    let server = Server::new().file("example.ini", text).args(["example.ini"]);
    Some(server.start())
}

/// The guestbook as ASGI, with a database of its own.
fn guestbook(event_loop: &str) -> Option<Running> {
    if event_loop == "uvloop" {
        venv::with("uvloop")?;
    }
    let home = venv::frameworks()?;
    let changes = [FREE_PORT, ("%d.venv", home.to_str().unwrap())];
    let text = ini(&examples().join("django/asgi.ini"), &changes);
    let server = django("")?
        .file("asgi.ini", format!("{text}\nloop = {event_loop}\n"))
        .without_ini()
        .args(["--ini", "asgi.ini"]);
    Some(server.start())
}

fn post_json(connection: &mut Connection, target: &str, json: &str) -> Response {
    connection.send(format!(
        "POST {target} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{json}",
        json.len()
    ));
    connection.response()
}

/// What a WebSocket client sees that does what the words say.
fn websocket_seen(home: &Path, port: u16, words: &[&str]) -> String {
    seen(websocket_client(home, port, words))
}

fn upload(connection: &mut Connection, target: &str, file: &[u8]) -> Response {
    let (content_type, body) = form_with_file(file);
    connection.send(format!(
        "POST {target} HTTP/1.1\r\nHost: a\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    ));
    connection.send(body);
    connection.response()
}

/// The examples' shop: it adds up, and refuses with that status what is no number.
fn assert_sells(connection: &mut Connection, refusal: u16) {
    let sold = post_json(
        connection,
        "/items",
        r#"{"name": "tea", "price": 2.5, "amount": 2}"#,
    );
    assert_eq!((sold.status, sold.text()), (201, "{\"total\":5.0}"));
    let refused = post_json(connection, "/items", r#"{"name": "tea", "price": "dear"}"#);
    assert_eq!(refused.status, refusal, "{}", refused.text());
}

fn fastapi_is_at_home(event_loop: &str) {
    let Some(mut server) = example("fastapi", event_loop) else {
        return;
    };
    let mut connection = server.connect();
    assert_eq!(
        connection.get("/").text(),
        "{\"message\":\"Hello from FastAPI\"}",
        "what the lifespan yields is every request's state"
    );
    assert_sells(&mut connection, 422);
    assert_eq!(
        connection.get("/stream?lines=3&pause=0.01").text(),
        "line 1\nline 2\nline 3\n"
    );
    let file = upload(&mut connection, "/upload", &vec![b'x'; 3_000_000]);
    assert_eq!(file.text(), "{\"bytes\":3000000}");
    assert_eq!(post_json(&mut connection, "/letters/ada", "").status, 202);
    soon(
        "the dependency is over, the letter written, a thread can tell",
        || server.get("/blocking").text() == r#"{"journal":["sold tea","wrote to ada"]}"#,
    );
    assert_eq!(server.get("/fail").status, 500);
    server.wait_for_log(&["LookupError: failed on purpose"]);
    assert_eq!(server.get("/openapi.json").status, 200);
    server.signal(nix::sys::signal::Signal::SIGTERM);
    server.wait_for_end();
    assert!(server.log().contains("the application ends"), "{}", server.log());
}

#[test]
fn fastapi_is_at_home_on_asyncio() {
    fastapi_is_at_home("asyncio");
}

#[test]
fn fastapi_is_at_home_on_uvloop() {
    fastapi_is_at_home("uvloop");
}

/// Starlette raises an exception of its own in the place of the server's.
#[test]
fn a_client_that_leaves_a_stream_is_nobodys_mistake() {
    let Some(server) = example("fastapi", "auto") else {
        return;
    };
    for _ in 0..3 {
        let mut connection = server.connect();
        connection.send("GET /stream?lines=1000000&pause=0.01 HTTP/1.1\r\nHost: a\r\n\r\n");
        connection.head().unwrap();
        assert_eq!(connection.chunk().unwrap(), Some(b"line 1\n".to_vec()));
        connection.reset();
    }
    soon("the server has noticed", || server.count_log("GET /stream") == 3);
    // What the applications raise comes a moment later, and before this.
    assert_eq!(server.get("/stream?lines=5&pause=0.05").status, 200);
    assert!(!server.log().contains("Traceback"), "{}", server.log());
}

#[test]
fn starlette_is_served() {
    let Some(server) = example("starlette", "auto") else {
        return;
    };
    let mut connection = server.connect();
    assert_eq!(connection.get("/").text(), "Hello from Starlette\n");
    let counted = connection.post("/count", vec![b'x'; 1_000_000]);
    assert_eq!(counted.text(), "{\"bytes\":1000000}");
    let source = std::fs::read(examples().join("starlette/app.py")).unwrap();
    assert_eq!(connection.get("/source").body, source);
    let port = server.port();
    connection.send(format!(
        "GET /below/where HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n"
    ));
    assert_eq!(
        connection.response().text(),
        format!("{{\"url\":\"http://127.0.0.1:{port}/below/where\",\"root_path\":\"/below\"}}")
    );
}

#[test]
fn quart_is_served() {
    let Some(server) = example("quart", "auto") else {
        return;
    };
    let mut connection = server.connect();
    assert_eq!(connection.get("/").text(), "<h1>Hello from Quart</h1>");
    assert_eq!(
        post_json(&mut connection, "/sum", "[1, 2, 3]").text().trim(),
        "{\"started\":true,\"sum\":6}"
    );
    assert_eq!(connection.get("/stream").text(), "line 1\nline 2\nline 3\n");
}

fn litestar_is_at_home(event_loop: &str) {
    let Some(mut server) = example("litestar", event_loop) else {
        return;
    };
    let mut connection = server.connect();
    assert_eq!(
        connection.get("/").text(),
        "{\"message\":\"Hello from Litestar\"}"
    );
    assert_sells(&mut connection, 400);
    let counted = connection.post("/count", vec![b'x'; 1_000_000]);
    assert_eq!(counted.text(), "{\"bytes\":1000000}");
    assert_eq!(connection.get("/stream").text(), "line 1\nline 2\nline 3\n");
    let source = std::fs::read(examples().join("litestar/app.py")).unwrap();
    assert_eq!(connection.get("/source").body, source);
    assert_eq!(connection.get("/blocking").text(), "from a thread");
    let home = venv::frameworks().unwrap();
    let seen = websocket_seen(&home, server.port(), &["shout"]);
    assert_eq!(seen, "HELLO\nENOUGH\n");
    server.signal(nix::sys::signal::Signal::SIGTERM);
    server.wait_for_end();
    assert!(server.log().contains("the application ends"), "{}", server.log());
}

#[test]
fn litestar_is_at_home_on_asyncio() {
    litestar_is_at_home("asyncio");
}

#[test]
fn litestar_is_at_home_on_uvloop() {
    litestar_is_at_home("uvloop");
}

fn channels_is_at_home(event_loop: &str) {
    let Some(server) = example("channels", event_loop) else {
        return;
    };
    let mut connection = server.connect();
    connection.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(connection.response().text().contains("<title>A chat</title>"));
    let home = venv::frameworks().unwrap();
    assert_eq!(
        websocket_seen(&home, server.port(), &["chat"]),
        "{\"text\": \"hello\"} {\"text\": \"hello\"}\n{\"text\": \"someone left with 1000\"}\n\
         {\"text\": \"alone\"}\n403\n"
    );
    assert_eq!(
        websocket_seen(&home, server.port(), &["shout"]),
        "HELLO\n4000 as you wish\n"
    );
    assert!(!server.log().contains("Traceback"), "{}", server.log());
}

#[test]
fn channels_is_at_home_on_asyncio() {
    channels_is_at_home("asyncio");
}

#[test]
fn channels_is_at_home_on_uvloop() {
    channels_is_at_home("uvloop");
}

fn django_is_at_home(event_loop: &str) {
    let Some(server) = guestbook(event_loop) else {
        return;
    };
    let mut connection = server.connect();
    let page = connection.get("/");
    assert_eq!(page.status, 200, "{}", page.text());
    assert!(page.text().contains("Guestbook"));
    assert_eq!(connection.get("/slowly?pause=0.01").text(), "{\"entries\": 0}");
    assert_eq!(connection.get("/ticks?lines=2").text(), "tick 1\ntick 2\n");
    // What a synchronous generator yields, Django gathers first.
    assert_eq!(connection.get("/stream?lines=2").text(), "line 1\nline 2\n");
    let file = upload(&mut connection, "/upload", &vec![b'x'; 3_000_000]);
    assert!(file.text().contains("\"bytes\": 3000000"), "{}", file.text());
    assert_eq!(connection.get("/nowhere").status, 404);
    assert_eq!(server.get("/fail").status, 500);
    server.wait_for_log(&["LookupError: failed on purpose"]);
}

#[test]
fn django_is_at_home_on_asyncio() {
    django_is_at_home("asyncio");
}

#[test]
fn django_is_at_home_on_uvloop() {
    django_is_at_home("uvloop");
}

#[test]
fn an_asynchronous_view_that_waits_holds_up_nobody() {
    let Some(server) = guestbook("auto") else { return };
    let mut slow = server.connect();
    slow.send("GET /slowly?pause=10 HTTP/1.1\r\nHost: a\r\n\r\n");
    for _ in 0..3 {
        assert_eq!(server.get("/slowly").status, 200);
    }
    // From its version 5 on Django cancels a view whose client leaves; the server waits for that of an older one.
    drop(slow);
}
