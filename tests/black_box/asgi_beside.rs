//! WSGI applications beside ASGI ones: they are called amidst a loop of asyncio, and must not notice.

use crate::support::{HTTP, Running, Server, venv};

const ASGI: &str = r#"
import asyncio


async def application(scope, receive, send):
    assert scope["type"] == "http"
    running = asyncio.get_running_loop()
    assert asyncio.get_event_loop() is running
    await asyncio.sleep(0)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello from the loop"})
"#;

const WSGI: &str = r#"
import asyncio
import io
import os

TOLD = []


def seen(where):
    """No loop runs here, and one may be run, in the new way and in the old one."""
    try:
        asyncio.get_running_loop()
        return where + " sees a loop"
    except RuntimeError:
        pass

    async def own():
        await asyncio.sleep(0)
        assert asyncio.current_task() in asyncio.all_tasks()
        return where

    assert asyncio.run(own()) == where
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(own())
    finally:
        loop.close()


class Body:
    def __init__(self):
        self.pieces = iter(range(3))

    def __iter__(self):
        return self

    def __next__(self):
        return ("%s %d\n" % (seen("piece"), next(self.pieces))).encode()

    def close(self):
        TOLD.append(seen("close"))


class File(io.FileIO):
    def close(self):
        TOLD.append(seen("file"))
        super().close()


def application(environ, start_response):
    path = environ["PATH_INFO"]
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    if path == "/body":
        return Body()
    if path == "/file":
        return environ["wsgi.file_wrapper"](File(__file__))
    if path == "/told":
        return [repr(TOLD).encode()]
    if path == "/old":
        loop = asyncio.get_event_loop()
        return [repr(loop.run_until_complete(asyncio.sleep(0, "an old loop"))).encode()]
    if path == "/write":
        write(seen("before").encode())
        return [b" and ", seen("after").encode()]
    if path == "/exit":
        raise KeyError(seen("raise"))
    return [seen("call").encode()]
"#;

const SYNC: &str = r#"
import asyncio

from asgiref.sync import async_to_sync, sync_to_async


async def inner():
    await asyncio.sleep(0)
    return await sync_to_async(lambda: "there and back")()


def pieces():
    for _ in range(2):
        yield async_to_sync(inner)().encode() + b"\n"


def application(environ, start_response):
    start_response("200 OK", [])
    return pieces()
"#;

fn server(event_loop: &str) -> Option<Running> {
    let home = venv::with(event_loop)?;
    let server = Server::new()
        .app(ASGI)
        .file("old.py", WSGI)
        .file("sync.py", SYNC)
        .ini(&format!(
            "{HTTP}mount = /old=old:application\nmount = /sync=sync:application\nmanage-script-name = true\n\
         home = {}\nloop = {event_loop}",
            home.display()
        ));
    Some(server.start())
}

fn no_loop_is_seen(event_loop: &str) {
    let Some(server) = server(event_loop) else { return };
    let mut connection = server.connect();
    for _ in 0..2 {
        assert_eq!(connection.get("/old/call").text(), "call");
        assert_eq!(connection.get("/old/body").text(), "piece 0\npiece 1\npiece 2\n");
        assert_eq!(connection.get("/old/write").text(), "before and after");
        assert_eq!(connection.get("/old/old").text(), "'an old loop'");
        assert_eq!(connection.get("/old/file").text(), WSGI);
        assert_eq!(connection.get("/old/exit").status, 500);
        assert_eq!(
            connection.get("/sync/").text(),
            "there and back\nthere and back\n"
        );
        assert_eq!(
            connection.get("/").text(),
            "hello from the loop",
            "which is what it was"
        );
    }
    assert_eq!(
        connection.get("/old/told").text(),
        "['close', 'file', 'close', 'file']"
    );
    assert!(server.log().contains("KeyError: 'raise'"), "{}", server.log());
}

#[test]
fn no_loop_is_seen_by_an_application_that_is_not_of_it_on_asyncio() {
    no_loop_is_seen("asyncio");
}

#[test]
fn no_loop_is_seen_by_an_application_that_is_not_of_it_on_uvloop() {
    no_loop_is_seen("uvloop");
}
