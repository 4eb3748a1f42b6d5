//! What an application that was loaded once is like in the workers that are forked from it.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use crate::support::{HTTP, Running, Server, TOOLBOX};

/// The toolbox with these lines before it, served by two workers.
fn loaded_with(lines: &str, ini: &str) -> Running {
    let server = Server::new().app(&format!("{lines}\n{TOOLBOX}"));
    start(server, ini)
}

fn start(server: Server, ini: &str) -> Running {
    let running = server.ini(&format!("{HTTP}processes = 2\n{ini}")).start();
    running.settle(2);
    running
}

/// What Python makes of an expression in each of the two workers.
fn in_each(server: &Running, expression: &str) -> Vec<String> {
    let escaped: String = expression.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let mut heard: Vec<(String, String)> = Vec::new();
    // Whoever is asked first answers while the other is asked, so that both are.
    for _ in 0..200 {
        let mut connections: Vec<_> = (0..4).map(|_| server.connect()).collect();
        for connection in &mut connections {
            connection.send("GET /sleep/0.02 HTTP/1.1\r\nHost: x\r\n\r\n");
        }
        for mut connection in connections {
            assert_eq!(connection.response().status, 200);
            let pid = connection.get("/pid").text().to_owned();
            if heard.iter().all(|(have, _)| *have != pid) {
                let response = connection.get(&format!("/eval?{escaped}"));
                assert_eq!(response.status, 200, "{expression}\n{}", server.log());
                heard.push((pid, response.text().to_owned()));
            }
        }
        if heard.len() == 2 {
            return heard.into_iter().map(|(_, told)| told).collect();
        }
    }
    panic!("only {heard:?} answered");
}

fn assert_all(server: &Running, expression: &str, expected: &str) {
    assert_eq!(in_each(server, expression), [expected, expected], "{expression}");
}

#[test]
fn hooks_of_the_standard_library_and_of_the_uwsgi_module_are_called_in_every_worker() {
    let server = loaded_with(
        "import os, uwsgi\n\
         CALLED = []\n\
         MASTER = uwsgi.masterpid()\n\
         os.register_at_fork(after_in_child=lambda: CALLED.append('child'))\n\
         uwsgi.post_fork_hook = lambda: CALLED.append('hook %d' % uwsgi.worker_id())",
        "",
    );
    let told: BTreeSet<String> = in_each(&server, "CALLED").into_iter().collect();
    let expected = ["['child', 'hook 1']", "['child', 'hook 2']"].map(str::to_owned);
    assert_eq!(told, BTreeSet::from(expected));
    assert_all(&server, "MASTER", &server.pid().to_string());
}

#[test]
fn decorators_that_chain_themselves_into_the_hook_work() {
    let decorators = "import uwsgi\n\
        if not uwsgi.masterpid():\n\
        \x20   raise RuntimeError('there must be a master')\n\
        chain = []\n\
        def run_chain():\n\
        \x20   for function in chain:\n\
        \x20       function()\n\
        uwsgi.post_fork_hook = run_chain\n\
        def postfork(function):\n\
        \x20   chain.append(function)\n\
        \x20   return function\n";
    let app = format!(
        "from decorators import postfork\nREADY = []\n@postfork\ndef one():\n    READY.append(1)\n\
         @postfork\ndef two():\n    READY.append(2)\n{TOOLBOX}"
    );
    let server = Server::new().file("decorators.py", decorators).app(&app);
    let server = start(server, "");
    assert_all(&server, "READY", "[1, 2]");
}

#[test]
fn a_hook_that_raises_is_told_and_the_worker_serves() {
    let server = loaded_with(
        "import uwsgi\ndef hook():\n    raise LookupError('no database')\nuwsgi.post_fork_hook = hook",
        "",
    );
    server.wait_for_log(&["uwsgi.post_fork_hook raised"]);
    server.wait_for_log(&["LookupError: no database"]);
    assert_eq!(server.get("/").text(), "hello\n");
}

