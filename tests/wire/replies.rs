//! Answers, read back by a client of our own.

use std::io::Write;
use std::os::unix::fs::FileExt;

use uwrs::protocol::{HeadLimits, Http1, Http1Options, Uwsgi};
use uwrs_api::{
    BodyLength, Bytes, Event, FilePart, Inbound, Outbound, Protocol, ProtocolState, Refusal, ResponseHead,
};

use crate::client::{self, Answer};
use crate::drive::DATE;

/// A protocol and what it has sent.
struct Peer<P> {
    protocol: P,
    output: Outbound,
}

impl Peer<Http1> {
    fn http1() -> Self {
        Self::new(Http1::new(HeadLimits::default(), Http1Options::default()))
    }

    /// An HTTP/1 connection that has received `request`.
    fn asked(request: &str) -> Self {
        let mut peer = Self::http1();
        assert!(peer.receive(request.as_bytes()), "no request in {request:?}");
        peer
    }
}

impl Peer<Uwsgi> {
    /// A uwsgi connection that has received a request with these variables.
    fn asked(variables: &[(&str, &str)]) -> Self {
        let mut pairs = Vec::new();
        for text in variables.iter().flat_map(|(name, value)| [name, value]) {
            pairs.extend_from_slice(&(text.len() as u16).to_le_bytes());
            pairs.extend_from_slice(text.as_bytes());
        }
        let size = (pairs.len() as u16).to_le_bytes();
        let mut peer = Self::new(Uwsgi::new(HeadLimits::default()));
        assert!(peer.receive(&[&[0, size[0], size[1], 0], &pairs[..]].concat()));
        peer
    }
}

impl<P: Protocol> Peer<P> {
    fn new(protocol: P) -> Self {
        Self {
            protocol,
            output: Outbound::default(),
        }
    }

    /// Hands over bytes; is there a request among what came of them?
    fn receive(&mut self, bytes: &[u8]) -> bool {
        let mut input = Inbound::new(bytes);
        let mut requests = 0;
        loop {
            match self.protocol.receive(&mut input, &mut self.output) {
                Event::Starved => return requests > 0,
                Event::Request(_) => requests += 1,
                Event::Refused(refusal) => panic!("refused: {refusal:?}"),
                _ => {}
            }
        }
    }

    fn head(&mut self, status: u16, fields: &[(&str, &str)], length: BodyLength) {
        let mut head = ResponseHead::new(status);
        for (name, value) in fields {
            head.push(name.as_bytes(), value.as_bytes());
        }
        self.protocol.reply_head(&head, length, DATE, &mut self.output);
    }

    fn head_with_trailers(&mut self, fields: &[(&str, &str)]) {
        let mut head = ResponseHead::new(200);
        head.has_trailers = true;
        for (name, value) in fields {
            head.push(name.as_bytes(), value.as_bytes());
        }
        self.protocol
            .reply_head(&head, BodyLength::Unknown, DATE, &mut self.output);
    }

    fn trailers(&mut self, fields: &[(&str, &str)]) {
        let mut trailers = ResponseHead::default();
        for (name, value) in fields {
            trailers.push(name.as_bytes(), value.as_bytes());
        }
        self.protocol.reply_trailers(&trailers, &mut self.output);
    }

    fn data(&mut self, data: &[u8]) {
        self.protocol
            .reply_data(Bytes::copy_from_slice(data), &mut self.output);
    }

    /// `text`, in a file.
    fn file(&mut self, text: &str) {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(text.as_bytes()).expect("room for it");
        let part = FilePart::new(file, 0, text.len() as u64);
        self.protocol.reply_file(part, &mut self.output);
    }

    fn end(&mut self) -> Result<(), String> {
        self.protocol
            .reply_end(&mut self.output)
            .map_err(std::borrow::Cow::into_owned)
    }

    /// All that was sent so far.
    fn sent(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while !self.output.is_empty() {
            let before = bytes.len();
            match self.output.first_file() {
                Some(part) => {
                    bytes.resize(before + part.len() as usize, 0);
                    let read = part.file().read_exact_at(&mut bytes[before..], part.offset());
                    read.expect("the file has them");
                }
                None => bytes.extend(self.output.slices(usize::MAX).flatten()),
            }
            self.output.advance(bytes.len() - before);
        }
        bytes
    }

