//! [`Supervisor`]: what the master decides, as a state machine. Inputs in (what happened, and when), outputs out (what to
//! do about it). Processes, sockets, clocks and logs are the master's business.
//!
//! At most two generations live here. `current` serves. `next` is being prepared: at the start, on reload and after a
//! re-execution alike; when all its workers are ready it becomes `current` and the former's processes leave. Until
//! then nothing of `current` is touched, so that a broken deploy costs nothing.

mod backoff;
mod generation;
mod leaver;
mod slots;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use log::Level;

use crate::sys::{Ending, Pid};
use generation::{Generation, Mold, Obituary, Seat, SeatState, Sitter};
use leaver::{Leaver, Role};
use slots::Slots;

/// Names one request to fork a worker.
pub(crate) type Ticket = u32;
/// Names one mold; a generation may use up several.
pub(crate) type MoldId = u32;
/// A place in the scoreboard.
pub(crate) type SlotIndex = usize;

/// Exit status where the application could not be loaded; uWSGI's.
pub(crate) const STATUS_NO_APPLICATION: i32 = 22;

/// How long a new generation may take, where an old one serves meanwhile.
const RELOAD_LIMIT: Duration = Duration::from_secs(600);
/// How long a mold may take to fork.
const FORK_LIMIT: Duration = Duration::from_secs(30);
/// How long a mold may take to run what the application registered for its end.
const MOLD_MERCY: Duration = Duration::from_secs(10);
/// What "at once" gives a process before it is killed.
const HURRIED_MERCY: Duration = Duration::from_secs(1);
/// Deaths before a generation was complete that are put up with.
const BOOT_FAILURES: u32 = 5;
/// Stop signals closer together than this are one: what is sent to a process and to its whole group comes twice.
const SAME_STOP: Duration = Duration::from_millis(100);

/// What of the configuration is decided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Workers wanted, at least 1.
    pub(crate) workers: usize,
    /// How long a leaving worker may take (`worker-reload-mercy`).
    pub(crate) mercy: Duration,
    /// TERM stops (`die-on-term`); else it reloads, brutally.
    pub(crate) die_on_term: bool,
}

/// What an operator asked for, by a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// HUP: a new generation.
    Reload,
    /// INT: stop gracefully; the second time, at once.
    Interrupt,
    /// TERM: the same, or a brutal reload.
    Terminate,
    /// QUIT: stop at once.
    Quit,
    /// USR1: reopen logs, show the state.
    Report,
    /// USR2: become the program that is now at our path.
    Reexecute,
    /// TTIN: one worker more.
    MoreWorkers,
    /// TTOU: one worker less.
    FewerWorkers,
    /// TSTP: pause, or go on.
    TogglePause,
}

