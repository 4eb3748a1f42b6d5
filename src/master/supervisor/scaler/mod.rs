//! [`Scaler`]: from what was measured in the last second to how many workers more or fewer there should be
//! (`cheaper-algo`). It counts seconds by being asked once a second; it knows no process and no clock.

mod busyness;

use crate::config::{Algorithm, Cheaper};
use busyness::BusynessState;

/// What was measured in the last second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Measured {
    /// Workers that cannot take another request.
    pub(crate) busy: usize,
    /// Connections that no worker has accepted yet.
    pub(crate) waiting: u32,
    /// The part of their time for which workers were busy, per cent.
    pub(crate) busyness: u32,
    /// Bytes of memory that all workers have together; 0 where nobody wants to know.
    pub(crate) memory: u64,
    /// Has anyone asked for anything?
    pub(crate) is_used: bool,
}

/// What should be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing.
    Stay,
    /// So many workers more.
    More(usize),
    /// One worker less.
    Fewer,
}

/// An algorithm and what it remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scaler {
    settings: Cheaper,
    /// Seconds in a row in which there were too few workers, and too many.
    short: u32,
    ample: u32,
    /// It was said that memory is why no worker comes; none has come since.
    is_held_back: bool,
    busyness: BusynessState,
}

impl Scaler {
    pub(super) fn new(settings: Cheaper) -> Self {
        let multiplier = match settings.algorithm {
            Algorithm::Busyness(busyness) => busyness.multiplier,
            _ => 0,
        };
        Self {
            settings,
            short: 0,
            ample: 0,
            is_held_back: false,
            busyness: BusynessState::new(multiplier),
        }
    }

    /// The fewest workers there may be.
    pub(super) fn least(&self) -> usize {
        self.settings.least
    }

    /// What to change, where there are `workers` (those that are starting among them) of `most`; and why, or else what the
    /// operator wants to know (`cheaper-busyness-verbose`).
    pub(super) fn decide(
        &mut self,
        workers: usize,
        most: usize,
        measured: Measured,
    ) -> (Change, Option<String>) {
        let idle = workers.saturating_sub(measured.busy);
        let (wish, remark) = match self.settings.algorithm {
            Algorithm::Spare { overload } => (self.spare(idle, overload), None),
            Algorithm::Spare2 { idle: patience } => (self.spare2(idle, patience), None),
            Algorithm::Backlog {
                overload,
                idle: patience,
            } => (self.backlog(idle, measured.waiting, overload, patience), None),
            Algorithm::Busyness(settings) => self.busyness.decide(&settings, self.settings.step, measured),
            Algorithm::Manual => (Change::Stay, None),
        };
        let change = self.limited(wish, workers, most, measured.memory);
        let is_verbose = matches!(self.settings.algorithm, Algorithm::Busyness(settings) if settings.verbose);
        let wants_more = matches!(wish, Change::More(_)) && workers < most;
        let said = match change {
            Change::Stay if wants_more && !self.is_held_back => {
                self.is_held_back = true;
                Some(self.what_holds_back(workers, measured, remark))
            }
            Change::Stay => remark.filter(|_| is_verbose),
            _ => Some(self.reason(change, workers, measured, remark)),
        };
        self.is_held_back &= !matches!(change, Change::More(_));
        (change, said)
    }

    /// Why `change` is made, which the algorithm wished for, or the limits. `remark`: what the algorithm says of itself.
    fn reason(&self, change: Change, workers: usize, measured: Measured, remark: Option<String>) -> String {
        let least = self.settings.least;
        let is_growing = matches!(change, Change::More(_));
        if is_growing && workers < least {
            return format!("cheaper = {least} are the fewest");
        }
        if !is_growing && let Some(memory) = self.memory_past_a_limit(measured.memory, false) {
            return memory;
        }
        self.cause(is_growing, workers, measured, remark)
    }

    /// Why there are not more workers, which the algorithm wished for.
    fn what_holds_back(&self, workers: usize, measured: Measured, remark: Option<String>) -> String {
        let cause = self.cause(true, workers, measured, remark);
        let memory = self.memory_past_a_limit(measured.memory, true);
        format!("no worker more, though {cause}: {}", memory.unwrap_or_default())
    }

