//! The door: who is let in, who makes room for them, and when it is shut.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::Token;
use uwrs_api::{ConnectionInfo, Protocol};

use super::{ACCEPTS_A_TURN, Admission, Entry, EventLoop, FIRST_LISTENER};
use crate::logging;
use crate::server::connection::{Connection, Verdict};
use crate::server::ferry::Origin;
use crate::server::idle::Idler;
use crate::server::services::Held;
use crate::server::stream::Stream;
use crate::sys;

/// Out of descriptors: how long until accepting is tried again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// Out of descriptors: so many idle connections go at once, so that the application can open files as well.
const EXHAUSTION_ROOM: usize = 8;
/// No room for connections: how long until it is said again.
const EXHAUSTION_REMINDER: Duration = Duration::from_secs(10);

impl EventLoop {
    /// Someone waits at a listener.
    pub(super) fn answer_door(&mut self, index: usize) {
        if !self.services.dispatch.is_full() {
            return self.accept(index, 0);
        }
        // Those that are too many are to hear so.
        if self.services.limits.concurrency.is_some() && self.services.slot.idle_others() == 0 {
            return self.accept(index, ACCEPTS_A_TURN);
        }
        // Other workers may have room. If not, it has its turn.
        if let Some(listener) = self.listeners.get_mut(index)
            && !std::mem::replace(&mut listener.is_held, true)
        {
            self.services.held.push_back(Held::Listener(index));
        }
    }

    /// Accepts what waits at a listener, serving each connection before the next is accepted: `least` of them, and
    /// more as long as there is room for their requests.
    pub(super) fn accept(&mut self, index: usize, least: usize) {
        self.accept_some(index, least, ACCEPTS_A_TURN);
    }

    /// The same, and at most so many.
    pub(super) fn accept_some(&mut self, index: usize, least: usize, most: usize) {
        let mut has_failed = false;
        for count in 0..most {
            if count >= least && self.services.dispatch.is_full() {
                return;
            }
            if self.services.is_sated() && self.admission == Admission::Open {
                return self.sated();
            }
            let displaced = match self.capacity.has_room(self.connections.len()) {
                true => None,
                false => match self.oldest_idle() {
                    Some(idler) => Some(idler),
                    None if self.admission == Admission::Closed => None,
                    None => return self.full(),
                },
            };
            let Some(listener) = self.listeners.get(index) else {
                return;
            };
            let accepted = listener.accept();
            let accepted = accepted.and_then(|(stream, info)| Ok((clear_of_standard(stream)?, info)));
            match accepted {
                Ok((stream, info)) => {
                    has_failed = false;
                    self.capacity
                        .note(stream.as_fd().as_raw_fd(), self.connections.len());
                    let (protocol, origin) = (listener.speak(&self.services.limits), listener.origin());
                    if let Some(idler) = displaced {
                        self.displace(idler);
                    }
                    self.admit(stream, protocol, info, origin, Vec::new());
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.idle.put_back(displaced);
                    return;
                }
                Err(error) if is_exhaustion(&error) => {
                    // The kernel looks for a descriptor first, and then whether anyone waits.
                    if !listener.has_visitors() {
                        self.idle.put_back(displaced);
                        return;
                    }
                    // Once more if there are some that can go; but it may be the machine that is out of them.
                    if std::mem::replace(&mut has_failed, true) || !self.displace_some() {
                        return self.exhausted(&error);
                    }
                }
                // One connection that went wrong before it was taken (ECONNABORTED, EPROTO, …).
                Err(error) => log::debug!("accept: {error}"),
            }
        }
    }

    /// Since when the connection in that place has been idle, if it is.
    pub(super) fn idle_since(&self, slot: usize) -> Option<Instant> {
        self.connections.get(slot)?.connection.idle_since()
    }

    /// The connection that has been idle for longest.
    pub(super) fn oldest_idle(&mut self) -> Option<Idler> {
        let mut idle = std::mem::take(&mut self.idle);
        let all = || {
            self.connections.iter().filter_map(|(slot, entry)| {
                let since = entry.connection.idle_since()?;
                Some(Idler { since, slot })
            })
        };
        let oldest = idle.take_oldest(|slot| self.idle_since(slot), all);
        self.idle = idle;
        oldest
    }

    /// Closes an idle connection to make room, unless its client speaks in this very moment.
    pub(super) fn displace(&mut self, idler: Idler) {
        let Some(entry) = self.connections.get_mut(idler.slot) else {
            return;
        };
        let verdict = entry.connection.look_again(&mut self.services);
        self.settle(idler.slot, verdict);
        if self.idle_since(idler.slot) == Some(idler.since) {
            self.settle(idler.slot, Verdict::Close);
        }
    }

