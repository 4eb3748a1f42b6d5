//! What options mean.

use std::time::Duration;

use super::Machine;
use crate::config::{
    Config, EnvironmentChange, Harakiri, Invocation, ListenAddress, LoopOption, Mount, Owner, ProtocolKind,
    WarmUp, WorkerLimits,
};

fn config(lines: &str) -> Config {
    Machine::with_lines(lines).config(&[])
}

#[test]
fn what_is_not_said_has_a_default() {
    let config = config("");
    assert_eq!(config.sockets.backlog, 1024);
    assert_eq!(config.sockets.mode, None);
    assert!(!config.sockets.vacuum);
    assert!(config.processes.master);
    assert_eq!(config.processes.workers, 1);
    assert!(config.processes.die_on_term);
    assert_eq!(config.processes.worker_reload_mercy, Duration::from_secs(60));
    let limits = WorkerLimits {
        least_lifetime: Duration::from_secs(10),
        ..WorkerLimits::default()
    };
    assert_eq!(config.processes.worker_limits, limits);
    assert_eq!(config.application.threads, 1);
    assert!(!config.application.lazy);
    assert_eq!(config.application.autoreload, None);
    assert_eq!(config.limits.head_bytes, 65536);
    assert_eq!(config.limits.fields, 128);
    assert_eq!(config.limits.body_bytes, None);
    assert!(config.logging.requests);
    assert_eq!(config.logging.slow, None);
    assert_eq!(config.warnings, [""; 0]);
}

#[test]
fn limits_of_workers_are_seconds_and_mebibytes() {
    let config = config(
        "max-requests = 1000\nmax-requests-delta = 50\nmax-worker-lifetime = 3600\nmax-worker-lifetime-delta = 60\n\
         min-worker-lifetime = 20\nreload-on-exception\nreload-on-rss = 200\nreload-on-as = 800\nevil-reload-on-rss = 300\n\
         evil-reload-on-as = 900",
    );
    let limits = WorkerLimits {
        requests: Some(1000),
        requests_delta: 50,
        lifetime: Some(Duration::from_secs(3600)),
        lifetime_delta: Duration::from_secs(60),
        least_lifetime: Duration::from_secs(20),
        resident: Some(200 << 20),
        address_space: Some(800 << 20),
        exceptions: true,
        deadly_resident: Some(300 << 20),
        deadly_address_space: Some(900 << 20),
    };
    assert_eq!(config.processes.worker_limits, limits);
}

#[test]
fn pauses_of_clients_are_what_is_said_for_each_or_for_all() {
    let pauses = |lines: &str| {
        let limits = config(lines).limits;
        (limits.body_timeout.as_secs(), limits.send_timeout.as_secs())
    };
    assert_eq!(pauses(""), (30, 60));
    assert_eq!(pauses("socket-timeout = 7"), (7, 7));
    assert_eq!(pauses("http-timeout = 90"), (90, 90));
    assert_eq!(pauses("socket-timeout = 7\nhttp-timeout = 90"), (90, 90));
    assert_eq!(pauses("http-timeout = 90\nbody-timeout = 5"), (5, 90));
    assert_eq!(pauses("socket-timeout = 7\nso-send-timeout = 5"), (7, 5));
}

#[test]
fn harakiri_is_off_unless_it_is_said() {
    let off = Harakiri {
        limit: None,
        grace: Duration::from_secs(10),
        verbose: false,
    };
    assert_eq!(config("").limits.harakiri, off);
    let on = config("harakiri = 30\nharakiri-graceful-timeout = 5\nharakiri-verbose = true");
    let expected = Harakiri {
        limit: Some(Duration::from_secs(30)),
        grace: Duration::from_secs(5),
        verbose: true,
    };
    assert_eq!(on.limits.harakiri, expected);
}

#[test]
fn reload_mercy_is_the_workers_mercy_where_that_is_not_said() {
    for (lines, seconds) in [
        ("reload-mercy = 8", 8),
        ("worker-reload-mercy = 9\nreload-mercy = 8", 9),
        ("worker-reload-mercy = 9", 9),
    ] {
        let mercy = config(lines).processes.worker_reload_mercy;
        assert_eq!(mercy, Duration::from_secs(seconds), "{lines}");
    }
}

#[test]
fn an_application_is_needed_unless_it_is_said_not_to_be() {
    let Ok(Invocation::Run { config, .. }) = Machine::new().parse(&["--http", ":80", "-w", "app"]) else {
        panic!("it can be run");
    };
    assert!(config.application.need_app);
}

#[test]
fn protocol_changes_what_is_spoken_on_socket_alone() {
    let config = config("protocol = http\nsocket = :1\nuwsgi-socket = :2\nhttp11-socket = :3");
    let spoken: Vec<ProtocolKind> = config
        .listeners
        .iter()
        .map(|listener| listener.protocol)
        .collect();
    assert_eq!(
        spoken,
        [
            ProtocolKind::Http,
            ProtocolKind::Uwsgi,
            ProtocolKind::Http,
            ProtocolKind::Http
        ]
    );
}