    /// The limit that this much memory exceeds, in a sentence. `with_soft`: also the one past which none are added.
    fn memory_past_a_limit(&self, memory: u64, with_soft: bool) -> Option<String> {
        let Cheaper {
            soft_memory,
            hard_memory,
            ..
        } = self.settings;
        let mut limits = [
            ("cheaper-rss-limit-hard", hard_memory),
            ("cheaper-rss-limit-soft", soft_memory.filter(|_| with_soft)),
        ]
        .into_iter();
        let (option, limit) =
            limits.find_map(|(option, limit)| Some((option, limit.filter(|&limit| memory >= limit)?)))?;
        let has = memory >> 20;
        Some(format!(
            "all have {has} MB of memory resident ({option} = {limit})"
        ))
    }

    /// Why the algorithm wants more workers, or fewer.
    fn cause(&self, is_growing: bool, workers: usize, measured: Measured, remark: Option<String>) -> String {
        let (least, idle) = (self.settings.least, workers.saturating_sub(measured.busy));
        match (self.settings.algorithm, remark) {
            (Algorithm::Busyness(_), Some(remark)) => remark,
            (Algorithm::Backlog { .. }, _) if is_growing => connections(measured.waiting),
            (Algorithm::Spare2 { .. }, _) => format!("{idle} idle, and {least} are to be (cheaper)"),
            (Algorithm::Spare { .. }, _) if is_growing => "all are busy".to_owned(),
            _ => format!("{idle} idle"),
        }
    }

    fn spare(&mut self, idle: usize, overload: u32) -> Change {
        match idle {
            0 => self.grow_after(overload),
            1 => self.rest(),
            _ => self.shrink_after(overload),
        }
    }

    fn spare2(&mut self, idle: usize, patience: u32) -> Change {
        let wanted = self.settings.least;
        if idle < wanted {
            self.rest();
            Change::More(self.settings.step.min(wanted - idle))
        } else if idle > wanted {
            self.shrink_after(patience)
        } else {
            self.rest()
        }
    }

    fn backlog(&mut self, idle: usize, waiting: u32, overload: u32, patience: u32) -> Change {
        if waiting > overload {
            self.rest();
            Change::More(self.settings.step)
        } else if waiting == 0 && idle > 1 {
            self.shrink_after(patience)
        } else {
            self.rest()
        }
    }

    fn rest(&mut self) -> Change {
        (self.short, self.ample) = (0, 0);
        Change::Stay
    }

    fn grow_after(&mut self, seconds: u32) -> Change {
        (self.short, self.ample) = (self.short + 1, 0);
        if self.short < seconds {
            return Change::Stay;
        }
        self.rest();
        Change::More(self.settings.step)
    }

    fn shrink_after(&mut self, seconds: u32) -> Change {
        (self.short, self.ample) = (0, self.ample + 1);
        if self.ample < seconds {
            return Change::Stay;
        }
        self.rest();
        Change::Fewer
    }

    /// Within what may be: between the fewest and the most, in the limits of memory.
    fn limited(&self, wish: Change, workers: usize, most: usize, memory: u64) -> Change {
        let exceeds = |limit: Option<u64>| limit.is_some_and(|limit| memory >= limit);
        let least = self.settings.least;
        if workers < least {
            return Change::More((least - workers).min(most.saturating_sub(workers)));
        }
        let wish = match wish {
            _ if exceeds(self.settings.hard_memory) => Change::Fewer,
            Change::More(_) if exceeds(self.settings.soft_memory) => Change::Stay,
            other => other,
        };
        match wish {
            Change::More(_) if workers >= most => Change::Stay,
            Change::More(count) => Change::More(count.min(most - workers)),
            Change::Fewer if workers <= least => Change::Stay,
            other => other,
        }
    }
}

