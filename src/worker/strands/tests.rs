//! A worker with several loops, driven by something that is no interpreter.

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::libc;
use uwrs_api::{
    BodyMode, Bytes, Driver, Exchange, ForkStage, Gateway, LoadError, LoadedApp, Reply, ReplyBody, Request,
    ResponseHead, Runtime, Turned, Turns, WorkerFacts,
};

use crate::config::{self, Config, Invocation, SystemHost};
use crate::scoreboard::{Occupant, Scoreboard, Slot};
use crate::sys;
use crate::worker::{BoundListener, Departure, Seat};

const PATIENCE: Duration = Duration::from_secs(20);

/// Answers with the number of its thread.
struct Numbered {
    core: Cell<usize>,
    /// This one cannot begin.
    broken: usize,
    left: Arc<AtomicUsize>,
}

impl Numbered {
    fn new(broken: usize) -> Self {
        Self {
            core: Cell::new(0),
            broken,
            left: Arc::default(),
        }
    }
}

impl Gateway for Numbered {
    fn body_mode(&self, _: &Request) -> BodyMode {
        BodyMode::Complete
    }

    fn handle(&self, exchange: Exchange) {
        exchange.responder.respond(Reply::Response {
            head: ResponseHead::new(200),
            body: ReplyBody::Full(Bytes::from(format!("thread {}", self.core.get()))),
        });
    }

    fn driver(&self) -> Option<Box<dyn Driver>> {
        let is_broken = self.broken != 0 && self.core.get() == self.broken;
        (!is_broken).then(|| Box::new(Polling) as Box<dyn Driver>)
    }

    fn sibling(&self) -> Option<Box<dyn Gateway>> {
        Some(Box::new(Self {
            core: Cell::new(0),
            broken: self.broken,
            left: Arc::clone(&self.left),
        }))
    }

    fn enter_thread(&self, core: usize) {
        self.core.set(core);
    }

    fn leave_thread(&self) {
        self.left.fetch_add(1, Ordering::SeqCst);
    }
}

/// Turns a loop again and again, be there something to do or not.
struct Polling;

impl Driver for Polling {
    fn drive(&mut self, turns: Rc<dyn Turns>) {
        while turns.turn() != Turned::Stop {
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn finish(&mut self) {}
}

struct NoRuntime;

impl Runtime for NoRuntime {
    fn describe(&self) -> String {
        String::new()
    }

    fn load(&mut self) -> Result<Vec<LoadedApp>, LoadError> {
        Ok(Vec::new())
    }

    fn freeze(&mut self, _: &mut dyn FnMut(&dyn Gateway)) {}

    fn fork(&mut self, _: ForkStage) {}

    fn enter_worker(&mut self, _: WorkerFacts) -> Result<Box<dyn Gateway>, LoadError> {
        Ok(Box::new(Numbered::new(0)))
    }

    fn source_files(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    fn leave(&mut self) {}
}

fn configuration(threads: usize) -> Config {
    let arguments = ["--http=127.0.0.1:1", "--need-app=false", "--disable-logging"].map(str::to_owned);
    let arguments = arguments.into_iter().chain([format!("--threads={threads}")]);
    match config::parse(arguments.map(Into::into), &SystemHost::new()) {
        Ok(Invocation::Run { config, .. }) => *config,
        other => panic!("{other:?}"),
    }
}

/// A worker in a thread of this process.
struct Running {
    thread: JoinHandle<Departure>,
    address: SocketAddr,
    slot: Slot,
    signals: OwnedFd,
    is_ready: mpsc::Receiver<()>,
    left: Arc<AtomicUsize>,
}

impl Running {
    fn start(threads: usize, broken: usize) -> Self {
        let config = Arc::new(configuration(threads));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let bound = BoundListener {
            fd: listener.into(),
            config: config.listeners[0].clone(),
            address: address.to_string(),
            port: Some(address.port()),
        };
        let board = Arc::new(Scoreboard::new(1).unwrap());
        let occupant = Occupant {
            pid: 1,
            number: 1,
            generation: 1,
        };
        let slot = Slot::occupy(board, 0, occupant);
        let (heard, signals) = sys::pipe().unwrap();
        let (ready, is_ready) = mpsc::channel();
        let seat = Seat {
            facts: WorkerFacts {
                number: 1,
                master: None,
            },
            generation: 1,
            config,
            listeners: vec![Arc::new(bound)],
            ferry: None,
            slot: slot.clone(),
            signals: heard,
            ready: Some(Box::new(move || ready.send(()).unwrap())),
            lifeline: None,
        };
        let gateway = Numbered::new(broken);
        let left = Arc::clone(&gateway.left);
        let thread = thread::spawn(move || crate::worker::run(seat, Box::new(gateway), &NoRuntime));
        Self {
            thread,
            address,
            slot,
            signals,
            is_ready,
            left,
        }
    }

    fn signal(&self, signal: i32) {
        nix::unistd::write(&self.signals, &[signal as u8]).unwrap();
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }
}

/// Which thread answers on that connection.
fn ask(stream: &mut TcpStream) -> usize {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    while !answer.windows(7).any(|part| part == b"thread ") || answer.ends_with(b"thread ") {
        let mut bytes = [0; 1024];
        let count = stream.read(&mut bytes).unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&bytes[..count]);
    }
    usize::from(answer[answer.len() - 1] - b'0')
}

fn soon(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "never: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn every_thread_serves_and_one_slot_tells_of_all_of_them() {
    let worker = Running::start(3, 0);
    worker.is_ready.recv_timeout(PATIENCE).unwrap();
    let mut served = [0; 3];
    let mut open = Vec::new();
    // Who waits longest is told of a connection first: none is left out for ever.
    soon("each thread has served", || {
        let mut stream = worker.connect();
        served[ask(&mut stream)] += 1;
        open.push(stream);
        served.iter().all(|&count| count > 0)
    });
    let asked = open.len() as u64;
    soon("all requests are counted", || {
        let snapshot = worker.slot.snapshot();
        (snapshot.requests, snapshot.connections, snapshot.active) == (asked, asked, 0)
    });
    worker.signal(libc::SIGTERM);
    assert_eq!(worker.thread.join().unwrap(), Departure::Drained);
    assert_eq!(worker.left.load(Ordering::SeqCst), 2, "threads beside the first");
    for mut stream in open {
        assert_eq!(
            stream.read(&mut [0; 16]).unwrap(),
            0,
            "idle connections are closed"
        );
    }
    assert_eq!(worker.slot.snapshot().connections, 0);
}

#[test]
fn all_threads_pause_together() {
    let worker = Running::start(3, 0);
    worker.is_ready.recv_timeout(PATIENCE).unwrap();
    worker.slot.board().set_paused(true);
    worker.signal(libc::SIGWINCH);
    // Each may accept once more before it hears of it.
    soon("nobody accepts", || {
        let mut stream = worker.connect();
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        stream.read(&mut [0; 64]).is_err()
    });
    let mut waits = worker.connect();
    worker.slot.board().set_paused(false);
    worker.signal(libc::SIGWINCH);
    ask(&mut waits);
    worker.signal(libc::SIGQUIT);
    assert_eq!(worker.thread.join().unwrap(), Departure::Drained);
}

#[test]
fn a_thread_that_cannot_begin_ends_the_worker_before_it_is_ready() {
    let worker = Running::start(3, 2);
    assert_eq!(worker.thread.join().unwrap(), Departure::Failed);
    assert!(worker.is_ready.try_recv().is_err());
    soon("the one that had begun has ended", || {
        worker.left.load(Ordering::SeqCst) == 2
    });
}
