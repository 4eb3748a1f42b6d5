//! A loop whose threads are all busy, and its connections: they cross to an idle worker by the [`Ferry`].
//!
//! Only connections between two requests cross. Those are the ones that are held, unread, while all threads are busy.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::time::Duration;

use uwrs_api::{Appetite, ConnectionInfo, Reply};

use super::admission::clear_of_standard;
use super::{Admission, EventLoop, FERRY};
use crate::config::ProtocolKind;
use crate::server::dispatch::{Unheard, gateway};
use crate::server::ferry::{Ferry, Passenger};
use crate::server::listener::{Speak, path_of};
use crate::server::services::Held;
use crate::server::stream::Stream;
use crate::sys;

/// Where requests are sent away, others may have become idle, or busy, after this time.
const LOOK_AT_OTHERS: Duration = Duration::from_millis(50);
/// Nobody was outside: how long until somebody looks again. To accept nothing costs the kernel a socket.
const GLANCE: Duration = Duration::from_millis(1);
/// Connections taken off the ferry at once: others are to have their share.
const TAKEN_AT_ONCE: usize = 4;
/// Connections sent off at once for every worker that is idle.
const SENT_AT_ONCE: usize = 8;
/// Connections that have come by ferry, may have been told to this worker alone and are passed on.
const PASSED_ON: usize = 64;

/// A worker's place at the ferry.
pub struct Landing {
    /// The ferry.
    pub ferry: Arc<Ferry>,
    /// Makes the server's side of a protocol.
    pub speak: fn(ProtocolKind) -> Speak,
    /// The host's name.
    pub server_name: Arc<str>,
}

impl EventLoop {
    /// Takes connections off the ferry from now on, and sends others by it when its threads are all busy.
    ///
    /// # Errors
    /// epoll refuses the descriptor.
    pub fn land(&mut self, landing: Landing) -> io::Result<()> {
        let (_, arrivals) = landing.ferry.ends();
        if self.admission == Admission::Open {
            sys::epoll_exclusive(self.poll.as_raw_fd(), arrivals.as_raw_fd(), FERRY as u64)?;
        }
        self.landing = Some(landing);
        Ok(())
    }

    /// All threads have been busy for a while: until [`EventLoop::unburden`], others are to take what comes.
    pub fn burden(&mut self) {
        if self.sends_away() {
            return self.listen_on();
        }
        if self.admission != Admission::Open {
            return;
        }
        self.stop_listening();
        self.admission = Admission::Burdened;
        self.services.slot.set_burdened(true);
        if self.landing.is_some() && self.services.slot.idle_others() > 0 {
            // What came before may have been told to this worker alone. Where nobody is idle it waits with the kernel, where
            // the backlog shows it, for whoever looks first when a thread comes back.
            for index in 0..self.listeners.len() {
                self.accept(index, super::ACCEPTS_A_TURN);
            }
            self.pass_on();
        }
    }

    /// What is too much is to hear so, where no other worker is idle, and not to wait in the backlog.
    fn sends_away(&self) -> bool {
        let services = &self.services;
        services.limits.concurrency.is_some()
            && !services.dispatch.is_minded()
            && services.slot.idle_others() == 0
    }

    fn listen_on(&mut self) {
        if self.admission == Admission::Burdened {
            self.start_listening();
        }
        if self.admission == Admission::Open {
            self.services.slot.set_burdened(true);
        }
    }

    /// While all threads are busy: how long until it is to be looked at again whether others are idle.
    pub fn next_burden(&self) -> Option<Duration> {
        self.services.limits.concurrency.map(|_| LOOK_AT_OTHERS)
    }

    /// A thread is idle, or so quick that it might as well be.
    pub fn unburden(&mut self) {
        if self.admission == Admission::Burdened {
            self.start_listening();
        }
        self.services.slot.set_burdened(false);
    }

    /// Where all workers are burdened somebody has to let newcomers in, too: one of each kind, at the end of the queue.
    pub fn glance_outside(&mut self) {
        let now = self.services.now();
        if self.admission != Admission::Burdened || now < self.next_glance {
            return;
        }
        let before = self.generation;
        for index in 0..self.listeners.len() {
            self.accept_some(index, 1, 1);
        }
        self.take_off_ferry(1);
        if self.generation == before {
            self.next_glance = now + GLANCE;
        }
    }

    /// The thread that the work is deferred for is blocked: the calling one minds the loop meanwhile, without the gateway.
    pub fn stand_in(&mut self) {
        self.services.dispatch.set_minded(true);
        self.burden();
    }

    /// That thread is back, and calls this, unless the loop was its own all the time.
    pub fn stand_back(&mut self) {
        if !self.services.dispatch.is_minded() {
            return;
        }
        self.services.dispatch.set_minded(false);
        self.unburden();
        if let Some(gateway) = gateway() {
            gateway.rest();
        }
        self.tell_unheard();
        self.release_held();
    }

    /// Tells the gateway what it could not be told.
    pub(super) fn tell_unheard(&mut self) {
        if !self.services.dispatch.has_unheard() {
            return;
        }
        for (id, unheard) in self.services.dispatch.take_unheard() {
            let appetite = self.services.dispatch.hear(id, unheard.to_heard());
            if matches!(unheard, Unheard::Body(_)) && appetite == Appetite::Hungry {
                // It had to look full.
                self.deliver(id, Reply::ReadOn);
            }
        }
    }

