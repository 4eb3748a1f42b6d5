//! What gateways have left in the mailbox, on its way to the connections that it is for.

use std::time::Duration;

use uwrs_api::{Delivered, ExchangeId, Reply, ReplyBody};

use super::EventLoop;
use crate::server::connection::Sending;

impl EventLoop {
    /// Sends what was left for the exchange `id`, and whatever else was left, outside of a turn.
    pub fn deliver_now(&mut self, id: ExchangeId) -> Delivered {
        self.services.clock.update();
        self.deliver_mail();
        self.accept_again();
        if !self.ready.is_empty() {
            self.rouse();
        }
        let entry = self.connections.get(id.slot as usize);
        entry.map_or(Delivered::Gone, |entry| entry.connection.delivered(id))
    }

    /// Sends what was left for the exchange `id`, which a thread without the loop has in hand. `is_writable`: it has found
    /// that the client has room again.
    pub(crate) fn send_now(&mut self, id: ExchangeId, is_writable: bool) -> Sending {
        self.services.clock.update();
        self.deliver_mail();
        let slot = id.slot as usize;
        if is_writable && let Some(entry) = self.connections.get_mut(slot) {
            entry.connection.note_writable(&mut self.services);
            self.advance(slot);
        }
        if !self.ready.is_empty() {
            self.rouse();
        }
        let entry = self.connections.get(slot);
        entry.map_or(Sending::Gone, |entry| entry.connection.sending(id))
    }

    /// How long a client may take nothing of what is sent to it.
    pub(crate) fn patience_of_sending(&self) -> Duration {
        self.services.limits.send_timeout
    }

    pub(super) fn deliver_mail(&mut self) {
        let mut replies = std::mem::take(&mut self.replies);
        self.services.mailbox.take_all(&mut replies);
        for (id, reply) in replies.drain(..) {
            self.deliver(id, reply);
        }
        self.replies = replies;
    }

    pub(super) fn deliver(&mut self, id: ExchangeId, reply: Reply) {
        let slot = id.slot as usize;
        let entry = self.connections.get_mut(slot);
        match entry.filter(|entry| entry.connection.awaits_reply(id)) {
            Some(entry) => {
                let verdict = entry.connection.deliver(reply, &mut self.services);
                self.settle(slot, verdict);
            }
            None => self.drop_reply(id, reply),
        }
    }

    /// Drops a reply whose client is gone.
    pub(super) fn drop_reply(&mut self, id: ExchangeId, reply: Reply) {
        let is_told = self.services.told.contains(&id);
        let is_given_up = reply.is_last() && self.end_stray(id);
        let status = match &reply {
            Reply::Interim(_)
            | Reply::Piece(_)
            | Reply::End
            | Reply::Trailers(_)
            | Reply::Break
            | Reply::ReadOn
            | Reply::AskForRoom => return,
            Reply::Response { head, .. } | Reply::Switch(head) => Some(head.status),
            Reply::Abort if is_given_up => None,
            Reply::Abort => {
                self.services.slot.exception();
                Some(500)
            }
            // It was told when its client went.
            Reply::Rest(_) => None,
        };
        // One that was answered in the application's stead is counted already.
        if let Some(status) = status
            && !is_told
            && !is_given_up
        {
            self.services.slot.end(status, 0);
        }
        let (Reply::Response { body, .. } | Reply::Rest(body)) = reply else {
            return;
        };
        let dispatch = &mut self.services.dispatch;
        match body {
            ReplyBody::Source { rest, .. } => dispatch.discard_unbegun(id, rest),
            ReplyBody::File {
                owner: Some(owner), ..
            } => dispatch.discard_source(owner, None),
            _ => {}
        }
    }
}
