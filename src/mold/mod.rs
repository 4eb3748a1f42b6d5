//! A mold: the process that loads the application once and forks workers from it. It does nothing by itself:
//! the master asks, and what becomes of the workers is the master's business; they are its children, not the
//! mold's.

mod affinity;
mod channel;
mod warm_up;

pub use channel::{Channel, Next, Report, Request};

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use uwrs_api::{ForkStage, LoadError, Runtime, WorkerFacts};

use crate::config::{Config, EnvironmentChange};
use crate::launch::{ProcessRole, Titles};
use crate::logging;
use crate::master::STATUS_NO_APPLICATION;
use crate::program::{Serve, StartRuntime};
use crate::scoreboard::{Occupant, Scoreboard, Slot};
use crate::server::Ferry;
use crate::sys::{self, Fork, Pid, SignalMask};
use crate::worker::{BoundListener, Departure, Seat};

/// What systemd says of the sockets that it passes (sd_listen_fds(3)).
const SYSTEMD_VARIABLES: [&str; 3] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"];

/// Exit status of a process of ours that panicked; Rust's own.
const STATUS_PANIC: i32 = 101;

/// What a mold is given when it is forked.
pub struct Mold {
    /// Which generation of the application it loads.
    pub generation: u64,
    /// The configuration of its generation.
    pub config: Arc<Config>,
    /// The sockets that its workers serve.
    pub listeners: Vec<Arc<BoundListener>>,
    /// Takes connections from worker to worker; `None`: there is but one.
    pub ferry: Option<Arc<Ferry>>,
    /// The shared table.
    pub scoreboard: Arc<Scoreboard>,
    /// To the master.
    pub channel: Channel,
    /// At its end when the master is gone.
    pub lifeline: OwnedFd,
    /// The master.
    pub master: Pid,
    /// Go on without an application where it cannot be loaded.
    pub tolerant: bool,
    /// Starts the interpreter.
    pub start_runtime: StartRuntime,
    /// A worker's life.
    pub serve: Serve,
    /// What `ps` shows.
    pub titles: Titles,
}

/// One request to fork.
#[derive(Clone, Copy)]
struct Order {
    ticket: u32,
    number: usize,
    slot: usize,
}

/// On which side of a fork one is.
enum Side {
    Mold,
    Worker,
}

impl Mold {
    /// Lives in a process that was just forked for it, with all signals blocked; `mask` is what to restore.
    /// Ends the process, in the workers that it forks too.
    pub fn live(self, mask: &SignalMask) -> ! {
        // A panic must not unwind into the master's frames, which this process has a copy of.
        let status = catch_unwind(AssertUnwindSafe(|| self.run(mask)));
        sys::exit_now(status.unwrap_or(STATUS_PANIC))
    }

    fn run(self, mask: &SignalMask) -> i32 {
        let role = ProcessRole::Mold(self.generation);
        logging::set_role(&role.to_string());
        self.titles.show(role);
        if let Err(error) = sys::ignore_commands().and_then(|()| sys::expect_traceback_signal()) {
            return self.fail(1, format!("cannot take signals: {error}"));
        }
        sys::restore_signals(mask);
        let loaded = guarded(self.master, || {
            let mut runtime = self.load()?;
            self.freeze(&mut *runtime);
            Ok(runtime)
        });
        let runtime = match loaded {
            Ok(runtime) => runtime,
            Err(Failure { status, reason }) => return self.fail(status, reason),
        };
        // What the application installed would let `killall` end the mold.
        let renewed = sys::ignore_commands();
        if renewed.is_err() || self.channel.report(&Report::MoldReady).is_err() {
            return 0;
        }
        self.serve_requests(runtime)
    }

    fn fail(&self, status: i32, reason: String) -> i32 {
        // Nobody listens only when the master is gone.
        let _ = self.channel.report(&Report::MoldFailed { status, reason });
        status
    }

    fn load(&self) -> Result<Box<dyn Runtime>, Failure> {
        enter_environment(&self.config)?;
        let mut runtime =
            (self.start_runtime)(&self.config, Some(self.master)).map_err(|error| Failure::log(&error, 1))?;
        log::info!("{}", runtime.describe());
        if !self.config.application.lazy {
            load_application(&mut *runtime, &self.config, self.tolerant)?;
        }
        Ok(runtime)
    }

    /// Makes what is loaded ready to be shared, after `warm-up`.
    fn freeze(&self, runtime: &mut dyn Runtime) {
        let wanted = &self.config.application.warm_up;
        let port = self.listeners.iter().find_map(|listener| listener.port);
        let mut is_asked = false;
        runtime.freeze(&mut |gateway| {
            is_asked = true;
            warm_up::warm_up(gateway, wanted, &self.config.limits, port);
        });
        sys::settle_heap();
        if !is_asked && !wanted.is_empty() {
            log::warn!(
                "warm-up: only applications that speak WSGI can be asked before there are workers: ignored"
            );
        }
    }

