//! Signals, pidfiles, sockets from elsewhere, and the death of every kind of process.

use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::load::Load;
use crate::support::process;
use crate::support::wait::{PATIENCE, within};
use crate::support::{Connection, HTTP, Running, Server, TOOLBOX, eventually, skip, soon};

fn server() -> Running {
    Server::new().ini(HTTP).start()
}

/// A connection with a request in the application's hands for `seconds`.
fn busy(server: &Running, seconds: f32) -> Connection {
    let mut connection = server.connect();
    connection.send(format!("GET /stream/2/4/{seconds} HTTP/1.1\r\nHost: x\r\n\r\n"));
    // Its head and first piece are out: the application has it.
    connection.head().unwrap();
    connection.chunk().unwrap();
    connection
}

/// Asserts that a server ended well, soon after `asked`, with nothing left.
fn assert_ends(mut server: Running, asked: Instant, limit: Duration) {
    let status = server.wait_for_end();
    assert!(status.success(), "{status}\n{}", server.log());
    assert!(
        asked.elapsed() < limit,
        "it took {:?}\n{}",
        asked.elapsed(),
        server.log()
    );
    server.assert_nothing_left();
}

#[test]
fn term_and_int_finish_what_is_in_hand() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let server = server();
        let mut connection = busy(&server, 0.8);
        let asked = Instant::now();
        server.signal(signal);
        assert_eq!(
            connection.chunk().unwrap().as_deref(),
            Some(&b"ssss"[..]),
            "{signal}"
        );
        assert_eq!(connection.chunk().unwrap(), None, "{signal}");
        assert_ends(server, asked, Duration::from_secs(20));
    }
}

#[test]
fn a_signal_to_every_process_finishes_what_is_in_hand_too() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let server = server();
        let mut connection = busy(&server, 0.8);
        let asked = Instant::now();
        server.signal_all(signal);
        assert_eq!(
            connection.chunk().unwrap().as_deref(),
            Some(&b"ssss"[..]),
            "{signal}"
        );
        assert_eq!(connection.chunk().unwrap(), None, "{signal}");
        assert_ends(server, asked, Duration::from_secs(20));
    }
}

#[test]
fn an_idle_server_stops_at_once() {
    let server = server();
    let mut idle = server.connect();
    assert_eq!(idle.get("/").status, 200);
    let asked = Instant::now();
    server.signal(Signal::SIGTERM);
    assert_ends(server, asked, Duration::from_secs(10));
}

#[test]
fn a_second_signal_does_not_wait() {
    let server = server();
    let _connection = busy(&server, 60.0);
    let asked = Instant::now();
    server.signal(Signal::SIGTERM);
    let pid = server.pid();
    thread::sleep(Duration::from_millis(300));
    assert!(process::is_alive(pid), "the first signal did not wait");
    server.signal(Signal::SIGTERM);
    assert_ends(server, asked, Duration::from_secs(15));
}

#[test]
fn quit_does_not_wait() {
    let server = server();
    let _connection = busy(&server, 60.0);
    let asked = Instant::now();
    server.signal(Signal::SIGQUIT);
    assert_ends(server, asked, Duration::from_secs(15));
}

#[test]
fn a_worker_that_takes_longer_than_mercy_is_killed() {
    let server = Server::new()
        .ini(&format!("{HTTP}worker-reload-mercy = 1\n"))
        .start();
    let _connection = busy(&server, 60.0);
    let asked = Instant::now();
    server.signal(Signal::SIGTERM);
    assert_ends(server, asked, Duration::from_secs(15));
}

#[test]
fn term_reloads_where_die_on_term_is_off() {
    let server = Server::new().ini(&format!("{HTTP}die-on-term = false\n")).start();
    let worker = server.get("/pid").text().to_owned();
    let ready = server.times_ready();
    server.signal(Signal::SIGTERM);
    server.wait_until_ready(ready + 1);
    soon("another worker", || server.get("/pid").text() != worker);
    server.signal(Signal::SIGINT);
    assert_ends(server, Instant::now(), Duration::from_secs(20));
}

