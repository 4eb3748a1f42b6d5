//! Reloads while clients ask: nothing is lost, nothing old is served when the new is there, nothing broken ever.

use std::ops::RangeInclusive;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::load::{Answered, Load, Report};
use crate::support::{Connection, HTTP, Running, Server, eventually, process, soon};

const INI: &str = "http = 127.0.0.1:0\nmodule = app\nprocesses = 2\ndisable-logging = true\n";

/// An application that answers its generation and says once when it is imported.
fn generation(number: u64) -> String {
    format!(
        "print('imported generation {number}.', flush=True)\n\
         def application(environ, start_response):\n\
         \x20   start_response('200 OK', [('Content-Type', 'text/plain')])\n\
         \x20   return [b'{number}']\n"
    )
}

/// What may be answered from a moment on.
struct Period {
    from: Instant,
    allowed: RangeInclusive<u64>,
}

/// Reloads a server, again and again, and remembers what had to be answered when.
struct Reloader {
    server: Running,
    current: u64,
    periods: Vec<Period>,
}

impl Reloader {
    fn start() -> Self {
        let server = Server::new().app(&generation(1)).ini(INI).start();
        assert_eq!(server.get("/").text(), "1");
        let periods = vec![Period {
            from: Instant::now(),
            allowed: 1..=1,
        }];
        Self {
            server,
            current: 1,
            periods,
        }
    }

    fn expect_from_now(&mut self, allowed: RangeInclusive<u64>) {
        self.periods.push(Period {
            from: Instant::now(),
            allowed,
        });
    }

    /// Asks for a reload, and waits until it is over and the processes of the old generation are gone.
    fn reload(&mut self, ask: fn(&Running)) {
        let ready = self.server.times_ready();
        ask(&self.server);
        self.server.wait_until_ready(ready + 1);
        self.server.settle(2);
        assert_eq!(
            self.server.times_ready(),
            ready + 1,
            "more than one reload:\n{}",
            self.server.log()
        );
    }

    fn deploy(&mut self, ask: fn(&Running)) {
        let next = self.current + 1;
        self.server.write("app.py", generation(next));
        self.expect_from_now(self.current..=next);
        self.reload(ask);
        self.current = next;
        self.expect_from_now(next..=next);
        let imported = format!("imported generation {next}.");
        assert_eq!(self.server.count_log(&imported), 1, "{}", self.server.log());
    }

    fn deploy_broken(&mut self, ask: fn(&Running)) {
        let failures = self.server.count_log("SyntaxError");
        self.server.write("app.py", "def application(:\n");
        self.reload(ask);
        soon("the traceback is in the log", || {
            self.server.count_log("SyntaxError") > failures
        });
        assert_eq!(self.server.get("/").text(), self.current.to_string());
    }

    fn allowed(&self, at: Instant) -> &RangeInclusive<u64> {
        let period = self.periods.iter().rev().find(|period| period.from <= at);
        &period.unwrap_or(&self.periods[0]).allowed
    }

    /// Was that answer one that could be given when it was?
    fn is_right(&self, answer: &Answered) -> bool {
        let (oldest, newest) = (
            self.allowed(answer.sent).start(),
            self.allowed(answer.received).end(),
        );
        (*oldest..=*newest).contains(&answer.value)
    }

    fn check(&self, report: &Report) {
        assert!(
            report.lost.is_empty(),
            "lost {:#?}\n{}",
            report.lost,
            self.server.log()
        );
        let wrong: Vec<_> = report
            .answered
            .iter()
            .filter(|answer| !self.is_right(answer))
            .collect();
        assert!(wrong.is_empty(), "answered by the wrong generation: {wrong:#?}");
        assert!(
            report.answered.len() > 1000,
            "hardly any load: {}",
            report.answered.len()
        );
    }
}

/// 20 good deploys and 5 broken ones in between, with 8 clients.
fn twenty_reloads(ask: fn(&Running)) {
    let mut reloader = Reloader::start();
    let load = Load::start(reloader.server.port(), 4, 4);
    for round in 1..=20 {
        load.wait_for(40);
        reloader.deploy(ask);
        if round % 4 == 0 {
            load.wait_for(40);
            reloader.deploy_broken(ask);
        }
    }
    load.wait_for(40);
    let report = load.finish();
    reloader.check(&report);
}

#[test]
fn reloads_by_hup_to_the_master_lose_nothing() {
    twenty_reloads(|server| server.signal(Signal::SIGHUP));
}

