//! Options and configuration: what was said ([`Options`]), then what it means ([`Config`]). Pure: no sockets, no
//! clock, no processes; what it wants to know of the machine comes in as a [`Host`].
//!
//! [`parse`] is the way in. It keeps nothing between calls, so a reload is the same call with the same arguments.

mod address;
mod block;
mod command_line;
mod definition;
mod glob;
mod host;
mod ini;
mod magic;
mod placeholder;
mod plugins;
mod problem;
mod reader;
mod reference;
mod resolve;
mod resolved;
mod said;
mod scaling;
mod show;
mod table;
mod value;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

pub use definition::{Arity, Definition, Kind, Status, Theme};
pub use host::{Facts, FileKind, Host, SystemHost};
pub use resolved::*;
pub use said::{Options, Origin, Setting};
pub use scaling::*;
pub use table::options;

use command_line::CommandLine;
use problem::Problems;

/// What the command line asks for.
#[derive(Clone, Debug)]
pub enum Invocation {
    /// Serve.
    Run {
        /// What the options mean.
        config: Box<Config>,
        /// What was said.
        options: Options,
    },
    /// Say whether the configuration is right, and serve nothing.
    Check {
        /// What the options mean; its warnings are to be told.
        config: Box<Config>,
        /// Import the application too (`--check=app`).
        app: bool,
    },
    /// Print this on standard output: `--help`, `--version`, `--show-config`.
    Print(String),
    /// Ask a server to reload.
    Reload {
        /// Where its pid is.
        pidfile: PathBuf,
        /// For how long to wait until it is done (`--wait`).
        wait: Option<Duration>,
    },
    /// Ask the server whose pid is in this file to stop.
    Stop(PathBuf),
}

/// The configuration cannot be used. Nothing was started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// To be printed on standard output first: what `--show-config` still has to show.
    pub shown: Option<String>,
    /// What should be known, each with its place.
    pub warnings: Vec<String>,
    /// What is wrong, each with its place and the way out.
    pub messages: Vec<String>,
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self {
            messages: vec![message],
            ..Self::default()
        }
    }
}

const NOTHING_SAID: &str = "nothing to do: name a file, as in uwrs .config/uwsgi.ini, or say what to serve, as in \
                            uwrs --http :8000 --module config.wsgi; all else is in uwrs --help";

/// How long `--wait` waits for a server that says nothing; longer than a server waits for a new generation.
const PATIENCE: Duration = Duration::from_secs(660);

/// Reads the arguments behind the program's name, the environment and all files they lead to. All that is wrong is
/// told at once.
pub fn parse(arguments: impl Iterator<Item = OsString>, host: &dyn Host) -> Result<Invocation, Failure> {
    let line = command_line::read(arguments)?;
    if let Some(invocation) = simple_command(&line, host)? {
        return Ok(invocation);
    }
    let is_silent = line.said.is_empty();
    let mut problems = Problems::default();
    let options = reader::read(line.said, host, &mut problems);
    if is_silent && options.settings().is_empty() {
        return Err(NOTHING_SAID.to_owned().into());
    }
    let (config, became) = resolve::resolve(&options, host, &mut problems);
    let asked = |name: &str| line.commands.iter().find(|(command, _)| *command == name);
    let shown = asked("show-config").map(|_| show::show(&options, &became));
    let said = problems.into_messages();
    let Some(mut config) = config.map(Box::new) else {
        return Err(Failure {
            shown,
            warnings: said.warnings,
            messages: said.errors,
        });
    };
    config.warnings = said.warnings;
    config.notes = said.notes;
    if let Some(shown) = shown {
        return Ok(Invocation::Print(shown));
    }
    match asked("check") {
        Some((_, what)) => Ok(Invocation::Check {
            config,
            app: what == "app",
        }),
        None => Ok(Invocation::Run { config, options }),
    }
}

/// The commands that need no configuration.
fn simple_command(line: &CommandLine, host: &dyn Host) -> Result<Option<Invocation>, Failure> {
    let is_asked = |name: &str| line.commands.iter().any(|(command, _)| *command == name);
    if is_asked("wait") && !is_asked("reload") {
        return Err("--wait: goes with --reload PIDFILE".to_owned().into());
    }
    for (command, value) in &line.commands {
        let invocation = match (*command, value.as_str()) {
            ("help", "") => Invocation::Print(command_line::help()),
            ("help", "markdown") => Invocation::Print(reference::markdown()),
            ("help", other) => return Err(format!("--help: no such format: \"{other}\"").into()),
            ("version", _) => Invocation::Print(format!("uwrs {}\n", env!("CARGO_PKG_VERSION"))),
            ("reload", file) => Invocation::Reload {
                pidfile: host.facts().directory.join(file),
                wait: patience(line)?,
            },
            ("stop", file) => Invocation::Stop(host.facts().directory.join(file)),
            ("check", "" | "app") => continue,
            ("check", other) => {
                return Err(format!("--check: nothing or app is expected, not \"{other}\"").into());
            }
            _ => continue,
        };
        return Ok(Some(invocation));
    }
    Ok(None)
}

/// `--wait[=SECONDS]`
fn patience(line: &CommandLine) -> Result<Option<Duration>, String> {
    let mut said = line.commands.iter().filter(|(command, _)| *command == "wait");
    let Some((_, text)) = said.next_back() else {
        return Ok(None);
    };
    if text.is_empty() {
        return Ok(Some(PATIENCE));
    }
    let seconds = value::number(text, 1, 86_400).map_err(|reason| format!("--wait: {reason}"))?;
    Ok(Some(Duration::from_secs(seconds.value)))
}

#[cfg(test)]
mod tests;
