//! The master: forks molds, waits for what happens, asks the [`Supervisor`] what to do about it and does it.
//! It runs none of the application's code, decides nothing itself, and has one thread.

mod link;
mod meter;
mod outputs;
mod reexecution;
mod report;
mod supervisor;
mod touch;
mod watch;
mod wear;
mod wishes;

pub(crate) use supervisor::{
    BOOT_LIMIT, Handover, STATUS_NO_APPLICATION, Settings, WorkerView, plural, seconds,
};

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::launch::{Control, Fifo, Handed, Invocation, Notifier, Prepared, Sockets, Titles, Waiting};
use crate::mold::{Next, Report};
use crate::program::Program;
use crate::scoreboard::Scoreboard;
use crate::server::Ferry;
use crate::sys::{self, Ending, MasterSignals, Pid, Signal};
use crate::worker::BoundListener;
use link::Link;
use meter::Meter;
use reexecution::take_over;
use supervisor::{Input, MoldId, Output, Supervisor};
use touch::Touches;
use watch::Watch;

/// How long until a mold is asked again what it had no room for, if nothing else happens.
const UNSENT_PAUSE: Duration = Duration::from_millis(20);

/// What is kept of a generation.
struct GenerationFiles {
    config: Arc<Config>,
    listeners: Vec<Arc<BoundListener>>,
}

/// All that the master holds in its hands.
struct Master<'a> {
    supervisor: Supervisor,
    program: Program<'a>,
    invocation: Invocation,
    sockets: Sockets,
    titles: Titles,
    notifier: Notifier,
    signals: MasterSignals,
    /// Read end, write end. Only the master has the write end.
    lifeline: (OwnedFd, OwnedFd),
    scoreboard: Arc<Scoreboard>,
    /// Between all workers; made when there first are several.
    ferry: Option<Arc<Ferry>>,
    generations: BTreeMap<u64, GenerationFiles>,
    /// Read, opened, and not yet started.
    pending: Option<GenerationFiles>,
    /// The configuration that the master itself goes by.
    config: Arc<Config>,
    links: Vec<Link>,
    preflight: Option<Pid>,
    touches: Touches,
    fifo: Option<Fifo>,
    control: Option<Control>,
    watch: Watch,
    meter: Meter,
    waiting: Option<Waiting>,
    started: Instant,
    /// Has any generation ever served?
    is_up: bool,
}

/// Runs a server to its end and gives the exit status.
pub(crate) fn run(prepared: Prepared<'_>) -> i32 {
    match Master::new(prepared) {
        Ok(mut master) => master.run(),
        Err(error) => {
            log::error!("{error}");
            1
        }
    }
}

impl<'a> Master<'a> {
    fn new(prepared: Prepared<'a>) -> Result<Self, String> {
        let Prepared {
            config,
            program,
            invocation,
            sockets,
            listeners,
            adopted,
            titles,
            fifo,
            waiting,
            started,
        } = prepared;
        let failed = |what: &'static str| move |error: std::io::Error| format!("{what}: {error}");
        let signals = MasterSignals::open().map_err(failed("cannot take signals"))?;
        sys::set_subreaper().map_err(failed("cannot become the parent of workers"))?;
        let (mut handed, before) = adopted.unzip();
        let ferry = handed.as_mut().and_then(Handed::take_ferry);
        let (lifeline, scoreboard, channel, handover) = take_over(handed, &config)?;
        let now = Instant::now();
        let touches = Touches::new(&config.processes.touches, now);
        let mut master = Self {
            supervisor: Supervisor::new(scoreboard.slots()),
            program,
            invocation,
            sockets,
            titles,
            notifier: Notifier::from_environment(),
            signals,
            lifeline,
            scoreboard: Arc::new(scoreboard),
            ferry,
            generations: BTreeMap::new(),
            pending: None,
            config,
            links: Vec::new(),
            preflight: None,
            touches,
            fifo,
            control: open_control(),
            watch: Watch::new(now),
            meter: Meter::new(now),
            waiting,
            started,
            is_up: false,
        };
        if let Some(handover) = handover {
            log::info!(
                "re-executed: {} of generation {} go on meanwhile",
                plural(handover.workers.len()),
                handover.generation
            );
            master.supervisor.adopt(&handover, now);
            master.is_up = true;
            let files = GenerationFiles {
                config: Arc::clone(&master.config),
                listeners: before.unwrap_or_default(),
            };
            master.generations.insert(handover.generation, files);
            let link = handover.mold.zip(channel);
            master
                .links
                .extend(link.map(|((mold, pid), channel)| Link::new(mold, channel, pid)));
        }
        let settings = listeners.map(|listeners| {
            let config = Arc::clone(&master.config);
            let settings = settings_of(&config);
            master.pending = Some(GenerationFiles { config, listeners });
            settings
        });
        master.supervisor.start(settings, now);
        Ok(master)
    }

    fn run(&mut self) -> i32 {
        loop {
            while let Some(output) = self.supervisor.take_output() {
                if let Output::Exit { status, reason } = output {
                    self.end(status, reason.as_deref());
                    return status;
                }
                self.perform(output);
            }
            if self.wait() {
                self.handle(Input::Knock);
            }
            self.take_events();
            self.send_requests();
            self.read_fifo();
            self.hear_questions();
            self.look_at_files();
            self.look_at_workers();
            self.measure();
            self.supervisor.handle(Input::Tick, Instant::now());
        }
    }

