//! The process model as operators meet it: real processes, real signals, real sockets, an application that is
//! no Python.

mod site;

use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use site::{
    DEADLINE, Load, Site, children_of, descriptors_of, eventually, get, get_unix, is_alive, kill, program,
    title_of,
};

#[test]
fn a_server_says_where_it_serves_and_each_process_what_it_is() {
    let server = Site::on_port().with("workers", 2).start();
    let log = server.log();
    for part in [
        "uwrs 0.1.0, pid ",
        "http on 127.0.0.1:",
        "Fake 1.0",
        "FAKE application",
        "ready: 2 workers",
    ] {
        assert!(log.contains(part), "{part:?} in {log}");
    }
    assert_eq!(title_of(server.pid).as_deref(), Some("uwrs master"));
    assert_eq!((server.workers().len(), server.molds().len()), (2, 1));
    for pid in server.children() {
        assert_eq!(fs::read_to_string(format!("/proc/{pid}/comm")).unwrap(), "uwrs\n");
    }
    assert!(server.get("/").unwrap().starts_with("one worker="));
}

#[test]
fn a_reload_serves_the_new_application_and_loses_no_request() {
    let server = Site::on_port().with("workers", 2).start();
    let load = Load::on(&server);
    for generation in 2..=8 {
        server.site.write_app(&format!("version v{generation}"));
        if generation % 2 == 0 {
            server.signal(Signal::SIGHUP);
        } else {
            server.signal_everyone(Signal::SIGHUP);
        }
        server.wait_for_log(&format!("generation {generation} serves"));
        server.wait_for_answer(&format!("v{generation} "));
    }
    let (answers, errors) = load.stop();
    assert_eq!(errors, Vec::<String>::new());
    assert!(answers > 50, "{answers} answers");
    eventually("only the last generation's processes are left", || {
        (server.children().len() == 3).then_some(())
    });
    assert_eq!(
        server.logged("reloading"),
        7,
        "each HUP, be it to everyone, is one reload"
    );
}

#[test]
fn a_broken_application_leaves_the_old_one_serving() {
    let server = Site::on_port().start();
    let load = Load::on(&server);
    let before = server.workers();
    let breaks = [
        ("raise", "SyntaxError"),
        ("exit 3", "asked to end"),
        ("abort", "SIGABRT"),
        ("crash-worker", "SIGABRT"),
        ("no-loop", "status 1"),
    ];
    for (count, (line, reason)) in breaks.into_iter().enumerate() {
        server.site.write_app(line);
        server.signal(Signal::SIGHUP);
        eventually("the reload fails", || {
            (server.logged("reload failed: ") == count + 1).then_some(())
        });
        let log = server.log();
        let last = log
            .lines()
            .rfind(|line| line.contains("reload failed: "))
            .unwrap();
        assert!(
            last.contains(reason) && last.contains("generation 1 goes on serving"),
            "{last}"
        );
    }
    assert!(server.logged("Traceback (most recent call last)") > 0);
    assert_eq!(server.workers(), before);
    server.site.write_app("version mended");
    server.signal(Signal::SIGHUP);
    server.wait_for_answer("mended ");
    let (_, errors) = load.stop();
    assert_eq!(errors, Vec::<String>::new());
}

#[test]
fn a_broken_configuration_leaves_the_old_one_serving() {
    let mut server = Site::on_port().start();
    let before = server.workers();
    server.site.set("nonsense", "1");
    server.signal(Signal::SIGHUP);
    server.wait_for_log("nonsense: not understood");
    server.wait_for_log("generation 1 goes on serving");
    assert_eq!(server.workers(), before);
    assert!(server.get("/").is_ok());
}

