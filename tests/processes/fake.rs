//! uwrs without Python: the process model of the real program around an "application" which is a text file,
//! and a loop which answers one request at a time. `tests/processes` starts it and does to it what operators
//! do.
//!
//! Its configuration is a file of `name = value` lines named by `--config`. The application (`app = FILE`) is
//! a line: `version WORD` (what it answers), `raise`, `exit N`, `abort`, `hang`, `crash-worker`,
//! `return-at-once`, `no-loop` (its loop can't be made). Paths: `/` says `WORD worker=N pid=P generation=G`; `/sleep/MS` takes its time; `/abort`
//! kills the worker.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::Duration;

use socket2::SockRef;
use uwrs::config::{
    ApplicationConfig, CompressionOption, Config, InterfaceOption, LifespanOption, Limits, ListenAddress,
    ListenerConfig, LoggingConfig, LoopOption, Owner, Pidfile, PidfileMoment, Principal, ProcessConfig,
    ProtocolKind, SocketOptions, WebSocketLimits,
};
use uwrs::launch::{self, Invocation};
use uwrs::program::Program;
use uwrs::scoreboard::{ShownStint, WorkerState};
use uwrs::sys;
use uwrs::worker::{Departure, Seat};
use uwrs_api::{
    BodyMode, Exchange, ForkStage, Gateway, LoadError, LoadedApp, Peer, Request, Runtime, WorkerFacts,
};

fn main() -> ExitCode {
    let invocation = Invocation::take();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |name: &str| {
        let index = arguments.iter().position(|argument| argument == name)?;
        arguments.get(index + 1).map(PathBuf::from)
    };
    let by_pidfile = argument("--reload")
        .map(|path| launch::reload(&path))
        .or_else(|| argument("--stop").map(|path| launch::stop(&path)));
    if let Some(result) = by_pidfile {
        return report(result.map_err(|error| vec![error]));
    }
    let path = argument("--config").expect("--config FILE");
    let config = match read(&path) {
        Ok(config) => config,
        Err(errors) => return report(Err(errors)),
    };
    if arguments.iter().any(|argument| argument == "--check") {
        return ExitCode::SUCCESS;
    }
    let reread = || read(&path);
    let program = Program {
        start_runtime,
        serve,
        reread: &reread,
    };
    ExitCode::from(launch::run(config, program, invocation) as u8)
}

