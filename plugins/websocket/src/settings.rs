//! [`Settings`]: what a server allows its WebSockets.

/// Limits and habits, the same for every connection of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Bytes that a message may have, all its fragments together. Nothing is allocated for what is longer.
    pub message_bytes: usize,
    /// Bytes that a frame's payload may have on the wire; `None`: as many as the message.
    pub frame_bytes: Option<u64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            message_bytes: 16 * 1024 * 1024,
            frame_bytes: None,
        }
    }
}