#[test]
fn usr1_opens_the_log_again_and_prints_the_state() {
    let server = Server::new().ini(&format!("{HTTP}logto = %duwrs.log\n")).start();
    let (log, moved) = (server.file("uwrs.log"), server.file("uwrs.log.1"));
    assert_eq!(server.get("/").status, 200);
    soon("the request is in the log", || {
        fs::read_to_string(&log).unwrap().contains("GET / ")
    });
    fs::rename(&log, &moved).unwrap();
    let mut open = [server.connect(), server.connect()];
    for connection in &mut open {
        assert_eq!(connection.get("/").status, 200);
    }
    server.signal(Signal::SIGUSR1);
    soon("there is a new log", || log.exists());
    soon("the state is in it", || {
        let text = fs::read_to_string(&log).unwrap();
        text.contains("worker 1") && text.contains(&server.settle(1)[0].to_string())
    });
    let text = fs::read_to_string(&log).unwrap();
    assert!(text.contains("3 requests, 2 connections open"), "{text}");
    let size = fs::metadata(&moved).unwrap().len();
    assert_eq!(server.get("/say").status, 200);
    soon("the request is in the new log", || {
        fs::read_to_string(&log).unwrap().contains("GET /say ")
    });
    soon("so is what is printed", || {
        fs::read_to_string(&log)
            .unwrap()
            .contains("said on standard error")
    });
    assert_eq!(fs::metadata(&moved).unwrap().len(), size);
}

#[test]
fn usr2_executes_the_program_again_and_loses_nothing() {
    let app = "import os\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    \
        return [b'%d' % os.getpid()]\n";
    let server = Server::new()
        .app(app)
        .ini(&format!("{HTTP}processes = 2\ndisable-logging = true\n"))
        .start();
    let (pid, ports) = (server.pid(), server.ports());
    let mut old = server.settle(2);
    let load = Load::start(server.port(), 4, 4);
    for _ in 0..3 {
        load.wait_for(50);
        let ready = server.times_ready();
        server.signal(Signal::SIGUSR2);
        server.wait_until_ready(ready + 1);
        soon("the old workers are gone", || {
            old.iter().all(|&worker| !process::is_alive(worker))
        });
        old = server.settle(2);
        assert!(process::is_alive(pid));
        assert_eq!(server.ports(), ports);
    }
    load.wait_for(50);
    let report = load.finish();
    assert!(report.lost.is_empty(), "{:#?}\n{}", report.lost, server.log());
}

#[test]
fn usr2_with_a_program_that_does_not_start_keeps_the_old_one_serving() {
    let server = server();
    server.write("app.py", "raise RuntimeError('not today')\n");
    server.signal(Signal::SIGUSR2);
    server.wait_for_log(&["RuntimeError: not today"]);
    assert_eq!(server.get("/").text(), "hello\n");
    server.write("app.py", TOOLBOX);
    server.reload();
    assert_eq!(server.get("/").text(), "hello\n");
}

#[test]
fn ttin_and_ttou_add_and_take_a_worker() {
    let server = server();
    server.settle(1);
    server.signal(Signal::SIGTTIN);
    server.settle(2);
    server.signal(Signal::SIGTTIN);
    server.settle(3);
    for expected in [2, 1] {
        server.signal(Signal::SIGTTOU);
        server.settle(expected);
    }
    // Never the last one.
    server.signal(Signal::SIGTTOU);
    soon("it is heard", || {
        server.count_log("1 worker less: asked for (TTOU or -), now 1") == 2
    });
    server.settle(1);
    assert_eq!(server.get("/").text(), "hello\n");
}

#[test]
fn tstp_pauses_and_resumes() {
    let server = server();
    let mut open = server.connect();
    assert_eq!(open.get("/").status, 200);
    server.signal(Signal::SIGTSTP);
    server.wait_for_log(&["paused"]);
    // The log is the master's; its workers follow in a moment.
    let mut waiting = eventually("a connection that has to wait", || {
        let mut connection = server.connect();
        connection.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        connection.set_patience(Duration::from_millis(300));
        connection.try_response().is_err().then_some(connection)
    });
    // Those that were there before are served.
    assert_eq!(open.get("/").text(), "hello\n");
    server.signal(Signal::SIGTSTP);
    waiting.set_patience(PATIENCE);
    assert_eq!(waiting.response().text(), "hello\n");
}

#[test]
fn a_worker_that_is_killed_comes_back() {
    let server = server();
    let worker = server.settle(1)[0];
    process::signal(worker, Signal::SIGKILL);
    soon("another one is there", || {
        server.workers().first().is_some_and(|&pid| pid != worker)
    });
    assert_eq!(server.get("/").text(), "hello\n");
}

#[test]
fn a_mold_that_is_killed_comes_back_and_nobody_notices() {
    let app = "import os\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    \
        return [b'%d' % os.getpid()]\n";
    let server = Server::new()
        .app(app)
        .ini(&format!("{HTTP}processes = 2\ndisable-logging = true\n"))
        .start();
    server.settle(2);
    let load = Load::start(server.port(), 2, 2);
    let mold = server.mold();
    process::signal(mold, Signal::SIGKILL);
    load.wait_for(200);
    soon("it is dead", || !process::is_alive(mold));
    server.settle(2);
    assert_ne!(server.mold(), mold);
    let report = load.finish();
    assert!(report.lost.is_empty(), "{:#?}\n{}", report.lost, server.log());
    // What it is for works again.
    let worker = server.settle(2)[0];
    process::signal(worker, Signal::SIGKILL);
    soon("it is replaced", || !server.settle(2).contains(&worker));
}

