//! `wsgi.input`, for bodies in memory, in a file, and for none: the same answers from all.

use std::fs::File;
use std::io::{Seek, Write};

use uwrs_api::{Body, BodyFraming};

use crate::send;
use crate::support::{self, Ask};

/// `body` in an unlinked file.
fn in_file(body: &[u8]) -> Body {
    let name = format!(
        "uwrs-body-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    );
    let path = std::env::temp_dir().join(name);
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)
        .unwrap();
    std::fs::remove_file(&path).unwrap();
    file.write_all(body).unwrap();
    file.rewind().unwrap();
    Body::File {
        file,
        length: body.len() as u64,
    }
}

/// The same request with its body in memory and in a file gives `expected`.
fn both_give(target: &str, body: &[u8], expected: &str) {
    let in_memory = Ask::new("POST", target).body(body);
    assert_eq!(send(in_memory).text(), expected, "{target}, in memory");
    let mut filed = Ask::new("POST", target).body(body);
    filed.body = in_file(body);
    assert_eq!(send(filed).text(), expected, "{target}, in a file");
}

const LINES: &[u8] = b"one\ntwo\n\nlast";

#[test]
fn read_gives_all_of_it() {
    both_give("/read", b"the body", "b'the body'");
}

#[test]
fn read_takes_sizes_and_past_the_end_there_is_nothing() {
    both_give(
        "/read_sizes",
        b"123456789",
        "[b'123', b'', b'45', b'6789', b'', b'']",
    );
}

#[test]
fn readline_keeps_the_line_feed_and_takes_a_size() {
    both_give("/read_lines", LINES, r"[b'one\n', b'tw', b'o\n', b'\n', b'last']");
}

#[test]
fn readlines_gives_all_lines() {
    both_give("/readlines", LINES, r"[b'one\n', b'two\n', b'\n', b'last']");
}

#[test]
fn readlines_takes_a_hint() {
    both_give("/readlines_hint", LINES, r"[b'one\n']");
}

#[test]
fn iterating_gives_lines() {
    both_give("/iterate", LINES, r"[b'one\n', b'two\n', b'\n', b'last']");
}

#[test]
fn ways_to_read_can_be_mixed() {
    both_give("/mixed", LINES, r"[b'one\n', b'tw', b'o\n', b'\nlast']");
}

#[test]
fn it_can_be_read_again() {
    both_give("/seek", b"twice", "[b'twice', 0, b'twice']");
}

#[test]
fn no_body_is_a_stream_at_its_end() {
    for (target, expected) in [
        ("/read", "b''"),
        ("/read_sizes", "[b'', b'', b'', b'', b'', b'']"),
        ("/read_lines", "[b'', b'', b'', b'', b'']"),
        ("/readlines", "[]"),
        ("/readlines_hint", "[]"),
        ("/iterate", "[]"),
        ("/buffered", "b''"),
        ("/text", "''"),
        ("/seek", "[b'', 0, b'']"),
    ] {
        assert_eq!(send(Ask::get(target)).text(), expected, "{target}");
    }
}

#[test]
fn no_body_is_a_stream_that_no_request_can_spoil_for_another() {
    assert_eq!(send(Ask::get("/is_pollutable")).text(), "False");
}

#[test]
fn a_body_left_unread_leaves_nothing_for_the_next_request() {
    assert_eq!(send(Ask::new("POST", "/hello").body(b"unread")).status(), 200);
    assert_eq!(send(Ask::new("POST", "/read").body(b"mine")).text(), "b'mine'");
}

#[test]
fn a_body_in_a_file_is_closed_when_the_request_is_over() {
    let (before, after) = support::with_server(crate::settings, |server| {
        let before = Ask::get("/open_files").send(server).text();
        for _ in 0..50 {
            let mut ask = Ask::new("POST", "/hello");
            ask.request.framing = BodyFraming::Chunked;
            ask.body = in_file(b"unread");
            ask.send(server);
        }
        (before, Ask::get("/open_files").send(server).text())
    });
    assert_eq!(before, after);
}
