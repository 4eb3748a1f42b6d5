//! How many workers there are at a time: `cheaper` and its algorithms, `idle`, `cheap`.

use crate::support::load::Load;
use crate::support::{HTTP, Running, Server, eventually, soon};

/// An application that takes its time and answers a number.
const SLOW: &str = "import time\ndef application(environ, start_response):\n    time.sleep(0.1)\n    \
                    start_response('200 OK', [])\n    return [b'1']\n";

/// A server of up to 4 workers, with these lines too.
fn server(lines: &str) -> Running {
    Server::new()
        .app(SLOW)
        .ini(&format!("{HTTP}processes = 4\ndisable-logging = true\n{lines}"))
        .start()
}

/// Asserts that workers come under load, go after it, and nothing is lost.
fn grows_and_shrinks(lines: &str) {
    let server = server(&format!("cheaper = 1\n{lines}"));
    assert_eq!(server.settle(1).len(), 1);
    let load = Load::start(server.port(), 6, 2);
    soon("all workers are there", || server.workers().len() == 4);
    // Some of them leave while others still ask.
    load.wait_for(50);
    let report = load.finish();
    server.settle(1);
    assert!(report.lost.is_empty(), "{:#?}\n{}", report.lost, server.log());
    assert!(server.count_log("1 worker less: ") >= 3, "{}", server.log());
    assert_eq!(server.get("/").text(), "1");
}

#[test]
fn spare_follows_the_load() {
    grows_and_shrinks("cheaper-overload = 1\n");
}

#[test]
fn spare2_follows_the_load() {
    grows_and_shrinks("cheaper-algo = spare2\ncheaper-step = 2\ncheaper-idle = 1\n");
}

#[test]
fn backlog_follows_the_load() {
    grows_and_shrinks("cheaper-algo = backlog\ncheaper-overload = 1\ncheaper-idle = 1\n");
}

#[test]
fn busyness_follows_the_load() {
    grows_and_shrinks(
        "cheaper-algo = busyness\ncheaper-overload = 1\ncheaper-busyness-multiplier = 2\ncheaper-busyness-verbose = true\n",
    );
}

#[test]
fn who_is_sent_away_finishes_what_it_has() {
    let server = Server::new()
        .ini(&format!(
            "{HTTP}processes = 2\ncheaper = 1\ncheaper-initial = 2\ncheaper-algo = manual\nmaster-fifo = %dfifo\n"
        ))
        .start();
    let pids = server.settle(2);
    // Two requests that take their time: one each.
    let mut clients = [0; 2].map(|_| {
        let mut client = server.connect();
        client.send("GET /stream/2/4/1.5 HTTP/1.1\r\nHost: x\r\n\r\n");
        client.head().unwrap();
        client.chunk().unwrap();
        client
    });
    std::fs::write(server.file("fifo"), "-").unwrap();
    server.wait_for_log(&["1 worker less: asked for (TTOU or -), now 1 of 2"]);
    for client in &mut clients {
        assert_eq!(client.chunk().unwrap().as_deref(), Some(&b"ssss"[..]));
        assert_eq!(client.chunk().unwrap(), None);
    }
    assert!(pids.contains(&server.settle(1)[0]));
    std::fs::write(server.file("fifo"), "+").unwrap();
    server.settle(2);
}

#[test]
fn a_server_that_nobody_uses_goes_to_sleep_and_answers_who_wakes_it() {
    for socket in ["http = 127.0.0.1:0", "http = %dsocket"] {
        let server = Server::new()
            .ini(&format!("{socket}\nmodule = app\nprocesses = 2\nidle = 1\n"))
            .start();
        for _ in 0..2 {
            soon("it sleeps", || server.workers().is_empty());
            let mut client = match socket.contains("socket") {
                true => server.connect_unix("socket"),
                false => server.connect(),
            };
            assert_eq!(client.get("/").text(), "hello\n");
            server.settle(2);
        }
        assert!(server.count_log("awake: someone asks, so 2 workers will be there") >= 2);
        // It reloads in its sleep.
        soon("it sleeps", || server.workers().is_empty());
        server.write("app.py", "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'new']\n");
        server.reload();
        assert!(server.workers().is_empty(), "{}", server.log());
        let mut client = match socket.contains("socket") {
            true => server.connect_unix("socket"),
            false => server.connect(),
        };
        assert_eq!(client.get("/").text(), "new");
    }
}

#[test]
fn a_cheap_server_starts_without_workers_and_is_woken_by_many_at_once() {
    let server = server("cheap = true\ncheaper = 2\n");
    server.wait_for_log(&["ready: no workers until someone asks"]);
    assert!(server.workers().is_empty());
    let load = Load::start(server.port(), 4, 4);
    load.wait_for(40);
    let report = load.finish();
    assert!(report.lost.is_empty(), "{:#?}\n{}", report.lost, server.log());
    assert!(server.workers().len() >= 2);
}

#[test]
fn a_server_that_nobody_uses_may_end() {
    let mut server = server("idle = 1\ndie-on-idle = true\n");
    let status = server.wait_for_end();
    assert!(status.success(), "{status}\n{}", server.log());
    server.assert_nothing_left();
}

#[test]
fn it_can_be_told_to_sleep_and_sleeps_on_when_the_program_is_executed_again() {
    let server = Server::new()
        .ini(&format!(
            "{HTTP}processes = 2\ncheap = true\nmaster-fifo = %dfifo\n"
        ))
        .start();
    assert_eq!(server.get("/").text(), "hello\n");
    server.settle(2);
    let ready = server.times_ready();
    std::fs::write(server.file("fifo"), "C").unwrap();
    soon("it sleeps", || server.workers().is_empty());
    std::fs::write(server.file("fifo"), "f").unwrap();
    server.wait_until_ready(ready + 1);
    assert!(server.workers().is_empty(), "{}", server.log());
    eventually("it wakes", || (server.get("/").text() == "hello\n").then_some(()));
    server.settle(2);
}

#[test]
fn beyond_a_limit_of_memory_there_are_no_more_workers_and_then_fewer() {
    let lines = |limits: &str| {
        format!(
            "{HTTP}processes = 3\ncheaper = 1\ncheaper-initial = 2\ncheaper-algo = backlog\ncheaper-idle = 600\n{limits}"
        )
    };
    // Far less than any interpreter has.
    let server = Server::new()
        .ini(&lines("cheaper-rss-limit-hard = 1000000\n"))
        .start();
    server.wait_for_log(&[
        "1 worker less: all have ",
        " MB of memory resident (cheaper-rss-limit-hard = 1000000), now 1 of 3",
    ]);
    assert_eq!(server.settle(1).len(), 1);
}

#[test]
fn beyond_a_limit_of_memory_it_is_said_that_no_more_workers_come() {
    for limit in ["cheaper-rss-limit-soft", "cheaper-rss-limit-hard"] {
        let server = server(&format!("cheaper = 1\ncheaper-overload = 1\n{limit} = 1000000\n"));
        let before = server.settle(1);
        let load = Load::start(server.port(), 8, 0);
        server.wait_for_log(&[
            "no worker more, though all are busy: all have ",
            &format!(" MB of memory resident ({limit} = 1000000), 1 worker"),
        ]);
        let report = load.finish();
        assert!(report.lost.is_empty(), "{:#?}", report.lost);
        assert_eq!(server.settle(1), before);
        assert_eq!(server.count_log(" more: "), 0, "{}", server.log());
    }
}
