//! The other end: a client's handshake and frames, written down by hand.

#![allow(dead_code, reason = "each test file uses some of it")]

use std::sync::Arc;
use std::time::Instant;

use uwrs_api::Request;
use uwrs_websocket::{Handshake, Settings, WebSocket};

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A client's frame whose first byte is `first`.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&KEY);
    frame.extend(
        payload
            .iter()
            .zip(KEY.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    frame
}

/// A close frame's payload.
pub(crate) fn close_payload(code: u16, reason: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes(), reason].concat()
}

/// A connection without extensions.
pub(crate) fn connect(settings: Settings) -> WebSocket {
    WebSocket::new(Arc::new(settings), Instant::now())
}

/// A connection whose client offers `extensions`, and what these were answered with.
pub(crate) fn connect_with(extensions: &str, settings: Settings) -> (WebSocket, Option<String>) {
    let mut request = Request::default();
    request.method = request.text.push(b"GET");
    for (name, value) in [
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-version", "13"),
        ("sec-websocket-extensions", extensions),
    ] {
        let pair = (
            request.text.push(name.as_bytes()),
            request.text.push(value.as_bytes()),
        );
        request.fields.push(pair);
    }
    let handshake = Handshake::find(&request, &Arc::new(settings))
        .expect("asked for")
        .expect("valid");
    let head = handshake.head(None, []).expect("no subprotocol");
    let answer = head
        .fields()
        .find(|(name, _)| *name == b"Sec-WebSocket-Extensions");
    let answer = answer.map(|(_, value)| String::from_utf8_lossy(value).into_owned());
    (handshake.open(Instant::now()), answer)
}