#[test]
fn a_reload_changes_the_number_of_workers_and_the_listeners() {
    let mut server = Site::on_port().with("workers", 1).start();
    let socket = server.site.path("more.sock");
    server.site.set("workers", 3);
    server.site.set("listen", socket.display());
    server.site.set("vacuum", true);
    server.signal(Signal::SIGHUP);
    server.wait_for_log("generation 2 serves: 3 workers");
    server.wait_for_log("more.sock too");
    assert!(get_unix(&socket, "/").unwrap().contains("generation=2"));

    let config = fs::read_to_string(server.site.path("config")).unwrap();
    let without = config
        .lines()
        .filter(|line| !line.contains("more.sock"))
        .collect::<Vec<_>>()
        .join("\n");
    server.site.write("config", &without);
    server.signal(Signal::SIGHUP);
    server.wait_for_log("more.sock is closed once the old workers have left");
    eventually("the socket's file goes", || (!socket.exists()).then_some(()));
    assert!(server.get("/").is_ok());
}

#[test]
fn a_listener_that_cannot_be_had_fails_the_reload() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut server = Site::on_port().start();
    server.site.set("listen", taken.local_addr().unwrap());
    server.signal(Signal::SIGHUP);
    server.wait_for_log("address already in use");
    server.wait_for_log("generation 1 goes on serving");
    assert!(server.get("/").is_ok());
}

#[test]
fn what_only_a_start_can_change_is_said() {
    let mut server = Site::on_port().start();
    server.site.set("umask", "077");
    server.signal(Signal::SIGHUP);
    server.wait_for_log("umask was changed: takes effect when the server is started anew");
}

#[test]
fn a_killed_worker_is_back_within_a_second() {
    let server = Site::on_port().with("workers", 2).start();
    for round in 1..=3 {
        let victim = server.workers()[0];
        let before = Instant::now();
        kill(victim, Signal::SIGKILL);
        eventually("another worker", || {
            let workers = server.workers();
            (workers.len() == 2 && !workers.contains(&victim)).then_some(())
        });
        assert!(before.elapsed() < Duration::from_secs(1));
        server.wait_for_log(&format!(
            "worker 1 (pid {victim}) was killed by SIGKILL after 0 requests"
        ));
        eventually("told once", || {
            (server.logged("replaced by pid") == round).then_some(())
        });
        // Young deaths in a row are answered more and more slowly: let this one be no youth.
        std::thread::sleep(Duration::from_millis(1050));
    }
}

#[test]
fn the_log_tells_what_a_worker_was_doing_when_it_died() {
    let server = Site::on_port().with("workers", 1).start();
    server.get("/").unwrap();
    assert!(server.get("/abort").is_err());
    server.wait_for_log("was killed by SIGABRT");
    let log = server.log();
    let line = log.lines().find(|line| line.contains("SIGABRT")).unwrap();
    assert!(
        line.contains("after 1 request, while serving \"GET /abort\" for "),
        "{line}"
    );
    server.wait_for_answer("worker=1");
}

#[test]
fn a_worker_that_keeps_dying_does_not_make_the_master_spin() {
    let server = Site::on_port().with("workers", 1).start();
    server.site.write_app("return-at-once");
    server.signal(Signal::SIGHUP);
    server.wait_for_log("the next one starts in 0.4 s");
    let starts = server.logged("the next one starts in") + server.logged("replaced by pid");
    assert!(starts <= 6, "{starts} starts");
    server.signal(Signal::SIGTERM);
}

#[test]
fn a_killed_mold_takes_no_worker_with_it_and_is_replaced() {
    let server = Site::on_port().with("workers", 2).start();
    let (workers, mold) = (server.workers(), server.molds()[0]);
    kill(mold, Signal::SIGKILL);
    eventually("another mold", || {
        server.molds().first().filter(|pid| **pid != mold).map(drop)
    });
    assert_eq!(server.workers(), workers);
    kill(workers[1], Signal::SIGKILL);
    eventually("another worker", || {
        let now = server.workers();
        (now.len() == 2 && !now.contains(&workers[1])).then_some(())
    });
    assert_eq!(server.workers()[0], workers[0]);
}

#[test]
fn when_the_master_is_killed_everyone_leaves() {
    let server = Site::on_port().with("workers", 3).start();
    let children = server.children();
    assert_eq!(children.len(), 4);
    kill(server.pid, Signal::SIGKILL);
    for pid in children {
        eventually("an orphan leaves", || (!is_alive(pid)).then_some(()));
    }
    assert_eq!(server.logged("the master is gone"), 3);
}

