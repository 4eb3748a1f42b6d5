//! The scoreboard, written and read in one process.

use std::sync::atomic::AtomicBool;

use super::*;

const SOMEONE: Occupant = Occupant {
    pid: 77,
    number: 2,
    generation: 5,
};

/// Who asks, in these tests.
const PEER: &str = "[2001:db8::1]:40000";

/// A request, one after the other, goes to the application.
fn begin(slot: &Slot, method: &[u8], target: &[u8], began: u64) {
    slot.begin();
    slot.show(&ShownStint {
        serial: slot.words().get(word::SHOWN) + 1,
        method,
        target,
        peer: &Peer::Inet(PEER.parse().unwrap()),
        began,
    });
}

fn occupied() -> Slot {
    Slot::occupy(Arc::new(Scoreboard::new(3).unwrap()), 1, SOMEONE)
}

#[test]
fn a_request_shows_while_it_is_under_way() {
    let slot = occupied();
    begin(&slot, b"GET", b"/a?b=c", 1234);
    let during = slot.snapshot();
    assert_eq!(during.occupant, SOMEONE);
    let request = CurrentRequest {
        line: "GET /a?b=c".into(),
        peer: PEER.parse().ok(),
        started: 1234,
    };
    assert_eq!((during.request, during.stint), (Some(request), Some(1)));
    slot.rest();
    let waits = slot.snapshot();
    assert!(waits.stint.is_none() && waits.request.is_some());
    slot.end(503, 10);
    let after = slot.snapshot();
    assert_eq!(
        (after.requests, after.server_errors, after.bytes_sent),
        (1, 1, 10)
    );
    assert_eq!((after.active, after.request), (0, None));
}

#[test]
fn a_deadline_of_the_application_is_told_once_and_can_be_taken_back() {
    let slot = occupied();
    assert!(!slot.set_deadline(None) && !slot.board().has_deadlines());
    assert!(slot.set_deadline(Some(900)) && slot.board().has_deadlines());
    assert_eq!(slot.snapshot().deadline, Some(900));
    assert!(!slot.set_deadline(Some(901)));
    assert!(!slot.set_deadline(None));
    assert_eq!(slot.snapshot().deadline, None);
}

#[test]
fn a_thread_that_is_in_the_application_shows_also_when_its_answer_is_over() {
    let slot = occupied();
    begin(&slot, b"GET", b"/stuck", 5);
    slot.end(504, 0);
    let snapshot = slot.snapshot();
    assert_eq!((snapshot.active, snapshot.stint), (0, Some(1)));
    assert_eq!(snapshot.request.unwrap().line, "GET /stuck");
}

#[test]
fn peers_are_shown_as_they_are() {
    let slot = occupied();
    let inet = |text: &str| Peer::Inet(text.parse().unwrap());
    let peers = [inet("127.0.0.1:0"), inet("[::1]:65535"), Peer::Unix];
    let mut serial = 0;
    let shown = peers.each_ref().map(|peer| {
        serial += 1;
        let stint = ShownStint {
            serial,
            method: b"GET",
            target: b"/",
            peer,
            began: 0,
        };
        slot.show(&stint);
        slot.snapshot().request.unwrap().peer.map(Peer::Inet)
    });
    assert_eq!(shown[..2], [Some(peers[0].clone()), Some(peers[1].clone())]);
    assert_eq!(shown[2], None);
}

#[test]
fn a_long_line_is_cut_and_what_is_not_printable_is_escaped() {
    let slot = occupied();
    begin(&slot, b"GET", "/\u{1b}[31m".as_bytes(), 0);
    assert_eq!(slot.snapshot().request.unwrap().line, "GET /\\x1b[31m");
    begin(&slot, b"GET", &[b'a'; 1000], 0);
    assert_eq!(slot.snapshot().request.unwrap().line.len(), LINE_BYTES);
    begin(&slot, &[b'M'; 1000], b"/", 0);
    assert_eq!(slot.snapshot().request.unwrap().line, "M".repeat(LINE_BYTES));
}

#[test]
fn who_takes_a_slot_over_begins_with_nothing() {
    let slot = occupied();
    begin(&slot, b"GET", b"/", 0);
    slot.end(200, 1);
    let next = Occupant { pid: 78, ..SOMEONE };
    let slot = Slot::occupy(slot.board().clone(), slot.index(), next);
    let snapshot = slot.snapshot();
    assert_eq!((snapshot.occupant.pid, snapshot.requests), (78, 0));
    assert_eq!(snapshot.state, WorkerState::Starting);
}

