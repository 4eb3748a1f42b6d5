//! Context variables (PEP 567) of a WSGI exchange: the call, every piece and `close()` have the same ones, whichever threads
//! they run on, and nobody else has them meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::support::{Connection, HTTP, Running, Server, venv};

/// What every application here has: how its threads are told, and when a stream has seen enough of them.
const COMMON: &str = r#"
import contextvars, os, sys, threading, time

WHO = contextvars.ContextVar("who", default="nobody")

def pieces_of(name, threads):
    """Large pieces, all asked for on one thread."""
    for number in range(21):
        threads.add(threading.get_ident())
        assert WHO.get() == name, f"{name} is {WHO.get()}"
        assert len(threads) == 1, threads
        yield b"end" if number == 20 else b"x" * 40000

def said(text):
    print(text, file=sys.stderr, flush=True)
"#;

const BARE: &str = r#"
class Held:
    """Sets a variable where it is called, and resets it, by its token, where it is closed."""
    def __init__(self, name, raises=False):
        self.name, self.raises, self.threads = name, raises, set()
        self.token = WHO.set(name)
    def __iter__(self):
        yield from pieces_of(self.name, self.threads)
        if self.raises:
            raise LookupError("failed at the end")
    def close(self):
        assert WHO.get() == self.name, WHO.get()
        WHO.reset(self.token)
        said(f"closed {self.name}")

def application(environ, start_response):
    _, name, *rest = environ["PATH_INFO"].split("/")
    start_response("200 OK", [("Content-Type", "text/plain")])
    if name == "held":
        return Held(rest[0], raises="raises" in rest)
    if name == "file":
        token = WHO.set("file")
        class Closed:
            """A plain file, which the kernel sends."""
            def __init__(self, file):
                self.read, self.file = file.read, file
            def close(self):
                WHO.reset(token)
                said("closed the file")
        return environ["wsgi.file_wrapper"](Closed(open(__file__, "rb")))
    if name == "wait":
        time.sleep(0.002)
    if name == "keep":
        before = WHO.get()
        WHO.set(rest[0])
        return [before.encode()]
    return [WHO.get().encode()]
"#;

const FLASK: &str = r#"
from flask import Flask, Response, g, request, stream_with_context

app = application = Flask(__name__)

@app.get("/")
def index():
    time.sleep(0.002)
    return WHO.get()

@app.get("/held/<name>")
def held(name):
    token = WHO.set(name)
    g.name = name
    def pieces():
        try:
            for piece in pieces_of(name, set()):
                assert (request.path, g.name) == (f"/held/{name}", name)
                yield piece
        finally:
            WHO.reset(token)
            said(f"closed {name}")
    return Response(stream_with_context(pieces()))
"#;

const DJANGO: &str = r#"
from django.conf import settings
settings.configure(
    ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, MIDDLEWARE=[f"{__name__}.middleware"],
    CACHES={"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}},
)
import django
django.setup()
from django.core.cache import caches
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path
from django.utils import translation

def middleware(get_response):
    """A variable for the time of a request, streamed or not."""
    def ask(request):
        name = request.path.rpartition("/")[2]
        token = WHO.set(name)
        response = get_response(request)
        if not response.streaming:
            WHO.reset(token)
            return response
        def pieces(content):
            try:
                yield from content
            finally:
                WHO.reset(token)
                said(f"closed {name}")
        response.streaming_content = pieces(response.streaming_content)
        return response
    return ask

def held(request, name):
    translation.activate("de")
    return StreamingHttpResponse(spoken(name))

def spoken(name):
    for piece in pieces_of(name, set()):
        # Django's own variables are of a thread as well.
        assert translation.get_language() == "de", translation.get_language()
        yield piece

def cache(request):
    return HttpResponse(str(id(caches["default"])))

def index(request):
    time.sleep(0.002)
    return HttpResponse(WHO.get())

urlpatterns = [path("anyone", index), path("cache", cache), path("held/<name>", held)]
application = WSGIHandler()
"#;

fn server(app: &str, lines: &str, threads: usize) -> Running {
    Server::new()
        .app(&format!("{COMMON}{app}"))
        .ini(&format!(
            "{HTTP}disable-logging = true\nthreads = {threads}\n{lines}"
        ))
        .start()
}

/// A server whose application needs the frameworks. `None` where there are none.
fn with_framework(app: &str, threads: usize) -> Option<Running> {
    let home = venv::frameworks()?;
    Some(server(app, &format!("home = {}\n", home.display()), threads))
}

/// Streams side by side, read slowly while others ask, each to its end.
fn read_slowly(server: &Running, path: &str, others_have: &str) {
    let done = Arc::new(AtomicBool::new(false));
    let mut streams: Vec<Connection> = (0..5)
        .map(|number| server.ask(&format!("/held/{number}")))
        .collect();
    let others: Vec<_> = (0..3)
        .map(|_| {
            let (mut other, done) = (server.connect(), Arc::clone(&done));
            let (path, others_have) = (path.to_owned(), others_have.to_owned());
            thread::spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    let answer = other.get(&path);
                    assert_eq!((answer.status, answer.text()), (200, &*others_have));
                }
            })
        })
        .collect();
    let mut open = Vec::new();
    for stream in &mut streams {
        assert_eq!(stream.head().unwrap().status, 200);
        open.push(stream);
    }
    while !open.is_empty() {
        open.retain_mut(|stream| match stream.chunk() {
            Ok(Some(chunk)) if chunk.ends_with(b"end") => stream.chunk().unwrap().is_some(),
            Ok(Some(chunk)) => {
                assert!(chunk.ends_with(b"x"), "{:?}", String::from_utf8_lossy(&chunk));
                true
            }
            Ok(None) => panic!("the end came before its word"),
            Err(error) => panic!("{error}\n{}", server.log()),
        });
    }
    done.store(true, Ordering::Relaxed);
    for other in others {
        other.join().unwrap();
    }
    for number in 0..5 {
        server.wait_for_log(&[&format!("closed {number}")]);
    }
    let log = server.log();
    assert!(!log.contains("Traceback"), "{log}");
}

