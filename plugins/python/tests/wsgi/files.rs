//! `wsgi.file_wrapper`: what is sent without being read, and what is not.

use crate::support::Ask;
use crate::{get, send, send_for_events};

const DIGITS: &str = "0123456789";

#[test]
fn a_plain_file_is_not_read() {
    for (target, expected) in [
        ("/wrapped_file", DIGITS),
        ("/wrapped_raw", DIGITS),
        ("/wrapped_named", DIGITS),
        ("/wrapped_behind", DIGITS),
        ("/file_wrapper_file", "from a file"),
    ] {
        let answer = get(target);
        assert_eq!(
            (answer.text().as_str(), answer.has_file),
            (expected, true),
            "{target}"
        );
    }
}

#[test]
fn it_begins_where_the_file_is_at() {
    let answer = get("/wrapped_position");
    assert_eq!((answer.text().as_str(), answer.has_file), ("3456789", true));
}

#[test]
fn what_was_written_to_the_file_is_in_it() {
    let answer = get("/wrapped_unflushed");
    assert_eq!((answer.text().as_str(), answer.has_file), ("56789", true));
}

#[test]
fn a_content_length_makes_it_a_range() {
    let answer = get("/wrapped_length");
    assert_eq!((answer.text().as_str(), answer.has_file), ("0123", true));
    let answer = get("/wrapped_after_write_length");
    assert_eq!((answer.text().as_str(), answer.has_file), ("written 0123", true));
}

#[test]
fn what_is_not_what_a_file_holds_is_read() {
    for (target, expected) in [
        ("/wrapped_zipped", "unpacked"),
        ("/wrapped_patched", "01234five6789"),
        ("/wrapped_subclass", "01230123456745678989"),
        ("/wrapped_pipe", "through a pipe"),
        ("/wrapped_end", ""),
        ("/file_wrapper_without_close", "one two"),
        ("/wrapped_twice", "01234five6789"),
    ] {
        let answer = get(target);
        assert_eq!(
            (answer.status(), answer.text().as_str(), answer.has_file),
            (200, expected, false),
            "{target}"
        );
    }
    assert!(!get("/wrapped_proc").text().is_empty());
}

#[test]
fn a_file_that_cannot_be_read_is_a_500() {
    for target in ["/wrapped_text", "/wrapped_closed"] {
        assert_eq!(get(target).status(), 500, "{target}");
    }
}

#[test]
fn it_is_closed_when_it_is_sent_and_when_the_client_is_gone() {
    for pulls in [0, 1] {
        let (answer, events) = send_for_events(Ask::get("/wrapped_behind").pulls(pulls));
        assert_eq!(
            (answer.text().as_str(), events.as_str()),
            (DIGITS, "closed behind")
        );
    }
    for pulls in [0, 1] {
        let (answer, events) = send_for_events(Ask::get("/wrapped_after_write").pulls(pulls));
        assert_eq!(
            (answer.text().as_str(), events.as_str()),
            ("written 0123456789", "closed behind")
        );
    }
}

#[test]
fn it_needs_a_head_like_any_answer() {
    let (answer, events) = send_for_events(Ask::get("/wrapped_unstarted"));
    assert_eq!((answer.status(), events.as_str()), (500, "closed behind"));
    assert_eq!(send(Ask::get("/wrapped_304")).status(), 304);
}
