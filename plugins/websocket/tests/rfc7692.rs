//! RFC 7692, permessage-deflate: what is compressed on its way in and out.

#![expect(clippy::panic, reason = "helpers of tests fail tests")]

mod client;
mod drive;

use proptest::prelude::*;
use uwrs_api::{Bytes, Outbound};
use uwrs_websocket::{CloseCode, DeflateSettings, Event, MessageKind, Settings, WebSocket};
use zlib_rs::{Deflate, DeflateFlush, Inflate, InflateFlush, Status};

use self::client::{connect, connect_with, frame};
use self::drive::{Run, drive, sent};

const OFFER: &str = "permessage-deflate; client_max_window_bits";

/// RFC 7692 §7.2.3.1: "Hello" in one block.
const HELLO: &[u8] = &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

/// Everything is compressed, however short.
fn settings() -> Settings {
    Settings {
        deflate: Some(DeflateSettings {
            min_bytes: 1,
            ..DeflateSettings::default()
        }),
        ..Settings::default()
    }
}

fn socket() -> WebSocket {
    connect_with(OFFER, settings()).0
}

/// What becomes of a new connection that gets `bytes`: whole, in two pieces cut anywhere, or byte by byte.
fn receive(bytes: &[u8]) -> Run {
    let whole = drive(&mut socket(), [bytes]);
    assert_eq!(whole, drive(&mut socket(), bytes.chunks(1)), "byte by byte");
    for cut in 1..bytes.len().min(200) {
        let pieces = [&bytes[..cut], &bytes[cut..]];
        assert_eq!(whole, drive(&mut socket(), pieces), "cut at {cut}");
    }
    whole
}

fn texts(run: &Run) -> Vec<&str> {
    let texts = run.seen.iter().map(|event| match event {
        Event::Text(text) => text.as_str(),
        other => panic!("{other:?}"),
    });
    texts.collect()
}

fn failure(run: &Run) -> Option<u16> {
    match run.seen.last() {
        Some(Event::Failed(violation)) => Some(violation.code.0),
        _ => None,
    }
}

/// A client's compressor.
struct Client {
    deflate: Deflate,
    inflate: Inflate,
}

impl Client {
    fn new(window_bits: u8) -> Self {
        Self {
            deflate: Deflate::new(6, false, window_bits),
            inflate: Inflate::new(false, 15),
        }
    }

    fn compress(&mut self, message: &[u8]) -> Vec<u8> {
        // Of nothing, a compressor that has just been flushed makes nothing: RFC 7692 §7.2.3.6 says what to send.
        if message.is_empty() {
            return vec![0];
        }
        let mut output = vec![0; message.len() + 1000];
        let before = self.deflate.total_out();
        let status = self
            .deflate
            .compress(message, &mut output, DeflateFlush::SyncFlush);
        assert_eq!(status, Ok(Status::Ok));
        output.truncate((self.deflate.total_out() - before) as usize - 4);
        output
    }

    /// The message of the frame `bytes`, and whether it was compressed.
    fn read(&mut self, bytes: &[u8]) -> (Vec<u8>, bool) {
        assert_ne!(bytes[0] & 0x80, 0);
        let payload = match bytes[1] {
            126 => &bytes[4..],
            127 => &bytes[10..],
            _ => &bytes[2..],
        };
        if bytes[0] & 0x40 == 0 {
            return (payload.to_vec(), false);
        }
        let mut message = vec![0; 1 << 21];
        let before = self.inflate.total_out();
        let input = [payload, &[0, 0, 0xff, 0xff]].concat();
        self.inflate
            .decompress(&input, &mut message, InflateFlush::SyncFlush)
            .expect("compressed data");
        message.truncate((self.inflate.total_out() - before) as usize);
        (message, true)
    }
}

/// Text with much in it that repeats.
fn text(length: usize) -> String {
    let lines = (0u64..).map(|number| format!("{{\"number\": {number}, \"square\": {}}}\n", number * number));
    let mut text: String = lines.take(length / 20 + 1).collect();
    text.truncate(length);
    text
}

