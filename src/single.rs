//! A server without a master (`master = false`): one process loads the application and serves. For debugging,
//! and where something else watches over it.
//!
//! HUP and USR2 can't be answered by a new generation beside the old: the process finishes what it has, then
//! starts anew on the same sockets; who connects meanwhile waits.

use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;
use std::sync::Arc;

use uwrs_api::{Gateway, Runtime, WorkerFacts};

use crate::config::{Config, PidfileMoment};
use crate::launch::{
    HANDOVER_VARIABLE, Invocation, Notifier, Prepared, Record, Waiting, clear_away, write_pidfiles,
};
use crate::master::{self, Handover, STATUS_NO_APPLICATION, seconds};
use crate::mold::{self, Failure};
use crate::scoreboard::{Occupant, Scoreboard, Slot};
use crate::sys::{self, Pid};
use crate::worker::Seat;

/// Runs a server to its end and gives the exit status.
pub(crate) fn run(prepared: Prepared<'_>) -> i32 {
    let mut single = match Single::new(prepared) {
        Ok(single) => single,
        Err(error) => {
            log::error!("{error}");
            return 1;
        }
    };
    let status = single.run();
    if status == 0 && sys::restart_was_asked() {
        log::info!("starting anew");
        let error = single.start_anew();
        log::error!("cannot start anew: {error}");
        return 1;
    }
    single.clean_up();
    log::info!("stopped");
    status
}

/// An interpreter with its applications, and the gateway to them.
type Loaded = (Box<dyn Runtime>, Box<dyn Gateway>);

struct Single<'a> {
    prepared: Prepared<'a>,
    scoreboard: Arc<Scoreboard>,
    notifier: Notifier,
    /// It has served, or one before it on the same sockets has.
    is_up: bool,
    /// As they were before the application's were set.
    directory: std::io::Result<PathBuf>,
    environment: Vec<(OsString, OsString)>,
}

impl<'a> Single<'a> {
    fn new(mut prepared: Prepared<'a>) -> Result<Self, String> {
        // A master that became this process has workers: they see their lifeline's end and leave.
        let is_up = prepared.adopted.take().is_some();
        let scoreboard = Scoreboard::new(1).map_err(|error| format!("cannot get shared memory: {error}"))?;
        Ok(Self {
            prepared,
            scoreboard: Arc::new(scoreboard),
            notifier: Notifier::from_environment(),
            is_up,
            directory: std::env::current_dir(),
            environment: std::env::vars_os().collect(),
        })
    }

    fn run(&mut self) -> i32 {
        let config = Arc::clone(&self.prepared.config);
        let mercy = config.processes.worker_reload_mercy.as_secs();
        let signals = match sys::take_single_signals(u32::try_from(mercy).unwrap_or(u32::MAX)) {
            Ok(signals) => signals,
            Err(error) => {
                log::error!("cannot take signals: {error}");
                return self.fail(1, "cannot take signals");
            }
        };
        let listeners = match &self.prepared.listeners {
            Ok(listeners) => listeners.clone(),
            Err(error) => {
                log::error!("{error}");
                return self.fail(1, &error.clone());
            }
        };
        let occupant = Occupant {
            pid: std::process::id() as Pid,
            number: 1,
            generation: 1,
        };
        let slot = Slot::occupy(Arc::clone(&self.scoreboard), 0, occupant);
        let (runtime, gateway) = match self.load(&config) {
            Ok(loaded) => loaded,
            Err(Failure { status, reason }) => return self.fail(status, &reason),
        };
        if let Err(error) = sys::renew_single_signals() {
            log::error!("cannot take signals: {error}");
        }
        self.announce();
        let seat = Seat {
            facts: WorkerFacts {
                number: 1,
                master: None,
            },
            generation: 1,
            config,
            listeners,
            ferry: None,
            slot,
            signals,
            ready: None,
            lifeline: None,
        };
        let status = mold::serve_to_the_end(self.prepared.program.serve, seat, gateway, runtime);
        self.notifier.stopping();
        status
    }

    fn load(&self, config: &Config) -> Result<Loaded, Failure> {
        mold::enter_environment(config)?;
        let started = (self.prepared.program.start_runtime)(config, None);
        let mut runtime = started.map_err(|error| Failure::log(&error, 1))?;
        log::info!("{}", runtime.describe());
        mold::load_application(&mut *runtime, config, !config.application.need_app)?;
        let entered = runtime.enter_worker(WorkerFacts {
            number: 1,
            master: None,
        });
        let gateway = entered.map_err(|error| Failure::log(&error, STATUS_NO_APPLICATION))?;
        Ok((runtime, gateway))
    }

    /// The server is up.
    fn announce(&mut self) {
        self.is_up = true;
        let errors = write_pidfiles(&self.prepared.config.processes.pidfiles, PidfileMoment::Up);
        errors.iter().for_each(|error| log::error!("{error}"));
        log::info!(
            "ready, {} after the start",
            seconds(self.prepared.started.elapsed())
        );
        self.prepared
            .waiting
            .take()
            .into_iter()
            .for_each(Waiting::succeed);
        self.notifier.ready("serving");
    }

    fn fail(&mut self, status: i32, reason: &str) -> i32 {
        self.prepared
            .waiting
            .take()
            .into_iter()
            .for_each(|waiting| waiting.fail(status, reason));
        status
    }

    fn clean_up(&mut self) {
        let Prepared { config, sockets, .. } = &mut self.prepared;
        clear_away(config, sockets, None, self.is_up);
    }

    /// Becomes the program at our path, with our sockets, in the directory and the environment we were
    /// started in. Returns only an error.
    fn start_anew(&self) -> String {
        let listeners = self.prepared.listeners.as_deref().unwrap_or_default();
        let become_program = || {
            if let Ok(directory) = &self.directory {
                std::env::set_current_dir(directory)?;
            }
            let (read, write) = sys::pipe()?;
            let handed = [read.as_fd(), write.as_fd(), self.scoreboard.descriptor()];
            let sockets = listeners.iter().map(|listener| listener.fd.as_fd());
            handed
                .into_iter()
                .chain(sockets)
                .try_for_each(|fd| sys::set_inheritable(fd, true))?;
            let record = Record {
                lifeline: (read.as_raw_fd(), write.as_raw_fd()),
                scoreboard: self.scoreboard.descriptor().as_raw_fd(),
                channel: None,
                sockets: self.prepared.sockets.records(listeners),
                fifo: None,
                ferry: None,
                server: Handover {
                    generation: 1,
                    settings: master::settings_of(&self.prepared.config),
                    mold: None,
                    workers: Vec::new(),
                    closed: Vec::new(),
                    paused: false,
                },
            };
            let mut environment = self.environment.clone();
            environment.push((HANDOVER_VARIABLE.into(), record.encode().into()));
            let Invocation {
                program, arguments, ..
            } = &self.prepared.invocation;
            sys::replace_program(program, arguments, &environment)
        };
        let Err(error) = become_program();
        error.to_string()
    }
}
