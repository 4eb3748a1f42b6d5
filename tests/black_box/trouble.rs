//! What people get wrong, and what they are told: one sentence with the place, the reason and the way out, a status
//! that scripts can see, and nothing left running.

use std::fs;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::process::Command;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::support::server::assert_line;
use crate::support::{HTTP, Server, venv};

/// The status of a server whose application can't be loaded (`need-app`), as uWSGI's.
const NO_APPLICATION: i32 = 22;

#[test]
fn a_port_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let finished = Server::new()
        .ini(&format!("http = {address}\nmodule = app\n"))
        .run();
    finished.assert_refused(1, &["uwsgi.ini:2: ", &address, "in use"]);
}

#[test]
fn an_address_that_is_a_part_of_another() {
    // A port that nobody has: the listener that found it is closed.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let ini = format!("http = 127.0.0.1:{port}\nhttp = 0.0.0.0:{port}\nmodule = app\n");
    let finished = Server::new().ini(&ini).run();
    finished.assert_refused(1, &["uwsgi.ini:3: ", "in use by another one of this server"]);
}

#[test]
fn a_port_that_is_none() {
    for port in ["70000", "eighty"] {
        let finished = Server::new()
            .ini(&format!("http = 127.0.0.1:{port}\nmodule = app\n"))
            .run();
        finished.assert_refused(1, &["uwsgi.ini:2: ", "http", port]);
    }
}

#[test]
fn an_address_that_is_not_this_machines() {
    let finished = Server::new().ini("http = 192.0.2.1:8000\nmodule = app\n").run();
    finished.assert_refused(1, &["uwsgi.ini:2: ", "192.0.2.1:8000"]);
}

#[test]
fn a_unix_socket_in_a_directory_that_is_missing() {
    let finished = Server::new()
        .ini("socket = %dmissing/app.sock\nmodule = app\n")
        .run();
    finished.assert_refused(1, &["uwsgi.ini:2: ", "missing/app.sock"]);
}

#[test]
fn what_stands_in_the_way_of_a_start_is_found_by_check() {
    let faults = [
        ("uid = no-such-user\n", "no such user"),
        ("gid = no-such-group\n", "no such group"),
        ("socket = %dmissing/app.sock\n", "directory does not exist"),
        ("safe-pidfile = %dmissing/pid\n", "directory does not exist"),
        ("master-fifo = %dmissing/fifo\n", "directory does not exist"),
        ("logto = %dmissing/log\n", "directory does not exist"),
        (
            "socket = %dapp.sock\nchown-socket = no-such-user\n",
            "chown-socket",
        ),
    ];
    for (lines, reason) in faults {
        let finished = Server::new()
            .ini(&format!("{HTTP}{lines}"))
            .args(["--check"])
            .run();
        finished.assert_refused(1, &["error: ", reason]);
    }
}

#[test]
fn why_a_server_does_not_start_is_told_beside_its_log_too() {
    let finished = Server::new()
        .app("import nowhere\n")
        .ini(&format!("{HTTP}logto = %duwsgi.log\n"))
        .run();
    finished.assert_refused(NO_APPLICATION, &["uwrs: ", "No module named 'nowhere'"]);
    assert_eq!(finished.log.lines().count(), 1, "{}", finished.log);
    let log = fs::read_to_string(finished.path().join("uwsgi.log")).unwrap();
    assert_line(&log, &["error", "No module named 'nowhere'"]);
    assert_line(&log, &["File ", "app.py", "line 1"]);
}

#[test]
fn a_start_that_fails_leaves_no_file_behind() {
    for (lines, status, reason) in [
        ("pidfile = %dmissing/pid", 1, "missing/pid"),
        ("pidfile = %dpid\npidfile2 = %dmissing/pid", 1, "missing/pid"),
        ("pidfile = %dpid\nmaster-fifo = %dmissing/fifo", 1, "missing/fifo"),
        (
            "pidfile = %dpid\nmaster-fifo = %dfifo\npidfile2 = %dmissing/pid",
            1,
            "missing/pid",
        ),
        (
            "pidfile = %dpid\nmaster-fifo = %dfifo\nsocket = %dmissing/app.sock",
            1,
            "missing/app.sock",
        ),
        (
            "pidfile = %dpid\npidfile2 = %dpid2\nmaster-fifo = %dfifo",
            NO_APPLICATION,
            "nowhere",
        ),
        (
            "pidfile = %dpid\npidfile2 = %dpid2\nmaster = false",
            NO_APPLICATION,
            "nowhere",
        ),
    ] {
        let finished = Server::new()
            .app("import nowhere\n")
            .ini(&format!("socket = %dapp.sock\nmodule = app\n{lines}\n"))
            .run();
        finished.assert_refused(status, &[reason]);
        for name in ["app.sock", "pid", "pid2", "fifo"] {
            assert!(!finished.path().join(name).exists(), "{lines}: {name}");
        }
        assert_eq!(finished.log.matches("not removed").count(), 0, "{}", finished.log);
    }
}

