//! Drives a protocol as the server does, and writes down what it saw. Also the core of the fuzz targets.

use std::fmt::Debug;

use uwrs_api::{
    BodyFraming, BodyLength, Bytes, Event, Inbound, Outbound, Protocol, ProtocolState, Request, ResponseHead,
    Span,
};

/// A date as the server would give it.
pub(crate) const DATE: &[u8] = b"Sun, 06 Nov 1994 08:49:37 GMT";

/// One thing that a protocol was seen to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Request(Box<Head>),
    /// `100 Continue` was sent.
    Invited,
    /// What came of a body between two other events, however it was cut.
    Body(Vec<u8>),
    BodyEnd,
    Answered,
    Refused(u16, String),
    Close(String),
}

/// A request's head, comparable.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) method: Vec<u8>,
    pub(crate) target: Vec<u8>,
    pub(crate) path: Vec<u8>,
    pub(crate) raw_path: Vec<u8>,
    pub(crate) query: Vec<u8>,
    pub(crate) script_name: Vec<u8>,
    pub(crate) version: &'static str,
    pub(crate) framing: BodyFraming,
    pub(crate) scheme: Vec<u8>,
    pub(crate) remote: (Vec<u8>, Vec<u8>),
    pub(crate) server: (Vec<u8>, Vec<u8>),
    pub(crate) fields: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) variables: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) head_bytes: usize,
}

impl Head {
    fn of(request: &Request) -> Self {
        let text = |span: Span| request.get(span).to_vec();
        let pairs = |pairs: &[(Span, Span)]| {
            pairs
                .iter()
                .map(|&(name, value)| (text(name), text(value)))
                .collect()
        };
        Self {
            method: text(request.method),
            target: text(request.target),
            path: text(request.path),
            raw_path: text(request.raw_path),
            query: text(request.query),
            script_name: text(request.script_name),
            version: request.version.as_str(),
            framing: request.framing,
            scheme: text(request.scheme),
            remote: (text(request.remote_addr), text(request.remote_port)),
            server: (text(request.server_name), text(request.server_port)),
            fields: pairs(&request.fields),
            variables: pairs(&request.variables),
            head_bytes: request.head_bytes,
        }
    }
}

impl Debug for Head {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
        write!(
            formatter,
            "{} {} {} path={} raw_path={} query={} script_name={} scheme={} {:?}",
            text(&self.method),
            text(&self.target),
            self.version,
            text(&self.path),
            text(&self.raw_path),
            text(&self.query),
            text(&self.script_name),
            text(&self.scheme),
            self.framing,
        )?;
        for (name, value) in self.fields.iter().chain(&self.variables) {
            write!(formatter, "; {}: {}", text(name), text(value))?;
        }
        Ok(())
    }
}

/// All that was seen of one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) seen: Vec<Seen>,
    /// What the protocol sent.
    pub(crate) output: Vec<u8>,
    /// Where it was at the end.
    pub(crate) state: ProtocolState,
}

/// Hands `pieces` to `protocol`, one after another, and answers every complete request with `ok`.
///
/// # Panics
///
/// If the protocol breaks a promise of the contract.
pub(crate) fn drive<'a>(mut protocol: impl Protocol, pieces: impl IntoIterator<Item = &'a [u8]>) -> Run {
    let mut run = Run {
        seen: Vec::new(),
        output: Vec::new(),
        state: protocol.state(),
    };
    let mut pending = Vec::new();
    for piece in pieces {
        pending.extend_from_slice(piece);
        let consumed = exhaust(&mut protocol, &pending, &mut run);
        pending.drain(..consumed);
    }
    run.state = protocol.state();
    run
}

/// Receives until the protocol is starved; gives the number of bytes it consumed.
fn exhaust(protocol: &mut impl Protocol, bytes: &[u8], run: &mut Run) -> usize {
    let mut input = Inbound::new(bytes);
    let mut output = Outbound::default();
    // Every event but the last takes a byte or answers a request; more of them is an endless loop.
    for _ in 0..2 * bytes.len() + 4 {
        let before = run.seen.len();
        let event = protocol.receive(&mut input, &mut output);
        let starved = matches!(event, Event::Starved);
        take_note(protocol, event, run, &mut output);
        for slice in output.slices(usize::MAX) {
            run.output.extend_from_slice(slice);
        }
        output.advance(output.len());
        if before > 0 && run.seen.len() > before {
            let last = &run.seen[before - 1];
            assert!(
                !matches!(last, Seen::Refused(..) | Seen::Close(_) | Seen::Answered),
                "{:?} after {last:?}",
                run.seen.last(),
            );
        }
        if starved {
            assert!(input.consumed() <= bytes.len());
            return input.consumed();
        }
    }
    panic!("never starved: {:?}", run.seen);
}

fn take_note(protocol: &mut impl Protocol, event: Event<'_>, run: &mut Run, output: &mut Outbound) {
    match event {
        Event::Starved => {
            // Answers are given at once, so none is ever due here.
            assert_ne!(protocol.state(), ProtocolState::Handling);
        }
        Event::Request(request) => {
            check_spans(&request);
            run.seen.push(Seen::Request(Box::new(Head::of(&request))));
            if matches!(request.framing, BodyFraming::None | BodyFraming::Length(0)) {
                assert_eq!(protocol.state(), ProtocolState::Handling);
                answer(protocol, output);
                return;
            }
            assert_eq!(protocol.state(), ProtocolState::Body);
            protocol.invite_body(output);
            if !output.is_empty() {
                run.seen.push(Seen::Invited);
            }
        }
        Event::Body(data) => {
            assert!(!data.is_empty());
            match run.seen.last_mut() {
                Some(Seen::Body(body)) => body.extend_from_slice(data),
                _ => run.seen.push(Seen::Body(data.to_vec())),
            }
        }
        Event::BodyEnd => {
            run.seen.push(Seen::BodyEnd);
            assert_eq!(protocol.state(), ProtocolState::Handling);
            answer(protocol, output);
        }
        Event::Answered => {
            run.seen.push(Seen::Answered);
            assert_eq!(protocol.state(), ProtocolState::Closed);
        }
        Event::Refused(refusal) => {
            protocol.refuse(&refusal, DATE, output);
            assert_eq!(protocol.state(), ProtocolState::Closed);
            run.seen
                .push(Seen::Refused(refusal.status, refusal.reason.into_owned()));
        }
        Event::Close(reason) => {
            run.seen.push(Seen::Close(reason.into_owned()));
            assert_eq!(protocol.state(), ProtocolState::Closed);
        }
    }
}

fn answer(protocol: &mut impl Protocol, output: &mut Outbound) {
    protocol.reply_head(&ResponseHead::new(200), BodyLength::Known(2), DATE, output);
    protocol.reply_data(Bytes::from_static(b"ok"), output);
    protocol.reply_end(output).expect("as long as announced");
}

/// Every request has a method and a path, and its fields passed the policy.
fn check_spans(request: &Request) {
    assert!(!request.method().is_empty());
    assert!(request.head_bytes > 0);
    for (name, value) in request.fields() {
        assert!(!name.is_empty() && !name.contains(&b'_') && name != b"proxy");
        assert!(!name.iter().any(u8::is_ascii_uppercase));
        assert!(!value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
    }
}
