//! What is logged: requests, selections of them, files, titles of processes.

use std::fs;

use crate::support::{HTTP, Running, Server, soon};

fn server(ini: &str) -> Running {
    Server::new().ini(&format!("{HTTP}{ini}")).start()
}

#[test]
fn a_request_is_logged_in_the_format_of_uwsgi() {
    let server = server("");
    let pid = server.get("/pid").text().to_owned();
    let line = server.wait_for_log(&["GET /pid"]);
    let parts = [
        &format!("[pid: {pid}|app: 0|req: 1/1] 127.0.0.1 () {{"),
        "} [",
        "] GET /pid => generated ",
        " bytes in ",
        " msecs (HTTP/1.1 200) ",
        " headers in ",
        " bytes (",
        " switches on core 0)",
    ];
    let mut rest = line.as_str();
    for part in parts {
        let (_, behind) = rest.split_once(part).unwrap_or_else(|| panic!("{part}: {line}"));
        rest = behind;
    }
}

#[test]
fn requests_can_be_left_out_but_for_those_that_are_selected() {
    let server = server("disable-logging = true\nlog-4xx = true\nlog-5xx = true\nlog-slow = 200\n");
    for target in ["/", "/nowhere", "/fail", "/sleep/0.3", "/pid"] {
        server.get(target);
    }
    server.wait_for_log(&["GET /sleep/0.3 "]);
    server.wait_for_log(&["GET /nowhere "]);
    server.wait_for_log(&["GET /fail "]);
    // Lines are in order: what is to come after these was to come before.
    assert_eq!(server.count_log("GET / "), 0, "{}", server.log());
}

#[test]
fn a_refused_request_is_logged_with_its_reason() {
    let server = server("");
    let mut connection = server.connect();
    connection.send("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    assert_eq!(connection.response().status, 400);
    server.wait_for_log(&["400", "127.0.0.1"]);
}

#[test]
fn logto_takes_everything() {
    let server = server("logto = %duwrs.log\n");
    assert_eq!(server.get("/say").status, 200);
    let log = || fs::read_to_string(server.file("uwrs.log")).unwrap();
    for text in [
        "ready",
        "GET /say ",
        "said on standard output",
        "said on standard error",
        "said on wsgi.errors",
    ] {
        soon(text, || log().contains(text));
    }
    assert_eq!(server.log(), "");
}

#[test]
fn processes_show_what_they_are() {
    let server = server("auto-procname = true\nprocname-prefix-spaced = shop\n");
    let title = |pid: i32| {
        let text = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
        text.trim_end_matches('\0').replace('\0', " ")
    };
    let worker = server.settle(1)[0];
    assert_eq!(title(server.pid()), "shop uwrs master");
    assert_eq!(title(worker), "shop uwrs worker 1");
    assert!(
        title(server.mold()).starts_with("shop uwrs mold"),
        "{}",
        title(server.mold())
    );
}
