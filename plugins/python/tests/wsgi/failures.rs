//! Applications that raise, and those that return what is no answer.

use crate::support::{self, Ask};
use crate::{get, send_for_events};

#[test]
fn an_exception_before_the_head_is_a_500_with_its_traceback_in_the_log() {
    for (target, last_line) in [
        ("/raise_error", "ValueError: nothing started"),
        ("/raise_started", "ValueError: head not sent"),
        ("/raise_exit", "SystemExit: 3"),
        ("/raise_interrupt", "KeyboardInterrupt"),
        ("/raise_base", "BaseException: bare"),
        ("/raise_unprintable", "Unprintable: <"),
        ("/write_str", "write must be bytes, not str"),
    ] {
        let answer = get(target);
        assert_eq!(
            (answer.status(), answer.text().as_str()),
            (500, "Internal Server Error\n"),
            "{target}"
        );
        let log = support::logged(&format!("GET {target}:"));
        assert_eq!(log.len(), 1, "{target}");
        assert!(
            log[0].starts_with("ERROR") && log[0].contains("Traceback"),
            "{log:?}"
        );
        assert!(
            log[0].lines().last().is_some_and(|line| line.contains(last_line)),
            "{log:?}"
        );
    }
}

#[test]
fn an_exception_after_something_was_written_breaks_the_answer_off() {
    let answer = get("/write_then_raise");
    assert_eq!((answer.status(), answer.text().as_str()), (200, "half an answer"));
    assert!(answer.has_failed);
    assert!(support::logged("GET /write_then_raise:")[0].contains("ValueError: after writing"));
}

#[test]
fn the_worker_serves_on_after_all_of_them() {
    for target in ["/raise_exit", "/raise_interrupt", "/raise_base"] {
        get(target);
        assert_eq!(get("/hello").status(), 200, "after {target}");
    }
}

#[test]
fn what_is_no_iterable_of_bytes_is_a_500_that_says_so() {
    for (target, why) in [
        (
            "/none",
            "the application returned None: it must return an iterable of bytes",
        ),
        ("/a_str", "the application returned a str"),
        ("/str_piece", "the body must be made of bytes, not str"),
        ("/str_in_three", "the body must be made of bytes, not str"),
        ("/int_piece", "the body must be made of bytes, not int"),
        ("/not_iterable", "'int' object is not iterable"),
    ] {
        assert_eq!(get(target).status(), 500, "{target}");
        let log = support::logged(&format!("GET {target}:"));
        assert!(log.len() == 1 && log[0].contains(why), "{log:?}");
    }
}

#[test]
fn an_exception_in_the_first_piece_is_a_500_and_closes() {
    let (answer, events) = send_for_events(Ask::get("/closing_error_first"));
    assert_eq!((answer.status(), events.as_str()), (500, "closed"));
    let (answer, events) = send_for_events(Ask::get("/closing_unencodable"));
    assert_eq!((answer.status(), events.as_str()), (500, "closed"));
}

#[test]
fn an_exception_in_a_later_piece_breaks_the_answer_off_and_closes() {
    for target in ["/closing_error_later", "/str_yielded"] {
        let (answer, events) = send_for_events(Ask::get(target));
        assert_eq!((answer.status(), answer.text().as_str()), (200, "one"));
        assert!(answer.has_failed, "{target}");
        assert_eq!(events, "closed");
        assert!(support::logged(&format!("GET {target}:"))[0].contains("amidst its answer"));
    }
}

#[test]
fn an_exception_in_close_is_logged_and_the_answer_stays() {
    let (answer, events) = send_for_events(Ask::get("/close_raises"));
    assert_eq!(
        (answer.status(), answer.text().as_str(), events.as_str()),
        (200, "whole", "closed")
    );
    assert!(support::logged("GET /close_raises:")[0].contains("RuntimeError: cannot close"));
}

#[test]
fn a_path_without_an_application_is_a_404() {
    assert_eq!(get("/nowhere").status(), 404);
}

#[test]
fn what_a_client_sends_is_escaped_in_the_log() {
    get("/raise_error?\x1b[31m\n");
    assert_eq!(
        support::logged(r"GET /raise_error?\x1b[31m\n: the application raised").len(),
        1
    );
}
