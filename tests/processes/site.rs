//! A site to serve and a server that serves it: a directory with a configuration, an application and a log;
//! the program `fake` started on it; and what an operator and a client can do to it.

use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

/// Longer than anything here takes on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Looks again and again until `look` finds something; panics when it does not in time.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(3));
    }
}

/// The program that is tested. `cargo test --test processes` alone does not build examples: done here.
pub(crate) fn program() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let test = std::env::current_exe().expect("this program has a path");
        let profile = test
            .parent()
            .and_then(Path::parent)
            .expect("target/PROFILE/deps/TEST");
        let name = match profile.file_name().and_then(|name| name.to_str()) {
            Some("debug") | None => "dev",
            Some(name) => name,
        };
        let build = Command::new(env!("CARGO"))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(["build", "--quiet", "--example", "fake", "--profile", name])
            .status();
        assert!(
            build.is_ok_and(|status| status.success()),
            "the example `fake` is built"
        );
        profile.join("examples/fake")
    };
    BUILT.get_or_init(build).clone()
}

/// A directory of its own, removed at the end.
pub(crate) struct Site {
    directory: PathBuf,
    lines: Vec<String>,
}

impl Site {
    pub(crate) fn new() -> Self {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("uwrs-test-{}-{serial}", std::process::id()));
        fs::create_dir_all(&directory).expect("a temporary directory can be made");
        let site = Self {
            directory,
            lines: Vec::new(),
        };
        site.write_app("version one");
        let app = site.path("app");
        site.with("app", app.display()).with("auto-procname", true)
    }

    /// One that listens on a free port.
    pub(crate) fn on_port() -> Self {
        Self::new().with("listen", "127.0.0.1:0")
    }

    pub(crate) fn with(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.set(name, value);
        self
    }

    pub(crate) fn set(&mut self, name: &str, value: impl std::fmt::Display) {
        self.lines.push(format!("{name} = {value}"));
        self.write("config", &(self.lines.join("\n") + "\n"));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("the site can be written to");
    }

    pub(crate) fn write_app(&self, line: &str) {
        self.write("app", line);
    }

    pub(crate) fn command(&self) -> Command {
        self.command_of(&program())
    }

    pub(crate) fn command_of(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        self.arrange(&mut command);
        command
    }

    /// The arguments and the log.
    fn arrange(&self, command: &mut Command) {
        let log = fs::File::create(self.path("log")).expect("the site can be written to");
        command.arg("--config").arg(self.path("config"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command.env_remove("NOTIFY_SOCKET").env_remove("RUST_LOG");
    }

    /// Starts it and waits until it is up.
    pub(crate) fn start(self) -> Server {
        let command = self.command();
        self.start_command(command)
    }

    pub(crate) fn start_command(self, mut command: Command) -> Server {
        let child = command.spawn().expect("the program is built with the tests");
        let server = Server {
            pid: child.id() as i32,
            child,
            site: self,
        };
        server.wait_for_log("ready");
        server
    }

    /// Starts it, expecting that it ends by itself; gives its exit status and its log.
    pub(crate) fn run_to_its_end(self) -> (i32, String) {
        let status = self
            .command()
            .status()
            .expect("the program is built with the tests");
        (status.code().unwrap_or(-1), self.log())
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A server that runs. Killed with all its children at the end.
pub(crate) struct Server {
    pub(crate) site: Site,
    pub(crate) pid: i32,
    child: Child,
}

impl Server {
    pub(crate) fn log(&self) -> String {
        self.site.log()
    }

    /// How often a text is in the log.
    pub(crate) fn logged(&self, text: &str) -> usize {
        self.log().matches(text).count()
    }

    pub(crate) fn wait_for_log(&self, text: &str) {
        eventually(&format!("{text:?} in the log:\n{}", self.log()), || {
            (self.logged(text) > 0).then_some(())
        });
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid, signal);
    }

    /// What `killall` does.
    pub(crate) fn signal_everyone(&self, signal: Signal) {
        let mut everyone = self.children();
        everyone.insert(0, self.pid);
        everyone.into_iter().for_each(|pid| kill(pid, signal));
    }

    pub(crate) fn children(&self) -> Vec<i32> {
        children_of(self.pid)
    }

    /// Workers' processes by number, from their titles.
    pub(crate) fn workers(&self) -> Vec<i32> {
        self.titled("uwrs worker ")
    }

    pub(crate) fn molds(&self) -> Vec<i32> {
        self.titled("uwrs mold ")
    }

    fn titled(&self, start: &str) -> Vec<i32> {
        let title = |pid: &i32| {
            title_of(*pid)
                .filter(|title| title.starts_with(start))
                .map(|title| (title, *pid))
        };
        let mut titled: Vec<(String, i32)> = self.children().iter().filter_map(title).collect();
        titled.sort();
        titled.into_iter().map(|(_, pid)| pid).collect()
    }

    pub(crate) fn port(&self) -> u16 {
        let log = self.log();
        let address = log
            .split("http on 127.0.0.1:")
            .nth(1)
            .expect("the banner says where");
        let digits: String = address.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().expect("a port")
    }

    /// Asks for a path; the body.
    pub(crate) fn get(&self, path: &str) -> io::Result<String> {
        get(self.port(), path)
    }

    /// Waits until everything in the answer to `/` is so.
    pub(crate) fn wait_for_answer(&self, part: &str) {
        eventually(&format!("{part:?} in an answer"), || {
            self.get("/").ok().filter(|answer| answer.contains(part))
        });
    }

    pub(crate) fn wait_for_end(&mut self) -> ExitStatus {
        let child = &mut self.child;
        eventually("the server ends", || child.try_wait().expect("it is our child"))
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_none()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let children = self.children();
        let _ = self.child.kill();
        let _ = self.child.wait();
        children.into_iter().for_each(|pid| kill(pid, Signal::SIGKILL));
        if std::thread::panicking() {
            eprintln!("--- log ---\n{}", self.site.log());
        }
    }
}

pub(crate) fn kill(pid: i32, signal: Signal) {
    // Who is gone already need not be told.
    let _ = signal::kill(Pid::from_raw(pid), signal);
}

pub(crate) fn is_alive(pid: i32) -> bool {
    let state = fs::read_to_string(format!("/proc/{pid}/stat"));
    state.is_ok_and(|stat| {
        !stat
            .rsplit(')')
            .next()
            .is_some_and(|rest| rest.trim_start().starts_with('Z'))
    })
}

pub(crate) fn children_of(pid: i32) -> Vec<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

pub(crate) fn title_of(pid: i32) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
    Some(text.trim_end_matches('\0').to_owned())
}

/// What the descriptors of a process lead to, sorted; numbers of pipes and sockets left out.
pub(crate) fn descriptors_of(pid: i32) -> Vec<String> {
    let directory = fs::read_dir(format!("/proc/{pid}/fd")).expect("the process is there");
    let target = |entry: io::Result<fs::DirEntry>| fs::read_link(entry.ok()?.path()).ok();
    let mut targets: Vec<String> = directory
        .filter_map(target)
        .map(|target| {
            target
                .to_string_lossy()
                .split(":[")
                .next()
                .unwrap_or_default()
                .to_owned()
        })
        .collect();
    targets.sort();
    targets
}

pub(crate) fn get(port: u16, path: &str) -> io::Result<String> {
    ask(TcpStream::connect(("127.0.0.1", port))?, path)
}

pub(crate) fn get_unix(socket: &Path, path: &str) -> io::Result<String> {
    ask(UnixStream::connect(socket)?, path)
}

fn ask(mut stream: impl Read + Write, path: &str) -> io::Result<String> {
    // In one piece: the fake reads once.
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((_, body)) if !body.is_empty() => Ok(body.to_owned()),
        _ => Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!("no answer: {answer:?}"),
        )),
    }
}

/// Clients that ask without pause, each on a new connection every time.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<(u32, Vec<String>)>>,
}

impl Load {
    pub(crate) fn on(server: &Server) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let port = server.port();
        let client = |_| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let (mut answers, mut errors) = (0, Vec::new());
                while !stop.load(Ordering::Relaxed) {
                    match get(port, "/") {
                        Ok(_) => answers += 1,
                        Err(error) => errors.push(error.to_string()),
                    }
                }
                (answers, errors)
            })
        };
        let clients = (0..3).map(client).collect();
        Self { stop, clients }
    }

    /// How many were answered, and what went wrong.
    pub(crate) fn stop(self) -> (u32, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let results = self
            .clients
            .into_iter()
            .map(|client| client.join().expect("a client does not panic"));
        results.fold((0, Vec::new()), |(answers, mut errors), (more, others)| {
            errors.extend(others);
            (answers + more, errors)
        })
    }
}
