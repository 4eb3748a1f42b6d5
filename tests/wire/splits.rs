//! However bytes are cut, the same happens: the same events, the same bytes sent, the same state in the end.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use uwrs::protocol::{HeadLimits, Http1, Http1Options, Uwsgi};

use crate::drive::{Run, drive};

const LIMITS: HeadLimits = HeadLimits {
    head_bytes: 600,
    fields: 8,
    body_bytes: Some(300),
};

/// Runs `bytes` at once, one by one, and cut at `cuts`.
fn assert_cuts_do_not_matter(bytes: &[u8], cuts: &[Index], run: impl Fn(Vec<&[u8]>) -> Run) {
    let whole = run(vec![bytes]);
    assert_eq!(whole, run(bytes.chunks(1).collect()), "byte by byte");
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    let pieces = places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
    assert_eq!(whole, run(pieces), "cut at {places:?}");
}

/// Bytes of `parts` one after another, then some of them changed.
fn spoilt(parts: impl Strategy<Value = Vec<Vec<u8>>>) -> impl Strategy<Value = Vec<u8>> {
    let changes = vec(
        (any::<Index>(), select(&b"\r\n\0 :;,\x16\xff\t0aZ_%\""[..])),
        0..3,
    );
    (parts, changes).prop_map(|(parts, changes)| {
        let mut bytes = parts.concat();
        for (place, byte) in changes {
            if !bytes.is_empty() {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
        }
        bytes
    })
}

fn http1_line() -> impl Strategy<Value = Vec<u8>> {
    select(&[
        "GET / HTTP/1.1\r\n",
        "POST /a%20b?c HTTP/1.1\r\n",
        "HEAD http://h/p HTTP/1.1\r\n",
        "GET / HTTP/1.0\r\n",
        "OPTIONS * HTTP/1.1\r\n",
        "\r\n",
        "Host: x\r\n",
        "Host: x\r\n",
        "Host: x\r\n\r\n",
        "X-Foo: bar\r\n",
        "X_Foo: bar\r\n",
        "Content-Length: 5\r\n",
        "Content-Length: 5\r\n\r\nhello",
        "Content-Length: 301\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "Expect: 100-continue\r\n",
        "Connection: close\r\n",
        "Connection: keep-alive\r\n",
        "5;a=\"b\";c\r\nhello\r\n",
        "5\r\nhello\r\n",
        "0\r\n",
        "hello",
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;a\r\n-\r\n0\r\nX: y\r\n\r\n",
        "X: 0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\r\n",
        "\x16\x03\x01",
    ][..])
    .prop_map(|line| line.as_bytes().to_vec())
}

fn uwsgi_packet() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let variable = select(
        &[
            ("REQUEST_METHOD", "POST"),
            ("REQUEST_METHOD", "GET"),
            ("REQUEST_URI", "/a%20b?c"),
            ("PATH_INFO", "/a b"),
            ("SCRIPT_NAME", "/a"),
            ("CONTENT_LENGTH", "5"),
            ("CONTENT_LENGTH", ""),
            ("CONTENT_TYPE", "text/plain"),
            ("HTTP_HOST", "x"),
            ("HTTP_COOKIE", "a=b"),
            ("HTTP_TRANSFER_ENCODING", "chunked"),
            ("HTTPS", "on"),
            ("DOCUMENT_ROOT", "/srv"),
        ][..],
    );
    let modifier = select(&[0_u8, 0, 0, 30, 100, 5, b'G'][..]);
    (
        modifier,
        vec(variable, 0..8),
        select(&["", "hello", "hello, world"][..]),
    )
        .prop_map(|(modifier, variables, body)| {
            let mut pairs = b"\x0e\0REQUEST_METHOD\x03\0GET".to_vec();
            for text in variables.iter().flat_map(|(name, value)| [name, value]) {
                pairs.extend_from_slice(&(text.len() as u16).to_le_bytes());
                pairs.extend_from_slice(text.as_bytes());
            }
            let size = (pairs.len() as u16).to_le_bytes();
            vec![
                vec![modifier, size[0], size[1], 0],
                pairs,
                body.as_bytes().to_vec(),
            ]
        })
}

fn http1(pieces: Vec<&[u8]>) -> Run {
    drive(Http1::new(LIMITS, Http1Options::default()), pieces)
}

fn uwsgi(pieces: Vec<&[u8]>) -> Run {
    drive(Uwsgi::new(LIMITS), pieces)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_split_of_http1_lines_gives_the_same_events(
        bytes in spoilt(vec(http1_line(), 0..12)),
        cuts in vec(any::<Index>(), 0..6),
    ) {
        assert_cuts_do_not_matter(&bytes, &cuts, http1);
    }

    #[test]
    fn every_split_of_good_http1_requests_gives_the_same_events(
        bytes in vec(select(&[
            "GET /a?b HTTP/1.1\r\nHost: x\r\nX-Foo: bar\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
            "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nX: y\r\n\r\n",
            "GET http://h HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        ][..]), 0..6),
        cuts in vec(any::<Index>(), 0..6),
    ) {
        assert_cuts_do_not_matter(bytes.concat().as_bytes(), &cuts, http1);
        let run = http1(vec![bytes.concat().as_bytes()]);
        let requests = run.seen.iter().filter(|seen| matches!(seen, crate::drive::Seen::Request(_)));
        prop_assert_eq!(requests.count(), bytes.len());
    }

    #[test]
    fn every_split_of_a_uwsgi_packet_gives_the_same_events(
        bytes in spoilt(uwsgi_packet()),
        cuts in vec(any::<Index>(), 0..6),
    ) {
        assert_cuts_do_not_matter(&bytes, &cuts, uwsgi);
    }

    #[test]
    fn every_split_of_rubbish_gives_the_same_events(
        bytes in vec(any::<u8>(), 0..80),
        cuts in vec(any::<Index>(), 0..6),
    ) {
        assert_cuts_do_not_matter(&bytes, &cuts, http1);
        assert_cuts_do_not_matter(&bytes, &cuts, uwsgi);
    }
}
