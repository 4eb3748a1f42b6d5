//! Many streamed answers at once, whose readers are slow, leave, or are there when their worker is to go.

use std::collections::BTreeSet;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::streams::{
    Events, LARGE, Reader, Shape, Who, finish_all, serving, wait_until_closed, wait_until_quiet,
    wait_until_shut,
};
use crate::support::{Running, Server, process, soon};

/// Enough that a client which reads nothing is waited for, and no more: 4 MiB.
const MODEST: Shape = Shape {
    pieces: 64,
    size: 65536,
};

/// Slow readers, over either protocol in turn.
fn crowd(server: &Running, names: &str, count: usize) -> Vec<Reader> {
    let reader = |number: usize| {
        let open = if number.is_multiple_of(2) {
            Reader::http
        } else {
            Reader::uwsgi
        };
        open(server, &format!("{names}{number}"), MODEST, "")
    };
    (0..count).map(reader).collect()
}

/// The workers of those streams.
fn workers_of_streams(server: &Running) -> BTreeSet<i32> {
    let threads = Events::of(server).threads();
    threads.into_iter().map(|(process, _)| process).collect()
}

fn thread_count(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count)
}

/// Time on a processor that a process has used.
fn processor_time(pid: i32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let ticks = fields.split(' ').skip(11).take(2);
    // Linux counts in hundredths of a second, whatever its own clock does.
    let ticks: u64 = ticks.map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

/// How often the threads of a process have gone to sleep: those whose name begins so.
fn naps(pid: i32, names: &str) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let statuses = tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("status")).ok());
    let of_these = statuses.filter(|status| status.starts_with(&format!("Name:\t{names}")));
    let naps = of_these.filter_map(|status| {
        let line = status
            .lines()
            .find(|line| line.starts_with("voluntary_ctxt_switches"))?;
        line.split_whitespace().last()?.parse::<u64>().ok()
    });
    naps.sum()
}

/// Kinds of workers with few spare threads, and how many requests run in each at once.
const FEW_SPARE: [(&str, usize); 4] = [
    ("master = false\nspare-threads = 4", 1),
    ("spare-threads = 4", 1),
    ("spare-threads = 4\nharakiri = 60", 1),
    ("spare-threads = 4\nthreads = 2", 2),
];

#[test]
fn a_crowd_of_slow_readers_beyond_the_spare_threads_is_no_deadlock() {
    for (lines, places) in FEW_SPARE {
        let server = serving(lines);
        let readers = crowd(&server, "s", 100);
        soon("some have begun", || {
            Events::of(&server).called_and_closed("s").0 >= places + 4
        });
        wait_until_quiet(&server);
        let (called, closed) = Events::of(&server).called_and_closed("s");
        assert_eq!(
            called - closed,
            places + 4,
            "{lines}: each open one is to have a thread"
        );
        // Whoever asks now waits until one of them is over.
        let mut other = server.ask("/who");
        finish_all(readers);
        assert_eq!(other.response().status, 200);
        let events = wait_until_closed(&server, "s", 100);
        events.assert_each_has_its_thread(places);
        let threads = events.threads();
        assert!(threads.len() <= places + 4, "{lines}: {threads:?}");
        for _ in 0..10 {
            assert_eq!(server.get("/who").status, 200);
        }
    }
}

#[test]
fn it_is_said_that_all_threads_wait_for_clients_and_newcomers_are_let_in_when_one_is_over() {
    for (lines, threads) in [("spare-threads = 0", 1), ("threads = 2\nspare-threads = 1", 3)] {
        let server = serving(lines);
        let mut readers = crowd(&server, "s", threads);
        soon("they have begun", || {
            Events::of(&server).called_and_closed("s").0 == threads
        });
        let mut other = server.ask("/who");
        server.wait_for_log(&[
            &format!("its threads, {threads} with the spare ones, all have a streamed answer"),
            "more spare-threads",
        ]);
        readers.remove(0).finish();
        assert_eq!(other.response().status, 200);
        assert_eq!(server.get("/who").status, 200, "a newcomer");
        finish_all(readers);
        assert_eq!(server.count_log("all have a streamed answer"), 1);
    }
}

