//! The master: forks molds, waits for what happens, asks the [`Supervisor`] what to do about it and does it.
//! It runs none of the application's code, decides nothing itself, and has one thread.

mod meter;
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
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Instant;

use crate::config::Config;
use crate::launch::{
    Control, Fifo, Handed, Invocation, Notifier, Prepared, Sockets, Titles, Waiting, remove_pidfile,
    write_pidfile,
};
use crate::logging;
use crate::mold::{Channel, Mold, Next, Report, Request};
use crate::program::Program;
use crate::scoreboard::Scoreboard;
use crate::server::Ferry;
use crate::sys::{self, Ending, Fork, MasterSignals, Pid, Signal, TRACEBACK_SIGNAL};
use crate::worker::BoundListener;
use meter::Meter;
use reexecution::take_over;
use supervisor::{Input, MoldId, Notice, Output, Supervisor, Urge};
use touch::Touches;
use watch::Watch;

/// What is kept of a generation.
struct GenerationFiles {
    config: Arc<Config>,
    listeners: Vec<Arc<BoundListener>>,
}

/// The way to a mold, and to the workers it forked until they are ready.
struct Link {
    mold: MoldId,
    channel: Channel,
    pid: Pid,
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
                .extend(link.map(|((mold, pid), channel)| Link { mold, channel, pid }));
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
        let due = self.supervisor.next_deadline().into_iter();
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
                std::thread::sleep(std::time::Duration::from_millis(100));
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

/// What the supervisor wants done.
impl Master<'_> {
    fn perform(&mut self, output: Output) {
        match output {
            Output::StartMold {
                mold,
                generation,
                first,
            } => self.start_mold(mold, generation, first),
            Output::Fork {
                mold,
                ticket,
                number,
                slot,
            } => {
                let request = Request::Fork {
                    ticket,
                    number: number as u32,
                    slot: slot as u32,
                };
                self.ask_mold(mold, request);
            }
            Output::DismissMold { pid } => self.dismiss_mold(pid),
            Output::Leave { pid, urge } => send(pid, signal_of(urge)),
            Output::Trace { pid } => send(pid, TRACEBACK_SIGNAL),
            Output::Overdue {
                pid,
                what,
                slot,
                mercy,
            } => {
                let snapshot = slot.and_then(|slot| self.scoreboard.snapshot(slot));
                let doing = snapshot.as_ref().map_or_else(String::new, report::work_under_way);
                log::warn!(
                    "{what} (pid {pid}) did not leave within {} and is killed{doing}",
                    seconds(mercy)
                );
            }
            Output::Reread => self.reread(),
            Output::Serving {
                generation,
                workers,
                took,
            } => self.serving(generation, workers, took),
            Output::Answer { client, outcome } => {
                if let Some(control) = &mut self.control {
                    control.answer(client, &outcome);
                }
            }
            Output::Retired { generation } => self.retire(generation),
            Output::Pause(paused) => {
                self.scoreboard.set_paused(paused);
                self.signal_workers(Signal::SIGWINCH);
            }
            Output::ReopenLogs => self.reopen_logs(),
            Output::RotateLogs => self.rotate_logs(),
            Output::WritePidfiles => self.write_pidfiles(),
            Output::ShowState => report::state(&self.supervisor, &self.scoreboard)
                .iter()
                .for_each(|line| log::info!("{line}")),
            Output::Preflight => self.start_preflight(),
            Output::AbandonPreflight => {
                let pid = self.preflight.take();
                pid.into_iter().for_each(|pid| send(pid, Signal::SIGKILL));
            }
            Output::Reexecute => self.reexecute(),
            Output::Notify(notice) => self.notify(&notice),
            Output::Log(level, text) => log::log!(level, "{text}"),
            Output::Exit { .. } => unreachable!("run() takes it"),
        }
    }

