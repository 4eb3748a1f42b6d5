//! ASGI for long: reloads while clients ask and streams are under way, and memory over many requests of every kind.

use std::thread;

use nix::sys::signal::Signal;

use crate::soak::{measure, post};
use crate::support::load::Load;
use crate::support::{Connection, HTTP, Running, Server, soon};

/// Memory may be this much more after all requests, KiB.
const LEEWAY: u64 = 1024;

/// An application of a generation, which its life knows.
const APP: &str = r#"
import asyncio

GENERATION = 1


async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        scope["state"]["generation"] = b"%d" % GENERATION
        await send({"type": "lifespan.startup.complete"})
        await receive()
        return await send({"type": "lifespan.shutdown.complete"})

    async def start():
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})

    async def part(data):
        await send({"type": "http.response.body", "body": data, "more_body": True})

    path = scope["path"]
    if path == "/":
        await asyncio.sleep(0)
        await start()
        await send({"type": "http.response.body", "body": scope["state"]["generation"]})
    elif path == "/slow":
        await start()
        for _ in range(20):
            await part(b"slow")
            await asyncio.sleep(0.1)
        await send({"type": "http.response.body", "body": scope["state"]["generation"]})
    elif path == "/stream":
        await start()
        for _ in range(20):
            await part(b"x" * 100)
            await asyncio.sleep(0)
        await send({"type": "http.response.body"})
    elif path == "/echo":
        await start()
        more = True
        while more:
            event = await receive()
            more = event["more_body"]
            await part(event["body"])
        await send({"type": "http.response.body"})
    elif path == "/endless":
        await start()
        while True:
            await part(b"x" * 10000)
            await asyncio.sleep(0)
    elif path == "/waiting":
        await start()
        await part(b"x")
        while (await receive())["type"] != "http.disconnect":
            pass
    else:
        raise LookupError(path)
"#;

#[test]
fn reloads_lose_no_request_and_cut_no_stream() {
    let ini = format!("{HTTP}processes = 2\ndisable-logging = true\n");
    let server = Server::new().app(APP).ini(&ini).start();
    let load = Load::start(server.port(), 3, 3);
    let mut streams = Vec::new();
    for generation in 2..=6 {
        load.wait_for(40);
        let mut slow = server.connect();
        slow.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(slow.head().unwrap().status, 200);
        let old = generation - 1;
        streams.push(thread::spawn(move || (old, read_chunks(&mut slow))));
        let ready = server.times_ready();
        server.write(
            "app.py",
            APP.replace("GENERATION = 1", &format!("GENERATION = {generation}")),
        );
        server.signal(Signal::SIGHUP);
        server.wait_until_ready(ready + 1);
        server.settle(2);
        assert_eq!(server.get("/").text(), generation.to_string());
    }
    load.wait_for(40);
    let report = load.finish();
    assert!(report.lost.is_empty(), "{:#?}\n{}", report.lost, server.log());
    assert!(
        report
            .answered
            .iter()
            .all(|answer| (1..=6).contains(&answer.value))
    );
    for stream in streams {
        let (generation, text) = stream.join().unwrap();
        assert_eq!(text, format!("{}{generation}", "slow".repeat(20)));
    }
    assert!(!server.log().contains("Traceback"), "{}", server.log());
}

/// The rest of a chunked body, which must be whole.
fn read_chunks(connection: &mut Connection) -> String {
    let mut body = Vec::new();
    while let Some(chunk) = connection.chunk().unwrap() {
        body.extend_from_slice(&chunk);
    }
    String::from_utf8(body).unwrap()
}

/// How an exchange goes.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Plain,
    Echo,
    Stream,
    Error,
    /// The client goes while the answer is sent.
    Gone,
    /// The client goes while the application waits for it.
    GoneWaiting,
}

const KINDS: [Kind; 6] = [
    Kind::Plain,
    Kind::Echo,
    Kind::Stream,
    Kind::Error,
    Kind::Gone,
    Kind::GoneWaiting,
];

impl Kind {
    fn target(self) -> &'static str {
        match self {
            Self::Plain => "/",
            Self::Echo => "/echo",
            Self::Stream => "/stream",
            Self::Error => "/fail",
            Self::Gone => "/endless",
            Self::GoneWaiting => "/waiting",
        }
    }
}

fn work(server: &Running, kind: Kind, count: usize) {
    let body = match kind {
        Kind::Echo => vec![b'x'; 20_000],
        _ => Vec::new(),
    };
    let request = post(kind.target(), &body);
    let mut connection = server.connect();
    for _ in 0..count {
        connection.send(&request);
        match kind {
            Kind::Gone | Kind::GoneWaiting => {
                assert_eq!(connection.head().unwrap().status, 200);
                connection = server.connect();
            }
            Kind::Echo => assert_eq!(connection.response().body.len(), body.len()),
            _ => drop(connection.response()),
        }
    }
}

fn memory_is_flat(event_loop: &str) {
    let count: usize = std::env::var("UWRS_SOAK").map_or(500, |count| count.parse().unwrap());
    let ini = format!("{HTTP}disable-logging = true\nloop = {event_loop}\n");
    let server = Server::new().app(APP).ini(&ini).start();
    let worker = server.settle(1)[0];
    let mut told = String::new();
    for kind in KINDS {
        // What comes up once: caches, arenas.
        work(&server, kind, count / 10 + 300);
        let (before, descriptors) = measure(worker);
        work(&server, kind, count);
        soon("all descriptors are given back", || {
            measure(worker).1 <= descriptors
        });
        let (after, _) = measure(worker);
        told += &format!("{kind:?}: {before} KiB, then {after} KiB\n");
        assert!(after < before + LEEWAY, "{told}");
    }
    println!("{told}");
    assert_eq!(server.settle(1), [worker], "the worker is the same");
}

#[test]
fn memory_is_flat_over_requests_of_every_kind() {
    memory_is_flat("asyncio");
}
