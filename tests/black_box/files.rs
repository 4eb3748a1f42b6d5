//! `wsgi.file_wrapper`: files that are sent without being read.

use std::fs::OpenOptions;

use crate::support::{HTTP, Running, Server, packet, soon};

/// Serves `data`, a part of it, or something that is no plain file, by what the path says; tells when it is closed.
const APP: &str = r#"
import io, os, sys

class Told:
    """A file behind an object that hands its methods out, as Django's File does."""
    def __init__(self, file):
        self.file = file
    read = property(lambda self: self.file.read)
    def close(self):
        self.file.close()
        print('file closed', file=sys.stderr, flush=True)

def application(environ, start_response):
    kind, _, rest = environ['PATH_INFO'].lstrip('/').partition('/')
    file = open('data', 'rb')
    fields = [('Content-Type', 'application/octet-stream')]
    if kind == 'range':
        start, length = map(int, rest.split('-'))
        file.seek(start)
        fields.append(('Content-Length', str(length)))
    if kind == 'pipe':
        reader, writer = os.pipe()
        os.write(writer, b'through a pipe')
        os.close(writer)
        file = open(reader, 'rb')
    if kind == 'bytes':
        file = io.BytesIO(file.read())
    if kind == 'descriptors':
        start_response('200 OK', [])
        return [str(len(os.listdir('/proc/self/fd'))).encode()]
    if kind == 'offers':
        start_response('200 OK', [])
        return [str('wsgi.file_wrapper' in environ).encode()]
    write = start_response('304 Not Modified' if kind == 'unmodified' else '200 OK', fields)
    if kind == 'written':
        write(b'written, ')
    return environ['wsgi.file_wrapper'](Told(file), 65536)
"#;

fn content(length: u32) -> Vec<u8> {
    (0..length).map(|number| (number % 251) as u8).collect()
}

fn serving(content: &[u8], ini: &str) -> Running {
    let ini = format!("{HTTP}socket = %duwsgi.sock\n{ini}");
    Server::new().app(APP).file("data", content).ini(&ini).start()
}

#[test]
fn a_file_arrives_whole_and_the_connection_stays() {
    let content = content(3_000_000);
    for threads in [1, 3] {
        let server = serving(&content, &format!("threads = {threads}\n"));
        let mut connection = server.connect();
        for _ in 0..3 {
            let response = connection.get("/");
            assert_eq!(response.header("Content-Length"), Some("3000000"));
            assert!(response.body == content);
        }
        soon("all are closed", || server.count_log("file closed") == 3);
        let mut uwsgi = server.connect_unix("uwsgi.sock");
        uwsgi.send(packet::request("GET", "/", &[]));
        assert!(uwsgi.response().body == content);
    }
}

#[test]
fn a_range_of_a_file_is_what_content_length_says() {
    let content = content(300_000);
    let server = serving(&content, "");
    let mut connection = server.connect();
    assert!(connection.get("/range/1000-200000").body == content[1000..201_000]);
    assert!(connection.get("/range/299999-1").body == content[299_999..]);
    assert_eq!(connection.get("/range/5-0").body, b"");
    assert!(connection.get("/").body == content);
    // More than there is: the client is not left waiting.
    connection.send("GET /range/299990-20 HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(connection.head().unwrap().status, 200);
    assert_eq!(connection.rest_until_cut(), &content[299_990..]);
}

#[test]
fn what_is_written_before_goes_before_in_chunks_or_until_the_end() {
    let content = content(100_000);
    let expected = [b"written, ", &content[..]].concat();
    let server = serving(&content, "");
    let mut connection = server.connect();
    let response = connection.get("/written");
    assert_eq!(response.header("Transfer-Encoding"), Some("chunked"));
    assert!(response.body == expected);
    connection.send("GET /written HTTP/1.0\r\n\r\n");
    assert!(connection.response().body == expected);
    let mut uwsgi = server.connect_unix("uwsgi.sock");
    uwsgi.send(packet::request("GET", "/written", &[]));
    assert!(uwsgi.response().body == expected);
}

#[test]
fn an_answer_without_a_body_has_none_of_the_file_and_closes_it() {
    let server = serving(&content(100_000), "");
    let mut connection = server.connect();
    connection.send("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(connection.head().unwrap().status, 200);
    assert_eq!(connection.get("/unmodified").status, 304);
    assert_eq!(connection.get("/bytes").body.len(), 100_000);
    soon("all are closed", || server.count_log("file closed") == 3);
}

#[test]
fn what_is_no_plain_file_is_read() {
    let content = content(100_000);
    let server = serving(&content, "");
    let mut connection = server.connect();
    assert_eq!(connection.get("/pipe").text(), "through a pipe");
    assert!(connection.get("/bytes").body == content);
}

#[test]
fn a_client_that_does_not_read_holds_no_one_up_and_one_that_goes_closes_the_file() {
    let content = content(30_000_000);
    let server = serving(&content, "");
    let mut slow = server.connect();
    slow.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(slow.head().unwrap().status, 200);
    let mut gone = server.connect();
    gone.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(gone.head().unwrap().status, 200);
    assert_eq!(server.get("/range/0-3").body, &content[..3]);
    drop(gone);
    soon("two are closed", || server.count_log("file closed") == 2);
    let mut body = vec![0; content.len()];
    slow.read_exact(&mut body);
    assert!(body == content);
    soon("all are closed", || server.count_log("file closed") == 3);
}

#[test]
fn a_file_that_shrinks_is_cut_short_and_not_filled_up() {
    let content = content(30_000_000);
    let server = serving(&content, "");
    let mut connection = server.connect();
    connection.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let head = connection.head().unwrap();
    assert_eq!(head.header("Content-Length"), Some("30000000"));
    let file = OpenOptions::new().write(true).open(server.file("data"));
    file.unwrap().set_len(8192).unwrap();
    let body = connection.rest_until_cut();
    assert!(body.len() < content.len(), "{}", body.len());
    // Not all of what was on its way: the kernel sends pages of the file, and truncate(2) clears them.
    assert!(body[..8192] == content[..8192]);
    server.wait_for_log(&["cut: the file became shorter while it was sent"]);
    soon("it is closed", || server.count_log("file closed") == 1);
    assert_eq!(server.get("/").body.len(), 8192);
}

#[test]
fn no_descriptor_stays_behind() {
    let server = serving(&content(50_000), "");
    let mut connection = server.connect();
    let before = connection.get("/descriptors").text().to_owned();
    for _ in 0..50 {
        assert_eq!(connection.get("/").body.len(), 50_000);
        let mut gone = server.connect();
        gone.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    soon("all are closed", || {
        connection.get("/descriptors").text() == before
    });
}

#[test]
fn it_can_be_left_out() {
    let server = serving(b"", "wsgi-disable-file-wrapper = true\n");
    assert_eq!(server.get("/offers").text(), "False");
    assert_eq!(serving(b"", "").get("/offers").text(), "True");
}