#[test]
fn reloads_by_hup_to_every_process_lose_nothing() {
    twenty_reloads(|server| server.signal_all(Signal::SIGHUP));
}

#[test]
fn the_old_generation_serves_while_the_new_one_is_imported() {
    let slow = format!("import time; time.sleep(1.5)\n{}", generation(2));
    let server = Server::new().app(&generation(1)).ini(INI).start();
    server.write("app.py", slow);
    let ready = server.times_ready();
    server.signal(Signal::SIGHUP);
    let mut answers = Vec::new();
    while server.times_ready() == ready {
        answers.push(server.get("/").text().to_owned());
    }
    let old = answers.iter().filter(|answer| *answer == "1").count();
    // It was there for the whole of the import, not just at its start.
    assert!(old > 50, "{answers:?}");
    soon("the new generation", || server.get("/").text() == "2");
}

#[test]
fn a_request_in_hand_is_finished_by_the_generation_that_took_it() {
    let server = Server::new().ini("http = 127.0.0.1:0\nmodule = app\n").start();
    let old = server.get("/pid").text().to_owned();
    let mut slow = server.connect();
    slow.send("GET /stream/20/10/0.1 HTTP/1.1\r\nHost: example.org\r\n\r\n");
    assert_eq!(slow.head().unwrap().status, 200);
    server.reload();
    eventually("the new generation", || {
        (server.get("/pid").text() != old).then_some(())
    });
    let mut received = Vec::new();
    while let Some(chunk) = slow.chunk().unwrap() {
        received.extend_from_slice(&chunk);
    }
    assert_eq!(received.len(), 200);
}

/// The first piece of an answer: the application has the request in hand.
fn first_chunk(client: &mut Connection) -> Vec<u8> {
    assert_eq!(client.head().unwrap().status, 200);
    client.chunk().unwrap().unwrap()
}

#[test]
fn a_worker_that_is_stuck_in_the_application_at_a_reload_is_killed_when_mercy_is_over() {
    for option in ["worker-reload-mercy", "reload-mercy"] {
        let ini = format!("{HTTP}{option} = 2\n");
        let server = Server::new().ini(&ini).start();
        let stuck = server.settle(1)[0];
        let mut client = server.ask("/stream/2/4/600");
        assert_eq!(first_chunk(&mut client), b"ssss");
        let asked = Instant::now();
        server.reload();
        let told = server.wait_for_log(&[
            &format!("worker 1 (pid {stuck}) did not leave within 2 s and is killed"),
            "GET /stream/2/4/600",
        ]);
        assert!(asked.elapsed() >= Duration::from_secs(2), "{option}: {told}");
        assert!(told.contains("warn"), "{told}");
        assert_ne!(server.settle(1), [stuck], "{option}");
        assert!(client.chunk().is_err(), "its answer is cut off, not ended");
    }
}

#[test]
fn a_worker_that_ends_within_mercy_is_not_killed() {
    let app = "import os, time\n\
               def application(environ, start_response):\n\
               \x20   start_response('200 OK', [('Content-Type', 'text/plain')])\n\
               \x20   yield b'first'\n\
               \x20   until = time.monotonic() + 60\n\
               \x20   while not os.path.exists('go') and time.monotonic() < until:\n\
               \x20       time.sleep(0.01)\n\
               \x20   yield b'last'\n";
    let ini = format!("{HTTP}worker-reload-mercy = 40\n");
    let server = Server::new().app(app).ini(&ini).start();
    let old = server.settle(1)[0];
    let mut client = server.ask("/");
    assert_eq!(first_chunk(&mut client), b"first");
    server.reload();
    assert!(process::is_alive(old), "{}", server.log());
    server.write("go", "");
    assert_eq!(client.chunk().unwrap().as_deref(), Some(&b"last"[..]));
    assert_eq!(client.chunk().unwrap(), None);
    assert_ne!(server.settle(1), [old]);
    assert_eq!(server.count_log("did not leave"), 0, "{}", server.log());
}

#[test]
fn a_reload_that_fails_leaves_the_broken_generation_no_process() {
    let server = Server::new().app(&generation(1)).ini(INI).start();
    let before = server.settle(2);
    server.write("app.py", "raise RuntimeError('not today')\n");
    server.reload();
    server.wait_for_log(&["RuntimeError: not today"]);
    assert_eq!(server.settle(2), before);
    assert_eq!(server.get("/").text(), "1");
}