    /// Forks as asked, until told to leave or until the master is gone.
    fn serve_requests(mut self, mut runtime: Box<dyn Runtime>) -> i32 {
        loop {
            let watched = [self.channel.as_fd(), self.lifeline.as_fd()];
            let ready = sys::wait_readable(&watched, None).unwrap_or_default();
            if ready.get(1) == Some(&true) {
                break;
            }
            match self.channel.next_request() {
                Ok(Next::Nothing) => {}
                Ok(Next::Message(Request::Fork { ticket, number, slot })) => {
                    let order = Order {
                        ticket,
                        number: number as usize,
                        slot: slot as usize,
                    };
                    let before = sys::block_signals();
                    if let Side::Worker = self.fork(&mut *runtime, order) {
                        return self.become_worker(runtime, order, &before);
                    }
                    sys::restore_signals(&before);
                }
                Ok(Next::Message(Request::ReopenLog)) => {
                    if let Err(error) = logging::reopen() {
                        log::error!("{error}");
                    }
                }
                Ok(Next::Message(Request::Leave) | Next::End) => break,
                Err(error) => {
                    log::error!("cannot hear the master: {error}");
                    break;
                }
            }
        }
        runtime.leave();
        0
    }

    /// Forks twice: the process in between ends at once, so that the worker becomes the master's child, which
    /// waits for it and can tell how it ended. Called with all signals blocked.
    fn fork(&mut self, runtime: &mut dyn Runtime, order: Order) -> Side {
        runtime.fork(ForkStage::Before);
        match sys::fork() {
            Ok(Fork::Parent(between)) => {
                runtime.fork(ForkStage::Parent);
                sys::reap_child(between);
                Side::Mold
            }
            Ok(Fork::Child) => self.fork_again(order),
            Err(error) => {
                runtime.fork(ForkStage::Parent);
                self.tell_not_forked(order, &error);
                Side::Mold
            }
        }
    }

    fn fork_again(&self, order: Order) -> Side {
        match sys::fork() {
            Ok(Fork::Child) => return Side::Worker,
            // Before this process ends the worker cannot be reaped by the master: the report comes first.
            Ok(Fork::Parent(pid)) => {
                let _ = self.channel.report(&Report::Forked {
                    ticket: order.ticket,
                    pid,
                });
            }
            Err(error) => self.tell_not_forked(order, &error),
        }
        sys::exit_now(0)
    }

    fn tell_not_forked(&self, order: Order, error: &std::io::Error) {
        let too_many = error.raw_os_error() == Some(libc::EAGAIN);
        let hint = if too_many {
            ": too many processes (ulimit -u, or the cgroup's pids.max)"
        } else {
            ""
        };
        let reason = format!("{error}{hint}");
        let _ = self.channel.report(&Report::NotForked {
            ticket: order.ticket,
            reason,
        });
    }

    /// The rest of a worker's life.
    fn become_worker(self, mut runtime: Box<dyn Runtime>, order: Order, mask: &SignalMask) -> i32 {
        let role = ProcessRole::Worker(order.number);
        logging::set_role(&role.to_string());
        self.titles.show(role);
        if let Some(each) = self.config.processes.cpu_affinity {
            affinity::apply(order.number, each);
        }
        let signals = sys::take_worker_signals();
        sys::restore_signals(mask);
        runtime.fork(ForkStage::Child);
        let occupant = Occupant {
            pid: std::process::id() as Pid,
            number: order.number,
            generation: self.generation,
        };
        let slot = Slot::occupy(self.scoreboard, order.slot, occupant);
        let facts = WorkerFacts {
            number: order.number,
            master: Some(self.master),
        };
        let gateway = signals
            .map_err(|error| Failure {
                status: 1,
                reason: format!("cannot take signals: {error}"),
            })
            .and_then(|signals| {
                if self.config.application.lazy {
                    load_application(&mut *runtime, &self.config, self.tolerant)?;
                }
                let entered = runtime.enter_worker(facts);
                let gateway = entered.map_err(|error| Failure::log(&error, STATUS_NO_APPLICATION))?;
                Ok((signals, gateway))
            });
        let (signals, gateway) = match gateway {
            Ok(both) => both,
            Err(Failure { status, reason }) => {
                let ticket = order.ticket;
                let _ = self.channel.report(&Report::WorkerFailed {
                    ticket,
                    status,
                    reason,
                });
                return status;
            }
        };
        if let Err(error) = sys::renew_worker_signals() {
            log::error!("cannot take signals: {error}");
        }
        let channel = self.channel;
        let announce = move || {
            // The only one who could mind is a master that is gone, and that the lifeline tells.
            let _ = channel.report(&Report::WorkerReady {
                ticket: order.ticket,
                pid: occupant.pid,
            });
        };
        let seat = Seat {
            facts,
            generation: self.generation,
            config: self.config,
            listeners: self.listeners,
            ferry: self.ferry,
            slot,
            signals,
            ready: Some(Box::new(announce)),
            lifeline: Some(self.lifeline),
        };
        serve_to_the_end(self.serve, seat, gateway, runtime)
    }
}

