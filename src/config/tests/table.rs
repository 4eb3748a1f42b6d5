//! Every option of the table, said in every way it can be said.

use super::Machine;
use crate::config::{Arity, Definition, Invocation, Kind, Status, options};

/// A value that is not the default.
fn sample(definition: &Definition) -> String {
    let text = match (definition.name, definition.kind) {
        ("protocol", _) => "http",
        ("env", _) => "A=1",
        ("mount", _) => "/a=b",
        ("warm-up", _) => "/a",
        ("plugin", _) => "http",
        ("cheaper-algo", _) => "spare2",
        ("interface", _) => "asgi",
        ("loop", _) => "asyncio",
        ("lifespan" | "websockets-compression", _) => "off",
        ("slow-callback", _) => "0.25",
        ("cheaper-busyness-max", _) => "60",
        (_, Kind::Flag) if definition.default == "true" => "false",
        (_, Kind::Flag) => "true",
        (_, Kind::Number { least, .. }) => return (least + 16).to_string(),
        (_, Kind::Amount { .. }) => "17",
        (_, Kind::Octal | Kind::SocketMode) => "660",
        (_, Kind::Address) => ":9000",
        (_, Kind::File) => "file",
        (_, Kind::Directory) => "app",
        (_, Kind::Text(_) | Kind::OptionalText(_)) => "word",
    };
    text.to_owned()
}

/// What must be said beside an option so that it means something.
fn company(definition: &Definition) -> &'static [&'static str] {
    match definition.name {
        "gevent-monkey-patch" | "gevent-wait-for-hub" => &["--gevent=9"],
        "async" => &["--loop=gevent"],
        "cheaper" => &["--processes=100"],
        "cheaper-idle" => &["--processes=100", "--cheaper=2", "--cheaper-algo=spare2"],
        name if name.starts_with("cheaper-busyness-") => {
            &["--processes=100", "--cheaper=2", "--cheaper-algo=busyness"]
        }
        name if name.starts_with("cheaper-") => &["--processes=100", "--cheaper=2"],
        _ => &[],
    }
}

fn that_work() -> impl Iterator<Item = &'static Definition> {
    options().filter(|known| known.status == Status::Works)
}

/// What a configuration means, but for where it was said. It has a socket and an application beside what is tried.
fn meaning(machine: &Machine, arguments: &[&str]) -> String {
    let names_application = |argument: &&str| {
        let name = argument.split('=').next().unwrap_or_default();
        ["--module", "--wsgi", "--file", "--wsgi-file"].contains(&name) || name.starts_with("-w")
    };
    let mut all = vec!["--http", ":8000", "--socket", ":7000"];
    if machine.has_file("/srv/uwsgi.ini") {
        all.push("uwsgi.ini");
    } else if !arguments.iter().any(names_application) && !machine.has_variables() {
        all.extend(["--module", "app"]);
    }
    all.extend(arguments);
    let mut config = match machine.parse(&all) {
        Ok(Invocation::Run { config, .. }) => *config,
        other => panic!("{all:?}: {other:?}"),
    };
    config.warnings.clear();
    config.notes.clear();
    config.said.clear();
    for listener in &mut config.listeners {
        listener.origin.clear();
    }
    config
        .listeners
        .sort_by_key(|listener| listener.address.to_string());
    for mount in &mut config.application.mounts {
        mount.origin.clear();
    }
    let processes = &mut config.processes;
    for principal in processes.uid.iter_mut().chain(&mut processes.gid) {
        principal.origin.clear();
    }
    format!("{config:?}")
}

#[test]
fn every_name_means_the_same_in_a_file_as_a_flag_and_in_the_environment() {
    for known in that_work() {
        let value = sample(known);
        let beside = company(known);
        for name in known.names() {
            let file = Machine::with_lines(&format!("module = app\n{name} = {value}"));
            let expected = meaning(&file, beside);
            let flag = format!("--{name}={value}");
            assert_eq!(
                meaning(&Machine::new(), &[beside, &[&*flag]].concat()),
                expected,
                "{flag}"
            );
            let variable = format!("UWRS_{}", name.to_uppercase().replace('-', "_"));
            let environment = Machine::new()
                .variable("UWSGI_MODULE", "app")
                .variable(&variable, &value);
            assert_eq!(meaning(&environment, beside), expected, "{variable}");
            if known.kind.arity() == Arity::Required {
                let flag = format!("--{name}");
                assert_eq!(
                    meaning(&Machine::new(), &[beside, &[&*flag, &*value]].concat()),
                    expected,
                    "{flag} {value}"
                );
            }
        }
        if let Some(short) = known.short.filter(|_| known.kind.arity() == Arity::Required) {
            let flag = format!("-{short}{value}");
            let file = Machine::with_lines(&format!("module = app\n{} = {value}", known.name));
            assert_eq!(meaning(&Machine::new(), &[&flag]), meaning(&file, &[]), "{flag}");
        }
    }
}

#[test]
fn every_option_that_works_changes_something() {
    // These change the reading and its warnings only.
    let elsewhere = ["strict", "plugin", "print"];
    for known in that_work().filter(|known| !elsewhere.contains(&known.name)) {
        let with = Machine::with_lines(&format!("module = app\n{} = {}", known.name, sample(known)));
        let without = meaning(&Machine::with_lines("module = app"), company(known));
        assert_ne!(
            meaning(&with, company(known)),
            without,
            "{} changes nothing",
            known.name
        );
    }
}

#[test]
fn every_option_that_is_ignored_is_accepted_everywhere_and_told() {
    let ignored = options().filter(|known| matches!(known.status, Status::NotYet(_) | Status::Unneeded(_)));
    // These open a block, which is skipped.
    let blocks = ["if-hostname-match", "if-not-hostname-match"];
    for known in ignored.filter(|known| !blocks.contains(&known.name)) {
        for name in known.names() {
            let file = Machine::with_lines(&format!("{name} = 1")).config(&[]);
            let flag = Machine::new().config(&[&format!("--{name}=1")]);
            for (place, config) in [("uwsgi.ini:2".to_owned(), file), (format!("--{name}"), flag)] {
                // What nothing is lost without is nothing to be warned of.
                let (told, silent) = match known.status {
                    Status::Unneeded(_) => (config.notes, config.warnings),
                    _ => (config.warnings, config.notes),
                };
                let [told] = &told[..] else { panic!("{told:?}") };
                assert!(
                    told.starts_with(&format!("{place}: {} is not ", known.name)),
                    "{told}"
                );
                assert_eq!(silent, [""; 0]);
            }
        }
    }
}

#[test]
fn options_that_are_known_by_name_only_are_accepted_as_flags() {
    let config = Machine::new().config(&["--legion-freq", "3", "--master-as-root", "--legion-freq=4"]);
    assert_eq!(
        config.warnings,
        [
            "--legion-freq: legion-freq is an option of uWSGI that uwrs does not have, it is ignored",
            "--master-as-root: master-as-root is an option of uWSGI that uwrs does not have, it is ignored",
        ]
    );
}

#[test]
fn every_default_is_a_value_that_could_be_said() {
    // The interpreter knows this one.
    for known in that_work().filter(|known| !known.default.is_empty() && known.name != "callable") {
        let file = Machine::with_lines(&format!("module = app\n{} = {}", known.name, known.default));
        let without = Machine::with_lines("module = app");
        assert_eq!(meaning(&file, &[]), meaning(&without, &[]), "{}", known.name);
    }
}
