//! WebSockets by the thousand: what they cost while they are idle, what they leave behind, and how they are sent away.
//!
//! A short run by default; `UWRS_SOAK=10000` opens and closes as many of each kind, and `UWRS_IDLE=5000` holds as many.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::support::growth::{Growth, LEEWAY, measure, number};
use crate::support::websocket::{Said, WebSocket};
use crate::support::{HTTP, Running, Server, process, soon};

/// What an idle one may take, bytes. uvicorn's take about 19,600 (`benches/run --workloads ws-idle`).
const IDLE: u64 = 8 * 1024;

const APP: &str = r#"
import asyncio


async def application(scope, receive, send):
    assert scope["type"] == "websocket"
    await receive()
    if scope["path"] == "/deny":
        return await send({"type": "websocket.close"})
    await send({"type": "websocket.accept"})
    while scope["path"] == "/push":
        await send({"type": "websocket.send", "text": "news"})
        await asyncio.sleep(0.05)
    if scope["path"] == "/fail":
        raise LookupError("now")
    while (event := await receive())["type"] == "websocket.receive":
        if len(event["text"]) < 9 and event["text"].isdigit():
            for _ in range(int(event["text"])):
                task = asyncio.ensure_future(asyncio.wait_for(receive(), 1000))
                await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait([task])
        if event["text"] == "leave":
            return await send({"type": "websocket.close", "code": 4000})
        await send({"type": "websocket.send", "text": event["text"]})
"#;

fn server(event_loop: &str) -> Running {
    let ini = format!("{HTTP}disable-logging = true\nloop = {event_loop}\n");
    Server::new().app(APP).ini(&ini).start()
}

/// How one ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// The client says goodbye.
    Client,
    /// The application does.
    Application,
    /// The client is gone without a word.
    Gone,
    /// The client is gone while a message of its is on the way.
    Amidst,
    /// The application raises.
    Error,
    /// It never began.
    Denied,
}

const ENDS: [End; 6] = [
    End::Client,
    End::Application,
    End::Gone,
    End::Amidst,
    End::Error,
    End::Denied,
];

fn open_and_end(server: &Running, end: End) {
    let target = match end {
        End::Denied => "/deny",
        End::Error => "/fail",
        _ => "/",
    };
    if matches!(end, End::Denied) {
        assert!(WebSocket::try_open(server.connect(), target).is_err());
        return;
    }
    let mut socket = WebSocket::open(server.connect(), target);
    if !matches!(end, End::Error) {
        socket.echo("hello");
    }
    let code = match end {
        End::Client => {
            socket.close(1000);
            1000
        }
        End::Application => {
            socket.try_say("leave").unwrap();
            4000
        }
        End::Error => 1011,
        End::Amidst => {
            let mut connection = socket.into_connection();
            connection.send(b"\x81\x85");
            return connection.reset();
        }
        End::Gone | End::Denied => return socket.into_connection().reset(),
    };
    assert_eq!(socket.try_hear().unwrap(), Said::Close(code), "{end:?}");
    socket.part(code).unwrap();
}

#[test]
fn those_opened_and_closed_leave_nothing_behind() {
    let count = number("UWRS_SOAK", 300);
    let server = server("asyncio");
    let worker = server.settle(1)[0];
    let mut growth = Growth::of(worker);
    for end in ENDS {
        growth.assert_none(&format!("{end:?}"), count / 10 + 200, count, |count| {
            for _ in 0..count {
                open_and_end(&server, end);
            }
        });
    }
    growth.tell();
    assert_eq!(server.settle(1), [worker], "the worker is the same");
}

#[test]
fn an_idle_one_costs_little_and_is_there_when_it_speaks() {
    let count = number("UWRS_IDLE", 600);
    allow_descriptors(count + 100);
    let server = server("asyncio");
    let worker = server.settle(1)[0];
    let open = || {
        let mut socket = WebSocket::open(server.connect(), "/");
        socket.echo("hello");
        socket
    };
    // What the first one makes the worker set aside.
    drop(open());
    let before = process::private_bytes(worker);
    let mut sockets: Vec<_> = (0..count).map(|_| open()).collect();
    let each = process::private_bytes(worker).saturating_sub(before) / count as u64;
    println!("{count} idle WebSockets: {each} bytes each");
    assert!((1..IDLE).contains(&each), "{each} bytes");
    for (at, socket) in sockets.iter_mut().enumerate() {
        socket.echo(&format!("still number {at}"));
    }
}

#[test]
fn memory_for_large_messages_is_given_back_when_none_come() {
    let server = server("asyncio");
    let worker = server.settle(1)[0];
    let mut sockets: Vec<_> = (0..8).map(|_| WebSocket::open(server.connect(), "/")).collect();
    let text = "x".repeat(1 << 20);
    sockets[0].echo(&text);
    sockets[0].echo("small");
    let before = measure(worker).0;
    for _ in 0..3 {
        for socket in &mut sockets {
            socket.try_say(&text).unwrap();
        }
        for socket in &mut sockets {
            assert_eq!(socket.try_hear().unwrap(), Said::Text(text.clone()));
        }
    }
    for socket in &mut sockets {
        // The application holds on to the last message.
        socket.echo("small");
    }
    soon("memory is given back", || measure(worker).0 < before + LEEWAY);
}

#[test]
fn giving_up_to_wait_for_a_message_leaves_nothing_behind() {
    let server = server("asyncio");
    let worker = server.settle(1)[0];
    let mut socket = WebSocket::open(server.connect(), "/");
    socket.echo("1000");
    let (before, _) = measure(worker);
    socket.echo("20000");
    let (after, _) = measure(worker);
    // So many futures would be 2 MB and more.
    assert!(after < before + LEEWAY, "{before} KiB, then {after} KiB");
}

#[test]
fn an_application_that_never_listens_does_not_hold_up_a_reload() {
    let server = server("asyncio");
    let mut socket = WebSocket::open(server.connect(), "/push");
    let news = Said::Text("news".to_owned());
    assert_eq!(socket.try_hear().unwrap(), news);
    server.reload();
    let end = loop {
        match socket.try_hear().unwrap() {
            said if said == news => {}
            said => break said,
        }
    };
    assert_eq!(end, Said::Close(1012));
    socket.part(1012).unwrap();
    server.settle(1);
    assert!(!server.log().contains("Traceback"), "{}", server.log());
}

/// Lets this process, and the server that it starts, have so many descriptors.
fn allow_descriptors(count: usize) {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let wanted = (count as u64).max(soft);
    assert!(wanted <= hard, "ulimit -Hn {wanted} is needed, it is {hard}");
    setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).unwrap();
}
