//! PEP 3333 over real connections: both protocols, one thread and several. What a gateway does by itself is tested in
//! `plugins/python/tests/wsgi`.

use crate::support::{Connection, HTTP, Running, Server, TOOLBOX, packet, soon, venv};

/// A server for both protocols with the toolbox, after whose end these lines come.
fn serving(lines: &str, threads: usize) -> Running {
    let ini = format!("{HTTP}socket = %duwsgi.sock\nthreads = {threads}\n");
    let app = format!("{TOOLBOX}\n{lines}");
    Server::new().app(&app).ini(&ini).start()
}

/// Asks over a connection of its own, by HTTP or by uwsgi.
fn ask(server: &Running, protocol: &str, method: &str, target: &str, body: &[u8]) -> Connection {
    let length = body.len().to_string();
    let mut connection;
    if protocol == "http" {
        connection = server.connect();
        connection.send(format!(
            "{method} {target} HTTP/1.1\r\nHost: x\r\nContent-Type: text/x\r\nContent-Length: {length}\r\n\r\n"
        ));
    } else {
        connection = server.connect_unix("uwsgi.sock");
        let more = [("CONTENT_TYPE", "text/x"), ("CONTENT_LENGTH", &length)];
        connection.send(packet::request(method, target, &more));
    }
    connection.send(body);
    connection
}

/// Every protocol with every number of threads.
fn everywhere(lines: &str, check: impl Fn(&Running, &str)) {
    for threads in [1, 3] {
        let server = serving(lines, threads);
        for protocol in ["http", "uwsgi"] {
            check(&server, protocol);
        }
    }
}

#[test]
fn the_validator_of_the_standard_library_has_nothing_to_say() {
    let lines = "\
from wsgiref.validate import validator

def file(environ, start_response, rest):
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return environ['wsgi.file_wrapper'](open(__file__, 'rb'))

def lines(environ, start_response, rest):
    stream = environ['wsgi.input']
    found = [stream.readline(), stream.readlines(1), stream.read(3), list(stream)]
    return answer(start_response, repr(found).encode())

def failing(environ, start_response, rest):
    start_response('200 OK', [('Content-Type', 'text/plain')])
    try:
        raise ValueError
    except ValueError:
        start_response('503 Later', [('Content-Type', 'text/plain')], sys.exc_info())
    return [b'sorry']

TOOLS.update(file=file, lines=lines, failing=failing)
application = validator(application)
";
    everywhere(lines, |server, protocol| {
        for (method, target, body, status, expected) in [
            ("GET", "/", "", 200, Some("hello\n")),
            ("GET", "/environ/a%20b?c=%20d", "", 200, None),
            ("GET", "/stream/5/10", "", 200, Some(&"s".repeat(50)[..])),
            ("GET", "/write", "", 200, Some("written, returned\n")),
            ("GET", "/headers?X-A=1&X-A=2", "", 200, Some("headers\n")),
            ("GET", "/failing", "", 503, Some("sorry")),
            ("GET", "/nowhere", "", 404, None),
            ("GET", "/file", "", 200, None),
            ("HEAD", "/", "", 200, None),
            ("POST", "/digest", "body", 200, None),
            (
                "POST",
                "/lines",
                "one\ntwo\nthree\nfour\n",
                200,
                Some(r"[b'one\n', [b'two\n'], b'thr', [b'ee\n', b'four\n']]"),
            ),
            ("PUT", "/ignore-body", "body", 200, Some("not read\n")),
            ("OPTIONS", "/", "", 200, Some("hello\n")),
        ] {
            let mut connection = ask(server, protocol, method, target, body.as_bytes());
            if method == "HEAD" {
                assert_eq!(connection.head().unwrap().status, status);
                continue;
            }
            let response = connection.response();
            assert_eq!(response.status, status, "{protocol} {target}\n{}", server.log());
            if let Some(expected) = expected {
                assert_eq!(response.text(), expected, "{protocol} {target}");
            }
        }
        let log = server.log();
        for complaint in ["Assertion", "without being closed", "WSGIWarning", "Traceback"] {
            assert!(!log.contains(complaint), "{log}");
        }
    });
}