#[test]
fn a_crowd_of_slow_readers_that_leaves_unread_makes_way_for_others() {
    for (lines, places) in FEW_SPARE {
        let server = serving(lines);
        let mut readers = crowd(&server, "s", 100);
        soon("some have begun", || {
            Events::of(&server).called_and_closed("s").0 >= places + 4
        });
        wait_until_quiet(&server);
        let mut other = server.ask("/who");
        // The last that came leave first, so that those before them are still there.
        while let Some(reader) = readers.pop() {
            match readers.len() % 3 {
                0 => drop(reader),
                _ => reader.connection.reset(),
            }
        }
        assert_eq!(other.response().status, 200);
        wait_until_quiet(&server);
        let events = Events::of(&server);
        let (called, closed) = events.called_and_closed("s");
        assert_eq!(called, closed, "{lines}: all that were begun are closed");
        events.assert_each_has_its_thread(places);
        for _ in 0..10 {
            assert_eq!(server.get("/who").status, 200);
        }
    }
}

#[test]
fn clients_that_are_killed_amidst_take_nothing_from_those_that_read_on() {
    for (lines, places) in [
        ("master = false", 1),
        ("harakiri = 60\nspare-threads = 3", 1),
        ("threads = 3\nprocesses = 2", 3),
    ] {
        let server = serving(lines);
        let clients: Vec<_> = crowd(&server, "s", 40)
            .into_iter()
            .enumerate()
            .map(|(number, mut reader)| {
                thread::spawn(move || {
                    // Every second one reads so many bytes and is gone then; none, for some.
                    if number % 2 == 0 {
                        return reader.finish();
                    }
                    reader.connection.widen();
                    let mut some = vec![0; number * 40_000 - 40_000];
                    let _ = reader.connection.try_read_exact(&mut some);
                    match number % 4 {
                        1 => drop(reader),
                        _ => reader.connection.reset(),
                    }
                })
            })
            .collect();
        let mut other = server.connect();
        for _ in 0..20 {
            Who::ask(&mut other);
        }
        for client in clients {
            client.join().unwrap();
        }
        soon("all that were begun are closed", || {
            let (called, closed) = Events::of(&server).called_and_closed("s");
            called == closed && called >= 20
        });
        wait_until_quiet(&server);
        Events::of(&server).assert_each_has_its_thread(places);
        assert_eq!(server.get("/who").status, 200);
    }
}

#[test]
fn a_reload_lets_streams_that_wait_end_whole_and_the_old_worker_leaves_only_then() {
    for (lines, places, processes) in [
        ("", 1, 1),
        ("harakiri = 60", 1, 1),
        ("processes = 2", 1, 2),
        ("threads = 2", 2, 1),
    ] {
        let server = serving(lines);
        let old = server.settle(processes);
        let readers = crowd(&server, "s", 6);
        wait_until_shut(&server, &["s0", "s1", "s2", "s3", "s4", "s5"]);
        let held = workers_of_streams(&server);
        server.reload();
        soon("the new generation answers", || {
            !old.contains(&Who::ask(&mut server.connect()).process)
        });
        wait_until_quiet(&server);
        for &worker in &held {
            assert!(process::is_alive(worker), "{lines}: it left its streams");
        }
        finish_all(readers);
        let events = wait_until_closed(&server, "s", 6);
        events.assert_each_has_its_thread(places);
        soon("the old ones have left", || {
            !held.iter().any(|&worker| process::is_alive(worker))
        });
        server.settle(processes);
        assert_eq!(server.count_log("was killed"), 0, "{}", server.log());
    }
}

#[test]
fn term_lets_streams_that_wait_end_whole() {
    for lines in [
        "master = false",
        "",
        "harakiri = 60",
        "processes = 2",
        "threads = 2",
        "spare-threads = 2",
    ] {
        let mut server = serving(lines);
        let mut idle = server.connect();
        Who::ask(&mut idle);
        let readers = crowd(&server, "s", 3);
        wait_until_shut(&server, &["s0", "s1", "s2"]);
        server.signal(Signal::SIGTERM);
        // Whoever leaves begins by that.
        idle.assert_closed();
        finish_all(readers);
        assert!(server.wait_for_end().success(), "{lines}: {}", server.log());
        wait_until_closed(&server, "s", 3);
        server.assert_nothing_left();
    }
}

