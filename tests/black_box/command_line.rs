//! The command line and the ini: what may be said, how, and what is answered when it is wrong.

use std::net::TcpListener;

use crate::support::server::assert_line;
use crate::support::{Finished, HTTP, Server, TOOLBOX};

/// Runs it with these words to its end.
fn run<const N: usize>(words: [&str; N]) -> Finished {
    Server::new().args(words).run()
}

/// An application that answers `answer`.
fn answering(answer: &str) -> String {
    format!(
        "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'{answer}']\n"
    )
}

#[test]
fn flags_alone_serve() {
    let server = Server::new()
        .file("project/config/wsgi.py", answering("flags"))
        .args([
            "--http",
            "127.0.0.1:0",
            "--chdir",
            "project",
            "--module",
            "config.wsgi",
        ])
        .start();
    assert_eq!(server.get("/").text(), "flags");
}

#[test]
fn the_short_flags_of_uwsgi_serve() {
    let server = Server::new()
        .args([
            "-M",
            "-p",
            "2",
            "-s",
            "uwsgi.sock",
            "--http",
            "127.0.0.1:0",
            "-w",
            "app",
        ])
        .start();
    assert_eq!(server.get("/").text(), "hello\n");
    server.settle(2);
    assert!(server.file("uwsgi.sock").exists());
}

#[test]
fn an_ini_may_be_named_by_flag_or_by_itself() {
    for words in [
        vec!["--ini", "site.ini"],
        vec!["site.ini"],
        vec!["--ini=site.ini"],
    ] {
        let server = Server::new()
            .file("site.ini", format!("[uwsgi]\n{HTTP}"))
            .args(words)
            .start();
        assert_eq!(server.get("/").text(), "hello\n");
    }
}

#[test]
fn a_section_is_named_behind_a_colon() {
    let ini = format!("[uwsgi]\nmodule = missing\n[blog]\n{HTTP}");
    let server = Server::new()
        .file("sites.ini", ini)
        .args(["--ini", "sites.ini:blog"])
        .start();
    assert_eq!(server.get("/").text(), "hello\n");
}

#[test]
fn a_flag_wins_over_a_file_wherever_it_stands() {
    for words in [
        ["--module", "other", "site.ini"],
        ["site.ini", "--module", "other"],
    ] {
        let server = Server::new()
            .file("other.py", answering("other"))
            .file("site.ini", format!("[uwsgi]\n{HTTP}"))
            .args(words)
            .start();
        assert_eq!(server.get("/").text(), "other");
    }
}

#[test]
fn the_environment_is_weaker_than_a_file() {
    let server = Server::new()
        .env("UWSGI_MODULE", "missing")
        .env("UWRS_PROCESSES", "2")
        .ini(HTTP)
        .start();
    assert_eq!(server.get("/").text(), "hello\n");
    server.settle(2);
}

#[test]
fn the_last_of_several_files_wins_and_lists_add_up() {
    let server = Server::new()
        .file(
            "a.ini",
            "[uwsgi]\nhttp = 127.0.0.1:0\nmodule = missing\nenv = A=1\n",
        )
        .file("b.ini", "[uwsgi]\nhttp = 127.0.0.1:0\nmodule = app\nenv = B=2\n")
        .args(["a.ini", "--ini", "b.ini"])
        .start();
    assert_eq!(server.ports().len(), 2);
    assert_eq!(server.get("/eval?os.environ['A']%2bos.environ['B']").text(), "12");
}

#[test]
fn the_dialect_of_uwsgi_is_understood() {
    let ini = "\u{feff}[uwsgi]\r\n; a comment\r\n# another\r\nset-ph = where=127.0.0.1\r\nhttp = %(where):0\r\n\
        if-env = GREETING\r\nenv = GREETED=$(GREETING)\r\nend-if =\r\nfor = 1 2\r\nenv = ITEM_%(_)=%(_)\r\nendfor =\r\n\
        base = %d\r\nchdir = %(base)\r\nmodule = %(name)\r\nset = name=app\r\nmaster\r\nenv = EQUALS=a=b\r\n\
        env = CONTENT=@(%dcontent)\r\ninclude = %dmore.ini\r\n";
    let server = Server::new()
        .file("site.ini", ini)
        .file("content", "from a file\n")
        .file("more.ini", "[uwsgi]\nenv = INCLUDED=yes\n")
        .env("GREETING", "hello")
        .args(["site.ini"])
        .start();
    let expect = [
        ("GREETED", "hello"),
        ("ITEM_1", "1"),
        ("ITEM_2", "2"),
        ("EQUALS", "a=b"),
        ("CONTENT", "from a file"),
        ("INCLUDED", "yes"),
    ];
    for (name, value) in expect {
        assert_eq!(
            server.get(&format!("/eval?os.environ['{name}']")).text(),
            value,
            "{name}"
        );
    }
}

#[test]
fn an_unknown_option_is_a_warning_that_names_the_nearest() {
    let server = Server::new().ini(&format!("{HTTP}proceses = 2\n")).start();
    server.wait_for_log(&[
        "uwsgi.ini:4: unknown option \"proceses\"",
        "did you mean \"processes\"?",
    ]);
    assert_eq!(server.get("/").text(), "hello\n");
}

