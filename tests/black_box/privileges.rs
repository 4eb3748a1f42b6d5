//! Who the server is once it runs. Only root can become someone else: elsewhere these are skipped.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use nix::sys::signal::Signal;
use nix::unistd::{Group, User, geteuid};

use crate::support::server::assert_line;
use crate::support::{HTTP, Server, TOOLBOX, skip};

/// The user `nobody`, and its group.
fn nobody() -> Option<(User, Group)> {
    if !geteuid().is_root() {
        skip("only root can become someone else");
        return None;
    }
    let user = User::from_name("nobody").unwrap().unwrap();
    let group = Group::from_gid(user.gid).unwrap().unwrap();
    Some((user, group))
}

/// Lines by which everyone can read the Python that the program runs: none, or another `home` of its version. Root's own,
/// in its home, nobody else can.
fn python_for_everyone() -> Option<&'static str> {
    let server = Server::new().ini(HTTP).start();
    let prefix = server.get("/eval?sys.base_prefix").text().to_owned();
    let library = server
        .get("/eval?'python%d.%d'%sys.version_info[:2]")
        .text()
        .to_owned();
    let is_open = |path: &Path| fs::metadata(path).is_ok_and(|metadata| metadata.mode() & 0o005 == 0o005);
    if Path::new(&prefix).ancestors().all(is_open) {
        return Some("");
    }
    if Path::new("/usr/lib").join(library).join("os.py").is_file() {
        return Some("home = /usr\n");
    }
    eprintln!("skipped: {prefix} is not for everyone");
    None
}

#[test]
fn the_application_runs_as_the_user_that_was_asked_for() {
    let Some((user, group)) = nobody() else { return };
    let Some(home) = python_for_everyone() else { return };
    let ini = format!(
        "{HTTP}{home}http = %dapp.sock\nuid = nobody\ngid = {}\n",
        group.name
    );
    let server = Server::new().ini(&ini).start();
    let ids = server
        .get("/eval?[*os.getresuid(),*os.getresgid()]")
        .text()
        .to_owned();
    let (uid, gid) = (user.uid, group.gid);
    assert_eq!(ids, format!("[{uid}, {uid}, {uid}, {gid}, {gid}, {gid}]"));
    // Bound while it was root, in a directory that only root may write to.
    assert_eq!(server.connect_unix("app.sock").get("/").text(), "hello\n");
    server.reload();
    assert_eq!(server.connect_unix("app.sock").get("/").text(), "hello\n");
}

#[test]
fn the_application_runs_as_the_group_that_was_asked_for() {
    let Some((_, group)) = nobody() else { return };
    let ini = format!("{HTTP}pidfile = %dpid\ngid = {}\n", group.name);
    let server = Server::new().ini(&ini).start();
    let gid = group.gid;
    assert_eq!(
        server.get("/eval?os.getresgid()").text(),
        format!("({gid}, {gid}, {gid})")
    );
    // Written while it was root's.
    assert_eq!(fs::metadata(server.file("pid")).unwrap().gid(), 0);
}

#[test]
fn each_pidfile_is_written_at_its_moment() {
    let Some((user, _)) = nobody() else { return };
    let Some(home) = python_for_everyone() else { return };
    let files =
        "pidfile = %dpid\npidfile2 = %drun/pid2\nsafe-pidfile = %drun/safe\nsafe-pidfile2 = %drun/safe2\n";
    let app = format!("import os\nSEEN = os.listdir('run')\n{TOOLBOX}");
    for single in ["", "master = false\n"] {
        let ini = format!("{HTTP}{home}{single}uid = nobody\nvacuum = true\n{files}");
        let server = Server::new().app(&app).file("run/log", "").ini(&ini);
        let run = server.path().join("run");
        fs::remove_file(run.join("log")).unwrap();
        std::os::unix::fs::chown(&run, Some(user.uid.as_raw()), None).unwrap();
        let mut server = server.start();
        let pid = format!("{}\n", server.pid());
        for (name, owner) in [
            ("pid", 0),
            ("run/pid2", user.uid.as_raw()),
            ("run/safe", user.uid.as_raw()),
            ("run/safe2", user.uid.as_raw()),
        ] {
            assert_eq!(fs::read_to_string(server.file(name)).unwrap(), pid, "{name}");
            assert_eq!(fs::metadata(server.file(name)).unwrap().uid(), owner, "{name}");
        }
        assert_eq!(server.get("/eval?SEEN").text(), "['pid2']");
        server.signal(Signal::SIGTERM);
        server.wait_for_end();
        assert_eq!(fs::read_dir(&run).unwrap().count(), 0, "{}", server.log());
    }
}

