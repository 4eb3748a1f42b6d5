//! Commands by a named pipe: `master-fifo`.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::time::Instant;

use nix::sys::signal::Signal;

use crate::support::load::Load;
use crate::support::process;
use crate::support::{HTTP, Running, Server, eventually, soon};

/// An application that answers the process it is in.
const PID: &str = "import os\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    \
                   return [b'%d' % os.getpid()]\n";

/// A server of two workers with a pipe, with these lines too.
fn server(lines: &str) -> Running {
    Server::new()
        .app(PID)
        .ini(&format!(
            "{HTTP}processes = 2\ndisable-logging = true\nmaster-fifo = %dfifo\n{lines}"
        ))
        .start()
}

/// Writes commands into a pipe of the server's directory, whose own `write` would put a file in its place.
fn write(server: &Running, name: &str, bytes: &str) {
    fs::write(server.file(name), bytes).unwrap();
}

/// Does what one byte asks for, and gives the workers there were and are when no one leaves or comes any more.
fn change(server: &Running, byte: &str, workers: usize) -> (Vec<i32>, Vec<i32>) {
    let before = server.settle(2);
    write(server, "fifo", byte);
    let after = eventually("other workers", || {
        let now = server.workers();
        (now.len() == workers && now != before).then_some(now)
    });
    server.settle(workers);
    (before, after)
}

#[test]
fn all_kinds_of_reload_can_be_asked_for_and_lose_nothing() {
    let server = server("");
    let mode = fs::metadata(server.file("fifo")).unwrap();
    assert!(mode.file_type().is_fifo());
    assert_eq!(mode.permissions().mode() & 0o777, 0o600);
    let load = Load::start(server.port(), 2, 2);
    let mut old = server.settle(2);
    // With the newline of echo, and without.
    for (byte, says) in [
        ("r\n", "generation 2 serves"),
        ("c", "generation 3 serves"),
        ("w\n", "replacing the workers"),
        ("r", "generation 4 serves"),
    ] {
        write(&server, "fifo", byte);
        server.wait_for_log(&[says]);
        old = server.settle_anew(&old);
        load.wait_for(20);
    }
    let report = load.finish();
    assert!(report.lost.is_empty(), "{:#?}\n{}", report.lost, server.log());
    for (byte, says) in [("R", "generation 5 serves"), ("W", "replacing the workers")] {
        write(&server, "fifo", byte);
        server.wait_for_log(&[says]);
        old = server.settle_anew(&old);
    }
}

