//! The loop with a queue: what it gives to the threads that run applications, in which order, and what it holds back.
//! The test is the thread, so that nothing depends on one's pace.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use uwrs_api::{BodySource, Bytes, ExchangeId, Pull, Reply, ReplyBody, ResponseHead};

use crate::config::{Limits, LoggingConfig};
use crate::logging::AccessLog;
use crate::scoreboard::Slot;

use super::dispatch::{Pulled, Work};
use super::event_loop::EventLoop;
use super::flusher::Flusher;
use super::listener::Listener;
use super::tests::{PATIENCE, a_slot, lines, say, speak_lines};

/// A loop with room for so many requests, and where it listens.
fn a_loop(capacity: usize) -> (EventLoop, SocketAddr) {
    a_loop_of(capacity, a_slot())
}

/// The same, for that many threads.
fn a_loop_for(capacity: usize, threads: usize) -> (EventLoop, SocketAddr) {
    let (mut event_loop, address) = a_loop(capacity);
    event_loop.limit_threads(threads);
    (event_loop, address)
}

/// The same, for the worker in `slot`.
fn a_loop_of(capacity: usize, slot: Slot) -> (EventLoop, SocketAddr) {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let address = socket.local_addr().unwrap();
    let log = AccessLog::new(&LoggingConfig::default());
    let mut event_loop = EventLoop::with_queue(capacity, capacity, Limits::default(), log, slot).unwrap();
    event_loop
        .listen(Listener::new(
            socket.into(),
            speak_lines(),
            "host",
            Some(address.port()),
        ))
        .unwrap();
    (event_loop, address)
}

fn ask(address: SocketAddr, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    stream
}

/// The next piece of work, once there is one.
fn work(event_loop: &mut EventLoop) -> Work {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(work) = event_loop.take_work(0) {
            return work;
        }
        assert!(Instant::now() < deadline, "there is no work");
        event_loop.turn(Some(Duration::from_millis(5))).unwrap();
    }
}

/// Turns until everything that has arrived has been looked at.
fn settle(event_loop: &mut EventLoop) {
    for _ in 0..20 {
        event_loop.turn(Some(Duration::from_millis(5))).unwrap();
    }
}

fn target(work: &Work) -> String {
    match work {
        Work::Answer(exchange) => String::from_utf8_lossy(exchange.request.target()).into_owned(),
        Work::Pull(..) => "(a piece)".to_owned(),
        Work::Discard(..) => "(an end)".to_owned(),
    }
}

fn answer(event_loop: &mut EventLoop, work: Work) {
    let text = target(&work);
    let Work::Answer(exchange) = work else {
        panic!("no request: {text}")
    };
    let id = exchange.responder.id();
    exchange.responder.respond(say(&text));
    event_loop.take_back(0, Some(id), None, Instant::now());
}

#[test]
fn no_more_is_read_than_there_is_room_for_and_what_was_held_comes_in_its_turn() {
    let (mut event_loop, address) = a_loop(1);
    let mut streams: Vec<TcpStream> = (0..3)
        .map(|number| {
            let stream = ask(address, &format!("{number}\n"));
            settle(&mut event_loop);
            stream
        })
        .collect();
    for (number, stream) in streams.iter_mut().enumerate() {
        let work = work(&mut event_loop);
        assert_eq!(target(&work), number.to_string());
        answer(&mut event_loop, work);
        assert_eq!(lines(stream, 1), format!("200 {number}\n"));
        // It speaks again, and has to wait until the others were heard.
        stream.write_all(b"again\n").unwrap();
        settle(&mut event_loop);
    }
    for stream in &mut streams {
        let work = work(&mut event_loop);
        answer(&mut event_loop, work);
        assert_eq!(lines(stream, 1), "200 again\n");
    }
    assert!(event_loop.take_work(0).is_none());
}