#[test]
fn a_reload_with_a_broken_ini_keeps_the_old_one() {
    let server = Server::new().app(&generation(1)).ini(INI).start();
    server.write(
        "uwsgi.ini",
        "[uwsgi]\nhttp = 127.0.0.1:0\nmodule = app\nprocesses = many\n",
    );
    server.reload();
    server.wait_for_log(&["uwsgi.ini:4", "processes", "many"]);
    assert_eq!(server.get("/").text(), "1");
}

#[test]
fn a_reload_reads_the_ini_again() {
    let server = Server::new()
        .app(&generation(1))
        .file("other.py", generation(7))
        .ini(INI)
        .start();
    assert_eq!(server.get("/").text(), "1");
    server.write(
        "uwsgi.ini",
        "[uwsgi]\nhttp = 127.0.0.1:0\nmodule = other\nprocesses = 2\n",
    );
    server.reload();
    soon("the other module", || server.get("/").text() == "7");
}

/// `uwrs --reload PIDFILE` with these words too: its exit status, and what it says.
fn ask(server: &Running, words: &[&str]) -> (Option<i32>, String) {
    ask_by(&server.file("pid"), words)
}

fn ask_by(pidfile: &Path, words: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_uwrs"))
        .arg("--reload")
        .arg(pidfile)
        .args(words)
        .output()
        .unwrap();
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn who_waits_for_a_reload_hears_how_it_went() {
    let server = Server::new()
        .app(&generation(1))
        .ini(&format!("{INI}pidfile = %dpid\n"))
        .start();
    let load = Load::start(server.port(), 2, 2);
    for number in 2..=4 {
        server.write("app.py", generation(number));
        assert_eq!(ask(&server, &["--wait"]), (Some(0), String::new()));
        // It serves by now; an old worker may be a moment behind in hearing that it is to leave.
        soon("the new generation alone", || {
            server.get("/").text() == number.to_string()
        });
    }
    server.write("app.py", "import no_such_module\n");
    let (status, said) = ask(&server, &["--wait"]);
    assert_eq!(status, Some(1), "{said}");
    for part in [
        "pid: not reloaded: ",
        "ModuleNotFoundError: No module named 'no_such_module'",
    ] {
        assert!(said.contains(part), "{said}");
    }
    assert_eq!(said.lines().count(), 1, "{said}");
    let ini = std::fs::read_to_string(server.file("uwsgi.ini")).unwrap();
    server.write("uwsgi.ini", format!("{ini}threads = many\n"));
    let (status, said) = ask(&server, &["--wait"]);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("threads: not a number: \"many\""), "{said}");
    assert_eq!(server.get("/").text(), "4");
    let report = load.finish();
    assert!(report.lost.is_empty(), "{:#?}\n{}", report.lost, server.log());

    // After the program was executed again it can be asked again.
    server.write("uwsgi.ini", ini);
    server.write("app.py", generation(5));
    let ready = server.times_ready();
    server.signal(Signal::SIGUSR2);
    server.wait_until_ready(ready + 1);
    soon("the re-executed one serves", || server.get("/").text() == "5");
    server.write("app.py", generation(6));
    assert_eq!(ask(&server, &["--wait=600"]), (Some(0), String::new()));
    soon("the last one serves", || server.get("/").text() == "6");
}

#[test]
fn who_waits_for_a_reload_does_not_wait_for_ever() {
    let server = Server::new()
        .app(&generation(1))
        .ini(&format!("{INI}pidfile = %dpid\n"))
        .start();
    server.write("app.py", format!("import time; time.sleep(5)\n{}", generation(2)));
    let (status, said) = ask(&server, &["--wait=1"]);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("nothing heard for 1 s"), "{said}");
    // One who waits when the server stops is told so.
    let pidfile = server.file("pid");
    let waiting = std::thread::spawn(move || ask_by(&pidfile, &["--wait"]));
    server.wait_for_log(&["asked to reload once more"]);
    server.signal(Signal::SIGTERM);
    let (status, said) = waiting.join().unwrap();
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("the server is stopping"), "{said}");
}

#[test]
fn a_server_without_a_master_cannot_say_how_a_reload_goes() {
    let server = Server::new()
        .app(&generation(1))
        .ini("http = 127.0.0.1:0\nmodule = app\nmaster = false\npidfile = %dpid\n")
        .start();
    let (status, said) = ask(&server, &["--wait"]);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("without --wait it can be asked"), "{said}");
    assert_eq!(server.get("/").text(), "1");
}
