//! The loop, driven by a protocol so small that nothing but the loop can be wrong: a request is a line, an answer is
//! its body and a line end.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use uwrs_api::{
    BodyLength, BodyMode, BodySource, Bytes, Event, Exchange, FilePart, Gateway, Inbound, Outbound, Protocol,
    ProtocolState, Pull, Refusal, Reply, ReplyBody, Request, ResponseHead,
};

use crate::config::{Limits, LoggingConfig};
use crate::logging::AccessLog;
use crate::scoreboard::{Occupant, Scoreboard, Slot};

use super::event_loop::EventLoop;
use super::listener::{Listener, Speak};

/// How long a test waits for what must happen.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// A request is a line; an answer is its body and a line end.
struct Lines {
    state: ProtocolState,
    draining: bool,
}

impl Protocol for Lines {
    fn receive<'a>(&mut self, input: &mut Inbound<'a>, _: &mut Outbound) -> Event<'a> {
        if matches!(self.state, ProtocolState::Handling | ProtocolState::Closed) {
            return Event::Starved;
        }
        let rest = input.rest();
        let Some(end) = rest.iter().position(|&byte| byte == b'\n') else {
            self.state = if rest.is_empty() {
                ProtocolState::Idle
            } else {
                ProtocolState::Head
            };
            return Event::Starved;
        };
        let line = input.take(end + 1);
        if line == b"bad\n" {
            return Event::Refused(Refusal::new(400, "bad"));
        }
        self.state = ProtocolState::Handling;
        let mut request = Request::default();
        request.target = request.text.push(&line[..end]);
        Event::Request(Arc::new(request))
    }

    fn invite_body(&mut self, _: &mut Outbound) {}

    fn reply_head(&mut self, head: &ResponseHead, _: BodyLength, _: &[u8], output: &mut Outbound) {
        output.put(format!("{} ", head.status).as_bytes());
    }

    fn reply_interim(&mut self, head: &ResponseHead, output: &mut Outbound) {
        output.put(format!("{}\n", head.status).as_bytes());
    }

    fn reply_data(&mut self, data: Bytes, output: &mut Outbound) {
        output.push(data);
    }

    fn reply_file(&mut self, part: FilePart, output: &mut Outbound) {
        output.push_file(part);
    }

    fn reply_end(&mut self, output: &mut Outbound) -> Result<(), std::borrow::Cow<'static, str>> {
        output.put(b"\n");
        self.state = if self.draining {
            ProtocolState::Closed
        } else {
            ProtocolState::Idle
        };
        Ok(())
    }

    fn reply_room(&self) -> u64 {
        u64::MAX
    }

    fn is_end_hidden(&self) -> bool {
        false
    }

    fn refuse(&mut self, refusal: &Refusal, _: &[u8], output: &mut Outbound) {
        output.put(format!("{} refused\n", refusal.status).as_bytes());
        self.state = ProtocolState::Closed;
    }

    fn drain(&mut self) {
        self.draining = true;
    }

    fn state(&self) -> ProtocolState {
        self.state
    }
}

/// Counts the pieces pulled of an endless body, and that it was dropped.
struct Endless {
    pulled: Arc<AtomicUsize>,
    dropped: mpsc::Sender<()>,
}

impl BodySource for Endless {
    fn pull(&mut self) -> Pull {
        self.pulled.fetch_add(1, Ordering::SeqCst);
        Pull::Data(Bytes::from(vec![b'x'; 32 * 1024]))
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        let _ = self.dropped.send(());
    }
}

/// A body of letters, each of which takes a while: too long to be joined with the next.
struct Slow {
    pulled: Arc<AtomicUsize>,
}

impl BodySource for Slow {
    fn pull(&mut self) -> Pull {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_micros(55) {
            std::hint::spin_loop();
        }
        match self.pulled.fetch_add(1, Ordering::SeqCst) {
            ..1000 => Pull::Data(Bytes::from_static(b"x")),
            _ => Pull::End,
        }
    }
}

/// Answers by what the line says.
struct Talker {
    pulled: Arc<AtomicUsize>,
    dropped: mpsc::Sender<()>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Ends what blocks.
    go_on: Mutex<mpsc::Receiver<()>>,
}

pub(super) fn a_slot() -> Slot {
    let board = Arc::new(Scoreboard::new(1).unwrap());
    Slot::occupy(
        board,
        0,
        Occupant {
            pid: 1,
            number: 1,
            generation: 1,
        },
    )
}

pub(super) fn speak_lines() -> Speak {
    |_| {
        Box::new(Lines {
            state: ProtocolState::Idle,
            draining: false,
        })
    }
}

