//! `cheaper-algo = busyness`: by the part of their time for which workers are busy, over windows of some seconds.
//!
//! Above the upper mark there are more at once. Below the lower one for several windows in a row there is one less;
//! where that turns out to have been too early, because more are needed soon after, the next time takes longer. What
//! waits to be accepted is an alarm: it does not wait for the end of a window, and workers who came for it may go
//! sooner.

use super::{Change, Measured, connections};
use crate::config::Busyness;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BusynessState {
    /// Seconds of the window so far, and the sum of what they brought.
    seconds: u32,
    sum: u32,
    /// Windows in a row below the lower mark.
    low: u32,
    /// So many of them make a worker leave now.
    patience: u32,
    /// Windows since a worker was stopped.
    since_stop: Option<u32>,
    /// Workers who came because of an alarm, and are still there.
    alarmed: usize,
    /// Seconds for which something has waited.
    waiting: u32,
}

impl BusynessState {
    pub(super) fn new(patience: u32) -> Self {
        Self {
            seconds: 0,
            sum: 0,
            low: 0,
            patience,
            since_stop: None,
            alarmed: 0,
            waiting: 0,
        }
    }

    /// What to change, and what was seen: at the end of a window, and when something has waited.
    pub(super) fn decide(
        &mut self,
        settings: &Busyness,
        step: usize,
        measured: Measured,
    ) -> (Change, Option<String>) {
        self.seconds += 1;
        self.sum += measured.busyness;
        self.waiting = if measured.waiting > 0 { self.waiting + 1 } else { 0 };
        if measured.waiting >= settings.backlog_alert || self.waiting >= settings.backlog_nonzero {
            self.waiting = 0;
            self.low = 0;
            self.alarmed += settings.backlog_step;
            let remark = connections(measured.waiting);
            return (Change::More(settings.backlog_step), Some(remark));
        }
        if self.seconds < settings.window {
            return (Change::Stay, None);
        }
        let busyness = self.sum / self.seconds;
        (self.seconds, self.sum) = (0, 0);
        let change = self.at_end_of_window(settings, step, busyness);
        let remark = format!("busy for {busyness} % of the time");
        (change, Some(remark))
    }

    fn at_end_of_window(&mut self, settings: &Busyness, step: usize, busyness: u32) -> Change {
        self.since_stop = self.since_stop.map(|windows| windows + 1);
        if busyness > settings.most {
            self.low = 0;
            if self
                .since_stop
                .take()
                .is_some_and(|windows| windows <= self.patience)
            {
                self.patience = self.patience.saturating_add(settings.penalty);
            }
            return Change::More(step);
        }
        if self.since_stop.is_some_and(|windows| windows > 2 * self.patience) {
            // It was not missed.
            self.since_stop = None;
            self.patience = settings.multiplier;
        }
        if busyness >= settings.least {
            self.low = 0;
            return Change::Stay;
        }
        self.low += 1;
        let patience = if self.alarmed > 0 {
            settings.backlog_multiplier.min(self.patience)
        } else {
            self.patience
        };
        if self.low < patience {
            return Change::Stay;
        }
        self.low = 0;
        if self.alarmed > 0 {
            self.alarmed -= 1;
        } else {
            self.since_stop = Some(0);
        }
        Change::Fewer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Change::{Fewer, More, Stay};

    const SETTINGS: Busyness = Busyness {
        window: 2,
        most: 50,
        least: 25,
        multiplier: 3,
        penalty: 2,
        backlog_alert: 33,
        backlog_step: 2,
        backlog_multiplier: 1,
        backlog_nonzero: 5,
        verbose: false,
    };

    fn second(busyness: u32, waiting: u32) -> Measured {
        Measured {
            busyness,
            waiting,
            ..Measured::default()
        }
    }

    fn decide(state: &mut BusynessState, busyness: u32, waiting: u32) -> Change {
        state.decide(&SETTINGS, 1, second(busyness, waiting)).0
    }

    /// What is decided at the ends of windows in which workers are busy for so many per cent.
    fn windows(state: &mut BusynessState, busyness: &[u32]) -> Vec<Change> {
        let window = |busyness: &u32| {
            assert_eq!(decide(state, *busyness, 0), Stay);
            decide(state, *busyness, 0)
        };
        busyness.iter().map(window).collect()
    }

    #[test]
    fn above_the_upper_mark_there_are_more_and_between_the_marks_nothing_changes() {
        let mut state = BusynessState::new(SETTINGS.multiplier);
        assert_eq!(
            windows(&mut state, &[51, 50, 25, 100, 100]),
            [More(1), Stay, Stay, More(1), More(1)]
        );
        // The mean counts.
        assert_eq!(decide(&mut state, 90, 0), Stay);
        assert_eq!(decide(&mut state, 10, 0), Stay);
    }

    #[test]
    fn below_the_lower_mark_one_leaves_after_some_windows_in_a_row() {
        let mut state = BusynessState::new(SETTINGS.multiplier);
        assert_eq!(
            windows(&mut state, &[24, 0, 0, 0, 0, 0]),
            [Stay, Stay, Fewer, Stay, Stay, Fewer]
        );
        assert_eq!(
            windows(&mut state, &[0, 0, 30, 0, 0, 0]),
            [Stay, Stay, Stay, Stay, Stay, Fewer]
        );
    }

    #[test]
    fn who_was_stopped_too_early_makes_the_next_one_stay_longer_for_a_while() {
        let mut state = BusynessState::new(SETTINGS.multiplier);
        assert_eq!(windows(&mut state, &[0, 0, 0, 60]), [Stay, Stay, Fewer, More(1)]);
        // 3 + 2 windows now.
        assert_eq!(windows(&mut state, &[0; 5]), [Stay, Stay, Stay, Stay, Fewer]);
        // It is not missed for more than twice as long: back to 3.
        windows(&mut state, &[30; 11]);
        assert_eq!(windows(&mut state, &[0, 0, 0]), [Stay, Stay, Fewer]);
    }

    #[test]
    fn what_waits_is_an_alarm_and_who_came_for_it_may_go_sooner() {
        let mut state = BusynessState::new(SETTINGS.multiplier);
        assert_eq!(decide(&mut state, 40, 32), Stay);
        assert_eq!(decide(&mut state, 40, 33), More(2));
        // Few, but for long.
        let long: Vec<Change> = (0..5).map(|_| decide(&mut state, 40, 1)).collect();
        assert_eq!(long, [Stay, Stay, Stay, Stay, More(2)]);
        let mut state = BusynessState::new(SETTINGS.multiplier);
        assert_eq!(decide(&mut state, 0, 99), More(2));
        assert_eq!(decide(&mut state, 0, 0), Fewer);
        assert_eq!(windows(&mut state, &[0]), [Fewer]);
        assert_eq!(windows(&mut state, &[0, 0, 0]), [Stay, Stay, Fewer]);
    }

    #[test]
    fn what_was_seen_is_said() {
        let mut state = BusynessState::new(1);
        let settings = Busyness {
            window: 1,
            ..SETTINGS
        };
        let told = state.decide(&settings, 1, second(42, 0));
        assert_eq!(told, (Stay, Some("busy for 42 % of the time".to_owned())));
        let told = state.decide(&settings, 1, second(42, 40));
        assert_eq!(told, (More(2), Some("40 connections wait".to_owned())));
    }
}
