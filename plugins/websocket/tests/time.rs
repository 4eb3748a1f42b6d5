//! What a WebSocket does when time passes, on a clock that the test turns.

mod drive;

use std::sync::Arc;
use std::time::{Duration, Instant};

use uwrs_api::Outbound;
use uwrs_websocket::{CloseCode, Lapse, Settings, State, WebSocket};

use self::drive::{drive, sent};

const PING: &[u8] = b"\x89\x00";
const PONG: &[u8] = b"\x8a\x80\x00\x00\x00\x00";

/// A connection that began at 0, a ping due every 20 seconds and answered within 5.
struct Clock {
    socket: WebSocket,
    begin: Instant,
}

impl Clock {
    fn new(ping_interval: Option<u64>) -> Self {
        let settings = Settings {
            ping_interval: ping_interval.map(Duration::from_secs),
            ping_timeout: Duration::from_secs(5),
            close_timeout: Duration::from_secs(10),
            ..Settings::default()
        };
        let begin = Instant::now();
        Self {
            socket: WebSocket::new(Arc::new(settings), begin),
            begin,
        }
    }

    fn at(&self, seconds: u64) -> Instant {
        self.begin + Duration::from_secs(seconds)
    }

    /// When something is due, seconds.
    fn due(&self) -> Option<u64> {
        let deadline = self.socket.next_deadline()?;
        Some((deadline - self.begin).as_secs())
    }

    /// What is done and sent so many seconds after the beginning.
    fn lapse(&mut self, seconds: u64) -> (Lapse, Vec<u8>) {
        let mut output = Outbound::default();
        let lapse = self.socket.on_deadline(self.at(seconds), &mut output);
        (lapse, sent(&mut output))
    }
}

#[test]
fn a_ping_is_sent_every_interval_as_long_as_something_comes() {
    let mut clock = Clock::new(Some(20));
    for round in 1..5 {
        assert_eq!(clock.due(), Some(20 * round));
        assert_eq!(
            clock.lapse(20 * round - 1),
            (Lapse::Nothing, vec![]),
            "it is early"
        );
        assert_eq!(clock.lapse(20 * round), (Lapse::Pinged, PING.to_vec()));
        assert_eq!(clock.due(), Some(20 * round + 5), "the peer has five seconds");
        assert_eq!(clock.lapse(20 * round + 4), (Lapse::Nothing, vec![]));
        drive(&mut clock.socket, [PONG]);
    }
}

#[test]
fn a_peer_that_sends_something_else_is_there_too() {
    let mut clock = Clock::new(Some(20));
    clock.lapse(20);
    // Part of a long message: its pong would come after it.
    drive(
        &mut clock.socket,
        [&b"\x82\xff\x00\x00\x00\x00\x00\x0f\x00\x00\x00\x00\x00\x00some"[..]],
    );
    assert_eq!(clock.due(), Some(40));
}

#[test]
fn a_peer_that_takes_what_waits_for_it_is_there_too() {
    let mut clock = Clock::new(Some(20));
    clock.lapse(20);
    clock.socket.hear();
    assert_eq!(clock.due(), Some(40));
    clock.socket.hear();
    assert_eq!(clock.due(), Some(40), "nothing was asked");
}

#[test]
fn a_peer_that_sends_nothing_is_given_up() {
    let mut clock = Clock::new(Some(20));
    drive(&mut clock.socket, [PONG]);
    clock.lapse(20);
    let (lapse, output) = clock.lapse(25);
    assert_eq!((lapse, clock.socket.state()), (Lapse::Lost, State::Closed));
    assert_eq!(output[2..4], 1011u16.to_be_bytes());
    assert_eq!((clock.due(), clock.lapse(99)), (None, (Lapse::Nothing, vec![])));
}

#[test]
fn a_peer_is_not_given_up_for_what_the_server_does_not_read() {
    let mut clock = Clock::new(Some(20));
    clock.lapse(20);
    clock.socket.pause();
    assert_eq!((clock.due(), clock.lapse(1000)), (None, (Lapse::Nothing, vec![])));
    let now = clock.at(1000);
    clock.socket.resume(now);
    assert_eq!(clock.due(), Some(1020));
    let now = clock.at(1010);
    clock.socket.resume(now);
    assert_eq!(clock.due(), Some(1020), "it was not paused");
}

#[test]
fn the_answer_to_a_close_frame_is_waited_for_whether_the_server_reads_or_not() {
    let mut clock = Clock::new(Some(20));
    let now = clock.at(0);
    clock.socket.pause();
    clock
        .socket
        .close(CloseCode::NORMAL, "", now, &mut Outbound::default())
        .unwrap();
    clock.socket.pause();
    assert_eq!(clock.due(), Some(10));
    assert_eq!(clock.lapse(10), (Lapse::Expired, vec![]));
    let now = clock.at(11);
    clock.socket.resume(now);
    assert_eq!(clock.due(), None);
}

#[test]
fn without_an_interval_nothing_is_ever_due() {
    let mut clock = Clock::new(None);
    assert_eq!(
        (clock.due(), clock.lapse(1_000_000)),
        (None, (Lapse::Nothing, vec![]))
    );
    drive(&mut clock.socket, [PONG]);
    assert_eq!(clock.due(), None);
}

#[test]
fn a_time_beyond_the_clock_never_comes() {
    let mut clock = Clock::new(Some(u64::MAX));
    assert_eq!(
        (clock.due(), clock.lapse(1_000_000)),
        (None, (Lapse::Nothing, vec![]))
    );
}

#[test]
fn a_close_frame_is_to_be_answered_in_time() {
    let mut clock = Clock::new(Some(20));
    let mut output = Outbound::default();
    let now = clock.at(15);
    clock
        .socket
        .close(CloseCode::NORMAL, "", now, &mut output)
        .unwrap();
    assert_eq!(clock.due(), Some(25), "and no ping is sent meanwhile");
    assert_eq!(clock.lapse(24), (Lapse::Nothing, vec![]));
    assert_eq!(clock.lapse(25), (Lapse::Expired, vec![]));
    assert_eq!((clock.socket.state(), clock.due()), (State::Closed, None));
}

#[test]
fn what_comes_while_we_close_does_not_prolong_it() {
    let mut clock = Clock::new(Some(20));
    let now = clock.at(0);
    clock
        .socket
        .close(CloseCode::NORMAL, "", now, &mut Outbound::default())
        .unwrap();
    drive(&mut clock.socket, [PONG]);
    assert_eq!(clock.due(), Some(10));
    drive(&mut clock.socket, [&b"\x88\x80\x00\x00\x00\x00"[..]]);
    assert_eq!((clock.socket.state(), clock.due()), (State::Closed, None));
}
