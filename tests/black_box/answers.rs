//! Answers of Django and Flask that are more than a page: streams, files, ranges of files, large uploads, and middleware
//! around them.

use crate::frameworks::form_with_file;
use crate::support::{HTTP, Running, Server, soon, venv};

const DJANGO: &str = r#"
import sys
import django
from django.conf import settings
settings.configure(
    DEBUG=False, ALLOWED_HOSTS=['*'], ROOT_URLCONF=__name__, SECRET_KEY='x',
    MIDDLEWARE=['django.middleware.gzip.GZipMiddleware', 'django.middleware.http.ConditionalGetMiddleware'],
)
from django.core.signals import request_finished
from django.core.wsgi import get_wsgi_application
from django.http import FileResponse, HttpResponse, StreamingHttpResponse
from django.urls import path

request_finished.connect(lambda **_: print('finished', flush=True), weak=False)

def stream(request, pieces):
    def body():
        try:
            for number in range(pieces):
                yield f'piece {number}\n' * 100
        finally:
            print('stream closed', flush=True)
    return StreamingHttpResponse(body(), content_type='text/plain')

def file(request, kind):
    opened = open('data', 'rb')
    if kind == 'tail':
        opened.seek(1000)
    return FileResponse(opened, as_attachment=True, filename='data')

def upload(request):
    sizes = [part.size for part in request.FILES.values()]
    return HttpResponse(repr(sizes))

def peak(request):
    status = open('/proc/self/status').read()
    return HttpResponse(status.split('VmHWM:')[1].split()[0])

urlpatterns = [path('stream/<int:pieces>', stream), path('file/<kind>', file), path('upload', upload), path('peak', peak)]
application = get_wsgi_application()
"#;

const FLASK: &str = r#"
from flask import Flask, Response, request, send_file, stream_with_context

app = Flask(__name__)

@app.get('/file')
def file():
    return send_file('data', conditional=True, mimetype='application/octet-stream')

@app.get('/stream')
def stream():
    def body():
        for number in range(3):
            yield f"{request.args['word']} {number}\n"
        print('stream closed', flush=True)
    return Response(stream_with_context(body()), mimetype='text/plain')

class Swallows:
    """A middleware that iterates over an answer and forgets to close it."""
    def __init__(self, application):
        self.application = application
    def __call__(self, environ, start_response):
        return (piece.upper() for piece in self.application(environ, start_response))

application = Swallows(app) if 'swallow' in __import__('os').environ else app
"#;

fn content() -> Vec<u8> {
    (0..300_000_u32).map(|number| (number % 251) as u8).collect()
}

fn serving(app: &str, ini: &str) -> Option<Server> {
    let home = venv::frameworks()?;
    let ini = format!("{HTTP}home = {}\n{ini}", home.display());
    Some(Server::new().app(app).file("data", content()).ini(&ini))
}

fn django(threads: usize) -> Option<Running> {
    Some(serving(DJANGO, &format!("threads = {threads}\n"))?.start())
}

#[test]
fn django_streams_and_files_arrive_whole_and_are_closed() {
    for threads in [1, 2] {
        let Some(server) = django(threads) else { return };
        let mut connection = server.connect();
        let expected: String = (0..5)
            .map(|number| format!("piece {number}\n").repeat(100))
            .collect();
        assert_eq!(connection.get("/stream/5").text(), expected);
        soon("it is closed", || server.count_log("stream closed") == 1);
        let response = connection.get("/file/all");
        assert_eq!(response.header("Content-Length"), Some("300000"));
        assert!(response.body == content());
        assert!(connection.get("/file/tail").body == content()[1000..]);
        soon("all have finished", || server.count_log("finished") == 3);
        let mut gone = server.connect();
        gone.send("GET /stream/1000000 HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(gone.head().unwrap().status, 200);
        drop(gone);
        soon("it is closed, and Django told", || {
            (server.count_log("stream closed"), server.count_log("finished")) == (2, 4)
        });
    }
}

#[test]
fn django_s_gzip_is_sent_as_it_is_made() {
    let Some(server) = django(1) else { return };
    let mut connection = server.connect();
    for target in ["/stream/5", "/file/all"] {
        connection.send(format!(
            "GET {target} HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n"
        ));
        let response = connection.response();
        assert_eq!(response.header("Content-Encoding"), Some("gzip"), "{target}");
        assert_eq!(response.header("Transfer-Encoding"), Some("chunked"), "{target}");
        assert_eq!(&response.body[..2], b"\x1f\x8b", "{target}");
    }
    soon("both have finished", || server.count_log("finished") == 2);
}

#[test]
fn an_upload_of_100_mebibytes_to_django_stays_out_of_memory() {
    let Some(server) = django(1) else { return };
    let mut connection = server.connect();
    let peak = |connection: &mut crate::support::Connection| -> u64 {
        connection.get("/peak").text().parse().unwrap()
    };
    let (content_type, body) = form_with_file(&vec![b'x'; 100 << 20]);
    let before = peak(&mut connection);
    connection.send(format!(
        "POST /upload HTTP/1.1\r\nHost: x\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    ));
    connection.send(&body);
    assert_eq!(connection.response().text(), "[104857600]");
    let grown = peak(&mut connection) - before;
    assert!(grown < 8 * 1024, "{grown} KiB more at the peak");
}

#[test]
fn flask_sends_files_and_ranges_of_them() {
    let Some(server) = serving(FLASK, "") else { return };
    let server = server.start();
    let mut connection = server.connect();
    let response = connection.get("/file");
    assert!(response.body == content());
    let tag = response.header("ETag").unwrap().to_owned();
    let mut ask = |field: &str| {
        connection.send(format!("GET /file HTTP/1.1\r\nHost: x\r\n{field}\r\n\r\n"));
        connection.response()
    };
    let response = ask("Range: bytes=1000-200999");
    assert_eq!(
        (response.status, response.header("Content-Range")),
        (206, Some("bytes 1000-200999/300000"))
    );
    assert!(response.body == content()[1000..201_000]);
    assert_eq!(ask(&format!("If-None-Match: {tag}")).status, 304);
    assert!(ask("Range: bytes=-10").body == content()[299_990..]);
}

#[test]
fn flask_streams_with_its_context_and_a_middleware_may_forget_to_close() {
    for (swallows, expected) in [(false, "a 0\na 1\na 2\n"), (true, "A 0\nA 1\nA 2\n")] {
        let Some(mut server) = serving(FLASK, "threads = 2\n") else {
            return;
        };
        if swallows {
            server = server.env("swallow", "1");
        }
        let server = server.start();
        let mut connection = server.connect();
        for _ in 0..3 {
            assert_eq!(connection.get("/stream?word=a").text(), expected);
        }
        soon("all are over", || server.count_log("stream closed") == 3);
        let mut gone = server.connect();
        gone.send("GET /stream?word=a HTTP/1.1\r\nHost: x\r\n\r\n");
        drop(gone);
        assert_eq!(connection.get("/stream?word=a").text(), expected);
    }
}