#[test]
fn close_is_called_once_however_an_answer_ends() {
    let lines = "\
class Told:
    def __init__(self, pieces):
        self.pieces = iter(pieces)
    def __iter__(self):
        return self
    def __next__(self):
        piece = next(self.pieces)
        if isinstance(piece, Exception):
            raise piece
        return piece
    def close(self):
        print('closed', flush=True)

def told(environ, start_response, rest):
    pieces = {
        'whole': [b'one', b'two'],
        'none': [],
        'raises': [ValueError('at once')],
        'raises-late': [b'one', ValueError('late')],
        'text': [b'one', 'text'],
        'endless': (b'x' * 65536 for _ in iter(int, 1)),
    }[rest]
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return Told(pieces)

TOOLS['told'] = told
";
    everywhere(lines, |server, protocol| {
        for kind in ["whole", "none", "raises", "raises-late", "text", "endless"] {
            let before = server.count_log("closed");
            let mut connection = ask(server, protocol, "GET", &format!("/told/{kind}"), b"");
            let expected = if kind == "raises" { 500 } else { 200 };
            assert_eq!(connection.head().unwrap().status, expected, "{protocol} {kind}");
            if kind != "endless" {
                connection.half_close();
                connection.rest_until_cut();
            }
            drop(connection);
            soon("it is closed", || server.count_log("closed") > before);
            assert_eq!(
                ask(server, protocol, "GET", "/", b"").response().text(),
                "hello\n"
            );
            assert_eq!(server.count_log("closed"), before + 1, "{protocol} {kind}");
        }
    });
}

#[test]
fn what_exceeds_a_content_length_does_not_reach_the_next_answer() {
    let lines = "\
def long(environ, start_response, rest):
    start_response('200 OK', [('Content-Type', 'text/plain'), ('Content-Length', '4')])
    return {'list': [b'long answer'], 'pieces': iter([b'lo', b'ng ', b'answer'])}[rest]
TOOLS['long'] = long
";
    everywhere(lines, |server, protocol| {
        for kind in ["list", "pieces"] {
            let mut connection = ask(server, protocol, "GET", &format!("/long/{kind}"), b"");
            assert_eq!(connection.response().text(), "long");
            // The next request is answered on a connection that is in step, or not at all.
            let next = connection
                .try_send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                .and_then(|()| connection.try_response());
            if let Ok(next) = next {
                assert_eq!((next.status, next.text()), (200, "hello\n"), "{protocol} {kind}");
            }
        }
    });
}

#[test]
fn what_falls_short_of_a_content_length_leaves_no_client_waiting() {
    everywhere("", |server, protocol| {
        let mut connection = ask(server, protocol, "GET", "/short", b"");
        assert_eq!(connection.head().unwrap().status, 200);
        assert_eq!(connection.rest_until_cut(), b"short");
        server.wait_for_log(&["/short", "bytes short of its Content-Length"]);
    });
}

#[test]
fn a_body_that_is_not_read_is_not_the_next_request() {
    for threads in [1, 3] {
        let server = serving("", threads);
        let mut connection = server.connect();
        for size in [1, 100_000, 3_000_000] {
            let body = b"GET /fail HTTP/1.1\r\n\r\n".repeat(size / 20 + 1);
            assert_eq!(connection.post("/ignore-body", &body).text(), "not read\n");
            assert_eq!(connection.get("/").text(), "hello\n");
        }
    }
}

#[test]
fn bytes_are_latin_1_both_ways() {
    let lines = "\
def latin(environ, start_response, rest):
    assert rest == '\\xe9', ascii(rest)
    assert environ['HTTP_X_IN'] == 'caf\\xe9', ascii(environ['HTTP_X_IN'])
    start_response('200 Tr\\xe8s bien', [('Content-Type', 'text/plain'), ('X-Out', '\\xfcber')])
    return [b'fine']
TOOLS['latin'] = latin
";
    let server = serving(lines, 1);
    let mut http = server.connect();
    http.send(b"GET /latin/%e9 HTTP/1.1\r\nHost: x\r\nX-In: caf\xe9\r\n\r\n");
    let response = http.response();
    assert_eq!(
        (
            response.reason.as_str(),
            response.header("X-Out"),
            response.text()
        ),
        ("Tr\u{e8}s bien", Some("\u{fc}ber"), "fine"),
        "{}",
        server.log()
    );
}

