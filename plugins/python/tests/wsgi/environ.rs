//! What the environ says.

use std::collections::HashMap;

use uwrs_api::{Body, BodyFraming, Peer, Version};

use crate::support::{self, Ask};
use crate::{get, send, settings};

/// The environ that an application sees, values that are no strings by their repr. A flat object of strings: its
/// quotes are enough to take it apart.
fn environ(ask: Ask) -> HashMap<String, String> {
    let text = send(ask).text();
    let mut strings = Vec::new();
    let mut characters = text.chars();
    while characters.by_ref().any(|character| character == '"') {
        let mut string = String::new();
        while let Some(character) = characters.next() {
            match character {
                '"' => break,
                '\\' => match characters.next() {
                    Some('u') => {
                        let digits: String = characters.by_ref().take(4).collect();
                        let point = u32::from_str_radix(&digits, 16).expect("four digits");
                        string.push(char::from_u32(point).expect("a character"));
                    }
                    Some(escaped) => string.push(escaped),
                    None => break,
                },
                other => string.push(other),
            }
        }
        strings.push(string);
    }
    strings
        .chunks_exact(2)
        .map(|pair| (pair[0].clone(), pair[1].clone()))
        .collect()
}

fn value<'a>(environ: &'a HashMap<String, String>, key: &str) -> Option<&'a str> {
    environ.get(key).map(String::as_str)
}

#[test]
fn the_request_line_and_the_addresses_are_there() {
    let environ = environ(Ask::new("PUT", "/environ/a%20b?c=d&e"));
    for (key, expected) in [
        ("REQUEST_METHOD", "PUT"),
        ("REQUEST_URI", "/environ/a%20b?c=d&e"),
        ("QUERY_STRING", "c=d&e"),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("SERVER_NAME", "server.example"),
        ("SERVER_PORT", "8000"),
        ("REMOTE_ADDR", "192.0.2.7"),
        ("REMOTE_PORT", "50123"),
    ] {
        assert_eq!(value(&environ, key), Some(expected), "{key}");
    }
}

#[test]
fn what_the_server_adds_is_there() {
    let environ = environ(Ask::get("/environ"));
    for (key, expected) in [
        ("wsgi.version", "(1, 0)"),
        ("wsgi.url_scheme", "http"),
        ("wsgi.multithread", "False"),
        ("wsgi.multiprocess", "False"),
        ("wsgi.run_once", "False"),
        ("wsgi.input_terminated", "True"),
        ("wsgi.file_wrapper", "<class 'uwrs.FileWrapper'>"),
    ] {
        assert_eq!(value(&environ, key), Some(expected), "{key}");
    }
    assert!(value(&environ, "uwsgi.version").is_some_and(|version| version.starts_with("b'")));
    assert!(value(&environ, "SERVER_SOFTWARE").is_some_and(|name| name.starts_with("uwrs/")));
    assert!(environ.contains_key("wsgi.input") && environ.contains_key("wsgi.errors"));
}

#[test]
fn it_is_a_dict_of_native_strings() {
    let ask = Ask::new("POST", "/environ_types?x")
        .field("x-some", "thing")
        .body(b"1")
        .variable("ANY", "thing");
    assert_eq!(send(ask).text(), "");
}

#[test]
fn header_fields_become_variables_and_two_have_names_of_their_own() {
    let ask = Ask::get("/environ")
        .field("host", "example.com")
        .field("x-forwarded-for", "203.0.113.9")
        .field("content-type", "text/html")
        .body(b"abc");
    let environ = environ(ask.field("content-length", "3"));
    assert_eq!(value(&environ, "HTTP_HOST"), Some("example.com"));
    assert_eq!(value(&environ, "HTTP_X_FORWARDED_FOR"), Some("203.0.113.9"));
    assert_eq!(value(&environ, "CONTENT_TYPE"), Some("text/html"));
    assert_eq!(value(&environ, "CONTENT_LENGTH"), Some("3"));
    assert!(!environ.contains_key("HTTP_CONTENT_TYPE") && !environ.contains_key("HTTP_CONTENT_LENGTH"));
}

