//! Everything that goes wrong at once: workers and molds die, generations change, clients are rude. Beside that,
//! clients that check their answers: each is right, or its worker was killed while it had the request.
//!
//! A short run by default. `UWRS_FAULT_SECONDS=120` says for how long; `--nocapture` shows the figures.

mod streams;

use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::record::Record;
use crate::support::{Connection, HTTP, Running, Server, TOOLBOX, packet, process, soon};

const WORKERS: usize = 3;

/// Memory may be this much more after all of it, bytes: of the master and the mold; of a worker, which has threads whose
/// arenas fill as it comes.
const LEEWAY: [u64; 3] = [1 << 20, 1 << 20, 16 << 20];

const OPTIONS: &str = "\
socket = %duwsgi.sock
processes = 3
harakiri = 3
max-requests = 500
max-requests-delta = 100
min-worker-lifetime = 0
limit-post = 1000000
post-buffering = 20000
touch-reload = %dreload
touch-chain-reload = %dchain
disable-logging = true
";

/// Numbers that look random, the same ones in every run (SplitMix64).
struct Dice(u64);

impl Dice {
    /// A number below `limit`.
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % limit as u64).unwrap()
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let first = self.below(256);
        (0..count)
            .map(|index| ((first + index * 7) % 251) as u8)
            .collect()
    }
}

/// A request, and the body that answers it.
fn question(dice: &mut Dice) -> (String, Vec<u8>, Vec<u8>) {
    let size = [0, 1, 1000, 15_000, 60_000, 300_000][dice.below(6)];
    match dice.below(5) {
        0 => ("/".into(), Vec::new(), b"hello\n".to_vec()),
        1 => (format!("/zeros/{size}"), Vec::new(), vec![0; size]),
        2 => ("/stream/20/500".into(), Vec::new(), vec![b's'; 10_000]),
        3 => ("/sleep/0.02".into(), Vec::new(), b"slept\n".to_vec()),
        _ => {
            let body = dice.bytes(size);
            ("/echo".into(), body.clone(), body)
        }
    }
}

/// Asks by either protocol, whole or in slow pieces, and reads whole or slowly; gives the body of the answer.
fn ask(
    connection: &mut Connection,
    head: Vec<u8>,
    body: &[u8],
    pace: Duration,
) -> io::Result<(u16, bool, Vec<u8>)> {
    let request = [head, body.to_vec()].concat();
    if pace.is_zero() {
        connection.try_send(&request)?;
    } else {
        for piece in request.chunks(request.len().div_ceil(20)) {
            connection.try_send(piece)?;
            thread::sleep(pace);
        }
        thread::sleep(pace * 10);
    }
    let response = connection.try_response()?;
    Ok((response.status, response.says_close(), response.body))
}