#[test]
fn every_byte_of_a_request_is_a_character_of_the_environ() {
    // PEP 3333, "Unicode Issues": strings whose characters are the bytes that came, decoded as latin-1.
    let lines = "\
def bytes_of(environ, start_response, rest):
    names = 'PATH_INFO', 'QUERY_STRING', 'REQUEST_URI', 'HTTP_X_IN', 'SCRIPT_NAME'
    text = ' '.join(environ.get(name, '').encode('latin-1').hex() for name in names)
    return answer(start_response, text.encode())
TOOLS['bytes'] = bytes_of
";
    let high: Vec<u8> = (0x80..=0xff).collect();
    let escaped: String = high.iter().map(|byte| format!("%{byte:02X}")).collect();
    let path = [b"/bytes/", &high[..]].concat();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    for threads in [1, 3] {
        let server = serving(lines, threads);
        let target = format!("/bytes/{escaped}?a={escaped}");
        let mut http = server.connect();
        http.send(
            [
                b"GET ",
                target.as_bytes(),
                b" HTTP/1.1\r\nHost: x\r\nX-In: ",
                &high,
                b"\r\n\r\n",
            ]
            .concat(),
        );
        // The query is the application's to decode, and a target has no bytes that would have to be escaped.
        let query = format!("a={escaped}");
        assert_eq!(
            http.response().text(),
            [&path, query.as_bytes(), target.as_bytes(), &high, b""]
                .map(hex)
                .join(" "),
            "{}",
            server.log()
        );

        let query = [b"a=", &high[..]].concat();
        let target = [&path[..], b"?", &query].concat();
        let variables: [(&[u8], &[u8]); 7] = [
            (b"REQUEST_METHOD", b"GET"),
            (b"REQUEST_URI", &target),
            (b"PATH_INFO", &path),
            (b"QUERY_STRING", &query),
            (b"SCRIPT_NAME", b"/caf\xe9"),
            (b"HTTP_HOST", b"x"),
            (b"HTTP_X_IN", &high),
        ];
        let mut uwsgi = server.connect_unix("uwsgi.sock");
        uwsgi.send(packet::packet(0, &variables));
        assert_eq!(
            uwsgi.response().text(),
            [&path, &query, &target, &high, &b"/caf\xe9"[..]]
                .map(hex)
                .join(" "),
            "{}",
            server.log()
        );
    }
}

#[test]
fn statuses_that_are_odd_go_through_and_broken_ones_are_500() {
    everywhere("", |server, protocol| {
        for (line, status) in [
            ("299 Odd", 299),
            ("999 Odd", 999),
            ("418 I'm a teapot", 418),
            ("204 No Content", 204),
            ("304 Not Modified", 304),
            ("200", 200),
            ("1000 Long", 500),
            ("99 Short", 500),
            ("100 Continue", 500),
            ("OK", 500),
            ("200 OK\r\nX-Injected: 1", 500),
        ] {
            let escaped: String = line.bytes().map(|byte| format!("%{byte:02x}")).collect();
            let target = match protocol {
                "http" => format!("/status/{escaped}"),
                _ => format!("/status/{line}"),
            };
            // A target with a line break is refused before that.
            if protocol == "uwsgi" && line.contains('\n') {
                continue;
            }
            let response = ask(server, protocol, "GET", &target, b"").response();
            assert_eq!(response.status, status, "{protocol} {line:?}");
            assert_eq!(response.header("X-Injected"), None);
        }
    });
}

/// Writes, and waits for a file before it goes on.
const WRITER: &str = "
def wait_for(path):
    deadline = time.monotonic() + 20
    while not os.path.exists(path) and time.monotonic() < deadline:
        time.sleep(0.002)
    return os.path.exists(path)

