//! Options of uWSGI that are not built yet: accepted, ignored, and said so, with what to do meanwhile. One that starts
//! to work moves to the file of its theme.

use crate::config::definition::{Definition, Kind, Theme};

const fn flag(name: &'static str, theme: Theme, meanwhile: &'static str) -> Definition {
    Definition::later(name, Kind::Flag, theme, meanwhile)
}

const fn text(name: &'static str, theme: Theme, meanwhile: &'static str) -> Definition {
    Definition::later(name, Kind::Text("VALUE"), theme, meanwhile).repeats()
}

const fn optional(name: &'static str, theme: Theme, meanwhile: &'static str) -> Definition {
    Definition::later(name, Kind::OptionalText("VALUE"), theme, meanwhile).repeats()
}

/// Nothing helps.
const NOTHING: &str = "";
const ADDRESS: &str = "name the address itself, as in http = :80";
const ALARM: &str = "have what reads the log raise it";
const ASYNC: &str =
    "threads = N and gevent = N serve many requests at a time, or make it an ASGI application";
const CACHE: &str = "use the cache of the framework";
const CRON: &str = "use the system's cron or a systemd timer";
const DAEMON: &str = "run it beside uwrs, as a service of its own";
const EMPEROR: &str = "start one uwrs for each vassal";
const ENV: &str = "use env = NAME=VALUE, a line for each";
const FORMAT: &str = "lines have the default format of uWSGI";
const FRONT: &str = "say it to the web server in front";
const GATEWAY: &str = "name the servers to the web server in front";
const HOOK: &str = "do it in what starts uwrs (systemd: ExecStartPre=, ExecStopPost=)";
const JAIL: &str = "have systemd do it (RootDirectory=, AmbientCapabilities=, Slice=)";
const LIMIT: &str = "use evil-reload-on-as, or have systemd do it (MemoryMax=)";
const LOGGER: &str = "use logto = FILE, or leave the log to what takes standard error (systemd: the journal)";
const PROTOCOL: &str = "serve the uwsgi protocol or HTTP, with socket or http";
const PROXY: &str =
    "connections that begin with a PROXY line are answered with 400: turn it off in the proxy";
const QUEUE: &str = "use a task queue (Celery, RQ), as a service of its own";
const ROTATE: &str = "use touch-logrotate, or logrotate and USR1";
const SELECT: &str =
    "without disable-logging all requests are logged; with it log-4xx, log-5xx and log-slow select some";
const STATE: &str = "USR1 prints the state into the log";
const STATIC: &str = "have the web server in front send the files, or the application (WhiteNoise)";
const TLS: &str = "have a web server in front speak TLS";
const TSTP: &str = "send TSTP to the master";
const WRITE_OUT: &str = "write out what it stands for";

