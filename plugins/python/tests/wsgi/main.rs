//! PEP 3333, sentence by sentence, on a gateway without a server.

#![allow(clippy::panic, clippy::unwrap_used, reason = "that is how a test fails")]

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod environ;
mod failures;
mod files;
mod heads;
mod input;
mod leaks;

use support::{Answer, Ask};
use uwrs_python::Settings;

/// Every callable of `tests/apps/pages.py` that a test asks for, mounted by its name.
fn settings() -> Settings {
    let source = std::fs::read_to_string(support::apps().join("pages.py")).expect("the applications");
    let names = source.lines().filter_map(|line| {
        // What has other arguments makes an application, or a file for one.
        let function = line.strip_prefix("def ");
        if function.is_some_and(|function| !function.contains("(environ, start_response)")) {
            return None;
        }
        let name = match function.or_else(|| line.strip_prefix("class ")) {
            Some(definition) => definition.split(['(', ':']).next()?,
            None => {
                line.split_once(" = ")
                    .filter(|(name, _)| !name.contains([' ', '.']))?
                    .0
            }
        };
        (!matches!(name, "TEXT" | "EVENTS" | "KEPT")).then(|| name.to_owned())
    });
    let mounts: Vec<(String, String)> = names
        .map(|name| (format!("/{name}"), format!("pages:{name}")))
        .collect();
    let mounts: Vec<(&str, &str)> = mounts
        .iter()
        .map(|(point, target)| (&**point, &**target))
        .collect();
    support::settings(&mounts)
}

/// Sends what `ask` makes, and gives the answer.
fn send(ask: Ask) -> Answer {
    support::with_server(settings, move |server| ask.send(server))
}

/// Sends, then asks what happened meanwhile.
fn send_for_events(ask: Ask) -> (Answer, String) {
    support::with_server(settings, move |server| {
        Ask::get("/events").send(server);
        let answer = ask.send(server);
        (answer, Ask::get("/events").send(server).text())
    })
}

fn get(target: &str) -> Answer {
    send(Ask::get(target))
}
