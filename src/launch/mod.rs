//! From a configuration to a running server: what comes before the first fork, in the order that rights
//! allow. Who runs the server then is the master's business, or that of a single process.

mod beyond;
mod bind;
mod control;
mod daemon;
mod fifo;
mod handover;
mod invocation;
mod leftover;
mod notify;
mod occupant;
mod pidfile;
mod privileges;
mod sockets;
mod titles;

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

pub use invocation::Invocation;
pub use pidfile::{PROCESS_NAME, reload, reload_and_wait, stop};
pub use titles::{ProcessRole, Titles};

pub(crate) use beyond::beyond;
pub(crate) use control::{ClientId, Control};
pub(crate) use daemon::Waiting;
pub(crate) use fifo::Fifo;
pub(crate) use handover::{Handed, Record, VARIABLE as HANDOVER_VARIABLE};
pub(crate) use leftover::tell as tell_leftovers;
pub(crate) use notify::Notifier;
pub(crate) use pidfile::{write as write_pidfile, write_all as write_pidfiles};
pub(crate) use sockets::Sockets;

use crate::config::{Config, ListenAddress, Pidfile, PidfileMoment, ProtocolKind};
use crate::master::plural;
use crate::program::Program;
use crate::sys::Identity;
use crate::worker::BoundListener;
use crate::{logging, master, single, sys};
use daemon::Detached;

/// A server that is ready to run.
pub(crate) struct Prepared<'a> {
    pub(crate) config: Arc<Config>,
    pub(crate) program: Program<'a>,
    pub(crate) invocation: Invocation,
    pub(crate) sockets: Sockets,
    /// What `config` asks for; in the order of its listeners. An error only where another generation serves.
    pub(crate) listeners: Result<Vec<Arc<BoundListener>>, String>,
    /// What a master before us left, with the sockets that its generation serves.
    pub(crate) adopted: Option<(Handed, Vec<Arc<BoundListener>>)>,
    pub(crate) titles: Titles,
    /// Where the master takes commands from.
    pub(crate) fifo: Option<Fifo>,
    /// Someone waits to hear how the start went (`daemonize`).
    pub(crate) waiting: Option<Waiting>,
    /// When all this began.
    pub(crate) started: Instant,
}

/// Runs a server to its end: binds, becomes whom it should, loads, serves. Gives the exit status: 0 after a
/// stop that was asked for; 1 where the configuration, a socket or the system is in the way; 22 where the
/// application is, or the status that it asked for.
///
/// Call it with one thread, after [`Invocation::take`] at the start of `main` and before the log is opened.
pub fn run(config: Config, program: Program<'_>, invocation: Invocation) -> i32 {
    let started = Instant::now();
    let log_file = config
        .logging
        .file
        .as_ref()
        .or(config.processes.daemonize.as_ref());
    let log_file = log_file.map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone()));
    let waiting = match go_to_background(&config, &invocation, log_file.as_deref()) {
        Ok(Detached::Daemon(waiting)) => Some(waiting),
        // A program that a master became has nobody who waits.
        Ok(Detached::Foreground) if log_file.is_some() && invocation.handed.is_none() => {
            Waiting::at_terminal()
        }
        Ok(Detached::Foreground) => None,
        Ok(Detached::Caller(status)) => return status,
        Err(error) => {
            eprintln!("uwrs: {error}");
            return 1;
        }
    };
    let logs = match invocation.handed {
        Some(_) => logging::go_on(log_file.as_deref()),
        None => logging::start(log_file.as_deref()),
    };
    if let Err(error) = logs {
        match waiting {
            Some(waiting) => waiting.fail(1, &error),
            None => eprintln!("uwrs: {error}"),
        }
        return 1;
    }
    match prepare(config, program, invocation, started) {
        Ok(prepared) if prepared.config.processes.master => master::run(Prepared { waiting, ..prepared }),
        Ok(prepared) => single::run(Prepared { waiting, ..prepared }),
        Err(errors) => {
            for error in &errors {
                log::error!("{error}");
            }
            waiting
                .into_iter()
                .for_each(|waiting| waiting.fail(1, &errors.join("\n")));
            1
        }
    }
}