#[test]
fn slots_do_not_touch_each_other() {
    let board = Arc::new(Scoreboard::new(3).unwrap());
    let middle = Slot::occupy(board.clone(), 1, SOMEONE);
    begin(&middle, &[0xff; 100], &[0xff; 300], u64::MAX);
    for other in [0, 2] {
        assert_eq!(board.snapshot(other).unwrap().state, WorkerState::Vacant);
        assert_eq!(board.snapshot(other).unwrap().occupant.pid, 0);
    }
    assert!(board.snapshot(3).is_none());
}

#[test]
fn a_table_is_found_again_by_its_descriptor() {
    let board = Scoreboard::new(3).unwrap();
    board.set_paused(true);
    let copy = board.descriptor().try_clone_to_owned().unwrap();
    let again = Scoreboard::open(copy).unwrap();
    assert_eq!(again.slots(), 3);
    assert!(again.is_paused());
}

#[test]
fn memory_of_another_layout_is_refused() {
    let other = SharedMemory::new(4096).unwrap();
    let descriptor = other.descriptor().try_clone_to_owned().unwrap();
    assert!(Scoreboard::open(descriptor).is_err());
    let board = Scoreboard::new(1).unwrap();
    board.memory.words()[header::SLOTS].store(1 << 40, Ordering::Relaxed);
    let descriptor = board.descriptor().try_clone_to_owned().unwrap();
    assert!(Scoreboard::open(descriptor).is_err());
}

#[test]
fn a_reader_never_sees_half_of_one_line_and_half_of_another() {
    let slot = occupied();
    begin(&slot, b"A", &[b'a'; 200], 0);
    let board = slot.board().clone();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..20_000 {
                let letter = b'a' + (round % 20) as u8;
                begin(
                    &slot,
                    &[letter.to_ascii_uppercase()],
                    &vec![letter; 100 + round % 100],
                    0,
                );
            }
            done.store(true, Ordering::Release);
        });
        let words = SlotWords(board.words_of(1).unwrap());
        while !done.load(Ordering::Acquire) {
            let Some(line) = words.unchanged(SlotWords::bytes_of_line) else {
                continue;
            };
            let (method, target) = (line[0], &line[2..]);
            assert!(
                target.iter().all(|byte| byte.to_ascii_uppercase() == method),
                "torn: {line:?}"
            );
        }
    });
}

#[test]
fn a_worker_that_died_while_writing_does_not_hold_the_reader_up() {
    let slot = occupied();
    begin(&slot, b"GET", b"/", 0);
    slot.words().add(word::SEQUENCE, 1);
    assert_eq!(slot.snapshot().request.unwrap().line, "GET /");
}

#[test]
fn what_other_loops_of_a_worker_write_adds_up_in_its_slot() {
    let slot = occupied();
    let (beside, idle) = (slot.strand(), slot.strand());
    let mut strands = [Strand::of(beside.clone()), Strand::of(idle.clone())];
    idle.begin();
    Strand::gather(strands.iter_mut(), &slot);
    assert_eq!((slot.snapshot().active, slot.snapshot().request), (1, None));
    idle.end(200, 0);
    slot.accepted(10);
    begin(&slot, b"GET", b"/own", 10);
    beside.accepted(20);
    beside.begin();
    beside.begin();
    slot.beat(50);
    beside.beat(40);
    idle.beat(45);
    slot.worked(100);
    beside.worked(20);
    idle.worked(3);
    beside.set_overstayed(Some(30));
    Strand::gather(strands.iter_mut(), &slot);
    let during = slot.snapshot();
    assert_eq!((during.accepted, during.connections, during.active), (2, 2, 3));
    assert_eq!(
        (during.last_accept, during.beat, during.overstayed),
        (20, Some(40), Some(30))
    );
    assert_eq!(slot.last_beat(), 50, "its own");
    assert_eq!((during.loops, during.at_work), (3, 123));
    assert_eq!(during.request.unwrap().line, "GET /own");
    beside.end(500, 7);
    beside.end(200, 5);
    beside.closed();
    slot.beat(60);
    beside.beat(0);
    idle.beat(0);
    beside.set_overstayed(None);
    Strand::gather(strands.iter_mut(), &slot);
    Strand::gather(strands.iter_mut(), &slot);
    let after = slot.snapshot();
    assert_eq!(
        (after.connections, after.active, after.requests),
        (1, 1, 3),
        "nothing counts twice"
    );
    assert_eq!(
        (
            after.server_errors,
            after.bytes_sent,
            after.beat,
            after.overstayed
        ),
        (1, 12, Some(60), None)
    );
}