#[test]
fn a_listener_remembers_where_it_was_asked_for() {
    let config = config("\nsocket = :1");
    assert_eq!(config.listeners[0].origin, "uwsgi.ini:3");
}

#[test]
fn paths_start_where_uwsgi_starts_them() {
    let machine = Machine::with_lines(
        "chdir = app\nsocket = app.sock\nhome = ../venv\npythonpath = lib\npidfile = a.pid\npidfile2 = c.pid\n\
         safe-pidfile2 = d.pid\nsafe-pidfile = b.pid\n\
         logto = a.log\nwsgi-file = wsgi.py\nchdir2 = data",
    )
    .directory("/srv/app/../venv")
    .directory("/srv/app/lib")
    .directory("/srv/app/data");
    let config = machine.config(&[]);
    let application = config.application;
    assert_eq!(application.chdir.as_deref(), Some("/srv/app".as_ref()));
    assert_eq!(application.chdir2.as_deref(), Some("/srv/app/data".as_ref()));
    assert_eq!(application.home.as_deref(), Some("/srv/app/../venv".as_ref()));
    assert_eq!(application.pythonpath, [std::path::PathBuf::from("/srv/app/lib")]);
    assert_eq!(application.wsgi_file.as_deref(), Some("wsgi.py".as_ref()));
    assert_eq!(
        config.listeners[0].address,
        ListenAddress::Unix("/srv/app/app.sock".into())
    );
    let pidfiles = &config.processes.pidfiles;
    let pidfiles: Vec<_> = pidfiles
        .iter()
        .map(|file| file.path.display().to_string())
        .collect();
    assert_eq!(
        pidfiles,
        ["/srv/a.pid", "/srv/app/c.pid", "/srv/app/b.pid", "/srv/app/d.pid"]
    );
    assert_eq!(config.logging.file.as_deref(), Some("/srv/a.log".as_ref()));
}

#[test]
fn a_virtualenv_that_is_not_below_chdir_is_looked_for_where_the_program_was_started() {
    let config = config("chdir = app\nvirtualenv = venv");
    assert_eq!(config.application.home.as_deref(), Some("/srv/venv".as_ref()));
}

#[test]
fn of_module_and_file_the_one_said_last_counts() {
    let machine = Machine::with_lines("module = a\nwsgi-file = b.py");
    let application = machine.config(&[]).application;
    assert_eq!(
        (application.module, application.wsgi_file),
        (None, Some("b.py".into()))
    );
    let application = machine.config(&["--wsgi", "c"]).application;
    assert_eq!(
        (application.module.as_deref(), application.wsgi_file),
        (Some("c"), None)
    );
}

#[test]
fn a_warm_up_is_a_path_or_an_address() {
    for (said, host, target) in [
        ("/", "localhost", "/"),
        ("/a?b=/c", "localhost", "/a?b=/c"),
        ("http://example.com", "example.com", "/"),
        ("http://example.com:81/a", "example.com:81", "/a"),
    ] {
        let meant = config(&format!("warm-up = {said}")).application.warm_up;
        let (host, target) = (host.to_owned(), target.to_owned());
        assert_eq!(meant, [WarmUp { host, target }], "{said}");
    }
}

#[test]
fn where_nothing_is_loaded_before_there_are_workers_there_is_no_warm_up() {
    for line in ["lazy-apps = true", "master = false"] {
        let config = config(&format!("warm-up = /\n{line}"));
        assert_eq!(config.application.warm_up, []);
        let warning = "uwsgi.ini:2: warm-up: nothing is loaded before there are workers";
        assert!(
            config.warnings.iter().any(|said| said.starts_with(warning)),
            "{line}: {:?}",
            config.warnings
        );
    }
}

#[test]
fn mounts_keep_their_order_and_lose_their_final_slash() {
    let mounts = config("mount = /api/=api:app\nmount = /=main.py")
        .application
        .mounts;
    let mount = |point: &str, target: &str, line: usize| Mount {
        point: point.to_owned(),
        target: target.to_owned(),
        origin: format!("uwsgi.ini:{line}"),
    };
    assert_eq!(mounts, [mount("/api", "api:app", 2), mount("", "main.py", 3)]);
}

#[test]
fn changes_of_the_environment_keep_their_order() {
    let changes = config("env = A=1=2\nunenv = B\nenv = A=\nenv = C = d")
        .application
        .environment;
    let set = |name: &str, value: &str| EnvironmentChange::Set(name.to_owned(), value.to_owned());
    assert_eq!(
        changes,
        [
            set("A", "1=2"),
            EnvironmentChange::Unset("B".to_owned()),
            set("A", ""),
            set("C ", " d")
        ]
    );
}

