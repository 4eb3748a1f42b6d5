//! Becoming another program (USR2): what the old master hands over, what the new one takes over. Workers and
//! mold go on meanwhile; they are children of the same process before and after.

use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use super::Master;
use super::supervisor::{Handover, Input, MoldId};
use crate::config::Config;
use crate::launch::{HANDOVER_VARIABLE, Handed, Invocation, Record};
use crate::mold::Channel;
use crate::scoreboard::Scoreboard;
use crate::sys::{self, Fork, Pid};

/// Slots of the scoreboard, whatever is configured: room for TTIN and for reloads that ask for more.
const LEAST_SLOTS: usize = 256;

impl Master<'_> {
    /// Has the program at our path look at our configuration: one that refuses it must not become the master.
    pub(super) fn start_preflight(&mut self) {
        let before = sys::block_signals();
        match sys::fork() {
            Ok(Fork::Parent(pid)) => self.preflight = Some(pid),
            Ok(Fork::Child) => {
                sys::restore_signals(&self.signals.children_mask());
                let mut arguments = self.invocation.arguments.clone();
                arguments.push(OsString::from("--check"));
                // Fails only where standard input is none.
                let _ = sys::redirect_input();
                // The sockets from systemd are asked for in this process's name.
                if std::env::var_os("LISTEN_PID").is_some() {
                    let pid = std::process::id().to_string();
                    sys::set_environment("LISTEN_PID", Some(pid.as_ref()));
                }
                let environment: Vec<_> = std::env::vars_os().collect();
                let Err(error) = sys::replace_program(&self.invocation.program, &arguments, &environment);
                log::error!("{}: {error}", self.invocation.program.display());
                sys::exit_now(127)
            }
            Err(error) => self.handle(Input::Preflight(Err(format!("cannot fork: {error}")))),
        }
        sys::restore_signals(&before);
    }

    pub(super) fn reexecute(&mut self) {
        let Some(record) = self.record() else {
            return self.handle(Input::NotReexecuted("nothing serves yet".to_owned()));
        };
        log::info!("becoming {}", self.invocation.program.display());
        let mut environment: Vec<(OsString, OsString)> = std::env::vars_os().collect();
        environment.push((HANDOVER_VARIABLE.into(), record.encode().into()));
        let Invocation {
            program, arguments, ..
        } = &self.invocation;
        let handed = self.set_handed_inheritable(true);
        let Err(error) = handed.and_then(|()| sys::replace_program(program, arguments, &environment));
        if let Err(error) = self.set_handed_inheritable(false) {
            log::error!("descriptors may leak into the application's children: {error}");
        }
        self.handle(Input::NotReexecuted(format!(
            "{}: {error}",
            self.invocation.program.display()
        )));
    }

    pub(super) fn record(&self) -> Option<Record> {
        let server = self.supervisor.handover()?;
        let files = self.generations.get(&server.generation)?;
        Some(Record {
            lifeline: (self.lifeline.0.as_raw_fd(), self.lifeline.1.as_raw_fd()),
            scoreboard: self.scoreboard.descriptor().as_raw_fd(),
            channel: self
                .channel_of(server.mold)
                .map(|channel| channel.as_fd().as_raw_fd()),
            sockets: self.sockets.records(&files.listeners),
            fifo: self
                .fifo
                .as_ref()
                .map(|fifo| (fifo.slot(), fifo.as_fd().as_raw_fd())),
            ferry: self.ferry.as_ref().map(|ferry| {
                let (departures, arrivals) = ferry.ends();
                (departures.as_raw_fd(), arrivals.as_raw_fd())
            }),
            server,
        })
    }

    pub(super) fn channel_of(&self, mold: Option<(MoldId, Pid)>) -> Option<&Channel> {
        let (id, _) = mold?;
        self.links
            .iter()
            .find(|link| link.mold == id)
            .map(|link| &link.channel)
    }

    pub(super) fn set_handed_inheritable(&self, inheritable: bool) -> std::io::Result<()> {
        let mut handed = vec![
            self.lifeline.0.as_fd(),
            self.lifeline.1.as_fd(),
            self.scoreboard.descriptor(),
        ];
        handed.extend(self.fifo.iter().map(AsFd::as_fd));
        handed.extend(self.ferry.iter().flat_map(|ferry| {
            let (departures, arrivals) = ferry.ends();
            [departures, arrivals]
        }));
        handed.extend(self.links.iter().map(|link| link.channel.as_fd()));
        let listeners = self.generations.values().flat_map(|files| &files.listeners);
        handed.extend(listeners.map(|listener| listener.fd.as_fd()));
        handed
            .into_iter()
            .try_for_each(|fd| sys::set_inheritable(fd, inheritable))
    }
}

/// What was left by a master before, or new things.
pub(super) type TakenOver = ((OwnedFd, OwnedFd), Scoreboard, Option<Channel>, Option<Handover>);

pub(super) fn take_over(handed: Option<Handed>, config: &Config) -> Result<TakenOver, String> {
    let new_scoreboard = || {
        let slots = LEAST_SLOTS.max(config.processes.workers.saturating_mul(4));
        Scoreboard::new(slots).map_err(|error| format!("cannot get shared memory: {error}"))
    };
    let Some(handed) = handed else {
        let lifeline = sys::pipe().map_err(|error| format!("cannot make a pipe: {error}"))?;
        return Ok((lifeline, new_scoreboard()?, None, None));
    };
    let mut server = handed.server;
    let channel = handed.channel.map(Channel::from_descriptor);
    match Scoreboard::open(handed.scoreboard) {
        Ok(scoreboard) if channel.is_some() => Ok((handed.lifeline, scoreboard, channel, Some(server))),
        Ok(scoreboard) => {
            server.mold = None;
            Ok((handed.lifeline, scoreboard, None, Some(server)))
        }
        Err(error) => {
            // The old mold writes to the old memory; without its channel it leaves.
            log::warn!("the workers of the former master are not seen in the statistics: {error}");
            server.mold = None;
            server.workers.iter_mut().for_each(|worker| worker.slot = None);
            Ok((handed.lifeline, new_scoreboard()?, None, Some(server)))
        }
    }
}