pub(super) fn say(text: &str) -> Reply {
    Reply::Response {
        head: ResponseHead::new(200),
        body: ReplyBody::Full(Bytes::copy_from_slice(text.as_bytes())),
    }
}

impl Gateway for Talker {
    fn body_mode(&self, _: &Request) -> BodyMode {
        BodyMode::Complete
    }

    fn handle(&self, exchange: Exchange) {
        match exchange.request.target() {
            b"forget" => {}
            b"panic" => std::panic::resume_unwind(Box::new("on purpose")),
            b"later" => {
                let thread = std::thread::spawn(move || exchange.responder.respond(say("later")));
                self.threads.lock().unwrap().push(thread);
            }
            b"hint" => {
                exchange.responder.interim(ResponseHead::new(103));
                exchange.responder.respond(say("after a hint"));
            }
            b"endless" => {
                let rest = Endless {
                    pulled: self.pulled.clone(),
                    dropped: self.dropped.clone(),
                };
                let body = ReplyBody::Source {
                    first: Bytes::new(),
                    rest: Box::new(rest),
                };
                exchange.responder.respond(Reply::Response {
                    head: ResponseHead::new(200),
                    body,
                });
            }
            b"slow" => {
                let rest = Box::new(Slow {
                    pulled: self.pulled.clone(),
                });
                let first = Bytes::from_static(b"first");
                exchange.responder.respond(Reply::Response {
                    head: ResponseHead::new(200),
                    body: ReplyBody::Source { first, rest },
                });
            }
            b"block" => {
                let gone_on = self.go_on.lock().unwrap().recv_timeout(PATIENCE);
                let text = gone_on.map_or("in vain", |()| "blocked");
                exchange.responder.respond(say(text));
            }
            other => exchange.responder.respond(say(&String::from_utf8_lossy(other))),
        }
    }
}

/// A loop in a thread of its own, until dropped.
struct Running {
    address: std::net::SocketAddr,
    drain: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    pulled: Arc<AtomicUsize>,
    dropped: mpsc::Receiver<()>,
    go_on: mpsc::Sender<()>,
}

