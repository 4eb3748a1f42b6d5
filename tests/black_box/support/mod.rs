//! What black-box tests are written with: a server in a directory of its own, clients that speak in bytes, and a view
//! of the process table.

pub(crate) mod client;
pub(crate) mod directory;
pub(crate) mod growth;
pub(crate) mod load;
pub(crate) mod nginx;
pub(crate) mod packet;
pub(crate) mod process;
pub(crate) mod record;
pub(crate) mod server;
pub(crate) mod streams;
pub(crate) mod venv;
pub(crate) mod wait;
pub(crate) mod websocket;

pub(crate) use client::{Connection, Response};
pub(crate) use server::{Finished, Running, Server};
pub(crate) use wait::{eventually, soon};

/// The application that tests are served by unless they bring their own.
pub(crate) const TOOLBOX: &str = include_str!("toolbox.py");

/// What most tests ask for: the toolbox over HTTP on a free port.
pub(crate) const HTTP: &str = "http = 127.0.0.1:0\nmodule = app\n";

/// Says why a test is skipped; an error where `UWRS_TEST_SKIP=never`.
pub(crate) fn skip(reason: &str) {
    let never = std::env::var_os("UWRS_TEST_SKIP").is_some_and(|value| value == "never");
    assert!(!never, "may not be skipped: {reason}");
    eprintln!("skipped: {reason}");
}
