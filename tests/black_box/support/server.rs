//! The real program in a directory of its own: [`Server`] is what to run, [`Running`] is it, up and ready.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::client::{Connection, Response};
use super::directory::Directory;
use super::process::{self, Process};
use super::wait::{PATIENCE, eventually, soon, within};

/// What to run. Its working directory holds `app.py` (the toolbox, unless told otherwise) and `uwsgi.ini`.
pub(crate) struct Server {
    directory: Directory,
    command: Command,
    /// What is to be in `uwsgi.ini`.
    ini: Option<String>,
}

impl Server {
    /// The program with an application and nothing else.
    pub(crate) fn new() -> Self {
        let directory = Directory::new();
        directory.write("app.py", super::TOOLBOX);
        let program = std::env::var_os("UWRS_TEST_PROGRAM");
        let program = program.unwrap_or_else(|| env!("CARGO_BIN_EXE_uwrs").into());
        let command = prepared(program, directory.path());
        Self {
            directory,
            command,
            ini: None,
        }
    }

    /// Serves with these lines below `[uwsgi]`, in `uwsgi.ini`.
    pub(crate) fn ini(mut self, lines: &str) -> Self {
        self.ini = Some(format!("[uwsgi]\n{lines}\n"));
        self
    }

    /// Has no `uwsgi.ini` after all.
    pub(crate) fn without_ini(mut self) -> Self {
        self.ini = None;
        self
    }

    /// Brings its own `app.py`.
    pub(crate) fn app(self, source: &str) -> Self {
        self.file("app.py", source)
    }

    /// One file more.
    pub(crate) fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        self.directory.write(name, content);
        self
    }

    /// Further words of the command line.
    pub(crate) fn args<S: Into<OsString>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.command.args(words.into_iter().map(Into::into));
        self
    }

    /// A variable of its environment.
    pub(crate) fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.command.env(name, value.into());
        self
    }

    /// Where its files are.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Is started through another program, which executes it in the end: a shell, say.
    pub(crate) fn through(mut self, program: &str, words: &[&str]) -> Self {
        let mut command = prepared(program.into(), self.directory.path());
        command.args(words);
        self.command = command;
        self
    }

    /// Has that descriptor as its standard input.
    pub(crate) fn input(mut self, descriptor: OwnedFd) -> Self {
        self.command.stdin(Stdio::from(descriptor));
        self
    }

    /// Names the ini, unless there is none.
    fn write_ini(&mut self) {
        if let Some(ini) = self.ini.take() {
            self.directory.write("uwsgi.ini", ini);
            self.command.args(["--ini", "uwsgi.ini"]);
        }
    }

    /// Starts it and waits until it says that it is ready.
    pub(crate) fn start(mut self) -> Running {
        self.write_ini();
        let socket = self.directory.path().join("notify");
        let notifications = UnixDatagram::bind(&socket).unwrap();
        notifications.set_nonblocking(true).unwrap();
        // As systemd's: for every user.
        fs::set_permissions(&socket, Permissions::from_mode(0o777)).unwrap();
        self.command.env("NOTIFY_SOCKET", socket);
        let log = File::create(self.directory.path().join("log")).unwrap();
        self.command.stdout(log.try_clone().unwrap()).stderr(log);
        let child = self.command.spawn().unwrap();
        let running = Running {
            pid: child.id().cast_signed(),
            child: Some(child),
            directory: self.directory,
            notifications: Some(notifications),
            heard: Mutex::default(),
            port: OnceLock::new(),
        };
        running.wait_until_ready(1);
        running
    }

    /// Runs it to its end. Panics when it goes on for longer than a test waits.
    pub(crate) fn run(mut self) -> Finished {
        self.write_ini();
        let output = File::create(self.directory.path().join("stdout")).unwrap();
        let log = File::create(self.directory.path().join("log")).unwrap();
        let mut child = self.command.stdout(output).stderr(log).spawn().unwrap();
        let group = child.id().cast_signed();
        let status = within(PATIENCE, || child.try_wait().unwrap());
        let log = self.read("log");
        let Some(status) = status else {
            kill_group(group);
            panic!("it did not end; its log:\n{log}");
        };
        Finished {
            status,
            output: self.read("stdout"),
            log,
            directory: self.directory,
            group,
        }
    }

    fn read(&self, name: &str) -> String {
        read(&self.directory.path().join(name))
    }
}

/// A program in a directory, in a process group of its own.
fn prepared(program: OsString, directory: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(directory)
        .stdin(Stdio::null())
        .process_group(0)
        // Sources change within the second in which they were compiled, without a change of size.
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env_remove("PYTHONPATH")
        .env_remove("VIRTUAL_ENV");
    command
}

/// A server that came to its end by itself.
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    /// What it wrote to standard output.
    pub(crate) output: String,
    /// What it wrote to standard error.
    pub(crate) log: String,
    directory: Directory,
    group: i32,
}