#[test]
fn newcomers_are_let_in_while_all_threads_are_busy_and_looked_for_rarely_where_there_are_none() {
    let (mut event_loop, address) = a_loop(1);
    let _first = ask(address, "a\n");
    let _in_hand = work(&mut event_loop);
    event_loop.burden();
    event_loop.glance_outside();
    assert_eq!(event_loop.connections(), 1);
    let _second = ask(address, "b\n");
    let _third = ask(address, "c\n");
    // It has just looked: the clock stands still.
    event_loop.glance_outside();
    assert_eq!(event_loop.connections(), 1);
    let looked = event_loop.now();
    while event_loop.update_clock() < looked + Duration::from_millis(1) {}
    event_loop.glance_outside();
    assert_eq!(event_loop.connections(), 2);
    // Where there was one there may be more.
    event_loop.glance_outside();
    assert_eq!(event_loop.connections(), 3);
}

#[test]
fn a_newcomer_is_accepted_though_those_that_are_there_never_stop_asking() {
    let (mut event_loop, address) = a_loop(1);
    let mut regulars: Vec<TcpStream> = (0..3).map(|_| ask(address, "regular\n")).collect();
    settle(&mut event_loop);
    let mut newcomer = None;
    for round in 0..20 {
        let work = work(&mut event_loop);
        let said = target(&work);
        answer(&mut event_loop, work);
        if said == "newcomer" {
            return;
        }
        for regular in &mut regulars {
            regular.write_all(b"regular\n").unwrap();
        }
        if round == 5 {
            newcomer = Some(ask(address, "newcomer\n"));
        }
        settle(&mut event_loop);
    }
    panic!("never heard: {newcomer:?}");
}

/// A body of numbers, up to three.
struct Count(u8);

impl BodySource for Count {
    fn pull(&mut self) -> Pull {
        self.0 += 1;
        match self.0 {
            1..=3 => Pull::Data(Bytes::from(self.0.to_string())),
            _ => Pull::End,
        }
    }
}

/// An answer of numbers.
fn count() -> Reply {
    Reply::Response {
        head: ResponseHead::new(200),
        body: ReplyBody::Source {
            first: Bytes::from_static(b"0"),
            rest: Box::new(Count(0)),
        },
    }
}

fn begin_count(event_loop: &mut EventLoop) -> ExchangeId {
    let work = work(event_loop);
    reply(event_loop, work, 0, count())
}

/// `thread` answers so what it has taken.
fn reply(event_loop: &mut EventLoop, work: Work, thread: usize, reply: Reply) -> ExchangeId {
    let Work::Answer(exchange) = work else {
        panic!("no request")
    };
    let id = exchange.responder.id();
    exchange.responder.respond(reply);
    event_loop.take_back(thread, Some(id), None, Instant::now());
    id
}

fn pull(event_loop: &mut EventLoop) -> (ExchangeId, Pulled) {
    let Work::Pull(asked) = work(event_loop) else {
        panic!("no piece")
    };
    let flusher = Flusher::new(|_| None);
    (asked.id, asked.pull(&flusher))
}

#[test]
fn pieces_of_a_body_are_work_one_after_the_other() {
    let (mut event_loop, address) = a_loop(4);
    let mut stream = ask(address, "count\n");
    let id = begin_count(&mut event_loop);
    let mut has_more = true;
    while has_more {
        let (of, pulled) = pull(&mut event_loop);
        assert_eq!(of, id);
        // Whoever asks is the only one who does.
        assert!(event_loop.take_work(0).is_none());
        has_more = pulled.batch.has_more();
        event_loop.take_back(0, Some(id), Some(pulled), Instant::now());
    }
    assert_eq!(lines(&mut stream, 1), "200 0123\n");
    assert!(event_loop.take_work(0).is_none());
}

/// A body of letters that are quick, but for the last but one.
struct Letters {
    letters: std::vec::IntoIter<u8>,
    go_on: mpsc::Receiver<()>,
}

impl BodySource for Letters {
    fn pull(&mut self) -> Pull {
        if self.letters.len() == 1 {
            self.go_on.recv_timeout(PATIENCE).unwrap();
        }
        self.letters
            .next()
            .map_or(Pull::End, |letter| Pull::Data(Bytes::from(vec![letter])))
    }
}