/// What would keep [`run`] from starting a server and can be told without doing anything, for `--check`. Each is one
/// sentence.
pub fn check(config: &Config) -> Vec<String> {
    let identity = privileges::find_identity(&config.processes).err();
    let owner = config.sockets.owner.as_ref();
    let owner = owner.and_then(|owner| bind::find_owner(owner).err());
    let homeless = config.listeners.iter().filter_map(|listener| {
        let ListenAddress::Unix(path) = &listener.address else {
            return None;
        };
        is_homeless(path).then(|| format!("{}: {}: {}", listener.origin, path.display(), sys::NO_DIRECTORY))
    });
    let processes = &config.processes;
    let pidfiles = processes.pidfiles.iter().map(|file| (file.option, &file.path));
    let logs = config.logging.file.iter().map(|path| ("logto", path));
    let files = pidfiles
        .chain(logs)
        .chain(processes.daemonize.iter().map(|path| ("daemonize", path)))
        .chain(processes.fifos.iter().map(|path| ("master-fifo", path)))
        .filter(|(_, path)| is_homeless(path))
        .map(|(option, path)| format!("{option} = {}: {}", path.display(), sys::NO_DIRECTORY));
    identity
        .into_iter()
        .chain(owner)
        .chain(homeless)
        .chain(files)
        .collect()
}

/// Is the directory missing that this is to be in?
fn is_homeless(path: &Path) -> bool {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let missing = directory.and_then(|directory| directory.metadata().err());
    missing.is_some_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

fn go_to_background(
    config: &Config,
    invocation: &Invocation,
    log_file: Option<&Path>,
) -> Result<Detached, String> {
    // The program that a master in the background becomes is in the background.
    if config.processes.daemonize.is_none() || invocation.handed.is_some() {
        return Ok(Detached::Foreground);
    }
    // While there is a terminal to say so.
    log_file.map_or(Ok(()), logging::check)?;
    daemon::detach().map_err(|error| format!("daemonize: {error}"))
}

fn prepare<'a>(
    mut config: Config,
    program: Program<'a>,
    mut invocation: Invocation,
    started: Instant,
) -> Result<Prepared<'a>, Vec<String>> {
    let role = if config.processes.master {
        ProcessRole::Master
    } else {
        ProcessRole::Single
    };
    logging::set_role(&role.to_string());
    if let Err(error) = sys::set_process_name(PROCESS_NAME) {
        log::warn!("killall will not find this server by its name: {error}");
    }
    let warnings = config.warnings.iter().chain(&invocation.warnings);
    warnings.for_each(|warning| log::warn!("{warning}"));
    config.notes.iter().for_each(|note| log::info!("{note}"));
    if let Some(descriptors) = config.processes.max_fd {
        set_descriptor_limit(descriptors);
    }
    beyond(&config).iter().for_each(|line| log::warn!("{line}"));
    if let Some(mask) = config.processes.umask {
        sys::set_umask(mask);
    }
    // A single process changes its directory before it comes to remove them.
    let processes = &mut config.processes;
    for Pidfile { path, .. } in &mut processes.pidfiles {
        *path = std::path::absolute(&*path).unwrap_or_else(|_| path.clone());
    }
    let identity = privileges::find_identity(&config.processes).map_err(|error| vec![error])?;
    let mut sockets = Sockets::new(std::mem::take(&mut invocation.sockets));
    let mut adopted = invocation.handed.take().map(|mut handed| {
        let before = sockets.adopt(std::mem::take(&mut handed.sockets));
        (handed, before)
    });
    let before = adopted.as_ref().map_or(&[][..], |(_, before)| before);
    let listeners = match sockets.open(&config, before) {
        Ok(listeners) => Ok(listeners),
        Err(errors) if adopted.is_none() => return Err(errors),
        Err(errors) => Err(errors.join("; ")),
    };
    for line in sockets.close_unused() {
        log::warn!("{line}");
    }
    let is_serving = adopted.is_some();
    let pipe = adopted.as_mut().and_then(|(handed, _)| handed.fifo.take());
    let mut fifo = None;
    let settle = || {
        write_pidfiles_at(PidfileMoment::Start, &config, is_serving)?;
        fifo = open_fifo(&config, pipe, identity.as_ref()).map_err(|error| vec![error])?;
        assume(&config, identity.as_ref(), &sockets, fifo.as_ref(), is_serving)
    };
    if let Err(errors) = settle() {
        if !is_serving {
            clear_away(&config, &mut sockets, fifo.as_ref(), false);
        }
        return Err(errors);
    }
    let titles = Titles::take(&config.processes.procname);
    titles.show(role);
    show_banner(&config, listeners.as_deref().unwrap_or_default());
    let config = Arc::new(config);
    Ok(Prepared {
        config,
        program,
        invocation,
        sockets,
        listeners,
        adopted,
        titles,
        fifo,
        waiting: None,
        started,
    })
}

