//! [`Meter`]: how busy the workers are, for the decision how many there should be. It looks from outside, at the
//! scoreboard, the listening sockets and the kernel's accounts: a worker does nothing for it.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::Master;
use super::supervisor::{Input, Measured};
use crate::config::{Algorithm, Scaling};
use crate::sys::{self, Pid, SocketDiagnosis};

/// Between two reports.
const EVERY: Duration = Duration::from_secs(1);
/// Looks in between, where the part of their time is to be known for which workers are busy.
const LOOKS: u32 = 10;
/// Who uses so many per cent of a processor cannot take more, whatever it does.
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
    /// Time on a processor that each worker had used at the last report.
    used: BTreeMap<Pid, Duration>,
    diagnosis: Option<SocketDiagnosis>,
}

/// A worker at a look.
#[derive(Clone, Copy, Debug)]
struct Look {
    pid: Pid,
    /// Requests that it has in hand.
    active: u64,
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
    fn note(&mut self, looks: &[Look], threads: u64) {
        for look in looks {
            self.looks += 1;
            self.sum += (look.active.min(threads) * 100 / threads) as u32;
        }
    }

    /// For which part of this second workers were busy, per cent; the count begins anew.
    fn take_busyness(&mut self) -> u32 {
        let busyness = self.sum.checked_div(self.looks).unwrap_or(0);
        (self.looks, self.sum) = (0, 0);
        busyness
    }

    /// How many per cent of a processor each has used since the last report.
    fn take_use(&mut self, looks: &[Look], elapsed: Duration) -> Vec<u32> {
        let used: BTreeMap<Pid, Duration> = looks
            .iter()
            .filter_map(|look| Some((look.pid, sys::process_time(look.pid)?)))
            .collect();
        let before = std::mem::replace(&mut self.used, used);
        let share = |look: &Look| {
            let (now, then) = (self.used.get(&look.pid)?, before.get(&look.pid)?);
            let share = now.saturating_sub(*then).as_millis() * 100 / elapsed.as_millis().max(1);
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
        let threads = self.threads();
        self.meter.note(&looks, threads);
        if now < self.meter.next_report {
            return;
        }
        let elapsed = (now + EVERY).saturating_duration_since(self.meter.next_report);
        self.meter.next_report = now + EVERY;
        let measured = self.report(&scaling, &looks, threads, elapsed);
        self.handle(Input::Measured(measured));
    }

    fn report(&mut self, scaling: &Scaling, looks: &[Look], threads: u64, elapsed: Duration) -> Measured {
        let use_of_processor = self.meter.take_use(looks, elapsed);
        let is_busy = |(look, share): &(&Look, u32)| look.active >= threads || *share >= SATURATED;
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
        let workers = self.supervisor.workers();
        let staying = workers.filter(|worker| !worker.leaving && Some(worker.generation) == current);
        staying
            .filter_map(|worker| {
                let snapshot = self.scoreboard.snapshot(worker.slot?)?;
                (snapshot.occupant.pid == worker.pid).then_some(Look {
                    pid: worker.pid,
                    active: snapshot.active,
                })
            })
            .collect()
    }

    fn threads(&self) -> u64 {
        let current = self.supervisor.current_generation();
        let files = current.and_then(|generation| self.generations.get(&generation));
        files.map_or(1, |files| files.config.application.side_by_side() as u64)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn look(active: u64) -> Look {
        Look {
            pid: std::process::id() as Pid,
            active,
        }
    }

    #[test]
    fn busyness_is_the_mean_of_all_looks_at_all_workers() {
        let mut meter = Meter::new(Instant::now());
        meter.note(&[look(4), look(0)], 4);
        meter.note(&[look(2), look(9)], 4);
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
}
