//! The uwsgi protocol, spoken by hand.

use crate::support::packet::{packet, request};
use crate::support::{Connection, Response, Running, Server};

fn server() -> Running {
    Server::new().ini("socket = 127.0.0.1:0\nmodule = app\n").start()
}

fn answer(server: &Running, bytes: impl AsRef<[u8]>) -> Response {
    let mut connection = server.connect();
    connection.send(bytes);
    let response = connection.response();
    connection.assert_closed();
    response
}

#[test]
fn a_request_is_answered_as_http_and_the_connection_closed() {
    let response = answer(&server(), request("GET", "/", &[]));
    assert_eq!((response.version.as_str(), response.status), ("HTTP/1.1", 200));
    assert_eq!(response.text(), "hello\n");
    assert_eq!(response.header("Transfer-Encoding"), None);
}

#[test]
fn an_answer_of_unknown_length_is_never_chunked() {
    let response = answer(&server(), request("GET", "/stream/20/1000", &[]));
    assert_eq!(response.header("Transfer-Encoding"), None);
    assert_eq!(response.body, [b's'; 20_000]);
}

#[test]
fn a_body_is_as_long_as_content_length_says() {
    let server = server();
    let mut bytes = request("POST", "/echo", &[("CONTENT_LENGTH", "4")]);
    bytes.extend_from_slice(b"body and what does not belong to it");
    assert_eq!(answer(&server, bytes).text(), "body");
}

#[test]
fn a_packet_may_arrive_one_byte_at_a_time() {
    let server = server();
    let mut bytes = request("POST", "/echo", &[("CONTENT_LENGTH", "4")]);
    bytes.extend_from_slice(b"body");
    let mut connection = server.connect();
    for byte in bytes {
        connection.send([byte]);
    }
    assert_eq!(connection.response().text(), "body");
}

#[test]
fn a_large_upload_arrives_whole() {
    let server = server();
    let mut bytes = request("POST", "/digest", &[("CONTENT_LENGTH", "5000000")]);
    bytes.resize(bytes.len() + 5_000_000, b'u');
    assert!(answer(&server, bytes).text().starts_with("5000000 "));
}

#[test]
fn repeated_variables_are_joined_as_http_says() {
    let more = [
        ("HTTP_X_A", "1"),
        ("HTTP_COOKIE", "a=1"),
        ("HTTP_X_A", "2"),
        ("HTTP_COOKIE", "b=2"),
        ("ODD", "1"),
        ("ODD", "2"),
    ];
    let response = answer(&server(), request("GET", "/environ", &more));
    let text = response.text();
    assert!(
        text.contains("\"HTTP_X_A\": \"1,2\"") || text.contains("\"HTTP_X_A\": \"1, 2\""),
        "{text}"
    );
    assert!(text.contains("\"HTTP_COOKIE\": \"a=1; b=2\""), "{text}");
    assert!(text.contains("\"ODD\": \"2\""), "{text}");
}

#[test]
fn modifier_30_strips_the_script_name() {
    let variables = [
        ("REQUEST_METHOD", "GET"),
        ("REQUEST_URI", "/app/environ"),
        ("SCRIPT_NAME", "/app"),
        ("PATH_INFO", "/app/environ"),
        ("QUERY_STRING", ""),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("SERVER_NAME", "x"),
        ("SERVER_PORT", "80"),
    ];
    let response = answer(&server(), packet(30, &variables));
    let text = response.text();
    assert!(text.contains("\"PATH_INFO\": \"/environ\""), "{text}");
    assert!(text.contains("\"SCRIPT_NAME\": \"/app\""), "{text}");
}

#[test]
fn a_ping_is_answered() {
    let server = server();
    let mut connection = server.connect();
    connection.send([100, 0, 0, 0]);
    assert_eq!(connection.rest(), [100, 0, 0, 1]);
}

#[test]
fn http_on_a_uwsgi_socket_is_told_so() {
    let server = server();
    let mut connection = server.connect();
    connection.send("GET / HTTP/1.1\r\nHost: example.org\r\n\r\n");
    assert_eq!(connection.response().status, 400);
    server.wait_for_log(&["HTTP", "uwsgi socket"]);
}

#[test]
fn an_unknown_modifier_is_refused() {
    let server = server();
    assert_eq!(
        answer(&server, packet(5, &[("REQUEST_METHOD", "GET")])).status,
        400
    );
}

#[test]
fn a_packet_that_lies_about_its_lengths_is_refused() {
    let server = server();
    let key_past_the_end = [0, 4, 0, 0, 200, 0, b'a', b'b'];
    let no_key = [0, 4, 0, 0, 0, 0, 0, 0];
    for bytes in [key_past_the_end, no_key] {
        assert_eq!(answer(&server, bytes).status, 400, "{bytes:?}");
    }
    let mut length_no_number = request("POST", "/echo", &[("CONTENT_LENGTH", "5x")]);
    length_no_number.extend_from_slice(b"hello");
    assert_eq!(answer(&server, length_no_number).status, 400);
}

#[test]
fn a_packet_past_buffer_size_is_431() {
    let server = Server::new()
        .ini("socket = 127.0.0.1:0\nmodule = app\nbuffer-size = 4096\n")
        .start();
    let long = "a".repeat(5000);
    assert_eq!(
        answer(&server, request("GET", "/", &[("HTTP_COOKIE", &long)])).status,
        431
    );
}

#[test]
fn a_request_that_was_cut_off_leaves_the_server_well() {
    let server = server();
    let bytes = request("POST", "/echo", &[("CONTENT_LENGTH", "10")]);
    for cut in [1, 4, 40, bytes.len()] {
        let mut connection = server.connect();
        connection.send(&bytes[..cut]);
        connection.half_close();
        connection.rest();
    }
    assert_eq!(answer(&server, request("GET", "/", &[])).text(), "hello\n");
}

#[test]
fn an_empty_packet_is_logged_with_where_it_came_from() {
    let server = server();
    let mut connection = server.connect();
    connection.send([0; 4]);
    connection.assert_closed();
    server.wait_for_log(&["connection from 127.0.0.1:", "an empty uwsgi packet"]);
}

#[test]
fn protocol_says_what_a_socket_speaks() {
    let server = Server::new()
        .ini("socket = 127.0.0.1:0\nprotocol = http\nmodule = app\n")
        .start();
    assert_eq!(Connection::tcp(server.port()).get("/").text(), "hello\n");
}
