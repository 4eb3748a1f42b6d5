//! HTTP/1.1 on the wire: framing, limits, patience, many kinds of sockets.

use std::io::Write;
use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::process;
use crate::support::{Connection, HTTP, Response, Running, Server, soon};

fn server() -> Running {
    Server::new().ini(HTTP).start()
}

/// Sends bytes over a connection of their own and gives the first answer.
fn answer(server: &Running, request: impl AsRef<[u8]>) -> Response {
    let mut connection = server.connect();
    connection.send(request);
    connection.response()
}

/// Asserts that every request is refused with that status and its connection closed, and the application not called.
fn assert_refused(server: &Running, status: u16, requests: &[&str]) {
    for request in requests {
        let mut connection = server.connect();
        // A second request behind it must not be served, whatever the first was taken for.
        let _ = connection.try_send(format!("{request}GET /count HTTP/1.1\r\nHost: x\r\n\r\n"));
        let response = connection.response();
        assert_eq!(response.status, status, "{request:?}");
        assert!(response.says_close(), "{request:?}");
        connection.assert_closed();
    }
    assert_eq!(server.get("/count").text(), "1", "the application was called");
}

#[test]
fn an_answer_has_what_http_asks_for() {
    let server = server();
    let response = answer(&server, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(
        (
            response.version.as_str(),
            response.status,
            response.reason.as_str()
        ),
        ("HTTP/1.1", 200, "OK")
    );
    assert_eq!(response.text(), "hello\n");
    assert_eq!(response.header("Content-Length"), Some("6"));
    assert_eq!(response.header("Content-Type"), Some("text/plain"));
    let date = response.header("Date").unwrap();
    assert!(date.len() == 29 && date.ends_with(" GMT"), "{date}");
    assert!(
        response
            .header("Server")
            .is_some_and(|server| server.starts_with("uwrs"))
    );
    assert_eq!(response.header("Connection"), None);
}

#[test]
fn a_connection_serves_request_after_request() {
    let server = server();
    let mut connection = server.connect();
    for _ in 0..100 {
        assert_eq!(connection.get("/").text(), "hello\n");
        assert_eq!(connection.post("/echo", "body").text(), "body");
    }
}

#[test]
fn a_client_that_asks_for_close_gets_it() {
    let server = server();
    let mut connection = server.connect();
    connection.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(connection.response().says_close());
    connection.assert_closed();
}

#[test]
fn http_1_0_closes_unless_it_asks_to_keep_alive() {
    let server = server();
    let mut connection = server.connect();
    connection.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let response = connection.response();
    assert_eq!(
        response.header("Connection").map(str::to_lowercase).as_deref(),
        Some("keep-alive")
    );
    connection.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(connection.response().text(), "hello\n");
    connection.assert_closed();
}

#[test]
fn an_answer_of_unknown_length_is_not_chunked_for_http_1_0() {
    let server = server();
    let mut connection = server.connect();
    connection.send("GET /stream/3/5 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let response = connection.head().unwrap();
    assert_eq!(response.header("Transfer-Encoding"), None);
    assert_eq!(connection.rest(), b"sssssssssssssss");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = server();
    let mut connection = server.connect();
    let requests: String = (0..50)
        .map(|number| {
            let body = format!("number {number}");
            let length = body.len();
            format!("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}")
        })
        .collect();
    connection.send(requests);
    for number in 0..50 {
        assert_eq!(connection.response().text(), format!("number {number}"));
    }
}

#[test]
fn a_body_that_the_application_ignores_is_not_the_next_request() {
    let server = server();
    let mut connection = server.connect();
    for _ in 0..3 {
        let inside = "GET /fail HTTP/1.1\r\nHost: x\r\n\r\n".repeat(3000);
        assert_eq!(connection.post("/ignore-body", inside).text(), "not read\n");
    }
}

#[test]
fn a_chunked_body_arrives_whole() {
    let server = server();
    let request = "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
        5\r\nhello\r\n1;name=value\r\n \r\n00A\r\n0123456789\r\n0\r\nX-Sum: 42\r\n\r\n";
    assert_eq!(answer(&server, request).text(), "hello 0123456789");
}

#[test]
fn a_chunked_body_tells_the_application_that_its_end_can_be_read() {
    let server = server();
    let request =
        "POST /environ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let text = answer(&server, request).text().to_owned();
    assert!(text.contains("\"wsgi.input_terminated\": true"), "{text}");
}

#[test]
fn an_answer_of_unknown_length_is_chunked() {
    let server = server();
    let mut connection = server.connect();
    let response = connection.get("/stream/20/1000");
    assert_eq!(response.header("Transfer-Encoding"), Some("chunked"));
    assert_eq!(response.header("Content-Length"), None);
    assert_eq!(response.body, [b's'; 20_000]);
    assert_eq!(connection.get("/").text(), "hello\n");
}

#[test]
fn pieces_are_sent_when_they_are_made() {
    let server = server();
    let mut connection = server.connect();
    connection.send("GET /stream/3/5/1 HTTP/1.1\r\nHost: x\r\n\r\n");
    connection.head().unwrap();
    assert_eq!(connection.chunk().unwrap().as_deref(), Some(&b"sssss"[..]));
    let first = Instant::now();
    connection.chunk().unwrap();
    assert!(
        first.elapsed() > Duration::from_millis(500),
        "the pieces came together"
    );
}

#[test]
fn a_request_may_arrive_one_byte_at_a_time() {
    let server = server();
    let mut connection = server.connect();
    let request = "POST /echo?a=b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
        5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nGET /environ HTTP/1.1\r\nHost: x\r\n\r\n";
    for byte in request.bytes() {
        connection.send([byte]);
    }
    assert_eq!(connection.response().text(), "hello world");
    assert_eq!(connection.response().status, 200);
}

#[test]
fn a_client_that_expects_100_continue_is_told_to() {
    let server = server();
    let mut connection = server.connect();
    connection.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(connection.response().status, 100);
    connection.send("body");
    let response = connection.response();
    assert_eq!((response.status, response.text()), (200, "body"));
}

#[test]
fn no_continue_is_sent_to_one_that_does_not_wait() {
    let server = server();
    let mut connection = server.connect();
    connection
        .send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\nbody");
    let response = connection.response();
    // Both are right (RFC 9110 §10.1.1): the body is there already.
    let last = if response.status == 100 {
        connection.response()
    } else {
        response
    };
    assert_eq!(last.text(), "body");
}

#[test]
fn head_is_answered_without_a_body() {
    let server = server();
    let mut connection = server.connect();
    connection.send("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
    let response = connection.head().unwrap();
    assert_eq!(response.header("Content-Length"), Some("6"));
    assert_eq!(connection.get("/").text(), "hello\n");
}

#[test]
fn answers_that_have_no_body_send_none() {
    let server = server();
    let mut connection = server.connect();
    for status in ["204 No Content", "304 Not Modified"] {
        let response = connection.get(&format!("/status/{}", status.replace(' ', "%20")));
        assert_eq!(format!("{} {}", response.status, response.reason), status);
        assert_eq!(response.header("Transfer-Encoding"), None);
    }
    assert_eq!(connection.get("/status/299%20Odd%20One").reason, "Odd One");
}

#[test]
fn the_absolute_form_names_path_and_host() {
    let server = server();
    let response = answer(
        &server,
        "GET http://other.example:81/environ?a=b HTTP/1.1\r\nHost: x\r\n\r\n",
    );
    let text = response.text();
    for part in [
        "\"PATH_INFO\": \"/environ\"",
        "\"QUERY_STRING\": \"a=b\"",
        "\"HTTP_HOST\": \"other.example:81\"",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_request_that_breaks_a_rule_is_refused() {
    let requests = [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
        "GET / HTTP/1.1\nHost: x\n\n",
        "GET nowhere HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ];
    assert_refused(&server(), 400, &requests);
}

#[test]
fn a_chunk_that_breaks_a_rule_is_refused() {
    let requests = [
        "+5\r\nhello",
        "0x5\r\nhello",
        " 5\r\nhello",
        "5\nhello",
        "5\r\nhelloXX",
        "5;a\rb\r\nhello",
    ]
    .map(|chunk| {
        format!("POST /count HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}\r\n0\r\n\r\n")
    });
    assert_refused(&server(), 400, &requests.each_ref().map(String::as_str));
}

#[test]
fn an_unknown_transfer_coding_is_not_implemented() {
    let request = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n";
    assert_refused(&server(), 501, &[request]);
}

#[test]
fn another_version_of_http_is_not_supported() {
    assert_refused(&server(), 505, &["GET / HTTP/2.0\r\nHost: x\r\n\r\n"]);
}

#[test]
fn a_target_that_is_too_long_is_414() {
    let server = Server::new().ini(&format!("{HTTP}buffer-size = 8192\n")).start();
    let long = "a".repeat(9000);
    assert_refused(
        &server,
        414,
        &[&format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n")],
    );
}

#[test]
fn a_head_that_is_too_large_is_431() {
    let server = Server::new().ini(&format!("{HTTP}buffer-size = 8192\n")).start();
    let long = "a".repeat(9000);
    let many: String = (0..1000).map(|number| format!("A{number}: b\r\n")).collect();
    let requests = [
        format!("GET / HTTP/1.1\r\nHost: x\r\nA: {long}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: x\r\n{many}\r\n"),
    ];
    assert_refused(&server, 431, &requests.each_ref().map(String::as_str));
}

#[test]
fn a_head_of_50_kilobytes_is_served_by_default() {
    let server = server();
    let cookie = "c".repeat(50_000);
    let response = answer(
        &server,
        format!("GET / HTTP/1.1\r\nHost: x\r\nCookie: {cookie}\r\n\r\n"),
    );
    assert_eq!(response.status, 200);
}

#[test]
fn a_body_past_limit_post_is_413() {
    let server = Server::new().ini(&format!("{HTTP}limit-post = 1000\n")).start();
    let body = "b".repeat(1001);
    let requests = [
        format!("POST /count HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n{body}"),
        format!(
            "POST /count HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n{body}\r\n0\r\n\r\n"
        ),
        "POST /count HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n".to_owned(),
    ];
    assert_refused(&server, 413, &requests.each_ref().map(String::as_str));
}

#[test]
fn a_body_of_exactly_limit_post_is_served() {
    let server = Server::new().ini(&format!("{HTTP}limit-post = 1000\n")).start();
    let mut connection = server.connect();
    assert_eq!(connection.post("/echo", vec![b'b'; 1000]).body.len(), 1000);
}

#[test]
fn names_with_an_underscore_do_not_reach_the_application() {
    let server = server();
    let requests = [
        "X-Who: dash\r\nX_Who: underscore",
        "X_Who: underscore\r\nX-Who: dash",
    ];
    for fields in requests {
        let text = answer(
            &server,
            format!("GET /environ HTTP/1.1\r\nHost: x\r\nProxy: evil\r\n{fields}\r\n\r\n"),
        );
        assert!(
            text.text().contains("\"HTTP_X_WHO\": \"dash\""),
            "{}",
            text.text()
        );
        assert!(!text.text().contains("HTTP_PROXY"), "{}", text.text());
    }
}

#[test]
fn repeated_fields_are_joined() {
    let server = server();
    let request =
        "GET /environ HTTP/1.1\r\nHost: x\r\nX-A: 1\r\nCookie: a=1\r\nX-A: 2\r\nCookie: b=2\r\n\r\n";
    let text = answer(&server, request).text().to_owned();
    assert!(
        text.contains("\"HTTP_X_A\": \"1,2\"") || text.contains("\"HTTP_X_A\": \"1, 2\""),
        "{text}"
    );
    assert!(text.contains("\"HTTP_COOKIE\": \"a=1; b=2\""), "{text}");
}

#[test]
fn an_upload_of_50_megabytes_stays_out_of_memory() {
    let server = server();
    assert_eq!(server.get("/").status, 200);
    let worker = server.workers()[0];
    let before = process::resident_bytes(worker);
    let piece = vec![b'u'; 1 << 20];
    let mut connection = server.connect();
    connection.send(format!(
        "POST /digest HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
        50 << 20
    ));
    let mut most = 0;
    for _ in 0..50 {
        connection.send(&piece);
        most = most.max(process::resident_bytes(worker));
    }
    let response = connection.response();
    assert!(response.text().starts_with("52428800 "), "{}", response.text());
    assert!(
        most < before + (20 << 20),
        "{before} bytes before, {most} while it came"
    );
}

#[test]
fn a_large_upload_arrives_unharmed() {
    let server = server();
    let body: Vec<u8> = (0..3_000_000_u32)
        .map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let mut connection = server.connect();
    let whole = connection.post("/echo", &body);
    assert!(whole.body == body);
    let mut chunked = b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for chunk in body.chunks(70_001) {
        write!(chunked, "{:x}\r\n", chunk.len()).unwrap();
        chunked.extend_from_slice(chunk);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    connection.send(chunked);
    assert!(connection.response().body == body);
}

#[test]
fn a_download_of_50_megabytes_arrives_whole() {
    let server = server();
    let mut connection = server.connect();
    let response = connection.get("/zeros/52428800");
    assert_eq!(response.body.len(), 52_428_800);
    assert!(response.body.iter().all(|&byte| byte == 0));
    assert_eq!(connection.get("/").text(), "hello\n");
}

#[test]
fn a_slow_reader_does_not_fill_the_servers_memory() {
    let server = server();
    assert_eq!(server.get("/").status, 200);
    let worker = server.workers()[0];
    let before = process::resident_bytes(worker);
    let mut reader = server.connect();
    reader.send("GET /stream/2000/100000 HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(reader.head().unwrap().status, 200);
    // 200 MB are on offer and nobody reads: for as long as the source is asked for more, memory grows.
    for _ in 0..20 {
        assert_eq!(server.get("/").text(), "hello\n");
        thread::sleep(Duration::from_millis(20));
    }
    let after = process::resident_bytes(worker);
    assert!(
        after < before + (20 << 20),
        "{before} bytes before, {after} bytes after"
    );
    for _ in 0..2000 {
        assert_eq!(reader.chunk().unwrap().unwrap().len(), 100_000);
    }
    assert_eq!(reader.chunk().unwrap(), None);
}

#[test]
fn a_slow_sender_holds_nobody_up() {
    let server = server();
    let mut slow: Vec<Connection> = (0..20).map(|_| server.connect()).collect();
    for connection in &mut slow {
        connection.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbo");
    }
    assert_eq!(server.get("/").text(), "hello\n");
    for connection in &mut slow {
        connection.send("dy");
        assert_eq!(connection.response().text(), "body");
    }
}

#[test]
fn a_client_that_has_said_all_still_gets_its_answer() {
    let server = server();
    let mut connection = server.connect();
    connection.send("GET /sleep/0.2 HTTP/1.1\r\nHost: x\r\n\r\n");
    connection.half_close();
    assert_eq!(connection.response().text(), "slept\n");
    connection.assert_closed();
}

#[test]
fn a_head_that_never_ends_is_answered_408() {
    let server = server();
    let mut connection = server.connect();
    connection.send("GET / HTTP/1.1\r\nHost: x\r\n");
    assert_eq!(connection.response().status, 408);
    connection.assert_closed();
}

#[test]
fn a_body_that_stops_coming_is_answered_408() {
    let server = Server::new().ini(&format!("{HTTP}socket-timeout = 1\n")).start();
    let mut connection = server.connect();
    connection.send("POST /count HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbo");
    assert_eq!(connection.response().status, 408);
    connection.assert_closed();
    assert_eq!(server.get("/count").text(), "1", "the application was called");
}

#[test]
fn a_connection_that_says_nothing_is_closed() {
    let server = server();
    server.connect().assert_closed();
}

#[test]
fn an_answer_shorter_than_announced_ends_the_connection() {
    let server = server();
    let mut connection = server.connect();
    connection.send("GET /short HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(connection.head().unwrap().header("Content-Length"), Some("10"));
    assert_eq!(connection.rest(), b"short");
}

#[test]
fn many_kinds_of_sockets_are_served_at_once() {
    let ini = "http = 127.0.0.1:0\nhttp = 127.0.0.1:0\nhttp-socket = [::1]:0\nhttp = %dhttp.sock\n\
        socket = %duwsgi.sock\nmodule = app\nprocesses = 2\n";
    let name = format!("uwrs-test-{}", std::process::id());
    let server = Server::new()
        .ini(&format!("{ini}http-socket = @{name}\n"))
        .start();
    let ports = server.ports();
    assert_eq!(ports.len(), 3, "{ports:?}");
    let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, ports[2]));
    let mut connections = [
        Connection::tcp(ports[0]),
        Connection::tcp(ports[1]),
        Connection::try_tcp(v6).unwrap(),
        server.connect_unix("http.sock"),
        Connection::abstract_name(&name),
    ];
    for connection in &mut connections {
        assert_eq!(connection.get("/").text(), "hello\n");
    }
    let mut uwsgi = server.connect_unix("uwsgi.sock");
    uwsgi.send(crate::support::packet::request("GET", "/", &[]));
    assert_eq!(uwsgi.response().text(), "hello\n");
}

#[test]
fn a_unix_socket_has_the_mode_that_was_asked_for() {
    use std::os::unix::fs::PermissionsExt;
    let server = Server::new()
        .ini("http = %dhttp.sock\nchmod-socket = 660\nmodule = app\n")
        .start();
    let mode = std::fs::metadata(server.file("http.sock"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o660, "{mode:o}");
}

#[test]
fn a_port_without_a_host_is_all_of_ipv4() {
    // A port that is free now: `:0` would be, but it is not what people write.
    let free = TcpListener::bind("0.0.0.0:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let server = Server::new()
        .ini(&format!("http = :{free}\nmodule = app\n"))
        .start();
    assert_eq!(server.ports(), [free]);
    assert_eq!(server.get("/").text(), "hello\n");
}

#[test]
fn a_thousand_idle_connections_leave_room_for_one_more() {
    let server = server();
    let idle: Vec<Connection> = (0..900).map(|_| server.connect()).collect();
    soon("it answers", || server.get("/").text() == "hello\n");
    assert_eq!(idle.len(), 900);
}

#[test]
fn the_log_shows_a_target_as_it_came() {
    let server = server();
    let response = answer(
        &server,
        "GET /%1b[31m%0d%0aFAKE?\"quoted\" HTTP/1.1\r\nHost: x\r\n\r\n",
    );
    assert_eq!(response.status, 404);
    server.wait_for_log(&["GET /%1b[31m%0d%0aFAKE?"]);
    assert!(
        !server.log().lines().any(|line| line.starts_with("FAKE")),
        "{}",
        server.log()
    );
}

#[test]
fn more_connections_than_descriptors_are_survived_and_said_once() {
    let script = "ulimit -n 48; exec \"$0\" \"$@\"";
    let server = Server::new()
        .ini(HTTP)
        .through("sh", &["-c", script, env!("CARGO_BIN_EXE_uwrs")])
        .start();
    let connections: Vec<_> = (0..100).map(|_| server.connect()).collect();
    server.wait_for_log(&["connections are busy", "max-fd"]);
    // In this time it is looked at several times.
    thread::sleep(Duration::from_millis(1500));
    assert_eq!(server.count_log("connections are busy"), 1);
    drop(connections);
    assert_eq!(server.get("/").text(), "hello\n");
}
