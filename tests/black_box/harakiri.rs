//! `harakiri`: a request that keeps the application busy for too long. The log says where it is stuck, another worker takes
//! over, the others notice nothing.

use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::{HTTP, Running, Server, packet, process, soon};

/// An application that gets stuck in several ways.
const APP: &str = r#"
import ctypes, faulthandler, os, re, sys, time

faulthandler.enable()

def stuck_in_python():
    print("here it stays", file=sys.stderr, flush=True)
    time.sleep(3600)

def stuck_in_an_expression():
    re.match("(a+)+$", "a" * 64 + "b")

def stuck_in_c():
    libc = ctypes.PyDLL(None)
    while True:
        libc.sleep(3600)

WAYS = {"/python": stuck_in_python, "/expression": stuck_in_an_expression, "/c": stuck_in_c}

class Pieces:
    def __init__(self, pause):
        self.left, self.pause = 5, pause

    def __iter__(self):
        return self

    def __next__(self):
        if not self.left:
            raise StopIteration
        self.left -= 1
        time.sleep(self.pause)
        return b"piece\n"

def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path in WAYS:
        WAYS[path]()
    if path == "/written":
        start_response("200 OK", [("Content-Type", "text/plain")])(b"some of it")
        time.sleep(3600)
    start_response("200 OK", [("Content-Type", "text/plain")])
    if path.startswith("/sleep/"):
        time.sleep(float(path[7:]))
    if path.startswith("/pieces/"):
        return Pieces(float(path[8:]))
    return [b"%d" % os.getpid()]
"#;

/// A server with these lines too.
fn server(lines: &str) -> Running {
    Server::new().app(APP).ini(&format!("{HTTP}{lines}")).start()
}

#[test]
fn who_has_been_read_and_waits_behind_a_stuck_request_hears_that_it_may_ask_again() {
    let server = server("harakiri = 1\nharakiri-graceful-timeout = 5\n");
    let mut upload = server.connect();
    upload.send("POST / HTTP/1.1\r\nHost: example.org\r\nContent-Length: 4\r\n\r\nab");
    assert_eq!(server.get("/").status, 200, "it has been looked at");
    let mut stuck = server.ask("/python");
    server.wait_for_log(&["here it stays"]);
    upload.send("cd");
    assert_eq!(stuck.response().status, 504);
    let answer = upload.response();
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    server.wait_for_log(&["1 more, which waited for one of them, are answered with 503"]);
    soon("the successor answers", || server.get("/").status == 200);
}

#[test]
fn the_log_says_where_a_request_is_stuck_and_another_worker_takes_over_first() {
    for (target, function) in [
        ("/python", "stuck_in_python"),
        ("/expression", "stuck_in_an_expression"),
        ("/c", "stuck_in_c"),
    ] {
        let server = server("harakiri = 1\nharakiri-graceful-timeout = 1\n");
        let old = server.get("/").text().to_owned();
        let _stuck = server.ask(target);
        let pid = format!("worker 1 (pid {old})");
        server.wait_for_log(&[
            &pid,
            &format!("\"GET {target}\" from 127.0.0.1:"),
            "has kept the application busy for ",
            "(harakiri = 1)",
        ]);
        server.wait_for_log(&["File \"", "app.py\", line ", function]);
        server.wait_for_log(&[&pid, "did not leave within 1 s and is killed", target]);
        let takes_over = server.place_in_log(&["worker 1: pid ", &format!("takes over from pid {old}")]);
        let killed = server.place_in_log(&["is killed"]);
        assert!(takes_over < killed, "{}", server.log());
        soon("it is dead", || !process::is_alive(old.parse().unwrap()));
        assert_ne!(server.get("/").text(), old);
        assert_eq!(
            server.count_log("has kept the application busy"),
            1,
            "{}",
            server.log()
        );
    }
}

#[test]
fn other_workers_serve_on_and_nobody_waits_for_the_stuck_one() {
    let server = server("processes = 2\nharakiri = 1\nharakiri-graceful-timeout = 1\n");
    let workers = server.settle(2);
    let _stuck = server.ask("/python");
    let deadline = Instant::now() + Duration::from_secs(3);
    while Instant::now() < deadline {
        assert_eq!(server.get("/").status, 200);
        thread::sleep(Duration::from_millis(10));
    }
    let after = server.settle(2);
    let survivors = workers.iter().filter(|pid| after.contains(pid)).count();
    assert_eq!(survivors, 1, "{workers:?} {after:?}\n{}", server.log());
}