#[test]
fn a_stop_lets_requests_finish() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        for to_everyone in [false, true] {
            let mut server = Site::on_port().with("workers", 1).start();
            let port = server.port();
            let client = std::thread::spawn(move || get(port, "/sleep/400"));
            eventually("the request is under way", || busy(&server));
            if to_everyone {
                server.signal_everyone(signal);
            } else {
                server.signal(signal);
            }
            assert_eq!(server.wait_for_end().code(), Some(0));
            assert!(client.join().unwrap().is_ok());
            assert_eq!(server.logged("stopping gracefully"), 1);
            assert_eq!(server.logged("replaced by"), 0);
        }
    }
}

/// Some while the worker runs a request; asks for the state to know.
fn busy(server: &site::Server) -> Option<()> {
    server.signal(Signal::SIGUSR1);
    std::thread::sleep(Duration::from_millis(10));
    server
        .log()
        .lines()
        .last()
        .filter(|line| line.contains("while serving"))
        .map(drop)
}

#[test]
fn a_second_stop_and_a_quit_wait_for_nobody() {
    for signals in [&[Signal::SIGTERM, Signal::SIGTERM][..], &[Signal::SIGQUIT]] {
        let mut server = Site::on_port().with("workers", 1).with("mercy", 60_000).start();
        let port = server.port();
        let client = std::thread::spawn(move || get(port, "/sleep/30000"));
        eventually("the request is under way", || busy(&server));
        for signal in signals {
            server.signal(*signal);
            std::thread::sleep(Duration::from_millis(150));
        }
        let since = Instant::now();
        assert_eq!(server.wait_for_end().code(), Some(0));
        assert!(since.elapsed() < Duration::from_secs(5));
        assert!(client.join().unwrap().is_err());
    }
}

#[test]
fn who_does_not_leave_in_time_is_killed_and_the_log_says_what_it_was_doing() {
    let mut server = Site::on_port().with("workers", 1).with("mercy", 300).start();
    let port = server.port();
    let client = std::thread::spawn(move || get(port, "/sleep/30000"));
    eventually("the request is under way", || busy(&server));
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait_for_end().code(), Some(0));
    assert!(client.join().unwrap().is_err());
    server.wait_for_log("did not leave within 0.3 s and is killed, while serving \"GET /sleep/30000\" for ");
}

#[test]
fn usr1_reopens_the_log_of_every_process_and_shows_the_state() {
    let site = Site::new().with("listen", "127.0.0.1:0").with("workers", 2);
    let file = site.path("file.log");
    let site = site.with("logto", file.display());
    let mut command = site.command();
    let child = command.spawn().unwrap();
    let server = Running(child);
    let read = |path: &std::path::Path| fs::read_to_string(path).unwrap_or_default();
    eventually("it is up", || read(&file).contains("ready").then_some(()));

    let old = site.path("file.log.1");
    fs::rename(&file, &old).unwrap();
    let mut everyone = children_of(server.0.id() as i32);
    everyone.push(server.0.id() as i32);
    everyone.iter().for_each(|pid| kill(*pid, Signal::SIGUSR1));
    for pid in everyone {
        eventually("its log is the new file", || {
            let of = |fd: i32| fs::read_link(format!("/proc/{pid}/fd/{fd}")).ok();
            (of(1) == Some(file.clone()) && of(2) == Some(file.clone())).then_some(())
        });
    }
    let state = eventually("the state", || {
        Some(read(&file)).filter(|log| log.contains("worker 2 (pid "))
    });
    assert!(
        state.contains("state: 2 of 2 workers serve generation 1"),
        "{state}"
    );
    assert_eq!(
        state.matches("worker 1 (pid ").count(),
        1,
        "one signal to everyone, one report: {state}"
    );
}

/// A child that is killed at the end.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let pid = self.0.id() as i32;
        let children = children_of(pid);
        let _ = self.0.kill();
        let _ = self.0.wait();
        children.into_iter().for_each(|pid| kill(pid, Signal::SIGKILL));
    }
}

