//! What an application returns, and when it is asked for more.

use crate::support::Ask;
use crate::{get, send, send_for_events};

#[test]
fn a_list_of_one_is_the_whole_answer() {
    let answer = get("/hello");
    assert_eq!(
        (answer.status(), answer.reason(), answer.is_streamed),
        (200, "OK", false)
    );
    assert_eq!(answer.field("content-type").as_deref(), Some(&b"text/plain"[..]));
    assert_eq!(answer.text(), "Hello, world!\n");
}

#[test]
fn what_is_whole_is_joined() {
    for (target, expected) in [
        ("/empty_list", ""),
        ("/empties", ""),
        ("/three", "one two three"),
        ("/a_tuple", "in a tuple"),
        ("/own_bytes", "subclass"),
        ("/bare_bytes", "whole"),
    ] {
        let answer = get(target);
        assert_eq!(
            (answer.text().as_str(), answer.is_streamed),
            (expected, false),
            "{target}"
        );
    }
}

#[test]
fn a_subclass_of_list_iterates_as_it_likes() {
    assert!(get("/own_list").text().starts_with("from "));
}

#[test]
fn a_large_body_is_lent_and_not_spoilt() {
    let answer = get("/large");
    assert_eq!(answer.body().len(), 1_000_000);
    assert!(answer.body().iter().all(|&byte| byte == b'x'));
}

#[test]
fn large_pieces_go_one_by_one_under_a_known_length() {
    let answer = get("/large_pieces");
    assert_eq!(answer.field("content-length").as_deref(), Some(&b"150001"[..]));
    let body = answer.body();
    assert_eq!(
        (body.len(), body[99_999], body[100_000], body[150_000]),
        (150_001, b'a', b'b', b'c')
    );
    assert_eq!(get("/large_pieces_304").field("content-length"), None);
}

#[test]
fn an_answer_of_unknown_length_is_pulled_piece_by_piece_and_closed_once() {
    let (answer, events) = send_for_events(Ask::get("/closing"));
    assert!(answer.is_streamed && !answer.has_failed);
    assert_eq!(
        answer.pieces,
        [b"one ".to_vec(), b"two ".to_vec(), b"three".to_vec()]
    );
    assert_eq!(events, "closed");
}

#[test]
fn a_generator_is_an_application_and_its_head_is_kept() {
    let (answer, events) = send_for_events(Ask::get("/generator"));
    assert_eq!((answer.status(), answer.text().as_str()), (201, "one two three"));
    assert_eq!(answer.field("x-from").as_deref(), Some(&b"generator"[..]));
    assert_eq!(events, "begun,after one,after two,at the end,closed");
}

#[test]
fn a_generator_goes_no_further_than_it_is_pulled() {
    let (answer, events) = send_for_events(Ask::get("/generator").pulls(1));
    assert_eq!(answer.pieces, [b"one ".to_vec(), b"two ".to_vec()]);
    assert_eq!(events, "begun,after one,closed");
}

#[test]
fn a_client_that_is_gone_closes_the_answer() {
    let (answer, events) = send_for_events(Ask::get("/closing").pulls(0));
    assert_eq!(answer.text(), "one ");
    assert_eq!(events, "closed");
}

#[test]
fn an_empty_iterable_is_an_empty_answer() {
    let (answer, events) = send_for_events(Ask::get("/closing_empty"));
    assert_eq!(
        (answer.status(), answer.text().as_str(), answer.is_streamed),
        (200, "", false)
    );
    assert_eq!(events, "closed");
    assert_eq!(get("/silent_generator").status(), 204);
}

#[test]
fn an_answer_that_has_its_content_length_is_whole() {
    let (answer, events) = send_for_events(Ask::get("/closing_length"));
    assert_eq!((answer.text().as_str(), answer.is_streamed), ("12345", false));
    assert_eq!(events, "closed");
}

#[test]
fn a_class_can_be_an_application() {
    assert_eq!(get("/Application").text(), "an instance");
}

#[test]
fn what_is_written_comes_before_what_is_returned() {
    let answer = get("/write");
    assert_eq!(answer.text(), "pushed twice, then returned");
    assert_eq!(
        answer.written, 2,
        "each at once, the first with the head, and nothing for nothing"
    );
    assert_eq!(get("/write_alone").text(), "pushed");
    let (answer, events) = send_for_events(Ask::get("/write_then_iterate"));
    assert_eq!(
        (answer.text().as_str(), events.as_str()),
        ("pushed and pulled", "closed")
    );
}

#[test]
fn a_wrapped_file_is_sent_in_blocks_and_closed() {
    let (answer, events) = send_for_events(Ask::get("/file_wrapper"));
    let sizes: Vec<usize> = answer.pieces.iter().map(Vec::len).collect();
    assert_eq!((sizes, events.as_str()), (vec![4096, 4096, 1808], "file closed"));
    let (answer, events) = send_for_events(Ask::get("/file_wrapper_default").pulls(0));
    assert_eq!((answer.body().len(), events.as_str()), (8192, "file closed"));
    assert_eq!(get("/file_wrapper_without_close").text(), "one two");
    assert_eq!(get("/file_wrapper_file").text(), "from a file");
}

#[test]
fn wsgiref_s_validator_has_nothing_to_say() {
    for (ask, expected) in [
        (
            Ask::get("/valid_hello?x=1").field("host", "example.com"),
            "Hello, world!\n",
        ),
        (Ask::get("/valid_consumer"), "read 0"),
        (
            Ask::new("POST", "/valid_consumer")
                .body(b"12345")
                .field("content-type", "text/plain"),
            "read 5",
        ),
        (Ask::get("/valid_generator"), "one two"),
        (Ask::get("/valid_write"), "pushed"),
        (Ask::get("/valid_file"), "in a file"),
        (Ask::new("HEAD", "/valid_hello"), "Hello, world!\n"),
    ] {
        let answer = send(ask);
        assert_eq!(
            (answer.status(), answer.has_failed, answer.text().as_str()),
            (200, false, expected)
        );
    }
}
