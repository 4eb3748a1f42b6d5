//! The `uwrs` program.

use std::io::Write;
use std::process::ExitCode;

use uwrs::config::{self, Failure, Invocation, SystemHost};

fn main() -> ExitCode {
    match config::parse(std::env::args_os().skip(1), &SystemHost::new()) {
        Ok(Invocation::Print(text)) => print(&text),
        Ok(Invocation::Check { config, .. }) => complain(&config.warnings, &[]),
        Ok(Invocation::Run { config, .. }) => {
            complain(&config.warnings, &["serving is not built in yet".to_owned()]);
            return ExitCode::FAILURE;
        }
        Ok(Invocation::Reload(_) | Invocation::Stop(_)) => {
            complain(&[], &["signalling a server is not built in yet".to_owned()]);
            return ExitCode::FAILURE;
        }
        Err(failure) => return fail(&failure),
    }
    ExitCode::SUCCESS
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
