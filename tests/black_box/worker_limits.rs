//! Limits that a worker reaches: another takes its place, and nobody notices but the log.

use std::collections::BTreeSet;

use crate::support::load::Load;
use crate::support::{HTTP, Running, Server, process, soon};

/// An application that answers the process it is in and keeps, for each request, as many bytes as the file `appetite`
/// says.
const EATER: &str = "\
import os

KEPT = []

def application(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain')])
    try:
        with open('appetite') as file:
            KEPT.append(b'x' * int(file.read()))
    except FileNotFoundError:
        pass
    return [b'%d' % os.getpid()]
";

/// A server of so many workers with these lines too.
fn server(workers: usize, lines: &str) -> Running {
    Server::new()
        .app(EATER)
        .ini(&format!(
            "{HTTP}processes = {workers}\ndisable-logging = true\nmin-worker-lifetime = 0\n{lines}"
        ))
        .start()
}

/// How many different processes have answered?
fn processes(load: Load) -> usize {
    let report = load.finish();
    assert!(report.lost.is_empty(), "{:#?}", report.lost);
    let pids: BTreeSet<u64> = report.answered.iter().map(|answer| answer.value).collect();
    pids.len()
}

#[test]
fn workers_that_have_served_enough_are_replaced_and_no_request_is_lost() {
    let server = server(2, "max-requests = 100\nmax-requests-delta = 20\n");
    let load = Load::start(server.port(), 4, 4);
    soon("both were replaced, one of them again", || {
        server.count_log("takes over from") >= 3
    });
    load.wait_for(100);
    assert!(processes(load) >= 5, "{}", server.log());
    server.wait_for_log(&["worker 1 (pid ", " requests (max-requests = 100) and is replaced"]);
    server.wait_for_log(&[
        "worker 2 (pid ",
        " requests (max-requests with its delta = 120) and is replaced",
    ]);
    server.settle(2);
    assert_eq!(server.count_log("was killed"), 0, "{}", server.log());
    assert_eq!(server.count_log("error: "), 0, "{}", server.log());
}

#[test]
fn a_worker_that_has_lived_long_enough_is_replaced_while_it_is_idle() {
    let server = server(1, "max-worker-lifetime = 1\n");
    let first = server.get("/").text().to_owned();
    server.wait_for_log(&[
        "worker 1 (pid ",
        &first,
        " old (max-worker-lifetime = 1) and is replaced",
    ]);
    soon("another answers", || server.get("/").text() != first);
}

#[test]
fn no_worker_is_replaced_before_it_has_lived_the_least_time() {
    let server = Server::new()
        .app(EATER)
        .ini(&format!(
            "{HTTP}min-worker-lifetime = 3600\nmax-requests = 1\nmax-worker-lifetime = 3\n"
        ))
        .start();
    let first = server.get("/").text().to_owned();
    // Its lifetime is over after more than one look at its requests.
    server.wait_for_log(&["(max-worker-lifetime = 3) and is replaced"]);
    assert_eq!(server.count_log("max-requests = 1)"), 0, "{}", server.log());
    soon("another answers", || server.get("/").text() != first);
}

#[test]
fn a_worker_that_leaks_is_replaced_and_loses_no_request() {
    let server = server(1, "reload-on-rss = 120\n");
    server.write("appetite", "1000000");
    let load = Load::start(server.port(), 1, 1);
    server.wait_for_log(&[
        "worker 1 (pid ",
        " MB of memory resident (reload-on-rss = 120) and is replaced",
    ]);
    server.write("appetite", "0");
    server.wait_for_log(&["worker 1: pid ", "takes over from"]);
    load.wait_for(20);
    assert!(processes(load) >= 2, "{}", server.log());
    assert_eq!(server.count_log("is killed"), 0, "{}", server.log());
}

#[test]
fn a_worker_whose_address_space_grows_is_replaced() {
    let app = "\
import mmap, os

RESERVED = []

def application(environ, start_response):
    start_response('200 OK', [])
    if environ['PATH_INFO'] == '/reserve':
        RESERVED.append(mmap.mmap(-1, 1 << 30))
    return [b'%d' % os.getpid()]
";
    let server = Server::new()
        .app(app)
        .ini(&format!("{HTTP}min-worker-lifetime = 0\nreload-on-as = 1000\n"))
        .start();
    let first = server.get("/reserve").text().to_owned();
    server.wait_for_log(&["an address space of ", "(reload-on-as = 1000) and is replaced"]);
    soon("another answers", || server.get("/").text() != first);
}

#[test]
fn a_worker_that_grows_beyond_all_bounds_is_killed_whatever_it_does() {
    let app = "\
import os, time

def application(environ, start_response):
    start_response('200 OK', [])
    if environ['PATH_INFO'] == '/grow':
        kept = b'x' * 200_000_000
        time.sleep(60)
    return [b'%d' % os.getpid()]
";
    let server = Server::new()
        .app(app)
        .ini(&format!("{HTTP}evil-reload-on-rss = 150\n"))
        .start();
    let first: i32 = server.get("/").text().parse().unwrap();
    let mut connection = server.connect();
    connection.send("GET /grow HTTP/1.1\r\nHost: example.org\r\n\r\n");
    server.wait_for_log(&[
        &format!("worker 1 (pid {first}) has "),
        " MB of memory resident (evil-reload-on-rss = 150) and was killed after ",
        "while serving \"GET /grow\"",
        "replaced by pid",
    ]);
    soon("it is dead", || !process::is_alive(first));
    assert_ne!(server.get("/").text(), first.to_string());
}

#[test]
fn where_no_new_worker_comes_up_the_old_one_goes_on() {
    let server = server(1, "lazy-apps = true\nmax-requests = 10\n");
    let first = server.get("/").text().to_owned();
    server.write("app.py", "raise LookupError('broken since')\n");
    for _ in 0..20 {
        assert_eq!(server.get("/").text(), first);
    }
    server.wait_for_log(&["a worker that has reached a limit is not replaced"]);
    for _ in 0..20 {
        assert_eq!(server.get("/").text(), first);
    }
    assert_eq!(server.count_log("and is replaced"), 1, "{}", server.log());
}

#[test]
fn a_worker_whose_application_let_an_exception_through_is_replaced() {
    let server = Server::new()
        .ini(&format!(
            "{HTTP}min-worker-lifetime = 0\nreload-on-exception = true\n"
        ))
        .start();
    let first = server.get("/pid").text().to_owned();
    assert_eq!(server.get("/status/500%20Caught").status, 500);
    assert_eq!(server.get("/pid").text(), first);
    assert_eq!(server.get("/fail").status, 500);
    server.wait_for_log(&[
        &first,
        "has let an exception through (reload-on-exception) and is replaced",
    ]);
    soon("another answers", || server.get("/pid").text() != first);
}

#[test]
fn each_worker_is_kept_on_its_processors() {
    let server = server(2, "cpu-affinity = 1\n");
    let allowed = |pid: i32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        line.unwrap().trim().to_owned()
    };
    let workers = server.settle(2).into_iter().map(allowed);
    let workers: Vec<String> = workers.collect();
    assert!(
        workers.iter().all(|list| list.parse::<usize>().is_ok()),
        "one each: {workers:?}"
    );
    if std::thread::available_parallelism().unwrap().get() > 1 {
        assert_ne!(workers[0], workers[1]);
    }
    assert_eq!(allowed(server.mold()), allowed(server.pid()));
}