impl Running {
    fn start() -> Self {
        let (dropped_sender, dropped) = mpsc::channel();
        let (go_on, goes_on) = mpsc::channel();
        let pulled = Arc::new(AtomicUsize::new(0));
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let address = socket.local_addr().unwrap();
        let (drain, drained) = mpsc::channel::<()>();
        let counter = pulled.clone();
        let thread = std::thread::spawn(move || {
            let gateway = Talker {
                pulled: counter,
                dropped: dropped_sender,
                threads: Mutex::default(),
                go_on: Mutex::new(goes_on),
            };
            let log = AccessLog::new(&LoggingConfig::default());
            let mut event_loop = EventLoop::new(Box::new(gateway), Limits::default(), log, a_slot()).unwrap();
            event_loop
                .listen(Listener::new(
                    socket.into(),
                    speak_lines(),
                    "host",
                    Some(address.port()),
                ))
                .unwrap();
            let mut leaving = false;
            while !leaving || event_loop.connections() > 0 {
                event_loop.turn(Some(Duration::from_millis(5))).unwrap();
                if !leaving && !matches!(drained.try_recv(), Err(mpsc::TryRecvError::Empty)) {
                    event_loop.drain();
                    leaving = true;
                }
            }
        });
        Self {
            address,
            drain: Some(drain),
            thread: Some(thread),
            pulled,
            dropped,
            go_on,
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn drain(&mut self) {
        self.drain = None;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.drain();
        let ended = self.thread.take().unwrap().join();
        assert!(
            ended.is_ok() || std::thread::panicking(),
            "the loop's thread panicked"
        );
    }
}

pub(super) fn lines(stream: &mut TcpStream, count: usize) -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    while text.iter().filter(|&&byte| byte == b'\n').count() < count {
        if stream.read(&mut byte).unwrap() == 0 {
            break;
        }
        text.push(byte[0]);
    }
    String::from_utf8(text).unwrap()
}

#[test]
fn a_request_is_answered_however_it_is_cut() {
    let running = Running::start();
    let mut stream = running.connect();
    for part in ["he", "l", "lo\nwor", "ld\n"] {
        stream.write_all(part.as_bytes()).unwrap();
    }
    assert_eq!(lines(&mut stream, 2), "200 hello\n200 world\n");
}

#[test]
fn a_responder_that_is_dropped_or_a_gateway_that_panics_is_a_500_and_the_connection_lives() {
    let running = Running::start();
    let mut stream = running.connect();
    stream.write_all(b"forget\npanic\nhello\n").unwrap();
    let answers = lines(&mut stream, 5);
    let statuses: Vec<&str> = answers
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(
        statuses.iter().filter(|&&status| status == "500").count(),
        2,
        "{answers}"
    );
    assert!(answers.ends_with("200 hello\n"), "{answers}");
}

#[test]
fn a_reply_from_another_thread_wakes_the_loop() {
    let running = Running::start();
    let mut stream = running.connect();
    stream.write_all(b"later\nhello\n").unwrap();
    assert_eq!(lines(&mut stream, 2), "200 later\n200 hello\n");
}

#[test]
fn an_interim_answer_goes_before_the_final_one() {
    let running = Running::start();
    let mut stream = running.connect();
    stream.write_all(b"hint\n").unwrap();
    assert_eq!(lines(&mut stream, 2), "103\n200 after a hint\n");
}

#[test]
fn a_body_is_not_pulled_while_the_client_does_not_read_and_is_dropped_when_it_goes() {
    let running = Running::start();
    let mut stream = running.connect();
    stream.write_all(b"endless\n").unwrap();
    // Pulling stops: the count stays the same over many turns.
    let deadline = Instant::now() + PATIENCE;
    let mut seen = (0, Instant::now());
    while seen.0 == 0 || seen.1.elapsed() < Duration::from_millis(300) {
        let pulled = running.pulled.load(Ordering::SeqCst);
        if pulled != seen.0 {
            seen = (pulled, Instant::now());
        }
        assert!(
            Instant::now() < deadline,
            "{pulled} pieces were pulled and it goes on"
        );
        std::thread::yield_now();
    }
    // As soon as there is room it goes on, which the client may see before the test does.
    let mut some = vec![0; 1 << 16];
    let deadline = Instant::now() + PATIENCE;
    while running.pulled.load(Ordering::SeqCst) <= seen.0 {
        assert!(Instant::now() < deadline, "pulling does not go on");
        stream.read_exact(&mut some).unwrap();
    }
    drop(stream);
    running.dropped.recv_timeout(PATIENCE).unwrap();
}

#[test]
fn a_refused_client_reads_its_answer_though_it_had_more_to_say() {
    let running = Running::start();
    let mut stream = running.connect();
    stream.write_all(b"bad\n").unwrap();
    stream.write_all(&[b'x'; 200_000]).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(text, "400 refused\n");
}

#[test]
fn a_connection_that_asks_a_lot_leaves_room_for_a_newcomer() {
    let running = Running::start();
    let mut greedy = running.connect();
    greedy.write_all(&b"hello\n".repeat(10_000)).unwrap();
    let mut newcomer = running.connect();
    let asked = Instant::now();
    newcomer.write_all(b"hello\n").unwrap();
    assert_eq!(lines(&mut newcomer, 1), "200 hello\n");
    let waited = asked.elapsed();
    assert!(
        waited < Duration::from_millis(500),
        "the newcomer waited {waited:?}"
    );
    let mut answers = vec![0; 10_000 * "200 hello\n".len()];
    greedy.read_exact(&mut answers).unwrap();
}

#[test]
fn what_came_of_a_body_is_sent_before_another_application_is_called() {
    let running = Running::start();
    let mut slow = running.connect();
    let mut other = running.connect();
    slow.write_all(b"slow\n").unwrap();
    let mut text = [0; "200 first".len()];
    slow.read_exact(&mut text).unwrap();
    other.write_all(b"block\n").unwrap();
    // Nothing more is asked for, because the loop is in the other application.
    let pulled = || running.pulled.load(Ordering::SeqCst);
    let mut seen = (0, Instant::now());
    while seen.0 == 0 || seen.1.elapsed() < Duration::from_millis(300) {
        if pulled() != seen.0 {
            seen = (pulled(), Instant::now());
        }
        std::thread::yield_now();
    }
    let mut pieces = vec![0; seen.0.min(1000)];
    slow.read_exact(&mut pieces).unwrap();
    running.go_on.send(()).unwrap();
    assert_eq!(lines(&mut other, 1), "200 blocked\n");
}

#[test]
fn a_leaving_loop_answers_what_is_on_its_way_and_then_ends() {
    let mut running = Running::start();
    let mut stream = running.connect();
    stream.write_all(b"hello\n").unwrap();
    assert_eq!(lines(&mut stream, 1), "200 hello\n");
    running.drain();
    stream.write_all(b"hello\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(text, "200 hello\n");
}