    /// The one answer that was sent.
    fn answer(&mut self, is_head: bool) -> Answer {
        let bytes = self.sent();
        let closed = self.protocol.state() == ProtocolState::Closed;
        let (answer, rest) = client::read(&bytes, is_head, closed)
            .unwrap_or_else(|why| panic!("{why}: {}", bytes.escape_ascii()));
        assert!(rest.is_empty(), "after the answer: {}", rest.escape_ascii());
        answer
    }
}

/// A simple answer to `request`, as a client reads it.
fn answer_to(request: &str, fields: &[(&str, &str)]) -> Answer {
    let mut peer = Peer::<Http1>::asked(request);
    peer.head(200, fields, BodyLength::Known(2));
    peer.data(b"ok");
    peer.end().expect("complete");
    peer.answer(request.starts_with("HEAD"))
}

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

#[test]
fn a_client_understands_every_answer() {
    let pieces_of_bodies: [&[&[u8]]; 5] = [
        &[],
        &[b"hello"],
        &[b"", b"hel", b"", b"lo", b""],
        &[&[b'x'; 20_000]],
        &[&[b'x'; 16_385], b"y", &[b'z'; 40_000]],
    ];
    for version in ["1.0", "1.1"] {
        for method in ["GET", "HEAD"] {
            for connection in ["", "close", "keep-alive"] {
                for status in [200, 204, 205, 304, 404, 599] {
                    for pieces in pieces_of_bodies {
                        for is_known in [true, false] {
                            for told in ["none", "right", "wrong", "twice", "again"] {
                                check_answer(version, method, connection, status, pieces, is_known, told);
                            }
                        }
                    }
                }
            }
        }
    }
}

fn check_answer(
    version: &str,
    method: &str,
    connection: &str,
    status: u16,
    pieces: &[&[u8]],
    is_known: bool,
    told: &str,
) {
    let case = format!(
        "{version} {method} {connection:?} {status} {} {is_known} {told}",
        pieces.len()
    );
    let connection_field = if connection.is_empty() {
        String::new()
    } else {
        format!("Connection: {connection}\r\n")
    };
    let request = format!("{method} / HTTP/{version}\r\nHost: x\r\n{connection_field}\r\n");
    let mut peer = Peer::<Http1>::asked(&request);
    let body = pieces.concat();
    let length = body.len().to_string();
    let fields: &[(&str, &str)] = match told {
        "right" => &[("content-length", &length)],
        "wrong" => &[("Content-Length", "5x")],
        "twice" => &[("Content-Length", &length), ("Content-Length", "12345")],
        "again" => &[("Content-Length", &length), ("content-length", &length)],
        _ => &[],
    };
    let known = BodyLength::Known(body.len() as u64);
    peer.head(status, fields, if is_known { known } else { BodyLength::Unknown });
    for piece in pieces {
        peer.data(piece);
    }
    peer.end().expect("complete");
    let answer = peer.answer(method == "HEAD");

    let is_bodiless = method == "HEAD" || matches!(status, 204 | 205 | 304);
    let expected: &[u8] = if is_bodiless { b"" } else { &body };
    assert!(answer.status == status && answer.body == expected, "{case}");
    assert_eq!(
        answer.all("date"),
        [std::str::from_utf8(DATE).expect("ASCII")],
        "{case}"
    );
    assert_eq!(answer.all("server"), ["uwrs"], "{case}");
    if status == 204 {
        assert!(!answer.has("content-length"), "{case}");
    }
    assert!(
        !(version == "1.0" || is_bodiless) || !answer.has("transfer-encoding"),
        "{case}"
    );

    let wants_more = if version == "1.0" {
        connection == "keep-alive"
    } else {
        connection != "close"
    };
    let ends_by_closing = version == "1.0" && !is_known && !matches!(told, "right" | "again") && !is_bodiless;
    let persistent = wants_more && !ends_by_closing;
    assert_eq!(answer.persistent, persistent, "{case}");
    if version == "1.0" {
        assert_eq!(answer.all("connection") == ["keep-alive"], persistent, "{case}");
    }
    assert_eq!(peer.receive(request.as_bytes()), persistent, "{case}");
    assert_eq!(
        peer.protocol.state() == ProtocolState::Closed,
        !persistent,
        "{case}"
    );
}