#[test]
fn sockets_have_an_owner_and_a_mode() {
    let sockets = config("chown-socket = www:nginx\nchmod-socket = 0660\nvacuum\nlisten = 100").sockets;
    assert_eq!(sockets.mode, Some(0o660));
    assert_eq!(sockets.backlog, 100);
    assert!(sockets.vacuum);
    let group = Some("nginx".to_owned());
    assert_eq!(
        sockets.owner,
        Some(Owner {
            user: "www".to_owned(),
            group
        })
    );
}

#[test]
fn a_backlog_larger_than_the_system_allows_is_made_smaller() {
    let mut machine = Machine::with_lines("");
    machine.facts.somaxconn = Some(128);
    let config = machine.config(&[]);
    assert_eq!(config.sockets.backlog, 128);
    assert_eq!(config.warnings, [""; 0], "nobody asked for more");
    let config = machine.config(&["--listen", "200"]);
    assert_eq!(config.sockets.backlog, 128);
    let expected = "--listen: 200 is more than the system allows, 128 is used; \
                    to allow it: sysctl net.core.somaxconn=200";
    assert_eq!(config.warnings, [expected]);
}

#[test]
fn titles_are_put_together() {
    let procname =
        config("auto-procname\nprocname-prefix = x-\nprocname-prefix-spaced = [app]\nprocname-append = !")
            .processes
            .procname;
    assert!(procname.auto);
    assert_eq!(
        (procname.prefix.as_str(), procname.append.as_str()),
        ("[app] ", "!")
    );
}

#[test]
fn the_log_is_what_was_selected() {
    let logging = config("disable-logging = true\nlog-4xx = true\nlog-slow = 1500").logging;
    assert!(!logging.requests);
    assert!(logging.client_errors);
    assert!(!logging.server_errors);
    assert_eq!(logging.slow, Some(Duration::from_millis(1500)));
}

#[test]
fn limits_are_numbers() {
    let config = config("limit-post = 1000\npy-autoreload = 2\numask = 027\npyargv = a  b");
    assert_eq!(config.limits.body_bytes, Some(1000));
    assert_eq!(config.application.autoreload, Some(Duration::from_secs(2)));
    assert_eq!(config.processes.umask, Some(0o27));
    assert_eq!(config.application.argv, ["a", "b"]);
}

#[test]
fn commands_need_no_configuration() {
    let machine = Machine::new();
    for (arguments, expected) in [
        (
            vec!["--reload", "run/uwrs.pid"],
            "Reload { pidfile: \"/srv/run/uwrs.pid\", wait: None }",
        ),
        (
            vec!["--wait", "--reload", "/run/uwrs.pid"],
            "Reload { pidfile: \"/run/uwrs.pid\", wait: Some(660s) }",
        ),
        (
            vec!["--reload", "/run/uwrs.pid", "--wait=5"],
            "Reload { pidfile: \"/run/uwrs.pid\", wait: Some(5s) }",
        ),
        (vec!["--stop", "/run/uwrs.pid"], "Stop(\"/run/uwrs.pid\")"),
    ] {
        let invocation = machine
            .parse(&arguments)
            .map(|invocation| format!("{invocation:?}"));
        assert_eq!(invocation.as_deref(), Ok(expected));
    }
    for arguments in [
        vec!["--help"],
        vec!["-h"],
        vec!["--version"],
        vec!["--help=markdown"],
    ] {
        let invocation = machine.parse(&arguments);
        assert!(matches!(invocation, Ok(Invocation::Print(_))), "{arguments:?}");
    }
}

