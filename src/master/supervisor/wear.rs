//! Wear: workers that have reached a limit. Another takes over from each, one at a time, unless it is too late for that.

use std::time::{Duration, Instant};

use log::Level;

use super::generation::{Occasion, SeatState};
use super::{Output, Phase, Supervisor, Urge};
use crate::sys::{Ending, Pid, Signal};

/// How long nobody is replaced after a successor that did not come up.
pub(super) const WEAR_PAUSE: Duration = Duration::from_secs(30);

impl Supervisor {
    /// A worker is worn. Nothing happens while another one is being replaced, or leaves: its turn comes when that is
    /// said again.
    pub(super) fn worn(&mut self, pid: Pid, reason: &str, now: Instant) {
        if self.phase != Phase::Running || self.next.is_some() {
            return;
        }
        let Some(current) = self.current.as_mut() else {
            return;
        };
        let leaves = self
            .leavers
            .iter()
            .any(|leaver| leaver.generation == current.id && !leaver.is_mold());
        let is_relieved = current.seats.iter().any(|seat| seat.successor.is_some());
        let can_fork = current.mold.ready_id().is_some();
        if leaves || is_relieved || !can_fork || now < current.no_wear_before {
            return;
        }
        let seat = current
            .seats
            .iter_mut()
            .find(|seat| matches!(seat.state, SeatState::Serving(sitter) if sitter.pid == pid));
        let Some(seat) = seat else { return };
        let number = seat.number;
        seat.want_successor(Occasion::Wear, Urge::Drain, now);
        self.log(
            Level::Info,
            format!("worker {number} (pid {pid}) {reason} and is replaced"),
        );
    }

    /// A worker must not live any longer; its death brings everything else about, and is what is logged.
    pub(super) fn deadly(&mut self, pid: Pid, reason: &str) {
        let is_known = self.workers().any(|worker| worker.pid == pid);
        if !is_known || self.condemned.iter().any(|(condemned, _)| *condemned == pid) {
            return;
        }
        self.condemned.push((pid, reason.to_owned()));
        self.outputs.push_back(Output::Leave {
            pid,
            urge: Urge::Kill,
        });
    }

    /// How a worker ended: `was killed by SIGSEGV`, or `has 190 MB of memory resident (evil-reload-on-rss = 150) and was
    /// killed`: nobody is to look for someone else who might have done that.
    pub(super) fn how_it_ended(&mut self, pid: Pid, ending: Ending) -> String {
        let index = self.condemned.iter().position(|(condemned, _)| *condemned == pid);
        let reason = index.map(|index| self.condemned.swap_remove(index).1);
        match reason {
            Some(reason) if ending.is_by(Signal::SIGKILL) => format!("{reason} and was killed"),
            _ => ending.to_string(),
        }
    }

    /// A successor did not come up: the next attempt is to wait.
    pub(super) fn put_off_wear(&mut self, now: Instant) {
        if let Some(current) = &mut self.current {
            current.no_wear_before = now + WEAR_PAUSE;
        }
    }
}
