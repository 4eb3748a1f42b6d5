//! What the supervisor wants done, and how the master does it.

use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::Arc;

use super::report;
use super::supervisor::{Input, MoldId, Notice, Output, Settings, Urge, plural, seconds};
use super::{GenerationFiles, Link, Master, send, settings_of};
use crate::config::{Config, PidfileMoment};
use crate::launch::{Control, Waiting, beyond, clear_away, tell_leftovers, write_pidfile, write_pidfiles};
use crate::logging;
use crate::mold::{Channel, Mold, Request};
use crate::server::Ferry;
use crate::sys::{self, Fork, Pid, Signal, TRACEBACK_SIGNAL};
use crate::worker::BoundListener;

impl Master<'_> {
    /// Does one thing.
    pub(super) fn perform(&mut self, output: Output) {
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
            Output::Leave { pid, urge } => {
                let mut workers = self.supervisor.workers();
                let slot = workers
                    .find(|worker| worker.pid == pid)
                    .and_then(|worker| worker.slot);
                slot.into_iter()
                    .for_each(|slot| self.scoreboard.dismiss(slot, pid));
                send(pid, signal_of(urge));
            }
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
            Output::ReopenLogs => {
                self.restore_fifo();
                self.reopen_logs();
            }
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
                self.links.push(Link::new(mold, channel, pid));
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
        let link = self.links.iter_mut().find(|link| link.mold == mold);
        if let Some(link) = link {
            link.ask(request);
        }
        self.send_requests();
    }

    /// Sends the molds what waits for them.
    pub(super) fn send_requests(&mut self) {
        for link in &mut self.links {
            if let Err(error) = link.send() {
                // It is dead, and that is about to be known; or it does not listen, and then it is better dead.
                log::debug!("cannot ask mold {}: {error}", link.mold);
                send(link.pid, Signal::SIGKILL);
            }
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
        for file in &self.config.processes.pidfiles {
            if let Err(error) = write_pidfile(file) {
                log::error!("{error}");
            }
        }
    }

    /// Somebody may have removed the pipe: whoever writes to it then is not heard.
    fn restore_fifo(&mut self) {
        let Some(fifo) = &mut self.fifo else { return };
        match fifo.restore() {
            Ok(false) => {}
            Ok(true) => log::warn!(
                "master-fifo = {}: was removed, and is made again",
                fifo.path().display()
            ),
            Err(error) => log::error!("{error}; commands are not heard by it"),
        }
    }

    fn reread(&mut self) {
        self.restore_fifo();
        let result = self.read_again();
        self.handle(Input::Reread(result));
    }

    fn read_again(&mut self) -> Result<Settings, String> {
        let config = (self.program.reread)().map_err(|errors| report::log_errors(&errors))?;
        config.warnings.iter().for_each(|warning| log::warn!("{warning}"));
        beyond(&config).iter().for_each(|line| log::warn!("{line}"));
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
        let errors = write_pidfiles(&self.config.processes.pidfiles, PidfileMoment::Up);
        errors.iter().for_each(|error| log::error!("{error}"));
        log::info!(
            "ready: {workers}, {} after the start",
            seconds(self.started.elapsed())
        );
        self.waiting.take().into_iter().for_each(Waiting::succeed);
    }

    fn retire(&mut self, generation: u64) {
        self.generations.remove(&generation);
        if self.generations.is_empty() && self.pending.is_none() {
            // The last one: the end takes all away at once.
            return;
        }
        let in_use = self
            .generations
            .values()
            .chain(&self.pending)
            .flat_map(|files| &files.listeners);
        let left = self.sockets.release_unused(in_use, self.config.sockets.vacuum);
        tell_leftovers("vacuum", &left);
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

    /// Leaves nothing behind. `reason`: why it ends, for who waits for the start.
    pub(super) fn end(&mut self, status: i32, reason: Option<&str>) {
        self.generations.clear();
        self.pending = None;
        clear_away(&self.config, &mut self.sockets, self.fifo.as_ref(), self.is_up);
        if let Some(waiting) = self.waiting.take() {
            waiting.fail(
                status,
                reason.unwrap_or("the server was stopped while it was starting"),
            );
        }
        log::info!("stopped");
    }
}

fn signal_of(urge: Urge) -> Signal {
    match urge {
        Urge::Drain => Signal::SIGTERM,
        Urge::Hurry => Signal::SIGQUIT,
        Urge::Kill => Signal::SIGKILL,
    }
}