    /// Until something happens or is due. Does someone ask for something while there are no workers?
    fn wait(&self) -> bool {
        let now = Instant::now();
        // A mold that has heard something mostly says so, and that ends the wait; but not always.
        let unsent = self.links.iter().any(Link::has_unsent);
        let again = unsent.then(|| now + UNSENT_PAUSE);
        let due = self.supervisor.next_deadline().into_iter().chain(again);
        let timeout = due
            .chain(self.touches.next_look())
            .chain(self.next_watch())
            .chain(self.next_measure())
            .min()
            .map(|due| due.saturating_duration_since(now));
        let mut watched: Vec<BorrowedFd<'_>> = vec![self.signals.as_fd()];
        watched.extend(self.fifo.iter().map(AsFd::as_fd));
        watched.extend(self.control.iter().flat_map(Control::descriptors));
        watched.extend(self.links.iter().map(|link| link.channel.as_fd()));
        let others = watched.len();
        let listeners = self.listeners_to_watch();
        watched.extend(listeners.iter().map(|listener| listener.fd.as_fd()));
        match sys::wait_readable(&watched, timeout) {
            Ok(ready) => ready.iter().skip(others).any(|is_ready| *is_ready),
            Err(error) => {
                log::error!("cannot wait: {error}");
                std::thread::sleep(Duration::from_millis(100));
                false
            }
        }
    }

    /// Where someone may ask for something while there are no workers who would hear it.
    fn listeners_to_watch(&self) -> Vec<Arc<BoundListener>> {
        let asleep = self
            .supervisor
            .current_generation()
            .filter(|_| self.supervisor.listens());
        let files = asleep.and_then(|generation| self.generations.get(&generation));
        files.map(|files| files.listeners.clone()).unwrap_or_default()
    }

    /// Commands first: a worker that left because the same signal reached it is no surprise then. What died
    /// comes last: a worker is reported by its mold before it can be reaped, so that by then its pid is
    /// known.
    fn take_events(&mut self) {
        while let Some(signal) = self.signals.next() {
            if let Some(command) = wishes::of_signal(signal) {
                self.handle(Input::Command(command));
            }
        }
        let endings: Vec<(Pid, Ending)> = std::iter::from_fn(sys::reap_any).collect();
        self.take_reports();
        for (pid, ending) in endings {
            self.child_ended(pid, ending);
        }
    }

    fn take_reports(&mut self) {
        let mut inputs = Vec::new();
        self.links.retain(|link| {
            loop {
                match link.channel.next_report() {
                    Ok(Next::Message(report)) => inputs.push(to_input(link.mold, report)),
                    Ok(Next::Nothing) => return true,
                    Ok(Next::End) => return false,
                    Err(error) => {
                        log::error!("cannot hear mold {}: {error}", link.mold);
                        return false;
                    }
                }
            }
        });
        for input in inputs {
            self.handle(input);
        }
    }

    fn child_ended(&mut self, pid: Pid, ending: Ending) {
        if self.preflight == Some(pid) {
            self.preflight = None;
            let result = match ending {
                Ending::Exited(0) => Ok(()),
                other => Err(format!("{} --check {other}", self.invocation.program.display())),
            };
            self.handle(Input::Preflight(result));
            return;
        }
        let slot = self
            .supervisor
            .workers()
            .find(|worker| worker.pid == pid)
            .and_then(|worker| worker.slot);
        let snapshot = slot.and_then(|slot| self.scoreboard.snapshot(slot));
        let snapshot = snapshot.filter(|snapshot| snapshot.occupant.pid == pid);
        let work = snapshot.as_ref().map_or_else(String::new, report::work_done);
        if let (Some(_), Some(slot)) = (snapshot, slot) {
            self.scoreboard.vacate(slot);
        }
        self.handle(Input::Exited { pid, ending, work });
    }

    fn handle(&mut self, input: Input) {
        self.supervisor.handle(input, Instant::now());
    }
}

/// A server that cannot be asked how a reload goes can be told to reload all the same.
fn open_control() -> Option<Control> {
    Control::open()
        .inspect_err(|error| log::warn!("--reload PIDFILE --wait will not work: {error}"))
        .ok()
}

pub(crate) fn settings_of(config: &Config) -> Settings {
    Settings {
        workers: config.processes.workers.max(1),
        scaling: config.processes.scaling,
        mercy: config.processes.worker_reload_mercy,
        boot_limit: config.processes.boot_timeout,
        die_on_term: config.processes.die_on_term,
    }
}

fn to_input(mold: MoldId, report: Report) -> Input {
    match report {
        Report::MoldReady => Input::MoldReady { mold },
        Report::MoldFailed { status, reason } => Input::MoldFailed { mold, status, reason },
        Report::Forked { ticket, pid } => Input::Forked { ticket, pid },
        Report::NotForked { ticket, reason } => Input::NotForked { ticket, reason },
        Report::WorkerReady { ticket, pid } => Input::WorkerReady { ticket, pid },
        Report::WorkerFailed {
            ticket,
            status,
            reason,
        } => Input::WorkerFailed {
            ticket,
            status,
            reason,
        },
    }
}

/// To a child that was not reaped yet, so that its pid is nobody else's.
fn send(pid: Pid, signal: Signal) {
    if let Err(error) = sys::send_signal(pid, signal) {
        log::debug!("{signal} to pid {pid}: {error}");
    }
}
