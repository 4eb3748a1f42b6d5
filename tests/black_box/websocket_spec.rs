//! ASGI's WebSocket specification, sentence by sentence, where `websocket.rs` does not say it along the way. With a client
//! that speaks in frames: what it sends is exactly what the test wrote.

use crate::support::{Connection, HTTP, Running, Server, packet, soon};

const APP: &str = r#"
import asyncio

HEARD = []


async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        scope["state"]["shared"] = []
        await send({"type": "lifespan.startup.complete"})
        await receive()
        return await send({"type": "lifespan.shutdown.complete"})
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        return await send({"type": "http.response.body", "body": "\n".join(HEARD).encode()})

    async def attempt(event):
        try:
            await send(event)
        except Exception as error:
            HEARD.append("%s: %s" % (type(error).__name__, error))

    async def hear():
        event = await receive()
        HEARD.append(repr(event))
        return event

    path = scope["path"]
    await hear()
    if path == "/scope":
        scope["state"]["own"] = True
        lines = ["%s=%r" % (key, scope[key]) for key in sorted(scope)]
        await send({"type": "websocket.accept"})
        return await send({"type": "websocket.send", "text": "\n".join(lines)})
    if path == "/early":
        waiting = asyncio.ensure_future(receive())
        done, _ = await asyncio.wait([waiting], timeout=0.2)
        HEARD.append("early" if done else "nothing")
        await send({"type": "websocket.accept"})
        HEARD.append(repr(await waiting))
        return
    if path == "/unaccepted":
        await attempt({"type": "websocket.send", "text": "too early"})
        await attempt({"type": "websocket.http.response.body", "body": b"too early"})
        await attempt({"type": "websocket.unheard-of"})
        await attempt({"type": "websocket.accept", "subprotocol": "other"})
        await attempt({"type": "websocket.accept", "headers": [(b"x", b"a\r\nb: c")]})
        await attempt({"type": "websocket.http.response.start"})
        await attempt({"type": "http.response.start", "status": 200})
        await send({"type": "websocket.close", "code": 4000, "reason": "no"})
        await hear()
        await attempt({"type": "websocket.accept"})
        return
    if path == "/denied":
        await send({"type": "websocket.http.response.start", "status": 418, "headers": [(b"x-why", b"tea")]})
        await attempt({"type": "websocket.accept"})
        await attempt({"type": "websocket.close"})
        await send({"type": "websocket.http.response.body", "body": b"no", "more_body": False})
        await attempt({"type": "websocket.http.response.body", "body": b"more"})
        await hear()
        return
    headers = [(b"x-two", b"2"), (b"sec-websocket-protocol", b"forged"), (b"x-one", b"1"), (b"x-two", b"3")]
    await send({"type": "websocket.accept", "subprotocol": None, "headers": headers, "unknown": 1})
    if path == "/missteps":
        await attempt({"type": "websocket.accept"})
        await attempt({"type": "websocket.send"})
        await attempt({"type": "websocket.send", "text": None, "bytes": None})
        await attempt({"type": "websocket.send", "text": "a", "bytes": b"b"})
        await attempt({"type": "websocket.send", "text": b"bytes"})
        await attempt({"type": "websocket.send", "bytes": "text"})
        await attempt({"type": "websocket.http.response.start", "status": 200})
        await attempt({"type": "http.response.body", "body": b""})
        await attempt({"type": "websocket.close", "code": 1005})
        await attempt({"type": "websocket.close", "reason": "x" * 124})
        await send({"type": "websocket.send", "text": "only", "bytes": None, "unknown": 1})
        await send({"type": "websocket.send", "text": None, "bytes": b"only"})
        await send({"type": "websocket.close", "code": 3000, "reason": None})
        await attempt({"type": "websocket.send", "text": "after close"})
        await hear()
        await attempt({"type": "websocket.send", "text": "after the end"})
    elif path == "/close":
        await send({"type": "websocket.close"})
        await hear()
        await hear()
    elif path == "/until-gone":
        while (await hear())["type"] != "websocket.disconnect":
            pass
        await send({"type": "websocket.send", "text": "to nobody"})
    elif path == "/until-left":
        await send({"type": "websocket.send", "text": "here"})
        while True:
            await send({"type": "websocket.send", "text": "still here"})
            await asyncio.sleep(0.01)
    elif path == "/echo":
        while True:
            event = await hear()
            if event["type"] == "websocket.disconnect":
                return
            assert sorted(event) in (["text", "type"], ["bytes", "type"], ["bytes", "text", "type"])
            await send({"type": "websocket.send", "text": repr(event.get("text") or event.get("bytes"))})