    fn start_mold(&mut self, mold: MoldId, generation: u64, first: bool) {
        // What was read last is for the generation that has nothing yet. A mold that died is started again in one that
        // has, perhaps between the reading and the start of the next.
        if !self.generations.contains_key(&generation)
            && let Some(files) = self.pending.take()
        {
            self.generations.insert(generation, files);
        }
        let Some(files) = self.generations.get(&generation) else {
            return;
        };
        let (config, listeners) = (Arc::clone(&files.config), files.listeners.clone());
        let ferry = self.ferry_for(&config);
        let pair = Channel::pair().and_then(|pair| Ok((pair, self.lifeline.0.try_clone()?)));
        let ((channel, end), lifeline) = match pair {
            Ok(made) => made,
            Err(error) => {
                return self.handle(Input::MoldNotStarted {
                    mold,
                    reason: error.to_string(),
                });
            }
        };
        let before = sys::block_signals();
        match sys::fork() {
            Ok(Fork::Parent(pid)) => {
                sys::restore_signals(&before);
                self.links.push(Link { mold, channel, pid });
                self.handle(Input::MoldStarted { mold, pid });
            }
            Ok(Fork::Child) => {
                self.close_private(&listeners, channel.as_fd().as_raw_fd());
                let mold = Mold {
                    generation,
                    tolerant: first && !config.application.need_app,
                    config,
                    listeners,
                    ferry,
                    scoreboard: Arc::clone(&self.scoreboard),
                    channel: end,
                    lifeline,
                    master: sys::parent_pid(),
                    start_runtime: self.program.start_runtime,
                    serve: self.program.serve,
                    titles: self.titles.clone(),
                };
                mold.live(&self.signals.children_mask())
            }
            Err(error) => {
                sys::restore_signals(&before);
                self.handle(Input::MoldNotStarted {
                    mold,
                    reason: error.to_string(),
                });
            }
        }
    }

    /// What is to take connections between a generation's workers. All that have one share it: what a leaving worker has
    /// sent off is taken by one of the next generation.
    fn ferry_for(&mut self, config: &Config) -> Option<Arc<Ferry>> {
        // What a burdened worker takes in, the backlog does not show: `cheaper` would count it as no load.
        let is_wanted = config.processes.workers > 1 && config.processes.scaling.cheaper.is_none();
        if is_wanted && self.ferry.is_none() {
            let made = Ferry::new().inspect_err(|error| {
                log::error!("connections of a busy worker can't go to an idle one: {error}");
            });
            self.ferry = made.ok().map(Arc::new);
        }
        self.ferry.clone().filter(|_| is_wanted)
    }

    /// In a child: closes what is the master's alone. Its objects are never dropped there.
    fn close_private(&self, shared: &[Arc<BoundListener>], channel: RawFd) {
        let shared: Vec<RawFd> = shared.iter().map(|listener| listener.fd.as_raw_fd()).collect();
        let generations = self.generations.values().chain(&self.pending);
        let listeners = generations
            .flat_map(|files| &files.listeners)
            .map(|listener| listener.fd.as_raw_fd());
        let links = self.links.iter().map(|link| link.channel.as_fd().as_raw_fd());
        let waiting = self.waiting.iter().map(|waiting| waiting.as_fd().as_raw_fd());
        let mut private = vec![
            channel,
            self.signals.as_fd().as_raw_fd(),
            self.lifeline.0.as_raw_fd(),
            self.lifeline.1.as_raw_fd(),
            self.scoreboard.descriptor().as_raw_fd(),
        ];
        private.extend(listeners.filter(|fd| !shared.contains(fd)));
        private.extend(self.diagnosis().map(|diagnosis| diagnosis.as_fd().as_raw_fd()));
        private.extend(self.fifo.iter().map(|fifo| fifo.as_fd().as_raw_fd()));
        private.extend(
            self.control
                .iter()
                .flat_map(Control::descriptors)
                .map(|fd| fd.as_raw_fd()),
        );
        private.extend(links.chain(waiting).chain(self.notifier.descriptor()));
        private.sort_unstable();
        private.dedup();
        private.into_iter().for_each(sys::close_descriptor);
    }

    fn ask_mold(&mut self, mold: MoldId, request: Request) {
        let Some(link) = self.links.iter().find(|link| link.mold == mold) else {
            return;
        };
        if let Err(error) = link.channel.ask(request) {
            // It is dead, and that is about to be known; or it does not listen, and then it is better dead.
            log::debug!("cannot ask mold {mold}: {error}");
            send(link.pid, Signal::SIGKILL);
        }
    }

    fn dismiss_mold(&mut self, pid: Pid) {
        let link = self.links.iter().find(|link| link.pid == pid);
        if let Some(mold) = link.map(|link| link.mold) {
            self.ask_mold(mold, Request::Leave);
        }
    }

    fn signal_workers(&self, signal: Signal) {
        self.supervisor
            .workers()
            .for_each(|worker| send(worker.pid, signal));
    }

    fn reopen_logs(&mut self) {
        if let Err(error) = logging::reopen() {
            log::error!("{error}");
        }
        let molds: Vec<MoldId> = self.links.iter().map(|link| link.mold).collect();
        molds
            .into_iter()
            .for_each(|mold| self.ask_mold(mold, Request::ReopenLog));
        self.signal_workers(Signal::SIGUSR1);
    }

    fn rotate_logs(&mut self) {
        match logging::put_aside() {
            Ok(Some(path)) => log::info!("the log goes on here; until now it is {}", path.display()),
            Ok(None) => log::warn!("the log is not in a file of ours: there is nothing to put aside"),
            Err(error) => log::error!("{error}"),
        }
        self.reopen_logs();
    }