#[test]
fn other_requests_of_a_stuck_worker_are_finished() {
    let server = server("threads = 4\nharakiri = 3\nharakiri-graceful-timeout = 20\n");
    let old = server.get("/").text().to_owned();
    let _stuck = server.ask("/python");
    thread::sleep(Duration::from_millis(1500));
    // Begun later, it ends after the other one was found, and before its own time is up.
    let mut other = server.ask("/sleep/2");
    server.wait_for_log(&["has kept the application busy for ", "GET /python"]);
    server.wait_for_successor_of(&old);
    assert_eq!(other.response().text(), old);
    assert_ne!(server.get("/").text(), old);
    assert!(process::is_alive(old.parse().unwrap()), "it has some grace");
    process::signal(old.parse().unwrap(), Signal::SIGKILL);
}

#[test]
fn quick_requests_and_pieces_of_a_long_answer_are_left_alone() {
    let server = server("harakiri = 2\n");
    let pid = server.get("/").text().to_owned();
    let mut connection = server.connect();
    // Longer than the limit, all in all.
    assert_eq!(connection.get("/pieces/0.6").text(), "piece\n".repeat(5));
    for _ in 0..3 {
        assert_eq!(connection.get("/sleep/1").text(), pid);
    }
    assert_eq!(server.count_log("has kept"), 0, "{}", server.log());
    assert_eq!(server.get("/").text(), pid);
}

#[test]
fn a_piece_that_does_not_come_is_found() {
    for threads in [1, 2] {
        let server = server(&format!(
            "threads = {threads}\nharakiri = 1\nharakiri-graceful-timeout = 1\n"
        ));
        let _stuck = server.ask("/pieces/60");
        server.wait_for_log(&[
            "\"GET /pieces/60\" from ",
            "has kept the application busy",
            "(harakiri = 1)",
        ]);
        server.wait_for_log(&["app.py", "__next__"]);
        server.wait_for_log(&["did not leave within 1 s and is killed"]);
    }
}

#[test]
fn with_harakiri_verbose_the_log_says_what_the_kernel_knows() {
    let server = server("harakiri = 1\nharakiri-graceful-timeout = 1\nharakiri-verbose = true\n");
    let pid = server.get("/").text().to_owned();
    let _stuck = server.ask("/python");
    server.wait_for_log(&["thread ", &format!("of pid {pid}: ")]);
    server.wait_for_log(&["app.py", "stuck_in_python"]);
}

#[test]
fn an_application_may_set_a_deadline_of_its_own_and_take_it_back() {
    let app = "\
import os, time, uwsgi

def application(environ, start_response):
    start_response('200 OK', [])
    if environ['PATH_INFO'] == '/stuck':
        uwsgi.set_user_harakiri(1)
        time.sleep(3600)
    if environ['PATH_INFO'] == '/quick':
        uwsgi.set_user_harakiri(1)
        uwsgi.set_user_harakiri(0)
        time.sleep(2)
    return [b'%d' % os.getpid()]
";
    let server = Server::new()
        .app(app)
        .ini(&format!("{HTTP}harakiri-graceful-timeout = 1\n"))
        .start();
    let old = server.get("/quick").text().to_owned();
    assert_eq!(server.count_log("set_user_harakiri"), 0, "{}", server.log());
    let mut stuck = server.ask("/stuck");
    assert_eq!(stuck.response().status, 504, "{}", server.log());
    server.wait_for_log(&[
        &format!(
            "worker 1 (pid {old}): the time is over that the application set itself (set_user_harakiri)"
        ),
        "while serving \"GET /stuck\" from 127.0.0.1:",
    ]);
    server.wait_for_log(&["app.py\", line 7 in application"]);
    server.wait_for_log(&["did not leave within 1 s and is killed"]);
    assert_ne!(server.get("/").text(), old);
}

#[test]
fn the_client_of_a_request_past_its_own_deadline_hears_so_wherever_it_is_stuck() {
    let app = "\
import ctypes, os, time, uwsgi

def application(environ, start_response):
    path = environ['PATH_INFO']
    start_response('200 OK', [])
    if path == '/':
        return [b'%d' % os.getpid()]
    uwsgi.set_user_harakiri(1)
    if path == '/c':
        while True:
            ctypes.PyDLL(None).sleep(3600)
    time.sleep(3600)
";
    for lines in ["", "threads = 3", "processes = 2"] {
        for way in ["/python", "/c"] {
            let server = Server::new()
                .app(app)
                .ini(&format!("{HTTP}harakiri-graceful-timeout = 1\n{lines}"))
                .start();
            let response = server.get(way);
            assert_eq!(response.status, 504, "{way} with {lines}: {}", server.log());
            soon("the access log has it", || {
                server.log().contains("(HTTP/1.1 504)")
            });
            assert_eq!(server.get("/").status, 200);
        }
    }
    let server = Server::new()
        .app(app)
        .ini("socket = app.sock\nmodule = app\nthreads = 3\nprocesses = 2\nharakiri-graceful-timeout = 1")
        .start();
    let mut connection = server.connect_unix("app.sock");
    connection.send(packet::request("GET", "/c", &[]));
    assert_eq!(connection.response().status, 504, "{}", server.log());
}