def writer(environ, start_response, rest):
    kind, _, path = rest.partition('/')
    fields = [('Content-Type', 'text/plain')]
    if kind == 'length':
        fields.append(('Content-Length', '12'))
    write = start_response('200 OK', fields)
    write(b'')
    write(b'one ')
    told = 'seen' if wait_for(path) else 'not seen'
    write(b'two ')
    if kind == 'raises':
        raise LookupError('amidst writing')
    if kind == 'pieces':
        return iter([told.encode(), b', and more'])
    if kind == 'nothing':
        return []
    return [told.encode()]

def much(environ, start_response, rest):
    write = start_response('200 OK', [('Content-Type', 'text/plain')])
    try:
        for number in range(int(rest)):
            write(b'x' * 100000)
    except BrokenPipeError as error:
        print('told:', error, flush=True)
        raise
    print('wrote all', flush=True)
    return []

def hints(environ, start_response, rest):
    environ['wsgi.early_hints']([('Link', '</style.css>; rel=preload')])
    wait_for(rest)
    return answer(start_response, b'hinted')

TOOLS.update(writer=writer, much=much, hints=hints)
";

#[test]
fn what_is_written_is_sent_before_the_application_goes_on() {
    everywhere(WRITER, |server, protocol| {
        for (kind, expected) in [
            ("list", "one two seen"),
            ("pieces", "one two seen, and more"),
            ("nothing", "one two "),
            ("length", "one two seen"),
        ] {
            let mark = format!("{protocol}-{kind}");
            let target = format!("/writer/{kind}/{mark}");
            let mut connection = ask(server, protocol, "GET", &target, b"");
            let head = connection.head().unwrap();
            assert_eq!(head.status, 200);
            let mut body = Vec::new();
            if head.header("Transfer-Encoding").is_some() {
                body = connection.chunk().unwrap().unwrap();
                server.write(&mark, "");
                while let Some(chunk) = connection.chunk().unwrap() {
                    body.extend(chunk);
                }
                assert_eq!(connection.get("/").text(), "hello\n", "it stays in step");
            } else {
                let mut first = [0; 4];
                connection.read_exact(&mut first);
                server.write(&mark, "");
                body.extend(first);
                let mut rest = vec![0; expected.len() - 4];
                connection.read_exact(&mut rest);
                body.extend(rest);
            }
            assert_eq!(String::from_utf8(body).unwrap(), expected, "{protocol} {kind}");
            std::fs::remove_file(server.file(&mark)).unwrap();
        }
    });
}

#[test]
fn an_exception_after_something_was_written_cuts_the_answer() {
    everywhere(WRITER, |server, protocol| {
        server.write("raised", "");
        let mut connection = ask(server, protocol, "GET", "/writer/raises/raised", b"");
        assert_eq!(connection.head().unwrap().status, 200);
        let rest = connection.rest_until_cut();
        assert!(!rest.ends_with(b"0\r\n\r\n"), "{}", rest.escape_ascii());
        server.wait_for_log(&["LookupError: amidst writing"]);
        assert_eq!(
            ask(server, protocol, "GET", "/", b"").response().text(),
            "hello\n"
        );
    });
}

#[test]
fn writing_waits_for_the_client_and_ends_when_it_goes() {
    everywhere(WRITER, |server, protocol| {
        let mut connection = ask(server, protocol, "GET", "/much/200", b"");
        assert_eq!(connection.head().unwrap().status, 200);
        // More than the kernel takes, which the server does not keep.
        let mut total = 0;
        match protocol {
            "http" => {
                while let Some(chunk) = connection.chunk().unwrap() {
                    total += chunk.len();
                }
            }
            _ => total = connection.rest().len(),
        }
        assert_eq!(total, 20_000_000);
        let before = server.count_log("told: write: the client is gone");
        let mut gone = ask(server, protocol, "GET", "/much/100000", b"");
        assert_eq!(gone.head().unwrap().status, 200);
        drop(gone);
        soon("it is told", || {
            server.count_log("told: write: the client is gone") > before
        });
        assert_eq!(
            ask(server, protocol, "GET", "/", b"").response().text(),
            "hello\n"
        );
    });
}