#[test]
fn repeated_fields_are_one_list_and_cookies_have_their_own_mark() {
    let ask = Ask::get("/environ")
        .field("x-many", "one")
        .field("cookie", "a=1")
        .field("x-many", "one")
        .field("cookie", "b=2")
        .field("x-many", "three");
    let environ = environ(ask);
    assert_eq!(value(&environ, "HTTP_X_MANY"), Some("one, one, three"));
    assert_eq!(value(&environ, "HTTP_COOKIE"), Some("a=1; b=2"));
}

#[test]
fn bytes_are_decoded_as_latin_1() {
    let ask = Ask::get("/environ")
        .path("/environ/é".as_bytes())
        .field("x-raw", [b'c', 0xe9]);
    let environ = environ(ask);
    assert_eq!(value(&environ, "PATH_INFO"), Some("/Ã©"));
    assert_eq!(value(&environ, "HTTP_X_RAW"), Some("cé"));
}

#[test]
fn without_a_body_there_is_no_content_length_and_no_content_type() {
    let environ = environ(
        Ask::get("/environ")
            .field("content-type", "")
            .field("content-length", ""),
    );
    assert!(!environ.contains_key("CONTENT_LENGTH") && !environ.contains_key("CONTENT_TYPE"));
}

#[test]
fn an_announced_length_of_nothing_is_told() {
    let environ = environ(Ask::new("POST", "/environ").body(b""));
    assert_eq!(value(&environ, "CONTENT_LENGTH"), Some("0"));
}

#[test]
fn a_chunked_body_has_the_length_that_it_turned_out_to_have() {
    let mut ask = Ask::new("POST", "/environ").field("transfer-encoding", "chunked");
    ask.request.framing = BodyFraming::Chunked;
    ask.body = Body::Memory(vec![b'x'; 1234]);
    let environ = environ(ask);
    assert_eq!(value(&environ, "CONTENT_LENGTH"), Some("1234"));
    assert!(!environ.contains_key("HTTP_TRANSFER_ENCODING"));
}

#[test]
fn a_front_has_the_last_word_on_addresses_and_adds_variables() {
    let mut ask = Ask::get("/environ")
        .variable("DOCUMENT_ROOT", "/srv")
        .variable("X", "1")
        .variable("X", "2");
    ask.request.remote_addr = ask.request.text.push(b"203.0.113.1");
    ask.request.remote_port = ask.request.text.push(b"4711");
    ask.request.server_name = ask.request.text.push(b"front.example");
    ask.request.server_port = ask.request.text.push(b"443");
    let environ = environ(ask);
    for (key, expected) in [
        ("REMOTE_ADDR", "203.0.113.1"),
        ("REMOTE_PORT", "4711"),
        ("SERVER_NAME", "front.example"),
        ("SERVER_PORT", "443"),
        ("DOCUMENT_ROOT", "/srv"),
        ("X", "2"),
    ] {
        assert_eq!(value(&environ, key), Some(expected), "{key}");
    }
}

#[test]
fn the_ports_of_two_clients_are_not_mixed_up() {
    let mut ask = Ask::get("/environ");
    ask.request.remote_addr = ask.request.text.push(b"203.0.113.1");
    let environ = environ(ask);
    assert_eq!(value(&environ, "REMOTE_ADDR"), Some("203.0.113.1"));
    assert_eq!(value(&environ, "REMOTE_PORT"), Some(""));
}

#[test]
fn no_variable_takes_the_place_of_the_server_s_own() {
    let environ = environ(Ask::get("/environ").variable("wsgi.run_once", "spoilt"));
    assert_eq!(value(&environ, "wsgi.run_once"), Some("False"));
}

