//! Every example and the main job, run as their readers run them: with the `.ini` that lies beside them.

use std::path::Path;

use crate::frameworks::{django, examples};
use crate::support::{Server, packet, venv};

/// The text of an example's ini as if it lay where it lies, with what tests can't share changed: `changes` are the
/// lines' values, before and after.
pub(crate) fn ini(path: &Path, changes: &[(&str, &str)]) -> String {
    let mut text = std::fs::read_to_string(path).unwrap();
    for (before, after) in changes {
        assert!(
            text.contains(before),
            "{} has no {before:?}:\n{text}",
            path.display()
        );
        text = text.replace(before, after);
    }
    text.replace("%d", &format!("{}/", path.parent().unwrap().display()))
}

/// No test may have port 8000 for itself.
pub(crate) const FREE_PORT: (&str, &str) = ("http = :8000", "http = 127.0.0.1:0");

#[test]
fn the_page_shows_its_environ() {
    let text = ini(&examples().join("page/uwsgi.ini"), &[FREE_PORT]);
    let server = Server::new()
        .file("example.ini", text)
        .args(["example.ini"])
        .start();
    let page = server.get("/some/where?a=b");
    assert_eq!(page.status, 200);
    for part in ["/some/where", "QUERY_STRING", "wsgi.input"] {
        assert!(page.text().contains(part), "{part}\n{}", page.text());
    }
    assert_eq!(
        server
            .get("/?%3Cscript%3E<script>")
            .text()
            .matches("<script>")
            .count(),
        0
    );
}

#[test]
fn the_gevent_example_asks_three_at_once_while_clocks_tick() {
    let Some(home) = venv::with("gevent") else { return };
    let changes = [FREE_PORT, ("%d.venv", home.to_str().unwrap())];
    let text = ini(&examples().join("gevent/uwsgi.ini"), &changes);
    let server = Server::new()
        .file("example.ini", text)
        .args(["example.ini"])
        .start();
    let mut clocks: Vec<_> = (0..5).map(|_| server.connect()).collect();
    for clock in &mut clocks {
        clock.send("GET /clock HTTP/1.1\r\nHost: example.org\r\n\r\n");
        assert_eq!(clock.head().unwrap().status, 200);
    }
    let page = server.get("/");
    for part in ["one answered", "two answered", "three answered"] {
        assert!(page.text().contains(part), "{}", page.text());
    }
    for clock in &mut clocks {
        for _ in 0..2 {
            assert_eq!(clock.chunk().unwrap().map(|tick| tick.len()), Some(9));
        }
    }
}

#[test]
fn the_flask_example_is_served() {
    let Some(home) = venv::frameworks() else { return };
    let changes = [FREE_PORT, ("%d.venv", home.to_str().unwrap())];
    let text = ini(&examples().join("flask/uwsgi.ini"), &changes);
    let server = Server::new()
        .file("example.ini", text)
        .args(["example.ini"])
        .start();
    assert!(server.get("/").text().contains("Hello"));
}

#[test]
fn the_main_job_is_served_over_http_and_uwsgi() {
    let Some(home) = venv::frameworks() else { return };
    let main = Path::new(env!("CARGO_MANIFEST_DIR")).join(".config/uwsgi.ini");
    // Its database is not that of whoever tries the example at this moment.
    let Some(server) = django("") else { return };
    let socket = server.path().join("here.sock");
    let changes = [
        FREE_PORT,
        ("%(project)/.venv", home.to_str().unwrap()),
        ("%(project)/uwsgi.sock", socket.to_str().unwrap()),
    ];
    let server = server
        .file("main.ini", ini(&main, &changes))
        .without_ini()
        .args(["--ini", "main.ini"])
        .start();
    assert!(server.get("/").text().contains("Guestbook"));
    let mut connection = server.connect_unix("here.sock");
    connection.send(packet::request("GET", "/", &[]));
    assert!(connection.response().text().contains("Guestbook"));
}
