//! Black-box tests: the real program, real sockets, real nginx, real frameworks. One file a theme; what they share is
//! in `support`.
//!
//! `tests/run` runs them with everything they need. By themselves (`cargo test --test black_box`) those that need
//! nginx or the frameworks' virtualenv say so and pass.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that is surprised should stop and say where"
)]

mod answers;
mod asgi;
mod asgi_beside;
mod asgi_clients;
mod asgi_frameworks;
mod asgi_harakiri;
mod asgi_lifespan;
mod asgi_load;
mod asgi_loops;
mod asgi_spec;
mod asgi_trailers;
mod boot;
mod command_line;
mod contexts;
mod crash;
mod crowd;
mod deadlines;
mod examples;
mod fault;
mod ferry;
mod ferry_faults;
mod fifo;
mod files;
mod fork;
mod frameworks;
mod gevent;
mod harakiri;
mod http;
mod limits;
mod logs;
mod nginx;
mod overload;
mod pep3333;
mod privileges;
mod reload;
mod rude;
mod scaling;
mod scaling_loops;
mod signals;
mod soak;
mod stream_crowds;
mod stream_frameworks;
mod stream_threads;
mod streaming;
mod support;
mod threads;
mod touch;
mod trouble;
mod uwsgi;
mod websocket;
mod websocket_load;
mod websocket_spec;
mod worker_limits;
mod wsgi;