#[test]
fn the_children_of_a_killed_master_leave() {
    let mut server = Server::new().ini(&format!("{HTTP}processes = 2\n")).start();
    let mut connection = busy(&server, 0.5);
    server.settle(2);
    let group = server.family();
    server.signal(Signal::SIGKILL);
    server.wait_for_end();
    // The worker finishes what it has in hand.
    assert_eq!(connection.chunk().unwrap().as_deref(), Some(&b"ssss"[..]));
    let gone = within(Duration::from_secs(20), || {
        group.iter().all(|one| !process::is_alive(one.pid)).then_some(())
    });
    assert!(gone.is_some(), "{:?}\n{}", server.family(), server.log());
}

#[test]
fn a_hup_to_every_process_is_one_reload() {
    let app = format!("print('imported', flush=True)\n{TOOLBOX}");
    let server = Server::new()
        .app(&app)
        .ini(&format!("{HTTP}processes = 2\n"))
        .start();
    server.settle(2);
    let ready = server.times_ready();
    server.signal_all(Signal::SIGHUP);
    server.wait_until_ready(ready + 1);
    server.settle(2);
    assert_eq!(server.count_log("imported"), 2, "{}", server.log());
    assert_eq!(server.times_ready(), ready + 1);
}

#[test]
fn killall_finds_every_process_and_asks_for_one_reload() {
    if Command::new("killall")
        .arg("--version")
        .stderr(Stdio::null())
        .status()
        .is_err()
    {
        skip("this machine has no killall");
        return;
    }
    // By the path of a copy: by name, other tests' servers would be meant as well.
    let server = Server::new();
    let program = server.path().join("program");
    fs::copy(env!("CARGO_BIN_EXE_uwrs"), &program).unwrap();
    let app = format!("print('imported', flush=True)\n{TOOLBOX}");
    let script = "exec ./program --http 127.0.0.1:0 --module app --processes 2";
    let server = server.app(&app).through("sh", &["-c", script]).start();
    for member in server.family() {
        let name = fs::read_to_string(format!("/proc/{}/comm", member.pid)).unwrap();
        assert_eq!(name.trim(), "uwrs", "{member:?}");
    }
    let ready = server.times_ready();
    assert!(
        Command::new("killall")
            .arg("-HUP")
            .arg(&program)
            .status()
            .unwrap()
            .success()
    );
    server.wait_until_ready(ready + 1);
    soon("imported again", || server.count_log("imported") == 2);
    assert_eq!(server.get("/").text(), "hello\n");
    assert_eq!(server.times_ready(), ready + 1);
}

#[test]
fn whoever_takes_the_pidfile_of_a_running_server_says_so() {
    let first = Server::new().ini(&format!("{HTTP}pidfile = %dpid\n")).start();
    let pidfile = first.file("pid");
    let second = Server::new()
        .ini(&format!("{HTTP}pidfile = {}\n", pidfile.display()))
        .start();
    second.wait_for_log(&["warn", "pidfile", &format!("pid {}", first.pid())]);
    // One that is gone is nothing to speak of.
    fs::write(&pidfile, "4000000\n").unwrap();
    let third = Server::new()
        .ini(&format!("{HTTP}pidfile = {}\n", pidfile.display()))
        .start();
    assert_eq!(third.count_log("out of reach"), 0);
}

#[test]
fn a_pidfile_serves_reload_and_stop() {
    let program = env!("CARGO_BIN_EXE_uwrs");
    let mut server = Server::new()
        .ini(&format!(
            "{HTTP}pidfile = %dpid\nsafe-pidfile = %dsafe\nvacuum = true\n"
        ))
        .start();
    for name in ["pid", "safe"] {
        let written = fs::read_to_string(server.file(name)).unwrap();
        assert_eq!(written.trim(), server.pid().to_string(), "{name}");
    }
    let pidfile = server.file("pid");
    let ready = server.times_ready();
    assert!(
        Command::new(program)
            .arg("--reload")
            .arg(&pidfile)
            .status()
            .unwrap()
            .success()
    );
    server.wait_until_ready(ready + 1);
    assert!(
        Command::new(program)
            .arg("--stop")
            .arg(&pidfile)
            .status()
            .unwrap()
            .success()
    );
    assert!(server.wait_for_end().success());
    assert!(!pidfile.exists(), "vacuum left the pidfile");
    let output = Command::new(program)
        .arg("--stop")
        .arg(&pidfile)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("pid"));
}

