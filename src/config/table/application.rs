//! The application and its interpreter.

use crate::config::definition::{Definition, Kind, Status, Theme};

const fn option(name: &'static str, kind: Kind, help: &'static str) -> Definition {
    Definition::new(name, kind, Theme::Application, help)
}

pub(super) const OPTIONS: &[Definition] = &[
    option(
        "chdir",
        Kind::Directory,
        "go to this directory before the application is loaded",
    ),
    option(
        "chdir2",
        Kind::Directory,
        "go to this directory after the application is loaded",
    ),
    option(
        "home",
        Kind::Directory,
        "the virtualenv; a relative one is looked for in chdir first",
    )
    .aliases(&["virtualenv", "venv", "pyhome"])
    .short('H'),
    option(
        "module",
        Kind::Text("MODULE[:CALLABLE]"),
        "the module that holds the application, e.g. config.wsgi or app:create_app()",
    )
    .aliases(&["wsgi"])
    .short('w'),
    option(
        "wsgi-file",
        Kind::File,
        "the file that holds the application, relative to chdir",
    )
    .aliases(&["file"]),
    option(
        "callable",
        Kind::Text("NAME"),
        "what the application is called in its module or file",
    )
    .default("application"),
    option(
        "interface",
        Kind::Text("auto|wsgi|asgi|asgi2"),
        "how applications are called; auto tells by what each of them takes",
    )
    .default("auto"),
    option(
        "loop",
        Kind::Text("auto|asyncio|uvloop|gevent"),
        "whose loop ASGI applications run in; auto takes uvloop where it is installed. gevent is for WSGI: see there",
    )
    .default("auto"),
    option(
        "gevent",
        Kind::Number {
            least: 1,
            most: 1_000_000,
            unit: "N",
        },
        "run WSGI applications on gevent's greenlets, so many requests side by side in a worker",
    ),
    option(
        "async",
        Kind::Number {
            least: 0,
            most: 1_000_000,
            unit: "N",
        },
        "with loop = gevent: the same as gevent = N",
    ),
    option(
        "gevent-monkey-patch",
        Kind::Flag,
        "call gevent.monkey.patch_all() before the application is loaded, so that what waits in Python's library lets other \
         greenlets run",
    )
    .aliases(&["gevent-early-monkey-patch"])
    .default("false"),
    option(
        "gevent-wait-for-hub",
        Kind::Flag,
        "a worker that leaves waits for greenlets, timers and watchers that the application has started, too",
    )
    .default("false"),
    option(
        "lifespan",
        Kind::Text("auto|on|off"),
        "tell ASGI applications that the server starts and ends; auto puts up with those that do not take part",
    )
    .default("auto"),
    option(
        "mount",
        Kind::Text("/POINT=TARGET"),
        "serve another application, a module or a file, below /POINT",
    )
    .repeats(),
    option(
        "manage-script-name",
        Kind::Flag,
        "cut the mount point from PATH_INFO and set SCRIPT_NAME to it",
    )
    .default("false"),
    option(
        "wsgi-disable-file-wrapper",
        Kind::Flag,
        "offer applications no wsgi.file_wrapper: they read files by themselves",
    )
    .default("false"),
    option(
        "disable-write-exception",
        Kind::Flag,
        "write() of a WSGI application raises nothing when the client is gone",
    )
    .default("false"),
    option(
        "pythonpath",
        Kind::Directory,
        "a directory to put in front of sys.path; may hold * and ?",
    )
    .aliases(&["python-path", "pp"])
    .repeats(),
    option("pyargv", Kind::Text("WORDS"), "what follows in sys.argv"),
    option("import", Kind::Text("MODULE"), "import this module too")
        .aliases(&["pyimport", "py-import", "python-import"])
        .repeats(),
    option(
        "env",
        Kind::Text("NAME=VALUE"),
        "set an environment variable for the application",
    )
    .aliases(&["ienv"])
    .repeats(),
    option("unenv", Kind::Text("NAME"), "remove an environment variable").repeats(),
    option(
        "warm-up",
        Kind::Text("PATH"),
        "ask the application for this, /PATH or http://HOST/PATH, before the workers are forked: they share the memory that \
         it takes, and none has a slow first request",
    )
    .repeats(),
    option(
        "need-app",
        Kind::Flag,
        "refuse to start, or to reload, without an application",
    )
    .default("true")
    .unlike("false"),
    option(
        "lazy-apps",
        Kind::Flag,
        "load the application in each worker instead of once before they are forked",
    )
    .default("false"),
    option("single-interpreter", Kind::Flag, "one interpreter in a process")
        .short('i')
        .default("true")
        .unlike("false")
        .status(Status::Always("a process has one interpreter")),
    option(
        "enable-threads",
        Kind::Flag,
        "let threads that the application starts run",
    )
    .short('T')
    .default("true")
    .status(Status::Always("threads of the application always run")),
];
