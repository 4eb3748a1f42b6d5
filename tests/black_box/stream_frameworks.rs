//! What frameworks keep by thread belongs to a streamed answer as long as it is open: connections to a database, transactions,
//! sessions. Their readers are slow here, and other requests come and go meanwhile.

use crate::support::streams::{Reader, Shape, finish_all, wait_until_quiet};
use crate::support::{Running, Server, process, soon, venv};

/// What there is to be streamed: so many rows of so many bytes, 10 MiB.
const ROWS: Shape = Shape {
    pieces: 20_000,
    size: 512,
};

/// A database with the rows, and how an application tells that it has made one of them into a piece.
const COMMON: &str = r#"
import os, sqlite3, sys, threading

MADE = os.open("events", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

def made(text):
    os.write(MADE, b".")
    return text

def make_database():
    database = sqlite3.connect("rows.sqlite3")
    database.executescript("""
        PRAGMA journal_mode = WAL;
        CREATE TABLE IF NOT EXISTS note (id INTEGER PRIMARY KEY, text TEXT);
        CREATE TABLE IF NOT EXISTS line (id INTEGER PRIMARY KEY, text TEXT);
        WITH RECURSIVE number(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM number WHERE n < 19999)
        INSERT OR IGNORE INTO line SELECT n + 1, printf('%08d', n) || hex(zeroblob(252)) FROM number;
    """)
    database.close()

make_database()
"#;

const DJANGO: &str = r#"
from django.conf import settings
settings.configure(
    ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, USE_TZ=True,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "rows.sqlite3", "CONN_MAX_AGE": 0}},
)
import django
django.setup()
from django.core.wsgi import get_wsgi_application
from django.db import connection, models, transaction
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path
from django.utils import translation

class Line(models.Model):
    text = models.TextField()
    class Meta:
        app_label, db_table = "rows", "line"

class Note(models.Model):
    text = models.TextField()
    class Meta:
        app_label, db_table = "rows", "note"

LOCAL = threading.local()

def pieces(name):
    for line in Line.objects.order_by("id").iterator(chunk_size=100):
        assert (LOCAL.name, translation.get_language()) == (name, "de"), "another's"
        yield made(line.text)

def rows(request, name):
    LOCAL.name = name
    translation.activate("de")
    return StreamingHttpResponse(pieces(name))

def undone(request, name):
    """What is written while this is on its way would be undone with it, if it were in the same transaction."""
    LOCAL.name = name
    translation.activate("de")
    def body():
        with transaction.atomic():
            yield from pieces(name)
            transaction.set_rollback(True)
    return StreamingHttpResponse(body())

def note(request, text):
    LOCAL.name = "note"
    translation.activate("fr")
    Note.objects.create(text=text)
    return HttpResponse(f"{connection.in_atomic_block}")

def notes(request):
    return HttpResponse(" ".join(Note.objects.order_by("id").values_list("text", flat=True)))

def count(request):
    LOCAL.name = "count"
    translation.activate("fr")
    return HttpResponse(f"{Line.objects.count()}")

urlpatterns = [
    path("rows/<name>", rows), path("undone/<name>", undone), path("note/<text>", note), path("notes", notes),
    path("count", count),
]
application = get_wsgi_application()
"#;

const FLASK: &str = r#"
from flask import Flask, Response, g, request, stream_with_context

app = application = Flask(__name__)

class Session:
    """One connection for each thread, removed when a request is over: as SQLAlchemy's scoped sessions are."""
    local = threading.local()

    def database(self):
        if not hasattr(self.local, "database"):
            self.local.database = sqlite3.connect("rows.sqlite3")
        return self.local.database

    def remove(self):
        if hasattr(self.local, "database"):
            self.local.database.close()
            del self.local.database

session = Session()

@app.teardown_appcontext
def remove(error):
    session.remove()

@app.get("/rows/<name>")
def rows(name):
    g.name = name
    def body():
        # Here, as the view's own session is removed when the view is over, and this one when the stream is.
        found = session.database().execute("SELECT text FROM line ORDER BY id")
        while lines := found.fetchmany(100):
            assert (request.path, g.name) == (f"/rows/{name}", name), "another's"
            assert session.database().execute("SELECT count(*) FROM line").fetchone() == (20000,)
            for text, in lines:
                yield made(text)
    return Response(stream_with_context(body()))