/// Asks, and goes when the answer has begun.
fn go_amidst(server: &Running, protocol: &str, target: &str) {
    let mut connection = ask(server, protocol, "GET", target, b"");
    assert_eq!(connection.head().unwrap().status, 200);
}

#[test]
fn a_client_that_goes_amidst_an_answer_is_not_told_of_in_the_log() {
    let ignoring = "ignore-sigpipe = true\nignore-write-errors = true\nwrite-errors-tolerance = 3\n";
    for lines in ["threads = 1\n", "threads = 3\n", "gevent = 5\n"] {
        let home = match (lines, venv::with("gevent")) {
            ("gevent = 5\n", Some(home)) => format!("home = {}\n", home.display()),
            ("gevent = 5\n", None) => return,
            _ => String::new(),
        };
        let ini = format!("{HTTP}{home}socket = %duwsgi.sock\ndisable-logging = true\n{ignoring}{lines}");
        let app = format!("{TOOLBOX}\n{WRITER}");
        let server = Server::new().app(&app).ini(&ini).start();
        server.wait_for_log(&["ignore-sigpipe, ignore-write-errors are not needed", "not logged"]);
        let begun = server.log().lines().count();
        for protocol in ["http", "uwsgi"] {
            let counts = || ["told: write: ", "stream closed, "].map(|part| server.count_log(part));
            let [told, closed] = counts();
            go_amidst(&server, protocol, "/much/100000");
            go_amidst(&server, protocol, "/stream/1000/100000");
            go_amidst(&server, protocol, "/zeros/50000000");
            soon("the application has ended", || counts() == [told + 1, closed + 1]);
        }
        assert_eq!(server.get("/").text(), "hello\n");
        // What the applications have said, and nothing else.
        let log = server.log();
        let ours = |line: &&str| !line.contains("told: write: ") && !line.contains("stream closed, ");
        let told: Vec<&str> = log.lines().skip(begun).filter(ours).collect();
        assert_eq!(told, [""; 0], "{lines}{log}");
    }
}

#[test]
fn with_disable_write_exception_an_application_hears_nothing_of_a_client_that_goes() {
    for lines in ["threads = 1\n", "threads = 3\n"] {
        let ini = format!("{HTTP}socket = %duwsgi.sock\ndisable-write-exception = true\n{lines}");
        let app = format!("{TOOLBOX}\n{WRITER}");
        let server = Server::new().app(&app).ini(&ini).start();
        for (times, protocol) in [(1, "http"), (2, "uwsgi")] {
            go_amidst(&server, protocol, "/much/3000");
            soon("it has gone on to its end", || {
                server.count_log("wrote all") == times
            });
        }
        assert_eq!(server.count_log("told: "), 0, "{}", server.log());
        assert_eq!(server.get("/").text(), "hello\n");
    }
}

#[test]
fn every_thread_may_wait_for_its_client_at_once() {
    let server = serving(WRITER, 2);
    let mut slow: Vec<Connection> = (0..2)
        .map(|_| ask(&server, "http", "GET", "/much/200", b""))
        .collect();
    for connection in &mut slow {
        assert_eq!(connection.head().unwrap().status, 200);
    }
    for connection in slow.iter_mut().rev() {
        let mut total = 0;
        while let Some(chunk) = connection.chunk().unwrap() {
            total += chunk.len();
        }
        assert_eq!(total, 20_000_000);
    }
    assert_eq!(server.get("/").text(), "hello\n");
}

#[test]
fn early_hints_arrive_while_the_application_is_at_work() {
    for threads in [1, 3] {
        let server = serving(WRITER, threads);
        let mut connection = ask(&server, "http", "GET", "/hints/hinted", b"");
        assert_eq!(connection.head().unwrap().status, 103);
        server.write("hinted", "");
        assert_eq!(connection.response().text(), "hinted");
        assert_eq!(connection.get("/").text(), "hello\n");
    }
}