#[test]
fn an_unknown_option_is_an_error_when_strict() {
    for ini in [
        format!("strict = true\n{HTTP}proceses = 2\n"),
        format!("{HTTP}proceses = 2\nstrict = true\n"),
    ] {
        let finished = Server::new().ini(&ini).run();
        finished.assert_refused(
            1,
            &[
                "uwsgi.ini:",
                "unknown option \"proceses\"",
                "did you mean \"processes\"?",
            ],
        );
    }
}

#[test]
fn a_key_that_is_used_as_a_placeholder_is_no_mistake() {
    let server = Server::new()
        .ini("strict = true\nproject = app\nhttp = 127.0.0.1:0\nmodule = %(project)\n")
        .start();
    assert_eq!(server.get("/").text(), "hello\n");
    assert_eq!(server.count_log("unknown option"), 0);
}

#[test]
fn an_unknown_flag_is_an_error() {
    run(["--modul", "app", "--htpp", ":0"]).assert_refused(1, &["--htpp"]);
}

#[test]
fn a_wrong_value_is_an_error_with_file_and_line() {
    let cases = [
        ("processes = many", "processes", "many"),
        ("listen = -5", "listen", "-5"),
        ("http = 127.0.0.1:99999", "http", "99999"),
        ("chmod-socket = 999", "chmod-socket", "999"),
    ];
    for (line, option, value) in cases {
        let finished = Server::new().ini(&format!("{HTTP}{line}\n")).run();
        finished.assert_refused(1, &["uwsgi.ini:4: ", option, value]);
    }
}

#[test]
fn a_wrong_value_of_a_flag_is_an_error_that_names_the_flag() {
    run(["--http", "127.0.0.1:0", "--module", "app", "--processes", "many"])
        .assert_refused(1, &["--processes", "many"]);
}

#[test]
fn nothing_to_serve_on_is_an_error() {
    run(["--module", "app"]).assert_refused(1, &["http"]);
}

#[test]
fn check_says_yes_or_no_and_starts_nothing() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let ini = format!(
        "[uwsgi]\nhttp = {}\nmodule = missing\n",
        taken.local_addr().unwrap()
    );
    // The port is in use and the module is missing: neither is looked at.
    let finished = Server::new()
        .file("site.ini", ini)
        .args(["--check", "site.ini"])
        .run();
    finished.assert_success().assert_nothing_left();
    let finished = Server::new()
        .file("site.ini", "[uwsgi]\nprocesses = many\n")
        .args(["--check", "site.ini"])
        .run();
    finished.assert_refused(1, &["site.ini:2: ", "processes"]);
}

#[test]
fn check_imports_the_application_where_it_is_asked_to() {
    let good = Server::new().ini(HTTP).args(["--check=app"]).run();
    good.assert_success().assert_nothing_left();
    let bad = Server::new()
        .ini(HTTP)
        .app("import nowhere\n")
        .args(["--check=app"])
        .run();
    bad.assert_refused(1, &["No module named 'nowhere'"]);
}

#[test]
fn show_config_tells_what_was_said_where_and_what_it_became() {
    let finished = Server::new()
        .ini(&format!("{HTTP}set-ph = count=3\nprocesses = %(count)\n"))
        .args(["--show-config", "--umask", "022"])
        .run();
    finished.assert_success().assert_nothing_left();
    assert_line(&finished.output, &["uwsgi.ini:3", "module", "app"]);
    assert_line(&finished.output, &["uwsgi.ini:5", "processes", "3"]);
    assert_line(&finished.output, &["umask", "022"]);
}

#[test]
fn help_is_grouped_and_names_the_options() {
    let finished = run(["--help"]);
    finished.assert_success();
    for option in [
        "--ini",
        "--http",
        "--socket",
        "--module",
        "--home",
        "--chdir",
        "--processes",
        "--check",
    ] {
        assert!(finished.output.contains(option), "{option}\n{}", finished.output);
    }
}

#[test]
fn version_is_the_programs() {
    let finished = run(["--version"]);
    finished.assert_success();
    assert_eq!(
        finished.output.trim(),
        concat!("uwrs ", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn a_banner_says_what_is_served_where_by_how_many() {
    let ini = format!("{HTTP}processes = 2\nthreads = 3\n");
    let server = Server::new().ini(&ini).start();
    let port = server.port().to_string();
    server.wait_for_log(&["uwrs", env!("CARGO_PKG_VERSION"), "2 workers, threads = 3"]);
    server.wait_for_log(&["127.0.0.1", &port]);
    server.wait_for_log(&["Python 3."]);
    server.wait_for_log(&["app:application"]);
}

#[test]
fn a_single_process_serves_without_a_master() {
    let server = Server::new().ini(&format!("{HTTP}master = false\n")).start();
    assert_eq!(server.family().len(), 1);
    assert_eq!(server.get("/pid").text(), server.pid().to_string());
}

#[test]
fn paths_of_an_ini_are_relative_to_it_by_magic() {
    let server = Server::new()
        .file(
            "deploy/site.ini",
            "[uwsgi]\nhttp = 127.0.0.1:0\nchdir = %d../code\nmodule = thing\n",
        )
        .file("code/thing.py", TOOLBOX)
        .args(["--ini", "deploy/site.ini"])
        .start();
    assert_eq!(server.get("/").text(), "hello\n");
}
