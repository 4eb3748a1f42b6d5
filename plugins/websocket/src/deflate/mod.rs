//! permessage-deflate (RFC 7692): compression of each message by itself, or with what went before it in view.
//!
//! A compressor takes 300 KiB, most of it tables that are of no use between two messages. So a thread has one, and one
//! of what inflates, and a connection keeps nothing but a [`History`]: the end of what went before, which is given to
//! them as a dictionary when its next message comes. What goes over the wire is the same.

mod agreement;
mod compress;
mod history;
mod inflate;

pub(crate) use agreement::Agreement;
pub(crate) use inflate::Inflating;

use self::history::History;

/// Whether and how messages are compressed, where the client wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeflateSettings {
    /// Bytes that a message must have to be compressed on its way out. Short ones gain nothing: they fit a packet.
    pub min_bytes: usize,
    /// Effort, 1 to 9.
    pub level: u8,
    /// May what is sent refer to messages before it?
    pub server_takeover: bool,
    /// May what is received refer to messages before it?
    pub client_takeover: bool,
    /// How far back what is sent may refer, 9 to 15: a power of two, bytes.
    pub server_window_bits: u8,
    /// The same for what is received, 8 to 15, of clients that let themselves be told. Others may go back 32 KiB.
    pub client_window_bits: u8,
    /// Bytes of earlier messages that are kept to refer to in what is sent; never more than the window.
    pub history_bytes: usize,
}

impl Default for DeflateSettings {
    /// At most 4 KiB are kept in each direction. Level 2 compresses nearly as well as 6 in half the time.
    fn default() -> Self {
        Self {
            min_bytes: 1024,
            level: 2,
            server_takeover: true,
            client_takeover: true,
            server_window_bits: 15,
            client_window_bits: 12,
            history_bytes: 4096,
        }
    }
}

/// A connection's share in compression.
#[derive(Debug)]
pub(crate) struct Deflate {
    received: History,
    sent: History,
    min_bytes: usize,
    level: u8,
    window_bits: u8,
}

impl Deflate {
    /// As agreed on with the client.
    pub(crate) fn new(agreement: Agreement, settings: &DeflateSettings) -> Self {
        let window = |bits: u8, takeover: bool| if takeover { 1 << bits } else { 0 };
        let sent = window(agreement.server_window_bits, agreement.server_takeover);
        Self {
            received: History::new(window(agreement.client_window_bits, agreement.client_takeover)),
            sent: History::new(sent.min(settings.history_bytes)),
            min_bytes: settings.min_bytes,
            level: settings.level,
            window_bits: agreement.server_window_bits,
        }
    }

    /// `message` compressed; `None` where it is too short, or would not become shorter.
    pub(crate) fn compress(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        if message.len() < self.min_bytes.max(1) {
            return None;
        }
        let compressed = compress::compress(message, self.sent.as_bytes(), self.level, self.window_bits)?;
        // What is sent as it is, no later message may refer to.
        self.sent.push(message);
        Some(compressed)
    }
}
