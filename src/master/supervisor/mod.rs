//! [`Supervisor`]: what the master decides, as a state machine. Inputs in (what happened, and when), outputs
//! out (what to do about it). Processes, sockets, clocks and logs are the master's business.
//!
//! At most two generations live here. `current` serves. `next` is being prepared: at the start, on reload and
//! after a re-execution alike; when all its workers are ready it becomes `current` and the former's processes
//! leave. Until then nothing of `current` is touched, so that a broken deploy costs nothing.
//!
//! Each file takes part of the inputs: [`molds`], [`workers`], [`commands`]; [`generations`] has the steps
//! from one to the next, [`chain`] those of a chain reload, [`relief`] how one worker takes over from another, [`scaling`] how
//! many there are at a time,
//! [`deadlines`] what follows from the state and the clock.

mod backoff;
mod chain;
mod commands;
mod deadlines;
mod generation;
mod generations;
mod leaver;
mod messages;
mod molds;
mod relief;
mod scaler;
mod scaling;
mod slots;
mod stuck;
#[cfg(test)]
mod tests;
mod wear;
mod workers;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use log::Level;

use crate::launch::ClientId;
use crate::sys::Pid;
use generation::{Generation, Manner, Mold, Seat, SeatState, Sitter};
use leaver::{Leaver, Role};
use slots::Slots;

pub(crate) use scaler::Measured;

pub(crate) use messages::{
    Command, Handover, Input, MoldId, Notice, Output, Settings, SlotIndex, Ticket, Urge, WorkerView,
};

/// Exit status where the application could not be loaded; uWSGI's.
pub(crate) const STATUS_NO_APPLICATION: i32 = 22;

/// How long a generation may take to get ready, unless its settings say otherwise.
pub(crate) const BOOT_LIMIT: Duration = Duration::from_secs(600);
/// How long a generation that took too long may take to tell where it is.
const TRACE_TIME: Duration = Duration::from_millis(500);
/// How long a mold may take to fork.
const FORK_LIMIT: Duration = Duration::from_secs(30);
/// How often it is said that no worker can be forked.
const FORK_REMINDER: Duration = Duration::from_secs(60);
/// How long a mold may take to run what the application registered for its end.
const MOLD_MERCY: Duration = Duration::from_secs(10);
/// What "at once" gives a process before it is killed.
const HURRIED_MERCY: Duration = Duration::from_secs(1);
/// Deaths before a generation was complete that are put up with.
const BOOT_FAILURES: u32 = 5;
/// How long the program at our path may take to look at our configuration.
const PREFLIGHT_LIMIT: Duration = Duration::from_secs(30);
/// Stop signals closer together than this are one: what is sent to a process and to its whole group comes
/// twice.
const SAME_STOP: Duration = Duration::from_millis(100);

/// Where the server as a whole is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    Stopping {
        since: Instant,
        urge: Urge,
        status: i32,
        reason: Option<String>,
    },
    Ended,
}

/// A reload that was asked for while something else is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reload {
    /// None.
    Idle,
    /// To be begun as soon as possible, once, however often it was asked for.
    Wanted(Manner),
    /// The configuration is being read.
    Reading(Manner),
}

/// How far a re-execution is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reexecution {
    Idle,
    Wanted,
    Checking { since: Instant },
    Agreed,
}

/// A fork that was asked for and is wanted no more.
#[derive(Clone, Copy, Debug)]
struct Forgotten {
    ticket: Ticket,
    mold: Option<MoldId>,
    number: usize,
    generation: u64,
    slot: SlotIndex,
    /// How long its worker may take to leave.
    mercy: Duration,
}

/// The state machine. Every call of [`Supervisor::handle`] may leave outputs, which are to be taken and
/// carried out in order.
#[derive(Debug)]
pub(crate) struct Supervisor {
    phase: Phase,
    current: Option<Generation>,
    next: Option<Generation>,
    leavers: Vec<Leaver>,
    forgotten: Vec<Forgotten>,
    retiring: Vec<u64>,
    /// Workers that must not live, and why: they are being killed.
    condemned: Vec<(Pid, String)>,
    /// No worker can be forked, and that was said then.
    fork_complaint: Option<Instant>,
    slots: Slots,
    tickets: Ticket,
    molds: MoldId,
    generations: u64,
    reload: Reload,
    reexecution: Reexecution,
    paused: bool,
    /// Who waits for the reload that is wanted, and for the one that is under way.
    asked: Vec<ClientId>,
    awaited: Vec<ClientId>,
    outputs: VecDeque<Output>,
}

