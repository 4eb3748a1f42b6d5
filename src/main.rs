//! The `uwrs` program: says what is wrong, or serves. What it was asked is read in [`config`], how a server
//! comes up is told in [`launch`].

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use uwrs::config::{self, Config, Failure, Invocation, SystemHost};
use uwrs::program::Program;
use uwrs::{application, launch, logging, mold, worker};

fn main() -> ExitCode {
    // Before anything opens a file: inherited descriptors are known by their numbers only.
    let inherited = launch::Invocation::take();
    match read_configuration(&inherited.arguments) {
        Ok(Invocation::Print(text)) => print(&text),
        Ok(Invocation::Check { config, app }) => return check(&config, app),
        Ok(Invocation::Run { config, .. }) => return serve(*config, inherited),
        Ok(Invocation::Reload { pidfile, wait }) => {
            return tell(match wait {
                Some(limit) => launch::reload_and_wait(&pidfile, limit),
                None => launch::reload(&pidfile),
            });
        }
        Ok(Invocation::Stop(pidfile)) => return tell(launch::stop(&pidfile)),
        Err(failure) => return fail(&failure),
    }
    ExitCode::SUCCESS
}

/// What `arguments` ask for, the program's own name first. They are read once, at the start: a process title
/// takes their place in memory.
fn read_configuration(arguments: &[OsString]) -> Result<Invocation, Failure> {
    config::parse(arguments.iter().skip(1).cloned(), &SystemHost::new())
}

fn serve(config: Config, inherited: launch::Invocation) -> ExitCode {
    let arguments = inherited.arguments.clone();
    let program = Program {
        start_runtime: application::start_runtime,
        serve: worker::run,
        reread: &|| reread(&arguments),
    };
    exit_code(launch::run(config, program, inherited))
}

/// The configuration as the same arguments give it now.
fn reread(arguments: &[OsString]) -> Result<Config, Vec<String>> {
    match read_configuration(arguments) {
        Ok(Invocation::Run { config, .. }) => Ok(*config),
        Ok(_) => Err(vec!["the configuration no longer asks to serve".to_owned()]),
        Err(failure) => Err(failure.messages),
    }
}

/// `--check`, and with `app` the application is imported as a worker would.
fn check(config: &Config, app: bool) -> ExitCode {
    complain(&config.warnings, &[]);
    for note in &config.notes {
        eprintln!("uwrs: note: {note}");
    }
    let faults = launch::check(config);
    complain(&[], &faults);
    if !faults.is_empty() {
        return ExitCode::FAILURE;
    }
    if !app {
        return ExitCode::SUCCESS;
    }
    if let Err(error) = logging::start(None) {
        complain(&[], &[error]);
        return ExitCode::FAILURE;
    }
    if mold::check_application(config, application::start_runtime) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Says how a request to another server went.
fn tell(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&[], &[message]);
            ExitCode::FAILURE
        }
    }
}

fn fail(failure: &Failure) -> ExitCode {
    if let Some(shown) = &failure.shown {
        print(shown);
    }
    complain(&failure.warnings, &failure.messages);
    ExitCode::FAILURE
}

/// Prints on standard output. A reader that has gone away (`uwrs --help | head -1`) has read enough.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn complain(warnings: &[String], errors: &[String]) {
    for warning in warnings {
        eprintln!("uwrs: warning: {warning}");
    }
    for error in errors {
        eprintln!("uwrs: error: {error}");
    }
}

/// A status as the kernel takes it: the lowest eight bits.
fn exit_code(status: i32) -> ExitCode {
    ExitCode::from((status & 0xff) as u8)
}
