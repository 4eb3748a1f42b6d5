//! `home`: the interpreter is the virtualenv's.

#![allow(clippy::panic, clippy::unwrap_used, reason = "that is how a test fails")]

mod support;

use std::process::Command;

use support::Ask;
use uwrs_api::WorkerFacts;
use uwrs_python::Settings;

#[test]
fn the_interpreter_starts_in_the_virtualenv() {
    let home = std::env::temp_dir().join(format!("uwrs-virtualenv-{}", std::process::id()));
    let python = env!("UWRS_BASE_PYTHON");
    let made = Command::new(python)
        .args(["-m", "venv", "--without-pip"])
        .arg(&home)
        .status()
        .unwrap();
    assert!(made.success());

    let settings = Settings {
        home: Some(home.clone()),
        ..support::settings(&[("", "where:application")])
    };
    let mut runtime = uwrs_python::start(settings).unwrap();
    assert!(
        runtime.describe().ends_with(&format!("({})", home.display())),
        "{}",
        runtime.describe()
    );
    runtime.load().unwrap();
    let gateway = runtime
        .enter_worker(WorkerFacts {
            number: 1,
            master: None,
        })
        .unwrap();
    let server = support::Server { gateway };
    let told = Ask::get("/").send(&server).text();
    let told: Vec<&str> = told.lines().collect();

    let shown = home.display().to_string();
    assert_eq!(told[0], shown, "sys.prefix");
    assert_ne!(told[1], shown, "sys.base_prefix");
    assert_eq!(told[2], format!("{shown}/bin/python"), "sys.executable");
    assert_eq!(told[3], "True", "site-packages of the virtualenv is on sys.path");
    assert_eq!(
        told[4],
        support::apps().display().to_string(),
        "pythonpath comes first"
    );
    assert_eq!(
        told[5],
        std::env::current_dir().unwrap().display().to_string(),
        "then the current directory"
    );
    assert_eq!(
        told[6], "ran by the virtualenv's python: True",
        "sys.executable is a Python"
    );
    std::fs::remove_dir_all(&home).unwrap();

    let again = uwrs_python::start(Settings::default()).err().unwrap();
    assert!(again.message.contains("it is started already"));
}