"#;

/// The client's side of the handshake.
fn handshake(target: &str, more: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: a\r\nX-Two: 2\r\nX-One: 1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{more}\r\n"
    )
}

/// A short frame of a client, masked with zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    assert!(payload.len() < 126);
    [&[first, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat()
}

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;

/// A frame of the server: its first byte, its payload.
fn read_frame(connection: &mut Connection) -> (u8, Vec<u8>) {
    let mut head = [0; 2];
    connection.read_exact(&mut head);
    let mut length = usize::from(head[1]);
    assert!(length < 127, "a short one, not masked");
    if length == 126 {
        let mut long = [0; 2];
        connection.read_exact(&mut long);
        length = usize::from(u16::from_be_bytes(long));
    }
    let mut payload = vec![0; length];
    connection.read_exact(&mut payload);
    (head[0], payload)
}

fn open(server: &Running, target: &str) -> Connection {
    let mut connection = server.connect();
    connection.send(handshake(target, ""));
    assert_eq!(connection.head().unwrap().status, 101);
    connection
}

fn server() -> Running {
    Server::new().app(APP).ini(HTTP).start()
}

/// What the application has heard, and what was raised, from the first event on.
fn assert_heard(server: &Running, expected: &[&str]) {
    let mut heard = Vec::new();
    soon("the application has heard it all", || {
        heard = server.get("/").text().lines().map(str::to_owned).collect();
        heard.len() >= expected.len()
    });
    for (heard, expected) in heard.iter().zip(expected) {
        assert!(heard.starts_with(expected), "{heard}\nis not\n{expected}");
    }
    assert_eq!(heard.len(), expected.len(), "{heard:#?}");
}

const CONNECT: &str = "{'type': 'websocket.connect'}";

fn assert_says(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|said| said == *line), "{line} is not in\n{text}");
    }
}

#[test]
fn a_scope_has_every_field_with_the_type_it_is_to_have() {
    let server = Server::new()
        .app(APP)
        .ini(&format!("{HTTP}socket = %dapp.sock"))
        .start();
    let mut connection = server.connect();
    connection.send(handshake(
        "/scope?a=%20b",
        "Sec-WebSocket-Protocol: chat, other\r\nSec-WebSocket-Protocol: third\r\n",
    ));
    connection.head().unwrap();
    let (_, text) = read_frame(&mut connection);
    let text = String::from_utf8(text).unwrap();
    assert_says(
        &text,
        &[
            "asgi={'version': '3.0', 'spec_version': '2.5'}",
            "extensions={'websocket.http.response': {}}",
            "http_version='1.1'",
            "path='/scope'",
            "query_string=b'a=%20b'",
            "raw_path=b'/scope'",
            "root_path=''",
            "scheme='ws'",
            "state={'shared': [], 'own': True}",
            "subprotocols=['chat', 'other', 'third']",
            "type='websocket'",
        ],
    );
    assert!(
        text.contains("headers=[(b'host', b'a'), (b'x-two', b'2'), (b'x-one', b'1'), ("),
        "{text}"
    );
    assert!(text.contains("client=('127.0.0.1', "), "{text}");
    assert!(!text.contains("method="), "{text}");
    let mut connection = server.connect();
    connection.send(handshake("/scope", ""));
    connection.head().unwrap();
    let text = String::from_utf8(read_frame(&mut connection).1).unwrap();
    assert_says(&text, &["subprotocols=[]", "state={'shared': [], 'own': True}"]);
    let mut connection = server.connect_unix("app.sock");
    connection.send(packet::request(
        "GET",
        "/scope",
        &[
            ("HTTPS", "on"),
            ("HTTP_UPGRADE", "websocket"),
            ("HTTP_CONNECTION", "upgrade"),
            ("HTTP_SEC_WEBSOCKET_VERSION", "13"),
            ("HTTP_SEC_WEBSOCKET_KEY", "AAAAAAAAAAAAAAAAAAAAAA=="),
        ],
    ));
    assert_eq!(connection.head().unwrap().status, 101);
    let text = String::from_utf8(read_frame(&mut connection).1).unwrap();
    assert_says(&text, &["scheme='wss'"]);
}