#[test]
fn usr2_becomes_the_new_program_without_losing_a_request() {
    let site = Site::on_port().with("workers", 2);
    let copy = site.path("uwrs");
    fs::copy(program(), &copy).unwrap();
    let command = site.command_of(&copy);
    let server = site.start_command(command);
    let (pid, workers) = (server.pid, server.workers());
    let load = Load::on(&server);
    // As a package manager does it: another file under the same name.
    fs::copy(program(), server.site.path("uwrs.new")).unwrap();
    fs::rename(server.site.path("uwrs.new"), &copy).unwrap();
    server.site.write_app("version two");
    server.signal_everyone(Signal::SIGUSR2);
    server.wait_for_log("generation 2 serves");
    server.wait_for_answer("two ");
    for pid in workers {
        eventually("the old workers leave and are reaped", || {
            (!is_alive(pid)).then_some(())
        });
    }
    assert_eq!(server.pid, pid);
    let link = fs::read_link(format!("/proc/{pid}/exe")).unwrap();
    assert_eq!(link, copy, "not (deleted)");
    eventually("nobody else is left", || {
        (server.children().len() == 3).then_some(())
    });
    let (answers, errors) = load.stop();
    assert_eq!(errors, Vec::<String>::new());
    assert!(answers > 0);
    server.signal(Signal::SIGUSR2);
    server.wait_for_log("generation 3 serves");
    server.signal(Signal::SIGHUP);
    server.wait_for_log("generation 4 serves");
}

#[test]
fn a_program_that_refuses_the_configuration_does_not_become_the_master() {
    let site = Site::on_port();
    let copy = site.path("uwrs");
    fs::copy(program(), &copy).unwrap();
    let command = site.command_of(&copy);
    let server = site.start_command(command);
    let workers = server.workers();
    fs::remove_file(&copy).unwrap();
    server.site.write("uwrs", "#!/bin/sh\nexit 1\n");
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    server.signal(Signal::SIGUSR2);
    server.wait_for_log("not re-executed: ");
    assert!(
        server
            .log()
            .contains("--check ended with status 1; everything goes on as it was")
    );
    assert_eq!(server.workers(), workers);
    assert!(server.get("/").is_ok());
}

#[test]
fn a_re_executed_master_with_a_broken_application_keeps_the_old_workers() {
    let mut server = Site::on_port().with("workers", 2).start();
    let workers = server.workers();
    server.site.write_app("raise");
    server.signal(Signal::SIGUSR2);
    server.wait_for_log("generation 1 goes on serving");
    assert_eq!(server.workers(), workers);
    // The old mold was handed over too.
    kill(workers[0], Signal::SIGKILL);
    eventually("another worker", || {
        let now = server.workers();
        (now.len() == 2 && !now.contains(&workers[0])).then_some(())
    });
    assert!(server.get("/").unwrap().starts_with("one "));
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait_for_end().code(), Some(0));
}

#[test]
fn ttin_and_ttou_change_the_number_of_workers() {
    let server = Site::on_port().with("workers", 1).start();
    let wait_for = |count: usize| {
        eventually("the number of workers", || {
            (server.workers().len() == count).then_some(())
        });
    };
    server.signal(Signal::SIGTTIN);
    wait_for(2);
    server.signal_everyone(Signal::SIGTTIN);
    wait_for(3);
    server.signal(Signal::SIGTTOU);
    wait_for(2);
    server.signal_everyone(Signal::SIGTTOU);
    wait_for(1);
    server.signal(Signal::SIGTTOU);
    eventually("told", || {
        (server.logged("1 worker less: asked for (TTOU or -), now 1") == 2).then_some(())
    });
    assert_eq!(server.workers().len(), 1);
}