#[test]
fn what_the_application_says_of_date_and_server_holds() {
    let answer = answer_to(GET, &[("DATE", "today"), ("server", "mine")]);
    assert_eq!(
        (answer.all("date"), answer.all("server")),
        (vec!["today"], vec!["mine"])
    );
}

#[test]
fn fields_about_one_hop_are_left_out() {
    let answer = answer_to(
        GET,
        &[
            ("Keep-Alive", "timeout=5"),
            ("Transfer-Encoding", "chunked"),
            ("TE", "trailers"),
            ("Trailer", "X"),
            ("Upgrade", "h2c"),
            ("Proxy-Connection", "close"),
            ("Connection", "X-Kept, upgrade"),
            ("X-Kept", "1"),
            ("Set-Cookie", "a=b"),
            ("set-cookie", "c=d"),
        ],
    );
    let names: Vec<&str> = answer.fields.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "x-kept",
            "set-cookie",
            "set-cookie",
            "server",
            "date",
            "content-length"
        ]
    );
    assert_eq!(answer.all("set-cookie"), ["a=b", "c=d"]);
}

#[test]
fn an_application_may_close_the_connection() {
    let mut peer = Peer::<Http1>::asked(GET);
    peer.head(200, &[("connection", "foo, Close")], BodyLength::Known(0));
    peer.end().expect("complete");
    let answer = peer.answer(false);
    assert_eq!(answer.all("connection"), ["close"]);
    assert_eq!(peer.protocol.state(), ProtocolState::Closed);
}

#[test]
fn a_reason_is_the_applications_or_the_standard_one() {
    let mut peer = Peer::<Http1>::asked(GET);
    let mut head = ResponseHead::new(404);
    head.reason = head.text.push(b"Nowhere To Be Seen");
    peer.protocol
        .reply_head(&head, BodyLength::Known(0), DATE, &mut peer.output);
    peer.end().expect("complete");
    assert_eq!(peer.answer(false).line, "HTTP/1.1 404 Nowhere To Be Seen");
    assert!(peer.receive(GET.as_bytes()));
    peer.head(404, &[], BodyLength::Known(0));
    peer.end().expect("complete");
    assert_eq!(peer.answer(false).line, "HTTP/1.1 404 Not Found");
}

#[test]
fn an_answer_shorter_than_announced_closes_the_connection() {
    let mut peer = Peer::<Http1>::asked(GET);
    peer.head(200, &[("Content-Length", "10")], BodyLength::Known(5));
    peer.data(b"hello");
    assert_eq!(peer.protocol.reply_room(), 5);
    assert!(peer.end().unwrap_err().contains("5 bytes short"));
    assert_eq!(peer.protocol.state(), ProtocolState::Closed);
    assert!(peer.sent().ends_with(b"\r\n\r\nhello"));
    assert!(!peer.receive(GET.as_bytes()));
}

#[test]
fn an_answer_longer_than_announced_is_cut_and_closes_the_connection() {
    for pieces in [&[&b"hello"[..]][..], &[b"hel", b"lo"], &[b"he", b"l", b"lo"]] {
        let mut peer = Peer::<Http1>::asked(GET);
        peer.head(200, &[("Content-Length", "3")], BodyLength::Unknown);
        for piece in pieces {
            peer.data(piece);
        }
        assert!(!peer.protocol.wants_reply_data());
        assert!(peer.end().unwrap_err().contains("longer"));
        assert_eq!(peer.answer(false).body, b"hel");
        assert_eq!(peer.protocol.state(), ProtocolState::Closed);
    }
}