impl Supervisor {
    /// For a scoreboard of so many slots; nothing runs yet.
    pub(crate) fn new(slots: usize) -> Self {
        Self {
            phase: Phase::Running,
            current: None,
            next: None,
            leavers: Vec::new(),
            forgotten: Vec::new(),
            retiring: Vec::new(),
            condemned: Vec::new(),
            fork_complaint: None,
            slots: Slots::new(slots),
            tickets: 0,
            molds: 0,
            generations: 0,
            reload: Reload::Idle,
            reexecution: Reexecution::Idle,
            paused: false,
            asked: Vec::new(),
            awaited: Vec::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Starts the first generation, or, after [`Supervisor::adopt`], the next. An error only there: what was
    /// adopted then goes on.
    pub(crate) fn start(&mut self, settings: Result<Settings, String>, now: Instant) {
        self.reload = Reload::Reading(Manner::Graceful);
        if self.current.is_some() {
            self.notify(Notice::Reloading);
        }
        self.handle(Input::Reread(settings), now);
    }

    /// Takes over what a master before the re-execution left.
    pub(crate) fn adopt(&mut self, handover: &Handover, now: Instant) {
        let mut generation = Generation::new(
            handover.generation,
            handover.settings,
            handover.settings.workers,
            Manner::Graceful,
            now,
        );
        for seat in &mut generation.seats {
            if handover.closed.contains(&seat.number) {
                *seat = Seat::closed(seat.number, now);
            }
        }
        generation.mold = match handover.mold {
            Some((id, pid)) => Mold::Ready { id, pid, since: now },
            None => Mold::Lost,
        };
        self.molds = handover.mold.map_or(0, |(id, _)| id);
        self.generations = handover.generation;
        self.paused = handover.paused;
        for worker in &handover.workers {
            if let Some(slot) = worker.slot {
                self.slots.take_exactly(slot);
            }
            let seat = generation
                .seats
                .iter_mut()
                .find(|seat| seat.number == worker.number);
            match (seat, worker.slot) {
                (Some(seat), Some(slot)) if !worker.leaving && seat.state.sitter().is_none() => {
                    let sitter = Sitter {
                        ticket: self.tickets,
                        pid: worker.pid,
                        slot,
                        since: now,
                    };
                    seat.state = SeatState::Serving(sitter);
                    self.tickets += 1;
                }
                _ => {
                    let role = Role::Worker {
                        number: worker.number,
                        slot: worker.slot,
                    };
                    let mercy = handover.settings.mercy;
                    self.send_away(worker.pid, role, worker.generation, Urge::Drain, mercy, now);
                }
            }
        }
        self.current = Some(generation);
    }

    /// Takes note of what happened.
    pub(crate) fn handle(&mut self, input: Input, now: Instant) {
        if self.phase == Phase::Ended {
            return;
        }
        match input {
            Input::MoldStarted { mold, pid } => self.mold_started(mold, pid, now),
            Input::MoldNotStarted { mold, reason } => self.mold_not_started(mold, &reason, now),
            Input::MoldReady { mold } => self.mold_ready(mold),
            Input::MoldFailed { mold, status, reason } => self.mold_failed(mold, status, reason, now),
            Input::Forked { ticket, pid } => self.forked(ticket, pid, now),
            Input::NotForked { ticket, reason } => self.not_forked(ticket, &reason, now),
            Input::WorkerReady { ticket, pid } => self.worker_ready(ticket, pid, now),
            Input::WorkerFailed {
                ticket,
                status,
                reason,
            } => self.worker_failed(ticket, status, reason, now),
            Input::Exited { pid, ending, work } => self.exited(pid, ending, &work, now),
            Input::Worn { pid, reason } => self.worn(pid, &reason, now),
            Input::Deadly { pid, reason } => self.deadly(pid, &reason),
            Input::Stuck { pid, grace } => self.stuck(pid, grace, now),
            Input::Command(command) => self.command(command, now),
            Input::Measured(measured) => self.measured(measured, now),
            Input::Knock => self.knock(now),
            Input::ReloadFor(client) => self.reload_for(client, now),
            Input::Reread(result) => self.reread(result, now),
            Input::Preflight(result) => self.preflight(result),
            Input::NotReexecuted(reason) => self.not_reexecuted(&reason),
            Input::Tick => {}
        }
        self.advance(now);
    }

    /// The next thing to do.
    pub(crate) fn take_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When a [`Input::Tick`] is due; `None`: only what happens matters.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let generations = self
            .generations()
            .filter_map(|generation| generation.next_deadline(FORK_LIMIT));
        let leavers = self.leavers.iter().filter_map(Leaver::next_deadline);
        let boot = self.next.as_ref().map(Generation::boot_deadline);
        let mold = self.current.as_ref().and_then(|current| match current.mold {
            Mold::Loading { since, .. } => Some(since + current.settings.boot_limit),
            _ => None,
        });
        let preflight = match self.reexecution {
            Reexecution::Checking { since } => Some(since + PREFLIGHT_LIMIT),
            _ => None,
        };
        generations
            .chain(leavers)
            .chain(boot)
            .chain(mold)
            .chain(preflight)
            .min()
    }

    /// All workers there are, those who leave last.
    pub(crate) fn workers(&self) -> impl Iterator<Item = WorkerView> {
        let seated = self.generations().flat_map(|generation| {
            generation.seats.iter().flat_map(|seat| {
                let sitters = seat.places().filter_map(SeatState::sitter);
                sitters.map(|sitter| WorkerView {
                    pid: sitter.pid,
                    number: seat.number,
                    generation: generation.id,
                    slot: Some(sitter.slot),
                    leaving: false,
                })
            })
        });
        let leaving = self.leavers.iter().filter_map(|leaver| match leaver.role {
            Role::Worker { number, slot } => Some(WorkerView {
                pid: leaver.pid,
                number,
                generation: leaver.generation,
                slot,
                leaving: true,
            }),
            Role::Mold { .. } => None,
        });
        seated.chain(leaving)
    }

    /// The one that serves.
    pub(crate) fn current_generation(&self) -> Option<u64> {
        self.current.as_ref().map(|current| current.id)
    }

    /// The molds' processes, with their generations.
    pub(crate) fn mold_pids(&self) -> impl Iterator<Item = (u64, Pid)> {
        let seated = self
            .generations()
            .filter_map(|generation| Some((generation.id, generation.mold.pid()?)));
        let leaving = self.leavers.iter().filter(|leaver| leaver.is_mold());
        seated.chain(leaving.map(|leaver| (leaver.generation, leaver.pid)))
    }

    /// What is going on, in a line.
    pub(crate) fn status(&self) -> String {
        let serving = self.current.as_ref().map(|generation| {
            let count = generation.seats.iter().filter(|seat| seat.is_serving()).count();
            let paused = if self.paused { ", paused" } else { "" };
            let asleep = if generation.is_asleep() { ", asleep" } else { "" };
            format!(
                "{count} of {} serve generation {}{asleep}{paused}",
                plural(generation.seats.len()),
                generation.id
            )
        });
        let preparing = self
            .next
            .as_ref()
            .map(|next| format!("getting generation {} ready", next.id));
        let stopping = matches!(self.phase, Phase::Stopping { .. }).then(|| "stopping".to_owned());
        let parts: Vec<String> = [stopping, serving, preparing].into_iter().flatten().collect();
        parts.join("; ")
    }

    /// What a re-executed master must know.
    pub(crate) fn handover(&self) -> Option<Handover> {
        let current = self.current.as_ref()?;
        let mold = match current.mold {
            Mold::Ready { id, pid, .. } => Some((id, pid)),
            _ => None,
        };
        Some(Handover {
            generation: current.id,
            settings: Settings {
                workers: current.seats.len(),
                ..current.settings
            },
            mold,
            workers: self.workers().collect(),
            closed: current
                .seats
                .iter()
                .filter(|seat| !seat.is_open())
                .map(|seat| seat.number)
                .collect(),
            paused: self.paused,
        })
    }

    fn generations(&self) -> impl Iterator<Item = &Generation> {
        self.current.iter().chain(&self.next)
    }

    fn generations_mut(&mut self) -> impl Iterator<Item = &mut Generation> {
        self.current.iter_mut().chain(&mut self.next)
    }

    fn generation_of_mold(&mut self, mold: MoldId) -> Option<&mut Generation> {
        self.generations_mut()
            .find(|generation| generation.mold.id() == Some(mold))
    }

    fn seat_by_ticket(&mut self, ticket: Ticket) -> Option<&mut Seat> {
        self.generations_mut()
            .find_map(|generation| generation.seat_by_ticket(ticket))
    }

    fn is_next(&self, generation: u64) -> bool {
        self.next.as_ref().is_some_and(|next| next.id == generation)
    }

    fn log(&mut self, level: Level, text: impl Into<String>) {
        self.outputs.push_back(Output::Log(level, text.into()));
    }

    fn notify(&mut self, notice: Notice) {
        self.outputs.push_back(Output::Notify(notice));
    }
}

/// `1 worker`, `4 workers`
pub(crate) fn plural(workers: usize) -> String {
    if workers == 1 {
        "1 worker".to_owned()
    } else {
        format!("{workers} workers")
    }
}

/// `60 s`, `3.2 s`, `0.04 s`
pub(crate) fn seconds(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds >= 10.0 || duration.subsec_millis() == 0 && seconds >= 1.0 {
        format!("{seconds:.0} s")
    } else if seconds >= 0.1 {
        format!("{seconds:.1} s")
    } else {
        format!("{seconds:.3} s")
    }
}