#[test]
fn the_handshake_waits_for_the_application_and_what_came_too_early_for_the_handshake() {
    let server = server();
    let mut connection = server.connect();
    connection.send([handshake("/early", "").into_bytes(), frame(TEXT, b"early")].concat());
    assert_eq!(connection.head().unwrap().status, 101);
    assert_heard(
        &server,
        &[
            CONNECT,
            "nothing",
            "{'type': 'websocket.receive', 'text': 'early'}",
        ],
    );
}

#[test]
fn a_connection_that_is_closed_before_it_is_accepted_is_a_403() {
    let server = server();
    let mut connection = server.connect();
    connection.send(handshake("/unaccepted", "Sec-WebSocket-Protocol: chat\r\n"));
    assert_eq!(connection.response().status, 403);
    assert_heard(
        &server,
        &[
            CONNECT,
            "RuntimeError: send: websocket.send: the connection is not accepted",
            "RuntimeError: send: websocket.http.response.body: the connection is not accepted",
            "ValueError: send: \"websocket.unheard-of\" is no event that can be sent here",
            "ValueError: websocket.accept: ",
            "ValueError: send: header x: a control character",
            "KeyError: 'http.response.start: \"status\" is missing'",
            "ValueError: send: \"http.response.start\" is no event that can be sent here",
            "{'type': 'websocket.disconnect', 'code': 1006, 'reason': ''}",
            "ClientDisconnected: ",
        ],
    );
}

#[test]
fn a_denial_is_an_answer_of_http_which_nothing_can_follow() {
    let server = server();
    let mut connection = server.connect();
    connection.send(handshake("/denied", ""));
    let response = connection.response();
    assert_eq!((response.status, response.text()), (418, "no"));
    assert_eq!(response.header("x-why"), Some("tea"));
    assert_heard(
        &server,
        &[
            CONNECT,
            "RuntimeError: send: websocket.accept: the connection is being denied",
            "RuntimeError: send: websocket.close: the connection is being denied",
            "ClientDisconnected: ",
            "{'type': 'websocket.disconnect', 'code': 1006, 'reason': ''}",
        ],
    );
}

#[test]
fn fields_of_the_acceptance_keep_their_order_and_the_subprotocol_is_not_among_them() {
    let server = server();
    let mut connection = server.connect();
    connection.send(handshake("/echo", "Sec-WebSocket-Protocol: chat\r\n"));
    let head = connection.head().unwrap();
    let own: Vec<(&str, &str)> = head
        .headers
        .iter()
        .filter(|(name, _)| name.to_ascii_lowercase().starts_with("x-"))
        .map(|(name, value)| (&**name, &**value))
        .collect();
    assert_eq!(own, [("x-two", "2"), ("x-one", "1"), ("x-two", "3")]);
    assert_eq!(head.header("sec-websocket-protocol"), None);
}

