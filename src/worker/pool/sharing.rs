//! Who does which work while threads are attached to answers that they stream.

use std::io;
use std::time::Duration;

use crate::server::Work;

use super::super::roster::{Call, Role};
use super::Pool;
use super::member::Member;
use super::shift::{Duty, Shift};

/// A spare thread that has rested for so long ends.
pub(super) const REST: Duration = Duration::from_secs(30);

impl Shift {
    /// What a thread is to do where some are attached: work goes to those who may do it, in the order in which it waits, as
    /// long as there are places.
    pub(super) fn share_out(&mut self, member: &Member<'_>) -> io::Result<Duty> {
        let number = member.number;
        let now = self.worker.event_loop.now();
        if self.worker.event_loop.has_work() && self.roster.is_stale(now) {
            self.look_around(number)?;
            self.roster.set_attached(self.worker.event_loop.attached());
        }
        self.worker.event_loop.release_held();
        if self.roster.stop_expecting(number)
            && let Some(work) = self.first_work_for(number)
        {
            return Ok(self.begin(work, number));
        }
        let role = self.roster.role(number, self.worker.event_loop.has_work(), now);
        let mut place = 0;
        while let Some(owner) = self.worker.event_loop.owner_of_work(place) {
            if !self.roster.has_place(number) {
                break;
            }
            let is_any = owner.is_none() && role != Role::StandBy && self.roster.serves(number);
            if (owner == Some(number) || is_any)
                && let Some(work) = self.worker.event_loop.take_work_at(place, number)
            {
                return Ok(self.begin(work, number));
            }
            match owner.or_else(|| self.roster.first_to_serve()) {
                Some(other) => self.expect(other, member.pool),
                None => match self.roster.recruit() {
                    Some(recruit) => return Ok(Duty::Recruit(recruit)),
                    // Whoever may do it is on the way, or waits for events.
                    None if self.roster.is_polling() => self.worker.event_loop.rouse(),
                    None => {}
                },
            }
            place += 1;
        }
        let is_to_wait = role != Role::StandBy
            && !self.roster.is_polling()
            && !self.roster.is_minded()
            && self.roster.has_place(number);
        if is_to_wait && self.roster.serves(number) {
            return Ok(Duty::Wait(self.timeout(member)));
        }
        if is_to_wait {
            let Some(other) = self.roster.call() else {
                return Ok(Duty::Wait(self.timeout(member)));
            };
            member.pool.call(other);
        }
        if self.roster.is_nobodys()
            && let Some(minder) = self.roster.leave_to_minder()
        {
            member.pool.stations[minder].call(Call::Watch);
        }
        let has_rested = now.saturating_duration_since(member.worked) >= REST;
        Ok(match has_rested && self.roster.dismiss(number) {
            true => Duty::Leave,
            false => Duty::StandBy,
        })
    }

    fn first_work_for(&mut self, number: usize) -> Option<Work> {
        let event_loop = &mut self.worker.event_loop;
        let serves = self.roster.serves(number);
        let is_own = |owner: Option<usize>| owner.map_or(serves, |owner| owner == number);
        let mut place = 0;
        while !is_own(event_loop.owner_of_work(place)?) {
            place += 1;
        }
        event_loop.take_work_at(place, number)
    }

    /// Work waits for `other`.
    fn expect(&mut self, other: usize, pool: &Pool) {
        if self.roster.expect(other) {
            pool.call(other);
        } else if self.roster.is_polling() {
            self.worker.event_loop.rouse();
        }
    }
}