#[test]
fn worn_and_stuck_workers_come_and_go_and_nobody_loses_a_request_but_who_is_stuck() {
    let app = "\
import os, time

def application(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain')])
    if environ['PATH_INFO'] == '/stuck':
        time.sleep(3600)
    return [b'%d' % os.getpid()]
";
    let server = Server::new()
        .app(app)
        .ini(&format!(
            "{HTTP}processes = 2\nthreads = 3\ndisable-logging = true\nmin-worker-lifetime = 0\n\
             max-requests = 300\nmax-requests-delta = 100\nharakiri = 1\nharakiri-graceful-timeout = 3\n"
        ))
        .start();
    let load = Load::start(server.port(), 3, 3);
    for round in 1..=3 {
        let mut stuck = server.connect();
        stuck.send("GET /stuck HTTP/1.1\r\nHost: example.org\r\n\r\n");
        soon("it is found", || {
            server.count_log("has kept the application busy") == round
        });
        load.wait_for(300);
    }
    soon("workers were replaced for both reasons", || {
        server.count_log("is stuck and is replaced") + server.count_log("max-requests") >= 5
    });
    soon("the stuck ones are gone", || {
        server.count_log("did not leave within ") == 3
    });
    assert!(processes(load) >= 5, "{}", server.log());
    server.settle(2);
}

#[test]
fn what_this_machine_does_not_have_is_said_at_the_start_and_after_a_reload() {
    let server = Server::new()
        .ini(&format!(
            "{HTTP}max-connections = 100000000\ncpu-affinity = 1000\n"
        ))
        .start();
    let said = ["max-connections = 100000000: a worker may have ", "max-fd = "];
    server.wait_for_log(&said);
    server.wait_for_log(&["cpu-affinity = 1000: there ", "every worker runs on all of them"]);
    server.reload();
    assert_eq!(server.count_log(said[0]), 2, "{}", server.log());
    assert_eq!(server.get("/hello").text(), "hello\n");
}
