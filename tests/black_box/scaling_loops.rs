//! How many workers there are where another loop drives them: requests that wait make nobody busy, a loop that is at work does.

use crate::support::load::Load;
use crate::support::websocket::WebSocket;
use crate::support::{Connection, HTTP, Running, Server, soon, venv};

const ASGI: &str = r#"
import asyncio, time


def compute():
    end = time.thread_time() + 0.02
    while time.thread_time() < end:
        pass


async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        raise RuntimeError("there is none")
    await receive()
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        await receive()
        return
    if scope["path"] == "/poll":
        # Nobody answers it before it goes.
        return await receive()
    # A page that computes, or that asks a database without awaiting it.
    await asyncio.sleep(0)
    WORK()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"1"})
"#;

/// The algorithm whose looks can be seen, which takes more than the others for too much.
const BUSYNESS: &str = "cheaper-algo = busyness\ncheaper-overload = 1\ncheaper-busyness-multiplier = 2\n\
                        cheaper-busyness-verbose = true\n";
const SPARE: &str = "cheaper-overload = 1\n";

/// A server of one to three workers, whose pages do that.
fn asgi(work: &str, lines: &str) -> Running {
    let app = format!("{ASGI}\n\nWORK = {work}\n");
    let ini =
        format!("{HTTP}processes = 3\ncheaper = 1\ndisable-logging = true\nslow-callback = 10\n{lines}");
    Server::new().app(&app).ini(&ini).start()
}

fn long_polls(server: &Running, count: usize) -> Vec<Connection> {
    let poll = |_| {
        let mut client = server.connect();
        client.send("GET /poll HTTP/1.1\r\nHost: x\r\n\r\n");
        client
    };
    (0..count).map(poll).collect()
}

/// Workers come under load, go after it, and nothing is lost.
fn follows_the_load(server: &Running) {
    assert_eq!(server.settle(1).len(), 1);
    let load = Load::start(server.port(), 8, 0);
    soon("all workers are there", || server.workers().len() == 3);
    let report = load.finish();
    server.settle(1);
    assert!(report.lost.is_empty(), "{:#?}\n{}", report.lost, server.log());
}

#[test]
fn requests_that_wait_call_for_no_workers() {
    let loops = ["asyncio", "uvloop"].map(|name| format!("loop = {name}\n"));
    let home = venv::with("uvloop").map_or(String::new(), |home| format!("home = {}\n", home.display()));
    for name in loops
        .iter()
        .filter(|name| !home.is_empty() || name.contains("asyncio"))
    {
        let server = asgi("compute", &format!("{home}{name}{BUSYNESS}"));
        let open = |_| WebSocket::open(server.connect(), "/");
        let sockets: Vec<WebSocket> = (0..25).map(open).collect();
        let polls = long_polls(&server, 25);
        let looks = || server.count_log("busy for ");
        let before = looks();
        soon("it is looked at for seconds", || looks() >= before + 4);
        assert_eq!(server.workers().len(), 1, "{}", server.log());
        drop((sockets, polls));
    }
}

#[test]
fn requests_that_are_as_many_as_there_may_be_do() {
    for limit in ["limit-concurrency = 10\n", "backpressure = 10\n"] {
        let server = asgi("compute", &format!("{limit}{SPARE}"));
        let polls = long_polls(&server, 10);
        soon("another worker is there", || server.workers().len() == 2);
        drop(polls);
        server.settle(1);
    }
}

#[test]
fn a_loop_that_computes_does() {
    for lines in [SPARE, BUSYNESS, "cheaper-algo = spare2\ncheaper-idle = 1\n"] {
        follows_the_load(&asgi("compute", lines));
    }
}

#[test]
fn and_one_that_waits_without_awaiting() {
    follows_the_load(&asgi("lambda: time.sleep(0.02)", SPARE));
}

#[test]
fn greenlets_that_wait_call_for_no_workers_until_all_do() {
    let Some(home) = venv::with("gevent") else { return };
    let app = "import gevent\ndef application(environ, start_response):\n    gevent.sleep(3600)\n";
    let ini = format!(
        "{HTTP}home = {}\ngevent = 50\nprocesses = 2\ncheaper = 1\nworker-reload-mercy = 1\n{BUSYNESS}",
        home.display()
    );
    let server = Server::new().app(app).ini(&ini).start();
    let few = long_polls(&server, 15);
    let looks = || server.count_log("busy for ");
    let before = looks();
    soon("it is looked at for seconds", || looks() >= before + 4);
    assert_eq!(server.workers().len(), 1, "{}", server.log());
    let others = long_polls(&server, 35);
    soon("another worker is there", || server.workers().len() == 2);
    drop((few, others));
}

#[test]
fn a_hub_that_is_at_work_does() {
    let Some(home) = venv::with("gevent") else { return };
    let app = "import time\ndef application(environ, start_response):\n    time.sleep(0.02)\n    \
               start_response('200 OK', [])\n    return [b'1']\n";
    let ini = format!(
        "{HTTP}home = {}\ngevent = 100\nprocesses = 3\ncheaper = 1\nslow-callback = 10\n{SPARE}",
        home.display()
    );
    follows_the_load(&Server::new().app(app).ini(&ini).start());
}
