//! Options of uWSGI that nothing is lost without: accepted, ignored, and the reason said in one line.

use crate::config::definition::{Definition, Kind, Theme};

const fn flag(name: &'static str, theme: Theme, reason: &'static str) -> Definition {
    Definition::unneeded(name, Kind::Flag, theme, reason)
}

const fn text(name: &'static str, theme: Theme, reason: &'static str) -> Definition {
    Definition::unneeded(name, Kind::Text("VALUE"), theme, reason)
}

const FORK: &str = "Python is always told about forks";
const LEAVING_CLIENT: &str = "that a client has gone is not logged anyway";
const WRITE_ERRORS: &str = "only write() raises when a client is gone, and not with disable-write-exception";
const COMPLETE_BODY: &str = "the application is called when the body is complete";
const NO_ROUTER: &str = "the workers speak HTTP themselves, there is no router process";

pub(super) const OPTIONS: &[Definition] = &[
    flag(
        "thunder-lock",
        Theme::Sockets,
        "the kernel wakes one worker for each connection",
    ),
    Definition::unneeded(
        "http-manage-expect",
        Kind::OptionalText("VALUE"),
        Theme::Sockets,
        "Expect: 100-continue is answered anyway",
    ),
    flag("no-defer-accept", Theme::Sockets, "TCP_DEFER_ACCEPT is not used"),
    flag(
        "http-auto-chunked",
        Theme::Sockets,
        "answers without a length are chunked anyway",
    ),
    flag(
        "http-chunked-input",
        Theme::Sockets,
        "chunked bodies are decoded anyway",
    ),
    flag(
        "http-raw-body",
        Theme::Sockets,
        "chunked bodies are decoded anyway",
    ),
    flag(
        "http-websockets",
        Theme::Sockets,
        "ASGI applications are offered WebSockets anyway",
    ),
    text("http-processes", Theme::Sockets, NO_ROUTER).aliases(&["http-workers"]),
    text("http-events", Theme::Sockets, NO_ROUTER),
    flag("close-on-exec", Theme::Sockets, "no descriptor survives an exec"),
    flag("close-on-exec2", Theme::Sockets, "no descriptor survives an exec"),
    text(
        "chunked-input-limit",
        Theme::Limits,
        "no chunk is kept whole in memory; limit-post limits the body",
    ),
    text(
        "body-read-warning",
        Theme::Limits,
        "bodies past post-buffering are not in memory",
    ),
    text("http-connect-timeout", Theme::Sockets, NO_ROUTER),
    text("post-buffering-bufsize", Theme::Limits, COMPLETE_BODY),
    flag("ignore-sigpipe", Theme::Logging, LEAVING_CLIENT),
    flag("ignore-write-errors", Theme::Logging, LEAVING_CLIENT),
    flag("write-errors-exception-only", Theme::Logging, WRITE_ERRORS),
    text("write-errors-tolerance", Theme::Logging, WRITE_ERRORS),
    flag("log-master", Theme::Logging, "all processes write to one log"),
    flag(
        "no-orphans",
        Theme::Processes,
        "workers leave when the master is gone",
    ),
    text(
        "harakiri-graceful-signal",
        Theme::Limits,
        "a worker is always asked to finish what else it has",
    ),
    flag("harakiri-no-arh", Theme::Limits, "nothing runs after a request"),
    flag(
        "lazy",
        Theme::Processes,
        "obsolete in uWSGI too: lazy-apps is what it has become",
    ),
    text(
        "offload-threads",
        Theme::Processes,
        "sending never holds a worker up",
    ),
    flag("py-call-osafterfork", Theme::Application, FORK),
    flag("py-call-uwsgi-fork-hooks", Theme::Application, FORK),
    text(
        "wsgi-env-behaviour",
        Theme::Application,
        "every request has an environ of its own",
    )
    .aliases(&["wsgi-env-behavior"]),
    text("plugins-dir", Theme::Files, "all plug-ins are built in")
        .aliases(&["plugin-dir"])
        .repeats(),
    text(
        "max-apps",
        Theme::Application,
        "there may be any number of applications",
    ),
    text(
        "py-executable",
        Theme::Application,
        "sys.executable is the virtualenv's Python",
    )
    .aliases(&["py-sys-executable"]),
    flag(
        "reaper",
        Theme::Processes,
        "processes that have ended are always reaped",
    )
    .short('r'),
    Definition::unneeded(
        "logdate",
        Kind::OptionalText("VALUE"),
        Theme::Logging,
        "every line of the log has its date and time",
    )
    .aliases(&["log-date"]),
    flag("autoload", Theme::Files, "all plug-ins are built in"),
    text("binary-path", Theme::Files, "the program knows where it is"),
];