#[test]
fn tstp_pauses_until_the_next_one() {
    let server = Site::on_port().with("workers", 2).start();
    server.signal_everyone(Signal::SIGTSTP);
    server.wait_for_log("paused: ");
    let port = server.port();
    // Whoever was about to accept when the signal came may still do so.
    let waiting = eventually("requests wait", || {
        let client = std::thread::spawn(move || get(port, "/"));
        std::thread::sleep(Duration::from_millis(200));
        (!client.is_finished()).then_some(client)
    });
    server.signal(Signal::SIGTSTP);
    assert!(waiting.join().unwrap().is_ok());
}

#[test]
fn pidfiles_are_written_and_removed_and_lead_to_the_server() {
    let site = Site::on_port().with("vacuum", true);
    let (early, late) = (site.path("early.pid"), site.path("late.pid"));
    // A stale one is no obstacle.
    fs::write(&early, "4000000\n").unwrap();
    let site = site
        .with("pidfile", early.display())
        .with("safe-pidfile", late.display());
    let mut server = site.start();
    for path in [&early, &late] {
        assert_eq!(fs::read_to_string(path).unwrap(), format!("{}\n", server.pid));
    }
    let tell = |option: &str| {
        std::process::Command::new(program())
            .arg(option)
            .arg(&late)
            .status()
            .unwrap()
    };
    assert!(tell("--reload").success());
    server.wait_for_log("generation 2 serves");
    assert!(tell("--stop").success());
    assert_eq!(server.wait_for_end().code(), Some(0));
    assert!(!early.exists() && !late.exists());
    assert!(!tell("--reload").success());
}

#[test]
fn a_unix_socket_has_its_mode_and_goes_with_vacuum() {
    let site = Site::new().with("vacuum", true).with("chmod", "640");
    let socket = site.path("app.sock");
    // Left by someone who is gone.
    drop(UnixListener::bind(&socket).unwrap());
    let mut server = site.with("listen", socket.display()).start();
    let metadata = fs::metadata(&socket).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.mode() & 0o777, 0o640);
    assert!(get_unix(&socket, "/").is_ok());
    server.signal(Signal::SIGTERM);
    server.wait_for_end();
    assert!(!socket.exists());
}

#[test]
fn someone_elses_socket_is_neither_stolen_nor_removed() {
    let site = Site::new().with("vacuum", true);
    let socket = site.path("app.sock");
    let _other = UnixListener::bind(&socket).unwrap();
    let (status, log) = site.with("listen", socket.display()).run_to_its_end();
    assert_eq!(status, 1);
    assert!(log.contains("app.sock: another process listens there"), "{log}");

    let site = Site::new().with("vacuum", true);
    let socket = site.path("app.sock");
    let mut server = site.with("listen", socket.display()).start();
    fs::remove_file(&socket).unwrap();
    let _successor = UnixListener::bind(&socket).unwrap();
    server.signal(Signal::SIGTERM);
    server.wait_for_end();
    assert!(socket.exists());
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let site = Site::new();
    let path = site.path("precious");
    site.write("precious", "data");
    let (status, log) = site.with("listen", path.display()).run_to_its_end();
    assert_eq!(status, 1);
    assert!(
        log.contains("precious: the file is there and is not a socket"),
        "{log}"
    );
}

#[test]
fn abstract_and_ipv6_sockets_are_served() {
    let name = format!("uwrs-test-{}", std::process::id());
    let server = Site::new()
        .with("listen", format!("@{name}"))
        .with("listen", "[::1]:0")
        .start();
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let connected = UnixStream::connect_addr(&address);
    assert!(connected.is_ok());
    assert!(server.log().contains(&format!("http on @{name}")));
    assert!(server.log().contains("http on [::1]:"));
}

/// Makes a site unfit.
type Arrange = fn(Site) -> Site;

