//! Drives a WebSocket as the server does, and writes down what it saw. Also the core of the fuzz target.

use uwrs_api::{Inbound, Outbound};
use uwrs_websocket::{Event, State, WebSocket};

/// Bytes that may be left for the next call: a control frame, but for its last byte.
const LEFT_OVER: usize = 6 + 125 - 1;

/// All that was seen of one connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// What was received, without `Starved`.
    pub(crate) seen: Vec<Event>,
    /// What was sent.
    pub(crate) output: Vec<u8>,
    /// Where it was at the end.
    pub(crate) state: State,
}

/// Hands `pieces` to `socket`, one after another.
///
/// # Panics
///
/// If the socket breaks a promise.
pub(crate) fn drive<'a>(socket: &mut WebSocket, pieces: impl IntoIterator<Item = &'a [u8]>) -> Run {
    let mut seen = Vec::new();
    let mut output = Outbound::default();
    let mut pending = Vec::new();
    for piece in pieces {
        pending.extend_from_slice(piece);
        let mut input = Inbound::new(&pending);
        loop {
            let before = input.consumed();
            let event = socket.receive(&mut input, &mut output);
            if event == Event::Starved {
                break;
            }
            assert!(
                input.consumed() > before || matches!(event, Event::Failed(_)),
                "{event:?} of nothing"
            );
            let is_last = matches!(event, Event::Failed(_) | Event::Closed(_));
            assert_eq!(is_last, socket.state() == State::Closed, "{event:?}");
            seen.push(event);
        }
        let consumed = input.consumed();
        assert!(
            pending.len() - consumed <= LEFT_OVER,
            "more is left than a control frame"
        );
        pending.drain(..consumed);
    }
    Run {
        seen,
        output: sent(&mut output),
        state: socket.state(),
    }
}

/// What is in `output`, which is empty afterwards.
pub(crate) fn sent(output: &mut Outbound) -> Vec<u8> {
    let bytes = output.slices(usize::MAX).collect::<Vec<_>>().concat();
    output.reset(0);
    bytes
}
