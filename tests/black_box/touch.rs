//! Files whose change asks for something: `touch-reload` and its like.

use std::fs;

use crate::support::load::Load;
use crate::support::{HTTP, Running, Server, soon};

/// An application that answers the process it is in.
const PID: &str = "import os\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    \
                   return [b'%d' % os.getpid()]\n";

/// A server of two workers whose application answers its process, with these lines too.
fn server(lines: &str) -> Running {
    Server::new()
        .app(PID)
        .ini(&format!("{HTTP}processes = 2\ndisable-logging = true\n{lines}"))
        .start()
}

#[test]
fn a_touched_file_reloads_and_loses_nothing_whether_it_was_there_before_or_not() {
    let server = server("touch-reload = %dfirst\ntouch-reload = %dfolder/second\n");
    let mut old = server.settle(2);
    let load = Load::start(server.port(), 3, 3);
    fs::create_dir(server.file("folder")).unwrap();
    // The first appears, the second appears, the first changes.
    for name in ["first", "folder/second", "first"] {
        let ready = server.times_ready();
        server.write(name, "now");
        server.wait_until_ready(ready + 1);
        let new = server.settle(2);
        assert!(old.iter().all(|pid| !new.contains(pid)), "{old:?} {new:?}");
        old = new;
        load.wait_for(50);
    }
    let report = load.finish();
    assert!(report.lost.is_empty(), "{:#?}\n{}", report.lost, server.log());
    let cause = format!(
        "touch-reload = {} was touched",
        server.file("folder/second").display()
    );
    assert_eq!(server.count_log(&cause), 1, "{}", server.log());
    assert_eq!(server.count_log("touch-reload = "), 3, "{}", server.log());
}

#[test]
fn a_touch_after_a_broken_deploy_tries_again() {
    let server = server("touch-reload = %dreload\n");
    let old = server.settle(2);
    server.write("app.py", "def application(:\n");
    server.write("reload", "");
    server.wait_for_log(&["reload failed", "goes on serving"]);
    assert_eq!(server.settle(2), old);
    server.write("app.py", PID);
    server.write("reload", "again");
    soon("the new application serves", || {
        server.count_log("generation 3 serves") == 1
    });
}

#[test]
fn a_reload_watches_the_files_that_the_new_configuration_names() {
    let server = server("touch-reload = %done\n");
    let ini = fs::read_to_string(server.file("uwsgi.ini")).unwrap();
    server.write("uwsgi.ini", ini.replace("%done", "%dother"));
    server.write("one", "");
    server.wait_for_log(&["generation 2 serves"]);
    server.write("one", "again");
    server.write("other", "");
    server.wait_for_log(&["generation 3 serves"]);
    let cause = |name: &str| format!("{} was touched", server.file(name).display());
    assert_eq!(server.count_log(&cause("one")), 1);
    assert_eq!(server.count_log(&cause("other")), 1);
}

#[test]
fn a_touched_file_opens_the_log_again_or_puts_it_aside() {
    let server = Server::new()
        .ini(&format!(
            "{HTTP}logto = %duwrs.log\ntouch-logreopen = %dreopen\ntouch-logrotate = %drotate\n"
        ))
        .start();
    let log = server.file("uwrs.log");
    assert_eq!(server.get("/before").status, 404);
    soon("the request is in the log", || {
        fs::read_to_string(&log).unwrap().contains("GET /before ")
    });
    fs::rename(&log, server.file("moved.log")).unwrap();
    server.write("reopen", "");
    soon("there is a new log", || log.exists());
    soon("it is written to", || {
        server.get("/between");
        fs::read_to_string(&log).unwrap().contains("GET /between ")
    });

    server.write("rotate", "");
    let aside = || {
        let entries = fs::read_dir(log.parent().unwrap()).unwrap().flatten();
        let mut paths = entries.map(|entry| entry.path());
        paths.find(|path| path.to_string_lossy().contains("uwrs.log."))
    };
    soon("the log was put aside", || aside().is_some() && log.exists());
    soon("the new one is written to", || {
        server.get("/after");
        fs::read_to_string(&log).unwrap().contains("GET /after ")
    });
    assert!(
        fs::read_to_string(aside().unwrap())
            .unwrap()
            .contains("GET /between ")
    );
    assert!(!fs::read_to_string(&log).unwrap().contains("GET /between "));
}

#[test]
fn a_touched_file_replaces_the_workers_one_by_one_with_the_same_code() {
    let server = server("touch-workers-reload = %dworkers\n");
    let old = server.settle(2);
    let mold = server.mold();
    server.write("app.py", "def application(:\n");
    let load = Load::start(server.port(), 3, 3);
    server.write("workers", "");
    server.settle_anew(&old);
    load.wait_for(50);
    let report = load.finish();
    assert!(report.lost.is_empty(), "{:#?}\n{}", report.lost, server.log());
    assert_eq!(server.mold(), mold);
    server.wait_for_log(&["touch-workers-reload = ", "was touched"]);
}

#[test]
fn with_lazy_apps_new_workers_have_new_code_and_a_broken_one_replaces_nobody() {
    let app = |answer: &str| {
        format!(
            "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'{answer}']\n"
        )
    };
    let server = Server::new()
        .app(&app("1"))
        .ini(&format!(
            "{HTTP}processes = 2\nlazy-apps = true\ntouch-workers-reload = %dworkers\n"
        ))
        .start();
    let old = server.settle(2);
    server.write("app.py", "def application(:\n");
    server.write("workers", "");
    server.wait_for_log(&["the workers are not replaced", "SyntaxError"]);
    assert_eq!(server.settle(2), old);
    assert_eq!(server.get("/").text(), "1");

    server.write("app.py", app("2"));
    server.write("workers", "again");
    server.settle_anew(&old);
    assert_eq!(server.get("/").text(), "2");
}

#[test]
fn a_chain_reload_under_load_loses_nothing_and_never_has_more_than_one_worker_too_many() {
    let app = |number: usize| {
        format!(
            "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'{number}']\n"
        )
    };
    let server = Server::new()
        .app(&app(1))
        .ini(&format!(
            "{HTTP}processes = 3\ndisable-logging = true\ntouch-chain-reload = %dchain\n"
        ))
        .start();
    let mut old = server.settle(3);
    let load = Load::start(server.port(), 3, 3);
    for round in 2..=4 {
        server.write("app.py", app(round));
        let ready = server.times_ready();
        server.write("chain", round.to_string());
        let mut most = 0;
        soon("the chain is through", || {
            most = most.max(server.workers().len());
            server.times_ready() > ready
        });
        assert!(most <= 4, "{most} workers\n{}", server.log());
        let new = server.settle(3);
        assert!(old.iter().all(|pid| !new.contains(pid)), "{old:?} {new:?}");
        old = new;
        assert_eq!(server.get("/").text(), round.to_string());
        load.wait_for(50);
    }
    server.write("app.py", "def application(:\n");
    server.write("chain", "broken");
    server.wait_for_log(&["reload failed", "generation 4 goes on serving"]);
    assert_eq!(server.settle(3), old);
    let report = load.finish();
    assert!(report.lost.is_empty(), "{:#?}\n{}", report.lost, server.log());
    assert_eq!(server.count_log("takes over"), 9, "{}", server.log());
}
