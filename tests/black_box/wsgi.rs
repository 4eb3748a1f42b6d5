//! What an application sees, and what becomes of what it does.

use std::collections::BTreeSet;

use crate::support::{HTTP, Running, Server, packet, soon, venv};

fn server() -> Running {
    Server::new().ini(HTTP).start()
}

/// What Python makes of an expression inside a worker.
fn evaluate(server: &Running, expression: &str) -> String {
    let escaped: String = expression.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let response = server.get(&format!("/eval?{escaped}"));
    assert_eq!(response.status, 200, "{expression}\n{}", server.log());
    response.text().to_owned()
}

/// `"NAME": "value"` as the toolbox shows an environ.
fn entry(name: &str, value: &str) -> String {
    format!("\"{name}\": {value}")
}

#[test]
fn the_environ_is_complete() {
    let server = server();
    let mut connection = server.connect();
    connection.send(
        "POST /environ/a%20b%2fc?q=%20 HTTP/1.1\r\nHost: example.org:8000\r\nContent-Type: text/x\r\n\
         Content-Length: 2\r\nX-Odd: \u{e9}\r\n\r\nhi",
    );
    let text = connection.response().text().to_owned();
    let port = format!("\"{}\"", server.port());
    let entries = [
        ("REQUEST_METHOD", "\"POST\""),
        ("SCRIPT_NAME", "\"\""),
        ("PATH_INFO", "\"/environ/a b/c\""),
        ("REQUEST_URI", "\"/environ/a%20b%2fc?q=%20\""),
        ("QUERY_STRING", "\"q=%20\""),
        ("CONTENT_TYPE", "\"text/x\""),
        ("CONTENT_LENGTH", "\"2\""),
        ("SERVER_PROTOCOL", "\"HTTP/1.1\""),
        ("SERVER_PORT", &port),
        ("REMOTE_ADDR", "\"127.0.0.1\""),
        ("HTTP_HOST", "\"example.org:8000\""),
        // Its two bytes of UTF-8, each a latin-1 character (PEP 3333).
        ("HTTP_X_ODD", "\"\\u00c3\\u00a9\""),
        ("wsgi.version", "[1, 0]"),
        ("wsgi.url_scheme", "\"http\""),
        ("wsgi.multithread", "false"),
        ("wsgi.multiprocess", "false"),
        ("wsgi.run_once", "false"),
    ];
    for (name, value) in entries {
        assert!(text.contains(&entry(name, value)), "{name}: {value}\n{text}");
    }
    for name in [
        "SERVER_NAME",
        "REMOTE_PORT",
        "wsgi.input",
        "wsgi.errors",
        "wsgi.file_wrapper",
    ] {
        assert!(text.contains(&format!("\"{name}\": ")), "{name}\n{text}");
    }
    assert!(!text.contains("HTTP_CONTENT_"), "{text}");
}

#[test]
fn both_protocols_give_the_same_environ() {
    let ini = format!("{HTTP}socket = %duwsgi.sock\n");
    let server = Server::new().ini(&ini).start();
    let mut http = server.connect();
    http.send(
        "GET /environ?a=b HTTP/1.1\r\nHost: example.org\r\nX-Forwarded-For: 192.0.2.7\r\nCookie: a=1\r\n\r\n",
    );
    let mut uwsgi = server.connect_unix("uwsgi.sock");
    let more = [("HTTP_X_FORWARDED_FOR", "192.0.2.7"), ("HTTP_COOKIE", "a=1")];
    uwsgi.send(packet::request("GET", "/environ?a=b", &more));
    let (http, uwsgi) = (http.response(), uwsgi.response());
    // Who is asked, by whom, is the connection's for one and the packet's for the other.
    let differing = [
        "REMOTE_",
        "SERVER_NAME",
        "SERVER_PORT",
        "DOCUMENT_ROOT",
        "REQUEST_SCHEME",
        "wsgi.input",
        "wsgi.errors",
    ];
    let same = |text: &str| -> BTreeSet<String> {
        let inside = text.trim_start_matches('{').trim_end_matches('}');
        let entries = inside
            .split(", \"")
            .map(|entry| entry.trim_matches('"').to_owned());
        entries
            .filter(|entry| !differing.iter().any(|name| entry.starts_with(name)))
            // nginx sends CONTENT_TYPE and CONTENT_LENGTH empty where there are none.
            .filter(|entry| !entry.starts_with("CONTENT_"))
            .map(|entry| entry.replacen("\": ", "=", 1))
            .collect()
    };
    assert_eq!(same(http.text()), same(uwsgi.text()));
    assert!(
        uwsgi.text().contains(&entry("REMOTE_ADDR", "\"192.0.2.7\"")),
        "{}",
        uwsgi.text()
    );
}