/// How urgently a process is told to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Urge {
    /// Finish what you have.
    Drain,
    /// Leave at once.
    Hurry,
    /// No choice.
    Kill,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// A mold that was asked for runs.
    MoldStarted {
        /// Which.
        mold: MoldId,
        /// Its process.
        pid: Pid,
    },
    /// A mold could not be forked.
    MoldNotStarted {
        /// Which.
        mold: MoldId,
        /// Why.
        reason: String,
    },
    /// A mold has loaded the application and can fork.
    MoldReady {
        /// Which.
        mold: MoldId,
    },
    /// A mold could not load the application, has logged why, and is ending.
    MoldFailed {
        /// Which.
        mold: MoldId,
        /// The status that the whole server should end with, if this was its start.
        status: i32,
        /// One sentence.
        reason: String,
    },
    /// A mold has forked.
    Forked {
        /// What was asked for.
        ticket: Ticket,
        /// The worker.
        pid: Pid,
    },
    /// A mold could not fork.
    NotForked {
        /// What was asked for.
        ticket: Ticket,
        /// Why.
        reason: String,
    },
    /// A worker serves.
    WorkerReady {
        /// Whose request made it.
        ticket: Ticket,
        /// Its process: this may be heard before [`Input::Forked`] is.
        pid: Pid,
    },
    /// A worker could not get the application ready, has logged why, and is ending.
    WorkerFailed {
        /// Whose request made it.
        ticket: Ticket,
        /// As with [`Input::MoldFailed`].
        status: i32,
        /// One sentence.
        reason: String,
    },
    /// A child has ended; also one that nobody here knows.
    Exited {
        /// Which.
        pid: Pid,
        /// Of what.
        ending: Ending,
        /// What it had done, behind `worker 2 (pid 7) was killed by SIGSEGV`: ` after 12 requests, while serving …`.
        work: String,
    },
    /// An operator's wish.
    Command(Command),
    /// The answer to [`Output::Reread`].
    Reread(Result<Settings, String>),
    /// The answer to [`Output::Preflight`].
    Preflight(Result<(), String>),
    /// [`Output::Reexecute`] did not work.
    NotReexecuted(String),
    /// Time has passed.
    Tick,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// Fork a mold of that generation, and say so.
    StartMold {
        /// Which one it will be.
        mold: MoldId,
        /// The configuration to give it.
        generation: u64,
        /// Nothing serves yet: an application that cannot be loaded may be put up with.
        first: bool,
    },
    /// Ask a mold to fork.
    Fork {
        /// Which.
        mold: MoldId,
        /// To be answered by.
        ticket: Ticket,
        /// The worker's number.
        number: usize,
        /// The worker's slot.
        slot: SlotIndex,
    },
    /// Tell a mold to leave.
    DismissMold {
        /// Its process.
        pid: Pid,
    },
    /// Tell a worker (or, where it is to be killed, a mold) to leave.
    Leave {
        /// Its process.
        pid: Pid,
        /// How.
        urge: Urge,
    },
    /// Say that a process did not leave in time. A [`Output::Leave`] follows.
    Overdue {
        /// Its process.
        pid: Pid,
        /// What it is: `worker 2`.
        what: String,
        /// Its slot.
        slot: Option<SlotIndex>,
        /// How long it had.
        mercy: Duration,
    },
    /// Read the configuration again, open what sockets it wants, and say how that went.
    Reread,
    /// That generation serves; at the first one the server is up.
    Serving {
        /// Which.
        generation: u64,
        /// How many.
        workers: usize,
        /// Since it was asked for.
        took: Duration,
    },
    /// Nothing of that generation runs any more, or ever will.
    Retired {
        /// Which.
        generation: u64,
    },
    /// Ask all workers to pause, or to go on.
    Pause(bool),
    /// Reopen logs, everyone's.
    ReopenLogs,
    /// Log what everyone does.
    ShowState,
    /// Try whether the program at our path accepts our configuration.
    Preflight,
    /// Become it.
    Reexecute,
    /// Tell the service manager what is going on.
    Notify(Notice),
    /// Tell the operator.
    Log(Level, String),
    /// End with that status; everything else has ended.
    Exit {
        /// The status.
        status: i32,
        /// Why, if the server never came up.
        reason: Option<String>,
    },
}

/// What a service manager is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// Up, or up again after a reload; with a line for people.
    Ready(String),
    /// Getting a new generation ready.
    Reloading,
    /// On the way down.
    Stopping,
    /// A line for people.
    Status(String),
}

/// A worker as others may see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WorkerView {
    /// Its process.
    pub(crate) pid: Pid,
    /// 1, 2, …
    pub(crate) number: usize,
    /// Which generation it serves.
    pub(crate) generation: u64,
    /// Its slot.
    pub(crate) slot: Option<SlotIndex>,
    /// Was it told to leave?
    pub(crate) leaving: bool,
}

/// What a re-executed master must know of the processes it finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Handover {
    /// The generation that serves.
    pub(crate) generation: u64,
    /// Its settings.
    pub(crate) settings: Settings,
    /// Its mold.
    pub(crate) mold: Option<(MoldId, Pid)>,
    /// All workers.
    pub(crate) workers: Vec<WorkerView>,
    /// Are they paused?
    pub(crate) paused: bool,
}

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
    Wanted,
    /// The configuration is being read.
    Reading,
}

/// How far a re-execution is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reexecution {
    Idle,
    Wanted,
    Checking,
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
}