#[test]
fn a_start_that_fails_says_why_and_with_which_status() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let cases: [(Arrange, i32, &str); 8] = [
        (
            |site| {
                site.write_app("raise");
                site
            },
            22,
            "SyntaxError in the application\nTraceback",
        ),
        (
            |site| {
                site.write_app("exit 3");
                site
            },
            3,
            "the application asked to end",
        ),
        (
            |site| {
                site.write_app("abort");
                site
            },
            1,
            "the process that loads the application was killed by SIGABRT",
        ),
        (
            |site| {
                site.write_app("crash-worker");
                site
            },
            1,
            "before it was ready",
        ),
        (
            |site| {
                site.write_app("raise");
                site.with("lazy", true)
            },
            22,
            "SyntaxError in the application\nTraceback",
        ),
        (|site| site.with("app", ""), 22, "no application: name one"),
        (
            |site| site.with("uid", "no-such-user"),
            1,
            "config:4: uid = no-such-user: no such user",
        ),
        (
            |site| site.with("chdir", "/no/such/directory"),
            1,
            "chdir = /no/such/directory: ",
        ),
    ];
    for (arrange, expected, reason) in cases {
        let (status, log) = arrange(Site::on_port()).run_to_its_end();
        assert_eq!(status, expected, "{reason}: {log}");
        assert!(log.contains(reason), "{reason}: {log}");
    }
    let address = taken.local_addr().unwrap();
    let (status, log) = Site::new().with("listen", address).run_to_its_end();
    assert_eq!(status, 1);
    assert!(
        log.contains("config:3: ") && log.contains(&format!("{address}: address already in use")),
        "{log}"
    );
}

#[test]
fn without_need_app_a_server_starts_without_its_application() {
    for lazy in [false, true] {
        let site = Site::on_port().with("need-app", false).with("lazy", lazy);
        site.write_app("raise");
        let server = site.start();
        server.wait_for_log("going on without an application");
        assert!(server.get("/").unwrap().starts_with("no-app "));
        server.site.write_app("version mended");
        server.signal(Signal::SIGHUP);
        server.wait_for_answer("mended ");
        server.site.write_app("raise");
        server.signal(Signal::SIGHUP);
        server.wait_for_log("generation 2 goes on serving");
    }
}

#[test]
fn lazy_applications_are_loaded_by_each_worker() {
    let server = Site::on_port().with("lazy", true).with("workers", 2).start();
    assert_eq!(server.logged("FAKE application"), 2);
    server.site.write_app("raise");
    server.signal(Signal::SIGHUP);
    server.wait_for_log("generation 1 goes on serving");
    server.site.write_app("version two");
    server.signal(Signal::SIGHUP);
    server.wait_for_answer("two ");
}

#[test]
fn each_process_has_the_descriptors_it_needs_and_no_others() {
    let server = Site::on_port().with("workers", 2).start();
    server.signal(Signal::SIGHUP);
    server.wait_for_log("generation 2 serves");
    eventually("the old ones leave", || {
        (server.children().len() == 3).then_some(())
    });
    // What any program gets that is started here: standard input, output, the log, and what the tests' caller
    // left open.
    let log = fs::File::options()
        .append(true)
        .open(server.site.path("log"))
        .unwrap();
    let mut sleep = std::process::Command::new("sleep");
    sleep
        .arg("60")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    let sleep = Running(sleep.spawn().unwrap());
    let pid = sleep.0.id() as i32;
    eventually("it is sleep", || {
        title_of(pid).filter(|title| title.starts_with("sleep"))
    });
    let given = descriptors_of(pid);
    let with = |more: &[&str]| {
        let mut all = given.clone();
        all.extend(more.iter().map(|text| (*text).to_owned()));
        all.sort();
        all
    };
    // The listener, both ends of the ferry; the lifeline; both ends of the pipe that signals write to.
    let expected = with(&["pipe", "pipe", "pipe", "socket", "socket", "socket"]);
    for pid in server.workers() {
        let what = format!("{expected:?} in place of {:?}", descriptors_of(pid));
        eventually(&what, || (descriptors_of(pid) == expected).then_some(()));
    }
    // The listener, both ends of the ferry, the channel; the lifeline.
    assert_eq!(
        descriptors_of(server.molds()[0]),
        with(&["pipe", "socket", "socket", "socket", "socket"])
    );
}