    /// Closes a few that are idle. `false`: none was.
    pub(super) fn displace_some(&mut self) -> bool {
        let before = self.connections.len();
        for _ in 0..EXHAUSTION_ROOM {
            let Some(idler) = self.oldest_idle() else {
                break;
            };
            self.displace(idler);
        }
        self.connections.len() < before
    }

    /// Takes a connection, of which `unread` has been received.
    pub(super) fn admit(
        &mut self,
        stream: Stream,
        protocol: Box<dyn Protocol>,
        info: Arc<ConnectionInfo>,
        origin: Option<Origin>,
        unread: Vec<u8>,
    ) {
        let entry = self.connections.vacant_entry();
        let slot = entry.key();
        self.generation = self.generation.wrapping_add(1).max(1);
        let now = self.services.now();
        let mut connection = Connection::new(stream, protocol, info, slot as u32, now);
        connection.resume_with(unread);
        entry.insert(Entry {
            generation: self.generation,
            origin,
            connection,
        });
        self.services.slot.accepted(self.services.clock.shared());
        self.welcome(slot);
    }

    /// The first step of a new connection. Most bring their request along, many are over with its answer: the
    /// kernel is asked to watch those that remain.
    pub(super) fn welcome(&mut self, slot: usize) {
        let Some(entry) = self.connections.get_mut(slot) else {
            return;
        };
        if self.admission == Admission::Closed {
            entry.connection.drain(&mut self.services);
        }
        let verdict = entry.connection.advance(&mut self.services);
        if verdict != Verdict::Close {
            let token = Token((entry.generation as usize) << 32 | slot);
            if let Err(error) = entry
                .connection
                .stream_mut()
                .register(self.poll.registry(), token)
            {
                log::error!("a connection could not be watched and is closed: {error}");
                return self.settle(slot, Verdict::Close);
            }
        }
        self.settle(slot, verdict);
    }

    /// Everyone who is here is busy: others wait until one leaves or has nothing to say.
    pub(super) fn full(&mut self) {
        if self.is_time_to_complain() {
            log::warn!(
                "all of {} connections are busy: more wait to be accepted (raise max-connections or max-fd, or have \
                 more processes)",
                self.capacity.most()
            );
        }
        self.stop_listening();
        self.admission = Admission::Full;
    }

    /// It has enough to do: others take what comes, or it waits in the backlog.
    fn sated(&mut self) {
        self.stop_listening();
        self.admission = Admission::Sated;
        self.services.slot.set_burdened(true);
        log::debug!("no connections are accepted until there is less to do (backpressure)");
    }

    /// It accepts again, once it has less to do.
    pub(super) fn accept_again(&mut self) {
        if self.admission == Admission::Sated && self.services.has_appetite() {
            self.services.slot.set_burdened(false);
            self.start_listening();
        }
    }

    /// Out of descriptors: epoll would report the listener again and again, so it is not watched for a while.
    pub(super) fn exhausted(&mut self, error: &io::Error) {
        if self.is_time_to_complain() {
            log::error!(
                "no connection can be accepted: {error}; {} are open; trying again every {} ms (raise max-fd or \
                 ulimit -n)",
                self.connections.len(),
                ACCEPT_PAUSE.as_millis()
            );
        }
        self.stop_listening();
        self.admission = Admission::Exhausted(self.services.now() + ACCEPT_PAUSE);
    }

    pub(super) fn is_time_to_complain(&mut self) -> bool {
        let now = self.services.now();
        let is_time = self.next_complaint.is_none_or(|at| now >= at);
        if is_time {
            self.next_complaint = Some(now + EXHAUSTION_REMINDER);
        }
        is_time
    }

    pub(super) fn stop_listening(&mut self) {
        if self.admission != Admission::Open {
            return;
        }
        for listener in &self.listeners {
            if let Err(error) = sys::epoll_remove(self.poll.as_raw_fd(), listener.as_fd().as_raw_fd()) {
                log::error!("a listener could not be left: {error}");
            }
        }
        self.leave_ferry();
    }

    pub(super) fn start_listening(&mut self) {
        for (index, listener) in self.listeners.iter().enumerate() {
            let token = FIRST_LISTENER + index;
            if let Err(error) =
                sys::epoll_exclusive(self.poll.as_raw_fd(), listener.as_fd().as_raw_fd(), token as u64)
            {
                log::error!("a listener could not be watched again: {error}");
            }
        }
        self.return_to_ferry();
        self.admission = Admission::Open;
    }
}

/// Is the process or the machine out of descriptors or socket memory?
fn is_exhaustion(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
    )
}

/// A stream that has the number of a standard descriptor, which the application has closed, gets another, and the
/// descriptor leads again where it did: else the client would be sent the log.
pub(super) fn clear_of_standard(stream: Stream) -> io::Result<Stream> {
    if !stream.is_astray() {
        return Ok(stream);
    }
    let stream = stream.moved()?;
    logging::mend();
    Ok(stream)
}