pub(super) const OPTIONS: &[Definition] = &[
    text("declare-option", Theme::Files, WRITE_OUT),
    text("declare-option2", Theme::Files, WRITE_OUT),
    flag("dump-options", Theme::Files, "see uwrs --help"),
    text("fallback-config", Theme::Files, NOTHING),
    text("get", Theme::Files, "see uwrs --show-config"),
    text("if-hostname-match", Theme::Files, "use if-hostname"),
    text("if-not-hostname-match", Theme::Files, "use if-not-hostname"),
    text("mode", Theme::Files, NOTHING),
    flag(
        "abstract-socket",
        Theme::Sockets,
        "put an @ before the name: socket = @name",
    )
    .short('a'),
    flag("enable-proxy-protocol", Theme::Sockets, PROXY),
    text("fastcgi-socket", Theme::Sockets, PROTOCOL),
    flag("http-auto-gzip", Theme::Sockets, FRONT),
    optional("http-enable-proxy-protocol", Theme::Sockets, PROXY),
    flag("http-manage-rtsp", Theme::Sockets, NOTHING),
    flag("http-manage-source", Theme::Sockets, NOTHING),
    text("http-server-name-as-http-host", Theme::Sockets, NOTHING),
    text("http-stats", Theme::Sockets, STATE).aliases(&["http-stats-server"]),
    text("http-subscription-server", Theme::Sockets, GATEWAY),
    text(
        "http-to",
        Theme::Sockets,
        "what comes to http is answered here and not passed on",
    ),
    text(
        "http-to-https",
        Theme::Sockets,
        "redirect in the web server in front, or in the application (Django: SECURE_SSL_REDIRECT)",
    ),
    text("https", Theme::Sockets, TLS),
    text("https-socket", Theme::Sockets, TLS).aliases(&["ssl-socket", "suwsgi-socket"]),
    text("scgi-socket", Theme::Sockets, PROTOCOL),
    text("shared-socket", Theme::Sockets, ADDRESS),
    text("sni-dir-ciphers", Theme::Sockets, TLS),
    text("ssl-tmp-dir", Theme::Sockets, TLS),
    text("asyncio", Theme::Application, ASYNC),
    flag(
        "catch-exceptions",
        Theme::Application,
        "tracebacks are in the log",
    ),
    text("early-envdir", Theme::Application, ENV),
    text("envdir", Theme::Application, ENV),
    text("eval", Theme::Application, "put it into a file: wsgi-file = FILE"),
    flag("ignore-script-name", Theme::Application, NOTHING),
    flag("no-default-app", Theme::Application, NOTHING),
    text(
        "optimize",
        Theme::Application,
        "set PYTHONOPTIMIZE where uwrs is started",
    )
    .short('O'),
    text(
        "paste",
        Theme::Application,
        "call paste.deploy.loadapp() in a module, and name that",
    ),
    flag(
        "paste-logger",
        Theme::Application,
        "call logging.config.fileConfig() in the module of the application",
    ),
    text("py", Theme::Application, NOTHING).aliases(&["pyrun", "python"]),
    text(
        "py-tracebacker",
        Theme::Application,
        "harakiri logs where stuck requests are",
    ),
    optional("pyshell", Theme::Application, NOTHING),
    flag("reload-os-env", Theme::Application, NOTHING),
    text(
        "shared-import",
        Theme::Application,
        "use import: it is done before the fork",
    )
    .aliases(&["shared-py-import", "shared-pyimport", "shared-python-import"]),
    flag("skip-atexit", Theme::Application, NOTHING),
    text("spooler-import", Theme::Application, QUEUE).aliases(&[
        "spooler-py-import",
        "spooler-pyimport",
        "spooler-python-import",
    ]),
    text("test", Theme::Application, NOTHING).short('J'),
    text("tornado", Theme::Application, ASYNC),
    flag("vhost", Theme::Application, NOTHING),
    text("add-gid", Theme::Processes, "make the user a member of the group"),
    text("attach-daemon", Theme::Processes, DAEMON),
    text("attach-daemon2", Theme::Processes, DAEMON),
    text("cap", Theme::Processes, JAIL),
    text("cgroup", Theme::Processes, JAIL),
    text("cgroup-dir-mode", Theme::Processes, JAIL),
    text("chroot", Theme::Processes, JAIL),
    text("cron", Theme::Processes, CRON),
    text("cron2", Theme::Processes, CRON),
    flag("die-on-no-workers", Theme::Processes, NOTHING),
    flag("emperor-nofollow", Theme::Processes, EMPEROR),
    text("emperor-on-demand-directory", Theme::Processes, EMPEROR),
    text("emperor-on-demand-extension", Theme::Processes, EMPEROR),
    text("emperor-stats", Theme::Processes, EMPEROR).aliases(&["emperor-stats-server"]),
    flag("emperor-tyrant", Theme::Processes, EMPEROR),
    text("emperor-use-clone", Theme::Processes, EMPEROR),
    text("emperor-wrapper-override", Theme::Processes, EMPEROR),
    text("exec-pre-app", Theme::Processes, HOOK),
    optional("exit", Theme::Processes, NOTHING),
    flag("exit-on-reload", Theme::Processes, "HUP reloads in place"),
    text("farm", Theme::Processes, DAEMON),
    text("harakiri-queue-threshold", Theme::Processes, NOTHING),
    flag("honour-stdin", Theme::Processes, NOTHING),
    text("hook-accepting1", Theme::Processes, HOOK),
    text("hook-as-gateway", Theme::Processes, HOOK),
    text("hook-as-root", Theme::Processes, HOOK),
    text("hook-as-user", Theme::Processes, HOOK),
    text("hook-asap", Theme::Processes, HOOK),
    text("hook-emperor-lost", Theme::Processes, NOTHING),
    text("hook-emperor-reload", Theme::Processes, NOTHING),
    text("hook-emperor-stop", Theme::Processes, NOTHING),
    text("hook-master-start", Theme::Processes, HOOK),
    text(
        "hook-post-app",
        Theme::Processes,
        "do it at the end of the module of the application",
    ),
    text(
        "hook-post-fork",
        Theme::Processes,
        "set uwsgi.post_fork_hook in the application",
    ),
    text("hook-pre-app", Theme::Processes, HOOK),
    text("hook-pre-jail", Theme::Processes, HOOK),
    flag("jailed", Theme::Processes, JAIL),
    optional("ksm", Theme::Processes, NOTHING),
    text("limit-as", Theme::Processes, LIMIT),
    optional("mule", Theme::Processes, DAEMON),
    text("mule-reload-mercy", Theme::Processes, NOTHING),
    text("mules", Theme::Processes, DAEMON),
    flag("never-swap", Theme::Processes, NOTHING),
    text("notify-socket", Theme::Processes, NOTHING),
    text("pause", Theme::Processes, TSTP),
    text("pivot-root", Theme::Processes, JAIL).aliases(&["pivot_root"]),
    text("resume", Theme::Processes, TSTP),
    flag("setns-preopen", Theme::Processes, JAIL),
    text("setns-socket", Theme::Processes, JAIL),
    text("smart-attach-daemon", Theme::Processes, DAEMON),
    text("smart-attach-daemon2", Theme::Processes, DAEMON),
    text("spooler", Theme::Processes, QUEUE).short('Q'),
    text("spooler-chdir", Theme::Processes, QUEUE),
    text("spooler-frequency", Theme::Processes, QUEUE).aliases(&["spooler-freq"]),
    text("spooler-harakiri", Theme::Processes, QUEUE),
    text("spooler-processes", Theme::Processes, QUEUE),
    flag("spooler-quiet", Theme::Processes, QUEUE),
    text("suspend", Theme::Processes, TSTP),
    text("threads-stacksize", Theme::Processes, NOTHING).aliases(&[
        "threads-stack-size",
        "thread-stacksize",
        "thread-stack-size",
    ]),
    text("unique-cron", Theme::Processes, CRON),
    text("vassals-include", Theme::Processes, EMPEROR),
    text("vassals-set", Theme::Processes, EMPEROR).aliases(&["vassal-set"]),
    text("alarm", Theme::Logging, ALARM),
    text("alarm-backlog", Theme::Logging, ALARM).aliases(&["alarm-listen-queue"]),
    text("alarm-freq", Theme::Logging, ALARM),
    text("alarm-segfault", Theme::Logging, ALARM),
    flag("enable-metrics", Theme::Logging, STATE),
    text("log-alarm", Theme::Logging, ALARM).aliases(&["alarm-log"]),
    text("log-backupname", Theme::Logging, ROTATE),
    text("log-big", Theme::Logging, SELECT),
    text("log-encoder", Theme::Logging, FORMAT),
    text("log-format", Theme::Logging, FORMAT).aliases(&["logformat"]),
    text("log-ioerror", Theme::Logging, SELECT),
    text("log-maxsize", Theme::Logging, ROTATE),
    flag("log-micros", Theme::Logging, FORMAT),
    flag("log-reopen", Theme::Logging, "USR1 and touch-logreopen do it"),
    text("log-req-encoder", Theme::Logging, FORMAT),
    text("log-route", Theme::Logging, FORMAT),
    text("log-sendfile", Theme::Logging, SELECT),
    optional("log-syslog", Theme::Logging, LOGGER),
    flag("log-truncate", Theme::Logging, ROTATE),
    flag(
        "log-x-forwarded-for",
        Theme::Logging,
        "the log shows the address that the web server in front gives: over uwsgi_pass the client's own",
    ),
    flag("log-zero", Theme::Logging, SELECT),
    text(
        "logfile-chmod",
        Theme::Logging,
        "make the file before, or set umask",
    ),
    flag("logfile-chown", Theme::Logging, "make the file before"),
    flag("logformat-strftime", Theme::Logging, FORMAT),
    text("logger", Theme::Logging, LOGGER),
    flag("memory-report", Theme::Logging, STATE).short('m'),
    text("metric", Theme::Logging, STATE),
    text("req-logger", Theme::Logging, LOGGER).aliases(&["logger-req"]),
    text("stats", Theme::Logging, STATE).aliases(&["stats-server"]),
    flag("stats-http", Theme::Logging, STATE),
    text("stats-push", Theme::Logging, STATE),
    text("add-header", Theme::More, FRONT),
    text("cache2", Theme::More, CACHE),
    flag("cgi-mode", Theme::More, NOTHING).short('c'),
    text("check-static", Theme::More, STATIC).aliases(&["static-check"]),
    text("error-page-403", Theme::More, FRONT),
    text("error-page-404", Theme::More, FRONT),
    text("error-page-500", Theme::More, FRONT),
    text("file-serve-mode", Theme::More, STATIC),
    text("legion", Theme::More, NOTHING),
    text("legion-node", Theme::More, NOTHING),
    text("locks", Theme::More, CACHE),
    text("mimefile", Theme::More, STATIC),
    text("queue", Theme::More, CACHE),
    text("route", Theme::More, FRONT),
    text("route-host", Theme::More, FRONT),
    text("route-if", Theme::More, FRONT),
    text("route-label", Theme::More, FRONT),
    text("route-run", Theme::More, FRONT),
    text("route-uri", Theme::More, FRONT),
    text("route-user-agent", Theme::More, FRONT),
    text("sharedarea", Theme::More, CACHE).short('A'),
    text("static-cache-paths", Theme::More, STATIC),
    text("static-cache-paths-name", Theme::More, STATIC),
    text("static-expires", Theme::More, STATIC),
    text("static-expires-type-mtime", Theme::More, STATIC),
    flag("static-gzip-all", Theme::More, STATIC),
    text("static-gzip-dir", Theme::More, STATIC),
    text("static-index", Theme::More, STATIC),
    text("static-map", Theme::More, STATIC),
    text("static-map2", Theme::More, STATIC),
    text("static-safe", Theme::More, STATIC),
    text("subscribe-to", Theme::More, GATEWAY),
    flag("subscription-dotsplit", Theme::More, GATEWAY),
    text("subscription-notify-socket", Theme::More, GATEWAY),
    text("subscription-tolerance", Theme::More, GATEWAY),
    text("subscriptions-sign-check", Theme::More, GATEWAY),
    text("subscriptions-sign-skip-uid", Theme::More, GATEWAY),
    flag("subscriptions-use-credentials", Theme::More, GATEWAY),
    flag("unsubscribe-on-graceful-reload", Theme::More, GATEWAY),
];
