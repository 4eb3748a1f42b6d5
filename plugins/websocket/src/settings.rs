//! [`Settings`]: what a server allows its WebSockets.

use std::time::Duration;

use crate::DeflateSettings;

/// Limits and habits, the same for every connection of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Bytes that a message may have, all its fragments together. Nothing is allocated for what is longer.
    pub message_bytes: usize,
    /// Bytes that a frame's payload may have on the wire; `None`: as many as the message.
    pub frame_bytes: Option<u64>,
    /// Compression; `None`: what clients offer is declined.
    pub deflate: Option<DeflateSettings>,
    /// How long after the last one a ping is sent; `None`: none is.
    pub ping_interval: Option<Duration>,
    /// How long after a ping nothing may come before the peer is given up.
    pub ping_timeout: Duration,
    /// How long the peer may take to answer a close frame.
    pub close_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            message_bytes: 16 * 1024 * 1024,
            frame_bytes: None,
            deflate: Some(DeflateSettings::default()),
            ping_interval: Some(Duration::from_secs(20)),
            ping_timeout: Duration::from_secs(20),
            close_timeout: Duration::from_secs(10),
        }
    }
}