#[test]
fn every_worker_has_random_numbers_of_its_own() {
    let server = loaded_with("import random, ssl, secrets, uuid\nrandom.seed(1)", "");
    for expression in [
        "random.random()",
        "secrets.token_hex()",
        "ssl.RAND_bytes(16).hex()",
        "uuid.uuid4()",
    ] {
        let told = in_each(&server, expression);
        assert_ne!(told[0], told[1], "{expression}");
    }
}

#[test]
fn threads_of_the_import_are_named_and_gone_and_their_locks_hurt_no_one() {
    let server = loaded_with(
        "import logging, threading, time\n\
         def chatter():\n\
         \x20   while True:\n\
         \x20       logging.getLogger('x').debug('busy')\n\
         for number in range(4):\n\
         \x20   threading.Thread(target=chatter, name=f'chatter {number}', daemon=True).start()",
        "",
    );
    let line = server.wait_for_log(&["threads that were started while the application was loaded"]);
    for part in ["\"chatter 0\"", "\"chatter 3\"", "lazy-apps = true"] {
        assert!(line.contains(part), "{line}");
    }
    assert!(!line.contains("extension module"), "{line}");
    assert_eq!(
        server.count_log("threads that were started"),
        1,
        "once for all workers"
    );
    assert_all(
        &server,
        "[thread.name for thread in threading.enumerate()], logging.getLogger('x').error('fine')",
        "(['MainThread'], None)",
    );
}

#[test]
fn connections_that_all_workers_would_share_are_named() {
    let database = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = database.local_addr().unwrap();
    let server = Server::new();
    let cache = UnixListener::bind(server.path().join("cache.sock")).unwrap();
    let app = format!(
        "import socket\nDATABASE = socket.create_connection(('127.0.0.1', {}))\n\
         CACHE = socket.socket(socket.AF_UNIX)\nCACHE.connect('cache.sock')\n\
         PAIR = socket.socketpair()\nLISTENER = socket.create_server(('127.0.0.1', 0))\n{TOOLBOX}",
        address.port()
    );
    let server = start(server.app(&app), "");
    let line = server.wait_for_log(&["connections that were made while the application was loaded"]);
    for part in [
        &format!("{address} (descriptor "),
        "cache.sock (descriptor ",
        "uwsgi.post_fork_hook",
    ] {
        assert!(line.contains(part), "{line}");
    }
    assert_eq!(line.matches("descriptor").count(), 2, "{line}");
    drop((database, cache));
}

#[test]
fn an_event_loop_of_the_import_is_told_of() {
    let app = format!("import asyncio\nLOOP = asyncio.new_event_loop()\n{TOOLBOX}");
    let server = Server::new().app(&app).ini(HTTP).start();
    server.wait_for_log(&["an event loop (epoll)", "shared by all workers", "lazy-apps"]);
}

#[test]
fn what_is_loaded_in_each_worker_is_warned_of_by_nothing() {
    let database = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = loaded_with(
        &format!(
            "import asyncio, socket, threading\nDATABASE = socket.create_connection(('127.0.0.1', {}))\n\
             LOOP = asyncio.new_event_loop()\nSTOP = threading.Event()\nthreading.Thread(target=STOP.wait, daemon=True).start()",
            database.local_addr().unwrap().port()
        ),
        "lazy-apps = true\n",
    );
    assert_all(&server, "threading.active_count()", "2");
    assert_eq!(server.count_log("while the application was loaded"), 0);
}

#[test]
fn an_application_that_keeps_to_itself_is_warned_of_by_nothing() {
    let server = loaded_with(
        "import tempfile\nFILE = tempfile.TemporaryFile()\nFILE.write(b'x')",
        "",
    );
    assert_eq!(server.get("/").text(), "hello\n");
    assert_eq!(server.count_log("while the application was loaded"), 0);
}

