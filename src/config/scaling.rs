//! [`Scaling`]: how many workers there are at a time (`cheaper` and its like, `idle`, `cheap`).

use std::time::Duration;

/// How many workers there are at a time; without all of it, always as many as there may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scaling {
    /// `cheaper`: as many as are needed.
    pub cheaper: Option<Cheaper>,
    /// `idle`: none, once nobody has asked for anything for so long, until someone does.
    pub idle: Option<Duration>,
    /// `die-on-idle`: then the whole server ends.
    pub die_on_idle: bool,
    /// `cheap`: none at the start, until someone asks.
    pub cheap: bool,
}

/// Between how many workers and how many, and how to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cheaper {
    /// `cheaper`: the fewest; with `spare2` the fewest idle ones.
    pub least: usize,
    /// `cheaper-initial`: so many at the start. Not fewer than `least`.
    pub initial: usize,
    /// `cheaper-step`: so many more at a time, at least 1.
    pub step: usize,
    /// `cheaper-algo`
    pub algorithm: Algorithm,
    /// `cheaper-rss-limit-soft`: no more of them when they have so many bytes of memory together.
    pub soft_memory: Option<u64>,
    /// `cheaper-rss-limit-hard`: fewer of them.
    pub hard_memory: Option<u64>,
}

/// How to tell whether more workers are needed, or fewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// More when all have been busy for `overload` seconds; fewer, one by one, when for as long more than one was idle.
    Spare {
        /// `cheaper-overload`, seconds.
        overload: u32,
    },
    /// So that there are `cheaper` idle ones: more at once, fewer, one by one, after `idle` seconds.
    Spare2 {
        /// `cheaper-idle`, seconds.
        idle: u32,
    },
    /// More when more than `overload` connections wait; fewer, one by one, when none has for `idle` seconds and more than
    /// one worker was idle.
    Backlog {
        /// `cheaper-overload`, connections.
        overload: u32,
        /// `cheaper-idle`, seconds.
        idle: u32,
    },
    /// By the part of their time that workers are busy.
    Busyness(Busyness),
    /// By operators only (TTIN, TTOU, the FIFO).
    Manual,
}

/// The settings of `cheaper-algo = busyness`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busyness {
    /// `cheaper-overload`: seconds of a window, at least 1.
    pub window: u32,
    /// `cheaper-busyness-max`, per cent: more workers above it.
    pub most: u32,
    /// `cheaper-busyness-min`, per cent: fewer below it.
    pub least: u32,
    /// `cheaper-busyness-multiplier`: after so many windows in a row.
    pub multiplier: u32,
    /// `cheaper-busyness-penalty`: after so many more, where one was stopped too early.
    pub penalty: u32,
    /// `cheaper-busyness-backlog-alert`: more workers at once when so many connections wait.
    pub backlog_alert: u32,
    /// `cheaper-busyness-backlog-step`: so many.
    pub backlog_step: usize,
    /// `cheaper-busyness-backlog-multiplier`: those may go after so many windows.
    pub backlog_multiplier: u32,
    /// `cheaper-busyness-backlog-nonzero`: more workers when some connections have waited for so many seconds.
    pub backlog_nonzero: u32,
    /// `cheaper-busyness-verbose`: log every window.
    pub verbose: bool,
}
