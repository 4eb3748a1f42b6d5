//! RFC 6455, sentence by sentence: those that bind a server once the handshake is done, in the RFC's order.

#![expect(clippy::panic, reason = "helpers of tests fail tests")]

mod client;
mod drive;

use std::time::Instant;

use uwrs_api::{Bytes, Inbound, Outbound};
use uwrs_websocket::{CloseCode, Event, InvalidClose, MessageKind, NotOpen, Settings, State, WebSocket};

use self::client::{close_payload, connect, frame};
use self::drive::{Run, drive, sent};

fn socket() -> WebSocket {
    connect(Settings::default())
}

/// What becomes of a new connection that gets `bytes`: whole, in two pieces cut anywhere, or byte by byte.
fn receive(bytes: &[u8]) -> Run {
    let whole = drive(&mut socket(), [bytes]);
    assert_eq!(whole, drive(&mut socket(), bytes.chunks(1)), "byte by byte");
    for cut in (1..bytes.len()).take(200) {
        let pieces = [&bytes[..cut], &bytes[cut..]];
        assert_eq!(whole, drive(&mut socket(), pieces), "cut at {cut}");
    }
    whole
}

/// Asserts that the last of `frames` makes the connection fail with `code`, of which the peer is told.
fn assert_fails(frames: &[Vec<u8>], code: u16) {
    let run = receive(&frames.concat());
    match run.seen.last() {
        Some(Event::Failed(violation)) => assert_eq!(violation.code.0, code, "{frames:x?}"),
        other => panic!("{other:?} of {frames:x?}"),
    }
    assert_eq!(run.seen.len(), 1, "nothing before it: {:?}", run.seen);
    let [0x88, length, high, low, reason @ ..] = &run.output[..] else {
        panic!("no close frame: {:x?}", run.output);
    };
    assert_eq!(u16::from_be_bytes([*high, *low]), code);
    assert_eq!(usize::from(*length), 2 + reason.len());
    assert!(str::from_utf8(reason).is_ok());
}

/// Texts, binary messages and closings, as short as they can be written down.
fn messages(run: Run) -> Vec<(char, Vec<u8>)> {
    let short = |event| match event {
        Event::Text(text) => ('t', text.into_bytes()),
        Event::Binary(bytes) => ('b', bytes),
        Event::Ping => ('i', Vec::new()),
        Event::Pong => ('o', Vec::new()),
        Event::Closed(close) => ('c', close.code.to_string().into_bytes()),
        other => panic!("{other:?}"),
    };
    run.seen.into_iter().map(short).collect()
}

fn close_frame(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(0x88, &close_payload(code, reason))
}

// §5.1: overview

#[test]
fn a_frame_without_a_mask_fails_the_connection() {
    for unmasked in [
        &b"\x81\x05Hello"[..],
        b"\x82\x00",
        b"\x89\x00",
        b"\x88\x02\x03\xe8",
        b"\x81\x7e\x01\x00",
    ] {
        assert_fails(&[unmasked.to_vec()], 1002);
    }
}

#[test]
fn what_the_server_sends_is_not_masked() {
    let (mut socket, mut output) = (socket(), Outbound::default());
    socket.send_text("Hello", &mut output).unwrap();
    assert_eq!(sent(&mut output), b"\x81\x05Hello");
    socket.send_binary(&[0; 256], &mut output).unwrap();
    assert_eq!(sent(&mut output)[..4], *b"\x82\x7e\x01\x00");
    socket.ping(b"Hello", &mut output).unwrap();
    assert_eq!(sent(&mut output), b"\x89\x05Hello");
}

// §5.2: base framing

#[test]
fn a_reserved_bit_without_an_extension_fails_the_connection() {
    for rsv in 1..8u8 {
        for opcode in [0x81, 0x82, 0x01, 0x88, 0x89, 0x8a] {
            assert_fails(&[frame(rsv << 4 | opcode, b"")], 1002);
            assert_fails(&[frame(rsv << 4 | opcode, b"payload")], 1002);
        }
    }
}

#[test]
fn a_reserved_opcode_fails_the_connection() {
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        for payload in [&b""[..], b"payload"] {
            assert_fails(&[frame(0x80 | opcode, payload)], 1002);
        }
    }
}