#[test]
fn what_is_held_back_is_sent_by_who_has_the_loop_while_the_application_is_slow() {
    let (mut event_loop, address) = a_loop(4);
    let mut stream = ask(address, "letters\n");
    let Work::Answer(exchange) = work(&mut event_loop) else {
        panic!("no request")
    };
    let id = exchange.responder.id();
    let (sender, go_on) = mpsc::channel();
    let rest = Box::new(Letters {
        letters: b"bcdef".to_vec().into_iter(),
        go_on,
    });
    let first = Bytes::from_static(b"a");
    exchange.responder.respond(Reply::Response {
        head: ResponseHead::new(200),
        body: ReplyBody::Source { first, rest },
    });
    event_loop.take_back(0, Some(id), None, Instant::now());
    let (done, pieces) = mpsc::channel();
    std::thread::scope(|scope| {
        let mut text = [0; 9];
        let mut have = 0;
        let deadline = Instant::now() + PATIENCE;
        stream.set_nonblocking(true).unwrap();
        while have < text.len() {
            assert!(Instant::now() < deadline, "{text:?}");
            have += stream.read(&mut text[have..]).unwrap_or(0);
            if let Some(Work::Pull(asked)) = event_loop.take_work(0) {
                let done = done.clone();
                scope.spawn(move || done.send(asked.pull(&Flusher::new(|_| None))).unwrap());
            }
            if let Ok(pulled) = pieces.try_recv() {
                event_loop.take_back(0, Some(id), Some(pulled), Instant::now());
            }
            event_loop.turn(Some(Duration::from_millis(1))).unwrap();
            let now = Instant::now();
            if let Some(due) = event_loop.flush_held(now) {
                assert!(due > now && due < now + Duration::from_secs(1));
            }
        }
        assert_eq!(&text, b"200 abcde");
        sender.send(()).unwrap();
    });
}

/// The client resets its connection.
fn leave(stream: TcpStream, event_loop: &mut EventLoop) {
    socket2::SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(stream);
    settle(event_loop);
}

#[test]
fn a_body_whose_client_has_gone_is_given_back_to_be_dropped() {
    let (mut event_loop, address) = a_loop(4);
    let mut stream = ask(address, "count\n");
    begin_count(&mut event_loop);
    let (id, pulled) = pull(&mut event_loop);
    let mut byte = [0; 5];
    stream.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"200 0");
    leave(stream, &mut event_loop);
    assert_eq!(event_loop.connections(), 0);
    event_loop.take_back(0, Some(id), Some(pulled), Instant::now());
    assert_eq!(target(&work(&mut event_loop)), "(an end)");
    assert!(event_loop.take_work(0).is_none());
}

/// What the scoreboard says that keeps a thread in the application for the longest time.
fn oldest(slot: &Slot) -> Option<String> {
    let snapshot = slot.snapshot();
    snapshot.stint?;
    Some(snapshot.request?.line.trim().to_owned())
}

#[test]
fn the_scoreboard_shows_who_has_been_in_the_application_for_the_longest_time() {
    let slot = a_slot();
    let (mut event_loop, address) = a_loop_of(4, slot.clone());
    let mut streams = Vec::new();
    let mut take = |text: &str| {
        streams.push(ask(address, &format!("{text}\n")));
        work(&mut event_loop)
    };
    let (first, second, third) = (take("first"), take("second"), take("third"));
    assert_eq!(oldest(&slot).as_deref(), Some("first"));
    answer(&mut event_loop, second);
    assert_eq!(oldest(&slot).as_deref(), Some("first"));
    answer(&mut event_loop, first);
    assert_eq!(oldest(&slot).as_deref(), Some("third"));
    assert_eq!(event_loop.stints().iter().count(), 1);
    answer(&mut event_loop, third);
    assert_eq!(oldest(&slot), None);
}

#[test]
fn a_body_of_pieces_keeps_a_thread_only_while_a_piece_is_made() {
    let slot = a_slot();
    let (mut event_loop, address) = a_loop_of(4, slot.clone());
    let _stream = ask(address, "count\n");
    begin_count(&mut event_loop);
    assert_eq!(oldest(&slot), None);
    let (id, pulled) = pull(&mut event_loop);
    assert_eq!(oldest(&slot).as_deref(), Some("count"));
    event_loop.take_back(0, Some(id), Some(pulled), Instant::now());
    assert_eq!(oldest(&slot), None);
}

