//! What a client may send: what is too much is refused with the option that allows more in one line of the log, and
//! the next client is served.

use crate::support::packet::request;
use crate::support::{HTTP, Running, Server, process, soon};

/// Asserts that there is one line of it, and that the next client is served.
fn assert_told_once(server: &Running, status: u16, option: &str) {
    let words = [
        &format!("refused with {status}: ") as &str,
        &format!("(raise {option} "),
    ];
    server.wait_for_log(&words);
    let log = server.log();
    let lines = log
        .lines()
        .filter(|line| words.iter().all(|word| line.contains(word)));
    assert_eq!(lines.count(), 1, "{log}");
    assert!(!log.contains(" error: "), "{log}");
}

#[test]
fn a_body_past_limit_post_is_refused_however_it_comes() {
    let options = "limit-post = 1000";
    for body in [
        "Content-Length: 1001\r\n\r\n".to_owned(),
        format!("Content-Length: 1001\r\n\r\n{}", "x".repeat(1001)),
        format!(
            "Transfer-Encoding: chunked\r\n\r\n1f4\r\n{0}\r\n1f5\r\n{0}x\r\n0\r\n\r\n",
            "x".repeat(500)
        ),
        "Transfer-Encoding: chunked\r\n\r\n3e9\r\n".to_owned(),
    ] {
        let server = Server::new().ini(&format!("{HTTP}{options}\n")).start();
        let mut connection = server.connect();
        connection.send(format!("POST /count HTTP/1.1\r\nHost: x\r\n{body}"));
        assert_eq!(connection.response().status, 413);
        connection.assert_closed();
        assert_told_once(&server, 413, "limit-post");
        assert_eq!(server.get("/count").text(), "1", "the application was called");
    }
    let server = Server::new()
        .ini(&format!("socket = 127.0.0.1:0\nmodule = app\n{options}\n"))
        .start();
    let mut connection = server.connect();
    connection.send(request("POST", "/count", &[("CONTENT_LENGTH", "1001")]));
    assert_eq!(connection.response().status, 413);
    connection.assert_closed();
    assert_told_once(&server, 413, "limit-post");
}

#[test]
fn a_body_of_limit_post_is_taken() {
    let server = Server::new().ini(&format!("{HTTP}limit-post = 1000\n")).start();
    assert_eq!(server.connect().post("/echo", [b'x'; 1000]).body.len(), 1000);
}

#[test]
fn a_head_past_buffer_size_is_refused() {
    for (status, head) in [
        (
            431,
            format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(2000)),
        ),
        (
            414,
            format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(2000)),
        ),
    ] {
        let server = Server::new().ini(&format!("{HTTP}buffer-size = 2000\n")).start();
        let mut connection = server.connect();
        connection.send(head);
        assert_eq!(connection.response().status, status);
        connection.assert_closed();
        assert_told_once(&server, status, "buffer-size");
        assert_eq!(server.get("/").text(), "hello\n");
    }
    let server = Server::new()
        .ini("socket = 127.0.0.1:0\nmodule = app\nbuffer-size = 2000\n")
        .start();
    let mut connection = server.connect();
    connection.send(request("GET", "/", &[("HTTP_X", &"x".repeat(2000))]));
    assert_eq!(connection.response().status, 431);
    connection.assert_closed();
    assert_told_once(&server, 431, "buffer-size");
}

#[test]
fn more_fields_than_max_vars_allows_are_refused() {
    let server = Server::new().ini(&format!("{HTTP}max-vars = 16\n")).start();
    let mut connection = server.connect();
    connection.send(format!(
        "GET / HTTP/1.1\r\nHost: x\r\n{}\r\n",
        "X: x\r\n".repeat(32)
    ));
    assert_eq!(connection.response().status, 431);
    connection.assert_closed();
    assert_told_once(&server, 431, "max-vars");
}

#[test]
fn a_body_past_post_buffering_goes_to_a_file() {
    let server = Server::new()
        .ini(&format!("{HTTP}post-buffering = 1000\n"))
        .start();
    let worker = server.workers()[0];
    let files = || {
        process::open_files(worker)
            .iter()
            .filter(|path| path.ends_with(" (deleted)"))
            .count()
    };
    let before = files();
    let mut connection = server.connect();
    connection.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\n\r\n");
    connection.send([b'x'; 1001]);
    soon("there is a file", || files() == before + 1);
    connection.send([b'x'; 999]);
    assert_eq!(connection.response().body, [b'x'; 2000]);
    soon("the file is gone", || files() == before);
}

#[test]
fn a_body_that_cannot_be_stored_is_refused_and_the_log_says_where() {
    let server = Server::new()
        .ini(&format!("{HTTP}post-buffering = 1000\n"))
        .env("TMPDIR", "/no/such/directory")
        .start();
    assert_eq!(server.connect().post("/echo", vec![b'x'; 5000]).status, 507);
    server.wait_for_log(&[
        "/no/such/directory: the body of a request could not be kept",
        "No such file",
    ]);
    server.wait_for_log(&["refused with 507: the request's body could not be stored"]);
    assert_eq!(server.connect().post("/echo", "short").text(), "short");
}