impl Finished {
    /// Asserts that it ended with that status and said each of `parts`, in a line of its log that holds them all.
    pub(crate) fn assert_refused(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.status.code(), Some(code), "{}", self.log);
        assert_line(&self.log, parts);
        self.assert_nothing_left();
    }

    /// Asserts that it succeeded.
    pub(crate) fn assert_success(&self) -> &Self {
        assert!(
            self.status.success(),
            "{}\n{}\n{}",
            self.status,
            self.output,
            self.log
        );
        self
    }

    /// Asserts that none of its processes lives.
    pub(crate) fn assert_nothing_left(&self) {
        assert_eq!(process::group(self.group), [], "{}", self.log);
    }

    /// The process that it left behind in the background, taken over.
    pub(crate) fn adopt(self, pid: i32) -> Running {
        Running {
            pid,
            child: None,
            directory: self.directory,
            notifications: None,
            heard: Mutex::default(),
            port: OnceLock::new(),
        }
    }

    /// Where its files are.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// A server that is up. Dropping it stops it and asserts that none of its processes is left.
pub(crate) struct Running {
    pid: i32,
    /// None where it is not our child: it went to the background.
    child: Option<Child>,
    directory: Directory,
    notifications: Option<UnixDatagram>,
    heard: Mutex<Vec<String>>,
    port: OnceLock<u16>,
}

impl Running {
    /// The pid that was started: the master's.
    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// The first TCP port that it listens on.
    pub(crate) fn port(&self) -> u16 {
        // The banner says it. The kernel's table is long when other tests have made many connections.
        let look = || self.announced_port().or_else(|| self.ports().first().copied());
        *self.port.get_or_init(|| eventually("a listening port", look))
    }

    /// The port of the first line like `http on 127.0.0.1:8000`.
    fn announced_port(&self) -> Option<u16> {
        let log = self.log();
        let mut addresses = log
            .lines()
            .filter_map(|line| line.split_once(" on "))
            .map(|(_, address)| address);
        addresses.find_map(|address| address.rsplit_once(':')?.1.parse().ok())
    }

    /// The TCP ports that it listens on, in the order in which the sockets were made.
    pub(crate) fn ports(&self) -> Vec<u16> {
        process::listening_ports(self.pid)
    }

    /// A connection to the first port.
    pub(crate) fn connect(&self) -> Connection {
        Connection::tcp(self.port())
    }

    /// A connection to a unix socket in its directory.
    pub(crate) fn connect_unix(&self, name: &str) -> Connection {
        Connection::unix(&self.file(name))
    }

    /// Asks over a connection of its own, without waiting for the answer.
    pub(crate) fn ask(&self, target: &str) -> Connection {
        let mut connection = self.connect();
        connection.send(format!("GET {target} HTTP/1.1\r\nHost: example.org\r\n\r\n"));
        connection
    }

    /// GETs over a connection of its own.
    pub(crate) fn get(&self, target: &str) -> Response {
        let mut connection = self.connect();
        connection.send(format!(
            "GET {target} HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n"
        ));
        let response = connection.response();
        connection.assert_closed();
        response
    }

    /// Everything that it has logged.
    pub(crate) fn log(&self) -> String {
        read(&self.file("log"))
    }

    /// Waits for a line of the log that holds all of `parts`.
    pub(crate) fn wait_for_log(&self, parts: &[&str]) -> String {
        within(PATIENCE, || find_line(&self.log(), parts))
            .unwrap_or_else(|| panic!("no line of the log has {parts:?}:\n{}", self.log()))
    }

    /// Where a line of the log stands that holds all of `parts`.
    pub(crate) fn place_in_log(&self, parts: &[&str]) -> usize {
        let log = self.log();
        let place = log
            .lines()
            .position(|line| parts.iter().all(|part| line.contains(part)));
        place.unwrap_or_else(|| panic!("no line has {parts:?}:\n{log}"))
    }

    /// Waits until another worker has taken over from the one that answers `/` with its pid, `old`, and answers in its place:
    /// until that one has heard so, it takes what comes.
    pub(crate) fn wait_for_successor_of(&self, old: &str) {
        self.wait_for_log(&["worker 1: pid ", &format!("takes over from pid {old}")]);
        soon("the successor answers", || self.get("/").text() != old);
    }

    /// How many lines of the log hold `part`?
    pub(crate) fn count_log(&self, part: &str) -> usize {
        self.log().lines().filter(|line| line.contains(part)).count()
    }