#[test]
fn what_root_alone_could_remove_is_told_once_with_the_way_out() {
    let Some((user, _)) = nobody() else { return };
    let Some(home) = python_for_everyone() else { return };
    let files = "http = %dapp.sock\nsocket = %duwsgi.sock\npidfile = %dpid\nmaster-fifo = %dfifo\n";
    for single in ["", "master = false\n"] {
        let ini = format!("{HTTP}{home}{single}uid = nobody\nvacuum = true\n{files}");
        let mut server = Server::new().ini(&ini).start();
        server.signal(Signal::SIGTERM);
        assert!(server.wait_for_end().success(), "{}", server.log());
        let way_out = format!(": their directory is not user {}'s to write", user.uid);
        let told = server.wait_for_log(&[
            "warn: vacuum: not removed: ",
            "put them into one that is",
            &way_out,
        ]);
        let fifo = if single.is_empty() { "/fifo" } else { "" };
        for name in ["/app.sock", "/uwsgi.sock", "/pid", fifo] {
            assert!(told.contains(name), "{name}: {told}");
        }
        assert_eq!(server.count_log("not removed"), 1, "{}", server.log());
    }
}

#[test]
fn who_is_root_no_more_executes_itself_anew_by_the_files_that_root_made() {
    let Some((user, _)) = nobody() else { return };
    let Some(home) = python_for_everyone() else { return };
    // A log that was there before is left to whom it belongs.
    for log in ["old", "new"] {
        let ini = format!("{HTTP}{home}uid = nobody\npidfile = %dpid\nlogto = %dlogs/{log}.log\n");
        let server = Server::new().file(&format!("logs/{log}.log"), "").ini(&ini);
        let path = server.path().join(format!("logs/{log}.log"));
        match log {
            "old" => fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap(),
            _ => fs::remove_file(&path).unwrap(),
        }
        let server = server.start();
        let owner = if log == "old" { 0 } else { user.uid.as_raw() };
        assert_eq!(fs::metadata(&path).unwrap().uid(), owner, "{log}");
        let ready = server.times_ready();
        server.signal(Signal::SIGUSR2);
        server.wait_until_ready(ready + 1);
        assert_eq!(server.get("/").text(), "hello\n");
        let said = fs::read_to_string(&path).unwrap();
        assert_line(&said, &["generation 2 serves"]);
        assert_eq!(said.contains("cannot open the log"), log == "old", "{said}");
    }
}

#[test]
fn a_unix_socket_belongs_to_whom_it_was_given() {
    let Some((user, group)) = nobody() else { return };
    let ini = format!(
        "http = %dapp.sock\nchown-socket = nobody:{}\nchmod-socket = 640\nmodule = app\n",
        group.name
    );
    let server = Server::new().ini(&ini).start();
    let metadata = fs::metadata(server.file("app.sock")).unwrap();
    assert_eq!(
        (metadata.uid(), metadata.gid()),
        (user.uid.as_raw(), group.gid.as_raw())
    );
    assert_eq!(metadata.permissions().mode() & 0o777, 0o640);
}

#[test]
fn a_virtualenv_that_the_user_may_not_see_is_not_said_to_be_missing() {
    if nobody().is_none() {
        return;
    }
    let server = Server::new();
    let secret = server.path().join("secret");
    fs::create_dir_all(secret.join("venv/bin")).unwrap();
    fs::write(secret.join("venv/bin/python"), "").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o700)).unwrap();
    let ini = format!("{HTTP}uid = nobody\nhome = %dsecret/venv\n");
    let finished = server.ini(&ini).run();
    finished.assert_refused(1, &["home: ", "may not read", "secret/venv"]);
}

#[test]
fn root_is_warned_about() {
    if !geteuid().is_root() {
        skip("only root can be warned about being root");
        return;
    }
    let server = Server::new().ini(HTTP).start();
    server.wait_for_log(&["warn", "root", "uid"]);
}

#[test]
fn the_umask_is_the_applications() {
    let server = Server::new().ini(&format!("{HTTP}umask = 027\n")).start();
    assert_eq!(server.get("/eval?os.umask(0)").text(), (0o027).to_string());
}