#[test]
fn sockets_of_systemd_are_used_and_it_is_told_what_goes_on() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let site = Site::new()
        .with("listen", format!("127.0.0.1:{port}"))
        .with("workers", 1);
    let notify = UnixDatagram::bind(site.path("notify")).unwrap();
    notify.set_read_timeout(Some(DEADLINE)).unwrap();
    let next = || {
        let mut buffer = [0; 4096];
        let count = notify.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    };
    // systemd's part: descriptor 3, and the pid of the process that the program becomes.
    let direct = site.command();
    let mut command = std::process::Command::new("/bin/sh");
    let script = "exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\"";
    command
        .arg("-c")
        .arg(script)
        .arg(direct.get_program())
        .args(direct.get_args());
    command.stdin(OwnedFd::from(listener)).stdout(Stdio::null());
    command.stderr(fs::File::create(site.path("log")).unwrap());
    command.env("NOTIFY_SOCKET", site.path("notify"));
    let mut server = site.start_command(command);
    assert!(get(port, "/").is_ok());
    let ready = next();
    assert!(
        ready.starts_with(&format!("READY=1\nMAINPID={}\nSTATUS=1 of 1 worker", server.pid)),
        "{ready}"
    );

    server.signal(Signal::SIGHUP);
    let reloading = next();
    assert!(
        reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="),
        "{reloading}"
    );
    assert!(next().starts_with("READY=1\n"));

    server.site.write_app("raise");
    server.signal(Signal::SIGHUP);
    assert!(next().starts_with("RELOADING=1\n"));
    let failed = next();
    assert!(
        failed.starts_with("READY=1\n") && failed.contains("STATUS=reload failed: SyntaxError"),
        "{failed}"
    );

    server.site.write_app("version two");
    server.signal(Signal::SIGUSR2);
    assert!(next().starts_with("RELOADING=1\n"));
    assert!(next().starts_with("READY=1\n"));
    // An old worker may take one more connection before it hears that it is to leave.
    eventually("the new application", || {
        get(port, "/").ok().filter(|answer| answer.starts_with("two "))
    });

    server.signal(Signal::SIGTERM);
    assert!(next().starts_with("STOPPING=1\n"));
    assert_eq!(server.wait_for_end().code(), Some(0));
}

#[test]
fn a_notify_socket_may_be_abstract() {
    let name = format!("uwrs-notify-{}", std::process::id());
    let notify = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    notify.set_read_timeout(Some(DEADLINE)).unwrap();
    let site = Site::on_port();
    let mut command = site.command();
    command.env("NOTIFY_SOCKET", format!("@{name}"));
    let _server = site.start_command(command);
    let mut buffer = [0; 4096];
    let count = notify.recv(&mut buffer).unwrap();
    assert!(buffer[..count].starts_with(b"READY=1\n"));
}

#[test]
fn daemonize_returns_when_the_server_is_up() {
    let site = Site::on_port();
    let (log, pidfile) = (site.path("daemon.log"), site.path("pid"));
    let site = site
        .with("daemonize", log.display())
        .with("pidfile", pidfile.display());
    let status = site.command().status().unwrap();
    let text = fs::read_to_string(&log).unwrap();
    assert!(status.success() && text.contains("ready: "), "{text}");
    let pid: i32 = fs::read_to_string(&pidfile).unwrap().trim().parse().unwrap();
    // No terminal, a session of its own whose leader is gone.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    assert_eq!(fields[4], "0", "{stat}");
    assert_ne!(fields[3], pid.to_string());
    kill(pid, Signal::SIGTERM);
    eventually("it ends", || (!is_alive(pid)).then_some(()));
}

#[test]
fn daemonize_fails_where_the_server_does_not_come_up() {
    let site = Site::on_port();
    let log = site.path("daemon.log");
    let site = site.with("daemonize", log.display());
    site.write_app("raise");
    let (status, terminal) = site.run_to_its_end();
    assert_eq!(status, 22);
    assert!(
        terminal.contains("uwrs: SyntaxError in the application"),
        "{terminal}"
    );

    let (status, terminal) = Site::on_port()
        .with("daemonize", "/no/such/directory/log")
        .run_to_its_end();
    assert_eq!(status, 1);
    assert!(
        terminal.contains("/no/such/directory/log: cannot open the log"),
        "{terminal}"
    );
}

