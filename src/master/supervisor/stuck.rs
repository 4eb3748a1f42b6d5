//! Workers with a request that is stuck (harakiri). Another takes over, and the stuck one is given a moment to finish what
//! else it has; then, or where no other comes up, it is killed.

use std::time::{Duration, Instant};

use log::Level;

use super::generation::{Occasion, SeatState};
use super::{Output, Phase, Supervisor, Urge};
use crate::sys::Pid;

impl Supervisor {
    /// A request of that worker is stuck. What can't be done now is done when that is said again.
    pub(super) fn stuck(&mut self, pid: Pid, grace: Duration, now: Instant) {
        if let Some(leaver) = self.leavers.iter_mut().find(|leaver| leaver.pid == pid) {
            if leaver.urge == Urge::Drain && now + grace < leaver.deadline {
                leaver.deadline = now + grace;
                leaver.mercy = grace;
            }
            return;
        }
        if self.phase != Phase::Running {
            return;
        }
        let Some(current) = self.current.as_mut() else {
            return;
        };
        let can_fork = current.mold.ready_id().is_some();
        let seat = current
            .seats
            .iter_mut()
            .find(|seat| matches!(seat.state, SeatState::Serving(sitter) if sitter.pid == pid));
        let Some(seat) = seat else { return };
        if let Some(successor) = &mut seat.successor {
            successor.occasion = Occasion::Stuck { grace };
            return;
        }
        if !can_fork {
            return;
        }
        let number = seat.number;
        seat.want_successor(Occasion::Stuck { grace }, Urge::Drain, now);
        self.log(
            Level::Info,
            format!("worker {number} (pid {pid}) is stuck and is replaced"),
        );
    }

    /// The one who was to take over from a stuck worker has not come up, for that `reason`.
    pub(super) fn kill_stuck(&mut self, number: usize, reason: &str) {
        let current = self.current.as_ref();
        let seat = current.and_then(|current| current.seats.iter().find(|seat| seat.number == number));
        let Some(sitter) = seat.and_then(|seat| seat.state.sitter()) else {
            return;
        };
        let pid = sitter.pid;
        self.log(
            Level::Error,
            format!("worker {number} (pid {pid}) is stuck and is killed; its successor: {reason}"),
        );
        self.outputs.push_back(Output::Leave {
            pid,
            urge: Urge::Kill,
        });
    }
}