#[test]
fn every_length_is_understood() {
    for length in [
        0, 1, 125, 126, 127, 128, 255, 256, 4095, 4096, 4097, 65535, 65536, 131_072,
    ] {
        let payload: Vec<u8> = (0..length).map(|at| b'a' + (at % 26) as u8).collect();
        for (first, kind) in [(0x81, 't'), (0x82, 'b')] {
            let bytes = frame(first, &payload);
            let run = drive(&mut socket(), bytes.chunks(997));
            assert_eq!(messages(run), [(kind, payload.clone())], "{length}");
        }
    }
}

#[test]
fn a_length_of_more_bytes_than_it_needs_fails_the_connection() {
    assert_fails(&[b"\x82\xfe\x00\x05".to_vec()], 1002);
    assert_fails(&[b"\x82\xfe\x00\x7d".to_vec()], 1002);
    assert_fails(&[b"\x82\xff\x00\x00\x00\x00\x00\x00\x00\x7e".to_vec()], 1002);
    assert_fails(&[b"\x82\xff\x00\x00\x00\x00\x00\x00\xff\xff".to_vec()], 1002);
}

#[test]
fn a_length_whose_highest_bit_is_set_fails_the_connection() {
    assert_fails(&[b"\x82\xff\x80\x00\x00\x00\x00\x01\x00\x00".to_vec()], 1002);
    assert_fails(&[b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff".to_vec()], 1002);
}

// §5.3: masking

#[test]
fn the_key_of_each_frame_is_its_own() {
    let other = [0x81, 0x82, 0, 0, 0, 0, b'h', b'i'];
    let run = receive(&[&frame(0x81, b"Hello")[..], &other].concat());
    assert_eq!(messages(run), [('t', b"Hello".to_vec()), ('t', b"hi".to_vec())]);
}

// §5.4: fragmentation

#[test]
fn fragments_are_put_together_in_order() {
    let run = receive(&[frame(0x01, b"Hel"), frame(0x00, b"lo"), frame(0x80, b"!")].concat());
    assert_eq!(messages(run), [('t', b"Hello!".to_vec())]);
}

#[test]
fn fragments_may_be_empty() {
    let run = receive(&[frame(0x02, b""), frame(0x00, b""), frame(0x80, b"")].concat());
    assert_eq!(messages(run), [('b', vec![])]);
    let run = receive(&[frame(0x01, b""), frame(0x00, b"a"), frame(0x80, b"")].concat());
    assert_eq!(messages(run), [('t', b"a".to_vec())]);
}

#[test]
fn control_frames_come_between_fragments() {
    let pieces = [
        frame(0x01, b"Hel"),
        frame(0x89, b"?"),
        frame(0x8a, b""),
        frame(0x80, b"lo"),
    ];
    let run = receive(&pieces.concat());
    assert_eq!(run.output, b"\x8a\x01?");
    assert_eq!(
        messages(run),
        [('i', vec![]), ('o', vec![]), ('t', b"Hello".to_vec())]
    );
}

#[test]
fn a_fragmented_control_frame_fails_the_connection() {
    for opcode in [0x08, 0x09, 0x0a] {
        assert_fails(&[frame(opcode, b"a"), frame(0x80, b"b")], 1002);
    }
}

#[test]
fn a_continuation_of_nothing_fails_the_connection() {
    assert_fails(&[frame(0x80, b"a")], 1002);
    assert_fails(&[frame(0x00, b"a"), frame(0x80, b"b")], 1002);
    let run = receive(&[frame(0x81, b"a"), frame(0x80, b"b")].concat());
    assert!(matches!(&run.seen[..], [Event::Text(_), Event::Failed(_)]));
}

#[test]
fn a_message_within_a_message_fails_the_connection() {
    assert_fails(&[frame(0x01, b"a"), frame(0x81, b"b")], 1002);
    assert_fails(&[frame(0x02, b"a"), frame(0x00, b"b"), frame(0x02, b"c")], 1002);
}

// §5.5: control frames

#[test]
fn a_control_frame_of_more_than_125_bytes_fails_the_connection() {
    for first in [0x88, 0x89, 0x8a] {
        assert_fails(&[frame(first, &[b'x'; 126])], 1002);
    }
}

// §5.5.1: close

#[test]
fn a_close_frame_is_answered_with_its_code() {
    let run = receive(&close_frame(1000, b"bye"));
    assert_eq!(
        (run.state, &run.output[..]),
        (State::Closed, &b"\x88\x02\x03\xe8"[..])
    );
    let [Event::Closed(close)] = &run.seen[..] else {
        panic!("{run:?}")
    };
    assert_eq!((close.code, &close.reason[..]), (CloseCode::NORMAL, "bye"));
}

#[test]
fn a_close_frame_without_a_code_is_answered_without_a_code() {
    let run = receive(&frame(0x88, b""));
    assert_eq!(run.output, b"\x88\x00");
    assert_eq!(messages(run), [('c', b"1005".to_vec())]);
}

#[test]
fn a_close_frame_with_half_a_code_fails_the_connection() {
    assert_fails(&[frame(0x88, b"\x03")], 1002);
}

#[test]
fn a_close_frame_may_be_as_long_as_a_control_frame() {
    let run = receive(&close_frame(1001, &[b'x'; 123]));
    let [Event::Closed(close)] = &run.seen[..] else {
        panic!("{run:?}")
    };
    assert_eq!(close.reason, "x".repeat(123));
}

#[test]
fn a_close_frame_whose_reason_is_not_utf8_fails_the_connection() {
    assert_fails(&[close_frame(1000, b"\xce\xba\xed\xa0\x80")], 1007);
    assert_fails(&[close_frame(1000, b"\xce")], 1007);
}

#[test]
fn what_comes_after_a_close_frame_is_ignored() {
    let run = receive(
        &[
            close_frame(1000, b""),
            frame(0x81, b"late"),
            frame(0x89, b""),
            b"\xff\xff".to_vec(),
        ]
        .concat(),
    );
    assert_eq!(messages(run), [('c', b"1000".to_vec())]);
}

#[test]
fn nothing_is_sent_after_a_close_frame() {
    let (mut socket, mut output) = (socket(), Outbound::default());
    socket
        .close(CloseCode::GOING_AWAY, "bye", Instant::now(), &mut output)
        .unwrap();
    assert_eq!(sent(&mut output), b"\x88\x05\x03\xe9bye");
    assert_eq!(socket.send_text("late", &mut output), Err(NotOpen));
    assert_eq!(socket.send_binary(b"late", &mut output), Err(NotOpen));
    let late = Bytes::from(vec![0; Outbound::COPY_LIMIT + 1]);
    assert_eq!(
        socket.send_shared(MessageKind::Binary, late, &mut output),
        Err(NotOpen)
    );
    assert_eq!(socket.ping(b"", &mut output), Err(NotOpen));
    assert_eq!(
        socket.close(CloseCode::NORMAL, "again", Instant::now(), &mut output),
        Ok(())
    );
    assert!(output.is_empty());
}

#[test]
fn our_close_frame_is_answered_and_that_is_the_end() {
    let (mut socket, mut output) = (socket(), Outbound::default());
    socket
        .close(CloseCode::NORMAL, "", Instant::now(), &mut output)
        .unwrap();
    assert_eq!(socket.state(), State::Closing);
    let run = drive(&mut socket, [&close_frame(1000, b"")[..]]);
    assert_eq!((run.state, &run.output[..]), (State::Closed, &b""[..]));
    assert_eq!(messages(run), [('c', b"1000".to_vec())]);
}

#[test]
fn messages_on_their_way_when_we_close_are_dropped_without_being_kept() {
    let (mut socket, mut output) = (socket(), Outbound::default());
    let first = drive(&mut socket, [&frame(0x01, &[b'x'; 1000])[..]]);
    assert_eq!(first.seen, []);
    socket
        .close(CloseCode::NORMAL, "", Instant::now(), &mut output)
        .unwrap();
    // Not UTF-8, and longer than any limit: no one looks.
    let endless = [
        b"\x82\xff\x00\x00\x00\x00\x01\x00\x00\x00".to_vec(),
        vec![0; 4 + (1 << 24)],
    ]
    .concat();
    let late = [
        frame(0x80, b"\xff"),
        endless,
        frame(0x89, b"?"),
        close_frame(1000, b""),
    ];
    let run = drive(&mut socket, late.concat().chunks(1 << 20));
    // A ping is answered until the peer's close frame has come (§5.5.2).
    assert_eq!(run.output, b"\x8a\x01?");
    assert_eq!(messages(run), [('i', vec![]), ('c', b"1000".to_vec())]);
}

#[test]
fn both_may_close_at_once() {
    let (mut socket, mut output) = (socket(), Outbound::default());
    socket
        .close(CloseCode::NORMAL, "", Instant::now(), &mut output)
        .unwrap();
    let run = drive(&mut socket, [&close_frame(1001, b"")[..]]);
    assert_eq!((run.state, &run.output[..]), (State::Closed, &b""[..]));
}

#[test]
fn a_rule_broken_while_we_close_is_the_end_without_a_second_close_frame() {
    let (mut socket, mut output) = (socket(), Outbound::default());
    socket
        .close(CloseCode::NORMAL, "", Instant::now(), &mut output)
        .unwrap();
    let run = drive(&mut socket, [&frame(0x83, b"")[..]]);
    assert_eq!((run.state, &run.output[..]), (State::Closed, &b""[..]));
    assert!(matches!(&run.seen[..], [Event::Failed(_)]));
}

// §5.5.2, §5.5.3: ping and pong

#[test]
fn a_ping_is_answered_with_its_payload() {
    for payload in [&b""[..], b"Hello", b"\x00\xff\xfe\xfd", &[0xfe; 125]] {
        let run = receive(&frame(0x89, payload));
        assert_eq!(run.output, [&[0x8a, payload.len() as u8], payload].concat());
    }
}

#[test]
fn every_ping_is_answered() {
    let pings: Vec<u8> = (0..10).flat_map(|number| frame(0x89, &[number])).collect();
    let pongs: Vec<u8> = (0..10).flat_map(|number| [0x8a, 1, number]).collect();
    assert_eq!(receive(&pings).output, pongs);
}

#[test]
fn a_pong_that_no_one_asked_for_is_not_answered() {
    let run = receive(&[frame(0x8a, b"hello"), frame(0x89, b"")].concat());
    assert_eq!(run.output, b"\x8a\x00");
    assert_eq!(messages(run), [('o', vec![]), ('i', vec![])]);
}

// §5.6, §8.1: data frames, UTF-8

#[test]
fn a_text_that_is_not_utf8_fails_the_connection() {
    for text in [
        &b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited"[..],
        b"\x80",
        b"abc\xff",
        b"\xc0\xaf",
        b"\xe0\x80\xaf",
        b"\xf4\x90\x80\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\xce",
        b"\xf0\x9d\x84",
    ] {
        assert_fails(&[frame(0x81, text)], 1007);
        for cut in 0..text.len() {
            assert_fails(&[frame(0x01, &text[..cut]), frame(0x80, &text[cut..])], 1007);
        }
    }
}

#[test]
fn text_is_checked_as_it_arrives() {
    // The frame says 100 bytes; three of them are enough.
    let (mut socket, whole) = (socket(), frame(0x81, &[&b"\xed\xa0"[..], &[b'x'; 98]].concat()));
    let run = drive(&mut socket, [&whole[..7]]);
    assert_eq!(run.seen, []);
    let run = drive(&mut socket, [&whole[7..8]]);
    assert!(matches!(&run.seen[..], [Event::Failed(violation)] if violation.code.0 == 1007));
    // A message's next fragment need not have come either.
    assert_fails(&[frame(0x01, b"\xf4"), frame(0x00, b"\x90")], 1007);
}

#[test]
fn a_character_may_be_cut_by_fragments() {
    let text = "κόσμε 𝄞".as_bytes();
    for cut in 0..text.len() {
        let run = receive(&[frame(0x01, &text[..cut]), frame(0x80, &text[cut..])].concat());
        assert_eq!(messages(run), [('t', text.to_vec())]);
    }
}

#[test]
fn a_binary_message_is_whatever_it_is() {
    let bytes: Vec<u8> = (0..=255).collect();
    assert_eq!(messages(receive(&frame(0x82, &bytes))), [('b', bytes)]);
}

// §7: closing the connection

#[test]
fn codes_that_must_not_be_sent_fail_the_connection() {
    for code in [
        0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535,
    ] {
        assert_fails(&[close_frame(code, b"")], 1002);
        let (mut socket, mut output) = (socket(), Outbound::default());
        let answer = socket.close(CloseCode(code), "", Instant::now(), &mut output);
        assert_eq!(answer, Err(InvalidClose::Code(CloseCode(code))));
        assert!(output.is_empty());
    }
    for code in [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999,
    ] {
        assert_eq!(receive(&close_frame(code, b"")).output[2..], code.to_be_bytes());
    }
}

#[test]
fn a_reason_that_does_not_fit_is_not_cut() {
    let (mut socket, mut output) = (socket(), Outbound::default());
    let answer = socket.close(CloseCode::NORMAL, &"x".repeat(124), Instant::now(), &mut output);
    assert_eq!(answer, Err(InvalidClose::Reason(124)));
    assert_eq!(socket.state(), State::Open);
}

// §10.4: limits

#[test]
fn a_message_longer_than_allowed_fails_the_connection_before_it_has_come() {
    let settings = Settings {
        message_bytes: 1000,
        ..Settings::default()
    };
    let over = |frames: &[Vec<u8>]| {
        let run = drive(&mut connect(settings.clone()), [&frames.concat()[..]]);
        matches!(&run.seen[..], [Event::Failed(violation)] if violation.code == CloseCode::TOO_BIG)
    };
    let header = |first| frame(first, &[0; 1001])[..8].to_vec();
    assert!(over(&[header(0x82)]), "its header is enough");
    assert!(over(&[
        frame(0x02, &[0; 500]),
        frame(0x80, &[0; 501])[..8].to_vec()
    ]));
    assert!(!over(&[frame(0x82, &[0; 1000])]));
    assert!(!over(&[frame(0x02, &[0; 500]), frame(0x80, &[0; 500])]));
}

#[test]
fn a_frame_longer_than_allowed_fails_the_connection() {
    let settings = Settings {
        frame_bytes: Some(100),
        ..Settings::default()
    };
    let good = [frame(0x02, &[0; 100]), frame(0x80, &[0; 100])].concat();
    let run = drive(&mut connect(settings.clone()), [&good[..]]);
    assert_eq!(messages(run), [('b', vec![0; 200])]);
    let run = drive(&mut connect(settings), [&frame(0x82, &[0; 101])[..6]]);
    assert!(matches!(&run.seen[..], [Event::Failed(violation)] if violation.code == CloseCode::TOO_BIG));
}

#[test]
fn what_is_dropped_while_we_close_may_be_of_any_length() {
    let settings = Settings {
        message_bytes: 100,
        frame_bytes: Some(100),
        ..Settings::default()
    };
    let (mut socket, mut output) = (connect(settings), Outbound::default());
    socket
        .close(CloseCode::NORMAL, "", Instant::now(), &mut output)
        .unwrap();
    let late = [frame(0x02, &[0; 101]), frame(0x80, &[0; 101]), frame(0x88, b"")].concat();
    assert_eq!(
        messages(drive(&mut socket, [&late[..]])),
        [('c', b"1005".to_vec())]
    );
}

#[test]
fn memory_follows_what_has_come_not_what_was_announced() {
    let mut socket = socket();
    let whole = frame(0x82, &vec![7; 1 << 20]);
    let (mut output, mut input) = (Outbound::default(), Inbound::new(&whole[..30_000]));
    assert_eq!(socket.receive(&mut input, &mut output), Event::Starved);
    let mut input = Inbound::new(&whole[30_000..]);
    let Event::Binary(bytes) = socket.receive(&mut input, &mut output) else {
        panic!("no message")
    };
    assert_eq!(
        (bytes.len(), bytes.capacity()),
        (1 << 20, 1 << 20),
        "and fits in the end"
    );
}

#[test]
fn an_idle_connection_is_small() {
    assert!(size_of::<WebSocket>() < 200, "{}", size_of::<WebSocket>());
}