#[test]
fn a_single_process_serves_stops_and_starts_anew() {
    let mut server = Site::on_port().with("master", false).start();
    assert_eq!(server.children(), Vec::<i32>::new());
    assert!(server.get("/").unwrap().starts_with("one "));
    let pid = server.pid;
    for (signal, version) in [(Signal::SIGHUP, "two"), (Signal::SIGUSR2, "three")] {
        server.site.write_app(&format!("version {version}"));
        server.signal(signal);
        server.wait_for_answer(&format!("{version} "));
        assert!(server.get("/").unwrap().contains(&format!("pid={pid} ")));
    }
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait_for_end().code(), Some(0));
}

#[test]
fn a_single_process_that_hangs_ends_on_the_second_signal() {
    let mut server = Site::on_port()
        .with("master", false)
        .with("mercy", 60_000)
        .start();
    let port = server.port();
    let client = std::thread::spawn(move || get(port, "/sleep/30000"));
    std::thread::sleep(Duration::from_millis(100));
    server.signal(Signal::SIGINT);
    std::thread::sleep(Duration::from_millis(100));
    assert!(server.is_running());
    server.signal(Signal::SIGINT);
    let since = Instant::now();
    assert_eq!(server.wait_for_end().code(), Some(1));
    assert!(since.elapsed() < Duration::from_secs(5));
    assert!(client.join().unwrap().is_err());
}

#[test]
fn a_full_disk_stops_nothing() {
    let server = Site::on_port().with("logto", "/dev/full");
    let mut command = server.command();
    // The port is in the log, which goes nowhere: choose one.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let server = server.with("listen", format!("127.0.0.1:{port}"));
    let child = Running(command.spawn().unwrap());
    eventually("an answer", || get(port, "/").ok());
    kill(child.0.id() as i32, Signal::SIGHUP);
    eventually("an answer of the next generation", || {
        get(port, "/")
            .ok()
            .filter(|answer| answer.contains("generation=2"))
    });
    drop(child);
    drop(server);
}

#[test]
fn root_is_given_up_after_the_sockets_are_bound() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let site = Site::on_port().with("uid", "nobody").with("gid", "nogroup");
    let socket = site.path("app.sock");
    let site = site.with("listen", socket.display());
    // The unprivileged mold reads the application.
    fs::set_permissions(site.path("."), fs::Permissions::from_mode(0o755)).unwrap();
    let server = site.start();
    let mut everyone = server.children();
    everyone.push(server.pid);
    let nobody = nix::unistd::User::from_name("nobody")
        .unwrap()
        .unwrap()
        .uid
        .as_raw();
    assert_eq!(
        fs::metadata(&socket).unwrap().uid(),
        nobody,
        "as if the server had made it"
    );
    for pid in everyone {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let uids = status.lines().find(|line| line.starts_with("Uid:")).unwrap();
        assert!(
            uids.split_whitespace()
                .skip(1)
                .all(|uid| uid == nobody.to_string()),
            "{uids}"
        );
        let groups = status.lines().find(|line| line.starts_with("Groups:")).unwrap();
        assert!(!groups.split_whitespace().any(|group| group == "0"), "{groups}");
    }
    server.site.write_app("version two");
    server.signal(Signal::SIGHUP);
    server.wait_for_answer("two ");
    server.signal(Signal::SIGUSR2);
    server.wait_for_log("generation 3 serves");
}

#[test]
fn a_port_below_1024_without_rights_is_explained() {
    if !nix::unistd::geteuid().is_root() {
        let (status, log) = Site::new().with("listen", "127.0.0.1:81").run_to_its_end();
        assert_eq!(status, 1);
        assert!(
            log.contains("ports below 1024 need root or CAP_NET_BIND_SERVICE"),
            "{log}"
        );
    }
}

#[test]
fn inherited_descriptors_that_do_not_listen_are_refused() {
    let (status, log) = Site::new().with("listen", "fd://77").run_to_its_end();
    assert_eq!(status, 1);
    assert!(log.contains("fd://77: nothing is open there"), "{log}");
}
