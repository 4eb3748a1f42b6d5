//! Warming up: the mold asks its application for what `warm-up` names before workers are forked from it. What an
//! application makes and the interpreter writes when something is first asked for is shared by all workers then, and
//! none of their clients waits for it. The answers go nowhere.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use uwrs_api::{
    Body, BodySource, ConnectionInfo, Event, Exchange, ExchangeId, Gateway, Inbound, Outbound, Peer, Post,
    Pull, Reply, ReplyBody, Request, Responder,
};

use crate::config::{Limits, ProtocolKind, WarmUp};
use crate::protocol;
use crate::sys;

/// How often everything is asked for. Python from 3.11 on rewrites code when it has been called eight times.
const ROUNDS: u64 = 10;
/// Pieces of one answer that are asked for: a stream need not have an end.
const PIECES: usize = 1000;

/// Asks `gateway` for all of `wanted`. What goes wrong is logged, and is no reason not to start. `port`: the server's.
pub(super) fn warm_up(gateway: &dyn Gateway, wanted: &[WarmUp], limits: &Limits, port: Option<u16>) {
    let connection = Arc::new(ConnectionInfo {
        peer: Peer::Inet(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)),
        server_name: "localhost".into(),
        server_port: port.map(|port| port.to_string()).unwrap_or_default().into(),
        tls: false,
        socket_path: None,
    });
    for WarmUp { host, target } in wanted {
        let Some(request) = request(host, target, limits) else {
            log::warn!("warm-up: {target}: not a request that would reach an application");
            continue;
        };
        let rounds = (0..ROUNDS).map(|serial| ask(gateway, serial, &request, &connection));
        let answers: Vec<(u16, Duration)> = rounds.collect();
        let (Some((status, first)), Some((_, last))) = (answers.first(), answers.last()) else {
            continue;
        };
        let told = format!(
            "warm-up: {target} answered {status}, in {} ms at first and in {} ms at last",
            milliseconds(*first),
            milliseconds(*last)
        );
        if (200..400).contains(status) {
            log::info!("{told}");
        } else {
            log::warn!("{told}");
        }
    }
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.1}", 1000.0 * duration.as_secs_f64())
}

/// `None`: it breaks a rule, or a limit.
fn request(host: &str, target: &str, limits: &Limits) -> Option<Arc<Request>> {
    let head = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: uwrs warm-up\r\n\r\n");
    let mut protocol = protocol::speaker(ProtocolKind::Http)(limits);
    match protocol.receive(&mut Inbound::new(head.as_bytes()), &mut Outbound::default()) {
        Event::Request(request) => Some(request),
        _ => None,
    }
}

/// Asks once: the status, and how long it took to the last piece.
fn ask(
    gateway: &dyn Gateway,
    serial: u64,
    request: &Arc<Request>,
    connection: &Arc<ConnectionInfo>,
) -> (u16, Duration) {
    let sink = Arc::new(Sink::default());
    let began = Instant::now();
    let post: Arc<dyn Post> = Arc::clone(&sink) as Arc<dyn Post>;
    let exchange = Exchange {
        request: Arc::clone(request),
        body: Body::Empty,
        connection: Arc::clone(connection),
        responder: Responder::new(ExchangeId { slot: 0, serial }, post),
    };
    let handled = catch_unwind(AssertUnwindSafe(|| gateway.handle(exchange)));
    sys::end_forked_copy("its import");
    if handled.is_err() {
        log::error!("warm-up: the gateway panicked");
    }
    (sink.status.load(Ordering::Relaxed), began.elapsed())
}

/// Takes answers to their end and forgets all but their status.
#[derive(Default)]
struct Sink {
    status: AtomicU16,
}

impl Post for Sink {
    fn post(&self, _: ExchangeId, reply: Reply) {
        match reply {
            Reply::Response { head, body } => {
                self.status.store(head.status, Ordering::Relaxed);
                exhaust(body);
            }
            Reply::Rest(body) => exhaust(body),
            Reply::Abort => self.status.store(500, Ordering::Relaxed),
            _ => {}
        }
    }
}

