//! [`Meter`]: how busy the workers are, for the decision how many there should be. It looks from outside, at the
//! scoreboard, the listening sockets and the kernel's accounts.
//!
//! A worker with threads is busy when each of them has a request. Where another loop drives it (asyncio's, gevent's hub) it has
//! any number in hand, most of which wait: then it is busy when that loop never is idle, as its watchman sees it, or when
//! there are as many as there may be (`limit-concurrency`, `backpressure`, `gevent`).

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::Master;
use super::supervisor::{Input, Measured};
use crate::config::{Algorithm, Config, Scaling};
use crate::scoreboard::SlotSnapshot;
use crate::sys::{self, Pid, SocketDiagnosis};

/// Between two reports.
const EVERY: Duration = Duration::from_secs(1);
/// Looks in between, where the part of their time is to be known for which workers are busy.
const LOOKS: u32 = 10;
/// Who is at work, or uses a processor, for so many per cent of the time cannot take more, whatever it does.
const SATURATED: u32 = 90;

/// What is remembered between two looks.
#[derive(Debug)]
pub(super) struct Meter {
    next_look: Instant,
    next_report: Instant,
    /// Looks at workers since the last report, and the per cent that they brought.
    looks: u32,
    sum: u32,
    /// Requests that all workers there ever were had finished at the last report.
    requests: u64,
    /// What each worker had used of its time at the last report.
    used: BTreeMap<Pid, Used>,
    diagnosis: Option<SocketDiagnosis>,
}

/// A worker at a look.
#[derive(Clone, Copy, Debug)]
struct Look {
    pid: Pid,
    /// Requests that it has in hand.
    active: u64,
    /// Per cent of those that it may have; 0 where there may be any number.
    filled: u32,
    /// How many loops it has.
    loops: u64,
    /// Time for which these were at work, all together.
    at_work: Duration,
}

/// Time, of all threads of a worker together.
#[derive(Clone, Copy, Debug)]
struct Used {
    /// On a processor.
    processor: Duration,
    /// Of its loops, when they were not waiting.
    at_work: Duration,
}

impl Meter {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            next_look: now + EVERY,
            next_report: now + EVERY,
            looks: 0,
            sum: 0,
            requests: 0,
            used: BTreeMap::new(),
            diagnosis: None,
        }
    }

    /// Adds what the workers do at this moment to what is known of this second.
    fn note(&mut self, looks: &[Look]) {
        for look in looks {
            self.looks += 1;
            self.sum += look.filled;
        }
    }

    /// For which part of this second workers were busy, per cent; the count begins anew.
    fn take_busyness(&mut self) -> u32 {
        let busyness = self.sum.checked_div(self.looks).unwrap_or(0);
        (self.looks, self.sum) = (0, 0);
        busyness
    }

    /// For how many per cent of the time since the last report each has been at work, or has used a processor.
    fn take_use(&mut self, looks: &[Look], elapsed: Duration) -> Vec<u32> {
        let used = |look: &Look| {
            let processor = sys::process_time(look.pid)?;
            let at_work = look.at_work;
            Some((look.pid, Used { processor, at_work }))
        };
        let before = std::mem::replace(&mut self.used, looks.iter().filter_map(used).collect());
        let share = |look: &Look| {
            let (now, then) = (self.used.get(&look.pid)?, before.get(&look.pid)?);
            let processor = now.processor.saturating_sub(then.processor);
            let at_work = now.at_work.saturating_sub(then.at_work);
            let elapsed = elapsed.as_millis().max(1) * u128::from(look.loops.max(1));
            let share = processor.max(at_work).as_millis() * 100 / elapsed;
            Some(share.min(100) as u32)
        };
        looks.iter().map(|look| share(look).unwrap_or(0)).collect()
    }
}