#[test]
fn https_is_what_the_listener_or_the_front_says_and_not_the_client() {
    let scheme = |ask| value(&environ(ask), "wsgi.url_scheme").map(str::to_owned);
    let https = Some("https".to_owned());
    assert_eq!(scheme(Ask::get("/environ").variable("HTTPS", "on")), https);
    assert_eq!(scheme(Ask::get("/environ").variable("HTTPS", "1")), https);
    assert_eq!(
        scheme(Ask::get("/environ").variable("UWSGI_SCHEME", "https")),
        https
    );
    let mut ask = Ask::get("/environ");
    ask.connection.tls = true;
    assert_eq!(scheme(ask), https);
    let mut ask = Ask::get("/environ");
    ask.request.scheme = ask.request.text.push(b"https");
    assert_eq!(scheme(ask), https);
    let http = Some("http".to_owned());
    assert_eq!(scheme(Ask::get("/environ").variable("HTTPS", "off")), http);
    assert_eq!(
        scheme(Ask::get("/environ").field("x-forwarded-proto", "https")),
        http
    );
}

#[test]
fn a_unix_socket_has_a_name_and_a_port_all_the_same() {
    let mut ask = Ask::get("/environ");
    ask.connection.peer = Peer::Unix;
    ask.connection.server_port = "".into();
    ask.connection.server_name = "".into();
    let environ = environ(ask);
    assert_eq!(value(&environ, "SERVER_NAME"), Some("localhost"));
    assert_eq!(value(&environ, "SERVER_PORT"), Some("80"));
    assert_eq!(value(&environ, "REMOTE_ADDR"), Some(""));
}

#[test]
fn an_ipv4_client_of_a_socket_for_both_families_has_its_own_address() {
    let mut ask = Ask::get("/environ");
    ask.connection.peer = Peer::Inet("[::ffff:192.0.2.9]:1".parse().expect("an address"));
    assert_eq!(value(&environ(ask), "REMOTE_ADDR"), Some("192.0.2.9"));
    let mut ask = Ask::get("/environ");
    ask.connection.peer = Peer::Inet("[2001:db8::1]:1".parse().expect("an address"));
    assert_eq!(value(&environ(ask), "REMOTE_ADDR"), Some("2001:db8::1"));
}

#[test]
fn the_version_is_the_client_s() {
    let environ = environ(Ask::get("/environ").version(Version::Http10));
    assert_eq!(value(&environ, "SERVER_PROTOCOL"), Some("HTTP/1.0"));
}

#[test]
fn the_mountpoint_is_script_name_and_the_rest_path_info() {
    let environ = environ(Ask::get("/environ/below?x=/environ"));
    assert_eq!(value(&environ, "SCRIPT_NAME"), Some("/environ"));
    assert_eq!(value(&environ, "PATH_INFO"), Some("/below"));
}

#[test]
fn what_one_request_does_to_it_the_next_one_does_not_see() {
    assert_eq!(get("/pollute").status(), 200);
    let environ = environ(Ask::get("/environ"));
    assert!(!environ.contains_key("left.behind"));
    assert_eq!(value(&environ, "wsgi.version"), Some("(1, 0)"));
    assert_eq!(value(&environ, "REQUEST_METHOD"), Some("GET"));
}

#[test]
fn what_the_last_request_said_is_not_said_of_the_next() {
    support::with_server(settings, |server| {
        let before = Ask::get("/environ").send(server).text();
        let mut other = Ask::new("PUT", "/environ/a?b=c").version(Version::Http10);
        other.connection.tls = true;
        other.request.remote_addr = other.request.text.push(b"203.0.113.1");
        other.request.server_name = other.request.text.push(b"front.example");
        other.request.server_port = other.request.text.push(b"443");
        assert_ne!(other.send(server).text(), before);
        assert_eq!(Ask::get("/environ").send(server).text(), before);
    });
}

#[test]
fn names_and_values_without_end_do_not_confuse_the_caches() {
    support::with_server(settings, |server| {
        for round in 0..3000 {
            let (name, long) = (format!("x-{round}"), "v".repeat(round % 200));
            let ask = Ask::get("/environ")
                .field(&name, &long)
                .field("x-short", format!("{round}"));
            let text = ask.send(server).text();
            assert!(
                text.contains(&format!("\"HTTP_X_{round}\": \"{long}\"")),
                "{text}"
            );
            assert!(text.contains(&format!("\"HTTP_X_SHORT\": \"{round}\"")), "{text}");
        }
    });
}

#[test]
fn errors_is_a_text_stream() {
    assert_eq!(get("/errors").text(), "written");
}