/// Bytes in which nothing repeats.
fn noise(length: usize) -> Vec<u8> {
    let step = |state: &u32| Some(state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    let states = std::iter::successors(Some(1u32), step);
    states.map(|state| (state >> 24) as u8).take(length).collect()
}

// §6: a message is compressed, not a frame

#[test]
fn nothing_is_compressed_that_was_not_agreed_on() {
    let mut socket = connect(settings());
    let mut output = Outbound::default();
    socket.send_text(&text(5000), &mut output).unwrap();
    assert_eq!(sent(&mut output)[0], 0x81);
    let run = drive(&mut socket, [&frame(0xc1, HELLO)[..]]);
    assert_eq!(failure(&run), Some(1002));
    let declined = connect_with("permessage-deflate; unknown", settings());
    assert_eq!(declined.1, None);
}

#[test]
fn rsv1_is_for_the_first_frame_of_a_message() {
    assert_eq!(
        failure(&receive(
            &[frame(0x41, &HELLO[..3]), frame(0xc0, &HELLO[3..])].concat()
        )),
        Some(1002)
    );
    for control in [0xc8, 0xc9, 0xca] {
        assert_eq!(failure(&receive(&frame(control, b""))), Some(1002));
    }
}

#[test]
fn the_other_reserved_bits_are_still_reserved() {
    for first in [0xa1, 0x91, 0xe1, 0xd1, 0xf1] {
        assert_eq!(failure(&receive(&frame(first, HELLO))), Some(1002));
    }
}

#[test]
fn messages_that_are_not_compressed_may_come_between() {
    let run = receive(&[frame(0xc1, HELLO), frame(0x81, b"plain"), frame(0xc1, HELLO)].concat());
    assert_eq!(texts(&run), ["Hello", "plain", "Hello"]);
}

// §7.2.3: examples

#[test]
fn the_rfcs_examples_are_understood() {
    let fragments = [frame(0x41, &HELLO[..3]), frame(0x80, &HELLO[3..])].concat();
    assert_eq!(texts(&receive(&fragments)), ["Hello"]);
    // With the first in view the second is shorter (§7.2.3.2).
    let second = [0xf2, 0x00, 0x11, 0x00, 0x00];
    assert_eq!(
        texts(&receive(&[frame(0xc1, HELLO), frame(0xc1, &second)].concat())),
        ["Hello", "Hello"]
    );
    // A block without compression (§7.2.3.3).
    let stored = [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
    assert_eq!(texts(&receive(&frame(0xc1, &stored))), ["Hello"]);
    // A last block (§7.2.3.4).
    let last = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
    assert_eq!(
        texts(&receive(&[frame(0xc1, &last), frame(0xc1, HELLO)].concat())),
        ["Hello", "Hello"]
    );
    // Two blocks (§7.2.3.5).
    let two = [
        0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00,
    ];
    assert_eq!(texts(&receive(&frame(0xc1, &two))), ["Hello"]);
}

#[test]
fn what_comes_after_a_last_block_may_refer_to_what_came_before_it() {
    let mut client = Client::new(12);
    let mut last = vec![0; 100];
    let status = client
        .deflate
        .compress(b"Hello, ", &mut last, DeflateFlush::Finish);
    assert_eq!(status, Ok(Status::StreamEnd));
    last.truncate(client.deflate.total_out() as usize);
    client.deflate.reset();
    client.deflate.set_dictionary(b"Hello, ").unwrap();
    let next = client.compress(b"Hello, Hello, Hello");
    assert!(next.len() < 10, "it refers to the dictionary: {next:x?}");
    let run = receive(&frame(0xc1, &[last, next].concat()));
    assert_eq!(texts(&run), ["Hello, Hello, Hello, Hello"]);
}

#[test]
fn an_empty_message_is_one_byte() {
    assert_eq!(texts(&receive(&frame(0xc1, &[0x00]))), [""]);
}

#[test]
fn control_frames_come_between_compressed_fragments() {
    let frames = [
        frame(0x41, &HELLO[..3]),
        frame(0x89, b"?"),
        frame(0x80, &HELLO[3..]),
    ]
    .concat();
    assert_eq!(
        receive(&frames).seen,
        [
            Event::Ping,
            drive(&mut socket(), [&frame(0xc1, HELLO)[..]]).seen.remove(0)
        ]
    );
}

// §7.1: parameters

#[test]
fn a_message_may_refer_to_those_before_it_as_far_as_agreed_on() {
    for (offer, client_bits) in [
        ("permessage-deflate", 15),
        ("permessage-deflate; client_max_window_bits", 12),
        ("permessage-deflate; client_max_window_bits=9", 9),
        (
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=9",
            15,
        ),
    ] {
        let (mut socket, _) = connect_with(offer, settings());
        let mut client = Client::new(client_bits);
        for length in [10, 1000, 10, 40_000, 100, 5000, 100_000, 3] {
            let text = text(length);
            let frame = frame(0xc1, &client.compress(text.as_bytes()));
            assert_eq!(
                texts(&drive(&mut socket, frame.chunks(700))),
                [&text[..]],
                "{offer} {length}"
            );
        }
    }
}

#[test]
fn a_client_without_context_takeover_begins_anew_each_time() {
    let (mut socket, answer) = connect_with("permessage-deflate; client_no_context_takeover", settings());
    assert_eq!(
        answer.as_deref(),
        Some("permessage-deflate; client_no_context_takeover")
    );
    for _ in 0..3 {
        assert_eq!(texts(&drive(&mut socket, [&frame(0xc1, HELLO)[..]])), ["Hello"]);
    }
    // What refers to a message before it is broken, and not a way to look at other connections' messages.
    let run = drive(&mut socket, [&frame(0xc1, &[0xf2, 0x00, 0x11, 0x00, 0x00])[..]]);
    assert_eq!(failure(&run), Some(1007));
}

#[test]
fn what_is_sent_is_compressed_with_what_went_before_in_view() {
    for offer in [
        "permessage-deflate",
        "permessage-deflate; server_max_window_bits=9",
        "permessage-deflate; server_max_window_bits=10; client_no_context_takeover",
    ] {
        let (mut socket, _) = connect_with(offer, settings());
        let (mut client, mut output) = (Client::new(15), Outbound::default());
        let mut sizes = Vec::new();
        for length in [300, 300, 40_000, 1000, 300, 200_000, 10] {
            let text = text(length);
            socket.send_text(&text, &mut output).unwrap();
            let bytes = sent(&mut output);
            sizes.push(bytes.len());
            assert!(
                client.read(&bytes) == (text.into_bytes(), true),
                "{offer} {length}"
            );
        }
        assert!(
            sizes[1] * 4 < sizes[0] * 3,
            "the second is the first once more: {sizes:?}"
        );
    }
}

#[test]
fn a_server_without_context_takeover_begins_anew_each_time() {
    let (mut socket, answer) = connect_with("permessage-deflate; server_no_context_takeover", settings());
    assert_eq!(
        answer.as_deref(),
        Some("permessage-deflate; server_no_context_takeover")
    );
    let mut output = Outbound::default();
    for length in [300, 40_000, 300] {
        let text = text(length);
        socket
            .send_shared(MessageKind::Text, Bytes::from(text.clone()), &mut output)
            .unwrap();
        assert_eq!(
            Client::new(15).read(&sent(&mut output)),
            (text.into_bytes(), true)
        );
    }
}

#[test]
fn many_connections_share_a_compressor_and_keep_their_messages_apart() {
    let mut connections: Vec<_> = (0..4).map(|_| (socket(), Client::new(12))).collect();
    let mut output = Outbound::default();
    for round in 0..20 {
        for (number, (socket, client)) in connections.iter_mut().enumerate() {
            let text = text(200 + 50 * round).replace("number", &format!("number of {number}"));
            let frame = frame(0xc1, &client.compress(text.as_bytes()));
            assert_eq!(texts(&drive(socket, [&frame[..]])), [&text[..]]);
            socket.send_text(&text, &mut output).unwrap();
            assert_eq!(client.read(&sent(&mut output)), (text.into_bytes(), true));
        }
    }
}

#[test]
fn short_messages_and_what_does_not_become_shorter_are_sent_as_they_are() {
    let (mut socket, _) = connect_with(OFFER, Settings::default());
    let (mut client, mut output) = (Client::new(15), Outbound::default());
    for (message, is_compressed) in [
        (text(1023).into_bytes(), false),
        (text(1024).into_bytes(), true),
        (noise(30_000), false),
        (text(30_000).into_bytes(), true),
    ] {
        socket.send_binary(&message, &mut output).unwrap();
        let length = message.len();
        assert_eq!(
            client.read(&sent(&mut output)),
            (message, is_compressed),
            "{length}"
        );
    }
}

// Limits and what is broken

#[test]
fn a_bomb_is_not_inflated_past_the_limit() {
    let bomb = Client::new(15).compress(&vec![b' '; 10_000_000]);
    assert!(bomb.len() < 20_000);
    let settings = Settings {
        message_bytes: 1_000_000,
        ..settings()
    };
    let (mut socket, _) = connect_with(OFFER, settings.clone());
    let run = drive(&mut socket, frame(0xc2, &bomb).chunks(100));
    assert_eq!(run.seen.len(), 1);
    assert_eq!(failure(&run), Some(CloseCode::TOO_BIG.0));
    let (mut socket, _) = connect_with(OFFER, settings);
    let good = frame(0xc2, &Client::new(15).compress(&vec![b' '; 1_000_000]));
    let run = drive(&mut socket, [&good[..]]);
    assert!(matches!(&run.seen[..], [Event::Binary(bytes)] if bytes.len() == 1_000_000));
}

#[test]
fn without_a_limit_a_message_is_inflated_whole() {
    let settings = Settings {
        message_bytes: usize::MAX,
        ..settings()
    };
    let (mut socket, _) = connect_with(OFFER, settings);
    assert_eq!(texts(&drive(&mut socket, [&frame(0xc1, HELLO)[..]])), ["Hello"]);
}

#[test]
fn compressed_data_that_are_none_fail_the_connection() {
    // A reserved kind of block; a distance to before the beginning; a stored block whose length is not its complement.
    for payload in [
        &[0x07, 0x00][..],
        &[0xf2, 0x00, 0x11, 0x00, 0x00],
        &[0x00, 0x05, 0x00, 0x00, 0x00],
    ] {
        assert_eq!(
            failure(&receive(&frame(0xc2, payload))),
            Some(1007),
            "{payload:x?}"
        );
    }
}

#[test]
fn what_is_inflated_must_be_utf8() {
    let mut client = Client::new(12);
    let bad = client.compress(b"\xce\xba\xed\xa0\x80edited");
    assert_eq!(failure(&receive(&frame(0xc1, &bad))), Some(1007));
    let cut = Client::new(12).compress(b"\xce\xba\xe1\xbd");
    assert_eq!(failure(&receive(&frame(0xc1, &cut))), Some(1007));
    assert_eq!(failure(&receive(&frame(0xc2, &cut))), None);
}

#[test]
fn messages_after_our_close_frame_are_not_inflated() {
    let (mut socket, mut output) = (socket(), Outbound::default());
    drive(&mut socket, [&frame(0x41, &HELLO[..3])[..]]);
    socket
        .close(CloseCode::NORMAL, "", std::time::Instant::now(), &mut output)
        .unwrap();
    let late = [
        frame(0x80, b"\xff\xff"),
        frame(0xc1, b"\xff\xff"),
        frame(0x88, b""),
    ]
    .concat();
    assert!(matches!(
        &drive(&mut socket, [&late[..]]).seen[..],
        [Event::Closed(_)]
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_is_sent_and_received_is_the_same(
        messages in prop::collection::vec(prop::collection::vec(prop_oneof![0u8..4, any::<u8>()], 0..1500), 1..6),
        cut in 1usize..500,
        bits in 9u8..=15,
    ) {
        let offer = format!("permessage-deflate; client_max_window_bits={bits}; server_max_window_bits={bits}");
        let (mut socket, _) = connect_with(&offer, settings());
        let mut client = Client::new(bits.min(12));
        let mut output = Outbound::default();
        for message in messages {
            let frame = frame(0xc2, &client.compress(&message));
            let run = drive(&mut socket, frame.chunks(cut));
            prop_assert_eq!(&run.seen, &[Event::Binary(message.clone())]);
            socket.send_binary(&message, &mut output).unwrap();
            prop_assert_eq!(client.read(&sent(&mut output)).0, message);
        }
    }
}
