//! Connections on the ferry while those who sent them, or were to take them, are killed, and while generations and masters
//! change: what no dead worker had taken is answered, once.
//!
//! The last test is a short run by default. `UWRS_FAULT_SECONDS=120` says for how long; `--nocapture` shows the figures.

use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::record::Record;
use crate::support::wait::within;
use crate::support::{Connection, HTTP, Running, Server, process, soon};

/// `/hold/NAME` says its pid at once and keeps its worker busy, which `NAME.held` shows, until there is a file `NAME`; everything
/// else answers with its pid and its path.
const APP: &str = r#"
import os, time

def application(environ, start_response):
    path = environ["PATH_INFO"]
    start_response("200 OK", [("Content-Type", "text/plain")])
    if path.startswith("/hold/"):
        return hold(path.removeprefix("/hold/"))
    return [f"{os.getpid()} {path}".encode()]

def hold(name):
    yield b"%d" % os.getpid()
    open(name + ".held", "w").close()
    until = time.monotonic() + 60
    while not os.path.exists(name) and time.monotonic() < until:
        time.sleep(0.01)
    yield b"held"
"#;

const CLIENTS: usize = 12;

fn server() -> Running {
    Server::new()
        .app(APP)
        .ini(&format!("{HTTP}processes = 2\ndisable-logging = true"))
        .start()
}

/// A request that keeps a worker busy, and the pid of that worker.
fn hold(server: &Running, name: &str) -> std::io::Result<(Connection, i32)> {
    let mut slow = server.ask(&format!("/hold/{name}"));
    let status = slow.head()?.status;
    assert_eq!(status, 200, "{}", server.log());
    let pid = slow.chunk()?.unwrap_or_default();
    Ok((slow, String::from_utf8(pid).unwrap().parse().unwrap()))
}

/// Asks for `/number`; who answered. An answer to anything else is one too many.
fn ask(client: &mut Connection, number: usize) -> std::io::Result<i32> {
    send(client, number)?;
    hear(client, number)
}

fn send(client: &mut Connection, number: usize) -> std::io::Result<()> {
    client.try_send(format!("GET /{number} HTTP/1.1\r\nHost: example.org\r\n\r\n"))
}

fn hear(client: &mut Connection, number: usize) -> std::io::Result<i32> {
    let response = client.try_response()?;
    let (pid, path) = response.text().split_once(' ').unwrap();
    assert_eq!(path, format!("/{number}"), "the answer to another request");
    Ok(pid.parse().unwrap())
}

/// Requests on their way from a worker that is busy to one that is stopped.
struct Afloat {
    server: Running,
    clients: Vec<Connection>,
    slow: Connection,
    sender: i32,
    receiver: i32,
}

impl Afloat {
    /// So many of them.
    fn new(count: usize) -> Self {
        let server = server();
        let workers = server.settle(2);
        let receiver = workers[1];
        process::signal(receiver, Signal::SIGSTOP);
        soon("it has stopped", || {
            process::find(receiver).is_some_and(|process| process.state == 'T')
        });
        let mut clients: Vec<Connection> = (0..count).map(|_| server.connect()).collect();
        for (number, client) in clients.iter_mut().enumerate() {
            assert_eq!(ask(client, number).unwrap(), workers[0]);
        }
        let (slow, sender) = hold(&server, "go").unwrap();
        assert_eq!(sender, workers[0]);
        // A request that came between two pieces of that answer would be in hand already.
        soon("it is busy", || server.file("go.held").exists());
        let before = process::open_sockets(sender);
        for (number, client) in clients.iter_mut().enumerate() {
            send(client, number).unwrap();
        }
        soon("all of them are on the ferry", || {
            process::open_sockets(sender) == before - count
        });
        Self {
            server,
            clients,
            slow,
            sender,
            receiver,
        }
    }

    /// Every request is answered, once, by a worker that neither is busy nor was stopped.
    fn assert_answered_by_others(&mut self) {
        for (number, client) in self.clients.iter_mut().enumerate() {
            let pid = hear(client, number)
                .unwrap_or_else(|error| panic!("{number}: {error}\n{}", self.server.log()));
            assert!(
                ![self.sender, self.receiver].contains(&pid),
                "{}",
                self.server.log()
            );
        }
        // What comes behind is the answer to another request: to none it came twice.
        for (number, client) in self.clients.iter_mut().enumerate() {
            ask(client, number + CLIENTS).unwrap();
        }
    }

