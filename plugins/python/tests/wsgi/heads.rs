//! `start_response`: what it takes, what it refuses, and in which order.

use crate::support;
use crate::support::Ask;
use crate::{get, send, send_for_events};

#[test]
fn odd_statuses_go_through() {
    for (target, status, reason) in [
        ("/status_odd", 299, "Very Odd"),
        ("/status_999", 999, "No Such Thing"),
        ("/status_bare", 404, ""),
    ] {
        let answer = get(target);
        assert_eq!((answer.status(), answer.reason()), (status, reason));
    }
    assert_eq!(get("/status_latin1").head.reason(), b"\xe9t\xe9");
}

#[test]
fn a_head_that_would_break_the_answer_is_an_error_that_says_why() {
    for (target, why) in [
        ("/status_long", "must begin with three digits and a blank"),
        ("/status_interim", "must be 200 at least"),
        ("/status_words", "must begin with three digits"),
        ("/status_newline", "a control character such as CR, LF or NUL"),
        ("/status_bytes", "status must be a str, not bytes"),
        ("/status_unicode", "a character that latin-1 has not"),
        (
            "/header_newline",
            "header X-Header: a control character such as CR, LF or NUL",
        ),
        (
            "/header_nul",
            "header X-Header: a control character such as CR, LF or NUL",
        ),
        (
            "/header_unicode",
            "header X-Header: a character that latin-1 has not",
        ),
        (
            "/header_name_newline",
            r"not the name of a header: 'X-Header\r\nX-Injected'",
        ),
        ("/header_name_blank", "not the name of a header: 'X Header'"),
        ("/header_name_empty", "not the name of a header: ''"),
        ("/header_name_colon", "not the name of a header: 'X-Header:'"),
        ("/header_bytes", "a header's value must be a str, not bytes"),
        ("/header_int", "a header's value must be a str, not int"),
        (
            "/header_length_words",
            "header Content-Length: not a number of bytes",
        ),
        (
            "/header_length_negative",
            "header Content-Length: not a number of bytes",
        ),
        (
            "/header_lengths",
            "header content-length: given twice, and they differ: 1 before: '2'",
        ),
        ("/headers_pairs_of_lists", "a header must be a tuple, not list"),
        ("/headers_not_a_list", "headers must be a list, not dict"),
    ] {
        let answer = get(target);
        assert_eq!(
            (answer.status(), answer.text().as_str()),
            (500, "Internal Server Error\n"),
            "{target}"
        );
        assert_eq!(answer.field("x-injected"), None);
        let log = support::logged(&format!("GET {target}:"));
        assert!(log.len() == 1 && log[0].contains(why), "{target}: {log:?}");
    }
}

#[test]
fn values_are_latin_1_and_may_have_tabs() {
    assert_eq!(
        get("/header_latin1").field("x-header").as_deref(),
        Some(&b"caf\xe9"[..])
    );
    assert_eq!(
        get("/header_tab").field("x-header").as_deref(),
        Some(&b"one\ttwo"[..])
    );
}

#[test]
fn repeated_fields_stay_apart_and_in_order() {
    let answer = get("/headers_repeated");
    let fields: Vec<_> = answer.head.fields().collect();
    assert_eq!(
        fields,
        [(&b"Set-Cookie"[..], &b"a=1"[..]), (b"Set-Cookie", b"b=2")]
    );
}

#[test]
fn an_answer_without_a_head_is_an_error() {
    for target in ["/unstarted", "/unstarted_generator"] {
        assert_eq!(get(target).status(), 500);
        assert!(support::logged(&format!("GET {target}:"))[0].contains("start_response was not called"));
    }
}

#[test]
fn the_head_may_come_with_the_first_piece() {
    let answer = get("/started_late");
    assert_eq!((answer.status(), answer.text().as_str()), (202, "late"));
}

#[test]
fn starting_twice_needs_exc_info() {
    assert_eq!(
        get("/started_twice").text(),
        "refused: start_response: called a second time without exc_info"
    );
}

#[test]
fn exc_info_replaces_a_head_that_has_not_gone() {
    let answer = get("/replaced");
    assert_eq!((answer.status(), answer.text().as_str()), (503, "sorry"));
    assert_eq!(answer.field("x-first"), None);
}

#[test]
fn exc_info_is_raised_again_once_the_head_has_gone() {
    assert_eq!(get("/too_late").text(), "begun same");
    assert_eq!(get("/too_late_after_write").text(), "begun same");
}

#[test]
fn arguments_may_have_names() {
    assert_eq!(get("/by_keyword").text(), "taken");
}

#[test]
fn who_keeps_start_response_cannot_reach_a_later_request() {
    assert_eq!(get("/keep").text(), "kept");
    assert_eq!(
        get("/use_kept").text(),
        "the response is over,the response is over"
    );
}

#[test]
fn many_streams_at_once_keep_their_heads_apart() {
    let (first, _) = send_for_events(Ask::get("/generator"));
    assert_eq!(first.status(), 201);
    assert_eq!(send(Ask::get("/started_late")).status(), 202);
}