/// `1 connection waits`.
fn connections(waiting: u32) -> String {
    match waiting {
        1 => "1 connection waits".to_owned(),
        waiting => format!("{waiting} connections wait"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Change::{Fewer, More, Stay};

    fn cheaper(algorithm: Algorithm) -> Cheaper {
        Cheaper {
            least: 2,
            initial: 2,
            step: 1,
            algorithm,
            soft_memory: None,
            hard_memory: None,
        }
    }

    fn busy(busy: usize) -> Measured {
        Measured {
            busy,
            is_used: true,
            ..Measured::default()
        }
    }

    /// What is decided, second by second, where there are so many workers of 8.
    fn decisions(scaler: &mut Scaler, seconds: &[(usize, Measured)]) -> Vec<Change> {
        let decide = |(workers, measured): &(usize, Measured)| scaler.decide(*workers, 8, *measured).0;
        seconds.iter().map(decide).collect()
    }

    #[test]
    fn spare_adds_a_worker_when_all_have_been_busy_for_long_enough() {
        let mut scaler = Scaler::new(cheaper(Algorithm::Spare { overload: 3 }));
        let all_busy = (4, busy(4));
        assert_eq!(
            decisions(&mut scaler, &[all_busy; 7]),
            [Stay, Stay, More(1), Stay, Stay, More(1), Stay]
        );
        // One that is idle for a second begins the count anew.
        assert_eq!(
            decisions(
                &mut scaler,
                &[all_busy, all_busy, (4, busy(3)), all_busy, all_busy, all_busy]
            ),
            [Stay, More(1), Stay, Stay, Stay, More(1)]
        );
    }

    #[test]
    fn spare_stops_a_worker_when_more_than_one_has_been_idle_for_long_enough_and_keeps_the_fewest() {
        let mut scaler = Scaler::new(cheaper(Algorithm::Spare { overload: 2 }));
        assert_eq!(
            decisions(&mut scaler, &[(5, busy(3)); 4]),
            [Stay, Fewer, Stay, Fewer]
        );
        assert_eq!(decisions(&mut scaler, &[(5, busy(4)); 4]), [Stay; 4]);
        assert_eq!(decisions(&mut scaler, &[(2, busy(0)); 4]), [Stay; 4]);
    }

    #[test]
    fn spare2_keeps_so_many_idle_ones_and_takes_its_time_to_shrink() {
        let settings = Cheaper {
            step: 2,
            ..cheaper(Algorithm::Spare2 { idle: 3 })
        };
        let mut scaler = Scaler::new(settings);
        for (workers, at_work, expected) in [
            (2, 0, Stay),
            (2, 1, More(1)),
            (2, 2, More(2)),
            (4, 4, More(2)),
            (6, 4, Stay),
            (8, 8, Stay),
            (7, 7, More(1)),
        ] {
            assert_eq!(
                decisions(&mut scaler, &[(workers, busy(at_work))]),
                [expected],
                "{at_work} of {workers}"
            );
        }
        assert_eq!(
            decisions(&mut scaler, &[(6, busy(1)); 6]),
            [Stay, Stay, Fewer, Stay, Stay, Fewer]
        );
    }

    #[test]
    fn backlog_adds_a_worker_at_once_when_connections_wait() {
        let algorithm = Algorithm::Backlog { overload: 3, idle: 2 };
        let mut scaler = Scaler::new(cheaper(algorithm));
        let waiting = |waiting, busy| {
            let measured = Measured {
                waiting,
                busy,
                ..Measured::default()
            };
            (4, measured)
        };
        for (second, expected) in [
            (waiting(3, 4), Stay),
            (waiting(4, 4), More(1)),
            (waiting(40, 4), More(1)),
            (waiting(0, 1), Stay),
            (waiting(1, 1), Stay),
            (waiting(0, 1), Stay),
            (waiting(0, 1), Fewer),
            (waiting(0, 3), Stay),
            (waiting(0, 3), Stay),
        ] {
            assert_eq!(decisions(&mut scaler, &[second]), [expected], "{second:?}");
        }
    }

    #[test]
    fn memory_stops_growth_and_then_makes_workers_leave() {
        let settings = Cheaper {
            soft_memory: Some(100),
            hard_memory: Some(200),
            ..cheaper(Algorithm::Spare { overload: 1 })
        };
        for (workers, memory, expected) in [(4, 99, More(1)), (4, 100, Stay), (4, 200, Fewer), (2, 200, Stay)]
        {
            let measured = Measured {
                memory,
                ..busy(workers)
            };
            let mut scaler = Scaler::new(settings);
            assert_eq!(
                decisions(&mut scaler, &[(workers, measured)]),
                [expected],
                "{memory}"
            );
        }
    }

    #[test]
    fn it_says_why() {
        let waiting = |waiting| Measured { waiting, ..busy(4) };
        let heavy = Measured {
            memory: 300 << 20,
            ..busy(4)
        };
        for (algorithm, workers, measured, expected) in [
            (Algorithm::Spare { overload: 1 }, 4, busy(4), "all are busy"),
            (Algorithm::Spare { overload: 1 }, 4, busy(1), "3 idle"),
            (
                Algorithm::Spare2 { idle: 1 },
                4,
                busy(3),
                "1 idle, and 2 are to be (cheaper)",
            ),
            (
                Algorithm::Spare2 { idle: 1 },
                4,
                busy(1),
                "3 idle, and 2 are to be (cheaper)",
            ),
            (
                Algorithm::Backlog { overload: 0, idle: 1 },
                4,
                waiting(1),
                "1 connection waits",
            ),
            (
                Algorithm::Backlog { overload: 0, idle: 1 },
                4,
                waiting(7),
                "7 connections wait",
            ),
            (Algorithm::Backlog { overload: 0, idle: 1 }, 4, busy(1), "3 idle"),
            (Algorithm::Manual, 1, busy(1), "cheaper = 2 are the fewest"),
            (
                Algorithm::Manual,
                4,
                heavy,
                "all have 300 MB of memory resident (cheaper-rss-limit-hard = 209715200)",
            ),
        ] {
            let mut scaler = Scaler::new(Cheaper {
                hard_memory: Some(200 << 20),
                ..cheaper(algorithm)
            });
            let (change, said) = scaler.decide(workers, 8, measured);
            assert_ne!(change, Stay, "{expected}");
            assert_eq!(said.as_deref(), Some(expected));
        }
        let mut scaler = Scaler::new(cheaper(Algorithm::Spare { overload: 1 }));
        assert_eq!(scaler.decide(4, 8, busy(3)), (Stay, None));
    }

    #[test]
    fn what_holds_workers_back_is_said_once_until_there_is_one_more() {
        let mut scaler = Scaler::new(Cheaper {
            soft_memory: Some(200 << 20),
            hard_memory: Some(400 << 20),
            ..cheaper(Algorithm::Backlog { overload: 0, idle: 9 })
        });
        let mut decide = |workers, megabytes: u64| {
            let measured = Measured {
                waiting: 1,
                memory: megabytes << 20,
                ..busy(workers)
            };
            scaler.decide(workers, 3, measured)
        };
        let held = |has: u64, option: &str| {
            let reason = format!("1 connection waits: all have {has} MB of memory resident ({option})");
            (Stay, Some(format!("no worker more, though {reason}")))
        };
        assert_eq!(decide(2, 200), held(200, "cheaper-rss-limit-soft = 209715200"));
        assert_eq!(decide(2, 199).0, More(1));
        assert_eq!(decide(2, 300), held(300, "cheaper-rss-limit-soft = 209715200"));
        assert_eq!(decide(2, 300), (Stay, None));
        // There are as many as there may be, whatever they have.
        assert_eq!(decide(3, 300), (Stay, None));
        assert_eq!(decide(2, 199).0, More(1));
        assert_eq!(decide(3, 400).0, Fewer);
        // Fewer would be wished for, were they not the fewest.
        assert_eq!(decide(2, 400), held(400, "cheaper-rss-limit-hard = 419430400"));
    }

    #[test]
    fn nothing_is_decided_by_hand() {
        let mut scaler = Scaler::new(cheaper(Algorithm::Manual));
        assert_eq!(decisions(&mut scaler, &[(4, busy(4)); 9]), [Stay; 9]);
        // But there are never fewer than the fewest.
        assert_eq!(decisions(&mut scaler, &[(1, busy(1))]), [More(1)]);
    }
}
