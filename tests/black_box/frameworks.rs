//! Django and Flask, straight over HTTP, in a real virtualenv.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::{Connection, Response, Running, Server, venv};

/// The repository's `examples/`.
pub(crate) fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

/// The Django project of `examples/`, with a database of its own. `None` where there is no virtualenv to run it in.
pub(crate) fn django(ini: &str) -> Option<Server> {
    let home = venv::frameworks()?;
    let project = examples().join("django");
    let common = format!(
        "chdir = {}\nhome = {}\nmodule = config.wsgi\n",
        project.display(),
        home.display()
    );
    let server = Server::new().ini(&format!("{common}{ini}"));
    let database = server.path().join("db.sqlite3");
    for words in [["migrate", "--verbosity=0"], ["createsuperuser", "--noinput"]] {
        let made = Command::new(home.join("bin/python"))
            .arg("manage.py")
            .args(words)
            .current_dir(&project)
            .env("DEMO_DATABASE", &database)
            .env("DJANGO_SUPERUSER_USERNAME", "admin")
            .env("DJANGO_SUPERUSER_PASSWORD", "open sesame")
            .env("DJANGO_SUPERUSER_EMAIL", "admin@example.org")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(made.success(), "manage.py {words:?}: {made}");
    }
    Some(server.env("DEMO_DATABASE", database))
}

fn django_over_http() -> Option<Running> {
    Some(django("http = 127.0.0.1:0\nprocesses = 2\n")?.start())
}

/// What puts a server on greenlets. `None`: there is no gevent.
fn greenlets() -> Option<&'static str> {
    venv::with("gevent").map(|_| "gevent = 20\ngevent-monkey-patch = true\n")
}

fn flask(lines: &str) -> Option<Running> {
    let home = venv::frameworks()?;
    let project = examples().join("flask");
    let ini = format!(
        "chdir = {}\nhome = {}\nmodule = app:app\nhttp = 127.0.0.1:0\n{lines}",
        project.display(),
        home.display()
    );
    Some(Server::new().ini(&ini).start())
}

/// A multipart form with one file: its Content-Type and its body.
pub(crate) fn form_with_file(file: &[u8]) -> (String, Vec<u8>) {
    let mut body =
        b"--boundary\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n".to_vec();
    body.extend_from_slice(file);
    body.extend_from_slice(b"\r\n--boundary--\r\n");
    ("multipart/form-data; boundary=boundary".to_owned(), body)
}

/// A browser as far as cookies and forms go.
struct Browser {
    connection: Connection,
    cookies: Vec<(String, String)>,
}

impl Browser {
    fn new(server: &Running) -> Self {
        Self {
            connection: server.connect(),
            cookies: Vec::new(),
        }
    }

    fn ask(&mut self, method: &str, target: &str, form: &[(&str, &str)]) -> Response {
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let fields: Vec<String> = form
            .iter()
            .map(|(name, value)| format!("{name}={}", escape(value)))
            .collect();
        let (cookies, body) = (cookies.join("; "), fields.join("&"));
        self.connection.send(format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\nCookie: {cookies}\r\nContent-Length: {}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\n\r\n{body}",
            body.len()
        ));
        let response = self.connection.response();
        for cookie in response.headers("Set-Cookie") {
            let (name, rest) = cookie.split_once('=').unwrap();
            let value = rest.split(';').next().unwrap_or_default();
            self.cookies.retain(|(have, _)| have != name);
            self.cookies.push((name.to_owned(), value.to_owned()));
        }
        response
    }

    fn get(&mut self, target: &str) -> Response {
        self.ask("GET", target, &[])
    }

    /// POSTs a form with the token that the page before it holds.
    fn submit(&mut self, target: &str, page: &Response, form: &[(&str, &str)]) -> Response {
        let token = token(page.text()).to_owned();
        let mut form = form.to_vec();
        form.push(("csrfmiddlewaretoken", &token));
        self.ask("POST", target, &form)
    }
}