#[test]
fn a_body_of_pieces_is_the_business_of_who_began_it_and_others_have_work_meanwhile() {
    let (mut event_loop, address) = a_loop_for(1, 3);
    let mut stream = ask(address, "count\n");
    let id = begin_count(&mut event_loop);
    assert_eq!(event_loop.attached(), [0]);
    assert_eq!(event_loop.owner_of_work(0), Some(Some(0)));
    assert!(!event_loop.is_out_of_threads());
    let mut other = ask(address, "other\n");
    settle(&mut event_loop);
    assert_eq!(event_loop.owner_of_work(1), Some(None));
    let work = event_loop.take_work_at(1, 1).unwrap();
    reply(&mut event_loop, work, 1, say("other"));
    assert_eq!(lines(&mut other, 1), "200 other\n");
    while event_loop.owner_of_work(0).is_some() {
        let (_, pulled) = pull(&mut event_loop);
        event_loop.take_back(0, Some(id), Some(pulled), Instant::now());
    }
    assert_eq!(lines(&mut stream, 1), "200 0123\n");
    assert!(event_loop.attached().is_empty());
}

#[test]
fn no_request_is_read_while_all_threads_have_bodies_of_pieces() {
    let (mut event_loop, address) = a_loop_for(2, 2);
    let mut streams = Vec::new();
    for thread in 0..2 {
        streams.push(ask(address, "count\n"));
        settle(&mut event_loop);
        // Behind the pieces of the first.
        let work = event_loop.take_work_at(thread, thread).unwrap();
        reply(&mut event_loop, work, thread, count());
    }
    assert_eq!(event_loop.attached(), [0, 1]);
    assert!(event_loop.is_out_of_threads() && event_loop.is_full());
    let place = (0..2).find(|&place| event_loop.owner_of_work(place) == Some(Some(0)));
    let asked = event_loop.take_work_at(place.unwrap(), 0).unwrap();
    let id = asked.exchange().unwrap();
    leave(streams.remove(0), &mut event_loop);
    let Work::Pull(asked) = asked else {
        panic!("no piece")
    };
    let pulled = asked.pull(&Flusher::new(|_| None));
    event_loop.take_back(0, Some(id), Some(pulled), Instant::now());
    // The client is gone: the end of its body is its thread's as well, and comes before all else.
    assert_eq!(event_loop.owner_of_work(1), Some(Some(1)));
    let end = event_loop.take_work_at(0, 0).unwrap();
    assert_eq!(target(&end), "(an end)");
    assert_eq!(event_loop.attached(), [0, 1]);
    event_loop.take_back(0, None, None, Instant::now());
    assert_eq!(event_loop.attached(), [1]);
    assert!(!event_loop.is_out_of_threads());
}

#[test]
fn after_a_slow_piece_others_have_their_turn() {
    let (mut event_loop, address) = a_loop_for(1, 2);
    let _stream = ask(address, "slow\n");
    let first_work = work(&mut event_loop);
    let rest = Box::new(Slow);
    let first = Bytes::from_static(b"a");
    let head = ResponseHead::new(200);
    let body = ReplyBody::Source { first, rest };
    let id = reply(&mut event_loop, first_work, 0, Reply::Response { head, body });
    let (_, pulled) = pull(&mut event_loop);
    // It came while the piece was made.
    let _other = ask(address, "other\n");
    settle(&mut event_loop);
    event_loop.take_back(0, Some(id), Some(pulled), Instant::now());
    assert_eq!(event_loop.owner_of_work(0), Some(None));
    assert_eq!(event_loop.owner_of_work(1), Some(Some(0)));
}

/// A body whose pieces take their time.
struct Slow;

impl BodySource for Slow {
    fn pull(&mut self) -> Pull {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(2) {}
        Pull::Data(Bytes::from_static(b"a"))
    }
}
