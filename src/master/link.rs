//! [`Link`]: the way to a mold, and to the workers it forked until they are ready.

use std::collections::VecDeque;
use std::io;

use super::supervisor::MoldId;
use crate::mold::{Channel, Request};
use crate::sys::Pid;

/// One mold's end of it, and what it has not been told yet.
pub(super) struct Link {
    pub(super) mold: MoldId,
    pub(super) channel: Channel,
    pub(super) pid: Pid,
    /// What the socket had no room for: it holds 278 messages where `net.core.wmem_default` is what it mostly is, and
    /// `processes` may be more.
    unsent: VecDeque<Request>,
}

impl Link {
    pub(super) fn new(mold: MoldId, channel: Channel, pid: Pid) -> Self {
        let unsent = VecDeque::new();
        Self {
            mold,
            channel,
            pid,
            unsent,
        }
    }

    /// Has `request` sent, behind all others, by [`Link::send`].
    pub(super) fn ask(&mut self, request: Request) {
        self.unsent.push_back(request);
    }

    /// Does something wait for the mold to read what it was sent before?
    pub(super) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Sends as much as the socket takes now. An error: nobody is there to read it.
    pub(super) fn send(&mut self) -> io::Result<()> {
        while let Some(request) = self.unsent.front() {
            match self.channel.ask(*request) {
                Ok(()) => drop(self.unsent.pop_front()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    self.unsent.clear();
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mold::Next;

    fn fork(ticket: u32) -> Request {
        Request::Fork {
            ticket,
            number: 1,
            slot: 0,
        }
    }

    #[test]
    fn a_mold_may_be_asked_for_more_workers_than_its_socket_holds() {
        let (here, there) = Channel::pair().unwrap();
        let mut link = Link::new(1, here, 1);
        (0..5_000).for_each(|ticket| link.ask(fork(ticket)));
        let mut heard = Vec::new();
        while heard.len() < 5_000 {
            link.send().unwrap();
            while let Next::Message(request) = there.next_request().unwrap() {
                heard.push(request);
            }
        }
        assert!(!link.has_unsent());
        assert!(heard.into_iter().eq((0..5_000).map(fork)));
    }

    #[test]
    fn a_mold_that_is_gone_is_an_error_and_nothing_waits_for_it() {
        let (here, there) = Channel::pair().unwrap();
        drop(there);
        let mut link = Link::new(1, here, 1);
        link.ask(fork(1));
        assert!(link.send().is_err());
        assert!(!link.has_unsent());
    }
}
