//! uwrs: a uWSGI-style, multi-protocol application server for Python, driven by an INI file.

#[cfg(feature = "python")]
pub mod application;
pub mod config;
pub mod logging;
pub mod protocol;
pub mod scoreboard;
pub mod server;
pub mod sys;
pub mod worker;