#[test]
fn a_start_that_fails_takes_nothing_of_others_away() {
    for (lines, reason) in [
        (
            "pidfile = %dpid\nsocket = %dtaken.sock",
            "another process listens",
        ),
        ("master-fifo = %dfifo\npidfile2 = %dmissing/pid", "missing/pid"),
    ] {
        let server = Server::new();
        let path = server.path().to_owned();
        let _listener = UnixListener::bind(path.join("taken.sock")).unwrap();
        mkfifo(&path.join("fifo"), Mode::S_IRWXU).unwrap();
        fs::write(path.join("pid"), "1\n").unwrap();
        let finished = server
            .ini(&format!("socket = %dapp.sock\nmodule = app\n{lines}\n"))
            .run();
        finished.assert_refused(1, &[reason]);
        let names = ["taken.sock", "fifo", "app.sock"].map(|name| path.join(name).exists());
        assert_eq!(names, [true, true, false], "{lines}");
        assert_eq!(fs::read_to_string(path.join("pid")).unwrap(), "1\n");
    }
}

#[test]
fn a_socket_file_left_behind_is_no_trouble() {
    let server = Server::new();
    // A listener that is gone leaves its file.
    drop(UnixListener::bind(server.path().join("app.sock")).unwrap());
    let server = server.ini("http = %dapp.sock\nmodule = app\n").start();
    assert_eq!(server.connect_unix("app.sock").get("/").text(), "hello\n");
}

#[test]
fn a_module_that_is_missing() {
    let finished = Server::new()
        .ini("http = 127.0.0.1:0\nmodule = nowhere.wsgi\n")
        .run();
    finished.assert_refused(NO_APPLICATION, &["nowhere"]);
}

#[test]
fn a_file_that_is_missing() {
    let finished = Server::new()
        .ini("http = 127.0.0.1:0\nwsgi-file = nowhere.py\n")
        .run();
    finished.assert_refused(NO_APPLICATION, &["nowhere.py"]);
}

#[test]
fn a_syntax_error_at_import() {
    let finished = Server::new().app("def application(:\n").ini(HTTP).run();
    finished.assert_refused(NO_APPLICATION, &["SyntaxError"]);
    assert_line(&finished.log, &["app.py", "line 1"]);
}

#[test]
fn an_exception_at_import() {
    let finished = Server::new()
        .app("def load():\n    raise KeyError('SECRET_KEY')\nload()\n")
        .ini(HTTP)
        .run();
    finished.assert_refused(NO_APPLICATION, &["KeyError: 'SECRET_KEY'"]);
    assert_line(&finished.log, &["app.py", "line 2", "in load"]);
}

#[test]
fn an_exit_at_import_keeps_its_status() {
    let finished = Server::new().app("import sys\nsys.exit(7)\n").ini(HTTP).run();
    assert_eq!(finished.status.code(), Some(7), "{}", finished.log);
    finished.assert_nothing_left();
}

#[test]
fn a_module_without_application() {
    let finished = Server::new().app("app = 1\n").ini(HTTP).run();
    finished.assert_refused(NO_APPLICATION, &["app", "application", "callable"]);
}

#[test]
fn an_application_that_cannot_be_called() {
    let finished = Server::new().app("application = 'text'\n").ini(HTTP).run();
    finished.assert_refused(NO_APPLICATION, &["application", "callable"]);
}

#[test]
fn no_application_at_all_is_served_where_none_is_needed() {
    let server = Server::new()
        .ini("http = 127.0.0.1:0\nmodule = nowhere\nneed-app = false\n")
        .start();
    let status = server.get("/").status;
    assert!(status >= 500, "{status}");
}

#[test]
fn a_home_that_is_missing() {
    let finished = Server::new().ini(&format!("{HTTP}home = %dnowhere\n")).run();
    finished.assert_refused(1, &["uwsgi.ini:4: ", "home", "nowhere"]);
}

#[test]
fn a_home_that_is_no_virtualenv() {
    let finished = Server::new()
        .file("venv/readme", "")
        .ini(&format!("{HTTP}home = %dvenv\n"))
        .run();
    finished.assert_refused(1, &["home", "venv"]);
}

#[test]
fn a_home_of_another_python() {
    let Some(home) = venv::frameworks() else { return };
    let ours = venv::version(&home.join("bin/python")).unwrap();
    let Some((program, theirs)) = venv::other_python(&ours) else {
        eprintln!("skipped: every Python of this machine is {ours}");
        return;
    };
    let server = Server::new();
    let made = Command::new(program)
        .args(["-m", "venv", "--without-pip", "venv"])
        .current_dir(server.path())
        .status();
    if !made.is_ok_and(|status| status.success()) {
        eprintln!("skipped: Python {theirs} cannot make a virtualenv");
        return;
    }
    let finished = server.ini(&format!("{HTTP}home = %dvenv\n")).run();
    finished.assert_refused(1, &["venv", &ours, &theirs]);
}

