//! What a request costs in the gateway alone: no sockets, no protocol. `cargo bench -p uwrs-python [-- NAME]`

use std::sync::Arc;
use std::time::Instant;

use uwrs_api::{
    Body, BodyFraming, ConnectionInfo, Exchange, ExchangeId, Gateway, Peer, Post, Pull, Reply, ReplyBody,
    Request, Responder, WorkerFacts,
};
use uwrs_python::{AppSpec, AppTarget, Settings};

const ROUNDS: u32 = 300_000;

/// Pulls replies to their end and forgets them.
struct Sink;

impl Post for Sink {
    fn post(&self, _: ExchangeId, reply: Reply) {
        let Reply::Response {
            body: ReplyBody::Source { mut rest, .. },
            ..
        } = reply
        else {
            return;
        };
        while let Pull::Data(_) = rest.pull() {}
    }
}

/// A request as a browser sends it through a proxy.
fn request(path: &str, fields: &[(&str, &str)], body: usize) -> Request {
    let mut request = Request::default();
    request.method = request.text.push(if body > 0 { b"POST" } else { b"GET" });
    request.target = request.text.push(path.as_bytes());
    request.path = request.text.push(path.as_bytes());
    for (name, value) in fields {
        let pair = (
            request.text.push(name.as_bytes()),
            request.text.push(value.as_bytes()),
        );
        request.fields.push(pair);
    }
    if body > 0 {
        request.framing = BodyFraming::Length(body as u64);
    }
    request
}

const FEW: &[(&str, &str)] = &[("host", "127.0.0.1:8000")];

const MANY: &[(&str, &str)] = &[
    ("host", "www.example.com"),
    (
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0",
    ),
    (
        "accept",
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    ),
    ("accept-language", "en-US,en;q=0.5"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("connection", "keep-alive"),
    (
        "cookie",
        "sessionid=0123456789abcdef0123456789abcdef; csrftoken=0123456789abcdef0123456789abcdef",
    ),
    ("upgrade-insecure-requests", "1"),
    ("sec-fetch-dest", "document"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-site", "none"),
    ("x-forwarded-for", "203.0.113.7"),
    ("x-forwarded-proto", "https"),
];

fn main() {
    let apps = [
        ("/hello", "cost:hello"),
        ("/generator", "cost:generator"),
        ("/framework", "cost:framework"),
        ("/read", "cost:read"),
    ];
    let settings = Settings {
        pythonpath: vec![concat!(env!("CARGO_MANIFEST_DIR"), "/benches").into()],
        apps: apps
            .iter()
            .map(|(mountpoint, target)| AppSpec {
                mountpoint: (*mountpoint).to_owned(),
                target: AppTarget::Module((*target).to_owned()),
            })
            .collect(),
        ..Settings::default()
    };
    let mut runtime = uwrs_python::start(settings).expect("Python starts");
    runtime.load().expect("the applications load");
    let gateway = runtime
        .enter_worker(WorkerFacts {
            number: 1,
            master: None,
        })
        .expect("a gateway");
    let wanted = std::env::args()
        .nth(1)
        .filter(|argument| !argument.starts_with("--"));
    for (name, path, fields, body) in [
        ("hello, one field", "/hello", FEW, 0),
        ("hello, as a browser asks", "/hello", MANY, 0),
        ("a generator of one piece", "/generator", FEW, 0),
        ("an iterable with close and Content-Length", "/framework", FEW, 0),
        ("reading a body of 1 KiB", "/read", FEW, 1024),
    ] {
        if wanted.as_ref().is_none_or(|wanted| name.contains(wanted)) {
            measure(&*gateway, name, &request(path, fields, body), body);
        }
    }
}

fn measure(gateway: &dyn Gateway, name: &str, request: &Request, body: usize) {
    let request = Arc::new(request.clone());
    let connection = Arc::new(ConnectionInfo {
        peer: Peer::Inet(([127, 0, 0, 1], 50123).into()),
        server_name: "localhost".into(),
        socket_path: None,
        server_port: "8000".into(),
        tls: false,
    });
    let post: Arc<dyn Post> = Arc::new(Sink);
    let mut best = f64::MAX;
    for _ in 0..5 {
        let started = Instant::now();
        for serial in 0..ROUNDS {
            let id = ExchangeId {
                slot: 0,
                serial: u64::from(serial),
            };
            gateway.handle(Exchange {
                request: Arc::clone(&request),
                body: if body > 0 {
                    Body::Memory(vec![b'x'; body])
                } else {
                    Body::Empty
                },
                connection: Arc::clone(&connection),
                responder: Responder::new(id, Arc::clone(&post)),
            });
        }
        best = best.min(started.elapsed().as_secs_f64());
        gateway.rest();
    }
    println!("{name}: {:.0} ns", best / f64::from(ROUNDS) * 1e9);
}