/// A client that checks what it is answered, until it is told to stop.
fn check(port: u16, path: &Path, record: &Record, seed: u64) {
    let mut dice = Dice(seed);
    let speaks_uwsgi = seed.is_multiple_of(3);
    let pace = Duration::from_millis(if seed.is_multiple_of(4) { 5 } else { 0 });
    let mut kept: Option<Connection> = None;
    while record.goes_on() {
        let (target, body, expected) = question(&mut dice);
        let sent = Instant::now();
        let length = body.len().to_string();
        let (head, mut connection) = if speaks_uwsgi {
            let head = packet::request("POST", &target, &[("CONTENT_LENGTH", &length)]);
            (head, Connection::unix(path))
        } else {
            let head = format!("POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
            (
                head.into_bytes(),
                kept.take().unwrap_or_else(|| Connection::tcp(port)),
            )
        };
        match ask(&mut connection, head, &body, pace) {
            Ok((200, closes, content)) if content == expected => {
                record.answered.fetch_add(1, Ordering::Relaxed);
                kept = (!speaks_uwsgi && !closes && dice.below(10) > 0).then_some(connection);
            }
            // uwsgi has no end of a body but the end of the connection, where there is no length.
            Ok((200, _, content)) if speaks_uwsgi && expected.starts_with(&content) => {
                record.lose(sent, target, io::ErrorKind::UnexpectedEof.into());
            }
            Ok((status, _, content)) => {
                let text = String::from_utf8_lossy(&content[..content.len().min(200)]).into_owned();
                let wrong = format!("{target}: {status}, {} bytes: {text:?}", content.len());
                record.wrong.lock().unwrap().push(wrong);
            }
            Err(why) => record.lose(sent, target, why),
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// What no server should take: too much of something. None of it reaches the application.
fn oversized(dice: &mut Dice) -> Vec<u8> {
    let many = "a".repeat(200_000);
    match dice.below(5) {
        0 => format!("GET /{many} HTTP/1.1\r\nHost: x\r\n\r\n"),
        1 => format!("GET / HTTP/1.1\r\nHost: x\r\nX-Large: {many}\r\n\r\n"),
        2 => format!(
            "GET / HTTP/1.1\r\nHost: x\r\n{}\r\n",
            "X-Many: 1\r\n".repeat(20_000)
        ),
        3 => "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n".into(),
        _ => "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffff\r\nbody".into(),
    }
    .into_bytes()
}

/// A client as bad as can be, again and again.
fn annoy(port: u16, record: &Record, seed: u64) {
    let mut dice = Dice(seed);
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes();
    while record.goes_on() {
        let mut connection = Connection::tcp(port);
        let is_oversized = dice.below(3) == 0;
        let bytes = match dice.below(7) {
            _ if is_oversized => oversized(&mut dice),
            0 => b"GET / HT".to_vec(),
            1 => b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nhalf".to_vec(),
            2 => get("/zeros/3000000"),
            3 => get("/stream/1000/2000"),
            4 => get("/").repeat(50),
            5 => get("/numbered/rude/200/20000/0"),
            _ => get("/sleep/0.1"),
        };
        // It may be refused before all of it is sent, and whoever has it may be killed.
        let _ = connection.try_send(bytes);
        thread::sleep(Duration::from_millis(dice.below(40) as u64));
        if is_oversized {
            if let Ok(answer) = connection.head()
                && !(400..500).contains(&answer.status)
            {
                let wrong = format!("too much of something: {}", answer.status);
                record.wrong.lock().unwrap().push(wrong);
            }
        } else if dice.below(3) > 0 {
            connection.reset();
        } else if dice.below(2) == 0 {
            connection.half_close();
            connection.rest_until_cut();
        }
        record.rude.fetch_add(1, Ordering::Relaxed);
    }
}

/// A request that hangs, from time to time: harakiri's share.
fn hang(port: u16, record: &Record) {
    while record.goes_on() {
        let mut connection = Connection::tcp(port);
        connection.send("GET /sleep/600 HTTP/1.1\r\nHost: x\r\n\r\n");
        // It may be answered 504, or die with its worker: both are the end of it.
        connection.rest_until_cut();
        for _ in 0..50 {
            if record.goes_on() {
                thread::sleep(Duration::from_millis(100));
            }
        }
    }
}

/// Kills and reloads until the time is up; says how often it did what.
fn disturb(server: &Running, record: &Record, until: Instant) -> String {
    let mut dice = Dice(7);
    let mut done = [0; 5];
    while Instant::now() < until {
        let kind = dice.below(5);
        match kind {
            0 => server.signal(Signal::SIGHUP),
            1 => server.write("chain", done[1].to_string()),
            2 => server.write("reload", done[2].to_string()),
            3 => {
                let children = process::children(server.pid());
                let mold = children.iter().find(|child| !process::has_event_loop(child.pid));
                if let Some(mold) = mold {
                    // It may be a worker that has no loop yet, and has one when it dies.
                    record.kill(mold.pid);
                }
            }
            _ => {
                let workers = server.workers();
                if !workers.is_empty() {
                    let victim = workers[dice.below(workers.len())];
                    record.kill(victim);
                }
            }
        }
        done[kind] += 1;
        thread::sleep(Duration::from_millis(500 + dice.below(1500) as u64));
    }
    let [hup, chain, touch, molds, workers] = done;
    format!("{hup} HUP, {chain} chain reloads, {touch} touched, {molds} molds and {workers} workers killed")
}

/// What a server holds, by kind of process: descriptors, and resident memory in bytes. Of workers the largest.
#[derive(Debug, PartialEq)]
struct Figures {
    processes: usize,
    descriptors: [usize; 3],
    memory: [u64; 3],
}

fn figures(server: &Running) -> Figures {
    let workers = server.settle(WORKERS);
    let mold = server.mold();
    let held = |pid| process::open_files(pid).len();
    let largest = |measure: &dyn Fn(i32) -> u64| workers.iter().map(|&pid| measure(pid)).max().unwrap_or(0);
    Figures {
        processes: server.family().len(),
        descriptors: [
            held(server.pid()),
            held(mold),
            usize::try_from(largest(&|pid| held(pid) as u64)).unwrap(),
        ],
        memory: [
            process::resident_bytes(server.pid()),
            process::resident_bytes(mold),
            largest(&process::resident_bytes),
        ],
    }
}

/// As many requests as it takes for a worker to be what it is when it works.
fn warm(server: &Running) {
    let threads = WORKERS * 4;
    thread::scope(|scope| {
        for number in 0..threads {
            let port = server.port();
            scope.spawn(move || {
                let mut connection = Connection::tcp(port);
                let mut slow = Connection::narrow(port);
                slow.send("GET /numbered/warm/200/20000/0 HTTP/1.1\r\nHost: x\r\n\r\n");
                for _ in 0..20 {
                    connection.post("/echo", vec![b'x'; 300_000]);
                    if number % 2 == 0 {
                        connection.get("/zeros/300000");
                    }
                    connection = Connection::tcp(port);
                }
                slow.response();
            });
        }
    });
}

#[test]
fn whatever_happens_answers_are_right_and_nothing_is_lost_or_leaked() {
    run(2);
}

#[test]
fn whatever_happens_to_workers_of_one_thread_answers_are_right_and_nothing_is_lost_or_leaked() {
    run(1);
}

fn run(threads: usize) {
    let seconds = std::env::var("UWRS_FAULT_SECONDS").map_or(15, |seconds| seconds.parse().unwrap());
    let server = Server::new()
        .app(&format!("{TOOLBOX}\n{}", streams::NUMBERED))
        .ini(&format!("{HTTP}{OPTIONS}threads = {threads}\n"))
        .start();
    let port = server.port();
    // What comes up once in a master comes with its first reload.
    server.reload();
    server.settle(WORKERS);
    warm(&server);
    let before = figures(&server);
    let record = Record::default();
    let disturbances = thread::scope(|scope| {
        let (record, path) = (&record, server.file("uwsgi.sock"));
        for seed in 0..8 {
            let path = path.clone();
            scope.spawn(move || check(port, &path, record, seed));
        }
        for seed in 20..25 {
            let path = path.clone();
            scope.spawn(move || streams::follow(port, &path, record, seed));
        }
        for seed in 100..104 {
            scope.spawn(move || annoy(port, record, seed));
        }
        // Where one thread is all there is, those whom it has read behind a stuck request hear 503, which nobody here expects.
        if threads > 1 {
            scope.spawn(move || hang(port, record));
        }
        let until = Instant::now() + Duration::from_secs(seconds);
        let told = disturb(&server, record, until);
        record.stop.store(true, Ordering::Relaxed);
        told
    });
    server.settle(WORKERS);
    warm(&server);
    soon("all descriptors are given back", || {
        figures(&server).descriptors == before.descriptors
    });
    let after = figures(&server);
    let lost = record.lost.lock().unwrap().len();
    let unexplained = record.unexplained(&server.log());
    let mut told = format!("{disturbances}\n");
    let [answered, streamed, rude] =
        [&record.answered, &record.streamed, &record.rude].map(|count| count.load(Ordering::Relaxed));
    let _ = writeln!(
        told,
        "{answered} answered rightly, {streamed} streams as well, {lost} lost with a worker, {rude} rude clients",
    );
    let _ = writeln!(told, "before: {before:?}\nafter:  {after:?}");
    println!("{told}");
    let wrong = record.wrong.lock().unwrap();
    assert!(wrong.is_empty(), "{wrong:#?}\n{told}{}", server.log());
    assert!(unexplained.is_empty(), "{unexplained:#?}\n{told}{}", server.log());
    let misdeeds = streams::misdeeds(&server);
    assert!(misdeeds.is_empty(), "{misdeeds:#?}\n{told}{}", server.log());
    assert_eq!(before.processes, after.processes, "{told}");
    for (index, leeway) in LEEWAY.into_iter().enumerate() {
        assert!(after.memory[index] < before.memory[index] + leeway, "{told}");
    }
    assert!(answered > 500 && streamed > 20, "{told}");
    let is_right = threads == 1 || server.count_log("(harakiri = 3)") > 0;
    assert!(is_right, "{told}{}", server.log());
    assert_eq!(server.count_log("panicked"), 0, "{}", server.log());
}
