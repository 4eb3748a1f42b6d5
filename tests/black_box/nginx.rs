//! Behind Debian's nginx: `uwsgi_pass` over a unix socket to Django.

use crate::frameworks::django;
use crate::support::nginx::Nginx;
use crate::support::{Running, Server};

/// The usual server block.
fn pass(server: &Running) -> Option<Nginx> {
    let socket = server.file("uwsgi.sock");
    Nginx::start(&format!(
        "location / {{ include /etc/nginx/uwsgi_params; uwsgi_pass unix:{}; }}",
        socket.display()
    ))
}

/// Django on a unix socket with nginx in front.
fn site() -> Option<(Running, Nginx)> {
    let server = django("socket = %duwsgi.sock\nchmod-socket = 666\nprocesses = 2\n")?.start();
    let nginx = pass(&server)?;
    Some((server, nginx))
}

#[test]
fn a_page_is_served() {
    let Some((_server, nginx)) = site() else { return };
    let mut connection = nginx.connect();
    for _ in 0..20 {
        let response = connection.get("/");
        assert_eq!(response.status, 200, "{}", nginx.error_log());
        assert!(response.text().contains("Guestbook"), "{}", response.text());
    }
}

#[test]
fn a_query_and_headers_reach_the_application() {
    let Some((_server, nginx)) = site() else { return };
    let mut connection = nginx.connect();
    connection.send(
        "GET /echo/a%20b?q=1&q=2 HTTP/1.1\r\nHost: example.org\r\nX-Odd: one\r\nX-Odd: two\r\n\
         Cookie: a=1\r\nCookie: b=2\r\n\r\n",
    );
    let response = connection.response();
    let text = response.text();
    for part in [
        "\"path\": \"/echo/a b\"",
        "\"q\": [\"1\", \"2\"]",
        "\"a\": \"1\"",
        "\"b\": \"2\"",
        "one, two",
    ] {
        assert!(
            text.contains(part) || text.contains(&part.replace(", ", ",")),
            "{part}\n{text}"
        );
    }
}

#[test]
fn headers_that_are_repeated_arrive_apart() {
    let Some((_server, nginx)) = site() else { return };
    let response = nginx.connect().get("/cookies");
    assert_eq!(
        response.headers("Set-Cookie").count(),
        2,
        "{:?}",
        response.headers
    );
}

#[test]
fn an_upload_arrives_whole() {
    let Some((_server, nginx)) = site() else { return };
    let file: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    let (content_type, body) = crate::frameworks::form_with_file(&file);
    let mut connection = nginx.connect();
    connection.send(format!(
        "POST /upload HTTP/1.1\r\nHost: example.org\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    ));
    connection.send(body);
    let response = connection.response();
    assert_eq!(response.status, 200, "{}", response.text());
    assert!(
        response.text().contains("\"bytes\": 3000000"),
        "{}",
        response.text()
    );
}

#[test]
fn a_chunked_upload_arrives_whole() {
    let Some((_server, nginx)) = site() else { return };
    let mut connection = nginx.connect();
    connection.send(
        "POST /echo/ HTTP/1.1\r\nHost: example.org\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    );
    let response = connection.response();
    assert!(
        response.text().contains("\"body\": \"hello\""),
        "{}",
        response.text()
    );
}

#[test]
fn a_stream_arrives_piece_by_piece() {
    let Some((server, _nginx)) = site() else { return };
    let socket = server.file("uwsgi.sock");
    let nginx = Nginx::start(&format!(
        "location / {{ include /etc/nginx/uwsgi_params; uwsgi_pass unix:{}; uwsgi_buffering off; }}",
        socket.display()
    ))
    .unwrap();
    let mut connection = nginx.connect();
    connection.send("GET /stream?lines=3&pause=0.5 HTTP/1.1\r\nHost: example.org\r\n\r\n");
    assert_eq!(connection.head().unwrap().status, 200);
    let first = std::time::Instant::now();
    let mut text = connection.chunk().unwrap().unwrap();
    while let Some(chunk) = connection.chunk().unwrap() {
        text.extend_from_slice(&chunk);
    }
    assert_eq!(String::from_utf8(text).unwrap(), "line 1\nline 2\nline 3\n");
    assert!(first.elapsed().as_millis() > 500, "the pieces came together");
}

#[test]
fn a_redirect_and_a_missing_page_are_passed_on() {
    let Some((_server, nginx)) = site() else { return };
    let mut connection = nginx.connect();
    let response = connection.get("/admin/");
    assert_eq!(response.status, 302);
    assert!(
        response
            .header("Location")
            .is_some_and(|place| place.contains("/admin/login/"))
    );
    assert_eq!(connection.get("/nowhere").status, 404);
}

#[test]
fn many_requests_find_a_worker() {
    let Some((_server, nginx)) = site() else { return };
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let mut connection = nginx.connect();
            std::thread::spawn(move || (0..50).filter(|_| connection.get("/").status == 200).count())
        })
        .collect();
    let answered: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
    assert_eq!(answered, 400, "{}", nginx.error_log());
}

#[test]
fn an_empty_answer_is_no_502() {
    let server = Server::new().ini("socket = %duwsgi.sock\nmodule = app\n").start();
    let Some(nginx) = pass(&server) else { return };
    let mut connection = nginx.connect();
    assert_eq!(connection.get("/zeros/0").status, 200);
    assert_eq!(connection.get("/status/204%20No%20Content").status, 204);
    assert_eq!(connection.get("/fail").status, 500);
    connection.send("HEAD / HTTP/1.1\r\nHost: example.org\r\n\r\n");
    assert_eq!(connection.head().unwrap().status, 200);
    assert_eq!(connection.get("/").text(), "hello\n");
}