#[test]
fn no_more_data_is_wanted_than_can_be_sent() {
    let wants = |request: &str, status, fields: &[(&str, &str)]| {
        let mut peer = Peer::<Http1>::asked(request);
        assert!(!peer.protocol.wants_reply_data());
        peer.head(status, fields, BodyLength::Unknown);
        peer.protocol.wants_reply_data()
    };
    assert!(wants(GET, 200, &[]));
    assert!(wants(GET, 200, &[("Content-Length", "1")]));
    assert!(!wants(GET, 200, &[("Content-Length", "0")]));
    assert!(!wants(GET, 204, &[]));
    assert!(!wants(GET, 304, &[]));
    assert!(!wants("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", 200, &[]));
}

#[test]
fn an_answer_to_head_keeps_its_length() {
    let head = "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_eq!(
        answer_to(head, &[("Content-Length", "1000")]).all("content-length"),
        ["1000"]
    );
    assert!(!answer_to(head, &[]).has("content-length"));
}

#[test]
fn an_answer_to_head_may_be_shorter_than_its_length() {
    let mut peer = Peer::<Http1>::asked("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
    peer.head(200, &[("Content-Length", "1000")], BodyLength::Known(0));
    peer.end().expect("nothing was to be sent");
    assert_eq!(peer.protocol.state(), ProtocolState::Idle);
}

#[test]
fn an_answer_before_the_bodys_end_closes_the_connection() {
    let mut peer = Peer::<Http1>::asked("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhe");
    peer.head(200, &[], BodyLength::Known(0));
    assert_eq!(peer.protocol.state(), ProtocolState::Body);
    peer.receive(b"llo");
    peer.end().expect("complete");
    assert_eq!(peer.answer(false).all("connection"), ["close"]);
    assert_eq!(peer.protocol.state(), ProtocolState::Closed);
    assert!(!peer.receive(GET.as_bytes()));
}

#[test]
fn nothing_of_the_next_request_is_read_while_an_answer_is_due() {
    let mut peer = Peer::<Http1>::asked(GET);
    let mut input = Inbound::new(GET.as_bytes());
    assert!(matches!(
        peer.protocol.receive(&mut input, &mut peer.output),
        Event::Starved
    ));
    assert_eq!(
        (input.consumed(), peer.protocol.state()),
        (0, ProtocolState::Handling)
    );
    peer.head(200, &[], BodyLength::Unknown);
    assert!(!peer.receive(GET.as_bytes()));
    peer.end().expect("complete");
    assert!(peer.receive(GET.as_bytes()));
}

#[test]
fn a_draining_connection_says_so_with_its_next_answer() {
    let mut peer = Peer::http1();
    peer.protocol.drain();
    assert_eq!(peer.protocol.state(), ProtocolState::Idle);
    assert!(peer.receive(GET.as_bytes()));
    peer.head(200, &[], BodyLength::Known(0));
    peer.end().expect("complete");
    assert_eq!(peer.answer(false).all("connection"), ["close"]);
    assert_eq!(peer.protocol.state(), ProtocolState::Closed);
}

#[test]
fn a_connection_that_drains_after_its_head_was_sent_answers_one_more_request() {
    let mut peer = Peer::<Http1>::asked(GET);
    peer.head(200, &[], BodyLength::Known(0));
    peer.protocol.drain();
    peer.end().expect("complete");
    assert!(peer.answer(false).persistent);
    assert!(peer.receive(GET.as_bytes()));
    peer.head(200, &[], BodyLength::Known(0));
    peer.end().expect("complete");
    assert!(!peer.answer(false).persistent);
}

#[test]
fn without_keep_alive_every_answer_closes() {
    let options = Http1Options { keep_alive: false };
    let mut peer = Peer::new(Http1::new(HeadLimits::default(), options));
    assert!(peer.receive(GET.as_bytes()));
    peer.head(200, &[], BodyLength::Known(0));
    peer.end().expect("complete");
    assert!(!peer.answer(false).persistent);
}

#[test]
fn an_interim_answer_goes_to_those_who_know_them() {
    let mut hints = ResponseHead::new(103);
    hints.push(b"Link", b"</a.css>; rel=preload");
    let interim = |request: &str, head: &ResponseHead| {
        let mut peer = Peer::<Http1>::asked(request);
        peer.protocol.reply_interim(head, &mut peer.output);
        peer.sent()
    };
    assert_eq!(
        interim(GET, &hints),
        b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"
    );
    assert_eq!(interim("GET / HTTP/1.0\r\n\r\n", &hints), b"");
    assert_eq!(interim(GET, &ResponseHead::new(101)), b"");
    assert_eq!(interim(GET, &ResponseHead::new(200)), b"");
    assert_eq!(interim(GET, &ResponseHead::new(100)), b"");
}

#[test]
fn a_body_is_invited_once_and_only_while_none_of_it_has_come() {
    let request = "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    let mut peer = Peer::<Http1>::asked(request);
    peer.protocol.invite_body(&mut peer.output);
    peer.protocol.invite_body(&mut peer.output);
    assert_eq!(peer.sent(), b"HTTP/1.1 100 Continue\r\n\r\n");

    let mut peer = Peer::<Http1>::asked(request);
    peer.receive(b"h");
    peer.protocol.invite_body(&mut peer.output);
    assert_eq!(peer.sent(), b"");

    let mut peer = Peer::<Http1>::asked(request);
    peer.head(200, &[], BodyLength::Known(0));
    let _ = peer.sent();
    peer.protocol.invite_body(&mut peer.output);
    assert_eq!(peer.sent(), b"");
}

#[test]
fn a_refusal_of_the_servers_own_is_answered_at_any_time_but_in_the_middle_of_an_answer() {
    let timeout = Refusal::new(408, "the head took too long");
    let refuse = |peer: &mut Peer<Http1>| {
        peer.protocol.refuse(&timeout, DATE, &mut peer.output);
        peer.protocol.refuse(&timeout, DATE, &mut peer.output);
        assert_eq!(peer.protocol.state(), ProtocolState::Closed);
        peer.sent()
    };
    for request in [
        "",
        "GE",
        GET,
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhe",
    ] {
        let mut peer = Peer::http1();
        peer.receive(request.as_bytes());
        let sent = refuse(&mut peer);
        let (answer, rest) = client::read(&sent, false, true).expect("well-formed");
        assert_eq!(answer.line, "HTTP/1.1 408 Request Timeout");
        assert_eq!(answer.body, b"408 Request Timeout: the head took too long\n");
        assert_eq!(answer.all("connection"), ["close"]);
        assert!(answer.has("date") && rest.is_empty());
    }
    let mut peer = Peer::<Http1>::asked(GET);
    peer.head(200, &[], BodyLength::Unknown);
    peer.data(b"hel");
    let _ = peer.sent();
    assert_eq!(refuse(&mut peer), b"");
    peer.data(b"lo");
    assert!(peer.end().is_err());
    assert_eq!(peer.sent(), b"");
}

#[test]
fn an_answer_that_ends_before_its_head_is_an_error() {
    let mut peer = Peer::<Http1>::asked(GET);
    assert!(peer.end().is_err());
    assert_eq!(peer.protocol.state(), ProtocolState::Closed);
}

/// The answer to a uwsgi request, as bytes.
fn uwsgi_answer(
    variables: &[(&str, &str)],
    status: u16,
    fields: &[(&str, &str)],
    length: BodyLength,
) -> String {
    let mut peer = Peer::<Uwsgi>::asked(variables);
    peer.head(status, fields, length);
    peer.data(b"hel");
    peer.data(b"lo");
    peer.end().expect("complete");
    assert_eq!(peer.protocol.state(), ProtocolState::Closed);
    String::from_utf8(peer.sent()).expect("text")
}

const UWSGI_GET: &[(&str, &str)] = &[("REQUEST_METHOD", "GET"), ("REQUEST_URI", "/")];

#[test]
fn a_uwsgi_answer_ends_with_the_connection_and_is_never_chunked() {
    assert_eq!(
        uwsgi_answer(UWSGI_GET, 200, &[("X", "y")], BodyLength::Unknown),
        "HTTP/1.1 200 OK\r\nX: y\r\n\r\nhello"
    );
    assert_eq!(
        uwsgi_answer(UWSGI_GET, 200, &[], BodyLength::Known(5)),
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    );
    assert_eq!(
        uwsgi_answer(
            UWSGI_GET,
            200,
            &[
                ("Connection", "keep-alive"),
                ("Transfer-Encoding", "chunked"),
                ("content-length", "5")
            ],
            BodyLength::Unknown
        ),
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    );
}

#[test]
fn a_uwsgi_answer_begins_with_the_protocol_of_its_request() {
    for (protocol, line) in [
        ("HTTP/1.0", "HTTP/1.0 404 Not Found"),
        ("HTTP/2.0", "HTTP/2.0 404 Not Found"),
        ("rubbish", "HTTP/1.1 404 Not Found"),
    ] {
        let variables = [UWSGI_GET, &[("SERVER_PROTOCOL", protocol)]].concat();
        let answer = uwsgi_answer(&variables, 404, &[], BodyLength::Unknown);
        assert_eq!(answer.lines().next(), Some(line));
    }
}

#[test]
fn a_uwsgi_answer_has_no_body_where_http_has_none() {
    let head = [("REQUEST_METHOD", "HEAD")];
    assert_eq!(
        uwsgi_answer(&head, 200, &[("Content-Length", "9")], BodyLength::Unknown),
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"
    );
    assert_eq!(
        uwsgi_answer(UWSGI_GET, 204, &[], BodyLength::Known(5)),
        "HTTP/1.1 204 No Content\r\n\r\n"
    );
    assert_eq!(
        uwsgi_answer(UWSGI_GET, 304, &[], BodyLength::Known(5)),
        "HTTP/1.1 304 Not Modified\r\n\r\n"
    );
}

#[test]
fn a_uwsgi_answer_keeps_to_its_length() {
    let mut peer = Peer::<Uwsgi>::asked(UWSGI_GET);
    peer.head(200, &[("Content-Length", "10")], BodyLength::Unknown);
    peer.data(b"hello");
    assert!(peer.end().unwrap_err().contains("short"));

    let mut peer = Peer::<Uwsgi>::asked(UWSGI_GET);
    peer.head(200, &[("Content-Length", "3")], BodyLength::Unknown);
    peer.data(b"hello");
    assert!(peer.end().unwrap_err().contains("longer"));
    assert!(peer.sent().ends_with(b"\r\n\r\nhel"));
}

#[test]
fn a_uwsgi_refusal_of_the_servers_own_is_answered() {
    let mut peer = Peer::<Uwsgi>::new(Uwsgi::new(HeadLimits::default()));
    let refusal = Refusal::new(408, "the packet took too long");
    peer.protocol.refuse(&refusal, DATE, &mut peer.output);
    let answer = peer.answer(false);
    assert_eq!(answer.line, "HTTP/1.1 408 Request Timeout");
    assert_eq!(answer.body, b"408 Request Timeout: the packet took too long\n");
}

#[test]
fn what_is_in_a_file_is_framed_like_any_other_part() {
    for (request, fields, length, expected) in [
        (
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            &[][..],
            BodyLength::Known(11),
            "one, a file",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            &[],
            BodyLength::Unknown,
            "one, a file",
        ),
        ("GET / HTTP/1.0\r\n\r\n", &[], BodyLength::Unknown, "one, a file"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            &[("Content-Length", "11")],
            BodyLength::Unknown,
            "one, a file",
        ),
        (
            "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
            &[],
            BodyLength::Known(11),
            "",
        ),
    ] {
        let mut peer = Peer::<Http1>::asked(request);
        peer.head(200, fields, length);
        peer.data(b"one, ");
        peer.file("");
        peer.file("a file");
        peer.end().expect("complete");
        let answer = peer.answer(request.starts_with("HEAD"));
        assert_eq!(answer.body, expected.as_bytes(), "{request}");
    }
}

#[test]
fn a_file_keeps_to_the_length_of_its_answer() {
    let mut peer = Peer::<Http1>::asked("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    peer.head(200, &[("Content-Length", "3")], BodyLength::Unknown);
    peer.file("four");
    assert!(!peer.protocol.wants_reply_data());
    assert!(peer.end().unwrap_err().contains("longer"));
    assert!(peer.sent().ends_with(b"\r\n\r\nfou"));

    let mut peer = Peer::<Uwsgi>::asked(UWSGI_GET);
    peer.head(200, &[("Content-Length", "5")], BodyLength::Unknown);
    peer.file("four");
    assert!(peer.end().unwrap_err().contains("short"));
    assert!(peer.sent().ends_with(b"\r\n\r\nfour"));

    let mut peer = Peer::<Http1>::asked("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    peer.head(304, &[], BodyLength::Known(4));
    peer.file("four");
    peer.end().expect("complete");
    assert!(peer.sent().ends_with(b"\r\n\r\n"));
}

#[test]
fn fields_follow_the_last_chunk_and_what_means_something_in_a_head_alone_is_left_out() {
    let mut peer = Peer::<Http1>::asked(GET);
    peer.head_with_trailers(&[("Trailer", "Digest"), ("Content-Length", "5")]);
    peer.data(b"hello");
    peer.trailers(&[
        ("Digest", "abc"),
        ("Content-Length", "1"),
        ("Transfer-Encoding", "gzip"),
        ("X-Own", ""),
    ]);
    peer.data(b"late");
    peer.end().expect("complete");
    let sent = String::from_utf8(peer.sent()).expect("ASCII");
    let (head, body) = sent.split_once("\r\n\r\n").expect("a head");
    assert!(head.contains("\r\nTrailer: Digest\r\n"), "{head}");
    assert!(head.contains("\r\nTransfer-Encoding: chunked"), "{head}");
    assert!(!head.contains("Content-Length"), "{head}");
    assert_eq!(body, "5\r\nhello\r\n0\r\nDigest: abc\r\nX-Own: \r\n\r\n");
    assert!(peer.receive(GET.as_bytes()), "the connection goes on");
}

#[test]
fn without_chunks_no_field_follows() {
    for request in [
        "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    ] {
        let mut peer = Peer::<Http1>::asked(request);
        peer.head_with_trailers(&[]);
        peer.data(b"hello");
        peer.trailers(&[("Digest", "abc")]);
        peer.end().expect("complete");
        let sent = String::from_utf8(peer.sent()).expect("ASCII");
        assert!(!sent.contains("Digest"), "{sent}");
    }
    let mut peer = Peer::<Http1>::asked(GET);
    peer.head(200, &[("Trailer", "Digest")], BodyLength::Unknown);
    peer.data(b"hello");
    peer.trailers(&[("Digest", "abc")]);
    peer.end().expect("complete");
    let sent = String::from_utf8(peer.sent()).expect("ASCII");
    assert!(!sent.contains("Digest"), "which nobody announced: {sent}");
    assert!(sent.ends_with("5\r\nhello\r\n0\r\n\r\n"), "{sent}");
}

#[test]
fn a_request_says_whether_its_client_takes_fields_behind_the_answer() {
    let takes = |head: &str| {
        let request = format!("GET / {head}\r\n\r\n");
        let mut protocol = Http1::new(HeadLimits::default(), Http1Options::default());
        let event = protocol.receive(&mut Inbound::new(request.as_bytes()), &mut Outbound::default());
        match event {
            Event::Request(request) => request.takes_trailers,
            other => panic!("{other:?}"),
        }
    };
    assert!(takes("HTTP/1.1\r\nHost: x\r\nTE: trailers"));
    assert!(takes(
        "HTTP/1.1\r\nHost: x\r\nTE: gzip;q=0.5 , Trailers\r\nTE: deflate"
    ));
    assert!(!takes("HTTP/1.1\r\nHost: x\r\nTE: gzip"));
    assert!(!takes("HTTP/1.1\r\nHost: x\r\nTE: trailersandmore"));
    assert!(!takes("HTTP/1.0\r\nTE: trailers"));
}