#[test]
fn a_directory_to_change_to_that_is_missing() {
    let finished = Server::new().ini(&format!("{HTTP}chdir = %dnowhere\n")).run();
    finished.assert_refused(1, &["uwsgi.ini:4: ", "chdir", "nowhere"]);
}

#[test]
fn an_ini_that_is_missing() {
    for words in [vec!["--ini", "nowhere.ini"], vec!["nowhere.ini"]] {
        Server::new()
            .args(words)
            .run()
            .assert_refused(1, &["nowhere.ini"]);
    }
}

#[test]
fn an_ini_that_is_a_directory() {
    let server = Server::new();
    fs::create_dir(server.path().join("site.ini")).unwrap();
    server
        .args(["--ini", "site.ini"])
        .run()
        .assert_refused(1, &["site.ini", "directory"]);
}

#[test]
fn an_ini_that_is_no_text() {
    let finished = Server::new()
        .file("site.ini", [0xff, 0xfe, 0, 1, 2, b'\n', 0x80])
        .args(["site.ini"])
        .run();
    finished.assert_refused(1, &["site.ini"]);
}

#[test]
fn an_ini_without_the_section() {
    let finished = Server::new()
        .file("site.ini", "[other]\nmodule = app\n")
        .args(["site.ini:blog"])
        .run();
    finished.assert_refused(1, &["site.ini", "blog"]);
}

#[test]
fn an_ini_that_includes_itself() {
    let finished = Server::new()
        .file("site.ini", "[uwsgi]\ninclude = %dsite.ini\n")
        .args(["site.ini"])
        .run();
    assert_eq!(finished.status.code(), Some(1), "{}", finished.log);
    assert_line(&finished.log, &["site.ini"]);
}

#[test]
fn a_user_that_does_not_exist() {
    let finished = Server::new()
        .ini(&format!("{HTTP}uid = nobody-of-that-name\n"))
        .run();
    finished.assert_refused(1, &["uwsgi.ini:4: ", "nobody-of-that-name"]);
}

#[test]
fn a_log_in_a_directory_that_is_missing() {
    let finished = Server::new().ini(&format!("{HTTP}logto = %dnowhere/log\n")).run();
    finished.assert_refused(1, &["nowhere/log"]);
    assert_eq!(finished.log.lines().count(), 1, "{}", finished.log);
}

#[test]
fn a_file_to_write_in_a_directory_that_is_missing() {
    for option in [
        "pidfile",
        "pidfile2",
        "logto",
        "daemonize",
        "master-fifo",
        "socket",
    ] {
        let ini = format!("{HTTP}{option} = %dnowhere/file\n");
        let place = match option {
            "logto" | "daemonize" => "log",
            "socket" => "uwsgi.ini:4: ",
            _ => option,
        };
        let way_out = "the directory does not exist: make it, or have systemd do it";
        let finished = Server::new().ini(&ini).run();
        finished.assert_refused(1, &[place, "nowhere/file: ", way_out]);
    }
    // By then it serves, and has been asked for nothing else.
    for option in ["safe-pidfile", "safe-pidfile2"] {
        let server = Server::new()
            .ini(&format!("{HTTP}{option} = %dnowhere/file\n"))
            .start();
        server.wait_for_log(&["error", option, "nowhere/file: the directory does not exist"]);
        assert_eq!(server.get("/").text(), "hello\n");
    }
}

#[test]
fn a_backlog_past_the_kernels_is_clamped_with_a_warning() {
    let server = Server::new().ini(&format!("{HTTP}listen = 1000000\n")).start();
    server.wait_for_log(&["uwsgi.ini:4: ", "listen", "somaxconn"]);
    assert_eq!(server.get("/").text(), "hello\n");
}

#[test]
fn a_port_that_is_shared_on_purpose() {
    let first = Server::new()
        .ini("http = 127.0.0.1:0\nmodule = app\nreuse-port = true\n")
        .start();
    let address = format!("127.0.0.1:{}", first.port());
    let second = Server::new()
        .ini(&format!("http = {address}\nmodule = app\nreuse-port = true\n"))
        .start();
    assert_eq!(second.get("/").text(), "hello\n");
    drop(first);
    assert_eq!(second.get("/").text(), "hello\n");
}

#[test]
fn an_address_that_this_machine_may_get_later() {
    let server = Server::new()
        .ini("http = 192.0.2.1:0\nhttp = 127.0.0.1:0\nmodule = app\nfreebind = true\nso-keepalive = true\n")
        .start();
    assert!(server.log().contains("192.0.2.1"), "{}", server.log());
}
