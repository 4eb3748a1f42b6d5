//! What counts when several say something: environment, files, flags, and the command line itself.

use super::Machine;
use crate::config::{ListenAddress, ProtocolKind};

#[test]
fn flags_count_more_than_files_and_files_more_than_the_environment_wherever_they_stand() {
    let machine = Machine::with_lines("processes = 2\nbuffer-size = 2048").variable("UWSGI_PROCESSES", "1");
    assert_eq!(machine.config(&[]).processes.workers, 2);
    assert_eq!(machine.config(&["-p", "3"]).processes.workers, 3);
    let before = ["-p", "3", "--http", ":8000", "--need-app=false", "uwsgi.ini"];
    let Ok(crate::config::Invocation::Run { config, .. }) = machine.parse(&before) else {
        panic!("it can be run");
    };
    assert_eq!(config.processes.workers, 3);
    assert_eq!(config.limits.head_bytes, 2048);
}

#[test]
fn the_later_of_two_files_counts_more() {
    let machine = Machine::with_lines("processes = 2").file("/srv/more.ini", "[uwsgi]\nworkers = 5");
    assert_eq!(machine.config(&["more.ini"]).processes.workers, 5);
    assert_eq!(
        machine
            .config(&["--ini", "more.ini", "uwsgi.ini"])
            .processes
            .workers,
        2
    );
}

#[test]
fn lists_add_up_in_the_order_of_those_who_say_them() {
    let machine = Machine::with_lines("socket = /run/a.sock\nhttp-socket = :81\nsocket = /run/b.sock")
        .variable("UWSGI_SOCKET", ":80");
    let config = machine.config(&["--uwsgi-socket", ":82"]);
    let said: Vec<String> = config
        .listeners
        .iter()
        .map(|listener| format!("{} {}", listener.protocol.name(), listener.address))
        .collect();
    let expected = [
        "uwsgi :80",
        "uwsgi /run/a.sock",
        "http :81",
        "uwsgi /run/b.sock",
        "http :8000",
        "uwsgi :82",
    ];
    assert_eq!(said, expected);
}

#[test]
fn our_own_prefix_of_the_environment_counts_more_than_uwsgis() {
    let machine = Machine::new()
        .variable("UWRS_PROCESSES", "3")
        .variable("UWSGI_PROCESSES", "2")
        .variable("UWRS__LISTENERS", "7")
        .variable("UWSGI_RELOADS", "1");
    let config = machine.config(&[]);
    assert_eq!(config.processes.workers, 3);
    assert_eq!(config.warnings, [""; 0]);
}

#[test]
fn a_file_may_be_named_by_the_environment() {
    let machine = Machine::new()
        .file("/etc/app.ini", "[uwsgi]\nprocesses = 3")
        .variable("UWSGI_INI", "/etc/app.ini");
    assert_eq!(machine.config(&[]).processes.workers, 3);
}

#[test]
fn a_placeholder_of_the_command_line_counts_more_than_one_of_the_file() {
    let machine =
        Machine::with_lines("base = /x\nprocname = %(base)\nif-opt = base=/y\nprocesses = 2\nendif =");
    let config = machine.config(&["--set", "base=/y"]);
    assert_eq!(config.processes.procname.name.as_deref(), Some("/y"));
    assert_eq!(config.processes.workers, 2);
}

#[test]
fn short_flags_are_uwsgis() {
    let machine = Machine::new().directory("/srv/env");
    let config = machine.config(&[
        "-s",
        "/run/app.sock",
        "-p3",
        "-w",
        "site.wsgi",
        "-H",
        "env",
        "-l",
        "10",
        "-b",
        "4096",
        "-z",
        "7",
        "-C",
        "-LMTi",
        "-d",
        "uwrs.log",
        "-S",
        "x=1",
        "-v",
        "32",
    ]);
    assert_eq!(config.listeners[1].address.to_string(), "/run/app.sock");
    assert_eq!(config.listeners[1].protocol, ProtocolKind::Uwsgi);
    assert_eq!(config.processes.workers, 3);
    assert_eq!(config.application.module.as_deref(), Some("site.wsgi"));
    assert_eq!(config.application.home.as_deref(), Some("/srv/env".as_ref()));
    assert_eq!(config.sockets.backlog, 10);
    assert_eq!(config.limits.head_bytes, 4096);
    assert_eq!(config.limits.body_timeout.as_secs(), 7);
    assert_eq!(config.limits.fields, 64);
    assert_eq!(config.sockets.mode, Some(0o666));
    assert!(!config.logging.requests);
    assert!(config.processes.master);
    assert_eq!(
        config.processes.daemonize.as_deref(),
        Some("/srv/uwrs.log".as_ref())
    );
}

#[test]
fn the_users_command_needs_no_file() {
    let machine = Machine::new();
    let invocation = machine.parse(&["--http", ":8000", "--chdir", "app", "--module", "config.wsgi"]);
    let Ok(crate::config::Invocation::Run { config, .. }) = invocation else {
        panic!("{invocation:?}");
    };
    let everywhere = ListenAddress::Inet {
        host: String::new(),
        port: 8000,
    };
    assert_eq!(config.listeners[0].address, everywhere);
    assert_eq!(config.listeners[0].origin, "--http");
    assert_eq!(config.application.chdir.as_deref(), Some("/srv/app".as_ref()));
    assert_eq!(config.application.module.as_deref(), Some("config.wsgi"));
}

#[test]
fn flags_may_be_cut_short_and_have_their_value_behind_an_equals_sign() {
    let machine = Machine::new();
    assert!(!machine.config(&["--die-on-t=false"]).processes.die_on_term);
    assert_eq!(machine.config(&["--processes=2"]).processes.workers, 2);
    assert_eq!(
        machine.config(&["--pyargv", "-v --all"]).application.argv,
        ["-v", "--all"]
    );
    assert_eq!(machine.config(&["--chmod-socket=660"]).sockets.mode, Some(0o660));
    assert_eq!(machine.config(&["-C660"]).sockets.mode, Some(0o660));
}

#[test]
fn words_in_brackets_are_an_emperors_and_mean_nothing() {
    assert_eq!(Machine::new().config(&["[vassal]"]).warnings, [""; 0]);
}

#[test]
fn reading_again_gives_the_same() {
    let machine = Machine::with_lines("processes = 2\nthunder-lock = true");
    let first = format!("{:?}", machine.run(&[]));
    assert_eq!(first, format!("{:?}", machine.run(&[])));
    assert_eq!(machine.reads.get(), 2);
}