#[test]
fn workers_are_added_and_taken_and_paused() {
    let server = server("");
    change(&server, "+", 3);
    write(&server, "fifo", "-");
    server.settle(2);
    write(&server, "fifo", "p");
    server.wait_for_log(&["paused"]);
    write(&server, "fifo", "p");
    server.wait_for_log(&["going on after a pause"]);
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn logs_pidfiles_and_the_state() {
    let server = server("pidfile = %dpid\nlogto = %duwrs.log\n");
    let log = server.file("uwrs.log");
    let text = || fs::read_to_string(&log).unwrap_or_default();
    fs::remove_file(server.file("pid")).unwrap();
    write(&server, "fifo", "P");
    soon("the pidfile is back", || {
        fs::read_to_string(server.file("pid")).is_ok_and(|pid| pid.trim() == server.pid().to_string())
    });
    write(&server, "fifo", "s");
    soon("the state", || {
        text().contains("state: 2 of 2 workers serve generation 1")
    });
    fs::rename(&log, server.file("moved")).unwrap();
    write(&server, "fifo", "l");
    soon("a new log", || log.exists());
    write(&server, "fifo", "Ls");
    soon("another new log", || {
        text().contains("state: ") && !text().contains("master-fifo: l")
    });
}

#[test]
fn a_byte_that_means_nothing_is_a_line_in_the_log() {
    let server = server("");
    write(&server, "fifo", "xE\u{1}");
    server.wait_for_log(&["nothing is done on \"x\"", "it is no command"]);
    server.wait_for_log(&["nothing is done on \"E\"", "there is no emperor"]);
    server.wait_for_log(&["nothing is done on \"\\x01\""]);
    assert_eq!(server.count_log("nothing is done on"), 3);
}

#[test]
fn it_is_there_after_a_reload_and_after_the_program_was_executed_again() {
    let server = server("");
    let ready = server.times_ready();
    write(&server, "fifo", "r");
    server.wait_until_ready(ready + 1);
    server.signal(Signal::SIGUSR2);
    server.wait_until_ready(ready + 2);
    let workers = server.settle(2);
    // f is the same as USR2.
    write(&server, "fifo", "f");
    server.wait_until_ready(ready + 3);
    soon("the workers of before are gone", || {
        workers.iter().all(|&pid| !process::is_alive(pid))
    });
    change(&server, "w", 2);
}

#[test]
fn a_digit_chooses_another_pipe() {
    let server = server("master-fifo = %dsecond\n");
    assert!(!server.file("second").exists());
    write(&server, "fifo", "1");
    soon("the second pipe is there", || server.file("second").exists());
    soon("the first one is gone", || !server.file("fifo").exists());
    let ready = server.times_ready();
    write(&server, "second", "r");
    server.wait_until_ready(ready + 1);
    // The choice survives.
    write(&server, "second", "f");
    server.wait_until_ready(ready + 2);
    write(&server, "second", "9");
    server.wait_for_log(&["there is no number 9: 2 given"]);
    write(&server, "second", "0");
    soon("the first pipe is back", || server.file("fifo").exists());
}

#[test]
fn q_finishes_what_is_in_hand_and_vacuum_removes_the_pipe() {
    for (byte, vacuum) in [("q", true), ("Q", false)] {
        let mut server = server(&format!("vacuum = {vacuum}\n"));
        let asked = Instant::now();
        write(&server, "fifo", byte);
        let status = server.wait_for_end();
        assert!(status.success(), "{status}\n{}", server.log());
        assert!(asked.elapsed().as_secs() < 20, "{:?}", asked.elapsed());
        assert_eq!(server.file("fifo").exists(), !vacuum);
        server.assert_nothing_left();
    }
}

#[test]
fn a_file_that_is_no_pipe_ends_the_start_and_is_kept() {
    let finished = Server::new()
        .file("fifo", "precious")
        .ini(&format!("{HTTP}master-fifo = %dfifo\n"))
        .run();
    finished.assert_refused(1, &["master-fifo = ", "fifo: is there and is no pipe"]);
    assert_eq!(
        fs::read_to_string(finished.path().join("fifo")).unwrap(),
        "precious"
    );
}

#[test]
fn whatever_is_asked_for_in_whatever_order_no_request_is_lost() {
    let server = Server::new()
        .app(PID)
        .ini(&format!(
            "{HTTP}processes = 4\ncheaper = 1\ncheaper-overload = 1\ncheaper-initial = 2\ndisable-logging = true\n\
             master-fifo = %dfifo\n"
        ))
        .start();
    let load = Load::start(server.port(), 3, 3);
    let commands = "r+wc-Cr-cwpp+fCwr+c-rwC+-+-wrcCfwpp-+c";
    for command in commands.split("").filter(|command| !command.is_empty()) {
        write(&server, "fifo", command);
        // A pause ends with the next command.
        if command != "p" {
            load.wait_for(15);
        }
    }
    load.wait_for(50);
    let report = load.finish();
    assert!(report.lost.is_empty(), "{:#?}\n{}", report.lost, server.log());
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn a_pipe_that_was_removed_is_made_again_by_a_reload_and_when_logs_are_opened_again() {
    let server = Server::new().ini(&format!("{HTTP}master-fifo = %dfifo")).start();
    let path = server.file("fifo");
    for (times, ask) in [Signal::SIGHUP, Signal::SIGUSR1].into_iter().enumerate() {
        fs::remove_file(&path).unwrap();
        server.signal(ask);
        soon("it is there again", || path.exists());
        soon("it is said", || {
            server.count_log("was removed, and is made again") == times + 1
        });
    }
    fs::write(&path, "s").unwrap();
    soon("it is read", || server.count_log("state: ") == 2);
}