    /// Sends connections that wait for a thread to workers that are idle. `true`: some wait on, and may go when a worker
    /// becomes idle.
    pub fn send_across(&mut self) -> bool {
        if self.landing.is_none() || self.services.held.is_empty() {
            return false;
        }
        let idle = self.services.slot.idle_others();
        let mut room = SENT_AT_ONCE * idle;
        let mut wait_on = false;
        for _ in 0..self.services.held.len() {
            let Some(held) = self.services.held.pop_front() else {
                break;
            };
            match held {
                Held::Connection(slot) if self.may_cross(slot) => {
                    if room > 0 && self.send(slot) {
                        room -= 1;
                        continue;
                    }
                    wait_on = true;
                }
                Held::Connection(_) | Held::Listener(_) => {}
            }
            self.services.held.push_back(held);
        }
        wait_on
    }

    fn may_cross(&self, slot: usize) -> bool {
        let entry = self.connections.get(slot);
        entry.is_some_and(|entry| entry.origin.is_some() && entry.connection.may_cross())
    }

    /// `false`: it stays.
    fn send(&mut self, slot: usize) -> bool {
        let (Some(landing), Some(entry)) = (&self.landing, self.connections.get_mut(slot)) else {
            return false;
        };
        let Some(origin) = entry.origin else { return false };
        let connection = &mut entry.connection;
        let sent = landing
            .ferry
            .send(connection.stream().as_fd(), origin, connection.unread());
        if let Err(error) = sent {
            log::debug!("a connection could not be sent to another worker: {error}");
            return false;
        }
        // Closing it here is not enough: it is open elsewhere, and epoll would go on to tell of it.
        if let Err(error) = connection.stream_mut().deregister(self.poll.registry()) {
            log::debug!("a connection that was sent to another worker: {error}");
        }
        self.schedule.moved(slot);
        self.connections.remove(slot);
        self.services.slot.closed();
        true
    }

    /// Someone has arrived by ferry.
    pub(super) fn meet_ferry(&mut self) {
        self.take_off_ferry(TAKEN_AT_ONCE);
    }

    /// Takes at most so many connections off the ferry.
    pub(super) fn take_off_ferry(&mut self, most: usize) {
        for _ in 0..most {
            let Some(landing) = &self.landing else { return };
            match landing.ferry.take(&mut self.services.scratch) {
                Ok(Some(passenger)) => self.board(passenger),
                Ok(None) => return,
                Err(error) if error.kind() == ErrorKind::InvalidData => {
                    log::error!("a connection from another worker is lost: {error}");
                }
                Err(error) => return log::error!("no connection can be taken from other workers: {error}"),
            }
        }
    }

    fn board(&mut self, passenger: Passenger) {
        let Some(landing) = &self.landing else { return };
        let Passenger {
            stream,
            origin,
            unread,
        } = passenger;
        let Ok(stream) = clear_of_standard(Stream::adopt(stream, origin.port.is_some())) else {
            return log::error!("a connection from another worker is lost: out of descriptors");
        };
        let Some(peer) = stream.peer() else {
            return log::debug!("a connection from another worker was over when it arrived");
        };
        let info = ConnectionInfo {
            socket_path: path_of(&stream),
            peer,
            server_name: Arc::clone(&landing.server_name),
            server_port: origin
                .port
                .map(|port| port.to_string())
                .unwrap_or_default()
                .into(),
            tls: false,
        };
        let protocol = (landing.speak)(origin.protocol)(&self.services.limits);
        self.admit(stream, protocol, Arc::new(info), Some(origin), unread);
    }

    /// What is on the ferry may have been told to this worker alone: sent anew, it is told to others as well.
    fn pass_on(&mut self) {
        let Some(landing) = &self.landing else { return };
        let ferry = Arc::clone(&landing.ferry);
        let taken: Vec<Passenger> =
            std::iter::from_fn(|| ferry.take(&mut self.services.scratch).ok().flatten())
                .take(PASSED_ON)
                .collect();
        for passenger in taken {
            let Passenger {
                stream,
                origin,
                unread,
            } = &passenger;
            if ferry.send(stream.as_fd(), *origin, unread).is_err() {
                self.board(passenger);
            }
        }
    }

    /// A last look before the worker goes: what nobody has taken from the ferry is served here. `true`: there was something.
    pub fn look_back(&mut self) -> bool {
        let before = self.connections.len();
        self.take_off_ferry(super::ACCEPTS_A_TURN);
        self.connections.len() > before
    }

    pub(super) fn leave_ferry(&self) {
        if let Some(landing) = &self.landing
            && let Err(error) = sys::epoll_remove(self.poll.as_raw_fd(), landing.ferry.ends().1.as_raw_fd())
        {
            log::error!("the ferry could not be left: {error}");
        }
    }

    pub(super) fn return_to_ferry(&self) {
        if let Some(landing) = &self.landing
            && let Err(error) = sys::epoll_exclusive(
                self.poll.as_raw_fd(),
                landing.ferry.ends().1.as_raw_fd(),
                FERRY as u64,
            )
        {
            log::error!("the ferry could not be watched again: {error}");
        }
    }
}
