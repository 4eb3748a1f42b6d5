//! Workers that are killed while clients ask: only what was in their hands is lost. And applications that do to their worker
//! what they should not.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::load::{Load, Lost};
use crate::support::process;
use crate::support::{Connection, HTTP, Server, soon};

/// Answers the pid of the worker.
const WHO: &str = "import os\n\
    def application(environ, start_response):\n\
    \x20   start_response('200 OK', [('Content-Type', 'text/plain')])\n\
    \x20   return [b'%d' % os.getpid()]\n";

/// Was that lost through the death of the worker that held it?
fn is_explained(lost: &Lost, deaths: &[(Instant, i32)]) -> bool {
    deaths.iter().any(|&(at, pid)| {
        let held = lost.previous.is_none_or(|previous| previous == pid as u64);
        held && lost.sent <= at + Duration::from_millis(200) && at <= lost.noticed
    })
}

#[test]
fn a_killed_worker_takes_only_its_own_requests_with_it() {
    let ini = "http = 127.0.0.1:0\nmodule = app\nprocesses = 2\ndisable-logging = true\n";
    let server = Server::new().app(WHO).ini(ini).start();
    let mut workers = server.settle(2);
    let load = Load::start(server.port(), 4, 4);
    let mut deaths = Vec::new();
    for round in 0..8 {
        load.wait_for(100);
        let victim = workers[round % 2];
        let at = Instant::now();
        process::signal(victim, Signal::SIGKILL);
        deaths.push((at, victim));
        soon("it is dead", || !process::is_alive(victim));
        soon("another is there", || server.family().len() == 4);
        let absence = at.elapsed();
        assert!(
            absence < Duration::from_secs(1),
            "back after {absence:?}\n{}",
            server.log()
        );
        workers = server.settle(2);
        // Deaths far apart are accidents; a back-off is for those that follow each other.
        std::thread::sleep(Duration::from_millis(1200));
    }
    let report = load.finish();
    let unexplained: Vec<_> = report
        .lost
        .iter()
        .filter(|lost| !is_explained(lost, &deaths))
        .collect();
    assert!(
        unexplained.is_empty(),
        "{unexplained:#?}\n{deaths:?}\n{}",
        server.log()
    );
    assert!(
        report.lost.len() <= 8 * deaths.len(),
        "{} lost",
        report.lost.len()
    );
    assert!(report.answered.len() > 1000);
}

#[test]
fn the_log_says_which_worker_died_of_what_serving_what() {
    let server = Server::new().ini("http = 127.0.0.1:0\nmodule = app\n").start();
    let pid = server.get("/pid").text().to_owned();
    let mut connection = server.connect();
    connection.send("GET /die/9 HTTP/1.1\r\nHost: example.org\r\n\r\n");
    connection.assert_closed();
    server.wait_for_log(&["worker 1", &pid, "SIGKILL", "GET /die/9"]);
    assert_eq!(server.get("/").text(), "hello\n");
}

#[test]
fn a_worker_that_exits_by_itself_is_replaced() {
    let server = Server::new().ini("http = 127.0.0.1:0\nmodule = app\n").start();
    let pid = server.get("/pid").text().to_owned();
    let mut connection = server.connect();
    connection.send("GET /exit/3 HTTP/1.1\r\nHost: example.org\r\n\r\n");
    connection.assert_closed();
    server.wait_for_log(&["worker 1", &pid, "3"]);
    assert_ne!(server.get("/pid").text(), pid);
}

#[test]
fn a_worker_that_dies_at_every_request_is_not_respawned_without_pause() {
    let server = Server::new().ini("http = 127.0.0.1:0\nmodule = app\n").start();
    let deadline = Instant::now() + Duration::from_secs(4);
    let mut deaths = 0;
    while Instant::now() < deadline {
        let mut connection = server.connect();
        connection.send("GET /exit/1 HTTP/1.1\r\nHost: example.org\r\n\r\n");
        connection.assert_closed();
        deaths += 1;
    }
    assert!(deaths < 100, "{deaths} deaths in four seconds");
    server.wait_for_log(&["ended with status 1", "the next one starts in "]);
    assert_eq!(server.get("/").text(), "hello\n");
}

#[test]
fn workers_that_die_at_once_end_the_start_after_some_attempts() {
    let app = "import os, uwsgi\n\
        uwsgi.post_fork_hook = lambda: os._exit(7)\n\
        def application(environ, start_response):\n\
        \x20   return []\n";
    let finished = Server::new()
        .app(app)
        .ini("http = 127.0.0.1:0\nmodule = app\n")
        .run();
    finished.assert_refused(
        1,
        &[
            "worker 1",
            "ended with status 7 before it was ready",
            "the next one starts in ",
        ],
    );
    finished.assert_refused(1, &["cannot start: ", "ended with status 7 before it was ready"]);
    let deaths = finished
        .log
        .lines()
        .filter(|line| line.contains("] error: worker 1 "))
        .count();
    assert!((3..10).contains(&deaths), "{deaths} deaths:\n{}", finished.log);
}