#[test]
fn https_in_front_shows_in_the_scheme() {
    let server = Server::new().ini("socket = 127.0.0.1:0\nmodule = app\n").start();
    let mut connection = server.connect();
    connection.send(packet::request("GET", "/environ", &[("HTTPS", "on")]));
    let text = connection.response().text().to_owned();
    assert!(text.contains(&entry("wsgi.url_scheme", "\"https\"")), "{text}");
}

#[test]
fn every_environ_is_a_new_one() {
    let app = "seen = []\n\
        def application(environ, start_response):\n\
        \x20   seen.append(environ)\n\
        \x20   environ['left'] = 'behind'\n\
        \x20   start_response('200 OK', [])\n\
        \x20   return [b'%d' % len({id(one) for one in seen})]\n";
    let server = Server::new().app(app).ini(HTTP).start();
    let mut connection = server.connect();
    for count in 1..5 {
        assert_eq!(connection.get("/").text(), count.to_string());
    }
}

#[test]
fn the_input_reads_as_a_file_does() {
    let app = "def application(environ, start_response):\n\
        \x20   body = environ['wsgi.input']\n\
        \x20   parts = [body.read(3), body.readline(), body.readline(2), *body, body.read(), body.read(5)]\n\
        \x20   start_response('200 OK', [])\n\
        \x20   return [repr(parts).encode()]\n";
    let server = Server::new().app(app).ini(HTTP).start();
    let mut connection = server.connect();
    let text = connection
        .post("/", "one line\ntwo\nthree\nfour")
        .text()
        .to_owned();
    assert_eq!(
        text,
        r"[b'one', b' line\n', b'tw', b'o\n', b'three\n', b'four', b'', b'']"
    );
}

#[test]
fn an_exception_is_a_500_with_its_traceback_in_the_log() {
    let server = server();
    let mut connection = server.connect();
    let response = connection.get("/fail");
    assert_eq!(response.status, 500);
    assert!(
        !response.text().contains("failed on purpose"),
        "{}",
        response.text()
    );
    server.wait_for_log(&["LookupError: failed on purpose"]);
    server.wait_for_log(&["Traceback (most recent call last)"]);
    server.wait_for_log(&["app.py", "in fail"]);
    assert_eq!(server.get("/").text(), "hello\n");
}