#[test]
fn the_pieces_of_a_stream_and_its_end_have_the_context_of_its_call() {
    for threads in [1, 4] {
        let server = server(BARE, "", threads);
        read_slowly(&server, "/wait", "nobody");
    }
}

#[test]
fn so_they_have_beside_an_asgi_application() {
    let lines = "manage-script-name = true\nmount = /beside=beside:application\n";
    let server = Server::new()
        .app(&format!("{COMMON}{BARE}"))
        .file("beside.py", "async def application(scope, receive, send): ...")
        .ini(&format!("{HTTP}disable-logging = true\n{lines}"))
        .start();
    read_slowly(&server, "/wait", "nobody");
}

#[test]
fn close_has_it_after_an_error_when_the_client_is_gone_and_after_a_file() {
    for threads in [1, 4] {
        let server = server(BARE, "", threads);
        let mut failing = server.ask("/held/failing/raises");
        assert_eq!(failing.head().unwrap().status, 200);
        let mut leaving = server.ask("/held/leaving");
        assert_eq!(leaving.head().unwrap().status, 200);
        drop(leaving);
        let others: Vec<Connection> = (0..4).map(|_| server.ask("/wait")).collect();
        while let Ok(Some(_)) = failing.chunk() {}
        drop(others);
        assert!(server.get("/file").text().contains("ContextVar"));
        for closed in ["closed leaving", "closed failing", "closed the file"] {
            server.wait_for_log(&[closed]);
        }
        assert_eq!(server.count_log("Traceback"), 1, "{}", server.log());
        assert_eq!(server.get("/who").text(), "nobody");
    }
}

#[test]
fn nobody_else_has_the_context_of_a_stream_that_is_under_way() {
    let server = server(BARE, "", 1);
    let streams: Vec<Connection> = (0..3)
        .map(|number| server.ask(&format!("/held/{number}")))
        .collect();
    for _ in 0..10 {
        assert_eq!(server.get("/who").text(), "nobody");
    }
    drop(streams);
}

#[test]
fn what_an_application_leaves_there_is_found_as_on_a_thread() {
    let server = server(BARE, "", 1);
    assert_eq!(server.get("/keep/first").text(), "nobody");
    assert_eq!(server.get("/keep/second").text(), "first");
    assert_eq!(server.get("/who").text(), "second");
}

#[test]
fn flask_streams_with_its_context() {
    let Some(server) = with_framework(FLASK, 4) else {
        return;
    };
    read_slowly(&server, "/", "nobody");
}

#[test]
fn django_streams_with_a_variable_of_the_request() {
    let Some(server) = with_framework(DJANGO, 4) else {
        return;
    };
    read_slowly(&server, "/anyone", "anyone");
}

#[test]
fn django_keeps_its_caches_from_one_request_to_the_next() {
    let Some(server) = with_framework(DJANGO, 1) else {
        return;
    };
    let first = server.get("/cache").text().to_owned();
    for _ in 0..5 {
        assert_eq!(server.get("/cache").text(), first);
    }
}
