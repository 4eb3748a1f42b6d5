//! ASGI applications and the clients that people have: httpx, aiohttp.

use std::process::Command;

use crate::support::{HTTP, Server, venv};

const APP: &str = r#"
import asyncio
import json

LARGE = bytes(number % 251 for number in range(1_000_000))
MOST = [0, 0]


async def websocket(scope, receive, send):
    await receive()
    if scope["path"] == "/denied":
        return await send({"type": "websocket.close"})
    await send({"type": "websocket.accept", "subprotocol": scope["subprotocols"][0]})
    while True:
        event = await receive()
        if event["type"] == "websocket.disconnect":
            return
        if event.get("text") == "close":
            return await send({"type": "websocket.close", "code": 4001, "reason": "bye"})
        await send({**event, "type": "websocket.send"})


async def application(scope, receive, send):
    if scope["type"] == "websocket":
        return await websocket(scope, receive, send)
    assert scope["type"] == "http"
    path, query = scope["path"], scope["query_string"].decode()
    headers = dict(scope["headers"])

    async def start(status=200, *headers):
        await send({"type": "http.response.start", "status": status, "headers": headers})

    async def answer(text, status=200):
        await start(status)
        await send({"type": "http.response.body", "body": text.encode()})

    if path == "/port":
        await answer(str(scope["client"][1]))
    elif path == "/echo":
        length, more = 0, True
        while more:
            event = await receive()
            length, more = length + len(event["body"]), event["more_body"]
        framing = "chunked" if headers.get(b"transfer-encoding") else "length"
        await answer(json.dumps({"length": length, "query": query, "framing": framing}))
    elif path == "/stream":
        await start()
        for begin in range(0, len(LARGE), 30_000):
            await send({"type": "http.response.body", "body": LARGE[begin : begin + 30_000], "more_body": True})
        await send({"type": "http.response.body"})
    elif path == "/lines":
        await start()
        for number in range(100):
            await send({"type": "http.response.body", "body": b"line %d\n" % number, "more_body": True})
            await asyncio.sleep(0)
        await send({"type": "http.response.body"})
    elif path == "/status":
        await answer("", int(query))
    elif path == "/slow":
        MOST[0] += 1
        MOST[1] = max(MOST)
        while MOST[1] < 100 and MOST[0] < 100:
            await asyncio.sleep(0.01)
        await answer(query)
        MOST[0] -= 1
    elif path == "/most":
        await answer(str(MOST[1]))
    elif path == "/broken":
        await start()
        await send({"type": "http.response.body", "body": b"some", "more_body": True})
    else:
        raise LookupError(path)
"#;

/// What the client does that is called so, against a server on that loop.
fn is_fine(event_loop: &str, what: &str) {
    let (Some(home), Some(_)) = (venv::with("httpx, aiohttp"), venv::with(event_loop)) else {
        return;
    };
    let ini = format!("{HTTP}loop = {event_loop}\nhome = {}\n", home.display());
    let server = Server::new().app(APP).ini(&ini).start();
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/black_box/support/http_clients.py"
    );
    let output = Command::new(home.join("bin/python"))
        .args([script, &server.port().to_string(), what])
        .output()
        .unwrap();
    assert!(
        output.status.success() && output.stdout == b"fine\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn httpx_is_served() {
    is_fine("asyncio", "httpx_sync");
    is_fine("uvloop", "httpx_sync");
}

#[test]
fn a_hundred_requests_of_httpx_are_served_at_the_same_time() {
    is_fine("asyncio", "httpx_async");
    is_fine("uvloop", "httpx_async");
}

#[test]
fn aiohttp_is_served() {
    is_fine("asyncio", "aiohttp_client");
    is_fine("uvloop", "aiohttp_client");
}

#[test]
fn websockets_of_aiohttp_are_served_compressed_or_not() {
    is_fine("asyncio", "aiohttp_websocket");
    is_fine("uvloop", "aiohttp_websocket");
}
