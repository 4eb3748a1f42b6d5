//! WebSockets, with a client of another make: over HTTP, and behind nginx.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;

use crate::support::nginx::Nginx;
use crate::support::{HTTP, Running, Server, soon, venv};

const APP: &str = r#"
HISTORY = []


async def application(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        return await send({"type": "http.response.body", "body": repr(HISTORY).encode()})
    assert scope["type"] == "websocket"
    assert scope["scheme"] == "ws" and "method" not in scope and "websocket.http.response" in scope["extensions"]
    assert await receive() == {"type": "websocket.connect"}
    path = scope["path"]
    if path == "/deny":
        return await send({"type": "websocket.close"})
    if path == "/deny-with":
        await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
        await send({"type": "websocket.http.response.body", "body": b"not ", "more_body": True})
        return await send({"type": "websocket.http.response.body", "body": b"you"})
    if path == "/raise-early":
        raise LookupError("before")
    if path == "/return-early":
        return
    subprotocol = (scope["subprotocols"] or [None])[0]
    await send({"type": "websocket.accept", "subprotocol": subprotocol, "headers": [(b"X-Own", b"field")]})
    if path == "/raise":
        raise LookupError("after")
    if path == "/return":
        return
    if path == "/close":
        await send({"type": "websocket.close", "code": 4001, "reason": "bye"})
        HISTORY.append((await receive())["code"])
        try:
            await send({"type": "websocket.send", "text": "late"})
        except OSError:
            HISTORY.append("late")
        return
    if path == "/flood":
        for _ in range(2000):
            await send({"type": "websocket.send", "bytes": b"x" * 10000})
        return await send({"type": "websocket.close"})
    while True:
        event = await receive()
        if event["type"] == "websocket.disconnect":
            HISTORY.append((event["code"], event["reason"]))
            return
        kind = "text" if event.get("text") is not None else "bytes"
        await send({"type": "websocket.send", kind: event[kind]})
"#;

/// The client, on its way.
pub(crate) fn client(home: &Path, port: u16, words: &[&str]) -> Child {
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/black_box/support/websocket_client.py"
    );
    Command::new(home.join("bin/python"))
        .arg(script)
        .arg(format!("ws://127.0.0.1:{port}"))
        .args(words)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What the client saw.
pub(crate) fn seen(client: Child) -> String {
    let output = client.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// A server, and the virtualenv that the client lives in; `None` where there is none.
fn server() -> Option<(Running, std::path::PathBuf)> {
    let home = venv::frameworks()?;
    Some((Server::new().app(APP).ini(HTTP).start(), home))
}

#[test]
fn messages_of_every_kind_come_back_as_they_were_sent() {
    let Some((server, home)) = server() else { return };
    assert_eq!(seen(client(&home, server.port(), &["echo"])), "echoed\n");
}

#[test]
fn a_subprotocol_and_fields_go_with_the_acceptance() {
    let Some((server, home)) = server() else { return };
    assert_eq!(
        seen(client(&home, server.port(), &["subprotocol"])),
        "chat field\n"
    );
}

#[test]
fn who_is_not_accepted_gets_an_answer_of_http() {
    let Some((server, home)) = server() else { return };
    assert_eq!(
        seen(client(&home, server.port(), &["status"])),
        "/deny 403 403 Forbidden\n/deny-with 401 not you\n/raise-early 500 Internal Server Error\n\
         /return-early 500 Internal Server Error\n"
    );
    server.wait_for_log(&["GET /raise-early: the application raised"]);
    server.wait_for_log(&["GET /return-early: the application returned before it had accepted"]);
}

#[test]
fn close_codes_say_who_ended_it_and_why() {
    let Some((server, home)) = server() else { return };
    assert_eq!(
        seen(client(&home, server.port(), &["closes"])),
        "/close 4001 bye\n/raise 1011 \n/return 1000 \n"
    );
    assert_eq!(server.get("/").text(), "[4001, 'late']");
    seen(client(&home, server.port(), &["goodbyes"]));
    soon("both goodbyes are heard", || {
        server.get("/").text() == "[4001, 'late', (4002, 'enough'), (1006, '')]"
    });
}

#[test]
fn a_slow_reader_holds_its_application_back_and_loses_nothing() {
    let Some((server, home)) = server() else { return };
    assert_eq!(seen(client(&home, server.port(), &["slow_reader"])), "20000000\n");
}

#[test]
fn a_reload_says_so_and_the_client_may_come_again() {
    let Some((server, home)) = server() else { return };
    let mut client = client(&home, server.port(), &["stay"]);
    let mut lines = BufReader::new(client.stdout.take().unwrap()).lines();
    let mut next = || lines.next().unwrap().unwrap();
    assert_eq!(next(), "there");
    server.signal(Signal::SIGHUP);
    assert_eq!(next(), "1012");
    assert_eq!(next(), "again");
    assert!(client.wait().unwrap().success());
}

#[test]
fn a_message_that_is_too_long_ends_it_compressed_or_not() {
    let Some(home) = venv::frameworks() else { return };
    let server = Server::new()
        .app(APP)
        .ini(&format!("{HTTP}websockets-max-size = 4"))
        .start();
    for words in [&["too_long"][..], &["too_long", "deflate"]] {
        assert_eq!(seen(client(&home, server.port(), words)), "1009\n", "{words:?}");
    }
}

#[test]
fn what_is_agreed_on_compression_is_what_was_configured() {
    for (said, agreed) in [
        ("takeover", Some("permessage-deflate; client_max_window_bits=12")),
        (
            "each",
            Some(
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover; client_max_window_bits=12",
            ),
        ),
        ("off", None),
    ] {
        let server = Server::new()
            .app(APP)
            .ini(&format!("{HTTP}websockets-compression = {said}"))
            .start();
        let mut connection = server.connect();
        connection.send(
            "GET /echo HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
             Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n",
        );
        let head = connection.head().unwrap();
        assert_eq!(head.status, 101);
        assert_eq!(head.header("Sec-WebSocket-Extensions"), agreed, "{said}");
    }
}

#[test]
fn who_does_not_answer_pings_is_given_up() {
    let server = Server::new()
        .app(APP)
        .ini(&format!(
            "{HTTP}websockets-ping-freq = 1\nwebsockets-pong-tolerance = 1"
        ))
        .start();
    let mut connection = server.connect();
    connection.send(
        "GET /echo HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    );
    assert_eq!(connection.head().unwrap().status, 101);
    let rest = connection.rest();
    assert_eq!(rest[0], 0x89, "a ping first: {rest:?}");
    let goodbye = [0x03, 0xf3];
    assert!(
        rest.windows(2).any(|code| code == goodbye),
        "1011 at the end: {rest:?}"
    );
}

#[test]
fn a_stop_says_so() {
    let Some((mut server, home)) = server() else {
        return;
    };
    let mut client = client(&home, server.port(), &["stay"]);
    let mut lines = BufReader::new(client.stdout.take().unwrap()).lines();
    let mut next = || lines.next().unwrap().unwrap();
    assert_eq!(next(), "there");
    server.signal(Signal::SIGTERM);
    assert_eq!(next(), "1001");
    server.wait_for_end();
    client.wait().unwrap();
}

#[test]
fn a_request_for_one_that_breaks_the_rules_is_refused() {
    let Some((server, _)) = server() else { return };
    let ask = |fields: &str| {
        let mut connection = server.connect();
        connection.send(format!(
            "GET /echo HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{fields}\r\n"
        ));
        connection.response()
    };
    assert_eq!(
        ask("Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n").status,
        400
    );
    let other = ask("Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n");
    assert_eq!(
        (other.status, other.header("sec-websocket-version")),
        (426, Some("13"))
    );
    assert_eq!(other.header("upgrade"), Some("websocket"));
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn nginx_passes_them_on_over_http_and_over_uwsgi() {
    let Some(home) = venv::frameworks() else { return };
    let server = Server::new()
        .app(APP)
        .ini(&format!("{HTTP}socket = app.sock\nchmod-socket = 666"))
        .start();
    let http = format!(
        "location / {{ proxy_pass http://127.0.0.1:{}; proxy_http_version 1.1; \
         proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; }}",
        server.port()
    );
    let uwsgi = format!(
        "location / {{ include /etc/nginx/uwsgi_params; uwsgi_pass unix:{}; }}",
        server.file("app.sock").display()
    );
    for location in [http, uwsgi] {
        let Some(nginx) = Nginx::start(&location) else {
            return;
        };
        let told = seen(client(&home, nginx.port(), &["echo"]));
        assert_eq!(told, "echoed\n", "{location}: {}", nginx.error_log());
    }
}
