//! Streamed answers and the threads that run them: from the call over every piece to `close()` it is one thread, and nothing else
//! runs on it meanwhile. A stream that waits for its client holds no place for all that: spare threads stand in.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::support::streams::{
    Events, LARGE, Reader, SMALL, Shape, Who, finish_all, serving, wait_until_closed, wait_until_quiet,
    wait_until_shut,
};
use crate::support::wait::PATIENCE;
use crate::support::{Connection, Running, packet, soon};

/// A kind of worker: lines of its ini, and how many requests run in it at once.
type Kind = (&'static str, usize);

/// Those that call applications in different ways: on the loop's thread within its turn or after it, on several threads,
/// under the eyes of a master or not.
const KINDS: [Kind; 6] = [
    ("master = false", 1),
    ("", 1),
    ("harakiri = 60", 1),
    ("processes = 2", 1),
    ("threads = 4", 4),
    ("threads = 4\nprocesses = 2\nharakiri = 60", 4),
];

/// Never ends by itself: a piece, then a pause.
const ENDLESS: Shape = Shape {
    pieces: 10_000_000,
    size: 8,
};

/// Clients that ask something short again and again, each over a connection of its own, until they are told to stop.
struct Others {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<usize>>,
}

impl Others {
    fn start(server: &Running, count: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let client = || {
            let (mut connection, stop) = (server.connect(), Arc::clone(&stop));
            thread::spawn(move || {
                let mut answered = 0;
                while !stop.load(Ordering::Relaxed) {
                    Who::ask(&mut connection);
                    answered += 1;
                    thread::sleep(Duration::from_millis(2));
                }
                answered
            })
        };
        let clients = (0..count).map(|_| client()).collect();
        Self { stop, clients }
    }

    /// How many answers there were, to all of them.
    fn finish(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let answered = self.clients.into_iter().map(|client| client.join().unwrap());
        answered.sum()
    }
}

/// How long so many requests took, one after the other.
fn asks(server: &Running, count: usize) -> Vec<Duration> {
    let mut connection = server.connect();
    let mut ask = || {
        let asked = Instant::now();
        Who::ask(&mut connection);
        asked.elapsed()
    };
    (0..count).map(|_| ask()).collect()
}

/// Slow readers while others ask, then all of it read beside one another.
fn streams_keep_their_threads((lines, places): Kind) {
    let server = serving(lines);
    let readers = Reader::crowd(&server, "s", 6);
    wait_until_shut(&server, &["s0", "s1", "s2", "s3", "s4", "s5"]);
    let mut other = server.connect();
    for _ in 0..30 {
        let who = Who::ask(&mut other);
        assert_eq!(who.multithread, places > 1);
    }
    let (called, closed) = Events::of(&server).called_and_closed("s");
    assert_eq!(
        (called, closed),
        (6, 0),
        "all of them were to wait for their clients"
    );
    let others = Others::start(&server, 3);
    finish_all(readers);
    let events = wait_until_closed(&server, "s", 6);
    assert!(others.finish() > 0);
    events.assert_each_has_its_thread(places);
    Events::of(&server).assert_each_has_its_thread(places);
}

#[test]
fn streams_keep_their_threads_in_one_process_without_a_master() {
    streams_keep_their_threads(KINDS[0]);
}

#[test]
fn streams_keep_their_threads_in_a_worker() {
    streams_keep_their_threads(KINDS[1]);
}

#[test]
fn streams_keep_their_threads_under_harakiri() {
    streams_keep_their_threads(KINDS[2]);
}

#[test]
fn streams_keep_their_threads_in_several_processes() {
    streams_keep_their_threads(KINDS[3]);
}

#[test]
fn streams_keep_their_threads_among_several() {
    streams_keep_their_threads(KINDS[4]);
}

#[test]
fn streams_keep_their_threads_among_several_in_several_processes() {
    streams_keep_their_threads(KINDS[5]);
}

#[test]
fn streams_whose_clients_keep_up_keep_their_threads_and_let_others_have_their_turn() {
    for kind in KINDS {
        let (lines, places) = kind;
        let server = serving(lines);
        let reading: Vec<_> = Reader::crowd(&server, "s", 8)
            .into_iter()
            .map(|reader| thread::spawn(|| reader.finish()))
            .collect();
        let mut other = server.connect();
        for _ in 0..50 {
            Who::ask(&mut other);
        }
        for reader in reading {
            reader.join().unwrap();
        }
        let events = wait_until_closed(&server, "s", 8);
        events.assert_each_has_its_thread(places);
    }
}

/// How many pieces of these streams have been asked for, the fewest of any of them.
fn fewest(server: &Running, names: &[&str]) -> usize {
    let events = Events::of(server);
    let pieces = names.iter().map(|name| events.count(name, "next"));
    pieces.min().unwrap()
}

#[test]
fn a_slow_generator_delays_others_by_about_a_piece_and_several_of_them_advance_side_by_side() {
    let names = ["s0", "s1", "s2"];
    for kind in &KINDS[..4] {
        let (lines, places) = *kind;
        let server = serving(lines);
        // What is sent to them fits in between: they keep up without reading.
        let streams: Vec<Reader> = names
            .iter()
            .map(|name| Reader::http(&server, name, ENDLESS, "&pause=0.2"))
            .collect();
        soon("all have begun", || fewest(&server, &names) > 0);
        let mut took = asks(&server, 5);
        // Each may be behind a piece of each of the three.
        took.sort();
        assert!(took[2] < Duration::from_secs(4), "{lines:?}: {took:?}");
        let before = fewest(&server, &names);
        soon("all of them go on", || fewest(&server, &names) >= before + 3);
        drop(streams);
        wait_until_closed(&server, "s", 3).assert_each_has_its_thread(places);
    }
}

#[test]
fn endless_streams_whose_clients_keep_up_starve_nobody() {
    let names = ["s0", "s1", "s2", "s3"];
    for (lines, places) in [KINDS[0], KINDS[2], ("threads = 2", 2)] {
        let server = serving(lines);
        let endless = Shape {
            pieces: 10_000_000,
            size: 65536,
        };
        let stop = Arc::new(AtomicBool::new(false));
        let reading: Vec<_> = names
            .iter()
            .map(|name| {
                let mut reader = Reader::http(&server, name, endless, "");
                let (stop, count) = (Arc::clone(&stop), Arc::new(AtomicUsize::new(0)));
                let counted = Arc::clone(&count);
                let client = thread::spawn(move || {
                    reader.connection.widen();
                    reader.connection.head().unwrap();
                    while !stop.load(Ordering::Relaxed) {
                        reader.connection.chunk().unwrap().unwrap();
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                });
                (counted, client)
            })
            .collect();
        let mut took = asks(&server, 20);
        took.sort();
        assert!(took[10] < Duration::from_secs(1), "{lines:?}: {took:?}");
        for (counted, _) in &reading {
            let before = counted.load(Ordering::Relaxed);
            soon("it goes on", || counted.load(Ordering::Relaxed) > before + 50);
        }
        stop.store(true, Ordering::Relaxed);
        for (_, client) in reading {
            client.join().unwrap();
        }
        wait_until_closed(&server, "s", 4).assert_each_has_its_thread(places);
        assert_eq!(server.get("/who").status, 200);
    }
}

#[test]
fn a_generator_that_has_nothing_to_say_yet_lets_the_request_run_that_it_waits_for() {
    for (lines, places) in KINDS
        .into_iter()
        .filter(|(lines, _)| !lines.contains("processes"))
    {
        let server = serving(lines);
        let mut streams: Vec<Connection> = (0..5)
            .map(|number| server.ask(&format!("/empty/s{number}")))
            .collect();
        for stream in &mut streams {
            assert_eq!(stream.head().unwrap().status, 200);
            assert_eq!(stream.chunk().unwrap().unwrap(), b"first");
        }
        assert_eq!(server.get("/release").status, 200);
        for stream in &mut streams {
            assert_eq!(stream.chunk().unwrap().unwrap(), b"released", "{lines}");
            assert_eq!(stream.chunk().unwrap(), None);
        }
        wait_until_closed(&server, "s", 5).assert_each_has_its_thread(places);
    }
}

#[test]
fn a_generator_that_makes_no_piece_before_its_client_has_the_last_one_is_no_deadlock() {
    for (lines, places) in KINDS {
        let server = serving(lines);
        // Others wait for their clients meanwhile.
        let shut = Reader::crowd(&server, "shut", 3);
        wait_until_shut(&server, &["shut0", "shut1", "shut2"]);
        let mut stream = server.ask("/lockstep/s?pieces=5");
        assert_eq!(stream.head().unwrap().status, 200);
        for number in 0..5 {
            let piece = stream.chunk().unwrap().unwrap();
            assert_eq!(piece, format!("{number:08}").as_bytes(), "{lines}");
            server.write(&format!("read-{number}"), "");
        }
        assert_eq!(stream.chunk().unwrap(), None);
        finish_all(shut);
        wait_until_closed(&server, "s", 4).assert_each_has_its_thread(places);
    }
}

#[test]
fn when_the_client_leaves_close_runs_on_the_thread_of_the_stream_soon() {
    for (lines, places) in KINDS {
        let server = serving(lines);
        let mut readers = Reader::crowd(&server, "shut", 4);
        wait_until_shut(&server, &["shut0", "shut1", "shut2", "shut3"]);
        let mut other = server.connect();
        Who::ask(&mut other);
        // One after the other, so that each of them wakes a thread that waits by itself.
        for gone in 1..=4 {
            let Reader { connection, .. } = readers.remove(0);
            match gone % 2 {
                0 => drop(connection),
                _ => connection.reset(),
            }
            soon("it is closed", || {
                Events::of(&server).called_and_closed("shut") == (4, gone)
            });
            Who::ask(&mut other);
        }
        // Those that leave while a piece is made, and all at once.
        let leaving: Vec<Reader> = (0..4)
            .map(|number| Reader::http(&server, &format!("slow{number}"), ENDLESS, "&pause=0.05"))
            .collect();
        soon("they have begun", || {
            fewest(&server, &["slow0", "slow1", "slow2", "slow3"]) > 1
        });
        leaving.into_iter().for_each(|reader| reader.connection.reset());
        wait_until_closed(&server, "slow", 4).assert_each_has_its_thread(places);
        Who::ask(&mut other);
    }
}

#[test]
fn who_wants_the_head_alone_has_the_stream_closed_on_its_thread() {
    for (lines, places) in KINDS {
        let server = serving(lines);
        let shut = Reader::crowd(&server, "shut", 2);
        wait_until_shut(&server, &["shut0", "shut1"]);
        let mut client = server.connect();
        for number in 0..5 {
            client.send(format!(
                "HEAD /stream/head{number} HTTP/1.1\r\nHost: example.org\r\n\r\n"
            ));
            assert_eq!(client.head().unwrap().status, 200);
            Who::ask(&mut client);
        }
        finish_all(shut);
        wait_until_closed(&server, "head", 5).assert_each_has_its_thread(places);
    }
}

#[test]
fn a_generator_that_raises_amidst_is_closed_on_its_thread_and_its_answer_is_cut() {
    for (lines, places) in KINDS {
        let server = serving(lines);
        let mut failing = Reader::http(&server, "failing", LARGE, "&fails=120");
        let mut other_failing = Reader::uwsgi(&server, "failing-too", SMALL, "&fails=1900");
        let whole = Reader::crowd(&server, "whole", 2);
        wait_until_shut(&server, &["failing", "failing-too", "whole0", "whole1"]);
        let others = Others::start(&server, 2);
        failing.connection.widen();
        assert!(failing.connection.try_response().is_err(), "{lines}: it is whole");
        let body = other_failing.connection.response().body;
        assert_eq!(body.len(), 1900 * SMALL.size, "what came before it is there");
        finish_all(whole);
        wait_until_closed(&server, "failing", 2).assert_each_has_its_thread(places);
        others.finish();
        soon("both are told of", || {
            server.count_log("LookupError: failed amidst on purpose") == 2
        });
    }
}

#[test]
fn a_close_that_raises_spoils_no_answer_and_gives_its_thread_back() {
    for (lines, places) in KINDS {
        let server = serving(lines);
        let readers: Vec<Reader> = (0..3)
            .map(|number| Reader::http(&server, &format!("s{number}"), LARGE, "&close=raises"))
            .collect();
        wait_until_shut(&server, &["s0", "s1", "s2"]);
        let leaving = Reader::http(&server, "s3", LARGE, "&close=raises");
        wait_until_shut(&server, &["s3"]);
        drop(leaving);
        soon("one has been told of", || {
            server.count_log("LookupError: closing failed on purpose") == 1
        });
        finish_all(readers);
        soon("all have been told of", || {
            server.count_log("LookupError: closing failed on purpose") == 4
        });
        wait_until_closed(&server, "s", 4).assert_each_has_its_thread(places);
        assert_eq!(server.get("/who").status, 200);
    }
}

#[test]
fn when_no_stream_is_open_the_first_threads_serve_again() {
    for (lines, places) in KINDS
        .into_iter()
        .filter(|(lines, _)| !lines.contains("processes"))
    {
        let server = serving(lines);
        let readers = Reader::crowd(&server, "s", 6);
        wait_until_shut(&server, &["s0", "s1", "s2", "s3", "s4", "s5"]);
        let mut other = server.connect();
        Who::ask(&mut other);
        finish_all(readers);
        wait_until_closed(&server, "s", 6);
        let is_a_first = |who: &Who| match places {
            1 => who.thread == who.process && who.name == "MainThread",
            _ => (0..places).any(|number| who.name == format!("uwrsWorker1Core{number}")),
        };
        soon("a first thread serves", || is_a_first(&Who::ask(&mut other)));
        // From then on no other: also when more ask than there are places.
        let port = server.port();
        let clients: Vec<_> = (0..places + 3)
            .map(|_| {
                thread::spawn(move || {
                    let mut client = Connection::tcp(port);
                    (0..30).map(|_| Who::ask(&mut client)).collect::<Vec<_>>()
                })
            })
            .collect();
        for client in clients {
            for who in client.join().unwrap() {
                assert!(is_a_first(&who), "{lines}: {who:?}");
            }
        }
    }
}

#[test]
fn without_spare_threads_a_worker_in_an_open_stream_serves_nothing_else_until_it_ends() {
    for lines in ["master = false", "", "harakiri = 60"] {
        let server = serving(&format!("{lines}\nspare-threads = 0"));
        let reader = Reader::http(&server, "s", LARGE, "");
        wait_until_shut(&server, &["s"]);
        let mut other = server.ask("/who");
        let mut front = server.connect_unix("uwsgi.sock");
        front.send(packet::request("GET", "/who", &[]));
        other.set_patience(Duration::from_millis(500));
        assert!(!other.has_more(), "{lines}: something stood in");
        other.set_patience(PATIENCE);
        reader.finish();
        for mut client in [other, front] {
            assert_eq!(client.response().status, 200);
        }
        // One that leaves gives it back as well.
        let reader = Reader::uwsgi(&server, "gone", LARGE, "");
        wait_until_shut(&server, &["gone"]);
        let mut other = server.ask("/who");
        drop(reader);
        assert_eq!(other.response().status, 200);
        wait_until_closed(&server, "gone", 1).assert_each_has_its_thread(1);
    }
}

#[test]
fn without_spare_threads_the_other_threads_of_a_worker_serve_on() {
    let server = serving("threads = 3\nspare-threads = 0");
    let readers = Reader::crowd(&server, "s", 2);
    wait_until_shut(&server, &["s0", "s1"]);
    let mut clients: Vec<Connection> = (0..4).map(|_| server.connect()).collect();
    for _ in 0..10 {
        for client in &mut clients {
            let who = Who::ask(client);
            assert!(who.name.starts_with("uwrsWorker1Core"), "{who:?}");
        }
    }
    finish_all(readers);
    let events = wait_until_closed(&server, "s", 2);
    assert!(events.threads().len() <= 3, "{:?}", events.threads());
    events.assert_each_has_its_thread(3);
}

#[test]
fn without_spare_threads_connections_go_to_workers_that_are_free() {
    for lines in ["", "threads = 2\n"] {
        let server = serving(&format!("{lines}processes = 2\nspare-threads = 0"));
        let places = if lines.is_empty() { 1 } else { 2 };
        // As many as fill one worker, all of them in the same.
        let mut readers: Vec<Reader> = Vec::new();
        let full = loop {
            let name = format!("s{}", readers.len());
            readers.push(Reader::http(&server, &name, LARGE, ""));
            wait_until_shut(&server, &[&name]);
            let mut counts = std::collections::BTreeMap::new();
            for (process, _) in Events::of(&server).threads() {
                *counts.entry(process).or_insert(0) += 1;
            }
            if let Some((&full, _)) = counts.iter().find(|&(_, &count)| count == places) {
                break full;
            }
        };
        for _ in 0..20 {
            let who = Who::ask(&mut server.connect());
            assert_ne!(who.process, full, "{lines:?}");
        }
        finish_all(readers);
        assert_eq!(server.get("/who").status, 200);
    }
}

#[test]
fn a_stream_may_wait_for_its_client_for_longer_than_harakiri() {
    for lines in ["", "threads = 2\n"] {
        let server = serving(&format!("{lines}harakiri = 2"));
        let readers = Reader::crowd(&server, "s", 4);
        wait_until_shut(&server, &["s0", "s1", "s2", "s3"]);
        let begun = Instant::now();
        let worker = Who::ask(&mut server.connect()).process;
        while begun.elapsed() < Duration::from_secs(6) {
            assert_eq!(Who::ask(&mut server.connect()).process, worker);
            thread::sleep(Duration::from_millis(100));
        }
        finish_all(readers);
        wait_until_closed(&server, "s", 4);
        assert_eq!(server.count_log("harakiri"), 0, "{}", server.log());
    }
}

#[test]
fn a_client_that_takes_nothing_for_too_long_is_left_and_its_stream_closed_on_its_thread() {
    for (lines, places) in KINDS {
        let server = serving(&format!("{lines}\nso-send-timeout = 1"));
        let readers = Reader::crowd(&server, "s", 4);
        let events = wait_until_closed(&server, "s", 4);
        events.assert_each_has_its_thread(places);
        assert_eq!(server.get("/who").status, 200);
        drop(readers);
    }
}

#[test]
fn a_stream_that_waits_for_its_client_is_asked_for_nothing() {
    let server = serving("");
    let reader = Reader::http(&server, "s", LARGE, "");
    wait_until_shut(&server, &["s"]);
    let before = fs::metadata(server.file("events")).unwrap().len();
    let pieces = Events::of(&server).count("s", "next");
    assert!(pieces < LARGE.pieces, "{pieces} pieces, and nothing was read");
    wait_until_quiet(&server);
    assert_eq!(fs::metadata(server.file("events")).unwrap().len(), before);
    reader.finish();
}
