//! uwrs: a uWSGI-style, multi-protocol application server for Python, driven by an INI file.

pub mod config;
pub mod scoreboard;
pub mod worker;