#[test]
fn checking_says_whether_the_application_is_wanted_too() {
    let machine = Machine::with_lines("http = :80\nmodule = app");
    for (flag, wanted) in [("--check", false), ("--check=app", true)] {
        match machine.parse(&[flag, "uwsgi.ini"]) {
            Ok(Invocation::Check { app, .. }) => assert_eq!(app, wanted),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn show_config_says_what_was_said_and_what_it_became() {
    let machine = Machine::with_lines(
        "base = /srv\nchdir = %(base)/app\nprocesses = %k\nhttp = :80\nmodule = app\nlegion = 30\nthunder-lock",
    )
    .variable("UWSGI_PROCESSES", "2");
    let Ok(Invocation::Print(shown)) = machine.parse(&["uwsgi.ini", "--show-config", "--processes", "8"])
    else {
        panic!("it can be shown");
    };
    let said: Vec<&str> = shown.lines().take_while(|line| !line.is_empty()).collect();
    let expected = [
        "UWSGI_PROCESSES  processes = 2        → overridden by --processes",
        "uwsgi.ini:2      base = /srv          → /srv (a placeholder)",
        "uwsgi.ini:3      chdir = %(base)/app  → /srv/app",
        "uwsgi.ini:4      processes = 4        → overridden by --processes",
        "uwsgi.ini:5      http = :80           → http on :80",
        "uwsgi.ini:6      module = app",
        "uwsgi.ini:7      legion = 30          → ignored: not supported yet",
        "uwsgi.ini:8      thunder-lock         → ignored: the kernel wakes one worker for each connection",
        "command line     processes = 8",
    ];
    assert_eq!(said, expected);
    assert!(shown.contains("\n  master = true  (uWSGI: false)\n"), "{shown}");
}

#[test]
fn show_config_shows_what_there_is_when_something_is_wrong() {
    let machine = Machine::with_lines("processes = many");
    let failure = machine
        .parse(&["uwsgi.ini", "--show-config"])
        .expect_err("it is wrong");
    assert!(
        failure
            .shown
            .is_some_and(|shown| shown.contains("processes = many"))
    );
    assert_eq!(failure.messages.len(), 3);
}

#[test]
fn sockets_from_systemd_are_served_when_no_other_is_named() {
    let machine = |pid: &str| {
        Machine::with_lines("module = app\nprotocol = http")
            .variable("LISTEN_PID", pid)
            .variable("LISTEN_FDS", "2")
    };
    let Ok(Invocation::Run { config, .. }) = machine("7").parse(&["uwsgi.ini"]) else {
        panic!("it can be run");
    };
    let served: Vec<&ListenAddress> = config
        .listeners
        .iter()
        .map(|listener| &listener.address)
        .collect();
    assert_eq!(
        served,
        [&ListenAddress::Inherited(3), &ListenAddress::Inherited(4)]
    );
    assert_eq!(config.listeners[0].protocol, ProtocolKind::Http);
    assert!(
        machine("8").parse(&["uwsgi.ini"]).is_err(),
        "they are for another process"
    );
    assert_eq!(machine("7").config(&[]).listeners.len(), 1);
}

#[test]
fn files_to_watch_are_seen_from_the_directory_of_the_application_and_need_not_exist() {
    let lines = "chdir = app\ntouch-reload = reload\ntouch-logreopen = /run/log\ntouch-reload = ../other";
    let touches = Machine::with_lines(lines).config(&[]).processes.touches;
    let found: Vec<(&str, &str)> = touches
        .iter()
        .map(|touch| (touch.wish.option(), touch.path.to_str().unwrap()))
        .collect();
    let expected = [
        ("touch-reload", "/srv/app/reload"),
        ("touch-reload", "/srv/app/../other"),
        ("touch-logreopen", "/run/log"),
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_loop_is_one_of_asyncios_or_gevents() {
    let config = |value: &str| Machine::with_lines(&format!("module = app\nloop = {value}")).config(&[]);
    let uvloop = config("uvloop");
    assert_eq!(uvloop.application.event_loop, LoopOption::Uvloop);
    assert_eq!(uvloop.application.greenlets, None);
    let gevent = config("gevent");
    assert_eq!(
        gevent.application.greenlets.map(|greenlets| greenlets.most),
        Some(100)
    );
    let [warning] = &gevent.warnings[..] else {
        panic!("{:?}", gevent.warnings)
    };
    assert!(
        warning.contains("loop: how many greenlets is not said"),
        "{warning}"
    );
}

#[test]
fn greenlets_are_asked_for_in_either_of_uwsgis_ways() {
    for (lines, most, monkey_patch) in [
        ("gevent = 400", 400, false),
        (
            "gevent = 2000\ngevent-monkey-patch = true\nthreads = 1",
            2000,
            true,
        ),
        ("gevent = 5\ngevent-early-monkey-patch", 5, true),
        ("loop = gevent\nasync = 20", 20, false),
        ("loop = gevent\nasync = 20\ngevent = 30", 30, false),
    ] {
        let config = Machine::with_lines(&format!("module = app\n{lines}")).config(&[]);
        let greenlets = config.application.greenlets.expect(lines);
        assert_eq!(
            (greenlets.most, greenlets.monkey_patch),
            (most, monkey_patch),
            "{lines}"
        );
        assert_eq!(config.warnings, [""; 0], "{lines}");
    }
}

#[test]
fn what_is_about_greenlets_is_said_to_be_ignored_without_them() {
    for line in [
        "async = 8",
        "gevent-monkey-patch = true",
        "gevent-wait-for-hub = true",
    ] {
        let config = Machine::with_lines(&format!("module = app\n{line}")).config(&[]);
        assert_eq!(config.application.greenlets, None);
        let [warning] = &config.warnings[..] else {
            panic!("{line}: {:?}", config.warnings)
        };
        assert!(warning.contains("it is about greenlets"), "{warning}");
    }
}