@app.get("/count")
def count():
    return str(session.database().execute("SELECT count(*) FROM line").fetchone()[0])
"#;

/// A server of that application. `None`: there are no frameworks here.
fn serving(app: &str, lines: &str) -> Option<Running> {
    let home = venv::frameworks()?;
    println!("serving with {lines:?}");
    let server = Server::new().app(&format!("{COMMON}{app}")).ini(&format!(
        "http = 127.0.0.1:0\nsocket = %duwsgi.sock\nmodule = app\ndisable-logging = true\nhome = {}\n{lines}\n",
        home.display()
    ));
    Some(server.start())
}

/// Readers of these paths that read nothing, over either protocol in turn, once all of them wait.
fn readers(server: &Running, paths: &[&str]) -> Vec<Reader> {
    let reader = |(number, path): (usize, &&str)| {
        let open = if number % 2 == 0 {
            Reader::http_at
        } else {
            Reader::uwsgi_at
        };
        let name = path.rsplit('/').next().unwrap_or(path);
        open(server, name, path, ROWS)
    };
    let readers = paths.iter().enumerate().map(reader).collect();
    wait_until_quiet(server);
    readers
}

/// No one has been told of anything that went wrong.
fn assert_no_complaint(server: &Running) {
    let log = server.log();
    assert!(!log.contains("Traceback"), "{log}");
    assert!(!log.contains("error:"), "{log}");
}

const WORKERS: [&str; 5] = [
    "master = false",
    "threads = 1",
    "threads = 4",
    "harakiri = 60",
    "processes = 2\nthreads = 2",
];

/// Slow readers get all rows, and requests that end meanwhile take nothing from them.
fn assert_rows_are_streamed(app: &str) {
    for lines in WORKERS {
        let Some(server) = serving(app, lines) else {
            return;
        };
        let readers = readers(&server, &["/rows/a", "/rows/b", "/rows/c", "/rows/d", "/rows/e"]);
        for _ in 0..20 {
            assert_eq!(server.get("/count").text(), "20000");
        }
        finish_all(readers);
        assert_eq!(server.get("/count").text(), "20000");
        assert_no_complaint(&server);
    }
}

#[test]
fn django_s_rows_are_streamed_to_slow_readers_while_other_requests_end() {
    assert_rows_are_streamed(DJANGO);
}

#[test]
fn django_s_transaction_around_a_stream_is_no_one_else_s() {
    for lines in WORKERS {
        let Some(server) = serving(DJANGO, lines) else {
            return;
        };
        let readers = readers(&server, &["/undone/a", "/undone/b", "/rows/c", "/undone/d"]);
        let mut expected = Vec::new();
        for number in 0..12 {
            let text = format!("note-{number}");
            assert_eq!(
                server.get(&format!("/note/{text}")).text(),
                "False",
                "it is in a transaction"
            );
            expected.push(text);
        }
        finish_all(readers);
        assert_eq!(server.get("/notes").text(), expected.join(" "));
        assert_no_complaint(&server);
    }
}

#[test]
fn django_s_connection_is_closed_with_the_stream_whose_reader_is_gone() {
    for lines in ["master = false", "threads = 4", "harakiri = 60"] {
        let Some(server) = serving(DJANGO, lines) else {
            return;
        };
        let worker = server.workers()[0];
        let open = || {
            let files = process::open_files(worker);
            files.iter().filter(|path| path.ends_with("rows.sqlite3")).count()
        };
        let readers = readers(&server, &["/rows/a", "/undone/b", "/rows/c", "/undone/d"]);
        assert_eq!(open(), 4, "each stream has one of its own");
        drop(readers);
        soon("all connections to the database are closed", || open() == 0);
        assert_eq!(server.get("/count").text(), "20000");
        assert_no_complaint(&server);
    }
}

#[test]
fn flask_s_rows_are_streamed_from_a_session_of_the_thread() {
    assert_rows_are_streamed(FLASK);
}
