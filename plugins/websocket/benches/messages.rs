//! What a message costs, in and back out: no sockets, no interpreter.
//! `cargo bench -p uwrs-websocket [-- NAME [ROUNDS]]`; under `perf stat -e instructions:u`, twice with other ROUNDS, the
//! difference is the instructions of so many messages.

use std::env;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use uwrs_api::{Bytes, Inbound, Outbound};
use uwrs_websocket::{Event, MessageKind, Settings, WebSocket};

/// What a socket gives at a time.
const READ: usize = 64 * 1024;

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let key = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            frame.push(0xfe);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(0xff);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend(key);
    frame.extend(
        payload
            .iter()
            .zip(key.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    frame
}

/// Receives `frame`, as a socket would give it, and sends the message back.
fn echo(socket: &mut WebSocket, frame: &[u8], output: &mut Outbound) {
    for piece in frame.chunks(READ) {
        let mut input = Inbound::new(black_box(piece));
        loop {
            let (kind, bytes) = match socket.receive(&mut input, output) {
                Event::Text(text) => (MessageKind::Text, text.into_bytes()),
                Event::Binary(bytes) => (MessageKind::Binary, bytes),
                _ => break,
            };
            socket
                .send_shared(kind, Bytes::from(bytes), output)
                .expect("it is open");
        }
    }
    black_box(output.len());
    output.reset(READ);
}

fn main() {
    let mut arguments = env::args().skip(1).filter(|argument| argument != "--bench");
    let (only, rounds) = (arguments.next(), arguments.next());
    let cjk = "日本語の文章".repeat(100_000);
    for (name, first, payload) in [
        ("binary-32", 0x82, &[b'x'; 32][..]),
        ("text-32", 0x81, &[b'x'; 32]),
        ("text-1k", 0x81, &[b'x'; 1024]),
        ("binary-1m", 0x82, &vec![b'x'; 1 << 20]),
        ("text-1m", 0x81, &vec![b'x'; 1 << 20]),
        ("cjk-1m", 0x81, &cjk.as_bytes()[..1_048_575]),
    ] {
        if only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        let default = (200_000_000 / (payload.len() + 200)).clamp(200, 2_000_000);
        let rounds = rounds
            .as_ref()
            .and_then(|rounds| rounds.parse().ok())
            .unwrap_or(default);
        let mut socket = WebSocket::new(Arc::new(Settings::default()), Instant::now());
        let (frame, mut output) = (frame(first, payload), Outbound::default());
        let begin = Instant::now();
        for _ in 0..rounds {
            echo(&mut socket, &frame, &mut output);
        }
        println!(
            "{name}: {:.0} ns",
            begin.elapsed().as_nanos() as f64 / rounds as f64
        );
    }
}
