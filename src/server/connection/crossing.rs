//! A connection that goes from one worker to another, between two requests.

use super::Connection;
use crate::server::ferry::UNREAD_BYTES;

impl Connection {
    /// Is all that there is to know of it in its socket, and in [`Connection::unread`]?
    pub(crate) fn may_cross(&self) -> bool {
        self.is_idle() && self.streamed.is_none() && self.backlog.len() <= UNREAD_BYTES
    }

    /// What was received and not looked at.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.backlog
    }

    /// Comes from another worker, with what that had received.
    pub(crate) fn resume_with(&mut self, unread: Vec<u8>) {
        self.backlog = unread;
    }
}