/// The state machine. Every call of [`Supervisor::handle`] may leave outputs, which are to be taken and carried out
/// in order.
#[derive(Debug)]
pub(crate) struct Supervisor {
    phase: Phase,
    current: Option<Generation>,
    next: Option<Generation>,
    leavers: Vec<Leaver>,
    forgotten: Vec<Forgotten>,
    retiring: Vec<u64>,
    slots: Slots,
    tickets: Ticket,
    molds: MoldId,
    generations: u64,
    reload: Reload,
    reexecution: Reexecution,
    /// Old workers are cut off at the next switch, not drained.
    brutal: bool,
    paused: bool,
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
            slots: Slots::new(slots),
            tickets: 0,
            molds: 0,
            generations: 0,
            reload: Reload::Idle,
            reexecution: Reexecution::Idle,
            brutal: false,
            paused: false,
            outputs: VecDeque::new(),
        }
    }

    /// Starts the first generation, or, after [`Supervisor::adopt`], the next. An error only there: what was adopted then
    /// goes on.
    pub(crate) fn start(&mut self, settings: Result<Settings, String>, now: Instant) {
        self.reload = Reload::Reading;
        if self.current.is_some() {
            self.notify(Notice::Reloading);
        }
        self.handle(Input::Reread(settings), now);
    }

    /// Takes over what a master before the re-execution left.
    pub(crate) fn adopt(&mut self, handover: &Handover, now: Instant) {
        let mut generation = Generation::new(handover.generation, handover.settings, now);
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
                (Some(seat), Some(slot)) if !worker.leaving && seat.sitter().is_none() => {
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
            Input::Command(command) => self.command(command, now),
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
        let reload = self.next.as_ref().filter(|_| self.current.is_some());
        let reload = reload.map(|next| next.since + RELOAD_LIMIT);
        let mold = self.current.as_ref().and_then(|current| match current.mold {
            Mold::Loading { since, .. } => Some(since + RELOAD_LIMIT),
            _ => None,
        });
        generations.chain(leavers).chain(reload).chain(mold).min()
    }

    /// All workers there are, those who leave last.
    pub(crate) fn workers(&self) -> impl Iterator<Item = WorkerView> {
        let seated = self.generations().flat_map(|generation| {
            generation.seats.iter().filter_map(|seat| {
                let sitter = seat.sitter()?;
                Some(WorkerView {
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
            format!(
                "{count} of {} serve generation {}{paused}",
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

/// Molds: their births and deaths.
impl Supervisor {
    fn mold_started(&mut self, mold: MoldId, pid: Pid, now: Instant) {
        if let Some(generation) = self.generation_of_mold(mold) {
            generation.mold = Mold::Loading {
                id: mold,
                pid,
                since: now,
            };
            return;
        }
        // Its generation was given up between the wish and the deed.
        let generation = self.generations;
        self.send_away(
            pid,
            Role::Mold { id: mold },
            generation,
            Urge::Kill,
            MOLD_MERCY,
            now,
        );
    }

    fn mold_not_started(&mut self, mold: MoldId, reason: &str, now: Instant) {
        let Some(generation) = self.generation_of_mold(mold) else {
            return;
        };
        generation.mold = Mold::Due(now + Duration::from_secs(1));
        let id = generation.id;
        let reason = format!("cannot fork a mold: {reason}");
        self.log(Level::Error, reason.clone());
        self.boot_failure(id, 1, reason, now);
    }

    fn mold_ready(&mut self, mold: MoldId) {
        let Some(generation) = self.generation_of_mold(mold) else {
            return;
        };
        if let Mold::Loading { id, pid, since } = generation.mold {
            generation.mold = Mold::Ready { id, pid, since };
        }
    }

    fn mold_failed(&mut self, mold: MoldId, status: i32, reason: String, now: Instant) {
        let Some(generation) = self.generation_of_mold(mold) else {
            return;
        };
        let id = generation.id;
        if let Some(pid) = generation.mold.pid() {
            generation.mold = Mold::Due(now + generation.mold_backoff.note_death(Duration::ZERO));
            self.send_away(pid, Role::Mold { id: mold }, id, Urge::Drain, MOLD_MERCY, now);
        }
        if self.is_next(id) {
            self.give_up_next(status, reason, now);
        } else {
            self.log(Level::Error, format!("the application of generation {id} could not be loaded again, {reason}; its workers go on"));
        }
    }

    fn mold_died(&mut self, id: u64, ending: Ending, now: Instant) {
        let Some(generation) = self.generations_mut().find(|generation| generation.id == id) else {
            return;
        };
        let (since, loaded) = match generation.mold {
            Mold::Loading { since, .. } => (since, false),
            Mold::Ready { since, .. } => (since, true),
            Mold::Due(_) | Mold::Asked(_) | Mold::Lost => (now, false),
        };
        let mold = generation.mold.id();
        let delay = generation
            .mold_backoff
            .note_death(now.saturating_duration_since(since));
        generation.mold = Mold::Due(now + delay);
        let mut released = Vec::new();
        for seat in &mut generation.seats {
            if let SeatState::Requested { slot, .. } = seat.state {
                released.push(slot);
                seat.state = SeatState::Vacant { due: now };
            }
        }
        for slot in released {
            self.slots.release(slot);
        }
        self.forget_forks_of(mold);
        if self.is_next(id) && !loaded {
            let status = match ending {
                Ending::Exited(status) if status != 0 => status,
                _ => 1,
            };
            self.give_up_next(
                status,
                format!("the process that loads the application {ending}"),
                now,
            );
            return;
        }
        self.log(
            Level::Error,
            format!("the mold of generation {id} {ending}; another one is started"),
        );
        self.boot_failure(id, 1, format!("the mold {ending}"), now);
    }

    /// What a mold that is gone had been asked to fork will not come, or come as a stranger.
    fn forget_forks_of(&mut self, mold: Option<MoldId>) {
        let slots = &mut self.slots;
        self.forgotten.retain(|forgotten| {
            let is_lost = forgotten.mold == mold;
            if is_lost {
                slots.release(forgotten.slot);
            }
            !is_lost
        });
    }
}

/// Workers: their births and deaths.
impl Supervisor {
    fn forked(&mut self, ticket: Ticket, pid: Pid, now: Instant) {
        let Some(seat) = self.seat_by_ticket(ticket) else {
            self.forked_in_vain(ticket, pid, now);
            return;
        };
        let SeatState::Requested { slot, .. } = seat.state else {
            return;
        };
        seat.state = SeatState::Starting(Sitter {
            ticket,
            pid,
            slot,
            since: now,
        });
        if let Some(obituary) = seat.obituary.take() {
            self.log(
                obituary.level,
                format!("{}; replaced by pid {pid}", obituary.text),
            );
        }
    }

    /// A worker that is wanted no more, or that came after its mold was dead.
    fn forked_in_vain(&mut self, ticket: Ticket, pid: Pid, now: Instant) {
        if self.leavers.iter().any(|leaver| leaver.pid == pid) {
            return;
        }
        let known = self
            .forgotten
            .iter()
            .position(|forgotten| forgotten.ticket == ticket);
        let forgotten = known.map(|index| self.forgotten.swap_remove(index));
        let role = Role::Worker {
            number: forgotten.map_or(0, |forgotten| forgotten.number),
            slot: forgotten.map(|forgotten| forgotten.slot),
        };
        let generation = forgotten.map_or(self.generations, |forgotten| forgotten.generation);
        self.send_away(pid, role, generation, Urge::Kill, HURRIED_MERCY, now);
    }

    fn not_forked(&mut self, ticket: Ticket, reason: &str, now: Instant) {
        if let Some(index) = self
            .forgotten
            .iter()
            .position(|forgotten| forgotten.ticket == ticket)
        {
            let forgotten = self.forgotten.swap_remove(index);
            self.slots.release(forgotten.slot);
            return;
        }
        let Some(seat) = self.seat_by_ticket(ticket) else {
            return;
        };
        let SeatState::Requested { slot, .. } = seat.state else {
            return;
        };
        let number = seat.number;
        seat.state = SeatState::Vacant {
            due: now + Duration::from_secs(1),
        };
        self.slots.release(slot);
        self.log(
            Level::Error,
            format!("cannot fork worker {number}: {reason}; trying again in 1 s"),
        );
    }

    fn worker_ready(&mut self, ticket: Ticket, pid: Pid, now: Instant) {
        // It and the process that reports its birth run side by side.
        self.forked(ticket, pid, now);
        if let Some(seat) = self.seat_by_ticket(ticket)
            && let SeatState::Starting(sitter) = seat.state
        {
            seat.state = SeatState::Serving(sitter);
        }
    }

    fn worker_failed(&mut self, ticket: Ticket, status: i32, reason: String, now: Instant) {
        let next = self.next.as_mut();
        let Some(seat) = next.and_then(|next| next.seat_by_ticket(ticket)) else {
            return;
        };
        let number = seat.number;
        self.give_up_next(status, format!("worker {number}: {reason}"), now);
    }

    fn exited(&mut self, pid: Pid, ending: Ending, work: &str, now: Instant) {
        if let Some(index) = self.leavers.iter().position(|leaver| leaver.pid == pid) {
            let leaver = self.leavers.swap_remove(index);
            self.left(leaver, ending, work);
            return;
        }
        let mold_of = self
            .generations()
            .find(|generation| generation.mold.pid() == Some(pid));
        if let Some(generation) = mold_of {
            let id = generation.id;
            self.mold_died(id, ending, now);
            return;
        }
        self.worker_died(pid, ending, work, now);
    }

    /// Someone who had been told to leave has left.
    fn left(&mut self, leaver: Leaver, ending: Ending, work: &str) {
        let (number, slot) = match leaver.role {
            Role::Worker { number, slot } => (number, slot),
            Role::Mold { id } => return self.forget_forks_of(Some(id)),
        };
        if let Some(slot) = slot {
            self.slots.release(slot);
        }
        let pid = leaver.pid;
        match ending {
            Ending::Exited(0) => self.log(Level::Info, format!("worker {number} (pid {pid}) left{work}")),
            _ if leaver.urge == Urge::Kill => {}
            _ => self.log(
                Level::Warn,
                format!("worker {number} (pid {pid}) {ending} while it was leaving{work}"),
            ),
        }
    }

    fn worker_died(&mut self, pid: Pid, ending: Ending, work: &str, now: Instant) {
        let found = self.generations_mut().find_map(|generation| {
            let (id, can_fork) = (generation.id, generation.mold.ready_id().is_some());
            generation.seat_of(pid).map(|seat| (id, can_fork, seat))
        });
        // A child that an application left behind is reaped and that is all.
        let Some((id, can_fork, seat)) = found else {
            return;
        };
        let was_serving = seat.is_serving();
        let Some(sitter) = seat.sitter() else {
            return;
        };
        let delay = seat
            .backoff
            .note_death(now.saturating_duration_since(sitter.since));
        let number = seat.number;
        let level = if ending == Ending::Exited(0) {
            Level::Info
        } else {
            Level::Error
        };
        let stage = if was_serving { "" } else { " before it was ready" };
        let text = format!("worker {number} (pid {pid}) {ending}{stage}{work}");
        seat.state = SeatState::Vacant { due: now + delay };
        let is_replaced_at_once = can_fork && delay.is_zero();
        if is_replaced_at_once {
            seat.obituary = Some(Obituary {
                level,
                text: text.clone(),
            });
        }
        self.slots.release(sitter.slot);
        if is_replaced_at_once {
            // Logged with its replacement's pid.
        } else if can_fork {
            self.log(
                level,
                format!("{text}; the next one starts in {}", seconds(delay)),
            );
        } else {
            self.log(
                level,
                format!("{text}; the next one starts when the application is loaded again"),
            );
        }
        if !was_serving {
            self.boot_failure(id, 1, text, now);
        }
    }

    /// Something died that should have helped a new generation up. Too often, and the generation is given up.
    fn boot_failure(&mut self, generation: u64, status: i32, reason: String, now: Instant) {
        let Some(next) = self.next.as_mut().filter(|next| next.id == generation) else {
            return;
        };
        next.failures += 1;
        if next.failures >= BOOT_FAILURES {
            self.give_up_next(status, reason, now);
        }
    }
}

/// Generations: one after the other.
impl Supervisor {
    fn begin_reload(&mut self) {
        self.reload = Reload::Reading;
        self.notify(Notice::Reloading);
        self.outputs.push_back(Output::Reread);
    }

    fn reread(&mut self, result: Result<Settings, String>, now: Instant) {
        if self.reload == Reload::Reading {
            self.reload = Reload::Idle;
        }
        if self.phase != Phase::Running || self.next.is_some() {
            return;
        }
        match result {
            Ok(settings) => {
                self.generations += 1;
                let workers = self.clamp_workers(settings.workers);
                self.next = Some(Generation::new(
                    self.generations,
                    Settings { workers, ..settings },
                    now,
                ));
            }
            Err(reason) => self.reload_failed(&reason),
        }
    }

    /// Half of the slots: two generations must fit in.
    fn clamp_workers(&mut self, wanted: usize) -> usize {
        let most = (self.slots.count() / 2).max(1);
        if wanted > most {
            self.log(
                Level::Warn,
                format!("{wanted} workers do not fit until the server is restarted, {most} are used"),
            );
        }
        wanted.clamp(1, most)
    }

    fn reload_failed(&mut self, reason: &str) {
        self.brutal = false;
        let Some(current) = &self.current else {
            return;
        };
        let id = current.id;
        self.log(
            Level::Error,
            format!("reload failed: {reason}; generation {id} goes on serving"),
        );
        self.notify(Notice::Ready(format!(
            "reload failed: {reason}; {}",
            self.status()
        )));
    }

    /// The generation in preparation will not come to be.
    fn give_up_next(&mut self, status: i32, reason: String, now: Instant) {
        let Some(next) = self.next.take() else {
            return;
        };
        self.dissolve(next, Urge::Drain, now);
        if self.current.is_some() {
            self.reload_failed(&reason);
            return;
        }
        self.log(Level::Error, format!("cannot start: {reason}"));
        self.stop(Urge::Hurry, status, Some(reason), now);
    }

    /// The generation in preparation takes over.
    fn promote_next(&mut self, now: Instant) {
        let Some(next) = self.next.take() else {
            return;
        };
        let (generation, workers) = (next.id, next.seats.len());
        let took = now.saturating_duration_since(next.since);
        let former = self.current.replace(next);
        self.outputs.push_back(Output::Serving {
            generation,
            workers,
            took,
        });
        self.notify(Notice::Ready(self.status()));
        if let Some(former) = former {
            let urge = if self.brutal { Urge::Hurry } else { Urge::Drain };
            self.dissolve(former, urge, now);
        }
        self.brutal = false;
    }

    /// Sends everyone of a generation away.
    fn dissolve(&mut self, generation: Generation, urge: Urge, now: Instant) {
        let id = generation.id;
        let mold = generation.mold;
        for seat in &generation.seats {
            self.dissolve_seat(seat, &generation, urge, now);
        }
        match mold {
            // It is in the application's code and would not listen.
            Mold::Loading { id: mold, pid, .. } => {
                self.send_away(pid, Role::Mold { id: mold }, id, Urge::Kill, MOLD_MERCY, now);
            }
            Mold::Ready { id: mold, pid, .. } => {
                self.send_away(
                    pid,
                    Role::Mold { id: mold },
                    id,
                    urge.min(Urge::Hurry),
                    MOLD_MERCY,
                    now,
                );
            }
            Mold::Due(_) | Mold::Asked(_) | Mold::Lost => {}
        }
        self.retiring.push(id);
    }

    fn dissolve_seat(&mut self, seat: &Seat, generation: &Generation, urge: Urge, now: Instant) {
        let mercy = generation.settings.mercy;
        match seat.state {
            SeatState::Vacant { .. } => {}
            SeatState::Requested { ticket, slot, .. } => self.forgotten.push(Forgotten {
                ticket,
                mold: generation.mold.id(),
                number: seat.number,
                generation: generation.id,
                slot,
            }),
            // It has no client yet, and is in the application's code.
            SeatState::Starting(sitter) => {
                let role = Role::Worker {
                    number: seat.number,
                    slot: Some(sitter.slot),
                };
                self.send_away(sitter.pid, role, generation.id, Urge::Kill, mercy, now);
            }
            SeatState::Serving(sitter) => {
                let role = Role::Worker {
                    number: seat.number,
                    slot: Some(sitter.slot),
                };
                self.send_away(sitter.pid, role, generation.id, urge, mercy, now);
            }
        }
        if let Some(obituary) = &seat.obituary {
            self.log(obituary.level, obituary.text.clone());
        }
    }

    fn send_away(
        &mut self,
        pid: Pid,
        role: Role,
        generation: u64,
        urge: Urge,
        mercy: Duration,
        now: Instant,
    ) {
        let mercy = if urge == Urge::Hurry { HURRIED_MERCY } else { mercy };
        let deadline = now + mercy;
        self.leavers.push(Leaver {
            pid,
            role,
            generation,
            urge,
            mercy,
            deadline,
        });
        self.outputs.push_back(match (role, urge) {
            (Role::Mold { .. }, Urge::Drain | Urge::Hurry) => Output::DismissMold { pid },
            _ => Output::Leave { pid, urge },
        });
    }
}

/// What operators ask for.
impl Supervisor {
    fn command(&mut self, command: Command, now: Instant) {
        let die_on_term = self
            .generations()
            .next()
            .is_none_or(|generation| generation.settings.die_on_term);
        match command {
            Command::Reload => self.want_reload(false),
            Command::Terminate if !die_on_term => self.want_reload(true),
            Command::Interrupt => self.stop_by_command("INT", Urge::Drain, now),
            Command::Terminate => self.stop_by_command("TERM", Urge::Drain, now),
            Command::Quit => self.stop_by_command("QUIT", Urge::Hurry, now),
            Command::Report => self.outputs.extend([Output::ReopenLogs, Output::ShowState]),
            Command::Reexecute => self.want_reexecution(),
            Command::MoreWorkers => self.add_worker(now),
            Command::FewerWorkers => self.remove_worker(now),
            Command::TogglePause => self.toggle_pause(),
        }
    }

    fn want_reload(&mut self, brutal: bool) {
        if self.phase != Phase::Running {
            self.log(Level::Warn, "not reloading: the server is stopping");
            return;
        }
        self.brutal |= brutal;
        if self.next.is_some() || self.reload != Reload::Idle {
            self.log(
                Level::Info,
                "asked to reload once more: follows when the one under way is done",
            );
        } else {
            self.log(Level::Info, "reloading");
        }
        self.reload = Reload::Wanted;
    }

    fn stop_by_command(&mut self, signal: &str, urge: Urge, now: Instant) {
        let Phase::Stopping {
            since, urge: before, ..
        } = &mut self.phase
        else {
            let how = if urge == Urge::Drain {
                "gracefully"
            } else {
                "at once"
            };
            self.log(Level::Info, format!("stopping {how} on {signal}"));
            self.stop(urge, 0, None, now);
            return;
        };
        if urge == Urge::Drain && now.saturating_duration_since(*since) < SAME_STOP {
            return;
        }
        let harder = match *before {
            Urge::Drain => Urge::Hurry,
            Urge::Hurry | Urge::Kill => Urge::Kill,
        };
        *before = harder;
        *since = now;
        self.log(Level::Warn, format!("stopping at once on {signal}"));
        self.urge_all(harder, now);
    }

    /// Everything is sent away; the server ends when it is gone.
    fn stop(&mut self, urge: Urge, status: i32, reason: Option<String>, now: Instant) {
        self.phase = Phase::Stopping {
            since: now,
            urge,
            status,
            reason,
        };
        self.reload = Reload::Idle;
        self.reexecution = Reexecution::Idle;
        self.notify(Notice::Stopping);
        for generation in [self.next.take(), self.current.take()].into_iter().flatten() {
            self.dissolve(generation, urge, now);
        }
        if urge > Urge::Drain {
            self.urge_all(urge, now);
        }
    }

    /// Those who are leaving are told to make haste.
    fn urge_all(&mut self, urge: Urge, now: Instant) {
        for leaver in &mut self.leavers {
            if leaver.urge >= urge {
                continue;
            }
            leaver.urge = urge;
            leaver.mercy = HURRIED_MERCY;
            leaver.deadline = leaver.deadline.min(now + HURRIED_MERCY);
            // A mold was told already, and knows no haste.
            if !leaver.is_mold() || urge == Urge::Kill {
                self.outputs.push_back(Output::Leave {
                    pid: leaver.pid,
                    urge,
                });
            }
        }
    }

    fn add_worker(&mut self, now: Instant) {
        let most = self.slots.count() / 2;
        let mut wanted = None;
        for generation in self.generations_mut() {
            if generation.seats.len() < most {
                let number = generation.seats.len() + 1;
                generation.seats.push(Seat::new(number, now));
            }
            wanted = Some(generation.seats.len());
        }
        if let Some(wanted) = wanted {
            self.log(Level::Info, format!("one worker more: {wanted} wanted"));
        }
    }

    fn remove_worker(&mut self, now: Instant) {
        let mut wanted = None;
        for is_next in [false, true] {
            let place = if is_next {
                &mut self.next
            } else {
                &mut self.current
            };
            let Some(mut generation) = place.take() else {
                continue;
            };
            let removed = if generation.seats.len() > 1 {
                generation.seats.pop()
            } else {
                None
            };
            wanted = Some(generation.seats.len());
            if let Some(seat) = removed {
                self.dissolve_seat(&seat, &generation, Urge::Drain, now);
            }
            let place = if is_next {
                &mut self.next
            } else {
                &mut self.current
            };
            *place = Some(generation);
        }
        if let Some(wanted) = wanted {
            self.log(Level::Info, format!("one worker less: {wanted} wanted"));
        }
    }

    fn toggle_pause(&mut self) {
        if self.phase != Phase::Running {
            return;
        }
        self.paused = !self.paused;
        self.outputs.push_back(Output::Pause(self.paused));
        let text = if self.paused {
            "paused: new connections wait until the next TSTP"
        } else {
            "going on after a pause"
        };
        self.log(Level::Info, text);
        self.notify(Notice::Status(self.status()));
    }

    fn want_reexecution(&mut self) {
        if self.phase != Phase::Running {
            self.log(Level::Warn, "not re-executing: the server is stopping");
            return;
        }
        if self.reexecution == Reexecution::Idle {
            self.log(
                Level::Info,
                "asked to re-execute: trying the program at our path first",
            );
            self.reexecution = Reexecution::Wanted;
        }
    }

    fn preflight(&mut self, result: Result<(), String>) {
        if self.reexecution != Reexecution::Checking {
            return;
        }
        match result {
            Ok(()) => self.reexecution = Reexecution::Agreed,
            Err(reason) => self.not_reexecuted(&reason),
        }
    }

    fn not_reexecuted(&mut self, reason: &str) {
        self.reexecution = Reexecution::Idle;
        self.log(
            Level::Error,
            format!("not re-executed: {reason}; everything goes on as it was"),
        );
    }
}

/// What follows from the state and the clock.
impl Supervisor {
    fn advance(&mut self, now: Instant) {
        self.kill_overdue(now);
        if self.phase == Phase::Running {
            self.limit_reload(now);
            self.start_molds(now);
            self.fill_seats(now);
            if self.next.as_ref().is_some_and(Generation::is_complete) {
                self.promote_next(now);
            }
            if self.reload == Reload::Wanted && self.next.is_none() && self.current.is_some() {
                self.begin_reload();
            }
            self.advance_reexecution();
        }
        self.retire();
        self.end_when_alone();
    }

    fn kill_overdue(&mut self, now: Instant) {
        for leaver in &mut self.leavers {
            if leaver.next_deadline().is_none_or(|deadline| deadline > now) {
                continue;
            }
            let (what, slot) = match leaver.role {
                Role::Worker { number, slot } => (format!("worker {number}"), slot),
                Role::Mold { .. } => (format!("the mold of generation {}", leaver.generation), None),
            };
            leaver.urge = Urge::Kill;
            let (pid, mercy) = (leaver.pid, leaver.mercy);
            self.outputs.push_back(Output::Overdue {
                pid,
                what,
                slot,
                mercy,
            });
            self.outputs.push_back(Output::Leave {
                pid,
                urge: Urge::Kill,
            });
        }
        self.kill_stuck_molds(now);
    }

    /// A mold that does not answer is of no use; its death brings everything else about.
    fn kill_stuck_molds(&mut self, now: Instant) {
        let mut stuck = Vec::new();
        for generation in self.current.iter_mut().chain(&mut self.next) {
            if generation.take_overdue_fork(FORK_LIMIT, now) {
                let limit = seconds(FORK_LIMIT);
                stuck.extend(
                    generation
                        .mold
                        .pid()
                        .map(|pid| (pid, format!("did not fork within {limit}"))),
                );
            }
        }
        // Where a generation is new, limit_reload() looks after it.
        if let Some(Mold::Loading { pid, since, .. }) = self.current.as_mut().map(|current| &mut current.mold)
            && *since + RELOAD_LIMIT <= now
        {
            *since = now;
            stuck.push((*pid, format!("was not ready within {}", seconds(RELOAD_LIMIT))));
        }
        for (pid, what) in stuck {
            self.log(Level::Error, format!("the mold (pid {pid}) {what} and is killed"));
            self.outputs.push_back(Output::Leave {
                pid,
                urge: Urge::Kill,
            });
        }
    }

    fn limit_reload(&mut self, now: Instant) {
        let is_over = |next: &Generation| next.since + RELOAD_LIMIT <= now;
        if self.current.is_some() && self.next.as_ref().is_some_and(is_over) {
            let reason = format!(
                "the new generation was not ready within {}",
                seconds(RELOAD_LIMIT)
            );
            self.give_up_next(1, reason, now);
        }
    }

    fn start_molds(&mut self, now: Instant) {
        let first = self.current.is_none();
        for generation in self.current.iter_mut().chain(&mut self.next) {
            if matches!(generation.mold, Mold::Due(due) if due <= now) {
                self.molds += 1;
                generation.mold = Mold::Asked(self.molds);
                let (mold, generation) = (self.molds, generation.id);
                self.outputs.push_back(Output::StartMold {
                    mold,
                    generation,
                    first,
                });
            }
        }
    }

    fn fill_seats(&mut self, now: Instant) {
        for generation in self.current.iter_mut().chain(&mut self.next) {
            let Some(mold) = generation.mold.ready_id() else {
                continue;
            };
            for seat in &mut generation.seats {
                if !matches!(seat.state, SeatState::Vacant { due } if due <= now) {
                    continue;
                }
                let Some(slot) = self.slots.take() else {
                    // Those who leave still have theirs.
                    seat.state = SeatState::Vacant {
                        due: now + Duration::from_secs(1),
                    };
                    continue;
                };
                self.tickets = self.tickets.wrapping_add(1);
                let (ticket, number) = (self.tickets, seat.number);
                seat.state = SeatState::Requested {
                    ticket,
                    slot,
                    since: now,
                };
                self.outputs.push_back(Output::Fork {
                    mold,
                    ticket,
                    number,
                    slot,
                });
            }
        }
    }

    fn advance_reexecution(&mut self) {
        let no_mold_leaves = !self.leavers.iter().any(Leaver::is_mold);
        let is_settled = self.current.as_ref().is_some_and(Generation::is_settled);
        let is_quiet = self.next.is_none() && self.reload == Reload::Idle && self.forgotten.is_empty();
        if !(no_mold_leaves && is_settled && is_quiet) {
            return;
        }
        match self.reexecution {
            Reexecution::Idle | Reexecution::Checking => {}
            Reexecution::Wanted => {
                self.reexecution = Reexecution::Checking;
                self.outputs.push_back(Output::Preflight);
            }
            Reexecution::Agreed => {
                self.reexecution = Reexecution::Idle;
                self.outputs.push_back(Output::Reexecute);
            }
        }
    }

    fn retire(&mut self) {
        let (leavers, forgotten) = (&self.leavers, &self.forgotten);
        let outputs = &mut self.outputs;
        self.retiring.retain(|&id| {
            let is_there = leavers.iter().any(|leaver| leaver.generation == id)
                || forgotten.iter().any(|forgotten| forgotten.generation == id);
            if !is_there {
                outputs.push_back(Output::Retired { generation: id });
            }
            is_there
        });
    }

    fn end_when_alone(&mut self) {
        let Phase::Stopping { status, reason, .. } = &mut self.phase else {
            return;
        };
        if self.leavers.is_empty() {
            let (status, reason) = (*status, reason.take());
            self.phase = Phase::Ended;
            self.outputs.push_back(Output::Exit { status, reason });
        }
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
