//! uwrs: a uWSGI-style, multi-protocol application server for Python, driven by an INI file.

#[cfg(feature = "python")]
pub mod application;
pub mod config;
pub mod launch;
pub mod logging;
pub mod master;
pub mod mold;
pub mod program;
pub mod protocol;
pub mod scoreboard;
pub mod server;
mod single;
pub mod sys;
pub mod worker;