#[test]
fn who_sets_no_deadlines_pays_for_no_thread_that_keeps_them() {
    let answer =
        "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'']\n";
    for (imports, is_minded) in [("", false), ("import uwsgi\n", true)] {
        let server = Server::new().app(&format!("{imports}{answer}")).ini(HTTP).start();
        assert_eq!(server.get("/").status, 200);
        let worker = server.settle(1).first().copied().unwrap();
        let names = || -> Vec<String> {
            let threads = std::fs::read_dir(format!("/proc/{worker}/task")).unwrap();
            let name =
                |thread: std::fs::DirEntry| std::fs::read_to_string(thread.path().join("comm")).unwrap();
            threads.map(|thread| name(thread.unwrap())).collect()
        };
        // A thread takes its name when it first runs: until then it has that of the process.
        soon("each thread has its name", || {
            names().iter().filter(|name| name.trim() == "uwrs").count() == 1
        });
        let names = names();
        assert_eq!(
            names.iter().any(|name| name.trim() == "minder"),
            is_minded,
            "{names:?}"
        );
    }
}

#[test]
fn the_client_of_a_stuck_request_hears_so_while_the_application_is_still_at_it() {
    for lines in [
        "harakiri = 1",
        "harakiri = 1\nthreads = 3",
        "harakiri = 1\nprocesses = 2",
    ] {
        for way in ["/python", "/c"] {
            let server = server(&format!("{lines}\nharakiri-graceful-timeout = 1"));
            let response = server.get(way);
            assert_eq!(
                (response.status, response.text()),
                (504, "Gateway Timeout\n"),
                "{way} with {lines}: {}",
                server.log()
            );
            soon("the access log has it", || {
                server.log().contains("(HTTP/1.1 504)")
            });
        }
    }
}

#[test]
fn a_web_server_in_front_hears_so_too() {
    let server = Server::new()
        .app(APP)
        .ini("socket = app.sock\nmodule = app\nharakiri = 1\nharakiri-graceful-timeout = 1")
        .start();
    let mut connection = server.connect_unix("app.sock");
    connection.send(packet::request("GET", "/python", &[]));
    assert_eq!(connection.response().status, 504);
}

#[test]
fn an_answer_that_comes_after_all_reaches_nobody_and_the_connection_goes_on() {
    let server = server("harakiri = 1\nthreads = 2\nharakiri-graceful-timeout = 60");
    let mut connection = server.connect();
    assert_eq!(connection.get("/sleep/2").status, 504);
    for _ in 0..50 {
        let response = connection.get("/");
        assert_eq!(response.status, 200);
        if response.says_close() {
            connection = server.connect();
        }
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn an_answer_that_is_stuck_after_a_write_is_cut() {
    let server = server("harakiri = 1\nharakiri-graceful-timeout = 20");
    let pid = process_of_a_request(&server);
    let mut connection = server.connect();
    connection.send("GET /written HTTP/1.1\r\nHost: a\r\n\r\n");
    let rest = connection.rest_until_cut();
    let text = String::from_utf8_lossy(&rest);
    assert!(
        text.contains("some of it") && !text.contains("\r\n0\r\n"),
        "{text}"
    );
    assert!(
        process::is_alive(pid),
        "not by the worker's death: {}",
        server.log()
    );
    process::signal(pid, Signal::SIGKILL);
}

/// The worker that answers now.
fn process_of_a_request(server: &Running) -> i32 {
    server.get("/").text().parse().unwrap()
}

#[test]
fn an_answer_that_is_stuck_amidst_its_pieces_is_cut() {
    let server = server("harakiri = 1\nthreads = 2\nharakiri-graceful-timeout = 60");
    let mut connection = server.connect();
    connection.send("GET /pieces/3 HTTP/1.1\r\nHost: a\r\n\r\n");
    let began = Instant::now();
    let rest = connection.rest_until_cut();
    let text = String::from_utf8_lossy(&rest);
    assert!(!text.contains("\r\n0\r\n"), "{text}");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}