impl Master<'_> {
    /// When the workers are to be looked at; `None`: how many there are does not depend on it, or there are none.
    pub(super) fn next_measure(&self) -> Option<Instant> {
        let scaling = self.supervisor.scaling()?;
        let is_wanted = scaling.cheaper.is_some() || scaling.idle.is_some();
        (is_wanted && !self.supervisor.is_asleep()).then_some(self.meter.next_look)
    }

    pub(super) fn measure(&mut self) {
        let now = Instant::now();
        let Some(scaling) = self.supervisor.scaling() else {
            return;
        };
        if self.next_measure().is_none_or(|due| due > now) {
            return;
        }
        let algorithm = scaling.cheaper.map(|cheaper| cheaper.algorithm);
        let between = match algorithm {
            Some(Algorithm::Busyness(_)) => EVERY / LOOKS,
            _ => EVERY,
        };
        self.meter.next_look = now + between;
        let looks = self.look();
        self.meter.note(&looks);
        if now < self.meter.next_report {
            return;
        }
        let elapsed = (now + EVERY).saturating_duration_since(self.meter.next_report);
        self.meter.next_report = now + EVERY;
        let measured = self.report(&scaling, &looks, elapsed);
        self.handle(Input::Measured(measured));
    }

    fn report(&mut self, scaling: &Scaling, looks: &[Look], elapsed: Duration) -> Measured {
        let use_of_processor = self.meter.take_use(looks, elapsed);
        let is_busy = |(look, share): &(&Look, u32)| look.filled == 100 || *share >= SATURATED;
        let busy = looks
            .iter()
            .zip(use_of_processor.iter().copied())
            .filter(is_busy)
            .count();
        let mean_use = use_of_processor.iter().sum::<u32>() / (looks.len().max(1) as u32);
        let waiting = self.waiting();
        let requests = self.scoreboard.total_requests();
        let has_finished = std::mem::replace(&mut self.meter.requests, requests) != requests;
        let limits_memory = scaling
            .cheaper
            .is_some_and(|cheaper| cheaper.soft_memory.or(cheaper.hard_memory).is_some());
        let memory = looks.iter().filter(|_| limits_memory);
        Measured {
            busy,
            waiting,
            busyness: self.meter.take_busyness().max(mean_use),
            memory: memory
                .filter_map(|look| sys::process_memory(look.pid))
                .map(|memory| memory.resident)
                .sum(),
            is_used: has_finished || waiting > 0 || looks.iter().any(|look| look.active > 0),
        }
    }

    /// The workers of the generation that serves, without those that leave.
    fn look(&self) -> Vec<Look> {
        let current = self.supervisor.current_generation();
        let files = current.and_then(|generation| self.generations.get(&generation));
        let most = files.map(|files| Most::of(&files.config));
        let workers = self.supervisor.workers();
        let staying = workers.filter(|worker| !worker.leaving && Some(worker.generation) == current);
        staying
            .filter_map(|worker| {
                let snapshot = self.scoreboard.snapshot(worker.slot?)?;
                (snapshot.occupant.pid == worker.pid).then(|| Look {
                    pid: worker.pid,
                    active: snapshot.active,
                    filled: most.map_or(0, |most| most.filled(&snapshot)),
                    loops: snapshot.loops,
                    at_work: Duration::from_millis(snapshot.at_work),
                })
            })
            .collect()
    }

    /// Connections that no worker has accepted yet.
    fn waiting(&mut self) -> u32 {
        if self.meter.diagnosis.is_none() {
            self.meter.diagnosis = SocketDiagnosis::open().ok();
        }
        let diagnosis = self.meter.diagnosis.as_ref();
        let current = self.supervisor.current_generation();
        let files = current.and_then(|generation| self.generations.get(&generation));
        let listeners = files.into_iter().flat_map(|files| &files.listeners);
        listeners
            .filter_map(|listener| sys::waiting_connections(listener.fd.as_fd(), diagnosis))
            .sum()
    }

    /// In a child these are closed: they are the master's alone.
    pub(super) fn diagnosis(&self) -> Option<&SocketDiagnosis> {
        self.meter.diagnosis.as_ref()
    }
}