/// Becomes whom the server is to be, who is given the files that were made, and writes that one's pidfiles.
fn assume(
    config: &Config,
    identity: Option<&Identity>,
    sockets: &Sockets,
    fifo: Option<&Fifo>,
    is_serving: bool,
) -> Result<(), Vec<String>> {
    let become_another = || {
        if let Some(heir) = identity.filter(|_| sys::effective_user() == 0) {
            fifo.map_or(Ok(()), |fifo| fifo.give_to(heir))?;
            logging::give_to(heir.user.as_ref().map(|user| user.uid), heir.gid)?;
            if config.sockets.owner.is_none() {
                sockets.give_to(heir)?;
            }
        }
        privileges::assume(identity)
    };
    let warnings = become_another().map_err(|error| vec![error])?;
    warnings.iter().for_each(|warning| log::warn!("{warning}"));
    write_pidfiles_at(PidfileMoment::Assumed, config, is_serving)
}

/// Removes the files by which others find the server: sockets', pidfiles, the pipe for commands. Those of one that has served
/// stay, unless there is `vacuum`; those that one made which never came up are of no use to anybody.
pub(crate) fn clear_away(config: &Config, sockets: &mut Sockets, fifo: Option<&Fifo>, has_served: bool) {
    let vacuum = config.sockets.vacuum;
    if has_served && !vacuum {
        return;
    }
    let mut left = sockets.release_unused(std::iter::empty(), true);
    left.extend(pidfile::remove_all(&config.processes.pidfiles));
    let fifo = fifo.filter(|fifo| vacuum || fifo.is_new());
    left.extend(fifo.and_then(Fifo::remove));
    let why = if has_served {
        "vacuum"
    } else {
        "a start that failed"
    };
    leftover::tell(why, &left);
}

/// Writes the pidfiles whose moment it is. `is_serving`: it does already, perhaps by rights that it has no more.
fn write_pidfiles_at(moment: PidfileMoment, config: &Config, is_serving: bool) -> Result<(), Vec<String>> {
    let errors = pidfile::write_all(&config.processes.pidfiles, moment);
    if !is_serving && !errors.is_empty() {
        return Err(errors);
    }
    errors.iter().for_each(|error| log::warn!("{error}"));
    Ok(())
}

/// `max-fd`, while there may be the right to raise what whoever started the server allows.
fn set_descriptor_limit(asked: u64) {
    match sys::set_descriptor_limit(asked) {
        Ok(allowed) if allowed < asked => log::warn!(
            "max-fd = {asked}: only {allowed} are allowed: raise that with LimitNOFILE= or ulimit -Hn"
        ),
        Ok(_) => {}
        Err(error) => log::warn!("max-fd = {asked}: {error}"),
    }
}

/// The pipe for commands. `pipe`: the one that a master before us read, and its place in the list.
fn open_fifo(
    config: &Config,
    pipe: Option<(usize, OwnedFd)>,
    identity: Option<&Identity>,
) -> Result<Option<Fifo>, String> {
    let heir = identity.and_then(|identity| identity.user.as_ref());
    let processes = &config.processes;
    match pipe {
        _ if !processes.master => Ok(None),
        Some((slot, pipe)) => Fifo::adopt(&processes.fifos, slot, pipe),
        None => Fifo::open(&processes.fifos, heir.map(|user| user.uid)),
    }
}

/// Where is served and by how many. What is served, the mold says when it has loaded it.
fn show_banner(config: &Config, listeners: &[Arc<BoundListener>]) {
    let version = env!("CARGO_PKG_VERSION");
    let processes = &config.processes;
    let fewest = processes
        .scaling
        .cheaper
        .map_or(String::new(), |cheaper| format!("{} to ", cheaper.least));
    let workers = format!("{fewest}{}", plural(processes.workers));
    let application = &config.application;
    let each = match (&application.greenlets, application.threads) {
        (Some(greenlets), _) => format!(", gevent = {}", greenlets.most),
        (None, 1) => String::new(),
        (None, threads) => format!(", threads = {threads}"),
    };
    if config.processes.master {
        log::info!("uwrs {version}, pid {}, {workers}{each}", std::process::id());
    } else {
        log::info!(
            "uwrs {version}, pid {}, a single process without a master{each}",
            std::process::id()
        );
    }
    for listener in listeners {
        log::info!(
            "{} on {}",
            protocol_name(listener.config.protocol),
            listener.address
        );
    }
}

fn protocol_name(protocol: ProtocolKind) -> &'static str {
    match protocol {
        ProtocolKind::Http => "http",
        ProtocolKind::Uwsgi => "uwsgi",
    }
}