#[test]
fn what_a_warm_up_asks_for_is_asked_before_there_are_workers() {
    let server = loaded_with(
        "import os\nASKED = []\ndef ask(): ASKED.append(os.getpid())\nMOLD = os.getpid()",
        "warm-up = /eval?ask()\nwarm-up = http://example.com/no-such-tool\n",
    );
    server.wait_for_log(&["warm-up: /eval?ask() answered 200", " at first", " at last"]);
    server.wait_for_log(&["warn", "warm-up: /no-such-tool answered 404"]);
    assert_all(
        &server,
        "len(ASKED), set(ASKED) == {MOLD}, os.getpid() != MOLD",
        "(10, True, True)",
    );
}

#[test]
fn the_collector_of_a_worker_leaves_alone_what_was_made_before_the_fork() {
    let mark = "import gc\nMARKS = [['imported']]\ndef mark(): MARKS.append(['asked for'])\n\
                def seen(): return [mark[0] for mark in MARKS if any(mark is other for other in gc.get_objects())]";
    let server = loaded_with(mark, "warm-up = /eval?mark()\n");
    // What was made by the warm-up too: it is set aside behind that, in the mold, for all workers alike.
    let counts = in_each(&server, "gc.get_freeze_count()");
    assert!(counts[0].parse::<u32>().unwrap() > 1000, "{counts:?}");
    assert_eq!(counts[0], counts[1]);
    assert_all(&server, "len(MARKS) > 1, seen()", "(True, [])");
    // It does look after what a worker makes itself.
    assert_all(&server, "MARKS.append(['later']) or seen()", "['later']");
    // With lazy-apps nothing is shared, but no collection walks over all that was imported either.
    let server = loaded_with(mark, "lazy-apps = true\n");
    assert_all(&server, "len(MARKS), seen()", "(1, [])");
    assert_all(&server, "gc.get_freeze_count() > 1000", "True");
}

#[test]
fn a_warm_up_that_raises_or_never_ends_is_no_reason_not_to_start() {
    let endless = "def endless(environ, start_response, rest):
    start_response('200 OK', [])
    while True:
        yield b'x'

TOOLS['endless'] = endless
";
    let server = Server::new().app(&format!("{TOOLBOX}\n{endless}"));
    let server = start(server, "warm-up = /eval?1/0\nwarm-up = /endless\n");
    server.wait_for_log(&["ZeroDivisionError"]);
    server.wait_for_log(&["warn", "warm-up: /eval?1/0 answered 500"]);
    server.wait_for_log(&["warm-up: /endless answered 200"]);
    assert_eq!(server.get("/").text(), "hello\n");
}

#[test]
fn connections_that_a_warm_up_leaves_open_are_named() {
    let database = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = database.local_addr().unwrap().port();
    let server = loaded_with(
        &format!(
            "import socket\nOPEN = []\ndef connect(): OPEN.append(socket.create_connection(('127.0.0.1', {port})))"
        ),
        "warm-up = /eval?connect()\n",
    );
    let told = format!("127.0.0.1:{port} (descriptor ");
    server.wait_for_log(&["shared by all workers", &told]);
}

#[test]
fn an_asgi_application_is_not_asked_before_there_are_workers() {
    let app = "async def application(scope, receive, send):\n    pass\n";
    let server = Server::new()
        .app(app)
        .ini(&format!("{HTTP}warm-up = /\n"))
        .start();
    server.wait_for_log(&["warn", "warm-up: only applications that speak WSGI"]);
}

#[cfg(target_env = "gnu")]
#[test]
fn what_a_worker_allocates_does_not_lie_in_holes_of_the_heap_that_workers_share() {
    let server = loaded_with(
        "import ctypes\nLIBC = ctypes.CDLL(None)\nLIBC.malloc.restype = ctypes.c_void_p\n\
         LIBC.free.argtypes = [ctypes.c_void_p]\nPIECES = [LIBC.malloc(200) for _ in range(2000)]\n\
         HOLES = set(PIECES[::2])\nfor hole in HOLES: LIBC.free(hole)",
        "",
    );
    assert_all(&server, "sum(LIBC.malloc(200) in HOLES for _ in range(500))", "0");
}