/// How many requests a worker may have in hand.
#[derive(Clone, Copy, Debug)]
struct Most {
    /// That turns its loop itself.
    threads: usize,
    /// That another loop drives; `None`: any number.
    driven: Option<usize>,
}

impl Most {
    fn of(config: &Config) -> Self {
        let (application, limits) = (&config.application, &config.limits);
        let limit = limits.concurrency.into_iter().chain(limits.backpressure).min();
        let greenlets = application.greenlets.as_ref().map(|greenlets| greenlets.most);
        Self {
            threads: application.threads.max(1),
            driven: greenlets.or(limit),
        }
    }

    /// How many per cent of them a worker has; 0 where there may be any number.
    fn filled(self, snapshot: &SlotSnapshot) -> u32 {
        let most = match snapshot.beat {
            Some(_) if snapshot.burdened => return 100,
            Some(_) => self.driven,
            None => Some(self.threads),
        };
        let share = |most: u64| (snapshot.active.min(most) * 100 / most) as u32;
        most.map_or(0, |most| share(most.max(1) as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(filled: u32) -> Look {
        Look {
            pid: std::process::id() as Pid,
            active: 1,
            filled,
            loops: 1,
            at_work: Duration::ZERO,
        }
    }

    #[test]
    fn busyness_is_the_mean_of_all_looks_at_all_workers() {
        let mut meter = Meter::new(Instant::now());
        meter.note(&[look(100), look(0)]);
        meter.note(&[look(50), look(100)]);
        assert_eq!(meter.take_busyness(), (100 + 50 + 100) / 4);
        assert_eq!(meter.take_busyness(), 0);
    }

    #[test]
    fn the_use_of_a_processor_is_what_came_since_the_last_report() {
        let mut meter = Meter::new(Instant::now());
        let (elapsed, looks) = (Duration::from_millis(50), [look(0)]);
        assert_eq!(meter.take_use(&looks, elapsed), [0], "nothing is known yet");
        let begin = Instant::now();
        let before = sys::process_time(looks[0].pid).unwrap();
        while sys::process_time(looks[0].pid).unwrap() < before + elapsed {
            assert!(begin.elapsed() < Duration::from_secs(30));
            std::hint::spin_loop();
        }
        assert!(meter.take_use(&looks, elapsed)[0] >= 80);
    }

    #[test]
    fn a_loop_that_is_at_work_counts_also_when_it_uses_no_processor() {
        let mut meter = Meter::new(Instant::now());
        // No test uses a processor for so long.
        let elapsed = Duration::from_secs(1000);
        let at_work = |seconds, loops| Look {
            at_work: Duration::from_secs(seconds),
            loops,
            ..look(0)
        };
        meter.take_use(&[at_work(0, 1)], elapsed);
        assert_eq!(meter.take_use(&[at_work(900, 1)], elapsed), [90]);
        assert_eq!(meter.take_use(&[at_work(1900, 2)], elapsed), [50], "of two loops");
    }

    #[test]
    fn who_is_driven_by_another_loop_is_full_at_its_limit_and_others_with_all_threads() {
        let most = |driven| Most { threads: 4, driven };
        let filled = |most: Most, beat, burdened, active| {
            let snapshot = SlotSnapshot {
                beat,
                burdened,
                active,
                ..SlotSnapshot::default()
            };
            most.filled(&snapshot)
        };
        let driven = Some(1000);
        assert_eq!(
            filled(most(None), driven, false, 50),
            0,
            "any number of them may wait"
        );
        assert_eq!(filled(most(Some(200)), driven, false, 50), 25);
        assert_eq!(filled(most(Some(200)), driven, false, 500), 100);
        assert_eq!(
            filled(most(Some(200)), driven, true, 180),
            100,
            "it accepts no more"
        );
        assert_eq!(filled(most(Some(200)), None, false, 3), 75);
        assert_eq!(
            filled(most(None), None, true, 2),
            50,
            "one of its threads may be free again"
        );
    }
}