#[test]
fn streams_that_wait_keep_nobody_who_does_not() {
    for lines in ["master = false", "", "harakiri = 60", "threads = 2"] {
        for signals in [&[Signal::SIGQUIT][..], &[Signal::SIGTERM, Signal::SIGTERM]] {
            let mut server = serving(lines);
            let readers = crowd(&server, "s", 6);
            wait_until_shut(&server, &["s0", "s1", "s2", "s3", "s4", "s5"]);
            let asked = Instant::now();
            for &signal in signals {
                server.signal(signal);
                // Two that come at once are one.
                thread::sleep(Duration::from_millis(300));
            }
            server.wait_for_end();
            assert!(
                asked.elapsed() < Duration::from_secs(15),
                "{lines}: {signals:?} waited"
            );
            server.assert_nothing_left();
            drop(readers);
        }
    }
}

#[test]
fn a_worker_with_streams_that_wait_for_longer_than_mercy_is_killed() {
    let mut server = serving("worker-reload-mercy = 1");
    let readers = crowd(&server, "s", 6);
    wait_until_shut(&server, &["s0", "s1", "s2", "s3", "s4", "s5"]);
    server.signal(Signal::SIGTERM);
    server.wait_for_end();
    server.assert_nothing_left();
    drop(readers);
}

#[test]
fn a_worker_that_has_served_enough_leaves_when_its_streams_have_ended_whole() {
    for (lines, places) in [("", 1), ("threads = 2\n", 2), ("harakiri = 60\n", 1)] {
        let server = serving(&format!("{lines}max-requests = 20\nmin-worker-lifetime = 0"));
        let readers = crowd(&server, "s", 4);
        wait_until_shut(&server, &["s0", "s1", "s2", "s3"]);
        let [first] = server.settle(1)[..] else {
            panic!("more than one")
        };
        soon("another answers", || {
            Who::ask(&mut server.connect()).process != first
        });
        server.wait_for_log(&[&format!("worker 1 (pid {first})"), "(max-requests = 20)"]);
        assert!(process::is_alive(first), "{lines}: it left its streams");
        finish_all(readers);
        let events = wait_until_closed(&server, "s", 4);
        events.assert_each_has_its_thread(places);
        soon("it has left", || !process::is_alive(first));
        assert_eq!(server.count_log("was killed"), 0, "{}", server.log());
    }
}

#[test]
fn a_piece_that_is_stuck_costs_the_streams_beside_it_nothing() {
    let server = serving("threads = 2\nharakiri = 1");
    let readers = crowd(&server, "s", 4);
    wait_until_shut(&server, &["s0", "s1", "s2", "s3"]);
    let mut stuck = Reader::http(&server, "hung", MODEST, "&stuck=63");
    stuck.connection.widen();
    assert!(stuck.connection.try_response().is_err(), "it is whole");
    // The worker is to go, and has some seconds for what else it has.
    server.wait_for_log(&["harakiri", "/stream/hung"]);
    finish_all(readers);
    wait_until_closed(&server, "s", 4);
    soon("another answers", || server.get("/who").status == 200);
}

#[test]
fn fifty_slow_streams_leave_no_more_behind_than_threads_that_rest() {
    for lines in ["master = false", "threads = 2", "harakiri = 60"] {
        let server = serving(lines);
        let mut other = server.connect();
        for _ in 0..50 {
            Who::ask(&mut other);
        }
        let worker = Who::ask(&mut other).process;
        let (threads, memory) = (thread_count(worker), process::private_bytes(worker));
        let mut after_first = None;
        for round in 0..4 {
            let mut readers = crowd(&server, &format!("r{round}s"), 50);
            soon("all have begun", || {
                Events::of(&server).called_and_closed(&format!("r{round}s")).0 == 50
            });
            wait_until_quiet(&server);
            let open = thread_count(worker);
            assert!(
                open <= threads + 64 + 4,
                "{lines}: {threads} threads, then {open}"
            );
            let held = process::private_bytes(worker);
            assert!(
                held < memory + (100 << 20),
                "{lines}: {memory} bytes, then {held} for fifty"
            );
            drop(readers.split_off(25));
            finish_all(readers);
            wait_until_closed(&server, &format!("r{round}s"), 50);
            for _ in 0..50 {
                Who::ask(&mut other);
            }
            let now = (thread_count(worker), process::private_bytes(worker));
            let (threads, memory) = *after_first.get_or_insert(now);
            assert!(now.0 <= threads + 1, "{lines}: {threads} threads, then {}", now.0);
            assert!(
                now.1 < memory + (8 << 20),
                "{lines}: {memory} bytes, then {}",
                now.1
            );
        }
    }
}