    fn write_pidfiles(&self) {
        let processes = &self.config.processes;
        let pidfile = processes.pidfile.iter().map(|path| ("pidfile", path));
        let safe_pidfile = processes.safe_pidfile.iter().map(|path| ("safe-pidfile", path));
        for (option, path) in pidfile.chain(safe_pidfile) {
            if let Err(error) = write_pidfile(option, path) {
                log::error!("{error}");
            }
        }
    }

    fn reread(&mut self) {
        let result = self.read_again();
        self.handle(Input::Reread(result));
    }

    fn read_again(&mut self) -> Result<Settings, String> {
        let config = (self.program.reread)().map_err(|errors| report::log_errors(&errors))?;
        config.warnings.iter().for_each(|warning| log::warn!("{warning}"));
        report::unchangeable(&self.config, &config)
            .iter()
            .for_each(|line| log::warn!("{line}"));
        let before = self.open_listeners();
        let listeners = self
            .sockets
            .open(&config, &before)
            .map_err(|errors| report::log_errors(&errors))?;
        report::changed_listeners(&before, &listeners)
            .iter()
            .for_each(|line| log::info!("{line}"));
        let settings = settings_of(&config);
        self.pending = Some(GenerationFiles {
            config: Arc::new(config),
            listeners,
        });
        Ok(settings)
    }

    /// The listening sockets that there are, those of the generation that serves first.
    fn open_listeners(&self) -> Vec<Arc<BoundListener>> {
        let current = self.supervisor.current_generation();
        let first = current.and_then(|generation| self.generations.get(&generation));
        let files = first.into_iter().chain(self.generations.values());
        let mut listeners: Vec<Arc<BoundListener>> = Vec::new();
        for listener in files.flat_map(|files| &files.listeners) {
            if !listeners.iter().any(|other| Arc::ptr_eq(other, listener)) {
                listeners.push(Arc::clone(listener));
            }
        }
        listeners
    }

    fn serving(&mut self, generation: u64, workers: usize, took: std::time::Duration) {
        if let Some(files) = self.generations.get(&generation) {
            self.config = Arc::clone(&files.config);
            self.touches.replace(&self.config.processes.touches);
        }
        let workers = match workers {
            0 => "no workers until someone asks".to_owned(),
            workers => plural(workers),
        };
        if self.is_up {
            log::info!(
                "generation {generation} serves: {workers}, {} after it was asked for",
                seconds(took)
            );
            return;
        }
        self.is_up = true;
        if let Some(path) = &self.config.processes.safe_pidfile
            && let Err(error) = write_pidfile("safe-pidfile", path)
        {
            log::error!("{error}");
        }
        log::info!(
            "ready: {workers}, {} after the start",
            seconds(self.started.elapsed())
        );
        self.waiting.take().into_iter().for_each(Waiting::succeed);
    }

    fn retire(&mut self, generation: u64) {
        self.generations.remove(&generation);
        let in_use = self
            .generations
            .values()
            .chain(&self.pending)
            .flat_map(|files| &files.listeners);
        self.sockets.release_unused(in_use, self.config.sockets.vacuum);
    }

    fn notify(&self, notice: &Notice) {
        match notice {
            Notice::Ready(status) => self.notifier.ready(status),
            Notice::Reloading => self.notifier.reloading(),
            Notice::Stopping => {
                self.scoreboard.set_stopping();
                self.notifier.stopping();
            }
            Notice::Status(status) => self.notifier.status(status),
        }
    }

    fn end(&mut self, status: i32, reason: Option<&str>) {
        self.generations.clear();
        self.pending = None;
        self.sockets
            .release_unused(std::iter::empty(), self.config.sockets.vacuum);
        if self.config.sockets.vacuum {
            let processes = &self.config.processes;
            processes
                .pidfile
                .iter()
                .chain(&processes.safe_pidfile)
                .for_each(|path| remove_pidfile(path));
            self.fifo.iter().for_each(Fifo::remove);
        }
        if let Some(waiting) = self.waiting.take() {
            waiting.fail(
                status,
                reason.unwrap_or("the server was stopped while it was starting"),
            );
        }
        log::info!("stopped");
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

fn signal_of(urge: Urge) -> Signal {
    match urge {
        Urge::Drain => Signal::SIGTERM,
        Urge::Hurry => Signal::SIGQUIT,
        Urge::Kill => Signal::SIGKILL,
    }
}

/// To a child that was not reaped yet, so that its pid is nobody else's.
fn send(pid: Pid, signal: Signal) {
    if let Err(error) = sys::send_signal(pid, signal) {
        log::debug!("{signal} to pid {pid}: {error}");
    }
}