    /// A file of its directory.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file of its directory.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        self.directory.write(name, content);
    }

    /// Sends a signal to the master.
    pub(crate) fn signal(&self, signal: Signal) {
        process::signal(self.pid, signal);
    }

    /// Sends a signal to every process at once, as `killall` does.
    pub(crate) fn signal_all(&self, signal: Signal) {
        for member in self.family() {
            process::signal(member.pid, signal);
        }
    }

    /// Its living processes.
    pub(crate) fn family(&self) -> Vec<Process> {
        process::group(self.group())
    }

    /// The pids of its workers: those of its processes that run an event loop.
    pub(crate) fn workers(&self) -> Vec<i32> {
        let pids = self.family().into_iter().map(|process| process.pid);
        pids.filter(|&pid| process::has_event_loop(pid)).collect()
    }

    /// The workers, once there are as many as of `old` and none of those is left.
    pub(crate) fn settle_anew(&self, old: &[i32]) -> Vec<i32> {
        soon("all workers are new ones", || {
            let new = self.workers();
            new.len() == old.len() && old.iter().all(|pid| !new.contains(pid))
        });
        self.settle(old.len())
    }

    /// Waits until there are a master, a mold and so many workers, each with its loop, and nothing else: no generation
    /// that leaves, no process between two forks. Gives the pids of the workers.
    pub(crate) fn settle(&self, workers: usize) -> Vec<i32> {
        eventually("a master, a mold and the workers", || {
            let pids = self.workers();
            (pids.len() == workers && self.family().len() == workers + 2).then_some(pids)
        })
    }

    /// The pid of the mold: neither the master nor a worker.
    pub(crate) fn mold(&self) -> i32 {
        let children = process::children(self.pid);
        let mut molds = children
            .iter()
            .map(|process| process.pid)
            .filter(|&pid| !process::has_event_loop(pid));
        molds
            .next()
            .unwrap_or_else(|| panic!("no mold among {children:?}"))
    }

    fn group(&self) -> i32 {
        process::find(self.pid).map_or(self.pid, |process| process.group)
    }

    /// What it told its service manager so far, one notification each.
    pub(crate) fn notifications(&self) -> Vec<String> {
        let mut heard = self.heard.lock().unwrap();
        let mut buffer = [0; 4096];
        while let Some(Ok(count)) = self.notifications.as_ref().map(|socket| socket.recv(&mut buffer)) {
            heard.push(String::from_utf8_lossy(&buffer[..count]).into_owned());
        }
        heard.clone()
    }

    /// How often it has said that it is ready: once when it is up, once after every reload, failed ones too.
    pub(crate) fn times_ready(&self) -> usize {
        let notifications = self.notifications();
        notifications
            .iter()
            .filter(|text| text.lines().any(|line| line == "READY=1"))
            .count()
    }

    /// Waits until it has said so `times` times.
    pub(crate) fn wait_until_ready(&self, times: usize) {
        let ready = within(PATIENCE, || {
            assert!(process::is_alive(self.pid), "it ended; its log:\n{}", self.log());
            (self.times_ready() >= times).then_some(())
        });
        if ready.is_none() {
            panic!(
                "it is not ready ({:?}); its log:\n{}",
                self.notifications(),
                self.log()
            );
        }
    }

    /// Sends HUP to the master and waits until the reload is over, well or not.
    pub(crate) fn reload(&self) {
        let before = self.times_ready();
        self.signal(Signal::SIGHUP);
        self.wait_until_ready(before + 1);
    }

    /// Waits for its end, which something else has brought about.
    pub(crate) fn wait_for_end(&mut self) -> ExitStatus {
        let child = self.child.as_mut().unwrap();
        within(PATIENCE, || child.try_wait().unwrap()).unwrap_or_else(|| {
            panic!(
                "it did not end; its log:\n{}",
                read(&self.directory.path().join("log"))
            )
        })
    }

    /// Asserts that all of its processes leave.
    pub(crate) fn assert_nothing_left(&self) {
        let group = self.group();
        let gone = within(PATIENCE, || process::group(group).is_empty().then_some(()));
        assert!(
            gone.is_some(),
            "left: {:?}\n{}",
            process::group(group),
            self.log()
        );
    }

    fn stop(&mut self) -> io::Result<Vec<Process>> {
        let group = self.group();
        process::signal(self.pid, Signal::SIGTERM);
        let pid = self.pid;
        let stopped = within(PATIENCE, || match self.child.as_mut() {
            Some(child) => child.try_wait().ok()?.map(drop),
            None => (!process::is_alive(pid)).then_some(()),
        });
        // A worker may be a moment behind its master, which was killed.
        within(Duration::from_secs(5), || {
            process::group(group).is_empty().then_some(())
        });
        let left = process::group(group);
        kill_group(group);
        match stopped {
            Some(()) => Ok(left),
            None => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let log = self.log();
        let left = self.stop();
        if std::thread::panicking() {
            eprintln!("the server's log:\n{log}");
            return;
        }
        let left = left.unwrap_or_else(|_| panic!("TERM did not stop it; its log:\n{}", self.log()));
        assert!(left.is_empty(), "left: {left:?}\n{log}");
    }
}

/// Asserts that one line of `text` holds all of `parts`.
pub(crate) fn assert_line(text: &str, parts: &[&str]) {
    assert!(
        find_line(text, parts).is_some(),
        "no line has all of {parts:?}:\n{text}"
    );
}

fn find_line(text: &str, parts: &[&str]) -> Option<String> {
    let holds_all = |line: &&str| parts.iter().all(|part| line.contains(part));
    text.lines().find(holds_all).map(str::to_owned)
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

fn kill_group(group: i32) {
    for member in process::group(group) {
        process::signal(member.pid, Signal::SIGKILL);
    }
}
