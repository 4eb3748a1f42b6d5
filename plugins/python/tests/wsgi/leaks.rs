//! Requests of every kind, by the ten thousand: what they took is given back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::{self, Ask, Mailbox, Server};

fn measure(server: &Server) -> (u64, u64) {
    let text = Ask::get("/resident").send(server).text();
    let (kibibytes, objects) = text.split_once(' ').expect("two numbers");
    (
        kibibytes.parse().expect("a number"),
        objects.parse().expect("a number"),
    )
}

fn one_of_each(server: &Server, round: usize) {
    for target in [
        "/hello",
        "/three",
        "/closing",
        "/closing_length",
        "/generator",
        "/write",
        "/large_pieces",
    ] {
        Ask::get(target).field("x-round", format!("{round}")).send(server);
    }
    Ask::new("POST", "/read").body(&[b'x'; 100]).send(server);
    Ask::get("/generator").pulls(round % 3).send(server);
    Ask::get("/replaced").send(server);
}

#[test]
fn fifty_thousand_requests_leave_nothing_behind() {
    let ((before, objects_before), (after, objects_after)) =
        support::with_server(crate::settings, |server| {
            for round in 0..500 {
                one_of_each(server, round);
            }
            Ask::get("/events").send(server);
            let before = measure(server);
            for round in 0..5000 {
                one_of_each(server, round);
                if round % 100 == 0 {
                    Ask::get("/events").send(server);
                    server.gateway.rest();
                }
            }
            Ask::get("/events").send(server);
            (before, measure(server))
        });
    assert!(after < before + 1024, "{before} KiB before, {after} KiB after");
    assert!(
        objects_after <= objects_before + 20,
        "{objects_before} objects before, {objects_after} after"
    );
}

#[test]
fn exceptions_leave_no_frames_behind() {
    let (before, after) = support::with_server(crate::settings, |server| {
        let fail = |count: usize| {
            for _ in 0..count {
                Ask::get("/raise_started").send(server);
                Ask::get("/closing_error_later").send(server);
                Ask::get("/header_newline").send(server);
            }
            Ask::get("/events").send(server);
        };
        fail(20);
        let (_, before) = measure(server);
        fail(500);
        let (_, after) = measure(server);
        (before, after)
    });
    assert!(after <= before + 20, "{before} objects before, {after} after");
}

#[test]
fn threads_of_the_application_run_while_the_loop_rests() {
    support::with_server(crate::settings, |server| {
        let mark = std::env::temp_dir().join(format!("uwrs-mark-{}", std::process::id()));
        let _ = std::fs::remove_file(&mark);
        Ask::get(&format!("/leave_a_mark_later?{}", mark.display())).send(server);
        server.gateway.rest();
        let deadline = Instant::now() + Duration::from_secs(10);
        while !mark.exists() {
            assert!(Instant::now() < deadline, "the thread did not run");
            std::thread::sleep(Duration::from_millis(1));
        }
        std::fs::remove_file(&mark).expect("the mark is there");
    });
}

#[test]
fn a_large_answer_that_is_sent_without_the_interpreter_is_given_back_before_the_thread_waits() {
    support::with_server(crate::settings, |server| {
        let mark = std::env::temp_dir().join(format!("uwrs-large-{}", std::process::id()));
        std::fs::write(&mark, "").expect("a mark");
        let mailbox = Arc::new(Mailbox::default());
        let ask = Ask::get(&format!("/tells_its_end?{}", mark.display()));
        server.gateway.handle(ask.exchange(&mailbox));
        server.gateway.rest();
        assert!(mark.exists(), "the answer is on its way");
        drop(mailbox.take());
        server.gateway.rest();
        assert!(!mark.exists(), "the answer has been given back");
    });
}