fn report(result: Result<(), Vec<String>>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(errors) => {
            errors.iter().for_each(|error| eprintln!("uwrs: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn read(path: &PathBuf) -> Result<Config, Vec<String>> {
    let text = fs::read_to_string(path).map_err(|error| vec![format!("{}: {error}", path.display())])?;
    let mut config = defaults();
    let mut errors = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let origin = format!("{}:{}", path.display(), number + 1);
        let Some((name, value)) = line.split_once(" = ") else {
            errors.push(format!("{origin}: not an option: {line:?}"));
            continue;
        };
        if !set(&mut config, name, value, &origin) {
            errors.push(format!("{origin}: {name}: not understood: {value:?}"));
        }
    }
    if errors.is_empty() {
        Ok(config)
    } else {
        Err(errors)
    }
}

fn set(config: &mut Config, name: &str, value: &str, origin: &str) -> bool {
    let processes = &mut config.processes;
    let flag = value == "true";
    let principal = || Principal {
        name: value.to_owned(),
        origin: origin.to_owned(),
    };
    match name {
        "listen" => {
            let address = to_address(value);
            let listener = |address| ListenerConfig {
                address,
                protocol: ProtocolKind::Http,
                origin: origin.to_owned(),
            };
            config.listeners.extend(address.map(listener));
        }
        "app" => config.application.module = Some(value.to_owned()),
        "workers" => processes.workers = value.parse().unwrap_or(1),
        "mercy" => processes.worker_reload_mercy = Duration::from_millis(value.parse().unwrap_or(0)),
        "lazy" => config.application.lazy = flag,
        "need-app" => config.application.need_app = flag,
        "master" => processes.master = flag,
        "die-on-term" => processes.die_on_term = flag,
        "auto-procname" => processes.procname.auto = flag,
        "vacuum" => config.sockets.vacuum = flag,
        "chmod" => config.sockets.mode = u32::from_str_radix(value, 8).ok(),
        "chown" => {
            let (user, group) = value.split_once(':').unwrap_or((value, ""));
            let group = (!group.is_empty()).then(|| group.to_owned());
            config.sockets.owner = Some(Owner {
                user: user.to_owned(),
                group,
            });
        }
        "uid" => processes.uid = Some(principal()),
        "gid" => processes.gid = Some(principal()),
        "umask" => processes.umask = u32::from_str_radix(value, 8).ok(),
        "pidfile" => processes
            .pidfiles
            .push(pidfile("pidfile", value, PidfileMoment::Start)),
        "safe-pidfile" => processes
            .pidfiles
            .push(pidfile("safe-pidfile", value, PidfileMoment::Up)),
        "daemonize" => processes.daemonize = Some(value.into()),
        "logto" => config.logging.file = Some(value.into()),
        "chdir" => config.application.chdir = Some(value.into()),
        _ => return false,
    }
    true
}

fn to_address(text: &str) -> Option<ListenAddress> {
    if let Some(name) = text.strip_prefix('@') {
        return Some(ListenAddress::Abstract(name.as_bytes().to_vec()));
    }
    if let Some(number) = text.strip_prefix("fd://") {
        return number.parse().ok().map(ListenAddress::Inherited);
    }
    if text.contains('/') {
        return Some(ListenAddress::Unix(text.into()));
    }
    let (host, port) = text.rsplit_once(':')?;
    Some(ListenAddress::Inet {
        host: host.to_owned(),
        port: port.parse().ok()?,
    })
}

fn defaults() -> Config {
    let second = Duration::from_secs(1);
    Config {
        listeners: Vec::new(),
        sockets: SocketOptions {
            backlog: 128,
            mode: None,
            owner: None,
            keep_alive: false,
            reuse_port: false,
            free_bind: false,
            vacuum: false,
        },
        application: ApplicationConfig {
            interface: InterfaceOption::Auto,
            event_loop: LoopOption::Auto,
            lifespan: LifespanOption::Auto,
            websockets: WebSocketLimits {
                message_bytes: 1 << 20,
                ping_interval: None,
                ping_timeout: second,
                compression: CompressionOption::Off,
            },
            chdir: None,
            chdir2: None,
            home: None,
            pythonpath: Vec::new(),
            argv: Vec::new(),
            imports: Vec::new(),
            module: None,
            wsgi_file: None,
            callable: None,
            mounts: Vec::new(),
            manage_script_name: false,
            disable_file_wrapper: false,
            disable_write_exception: false,
            warm_up: Vec::new(),
            need_app: true,
            lazy: false,
            environment: Vec::new(),
            autoreload: None,
            threads: 1,
            spare_threads: 0,
            greenlets: None,
        },
        processes: ProcessConfig {
            workers: 2,
            worker_reload_mercy: 10 * second,
            ..ProcessConfig::default()
        },
        limits: Limits {
            head_bytes: 65536,
            fields: 100,
            body_bytes: None,
            body_memory: 65536,
            head_timeout: second,
            body_timeout: second,
            send_timeout: second,
            keep_alive: second,
            ..Limits::default()
        },
        logging: LoggingConfig {
            file: None,
            requests: false,
            client_errors: false,
            server_errors: false,
            slow: None,
        },
        said: Vec::new(),
        warnings: Vec::new(),
        notes: Vec::new(),
    }
}

/// What was loaded, as a module of an interpreter: once a process, forked children have it too.
static APP: OnceLock<String> = OnceLock::new();

/// The "interpreter".
struct Fake {
    app: PathBuf,
}

fn start_runtime(config: &Config, _master: Option<sys::Pid>) -> Result<Box<dyn Runtime>, LoadError> {
    let app = config.application.module.clone().unwrap_or_default().into();
    Ok(Box::new(Fake { app }))
}

impl Runtime for Fake {
    fn describe(&self) -> String {
        "Fake 1.0".to_owned()
    }

    fn load(&mut self) -> Result<Vec<LoadedApp>, LoadError> {
        let error = |message: String| LoadError {
            message,
            traceback: None,
            exit_status: None,
        };
        if self.app.as_os_str().is_empty() {
            return Ok(Vec::new());
        }
        let line = fs::read_to_string(&self.app)
            .map_err(|reason| error(format!("{}: {reason}", self.app.display())))?;
        match line.trim().split_once(' ').unwrap_or((line.trim(), "")) {
            ("raise", _) => {
                let traceback = Some("Traceback (most recent call last):\n  SyntaxError: no".to_owned());
                return Err(LoadError {
                    traceback,
                    ..error("SyntaxError in the application".to_owned())
                });
            }
            ("exit", status) => {
                let exit_status = status.parse().ok();
                return Err(LoadError {
                    exit_status,
                    ..error("the application asked to end".to_owned())
                });
            }
            ("abort", _) => std::process::abort(),
            ("hang", _) => loop {
                std::thread::sleep(Duration::from_secs(1));
            },
            _ => {}
        }
        let version = line.trim().trim_start_matches("version ").to_owned();
        APP.get_or_init(|| version);
        Ok(vec![LoadedApp {
            mountpoint: String::new(),
            target: self.app.display().to_string(),
            interface: "FAKE",
            took: Duration::ZERO,
        }])
    }

    fn freeze(&mut self, _: &mut dyn FnMut(&dyn Gateway)) {}

    fn fork(&mut self, _: ForkStage) {}

    fn enter_worker(&mut self, _: WorkerFacts) -> Result<Box<dyn Gateway>, LoadError> {
        if APP.get().is_some_and(|app| app == "crash-worker") {
            std::process::abort();
        }
        Ok(Box::new(FakeGateway))
    }

    fn source_files(&self) -> Vec<PathBuf> {
        vec![self.app.clone()]
    }

    fn leave(&mut self) {
        log::debug!("left");
    }
}

struct FakeGateway;

impl Gateway for FakeGateway {
    fn body_mode(&self, _: &Request) -> BodyMode {
        BodyMode::Complete
    }

    fn handle(&self, _: Exchange) {}
}

/// The "loop": what the real one promises its master, for one request at a time.
fn serve(mut seat: Seat, _: Box<dyn Gateway>, _: &dyn Runtime) -> Departure {
    if APP.get().is_some_and(|app| app == "no-loop") {
        return Departure::Failed;
    }
    seat.ready.take().into_iter().for_each(|announce| announce());
    if APP.get().is_some_and(|app| app == "return-at-once") {
        return Departure::Drained;
    }
    seat.slot.set_state(WorkerState::Serving);
    loop {
        let mut watched: Vec<BorrowedFd<'_>> = vec![seat.signals.as_fd()];
        // Without a master there is no lifeline: watch the signals twice.
        watched.push(seat.lifeline.as_ref().map_or(seat.signals.as_fd(), AsFd::as_fd));
        if !seat.slot.board().is_paused() {
            watched.extend(seat.listeners.iter().map(|listener| listener.fd.as_fd()));
        }
        let ready = sys::wait_readable(&watched, None).unwrap_or_default();
        if ready.first() == Some(&true) {
            for signal in pending_signals(&seat) {
                match i32::from(signal) {
                    libc::SIGTERM | libc::SIGINT | libc::SIGQUIT => return Departure::Drained,
                    libc::SIGUSR1 => uwrs::logging::reopen().unwrap_or_else(|error| log::error!("{error}")),
                    _ => {}
                }
            }
            continue;
        }
        if ready.get(1) == Some(&true) {
            return Departure::Orphaned;
        }
        for (index, listener) in seat.listeners.iter().enumerate() {
            if ready.get(index + 2) == Some(&true)
                && let Ok((connection, _)) = SockRef::from(&listener.fd).accept()
            {
                answer(&seat, connection);
            }
        }
    }
}

fn pending_signals(seat: &Seat) -> Vec<u8> {
    let mut bytes = [0; 64];
    let mut pipe = fs::File::from(seat.signals.try_clone().expect("a descriptor to spare"));
    let count = pipe.read(&mut bytes).unwrap_or(0);
    bytes[..count].to_vec()
}

fn answer(seat: &Seat, mut connection: socket2::Socket) {
    let _ = connection.set_nonblocking(false);
    let mut head = [0; 4096];
    let count = connection.read(&mut head).unwrap_or(0);
    let head = String::from_utf8_lossy(&head[..count]).into_owned();
    let target = head.split(' ').nth(1).unwrap_or("/").to_owned();
    seat.slot.begin();
    seat.slot.show(&ShownStint {
        serial: seat.slot.requests() + 1,
        method: b"GET",
        target: target.as_bytes(),
        peer: &Peer::Unix,
        began: sys::monotonic_milliseconds(),
    });
    if let Some(milliseconds) = target.strip_prefix("/sleep/") {
        std::thread::sleep(Duration::from_millis(milliseconds.parse().unwrap_or(0)));
    }
    if target == "/abort" {
        std::process::abort();
    }
    let app = APP.get().map_or("no-app", String::as_str);
    let body = format!(
        "{app} worker={} pid={} generation={}\n",
        seat.facts.number,
        std::process::id(),
        seat.generation,
    );
    let _ = write!(
        connection,
        "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    seat.slot.rest();
    seat.slot.end(200, body.len() as u64);
}

fn pidfile(option: &'static str, path: &str, moment: PidfileMoment) -> Pidfile {
    Pidfile {
        option,
        path: path.into(),
        moment,
    }
}
