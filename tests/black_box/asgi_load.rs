//! ASGI for long: reloads while clients ask and streams are under way, and memory over many requests of every kind.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use nix::sys::signal::Signal;

use crate::soak::post;
use crate::support::growth::{Growth, number};
use crate::support::load::Load;
use crate::support::websocket::{Said, WebSocket};
use crate::support::{Connection, HTTP, Running, Server, soon, venv};

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
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (event := await receive())["type"] == "websocket.receive":
            with open("heard", "a") as heard:
                heard.write(event["text"] + "\n")
            await asyncio.sleep(0.01)
            await send({"type": "websocket.send", "text": event["text"]})
        return

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
    elif path == "/file":
        await start()
        await send({"type": "http.response.pathsend", "path": __file__})
    elif path == "/trailers":
        await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": True})
        await send({"type": "http.response.body", "body": b"x"})
        await send({"type": "http.response.trailers", "headers": [(b"x-digest", b"x" * 100)]})
    elif path == "/tasks":
        await asyncio.create_task(receive())
        for task in [asyncio.create_task(receive()) for _ in range(3)]:
            await asyncio.sleep(0)
            task.cancel()
        await asyncio.to_thread(len, b"")
        await start()
        await send({"type": "http.response.body", "body": b"x"})
    else:
        raise LookupError(path)
"#;

#[test]
fn reloads_lose_no_request_and_cut_no_stream_and_no_websocket_without_a_word() {
    let ini = format!("{HTTP}processes = 2\ndisable-logging = true\n");
    let server = Server::new().app(APP).ini(&ini).start();
    let load = Load::start(server.port(), 3, 3);
    let chats = Chats::start(server.port(), 4);
    let mut streams = Vec::new();
    for generation in 2..=6 {
        load.wait_for(40);
        chats.wait_for(40);
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
    chats.wait_for(40);
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
    let (echoes, sent_away) = chats.finish();
    // Each of them was open whenever a generation left; who comes again may meet another worker that leaves.
    assert!(sent_away.iter().all(|&times| times >= 5), "{sent_away:?}");
    // What was heard was answered before the goodbye, and what was not answered was not heard.
    let heard = fs::read_to_string(server.file("heard")).unwrap();
    let mut lines: Vec<_> = heard.lines().collect();
    lines.sort_unstable();
    lines.dedup();
    assert_eq!((lines.len(), heard.lines().count()), (echoes, echoes));
    assert!(!server.log().contains("Traceback"), "{}", server.log());
}

/// Clients that talk over WebSockets without a pause, and come again when they are sent away.
struct Chats {
    stop: Arc<AtomicBool>,
    echoes: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<usize>>,
}

impl Chats {
    fn start(port: u16, count: usize) -> Self {
        let (stop, echoes) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let client = |name| {
            let (stop, echoes) = (Arc::clone(&stop), Arc::clone(&echoes));
            thread::spawn(move || chat(port, name, &stop, &echoes))
        };
        let clients = (0..count).map(client).collect();
        Self {
            stop,
            echoes,
            clients,
        }
    }

    /// Waits for so many more echoes.
    fn wait_for(&self, more: usize) {
        let goal = self.echoes.load(Ordering::Relaxed) + more;
        soon("messages come back", || {
            self.echoes.load(Ordering::Relaxed) >= goal
        });
    }

    /// How many messages came back, and how often each client was sent away. A WebSocket that was lost in any other way
    /// has failed the test.
    fn finish(self) -> (usize, Vec<usize>) {
        self.stop.store(true, Ordering::Relaxed);
        let clients = self.clients.into_iter();
        let sent_away = clients.map(|client| client.join().unwrap()).collect();
        (self.echoes.load(Ordering::Relaxed), sent_away)
    }
}

fn chat(port: u16, name: usize, stop: &AtomicBool, echoes: &AtomicUsize) -> usize {
    let mut socket = WebSocket::open(Connection::tcp(port), "/");
    let mut sent_away = 0;
    for number in 0.. {
        let text = format!("{name} {number}");
        // A message to which a goodbye comes is said again, to the generation that follows.
        loop {
            match socket.try_ask(&text).unwrap() {
                Said::Text(back) => {
                    assert_eq!(back, text);
                    break;
                }
                Said::Close(code) => assert_eq!(code, 1012),
            }
            sent_away += 1;
            socket.part(1012).unwrap();
            socket = WebSocket::open(Connection::tcp(port), "/");
        }
        echoes.fetch_add(1, Ordering::Relaxed);
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    sent_away
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
    File,
    Trailers,
    /// Tasks that wait for events and are cancelled, and a thread.
    Tasks,
    Error,
    /// The client goes while the answer is sent.
    Gone,
    /// The client goes while the application waits for it.
    GoneWaiting,
}

const KINDS: [Kind; 9] = [
    Kind::Plain,
    Kind::Echo,
    Kind::Stream,
    Kind::File,
    Kind::Trailers,
    Kind::Tasks,
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
            Self::File => "/file",
            Self::Trailers => "/trailers",
            Self::Tasks => "/tasks",
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
    let mut request = post(kind.target(), &body);
    if matches!(kind, Kind::Trailers) {
        request = b"GET /trailers HTTP/1.1\r\nHost: x\r\nTE: trailers\r\n\r\n".to_vec();
    }
    let mut connection = server.connect();
    for number in 0..count {
        connection.send(&request);
        match kind {
            Kind::Gone | Kind::GoneWaiting => {
                assert_eq!(connection.head().unwrap().status, 200);
                // Those who leave are quicker than the server: how many of them it has at a time is not what is measured.
                if number % 16 == 0 {
                    assert_eq!(server.get("/").status, 200);
                }
                connection = server.connect();
            }
            Kind::Echo => assert_eq!(connection.response().body.len(), body.len()),
            _ => drop(connection.response()),
        }
    }
}

fn memory_is_flat(event_loop: &str) {
    let count = number("UWRS_SOAK", 500);
    let Some(home) = venv::with(event_loop) else {
        return;
    };
    let home = home.display();
    let ini = format!("{HTTP}disable-logging = true\nloop = {event_loop}\nhome = {home}\n");
    let server = Server::new().app(APP).ini(&ini).start();
    let worker = server.settle(1)[0];
    let mut growth = Growth::of(worker);
    for kind in KINDS {
        growth.assert_none(&format!("{kind:?}"), count / 10 + 300, count, |count| {
            work(&server, kind, count);
        });
    }
    growth.tell();
    assert_eq!(server.settle(1), [worker], "the worker is the same");
}

#[test]
fn memory_is_flat_over_requests_of_every_kind_on_asyncio() {
    memory_is_flat("asyncio");
}

#[test]
fn memory_is_flat_over_requests_of_every_kind_on_uvloop() {
    memory_is_flat("uvloop");
}