#[test]
fn vacuum_removes_unix_sockets() {
    let mut server = Server::new()
        .ini("http = %dapp.sock\nvacuum = true\nmodule = app\n")
        .start();
    let socket = server.file("app.sock");
    assert!(socket.exists());
    server.reload();
    assert!(socket.exists());
    server.signal(Signal::SIGTERM);
    server.wait_for_end();
    assert!(!socket.exists());
}

#[test]
fn daemonize_goes_to_the_background() {
    let ini = "http = %dapp.sock\nmodule = app\npidfile = %dpid\ndaemonize = %duwrs.log\n";
    let finished = Server::new().ini(ini).run();
    finished.assert_success();
    let path = finished.path().to_owned();
    let pid = eventually("a pidfile", || {
        fs::read_to_string(path.join("pid")).ok()?.trim().parse().ok()
    });
    let server = finished.adopt(pid);
    soon("it serves", || {
        std::os::unix::net::UnixStream::connect(path.join("app.sock")).is_ok()
    });
    assert_eq!(server.connect_unix("app.sock").get("/").text(), "hello\n");
    soon("it logs", || {
        fs::read_to_string(path.join("uwrs.log")).is_ok_and(|log| log.contains("GET /"))
    });
    // No terminal, a session of its own.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    assert_eq!(fields[4], "0", "it has a terminal");
    assert_ne!(
        process::find(std::process::id().cast_signed()).unwrap().group,
        server.family()[0].group
    );
}

/// Starts a server with `socket` as its descriptor `fd`.
fn with_socket(socket: OwnedFd, fd: i32, environment: &str, arguments: &str) -> Running {
    let script = format!("exec {fd}<&0 0</dev/null; {environment} exec \"$0\" {arguments}");
    let server = Server::new()
        .through("sh", &["-c", &script, env!("CARGO_BIN_EXE_uwrs")])
        .input(socket);
    server.start()
}

#[test]
fn a_socket_of_the_service_manager_is_served_where_it_is_asked_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let arguments = format!("--http 127.0.0.1:{port} --module app");
    let server = with_socket(listener.into(), 3, "LISTEN_PID=$$ LISTEN_FDS=1", &arguments);
    assert_eq!(server.ports(), [port]);
    assert_eq!(server.get("/").text(), "hello\n");
    server.reload();
    assert_eq!(server.get("/eval?os.environ.get('LISTEN_FDS')").text(), "None");
}

#[test]
fn a_socket_of_the_service_manager_is_served_where_none_is_asked_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let arguments = "--protocol http --module app";
    let server = with_socket(listener.into(), 3, "LISTEN_PID=$$ LISTEN_FDS=1", arguments);
    assert_eq!(server.ports(), [port]);
    assert_eq!(server.get("/").text(), "hello\n");
}

#[test]
fn a_descriptor_that_is_a_socket_is_served() {
    let directory = std::env::temp_dir().join(format!("uwrs-fd-{}", std::process::id()));
    let listener = UnixListener::bind(&directory).unwrap();
    let server = with_socket(listener.into(), 7, "", "--http fd://7 --module app");
    assert_eq!(Connection::unix(&directory).get("/").text(), "hello\n");
    server.reload();
    assert_eq!(Connection::unix(&directory).get("/").text(), "hello\n");
    drop(server);
    fs::remove_file(&directory).unwrap();
}

#[test]
fn the_service_manager_is_told() {
    let mut server = server();
    let said = |server: &Running, line: &str| {
        server
            .notifications()
            .iter()
            .any(|text| text.lines().any(|have| have.starts_with(line)))
    };
    assert!(said(&server, "STATUS="), "{:?}", server.notifications());
    assert!(!said(&server, "RELOADING=1"));
    server.reload();
    assert!(said(&server, "RELOADING=1"), "{:?}", server.notifications());
    assert!(said(&server, "MONOTONIC_USEC="), "{:?}", server.notifications());
    server.signal(Signal::SIGTERM);
    assert!(server.wait_for_end().success());
    assert!(said(&server, "STOPPING=1"), "{:?}", server.notifications());
}

#[test]
fn a_single_process_stops_and_finishes_what_is_in_hand() {
    let server = Server::new().ini(&format!("{HTTP}master = false\n")).start();
    let mut connection = busy(&server, 0.5);
    let asked = Instant::now();
    server.signal(Signal::SIGTERM);
    assert_eq!(connection.chunk().unwrap().as_deref(), Some(&b"ssss"[..]));
    assert_ends(server, asked, Duration::from_secs(20));
}

#[test]
fn an_application_sees_default_signals() {
    let server = server();
    let script =
        "__import__('subprocess').run(['sh','-c','kill%20-TERM%20$$;%20echo%20survived']).returncode";
    assert_eq!(server.get(&format!("/eval?{script}")).text(), "-15");
}