fn exhaust(body: ReplyBody) {
    let source: Option<Box<dyn BodySource>> = match body {
        ReplyBody::Source { rest, .. } => Some(rest),
        ReplyBody::File { owner, .. } => owner,
        ReplyBody::Empty | ReplyBody::Full(_) | ReplyBody::Pushed(_) => None,
    };
    let Some(mut source) = source else { return };
    for _ in 0..PIECES {
        if let Pull::End | Pull::Failed = source.pull() {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use uwrs_api::{BodyMode, Bytes, ResponseHead};

    use super::*;

    /// Remembers what it was asked for.
    #[derive(Default)]
    struct Remembering {
        asked: Mutex<Vec<String>>,
        pulled: Arc<Mutex<usize>>,
    }

    struct Endless(Arc<Mutex<usize>>);

    impl BodySource for Endless {
        fn pull(&mut self) -> Pull {
            *self.0.lock().unwrap() += 1;
            Pull::Data(Bytes::from_static(b"more"))
        }
    }

    impl Gateway for Remembering {
        fn body_mode(&self, _: &Request) -> BodyMode {
            BodyMode::Complete
        }

        fn handle(&self, exchange: Exchange) {
            let request = &exchange.request;
            let host = String::from_utf8_lossy(request.field(b"host").unwrap_or_default()).into_owned();
            let asked = format!("{} {}", request.line(), host);
            self.asked.lock().unwrap().push(asked);
            match request.path() {
                b"/panic" => panic!("it was asked to"),
                b"/drop" => {}
                b"/endless" => exchange.responder.respond(Reply::Response {
                    head: ResponseHead::new(200),
                    body: ReplyBody::Source {
                        first: Bytes::new(),
                        rest: Box::new(Endless(Arc::clone(&self.pulled))),
                    },
                }),
                _ => exchange.responder.respond(Reply::Response {
                    head: ResponseHead::new(204),
                    body: ReplyBody::Empty,
                }),
            }
        }
    }

    fn warmed(wanted: &[(&str, &str)]) -> Remembering {
        let wanted: Vec<WarmUp> = wanted
            .iter()
            .map(|(host, target)| WarmUp {
                host: (*host).to_owned(),
                target: (*target).to_owned(),
            })
            .collect();
        let gateway = Remembering::default();
        warm_up(&gateway, &wanted, &Limits::default(), Some(8000));
        gateway
    }

    #[test]
    fn everything_is_asked_for_often_enough_and_in_order() {
        let gateway = warmed(&[("localhost", "/a?b=c"), ("example.com:8080", "/")]);
        let asked = gateway.asked.into_inner().unwrap();
        let rounds = ROUNDS as usize;
        assert_eq!(asked.len(), 2 * rounds);
        assert_eq!(asked[0], asked[rounds - 1]);
        assert!(
            asked[0].contains("/a?b=c") && asked[0].ends_with("localhost"),
            "{asked:?}"
        );
        assert!(asked[rounds].ends_with("example.com:8080"), "{asked:?}");
    }

    #[test]
    fn an_answer_without_an_end_is_given_up() {
        let gateway = warmed(&[("localhost", "/endless")]);
        assert_eq!(*gateway.pulled.lock().unwrap(), ROUNDS as usize * PIECES);
    }

    #[test]
    fn what_goes_wrong_keeps_nothing_else_from_being_asked_for() {
        let gateway = warmed(&[
            ("localhost", "/panic"),
            ("localhost", "/drop"),
            ("local host", "/"),
            ("localhost", "/last"),
        ]);
        let asked = gateway.asked.into_inner().unwrap();
        assert_eq!(asked.len(), 3 * ROUNDS as usize);
        assert!(asked.last().is_some_and(|last| last.contains("/last")));
    }
}