fn escape(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn token(page: &str) -> &str {
    let (_, rest) = page
        .split_once("name=\"csrfmiddlewaretoken\" value=\"")
        .unwrap_or_else(|| panic!("{page}"));
    rest.split('"').next().unwrap()
}

#[test]
fn django_serves_a_page_and_keeps_what_is_posted() {
    let Some(server) = django_over_http() else { return };
    sign(&server);
}

#[test]
fn django_does_so_on_greenlets() {
    let Some(lines) = greenlets() else { return };
    let Some(server) = django(&format!("http = 127.0.0.1:0\nprocesses = 2\n{lines}")) else {
        return;
    };
    let server = server.start();
    sign(&server);
    sign(&server);
    let mut readers: Vec<Connection> = (0..30).map(|_| server.connect()).collect();
    for reader in &mut readers {
        reader.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
    for reader in &mut readers {
        assert_eq!(reader.response().text().matches("first!").count(), 2);
    }
}

/// Signs the guestbook.
fn sign(server: &Running) {
    let mut browser = Browser::new(server);
    let page = browser.get("/");
    assert_eq!(page.status, 200, "{}", page.text());
    let answer = browser.submit("/", &page, &[("name", "Ada"), ("text", "first!")]);
    assert_eq!(answer.status, 302, "{}", answer.text());
    assert!(browser.get("/").text().contains("first!"));
}

#[test]
fn django_lets_the_admin_in() {
    let Some(server) = django_over_http() else { return };
    let mut browser = Browser::new(&server);
    let login = browser.get("/admin/login/?next=/admin/");
    assert_eq!(login.status, 200);
    let form = [
        ("username", "admin"),
        ("password", "open sesame"),
        ("next", "/admin/"),
    ];
    let answer = browser.submit("/admin/login/?next=/admin/", &login, &form);
    assert_eq!(
        (answer.status, answer.header("Location")),
        (302, Some("/admin/")),
        "{}",
        answer.text()
    );
    let index = browser.get("/admin/");
    assert_eq!(index.status, 200);
    assert_eq!(
        browser.get("/static/admin/css/base.css").header("Content-Type"),
        Some("text/css")
    );
    assert!(index.text().contains("Log out"), "{}", index.text());
    let add = browser.get("/admin/guestbook/entry/add/");
    let answer = browser.submit(
        "/admin/guestbook/entry/add/",
        &add,
        &[("name", "Grace"), ("text", "by admin")],
    );
    assert_eq!(answer.status, 302, "{}", answer.text());
    assert!(browser.get("/").text().contains("by admin"));
}

#[test]
fn django_refuses_a_form_without_its_token() {
    let Some(server) = django_over_http() else { return };
    let mut browser = Browser::new(&server);
    assert_eq!(
        browser
            .ask("POST", "/", &[("name", "Eve"), ("text", "spam")])
            .status,
        403
    );
}

#[test]
fn django_takes_an_upload_and_streams_an_answer() {
    let Some(server) = django_over_http() else { return };
    let (content_type, body) = form_with_file(&vec![b'x'; 3_000_000]);
    let mut connection = server.connect();
    connection.send(format!(
        "POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    ));
    connection.send(body);
    let response = connection.response();
    assert!(
        response.text().contains("\"bytes\": 3000000"),
        "{}",
        response.text()
    );
    let response = connection.get("/stream?lines=3");
    assert_eq!(response.header("Transfer-Encoding"), Some("chunked"));
    assert_eq!(response.text(), "line 1\nline 2\nline 3\n");
}

#[test]
fn django_reports_its_own_errors() {
    let Some(server) = django_over_http() else { return };
    assert_eq!(server.get("/nowhere").status, 404);
    assert_eq!(server.get("/fail").status, 500);
    server.wait_for_log(&["LookupError: failed on purpose"]);
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn django_forgets_its_connections_at_a_fork() {
    let Some(server) = django_over_http() else { return };
    let clients: Vec<_> = (0..4)
        .map(|number| {
            let mut browser = Browser::new(&server);
            std::thread::spawn(move || {
                for round in 0..5 {
                    let page = browser.get("/");
                    let text = format!("{number}.{round}.");
                    let answer = browser.submit("/", &page, &[("name", "Ada"), ("text", &text)]);
                    assert_eq!(answer.status, 302, "{}", answer.text());
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    let page = server.get("/").text().to_owned();
    for number in 0..4 {
        assert!(page.contains(&format!("{number}.4.")), "{page}");
    }
}

#[test]
fn flask_serves_pages_forms_and_json() {
    let Some(server) = flask("") else { return };
    use_flask(&server);
}

#[test]
fn flask_does_so_on_greenlets() {
    let Some(lines) = greenlets() else { return };
    let Some(server) = flask(lines) else { return };
    use_flask(&server);
}

fn use_flask(server: &Running) {
    let mut browser = Browser::new(server);
    assert!(browser.get("/").text().contains("Hello"));
    let answer = browser.ask("POST", "/notes", &[("text", "remember")]);
    assert_eq!(answer.status, 302);
    assert!(browser.get("/").text().contains("remember"));
    let mut connection = server.connect();
    connection.send(
        "POST /sum HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n\
         9\r\n[1, 2, 3]\r\n0\r\n\r\n",
    );
    assert_eq!(connection.response().text().trim(), "{\"sum\":6}");
    assert_eq!(connection.get("/nowhere").status, 404);
}
