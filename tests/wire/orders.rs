//! Whatever order a server calls a protocol in, it neither panics nor says what it must not.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use uwrs::protocol::{HeadLimits, Http1, Http1Options, Uwsgi};
use uwrs_api::{BodyLength, Bytes, Event, Inbound, Outbound, Protocol, ProtocolState, Refusal, ResponseHead};

use crate::drive::DATE;

/// One call of a server.
#[derive(Clone, Debug)]
enum Call {
    Receive(&'static [u8]),
    Invite,
    Interim(u16),
    Head(u16, BodyLength),
    Data(&'static [u8]),
    End,
    Refuse,
    Drain,
}

const DATA: &[&[u8]] = &[b"", b"hello", b"h"];

fn call(received: &'static [&'static [u8]]) -> impl Strategy<Value = Call> {
    prop_oneof![
        6 => select(received).prop_map(Call::Receive),
        1 => Just(Call::Invite),
        1 => select(&[100, 101, 103, 200][..]).prop_map(Call::Interim),
        4 => (
            select(&[200, 204, 304, 100, 500][..]),
            select(&[BodyLength::Unknown, BodyLength::Known(0), BodyLength::Known(5)][..]),
        )
            .prop_map(|(status, length)| Call::Head(status, length)),
        4 => select(DATA).prop_map(Call::Data),
        4 => Just(Call::End),
        1 => Just(Call::Refuse),
        1 => Just(Call::Drain),
    ]
}

/// What a server has seen and done so far.
#[derive(Default)]
struct Ledger {
    requests: usize,
    /// Requests and refusals of the protocol: what there may be an answer to.
    owed: usize,
    answers: usize,
    refused_by_us: usize,
}

/// Makes `calls` and checks after each of them what must hold at any time.
fn check(mut protocol: impl Protocol, calls: Vec<Call>) {
    let mut ledger = Ledger::default();
    let mut pending = Vec::new();
    for call in calls {
        let before = protocol.state();
        let wanted_data = protocol.wants_reply_data();
        let mut output = Outbound::default();
        match call {
            Call::Receive(bytes) => {
                pending.extend_from_slice(bytes);
                let consumed = receive(&mut protocol, &pending, &mut output, &mut ledger);
                pending.drain(..consumed);
            }
            Call::Invite => protocol.invite_body(&mut output),
            Call::Interim(status) => protocol.reply_interim(&ResponseHead::new(status), &mut output),
            Call::Head(status, length) => {
                protocol.reply_head(&ResponseHead::new(status), length, DATE, &mut output);
                ledger.answers += usize::from(!output.is_empty());
            }
            Call::Data(data) => {
                protocol.reply_data(Bytes::from_static(data), &mut output);
                assert!(
                    wanted_data || output.is_empty(),
                    "data that was not wanted was sent"
                );
            }
            Call::End => {
                let ended = protocol.reply_end(&mut output);
                assert!(ended.is_ok() || protocol.state() == ProtocolState::Closed);
            }
            Call::Refuse => {
                protocol.refuse(&Refusal::new(503, "busy"), DATE, &mut output);
                ledger.refused_by_us += usize::from(!output.is_empty());
                assert_eq!(protocol.state(), ProtocolState::Closed);
            }
            Call::Drain => protocol.drain(),
        }
        assert!(
            before != ProtocolState::Closed || protocol.state() == ProtocolState::Closed,
            "closed, and open again"
        );
        assert!(ledger.answers <= ledger.owed, "an answer to nothing");
        assert!(ledger.refused_by_us <= 1, "refused twice");
    }
}

fn receive(protocol: &mut impl Protocol, bytes: &[u8], output: &mut Outbound, ledger: &mut Ledger) -> usize {
    let mut input = Inbound::new(bytes);
    loop {
        let was_closed = protocol.state() == ProtocolState::Closed;
        let event = protocol.receive(&mut input, output);
        assert!(
            !was_closed || matches!(event, Event::Starved),
            "{event:?} after the end"
        );
        match event {
            Event::Starved => return input.consumed(),
            Event::Request(_) => {
                assert_eq!(
                    ledger.requests, ledger.answers,
                    "a request before the last one's answer"
                );
                ledger.requests += 1;
                ledger.owed += 1;
            }
            Event::Refused(_) => ledger.owed += 1,
            Event::Body(_) | Event::BodyEnd | Event::Answered | Event::Close(_) => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn http1_keeps_its_promises_in_any_order_of_calls(
        calls in vec(call(&[
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            b"0\r\n\r\n",
            b"hello",
            b"hel",
            b"GET /",
        ]), 0..30),
    ) {
        check(Http1::new(HeadLimits::default(), Http1Options::default()), calls);
    }

    #[test]
    fn uwsgi_keeps_its_promises_in_any_order_of_calls(
        calls in vec(call(&[
            b"\0\x15\0\0\x0e\0REQUEST_METHOD\x03\0GET",
            b"\0\x29\0\0\x0e\0REQUEST_METHOD\x04\0POST\x0e\0CONTENT_LENGTH\x01\x005",
            b"hello",
            b"\x64\0\0\0",
            b"\0\0\0\0",
            b"\0",
        ]), 0..30),
    ) {
        check(Uwsgi::new(HeadLimits::default()), calls);
    }
}