    fn assert_slow_one_is_answered(&mut self) {
        self.server.write("go", "");
        assert_eq!(self.slow.chunk().unwrap().as_deref(), Some(&b"held"[..]));
        assert_eq!(self.slow.chunk().unwrap(), None);
    }
}

#[test]
fn what_is_on_the_ferry_survives_the_worker_that_was_to_take_it() {
    let mut afloat = Afloat::new(CLIENTS);
    process::signal(afloat.receiver, Signal::SIGKILL);
    afloat.assert_answered_by_others();
    afloat.assert_slow_one_is_answered();
}

#[test]
fn what_is_on_the_ferry_survives_the_worker_that_sent_it() {
    let mut afloat = Afloat::new(CLIENTS);
    process::signal(afloat.sender, Signal::SIGKILL);
    afloat.assert_answered_by_others();
    process::signal(afloat.receiver, Signal::SIGCONT);
}

#[test]
fn what_is_on_the_ferry_survives_both_ends_and_the_mold() {
    let mut afloat = Afloat::new(CLIENTS);
    for pid in [afloat.server.mold(), afloat.sender, afloat.receiver] {
        process::signal(pid, Signal::SIGKILL);
    }
    afloat.assert_answered_by_others();
}

#[test]
fn a_new_generation_takes_what_is_on_the_ferry() {
    let mut afloat = Afloat::new(CLIENTS);
    afloat.server.reload();
    afloat.assert_answered_by_others();
    process::signal(afloat.receiver, Signal::SIGKILL);
    afloat.assert_slow_one_is_answered();
    afloat.server.settle(2);
}

#[test]
fn a_master_that_is_executed_again_takes_the_ferry_along() {
    let mut afloat = Afloat::new(CLIENTS);
    let before = process::open_files(afloat.server.pid()).len();
    afloat.server.signal(Signal::SIGUSR2);
    afloat.server.wait_until_ready(2);
    afloat.assert_answered_by_others();
    process::signal(afloat.receiver, Signal::SIGKILL);
    afloat.assert_slow_one_is_answered();
    afloat.server.settle(2);
    soon(
        "the master has given back what it had for the old generation",
        || process::open_files(afloat.server.pid()).len() <= before,
    );
}

#[test]
fn when_the_master_is_gone_those_that_leave_look_at_the_ferry() {
    // More than who leaves takes at once.
    let mut afloat = Afloat::new(100);
    let master = afloat.server.pid();
    process::signal(master, Signal::SIGKILL);
    // Else who is to leave may have taken all of them before it knows.
    soon("the master is gone", || !process::is_alive(master));
    process::signal(afloat.receiver, Signal::SIGCONT);
    for (number, client) in afloat.clients.iter_mut().enumerate() {
        assert_eq!(hear(client, number).unwrap(), afloat.receiver);
    }
    afloat.assert_slow_one_is_answered();
    afloat.server.assert_nothing_left();
}

/// What the last test saw.
#[derive(Default)]
struct Seen {
    record: Record,
    /// The worker that is busy, as far as is known.
    busy: Mutex<Option<i32>>,
}

impl Seen {
    /// A worker is always busy with one request, for a quarter of a second each.
    fn keep_busy(&self, server: &Running) {
        for number in 0.. {
            if !self.record.goes_on() {
                return;
            }
            let name = format!("go-{number}");
            let sent = Instant::now();
            let held = hold(server, &name).and_then(|(mut slow, pid)| {
                *self.busy.lock().unwrap() = Some(pid);
                thread::sleep(Duration::from_millis(250));
                server.write(&name, "");
                slow.chunk().map(Option::unwrap_or_default)
            });
            match held {
                Ok(rest) => assert_eq!(rest, b"held"),
                Err(why) => self.record.lose(sent, name, why),
            }
        }
    }