#[test]
fn an_exception_after_the_head_cuts_the_answer() {
    let server = server();
    let mut connection = server.connect();
    connection.send("GET /fail-late HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(connection.head().unwrap().status, 200);
    assert_eq!(connection.rest_until_cut(), b"half");
    server.wait_for_log(&["LookupError: failed late on purpose"]);
}

#[test]
fn an_application_that_never_starts_its_answer_is_a_500() {
    let server = server();
    assert_eq!(server.get("/silent").status, 500);
    server.wait_for_log(&["start_response"]);
}

#[test]
fn what_is_not_bytes_is_a_500_that_says_so() {
    let app = "def application(environ, start_response):\n\
        \x20   start_response('200 OK', [])\n\
        \x20   return ['text']\n";
    let server = Server::new().app(app).ini(HTTP).start();
    assert_eq!(server.get("/").status, 500);
    server.wait_for_log(&["bytes", "str"]);
}

#[test]
fn a_header_with_a_line_break_is_a_500_and_sends_nothing_of_it() {
    let server = server();
    for target in [
        "/headers?X-A=a%0d%0aX-Injected:%201",
        "/headers?X-A%0aX-Injected=1",
        "/headers?X%20A=1",
    ] {
        let response = server.get(target);
        assert_eq!(response.status, 500, "{target}");
        assert_eq!(response.header("X-Injected"), None, "{target}");
    }
}

#[test]
fn repeated_headers_of_an_answer_stay_apart() {
    let response = server().get("/headers?Set-Cookie=a%3d1&Set-Cookie=b%3d2");
    let cookies: Vec<&str> = response.headers("Set-Cookie").collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
}

#[test]
fn what_is_written_comes_before_what_is_returned() {
    assert_eq!(server().get("/write").text(), "written, returned\n");
}

#[test]
fn a_body_is_closed_when_it_is_sent() {
    let server = server();
    assert_eq!(server.get("/stream/3/10").text().len(), 30);
    server.wait_for_log(&["stream closed, 0 pieces left"]);
}

#[test]
fn a_body_is_closed_when_the_client_goes() {
    let server = server();
    let mut connection = server.connect();
    connection.send("GET /stream/1000/100000 HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(connection.head().unwrap().status, 200);
    drop(connection);
    let line = server.wait_for_log(&["stream closed, "]);
    assert!(!line.contains(" 0 pieces left"), "{line}");
}

#[test]
fn a_body_is_closed_when_only_its_head_was_wanted() {
    let server = server();
    let mut connection = server.connect();
    connection.send("HEAD /stream/3/10 HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(connection.head().unwrap().status, 200);
    server.wait_for_log(&["stream closed, "]);
    assert_eq!(connection.get("/").text(), "hello\n");
}

#[test]
fn what_is_printed_lands_in_the_log() {
    let server = server();
    assert_eq!(server.get("/say").text(), "said\n");
    for text in [
        "said on standard output",
        "said on standard error",
        "said on wsgi.errors",
    ] {
        server.wait_for_log(&[text]);
    }
}

#[test]
fn a_file_is_sent_by_the_file_wrapper() {
    let app = "def application(environ, start_response):\n\
        \x20   start_response('200 OK', [])\n\
        \x20   return environ['wsgi.file_wrapper'](open('data', 'rb'), 4096)\n";
    let content: Vec<u8> = (0..200_000_u32).map(|number| (number % 251) as u8).collect();
    let server = Server::new().app(app).file("data", &content).ini(HTTP).start();
    assert!(server.get("/").body == content);
}

#[test]
fn the_callable_may_have_another_name() {
    let app = "def wsgi(environ, start_response):\n    start_response('200 OK', [])\n    return [b'wsgi']\n\
        def make():\n    return wsgi\n";
    for ini in [
        "module = app:wsgi",
        "module = app\ncallable = wsgi",
        "module = app:make()",
        "wsgi-file = app.py\ncallable = wsgi",
    ] {
        let server = Server::new()
            .app(app)
            .ini(&format!("http = 127.0.0.1:0\n{ini}\n"))
            .start();
        assert_eq!(server.get("/").text(), "wsgi", "{ini}");
    }
}

#[test]
fn mounted_applications_have_their_script_name() {
    let ini =
        "http = 127.0.0.1:0\nmodule = app\nmount = /other=other:application\nmanage-script-name = true\n";
    let other = "def application(environ, start_response):\n    start_response('200 OK', [])\n    \
        return [(environ['SCRIPT_NAME'] + '|' + environ['PATH_INFO']).encode()]\n";
    let server = Server::new().file("other.py", other).ini(ini).start();
    assert_eq!(server.get("/other/path").text(), "/other|/path");
    assert_eq!(server.get("/other").text(), "/other|");
    assert_eq!(server.get("/otherwise").status, 404);
    assert_eq!(server.get("/").text(), "hello\n");
}

#[test]
fn several_workers_are_told_apart_from_one() {
    let server = Server::new().ini(&format!("{HTTP}processes = 2\n")).start();
    server.settle(2);
    let text = server.get("/environ").text().to_owned();
    assert!(text.contains(&entry("wsgi.multiprocess", "true")), "{text}");
}

#[test]
fn the_interpreter_is_the_virtualenvs() {
    let Some(home) = venv::frameworks() else { return };
    let server = Server::new()
        .ini(&format!("{HTTP}home = {}\n", home.display()))
        .start();
    assert_eq!(evaluate(&server, "sys.prefix"), home.to_str().unwrap());
    let executable = evaluate(&server, "sys.executable");
    assert!(
        executable.starts_with(&format!("{}/bin/python", home.display())),
        "{executable}"
    );
    assert_ne!(evaluate(&server, "sys.base_prefix"), home.to_str().unwrap());
    let django = evaluate(&server, "__import__('django').__file__");
    assert!(
        django.starts_with(home.to_str().unwrap()) && django.contains("site-packages"),
        "{django}"
    );
}

#[test]
fn a_program_that_the_application_starts_is_the_virtualenvs_python() {
    let Some(home) = venv::frameworks() else { return };
    let server = Server::new()
        .ini(&format!("{HTTP}home = {}\n", home.display()))
        .start();
    let script = "__import__('subprocess').check_output([sys.executable, '-c', 'import sys; print(sys.prefix)']).decode()";
    assert_eq!(evaluate(&server, script).trim(), home.to_str().unwrap());
}

#[test]
fn argv_pythonpath_chdir_and_environment_are_as_asked_for() {
    let ini = "http = 127.0.0.1:0\nmodule = app\npyargv = one two\npythonpath = %dlib\nenv = GREETING=a=b\n\
        unenv = FAREWELL\nchdir = %dhome\n";
    let server = Server::new()
        .file("lib/found.py", "WHERE = 'lib'\n")
        .file("home/app.py", crate::support::TOOLBOX)
        .env("FAREWELL", "bye")
        .ini(ini)
        .start();
    assert_eq!(evaluate(&server, "sys.argv[1:]"), "['one', 'two']");
    assert_eq!(evaluate(&server, "__import__('found').WHERE"), "lib");
    assert_eq!(evaluate(&server, "os.environ['GREETING']"), "a=b");
    assert_eq!(evaluate(&server, "os.environ.get('FAREWELL')"), "None");
    assert_eq!(
        evaluate(&server, "os.getcwd()"),
        server.file("home").to_str().unwrap()
    );
}

#[test]
fn lazy_apps_are_loaded_in_each_worker() {
    let app = format!(
        "print('imported by', __import__('os').getpid(), flush=True)\n{}",
        crate::support::TOOLBOX
    );
    let server = Server::new()
        .app(&app)
        .ini(&format!("{HTTP}processes = 2\nlazy-apps = true\n"))
        .start();
    soon("both workers import", || server.count_log("imported by") == 2);
    for pid in server.settle(2) {
        server.wait_for_log(&[&format!("imported by {pid}")]);
    }
    assert_eq!(server.get("/").text(), "hello\n");
}

#[test]
fn an_application_is_loaded_once_for_all_workers() {
    let app = format!("print('imported', flush=True)\n{}", crate::support::TOOLBOX);
    let server = Server::new()
        .app(&app)
        .ini(&format!("{HTTP}processes = 3\n"))
        .start();
    server.settle(3);
    assert_eq!(server.count_log("imported"), 1);
}

#[test]
fn a_thread_started_at_import_time_does_not_stop_workers_from_starting() {
    let app = format!(
        "import threading, time\nthreading.Thread(target=lambda: time.sleep(3600), daemon=True).start()\n{}",
        crate::support::TOOLBOX
    );
    let server = Server::new()
        .app(&app)
        .ini(&format!("{HTTP}processes = 2\n"))
        .start();
    assert_eq!(server.get("/").text(), "hello\n");
}

#[test]
fn a_thread_of_the_application_runs_while_the_worker_waits() {
    let app = format!(
        "import threading, time\nticks = 0\ndef tick():\n    global ticks\n    while True:\n        ticks += 1\n        \
         time.sleep(0.01)\n{}\nstarted = False\n_hello = TOOLS['hello']\ndef begin(environ, start_response, rest):\n    \
         threading.Thread(target=tick, daemon=True).start()\n    return _hello(environ, start_response, rest)\n\
         TOOLS['begin'] = begin\n",
        crate::support::TOOLBOX
    );
    let server = Server::new().app(&app).ini(HTTP).start();
    assert_eq!(server.get("/begin").status, 200);
    soon("it ticks", || {
        evaluate(&server, "ticks").parse::<u32>().unwrap() > 20
    });
}

#[test]
fn what_is_registered_for_the_end_is_run() {
    let app = format!(
        "import atexit, os\natexit.register(lambda: print('goodbye from', os.getpid(), flush=True))\n{}",
        crate::support::TOOLBOX
    );
    let server = Server::new().app(&app).ini(HTTP).start();
    let worker = server.get("/pid").text().to_owned();
    server.reload();
    server.wait_for_log(&[&format!("goodbye from {worker}")]);
}

#[test]
fn the_words_of_a_print_are_one_write_whatever_the_environment_says() {
    let app = format!(
        "def chatter():\n\
         \x20   for _ in range(300):\n\
         \x20       print('one', 'two', 'three', flush=True)\n\
         {}\n\
         original = application\n\
         def application(environ, start_response):\n\
         \x20   chatter()\n\
         \x20   return original(environ, start_response)\n",
        crate::support::TOOLBOX
    );
    let server = Server::new()
        .app(&app)
        .env("PYTHONUNBUFFERED", "1")
        .ini("http = 127.0.0.1:0\nmodule = app\nprocesses = 2\n");
    let server = server.start();
    let mut connections: Vec<_> = (0..8).map(|_| server.connect()).collect();
    for connection in &mut connections {
        connection.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    }
    for connection in &mut connections {
        assert_eq!(connection.response().status, 200);
    }
    let log = server.log();
    let torn = log
        .lines()
        .filter(|line| line.contains("one") && *line != "one two three");
    assert_eq!(torn.collect::<Vec<_>>(), Vec::<&str>::new());
}

#[test]
fn a_changed_source_reloads_while_developing() {
    let server = Server::new().ini(&format!("{HTTP}py-autoreload = 1\n")).start();
    assert_eq!(server.get("/").text(), "hello\n");
    server.write(
        "app.py",
        crate::support::TOOLBOX.replace("hello\\n", "changed\\n"),
    );
    soon("the change is served", || server.get("/").text() == "changed\n");
}

#[test]
fn an_application_may_ask_what_the_configuration_says() {
    let app = r#"
import uwsgi

def application(environ, start_response):
    start_response("200 OK", [])
    return [repr([uwsgi.opt["site"], uwsgi.opt["module"], uwsgi.opt["lucky"]]).encode()]
"#;
    let server = Server::new()
        .app(app)
        .ini(&format!("{HTTP}site = main\nlucky = 3\nlucky = 7"))
        .start();
    assert_eq!(server.get("/").text(), "[b'main', b'app', [b'3', b'7']]");
}