#[test]
fn a_child_that_the_application_forked_does_not_become_a_second_worker() {
    let app = "import os, sys\n\
        def application(environ, start_response):\n\
        \x20   child = os.fork()\n\
        \x20   if child == 0 and environ['PATH_INFO'] == '/leave':\n\
        \x20       sys.exit(0)\n\
        \x20   if child == 0 and environ['PATH_INFO'] == '/raise':\n\
        \x20       raise RuntimeError('in the child')\n\
        \x20   start_response('200 OK', [])\n\
        \x20   if child == 0:\n\
        \x20       return [b'child']\n\
        \x20   _, status = os.waitpid(child, 0)\n\
        \x20   return [b'parent, %d' % os.WEXITSTATUS(status)]\n";
    let server = Server::new()
        .app(app)
        .ini("http = 127.0.0.1:0\nmodule = app\n")
        .start();
    let mut connection = server.connect();
    for path in ["/return", "/leave", "/raise", "/return"] {
        assert_eq!(connection.get(path).text(), "parent, 1", "{path}");
    }
    server.wait_for_log(&["forked by the application", "os._exit"]);
    assert_eq!(server.family().len(), 3, "master, mold, worker");
}

#[test]
fn a_reload_that_is_asked_for_while_everyone_dies_is_done() {
    let server = Server::new()
        .ini("http = 127.0.0.1:0\nmodule = app\nprocesses = 2\n")
        .start();
    let family = server.family();
    // The master hears of all this at once.
    process::signal(server.pid(), Signal::SIGSTOP);
    process::signal(server.pid(), Signal::SIGHUP);
    for child in family.iter().filter(|child| child.pid != server.pid()) {
        process::signal(child.pid, Signal::SIGKILL);
    }
    process::signal(server.pid(), Signal::SIGCONT);
    server.wait_for_log(&["generation 2 serves"]);
    assert_eq!(server.get("/").text(), "hello\n");
}

#[test]
fn a_child_that_the_application_forked_at_import_does_not_become_a_second_mold() {
    for way_out in ["pass", "sys.exit(0)", "raise RuntimeError('in the child')"] {
        let app = format!(
            "import os, sys\n\
             if not os.fork():\n\
             \x20   {way_out}\n\
             else:\n\
             \x20   os.wait()\n\
             def application(environ, start_response):\n\
             \x20   start_response('200 OK', [])\n\
             \x20   return [b'hello']\n"
        );
        let server = Server::new()
            .app(&app)
            .ini("http = 127.0.0.1:0\nmodule = app\n")
            .start();
        assert_eq!(server.get("/").text(), "hello", "{way_out}");
        assert_eq!(server.family().len(), 3, "master, mold, worker: {way_out}");
        server.wait_for_log(&["forked by the application", "import"]);
    }
}

#[test]
fn an_application_that_closes_the_standard_descriptors_sends_nobody_the_log() {
    let app = "\
import os

def application(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain')])
    if environ['PATH_INFO'] == '/close':
        for fd in (0, 1, 2):
            os.close(fd)
    elif environ['PATH_INFO'] == '/say':
        os.write(2, b'said on descriptor 2\\n')
    return [b'fine']
";
    let server = Server::new().app(app).ini(HTTP).start();
    assert_eq!(server.get("/close").text(), "fine");
    let mut clients: Vec<Connection> = (0..5).map(|_| server.connect()).collect();
    for client in &mut clients {
        for target in ["/", "/say"] {
            let response = client.get(target);
            assert_eq!((response.status, response.text()), (200, "fine"));
        }
    }
    for client in &mut clients {
        client.set_patience(Duration::from_millis(20));
        assert!(!client.has_more(), "{}", server.log());
    }
    server.wait_for_log(&[
        "worker 1] warn: the application has closed standard input and standard output and standard error: output goes to the log again",
    ]);
    soon("what is said is in the log", || {
        server.count_log("said on descriptor 2") == 5 && server.count_log("GET /say") == 5
    });
}

#[test]
fn a_worker_whose_application_takes_its_signals_leaves_all_the_same() {
    let app = "\
import os, signal

def application(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain')])
    if environ['PATH_INFO'] == '/take':
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
    return [b'%d' % os.getpid()]
";
    let server = Server::new().app(app).ini(HTTP).start();
    let old = server.get("/take").text().to_owned();
    server.reload();
    server.wait_for_log(&[
        "the application has taken SIGTERM during a request, by which worker 1 is asked to leave",
    ]);
    server.wait_for_log(&[&format!("worker 1 (pid {old}) left after 1 request")]);
    assert_ne!(server.get("/").text(), old);
}
