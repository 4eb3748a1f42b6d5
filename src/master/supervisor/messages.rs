//! What goes into a [`Supervisor`](super::Supervisor) and what comes out of it.

use std::time::Duration;

use log::Level;

use super::Measured;
use crate::config::Scaling;
use crate::launch::ClientId;
use crate::sys::{Ending, Pid};

/// Names one request to fork a worker.
pub(crate) type Ticket = u32;
/// Names one mold; a generation may use up several.
pub(crate) type MoldId = u32;
/// A place in the scoreboard.
pub(crate) type SlotIndex = usize;

/// What of the configuration is decided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Workers wanted, at least 1.
    pub(crate) workers: usize,
    /// How many of them there are at a time.
    pub(crate) scaling: Scaling,
    /// How long a leaving worker may take (`worker-reload-mercy`).
    pub(crate) mercy: Duration,
    /// How long a generation may take to get ready (`boot-timeout`).
    pub(crate) boot_limit: Duration,
    /// TERM stops (`die-on-term`); else it reloads, brutally.
    pub(crate) die_on_term: bool,
}

/// What an operator asked for, by a signal, by a byte in the FIFO or by touching a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// HUP: a new generation.
    Reload,
    /// A new generation, and the old one is cut off.
    BrutalReload,
    /// A new generation, worker by worker.
    ChainReload,
    /// New workers of the generation that serves.
    RenewWorkers,
    /// The same, and the old ones are cut off.
    RenewWorkersBrutally,
    /// Stop gracefully, as INT does.
    Stop,
    /// Stop at once, as QUIT does.
    StopAtOnce,
    /// Show the state.
    ShowState,
    /// Write the pidfiles again.
    WritePidfiles,
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
    /// No workers until someone asks for something.
    GoCheap,
    /// TSTP: pause, or go on.
    TogglePause,
    /// Open the logs again.
    ReopenLogs,
    /// Put the log's file aside and begin a new one.
    RotateLogs,
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
        /// What it had done, behind `worker 2 (pid 7) was killed by SIGSEGV`: ` after 12 requests, while
        /// serving …`.
        work: String,
    },
    /// A worker has reached a limit. Said again as long as it is so.
    Worn {
        /// Which.
        pid: Pid,
        /// `has served 1004 requests (max-requests = 1000)`.
        reason: String,
    },
    /// A worker has reached a limit beyond which it must not live.
    Deadly {
        /// Which.
        pid: Pid,
        /// As with [`Input::Worn`].
        reason: String,
    },
    /// A request keeps a worker's application busy for too long. Said again as long as it is so.
    Stuck {
        /// Which.
        pid: Pid,
        /// How long it may take to finish what else it has, once it is replaced.
        grace: Duration,
    },
    /// A second has passed, in which that was measured.
    Measured(Measured),
    /// Someone asks for something, and there are no workers.
    Knock,
    /// An operator's wish.
    Command(Command),
    /// Someone asks for a reload, and waits to hear how it went.
    ReloadFor(ClientId),
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
    /// Have a process tell where its threads are.
    Trace {
        /// Which.
        pid: Pid,
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
    /// Say how the reload went that someone waits for.
    Answer {
        /// Who.
        client: ClientId,
        /// The generation that serves, or why it is no new one.
        outcome: Result<u64, String>,
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
    /// Put the log's file aside, then as [`Output::ReopenLogs`].
    RotateLogs,
    /// Write the pidfiles again.
    WritePidfiles,
    /// Log what everyone does.
    ShowState,
    /// Try whether the program at our path accepts our configuration.
    Preflight,
    /// It takes too long: end it.
    AbandonPreflight,
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
    /// Numbers that no worker is wanted for.
    pub(crate) closed: Vec<usize>,
    /// Are they paused?
    pub(crate) paused: bool,
}