#[test]
fn messages_are_whole_and_control_frames_are_the_servers_business() {
    let server = server();
    let mut connection = open(&server, "/echo");
    connection.send(frame(0x01, b"in "));
    connection.send(frame(PING, b"there?"));
    connection.send(frame(0x00, b"three "));
    connection.send(frame(0x80, b"parts"));
    assert_eq!(read_frame(&mut connection), (0x8a, b"there?".to_vec()));
    assert_eq!(read_frame(&mut connection), (TEXT, b"'in three parts'".to_vec()));
    connection.send(frame(BINARY, b"\xff"));
    assert_eq!(read_frame(&mut connection), (TEXT, b"b'\\xff'".to_vec()));
    connection.send(frame(CLOSE, b"\x0f\xa2over"));
    assert_eq!(
        read_frame(&mut connection).0,
        CLOSE,
        "the handshake has two sides"
    );
    assert_heard(
        &server,
        &[
            CONNECT,
            "{'type': 'websocket.receive', 'text': 'in three parts'}",
            "{'type': 'websocket.receive', 'bytes': b'\\xff'}",
            "{'type': 'websocket.disconnect', 'code': 4002, 'reason': 'over'}",
        ],
    );
}

#[test]
fn a_close_without_a_code_is_1005() {
    let server = server();
    let mut connection = open(&server, "/echo");
    connection.send(frame(CLOSE, b""));
    assert_eq!(read_frame(&mut connection).0, CLOSE);
    assert_heard(
        &server,
        &[
            CONNECT,
            "{'type': 'websocket.disconnect', 'code': 1005, 'reason': ''}",
        ],
    );
}

#[test]
fn what_may_not_be_sent_raises_and_says_why() {
    let server = server();
    let mut connection = open(&server, "/missteps");
    assert_eq!(read_frame(&mut connection), (TEXT, b"only".to_vec()));
    assert_eq!(read_frame(&mut connection), (BINARY, b"only".to_vec()));
    assert_eq!(read_frame(&mut connection), (CLOSE, b"\x0b\xb8".to_vec()));
    connection.send(frame(CLOSE, b"\x0b\xb8"));
    connection.assert_closed();
    assert_heard(
        &server,
        &[
            CONNECT,
            "RuntimeError: send: websocket.accept: the connection is accepted already",
            "ValueError: websocket.send: needs one of \"text\" and \"bytes\"",
            "ValueError: websocket.send: needs one of \"text\" and \"bytes\"",
            "ValueError: websocket.send: needs one of \"text\" and \"bytes\"",
            "TypeError: websocket.send: \"text\" must be a str, not bytes",
            "TypeError: websocket.send: \"bytes\" must be bytes, not str",
            "RuntimeError: send: websocket.http.response.start: the connection is accepted already",
            "ValueError: send: \"http.response.body\" is no event that can be sent here",
            "ValueError: websocket.close: ",
            "ValueError: websocket.close: ",
            "RuntimeError: send: websocket.send: the connection is being closed",
            "{'type': 'websocket.disconnect', 'code': 3000, 'reason': ''}",
            "ClientDisconnected: ",
        ],
    );
}

#[test]
fn a_close_of_the_application_says_1000_where_it_says_nothing_and_is_told_each_time() {
    let server = server();
    let mut connection = open(&server, "/close");
    assert_eq!(read_frame(&mut connection), (CLOSE, b"\x03\xe8".to_vec()));
    connection.send(frame(CLOSE, b"\x03\xe8"));
    let end = "{'type': 'websocket.disconnect', 'code': 1000, 'reason': ''}";
    assert_heard(&server, &[CONNECT, end, end]);
}

#[test]
fn who_sends_to_a_client_that_is_gone_hears_so_and_nobody_else_need() {
    let server = server();
    let mut gone = open(&server, "/until-gone");
    gone.send(frame(CLOSE, b"\x03\xe8"));
    assert_heard(
        &server,
        &[
            CONNECT,
            "{'type': 'websocket.disconnect', 'code': 1000, 'reason': ''}",
        ],
    );
    let mut connection = open(&server, "/until-left");
    assert_eq!(read_frame(&mut connection), (TEXT, b"here".to_vec()));
    connection.reset();
    server.signal(nix::sys::signal::Signal::SIGHUP);
    server.wait_for_log(&["generation 2 serves"]);
    drop(gone);
    server.wait_for_log(&["left after"]);
    assert!(!server.log().contains("Traceback"), "{}", server.log());
}