/// Runs what may take long and listens to nobody, an import of an application: a master that is gone
/// meanwhile takes this process with it. `master` must be the parent.
fn guarded<T>(master: Pid, work: impl FnOnce() -> T) -> T {
    // Where the kernel refuses, an orphan leaves when it comes to look at its lifeline.
    let is_set = sys::set_die_with_parent(true).is_ok();
    if is_set && sys::parent_pid() != master {
        sys::exit_now(0);
    }
    let result = work();
    if is_set {
        let _ = sys::set_die_with_parent(false);
    }
    result
}

/// A worker's loop and its end, with or without a master: its exit status.
pub(crate) fn serve_to_the_end(
    serve: Serve,
    seat: Seat,
    gateway: Box<dyn uwrs_api::Gateway>,
    mut runtime: Box<dyn Runtime>,
) -> i32 {
    let departure = catch_unwind(AssertUnwindSafe(|| serve(seat, gateway, &*runtime)));
    runtime.leave();
    match departure {
        Ok(Departure::Drained) => 0,
        Ok(Departure::Orphaned) => {
            log::warn!("the master is gone: this worker leaves");
            0
        }
        Ok(Departure::Failed) => 1,
        Err(_) => STATUS_PANIC,
    }
}

/// Why an application cannot be served, logged already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What the server should end with.
    pub(crate) status: i32,
    /// One sentence.
    pub(crate) reason: String,
}

impl Failure {
    /// Logs an error with its traceback. `status`: where the application did not choose one.
    pub(crate) fn log(error: &LoadError, status: i32) -> Self {
        log::error!("{}", error.in_full());
        Self {
            status: error.exit_status.unwrap_or(status),
            reason: error.message.clone(),
        }
    }
}

/// `env`, `unenv`, `chdir`: before the interpreter starts, which looks at both.
pub(crate) fn enter_environment(config: &Config) -> Result<(), Failure> {
    // They are about descriptors that programs which the application starts do not have.
    for name in SYSTEMD_VARIABLES {
        sys::set_environment(name, None);
    }
    for change in &config.application.environment {
        match change {
            EnvironmentChange::Set(name, value) => sys::set_environment(name, Some(OsStr::new(value))),
            EnvironmentChange::Unset(name) => sys::set_environment(name, None),
        }
    }
    let Some(directory) = &config.application.chdir else {
        return Ok(());
    };
    std::env::set_current_dir(directory).map_err(|error| {
        let message = format!("chdir = {}: {error}", directory.display());
        Failure::log(
            &LoadError {
                message,
                traceback: None,
                exit_status: None,
            },
            1,
        )
    })
}

/// Loads the application in this process and serves nothing (`--check=app`). What is found goes to the log;
/// `false` where the application cannot be loaded.
pub fn check_application(config: &Config, start_runtime: StartRuntime) -> bool {
    let checked = enter_environment(config).and_then(|()| {
        let mut runtime = start_runtime(config, None).map_err(|error| Failure::log(&error, 1))?;
        let loaded = load_application(&mut *runtime, config, false);
        runtime.leave();
        loaded
    });
    checked.is_ok()
}

/// Imports what was asked for. `tolerant`: an application that cannot be loaded is put up with (`need-app =
/// false`), unless it asked the process to end.
pub(crate) fn load_application(
    runtime: &mut dyn Runtime,
    config: &Config,
    tolerant: bool,
) -> Result<(), Failure> {
    sys::notice_forks().map_err(|error| Failure {
        status: 1,
        reason: format!("cannot notice forks: {error}"),
    })?;
    let loaded = runtime.load();
    sys::end_forked_copy("its import");
    let loaded = loaded.and_then(|apps| {
        if apps.is_empty() && config.application.need_app {
            let message =
                "no application: name one with module = or wsgi-file =, or say need-app = false".into();
            return Err(LoadError {
                message,
                traceback: None,
                exit_status: None,
            });
        }
        Ok(apps)
    });
    let apps = match loaded {
        Ok(apps) => apps,
        Err(error) => {
            let failure = Failure::log(&error, STATUS_NO_APPLICATION);
            if tolerant && error.exit_status.is_none() {
                log::warn!("going on without an application: every request is answered with 500");
                return Ok(());
            }
            return Err(failure);
        }
    };
    for app in apps {
        let mountpoint = if app.mountpoint.is_empty() {
            String::new()
        } else {
            format!(" at {}", app.mountpoint)
        };
        let took = crate::master::seconds(app.took);
        log::info!(
            "{} application {}{mountpoint} loaded in {took}",
            app.interface,
            app.target
        );
    }
    Ok(())
}