    /// A client that keeps its connection and asks for one number after the other.
    fn count(&self, server: &Running, first: usize) -> usize {
        let mut kept: Option<(Connection, i32)> = None;
        let mut crossings = 0;
        for number in (first..).step_by(CLIENTS) {
            if !self.record.goes_on() {
                break;
            }
            let (mut client, before) = match kept.take() {
                Some((client, before)) => (client, Some(before)),
                None => (server.connect(), None),
            };
            let sent = Instant::now();
            let answer = send(&mut client, number).and_then(|()| client.try_response());
            match answer {
                Ok(response) => {
                    let (pid, path) = response.text().split_once(' ').unwrap();
                    assert_eq!(path, format!("/{number}"), "the answer to another request");
                    self.record.answered.fetch_add(1, Ordering::Relaxed);
                    let pid = pid.parse().unwrap();
                    crossings += usize::from(before.is_some_and(|before| before != pid));
                    kept = (!response.says_close()).then_some((client, pid));
                }
                Err(why) => self.record.lose(sent, format!("/{number}"), why),
            }
            thread::sleep(Duration::from_millis(3));
        }
        crossings
    }

    /// Kills who receives, who sends, and in between changes generations and masters; how often each.
    fn disturb(&self, server: &Running, until: Instant) -> String {
        let mut done = [0; 4];
        for round in 0.. {
            if Instant::now() > until {
                break;
            }
            thread::sleep(Duration::from_millis(300));
            let busy = *self.busy.lock().unwrap();
            let kind = match round % 8 {
                2 => 2,
                6 => 3,
                number => number % 2,
            };
            done[kind] += 1;
            match kind {
                2 => self.change(server, Signal::SIGUSR2),
                3 => self.change(server, Signal::SIGHUP),
                _ => {
                    let is_sender = kind == 1;
                    let mut workers = server.workers().into_iter();
                    let victim = workers.find(|&pid| (busy == Some(pid)) == is_sender);
                    victim.into_iter().for_each(|pid| self.record.kill(pid));
                }
            }
        }
        let [receivers, senders, usr2, hup] = done;
        format!("{receivers} receivers and {senders} senders killed, {usr2} USR2, {hup} HUP")
    }

    /// Waits for what comes of it, now and then.
    fn change(&self, server: &Running, signal: Signal) {
        let times = server.times_ready();
        server.signal(signal);
        within(Duration::from_millis(700), || {
            (server.times_ready() > times).then_some(())
        });
    }
}

#[test]
fn whoever_is_killed_beside_the_ferry_takes_only_what_it_had() {
    let seconds = std::env::var("UWRS_FAULT_SECONDS").map_or(8, |seconds| seconds.parse().unwrap());
    let server = server();
    server.reload();
    let held = |server: &Running| {
        let workers = server.settle(2);
        [server.pid(), server.mold(), workers[0], workers[1]].map(|pid| process::open_files(pid).len())
    };
    let before = held(&server);
    let seen = Seen::default();
    let (crossings, told) = thread::scope(|scope| {
        let (seen, server) = (&seen, &server);
        let clients: Vec<_> = (0..CLIENTS)
            .map(|first| scope.spawn(move || seen.count(server, first)))
            .collect();
        scope.spawn(|| seen.keep_busy(server));
        let told = seen.disturb(server, Instant::now() + Duration::from_secs(seconds));
        seen.record.stop.store(true, Ordering::Relaxed);
        let crossings: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
        (crossings, told)
    });
    // What a mold leaves behind in its master may be there for a moment, and was so when all of it began.
    soon("all descriptors are given back", || {
        held(&server)
            .iter()
            .zip(before)
            .all(|(&now, before)| now <= before)
    });
    let lost = seen.record.lost.lock().unwrap().len();
    let answered = seen.record.answered.load(Ordering::Relaxed);
    let unexplained = seen.record.unexplained(&server.log());
    println!(
        "{told}\n{answered} answered, {crossings} by another worker than before, {lost} lost with a worker"
    );
    println!("descriptors before: {before:?}, after: {:?}", held(&server));
    assert!(unexplained.is_empty(), "{unexplained:#?}\n{}", server.log());
    assert!(crossings > 10, "{crossings}\n{}", server.log());
    for complaint in ["panicked", "is lost", "was over when it arrived"] {
        assert_eq!(server.count_log(complaint), 0, "{}", server.log());
    }
}
