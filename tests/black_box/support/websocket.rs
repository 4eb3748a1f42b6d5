//! A WebSocket client of the plainest kind: texts, one at a time, nothing forgiven.

use std::io;

use super::client::{Connection, broken};

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;

/// What the server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Text(String),
    /// It closes, with this code.
    Close(u16),
}

/// An open WebSocket.
pub(crate) struct WebSocket(Connection);

impl WebSocket {
    /// Asks for one, which must be granted.
    pub(crate) fn open(connection: Connection, target: &str) -> Self {
        Self::try_open(connection, target).unwrap()
    }

    /// Asks for one; an error where it is not granted.
    pub(crate) fn try_open(mut connection: Connection, target: &str) -> io::Result<Self> {
        connection.try_send(format!(
            "GET {target} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        ))?;
        match connection.head()?.status {
            101 => Ok(Self(connection)),
            status => Err(io::Error::other(format!("answered with {status}"))),
        }
    }

    /// Says something.
    pub(crate) fn try_say(&mut self, text: &str) -> io::Result<()> {
        self.0.try_send(frame(TEXT, text.as_bytes()))
    }

    /// Hears the next thing.
    pub(crate) fn try_hear(&mut self) -> io::Result<Said> {
        let mut header = [0; 2];
        self.0.try_read_exact(&mut header)?;
        let [first, length] = header;
        let mut more = match length {
            127 => vec![0; 8],
            126 => vec![0; 2],
            _ => Vec::new(),
        };
        self.0.try_read_exact(&mut more)?;
        let length = match more.is_empty() {
            true => usize::from(length),
            false => more
                .iter()
                .fold(0, |length, &byte| length << 8 | usize::from(byte)),
        };
        let mut payload = vec![0; length];
        self.0.try_read_exact(&mut payload)?;
        match (first, payload.as_slice()) {
            (TEXT, text) => String::from_utf8(text.to_vec())
                .map(Said::Text)
                .map_err(|_| broken("text")),
            (CLOSE, [high, low, ..]) => Ok(Said::Close(u16::from_be_bytes([*high, *low]))),
            _ => Err(broken("frame")),
        }
    }

    /// Says something and hears the next thing.
    pub(crate) fn try_ask(&mut self, text: &str) -> io::Result<Said> {
        self.try_say(text)?;
        self.try_hear()
    }

    /// Says something, which must come back.
    pub(crate) fn echo(&mut self, text: &str) {
        assert_eq!(self.try_ask(text).unwrap(), Said::Text(text.to_owned()));
    }

    /// Says goodbye.
    pub(crate) fn close(&mut self, code: u16) {
        self.0.send(frame(CLOSE, &code.to_be_bytes()));
    }

    /// Answers the server's goodbye; it must close then, and not by a reset, which might have taken something with it.
    pub(crate) fn part(mut self, code: u16) -> io::Result<()> {
        self.0.try_send(frame(CLOSE, &code.to_be_bytes()))?;
        match self.0.rest_until_end()?.is_empty() {
            true => Ok(()),
            false => Err(broken("end")),
        }
    }

    /// The bytes beneath.
    pub(crate) fn into_connection(self) -> Connection {
        self.0
    }
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | length as u8),
        length => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(
        payload
            .iter()
            .zip(MASK.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    frame
}