#[test]
fn streams_that_wait_and_threads_that_rest_take_no_time() {
    for lines in ["master = false", "harakiri = 60", "threads = 2"] {
        let server = serving(lines);
        let mut other = server.connect();
        let readers = crowd(&server, "s", 20);
        soon("all have begun", || {
            Events::of(&server).called_and_closed("s").0 == 20
        });
        wait_until_quiet(&server);
        let worker = Who::ask(&mut other).process;
        let used_in_a_second = || {
            let before = processor_time(worker);
            thread::sleep(Duration::from_secs(1));
            processor_time(worker) - before
        };
        let used = used_in_a_second();
        assert!(
            used < Duration::from_millis(150),
            "{lines}: {used:?} while all wait"
        );
        finish_all(readers);
        wait_until_closed(&server, "s", 20);
        Who::ask(&mut other);
        let used = used_in_a_second();
        assert!(
            used < Duration::from_millis(150),
            "{lines}: {used:?} while all rest"
        );
    }
}

#[test]
fn the_largest_answers_are_taken_by_readers_that_dawdle() {
    for (lines, places) in [("", 1), ("threads = 2\nharakiri = 60", 2)] {
        let server = serving(lines);
        let dawdling: Vec<_> = (0..4)
            .map(|number| {
                let mut reader = Reader::http(&server, &format!("s{number}"), LARGE, "");
                thread::spawn(move || {
                    // The window opens and shuts again and again.
                    reader.connection.head().unwrap();
                    let mut bytes = 0;
                    while let Some(chunk) = reader.connection.chunk().unwrap() {
                        bytes += chunk.len();
                        thread::sleep(Duration::from_millis(3));
                    }
                    assert_eq!(bytes, LARGE.pieces * LARGE.size);
                })
            })
            .collect();
        let mut other = server.connect();
        for _ in 0..30 {
            Who::ask(&mut other);
        }
        for reader in dawdling {
            reader.join().unwrap();
        }
        wait_until_closed(&server, "s", 4).assert_each_has_its_thread(places);
    }
}

#[test]
fn where_streams_end_side_by_side_newcomers_are_let_in_afterwards() {
    let server = serving("threads = 4");
    for round in 0..8 {
        let readers = Reader::crowd(&server, &format!("r{round}s"), 6);
        let names: Vec<String> = (0..6).map(|number| format!("r{round}s{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        wait_until_shut(&server, &names);
        finish_all(readers);
        assert_eq!(server.get("/who").status, 200, "round {round}");
    }
}

/// Quicker than what is written down of the other takes.
const QUICK_APP: &str = r#"
import os, time
def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/sleep":
        time.sleep(0.3)
    start_response("200 OK", [])
    if path == "/stream":
        return (b"x" * 65536 for _ in range(128))
    return [b"%d" % os.getpid()]
"#;

#[test]
fn spare_threads_that_stand_by_sleep() {
    let server = Server::new()
        .app(QUICK_APP)
        .ini("http = 127.0.0.1:0\nmodule = app\ndisable-logging = true\nthreads = 2\n")
        .start();
    let streams = [0, 1].map(|_| Reader::http_at(&server, "s", "/stream", LARGE));
    thread::sleep(Duration::from_millis(500));
    // Two spare ones, which serve, are made for these.
    let busy = [0, 1].map(|_| server.ask("/sleep"));
    for mut client in busy {
        assert_eq!(client.response().status, 200);
    }
    let mut other = server.connect();
    for _ in 0..5 {
        for _ in 0..200 {
            other.get("/");
        }
        thread::sleep(Duration::from_millis(100));
        // For a moment somebody watches.
        let worker = other.get("/").text().parse().unwrap();
        thread::sleep(Duration::from_millis(50));
        let before = naps(worker, "core");
        thread::sleep(Duration::from_millis(500));
        let taken = naps(worker, "core") - before;
        assert!(taken < 60, "{taken} in half a second");
    }
    drop(streams);
}
