//! Several workers, some of them busy: what those hold goes to the idle ones.

use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::{Connection, HTTP, Server, soon};

fn sorted(mut took: Vec<Duration>) -> Vec<Duration> {
    took.sort();
    took
}

/// Has every one of `clients` ask for `/hello` again and again until `enough` says so; how long each answer took.
fn ask_on(clients: Vec<Connection>, enough: impl Fn() -> bool + Sync) -> Vec<Duration> {
    let lanes = 8;
    let mut shares: Vec<Vec<Connection>> = (0..lanes).map(|_| Vec::new()).collect();
    for (index, client) in clients.into_iter().enumerate() {
        shares[index % lanes].push(client);
    }
    let enough = &enough;
    thread::scope(|scope| {
        let threads: Vec<_> = shares
            .into_iter()
            .map(|mut share| {
                scope.spawn(move || {
                    let mut took = Vec::new();
                    while !enough() {
                        for client in &mut share {
                            let asked = Instant::now();
                            assert_eq!(client.get("/hello").text(), "hello\n");
                            took.push(asked.elapsed());
                        }
                        thread::sleep(Duration::from_millis(2));
                    }
                    took
                })
            })
            .collect();
        let took = threads.into_iter().flat_map(|thread| thread.join().unwrap());
        sorted(took.collect())
    })
}

#[test]
fn clients_of_a_worker_that_is_stuck_are_served_by_the_other() {
    let server = Server::new().ini(&format!("{HTTP}processes = 2")).start();
    let mut clients: Vec<Connection> = (0..64).map(|_| server.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.get("/hello").text(), "hello\n");
    }
    let mut slow = server.ask("/sleep/3");
    let begun = Instant::now();
    thread::sleep(Duration::from_millis(100));
    let took = ask_on(clients, || begun.elapsed() > Duration::from_millis(2500));
    assert_eq!(slow.response().text(), "slept\n");
    let (p99, last) = (took[took.len() * 99 / 100], took[took.len() - 1]);
    println!(
        "{} answers beside a request of 3 s: p99 {p99:?}, last {last:?}",
        took.len()
    );
    assert!(p99 < Duration::from_millis(100), "p99 {p99:?}");
    assert!(last < Duration::from_millis(2000), "the last {last:?}");
}

#[test]
fn when_all_workers_are_stuck_what_they_hold_waits_for_the_first_that_is_free() {
    let server = Server::new().ini(&format!("{HTTP}processes = 2")).start();
    let mut clients: Vec<Connection> = (0..16).map(|_| server.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.get("/hello").text(), "hello\n");
    }
    let mut long = server.ask("/sleep/4");
    let mut short = server.ask("/sleep/1");
    thread::sleep(Duration::from_millis(200));
    let asked = Instant::now();
    for client in &mut clients {
        client.send("GET /hello HTTP/1.1\r\nHost: example.org\r\n\r\n");
    }
    let mut newcomers: Vec<Connection> = (0..4).map(|_| server.ask("/hello")).collect();
    for client in clients.iter_mut().chain(&mut newcomers) {
        assert_eq!(client.response().text(), "hello\n");
    }
    let took = asked.elapsed();
    assert!(took < Duration::from_millis(3000), "{took:?}");
    assert_eq!(short.response().text(), "slept\n");
    assert_eq!(long.response().text(), "slept\n");
}

#[test]
fn pipelined_requests_cross_in_order_with_what_was_received_of_them() {
    let server = Server::new().ini(&format!("{HTTP}processes = 2")).start();
    let mut clients: Vec<Connection> = (0..8).map(|_| server.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.get("/hello").text(), "hello\n");
    }
    // Whichever worker it is: behind each slow request others have been received.
    for client in &mut clients {
        client.send(
            "GET /sleep/0.3 HTTP/1.1\r\nHost: a\r\n\r\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n\
             GET /status/404 HTTP/1.1\r\nHost: a\r\n\r\n",
        );
    }
    for client in &mut clients {
        assert_eq!(client.response().text(), "slept\n");
        assert_eq!(client.response().text(), "hello\n");
        assert_eq!(client.response().status, 404);
    }
}

#[test]
fn a_reload_amidst_slow_requests_loses_nothing() {
    let server = Server::new().ini(&format!("{HTTP}processes = 2")).start();
    let mut clients: Vec<Connection> = (0..16).map(|_| server.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.get("/hello").text(), "hello\n");
    }
    let before = server.workers();
    let mut slow: Vec<Connection> = (0..2).map(|_| server.ask("/sleep/1.5")).collect();
    thread::sleep(Duration::from_millis(100));
    for client in &mut clients {
        client.send("GET /hello HTTP/1.1\r\nHost: example.org\r\n\r\n");
    }
    server.signal(Signal::SIGHUP);
    for client in clients.iter_mut().chain([]) {
        assert_eq!(client.response().text(), "hello\n");
    }
    for client in &mut slow {
        assert_eq!(client.response().text(), "slept\n");
    }
    soon("the old workers are gone", || {
        server.workers().iter().all(|worker| !before.contains(worker))
    });
    assert_eq!(server.get("/hello").text(), "hello\n");
}
