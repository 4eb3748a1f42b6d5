//! ASGI's HTTP specification, sentence by sentence, where `asgi.rs` does not say it along the way.

use crate::support::{Connection, HTTP, Response, Running, Server, packet, soon};

/// An application that answers what it was asked, or sends what the path says.
const APP: &str = r#"
import asyncio

import asyncio
import os
import time

KEPT = []


class Cleaned(Exception):
    pass


async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        scope["state"]["shared"] = []
        await send({"type": "lifespan.startup.complete"})
        await receive()
        return await send({"type": "lifespan.shutdown.complete"})

    async def start(status=200, headers=()):
        await send({"type": "http.response.start", "status": status, "headers": headers})

    async def answer(body, status=200, headers=()):
        await start(status, headers)
        await send({"type": "http.response.body", "body": body})

    path = scope["path"]
    if path == "/status":
        await answer(b"a body", int(scope["query_string"]), [(b"x-kept", b"1")])
    elif path == "/start-only":
        await start(201, [(b"x-never", b"seen")])
        raise LookupError("on purpose")
    elif path == "/no-headers":
        await send({"type": "http.response.start", "status": 200, "unknown": object()})
        await send({"type": "http.response.body", "unknown": 1})
    elif path == "/iterables":
        pairs = ([name, value] for name, value in ((b"X-One", b"1"), (b"x-two", b"2"), (b"x-one", b" 3 ")))
        await answer(memoryview(b"bytes-like"), headers=pairs)
    elif path == "/framed":
        await answer(b"framed", headers=[(b"transfer-encoding", b"chunked")])
    elif path == "/framed-stream":
        await start(headers=[(b"Transfer-Encoding", b"chunked")])
        await send({"type": "http.response.body", "body": b"fra", "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        await send({"type": "http.response.body", "body": b"med", "more_body": False})
    elif path == "/sized-stream":
        await start(headers=[(b"content-length", b"6")])
        await send({"type": "http.response.body", "body": b"siz", "more_body": True})
        await send({"type": "http.response.body", "body": b"ed!", "more_body": True})
        await send({"type": "http.response.body"})
    elif path == "/hinted":
        await send({"type": "http.response.early_hint", "links": [b"</style.css>; rel=preload"]})
        await answer(b"hinted")
    elif path == "/file":
        await start(headers=[(b"content-type", b"text/x-python")])
        await send({"type": "http.response.pathsend", "path": __file__})
    elif path == "/large-file":
        await start(headers=[(b"content-length", b"9000000")])
        await send({"type": "http.response.pathsend", "path": scope["query_string"].decode()})
        KEPT.append("sent")
    elif path == "/no-files":
        told = []

        async def attempt(path):
            try:
                await send({"type": "http.response.pathsend", "path": path})
            except Exception as error:
                told.append("%s: %s" % (type(error).__name__, error))

        await attempt(__file__)
        await start()
        for wrong in ("/nowhere/at all", "/dev", "/dev/zero", 1):
            await attempt(wrong)
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await attempt(__file__)
        await send({"type": "http.response.body", "body": "\n".join(told).encode()})
    elif path == "/after":
        await answer(b"answered")
        KEPT.append((await receive())["type"])
        KEPT.append((await receive())["type"])
    elif path == "/waiting":
        await receive()
        waiting = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        await answer(b"answered")
        KEPT.append((await waiting)["type"])
    elif path == "/kept":
        await answer(repr(KEPT).encode())
    elif path == "/state":
        state = scope["state"]
        state["shared"].append(1)
        state["own"] = state.get("own", 0) + 1
        scope["asgi"]["version"] += "!"
        await answer(b"%d %d %s" % (len(state["shared"]), state["own"], scope["asgi"]["version"].encode()))
    elif path == "/types":
        event = await receive()
        told = [type(scope) is dict, all(type(key) is str for key in scope)]
        told += [type(value) is dict for value in scope["extensions"].values()]
        told += [type(name) is bytes and type(value) is bytes for name, value in scope["headers"]]
        told += [type(scope["client"][1]) is int, type(scope["server"][1]) is int]
        told += [type(event) is dict, type(event["body"]) is bytes, event["more_body"] is False]
        await answer(b"%d" % told.count(False))
    elif path == "/flush":
        await start()
        await send({"type": "http.response.body", "body": b"here", "more_body": True})
        await asyncio.sleep(0)
        for name in scope["query_string"].decode().split("&"):
            await send({"type": "http.response.body", "body": name.encode(), "more_body": True})
            # Nobody turns the loop now.
            deadline = time.monotonic() + 60
            while not os.path.exists(name) and time.monotonic() < deadline:
                time.sleep(0.005)
        await send({"type": "http.response.body"})
    elif path == "/gone":
        await receive()
        KEPT.append((await receive())["type"])
        try:
            await start()
            await send({"type": "http.response.body", "body": b"to nobody"})
            KEPT.append("sent")
        except OSError as error:
            KEPT.append(type(error).__name__)
        raise LookupError("on purpose") if scope["query_string"] else Cleaned()
    elif path == "/keys":
        await answer(b"", headers=[(b"x-b", b"1"), (b"x-a", b"2"), (b"x-b", b"3"), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")])
    elif path == "/whole":
        events = [await receive()]
        while events[-1].get("more_body"):
            events.append(await receive())
        body = b"".join(event["body"] for event in events)
        await answer(repr((body, events[-1])).encode())
    else:
        lines = ["%s=%r" % (key, scope[key]) for key in sorted(scope)]
        await answer("\n".join(lines).encode())
"#;

fn server() -> Running {
    Server::new().app(APP).ini(HTTP).start()
}

fn ask(connection: &mut Connection, request: impl AsRef<[u8]>) -> Response {
    connection.send(request);
    connection.response()
}

fn assert_says(response: &Response, lines: &[&str]) {
    for line in lines {
        assert!(
            response.text().lines().any(|said| said == *line),
            "{line} is not in\n{}",
            response.text()
        );
    }
}

#[test]
fn names_of_header_fields_are_lower_case_and_order_and_repeats_are_kept() {
    let server = server();
    let response = ask(
        &mut server.connect(),
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Two: 2\r\nX-ONE:  1 \r\nx-two: \xff\r\nCookie: a=1\r\nCookie: b=2\r\n\r\n",
    );
    let headers = r"headers=[(b'host', b'a'), (b'x-two', b'2'), (b'x-one', b'1'), (b'x-two', b'\xff'), (b'cookie', b'a=1'), (b'cookie', b'b=2')]";
    assert_says(&response, &[headers]);
}

#[test]
fn the_path_is_decoded_and_the_raw_one_is_as_it_came() {
    let server = server();
    let mut connection = server.connect();
    for (target, path, raw, query) in [
        ("/a%20b?c=%20d", "'/a b'", "b'/a%20b'", "b'c=%20d'"),
        ("/caf%C3%A9", "'/café'", "b'/caf%C3%A9'", "b''"),
        ("/a%2Fb?", "'/a/b'", "b'/a%2Fb'", "b''"),
        ("/x%FFy", "'/x\u{fffd}y'", "b'/x%FFy'", "b''"),
        ("/%25%3F%23", "'/%?#'", "b'/%25%3F%23'", "b''"),
        ("//a/../b/", "'//a/../b/'", "b'//a/../b/'", "b''"),
        ("http://other.example/at?q", "'/at'", "b'/at'", "b'q'"),
    ] {
        let response = connection.get(target);
        assert_says(
            &response,
            &[
                &format!("path={path}"),
                &format!("raw_path={raw}"),
                &format!("query_string={query}"),
            ],
        );
    }
}

#[test]
fn method_and_version_are_those_of_the_request() {
    let server = server();
    let response = ask(&mut server.connect(), "PURGE / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_says(&response, &["method='PURGE'", "http_version='1.1'"]);
    let response = ask(&mut server.connect(), "get / HTTP/1.0\r\n\r\n");
    assert_says(&response, &["method='GET'", "http_version='1.0'"]);
    assert_says(&response, &["scheme='http'", "root_path=''", "headers=[]"]);
}

#[test]
fn client_and_server_are_pairs_of_host_and_port() {
    let server = server();
    let response = server.connect().get("/");
    let line = |name: &str| {
        let start = format!("{name}=('");
        let found = response.text().lines().find(|line| line.starts_with(&start));
        found.unwrap_or_else(|| panic!("{}", response.text())).to_owned()
    };
    assert!(
        line("client").starts_with("client=('127.0.0.1', "),
        "{}",
        line("client")
    );
    assert!(
        line("server").ends_with(&format!(", {})", server.port())),
        "{}",
        line("server")
    );
}

#[test]
fn over_a_unix_socket_there_is_no_client_and_the_server_is_its_path() {
    let name = format!("uwrs-spec-{}", std::process::id());
    let server = Server::new()
        .app(APP)
        .ini(&format!(
            "http = %dapp.sock\nhttp = @{name}\nsocket = %duwsgi.sock\nmodule = app"
        ))
        .start();
    let path = |name: &str| format!("server=('{}', None)", server.file(name).display());
    let response = server.connect_unix("app.sock").get("/");
    assert_says(&response, &["client=None", &path("app.sock")]);
    let response = Connection::abstract_name(&name).get("/");
    assert_says(&response, &["client=None", &format!("server=('@{name}', None)")]);
    let mut connection = server.connect_unix("uwsgi.sock");
    connection.send(packet::packet(
        0,
        &[
            ("REQUEST_METHOD", "GET"),
            ("PATH_INFO", "/"),
            ("REQUEST_URI", "/"),
        ],
    ));
    let response = connection.response();
    assert_says(&response, &["client=None", &path("uwsgi.sock")]);
}

#[test]
fn over_uwsgi_each_of_the_words_for_tls_makes_the_scheme_https() {
    let server = Server::new()
        .app(APP)
        .ini("socket = %dapp.sock\nmodule = app")
        .start();
    for (name, value, scheme) in [
        ("REQUEST_SCHEME", "https", "https"),
        ("HTTPS", "on", "https"),
        ("HTTPS", "1", "https"),
        ("UWSGI_SCHEME", "https", "https"),
        ("HTTPS", "off", "http"),
        ("HTTP_X_FORWARDED_PROTO", "https", "http"),
    ] {
        let mut connection = server.connect_unix("app.sock");
        connection.send(packet::request("GET", "/at", &[(name, value)]));
        assert_says(&connection.response(), &[&format!("scheme='{scheme}'")]);
    }
}

#[test]
fn over_uwsgi_the_front_says_who_the_client_is_and_where_the_application_is_mounted() {
    let server = Server::new()
        .app(APP)
        .ini("socket = %dapp.sock\nmodule = app")
        .start();
    let mut connection = server.connect_unix("app.sock");
    let variables = [
        ("SCRIPT_NAME", "/mounted"),
        ("PATH_INFO", "/mounted/at"),
        ("QUERY_STRING", "q=1"),
        ("REQUEST_URI", "/mounted/at?q=1"),
        ("SERVER_NAME", "example.org"),
        ("SERVER_PORT", "8443"),
        ("REMOTE_ADDR", "192.0.2.7"),
        ("REMOTE_PORT", "4711"),
        ("REQUEST_SCHEME", "https"),
        ("HTTPS", "on"),
        ("SERVER_PROTOCOL", "HTTP/2.0"),
        ("REQUEST_METHOD", "GET"),
        ("HTTP_X_ONE", "1"),
    ];
    connection.send(packet::packet(0, &variables));
    let response = connection.response();
    assert_says(
        &response,
        &[
            "root_path='/mounted'",
            "raw_path=b'/mounted/at'",
            "query_string=b'q=1'",
            "server=('example.org', 8443)",
            "client=('192.0.2.7', 4711)",
            "scheme='https'",
            "http_version='2'",
            "headers=[(b'x-one', b'1')]",
        ],
    );
}

#[test]
fn an_application_below_a_mount_sees_its_root_path_and_the_whole_path() {
    let server = Server::new()
        .app(APP)
        .ini("http = 127.0.0.1:0\nmount = /below=app:application\nmanage-script-name = true")
        .start();
    let response = server.connect().get("/below/caf%C3%A9");
    assert_says(
        &response,
        &[
            "root_path='/below'",
            "path='/below/café'",
            "raw_path=b'/below/caf%C3%A9'",
        ],
    );
}

#[test]
fn what_a_request_puts_into_its_scope_is_its_own_and_what_the_lifespan_left_is_shared() {
    let server = server();
    let mut connection = server.connect();
    assert_eq!(connection.get("/state").text(), "1 1 3.0!");
    assert_eq!(connection.get("/state").text(), "2 1 3.0!");
}

#[test]
fn only_extensions_that_are_served_are_named() {
    let server = server();
    let response = server.connect().get("/");
    assert_says(
        &response,
        &["extensions={'http.response.early_hint': {}, 'http.response.pathsend': {}}"],
    );
}

#[test]
fn an_answer_to_head_has_no_body_and_the_connection_goes_on() {
    let server = server();
    let mut connection = server.connect();
    for target in ["/iterables", "/framed-stream", "/sized-stream"] {
        connection.send(format!("HEAD {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(connection.head().unwrap().status, 200, "{target}");
    }
    assert_eq!(connection.get("/kept").text(), "[]");
}

#[test]
fn an_answer_that_may_have_no_body_has_none() {
    let server = server();
    let mut connection = server.connect();
    for status in [204, 304] {
        connection.send(format!("GET /status?{status} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let head = connection.head().unwrap();
        assert_eq!((head.status, head.header("x-kept")), (status, Some("1")));
        assert_eq!(head.header("transfer-encoding"), None);
    }
    assert_eq!(connection.get("/kept").text(), "[]", "nothing lay in between");
}

#[test]
fn nothing_is_sent_before_the_first_part_of_the_body() {
    let server = server();
    let response = server.get("/start-only");
    assert_eq!((response.status, response.header("x-never")), (500, None));
}

#[test]
fn what_an_event_need_not_have_it_need_not_have_and_what_is_unknown_is_ignored() {
    let server = server();
    let response = server.get("/no-headers");
    assert_eq!((response.status, response.text()), (200, ""));
}

#[test]
fn headers_are_any_iterable_of_any_pairs_in_their_order() {
    let server = server();
    let response = server.get("/iterables");
    assert_eq!(response.text(), "bytes-like");
    let ones: Vec<&str> = response.headers("x-one").collect();
    assert_eq!((ones, response.header("x-two")), (vec!["1", "3"], Some("2")));
}

#[test]
fn framing_is_the_servers_business_whatever_the_application_says() {
    let server = server();
    let mut connection = server.connect();
    for target in ["/framed", "/framed-stream"] {
        let response = connection.get(target);
        assert_eq!(response.text(), "framed", "{target}");
        assert!(response.headers("transfer-encoding").count() <= 1, "{target}");
    }
    let response = connection.get("/sized-stream");
    assert_eq!(response.text(), "sized!");
    assert_eq!(response.header("content-length"), Some("6"));
    assert_eq!(response.header("transfer-encoding"), None);
}

#[test]
fn hints_come_before_the_answer() {
    let server = server();
    let mut connection = server.connect();
    connection.send("GET /hinted HTTP/1.1\r\nHost: a\r\n\r\n");
    let hint = connection.head().unwrap();
    assert_eq!(
        (hint.status, hint.header("link")),
        (103, Some("</style.css>; rel=preload"))
    );
    assert_eq!(connection.response().text(), "hinted");
    connection.send("GET /hinted HTTP/1.0\r\n\r\n");
    assert_eq!(connection.response().text(), "hinted", "HTTP/1.0 knows no hints");
}

#[test]
fn who_receives_after_the_answer_is_told_of_the_end_each_time() {
    let server = server();
    let mut connection = server.connect();
    assert_eq!(connection.get("/after").text(), "answered");
    assert_eq!(
        connection.get("/kept").text(),
        "['http.disconnect', 'http.disconnect']"
    );
}

#[test]
fn who_receives_before_the_answer_is_told_of_its_end() {
    let server = server();
    let mut connection = server.connect();
    assert_eq!(connection.get("/waiting").text(), "answered");
    soon("the end of the answer was an event", || {
        connection.get("/kept").text() == "['http.disconnect']"
    });
}

#[test]
fn a_chunked_body_arrives_without_its_framing_and_without_a_body_there_is_one_empty_part() {
    let server = server();
    let mut connection = server.connect();
    let response = ask(
        &mut connection,
        "POST /whole HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
         3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: 1\r\n\r\n",
    );
    assert!(response.text().starts_with("(b'abcde', {"), "{}", response.text());
    assert!(
        response.text().contains("'more_body': False"),
        "{}",
        response.text()
    );
    let response = connection.get("/whole");
    assert_eq!(
        response.text(),
        "(b'', {'type': 'http.request', 'body': b'', 'more_body': False})"
    );
}

#[test]
fn a_path_is_sent_as_the_file_that_is_there() {
    let server = server();
    let mut connection = server.connect();
    let response = connection.get("/file");
    assert_eq!(response.text(), APP);
    assert_eq!(
        response.header("content-length"),
        Some(&*APP.len().to_string()),
        "its length is known without being said"
    );
    connection.send("HEAD /file HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(connection.head().unwrap().status, 200);
    let large: Vec<u8> = (0..9_000_000_u32).map(|number| (number / 7) as u8).collect();
    server.write("large", &large);
    let target = format!("/large-file?{}", server.file("large").display());
    let response = connection.get(&target);
    assert!(response.body == large, "{} bytes came", response.body.len());
    assert_eq!(connection.get("/kept").text(), "['sent']");
    connection.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_eq!(connection.head().unwrap().status, 200);
    drop(connection);
    assert_eq!(
        server.get("/kept").text(),
        "['sent', 'sent']",
        "who does not read holds up nobody"
    );
}

#[test]
fn a_path_that_cannot_be_sent_raises_and_the_answer_may_yet_be_another() {
    let server = server();
    let response = server.get("/no-files");
    let told: Vec<&str> = response.text()[1..].lines().collect();
    let expected = [
        "RuntimeError: send: http.response.pathsend came before http.response.start",
        "FileNotFoundError: http.response.pathsend: /nowhere/at all: ",
        "OSError: http.response.pathsend: /dev: not a regular file",
        "OSError: http.response.pathsend: /dev/zero: not a regular file",
        "TypeError: http.response.pathsend: \"path\" must be a str, not int",
        "RuntimeError: send: http.response.pathsend came after http.response.body",
    ];
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with(expected), "{told} is not {expected}");
    }
}

#[test]
fn everything_that_is_given_has_the_type_that_it_is_to_have() {
    let server = server();
    assert_eq!(server.connect().post("/types", "body").text(), "0");
}

#[test]
fn the_server_and_the_client_may_be_of_ipv6() {
    let server = Server::new().app(APP).ini("http = [::1]:0\nmodule = app").start();
    let port = server.port();
    let mut connection = Connection::try_tcp(([0, 0, 0, 0, 0, 0, 0, 1], port).into()).unwrap();
    let response = connection.get("/");
    assert!(response.text().contains("client=('::1', "), "{}", response.text());
}

#[test]
fn fields_of_an_answer_keep_their_order_and_repeats() {
    let server = server();
    let response = server.connect().get("/keys");
    let own: Vec<String> = response
        .headers
        .iter()
        .filter(|(name, _)| name.starts_with("x-") || name == "set-cookie")
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    assert_eq!(
        own,
        ["x-b: 1", "x-a: 2", "x-b: 3", "set-cookie: a=1", "set-cookie: b=2"]
    );
}

#[test]
fn what_is_sent_is_with_the_kernel_before_send_returns_once_the_application_has_waited_for_something() {
    let server = server();
    let mut connection = server.connect();
    connection.send("GET /flush?first&second HTTP/1.1\r\nHost: a\r\n\r\n");
    connection.head().unwrap();
    assert_eq!(connection.chunk().unwrap(), Some(b"here".to_vec()));
    for name in ["first", "second"] {
        assert_eq!(connection.chunk().unwrap(), Some(name.as_bytes().to_vec()));
        server.write(name, "");
    }
    assert_eq!(connection.chunk().unwrap(), None);
}

#[test]
fn after_the_clients_end_was_told_send_raises_and_other_mistakes_are_logged_as_ever() {
    let server = server();
    for target in ["/gone", "/gone?mistake"] {
        let mut connection = server.connect();
        connection.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        connection.reset();
    }
    soon("the application hears it", || {
        server.get("/kept").text()
            == "['http.disconnect', 'ClientDisconnected', 'http.disconnect', 'ClientDisconnected']"
    });
    server.wait_for_log(&["LookupError: on purpose"]);
}

#[test]
fn a_client_that_says_nothing_more_may_yet_listen() {
    let server = server();
    let mut connection = server.connect();
    connection.send("GET /gone HTTP/1.1\r\nHost: a\r\n\r\n");
    connection.half_close();
    assert_eq!(connection.response().text(), "to nobody");
    assert_eq!(server.get("/kept").text(), "['http.disconnect', 'sent']");
}
