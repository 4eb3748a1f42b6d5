//! [`Config`]: what the options mean. Typed, resolved, free of contradictions.

use std::path::PathBuf;
use std::time::Duration;

use super::scaling::Scaling;

/// Everything that a run of uwrs is governed by.
#[derive(Clone, Debug)]
pub struct Config {
    /// Sockets to serve, in the order in which they were given.
    pub listeners: Vec<ListenerConfig>,
    /// How listening sockets are made.
    pub sockets: SocketOptions,
    /// The application and its interpreter.
    pub application: ApplicationConfig,
    /// Processes and who watches them.
    pub processes: ProcessConfig,
    /// What a client may send and how long it may take.
    pub limits: Limits,
    /// Where the log goes and what is in it.
    pub logging: LoggingConfig,
    /// What was said, in order, as applications may ask for it (`uwsgi.opt`): names as they were used, placeholders filled
    /// in; `None`: a name without a value.
    pub said: Vec<(String, Option<String>)>,
    /// Things to tell the operator once the log is open: unknown options, obsolete ones, clamped values. Each
    /// begins with its place (`uwsgi.ini:12: …`).
    pub warnings: Vec<String>,
    /// Things that the operator may want to know: options that are not needed, what `print` says.
    pub notes: Vec<String>,
}

/// One listening socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerConfig {
    /// Where.
    pub address: ListenAddress,
    /// What is spoken there.
    pub protocol: ProtocolKind,
    /// Where it was asked for (`uwsgi.ini:3`), for error messages.
    pub origin: String,
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// `host:port`, `:port` (all of IPv4), `[::1]:port`. The host is a literal address or a name.
    Inet {
        /// Empty: all of IPv4.
        host: String,
        /// 0: any free one.
        port: u16,
    },
    /// A path, absolute.
    Unix(PathBuf),
    /// A name in Linux's abstract namespace, without its leading NUL.
    Abstract(Vec<u8>),
    /// A descriptor that is already a listening socket (`fd://3`).
    Inherited(i32),
}

/// A protocol that a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolKind {
    /// HTTP/1.1 and 1.0.
    Http,
    /// The uwsgi protocol.
    Uwsgi,
}

impl ProtocolKind {
    /// Its name, as people know it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Uwsgi => "uwsgi",
        }
    }
}

/// How listening sockets are made.
#[derive(Clone, Debug)]
pub struct SocketOptions {
    /// Backlog (`listen`), already clamped to somaxconn.
    pub backlog: u32,
    /// Probe silent TCP connections (`so-keepalive`).
    pub keep_alive: bool,
    /// Share TCP ports with other servers (`reuse-port`).
    pub reuse_port: bool,
    /// Take TCP addresses that are not this machine's (`freebind`).
    pub free_bind: bool,
    /// Mode of unix sockets (`chmod-socket`).
    pub mode: Option<u32>,
    /// Owner of unix sockets (`chown-socket`).
    pub owner: Option<Owner>,
    /// Remove unix sockets and pidfiles at the end (`vacuum`).
    pub vacuum: bool,
}

/// `user[:group]`, as written: names or numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// User.
    pub user: String,
    /// Group.
    pub group: Option<String>,
}

/// The application and its interpreter.
#[derive(Clone, Debug)]
pub struct ApplicationConfig {
    /// `chdir`, absolute.
    pub chdir: Option<PathBuf>,
    /// `chdir2`
    pub chdir2: Option<PathBuf>,
    /// `home`, absolute.
    pub home: Option<PathBuf>,
    /// `pythonpath`, in order, absolute, globs expanded by the loader.
    pub pythonpath: Vec<PathBuf>,
    /// `pyargv`, split on blanks.
    pub argv: Vec<String>,
    /// `import`
    pub imports: Vec<String>,
    /// `module` / `wsgi`: the last one given; `None` when `wsgi_file` was given later.
    pub module: Option<String>,
    /// `wsgi-file`, as given (relative to `chdir`); `None` when `module` was given later.
    pub wsgi_file: Option<PathBuf>,
    /// `callable`
    pub callable: Option<String>,
    /// `interface`
    pub interface: InterfaceOption,
    /// `loop`
    pub event_loop: LoopOption,
    /// `lifespan`
    pub lifespan: LifespanOption,
    /// `websockets-…`
    pub websockets: WebSocketLimits,
    /// `mount = /point=target`, in order.
    pub mounts: Vec<Mount>,
    /// `manage-script-name`
    pub manage_script_name: bool,
    /// Offer no `wsgi.file_wrapper`.
    pub disable_file_wrapper: bool,
    /// `write()` raises nothing when the client is gone (`disable-write-exception`).
    pub disable_write_exception: bool,
    /// `warm-up`, in order.
    pub warm_up: Vec<WarmUp>,
    /// `need-app` (default on): no application, no server.
    pub need_app: bool,
    /// `lazy-apps`: loaded in each worker.
    pub lazy: bool,
    /// `env` and `unenv`, in order.
    pub environment: Vec<EnvironmentChange>,
    /// `py-autoreload`: seconds between looks; `None`: off.
    pub autoreload: Option<Duration>,
    /// `threads`
    pub threads: usize,
    /// `spare-threads`: how many more there may be, which stand in for those whose answer waits for its client.
    pub spare_threads: usize,
    /// `gevent`: `None`: no greenlets.
    pub greenlets: Option<GreenletOptions>,
}

impl ApplicationConfig {
    /// How many requests a worker has in hand at once, at most, as far as it calls the application itself.
    pub fn side_by_side(&self) -> usize {
        let greenlets = self.greenlets.as_ref();
        greenlets.map_or(self.threads.max(1), |greenlets| greenlets.most)
    }
}

/// How greenlets run applications.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GreenletOptions {
    /// `gevent`: how many requests a worker has side by side, at most.
    pub most: usize,
    /// `gevent-monkey-patch`: Python's library waits as greenlets do.
    pub monkey_patch: bool,
    /// `gevent-wait-for-hub`: a worker that leaves waits for the application's own greenlets.
    pub wait_for_hub: bool,
}

/// A request that is made before there are workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WarmUp {
    /// `Host`, a port with it where one was said.
    pub host: String,
    /// What is asked for: a path, perhaps with a query.
    pub target: String,
}

/// How applications are called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InterfaceOption {
    /// As each of them looks.
    #[default]
    Auto,
    /// PEP 3333.
    Wsgi,
    /// ASGI 3.
    Asgi,
    /// ASGI 2.
    Asgi2,
}

/// Whose loop ASGI applications run in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LoopOption {
    /// uvloop's where it is installed.
    #[default]
    Auto,
    /// asyncio's.
    Asyncio,
    /// uvloop's.
    Uvloop,
}

/// Whether ASGI applications are told of the server's start and end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LifespanOption {
    /// Those that take part.
    #[default]
    Auto,
    /// All have to.
    On,
    /// None.
    Off,
}

/// What a WebSocket may bring, and how it is found out that one is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebSocketLimits {
    /// Bytes of a message.
    pub message_bytes: usize,
    /// How long one may say nothing before it is asked; `None`: it is not.
    pub ping_interval: Option<Duration>,
    /// How long it may take to answer.
    pub ping_timeout: Duration,
    /// `websockets-compression`
    pub compression: CompressionOption,
}

/// How messages of WebSockets are compressed (RFC 7692), where the client offers it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CompressionOption {
    /// With those before them in view.
    #[default]
    Takeover,
    /// Each by itself.
    Each,
    /// They are not.
    Off,
}

/// `mount = /point=target`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// `/point`, without a final slash.
    pub point: String,
    /// `module:callable`, or a file.
    pub target: String,
    /// Where it was said.
    pub origin: String,
}

/// `env` or `unenv`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvironmentChange {
    /// `env = NAME=value`
    Set(String, String),
    /// `unenv = NAME`
    Unset(String),
}

/// A file for the pid of the master, or of a single process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pidfile {
    /// The option that asks for it.
    pub option: &'static str,
    /// Where it is.
    pub path: PathBuf,
    /// When it is written.
    pub moment: PidfileMoment,
}

/// When a pidfile is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PidfileMoment {
    /// With the rights of who starts the server (`pidfile`).
    Start,
    /// With those of who it becomes (`pidfile2`).
    Assumed,
    /// Once everything is up (`safe-pidfile`, `safe-pidfile2`).
    Up,
}

/// Processes and who watches them.
#[derive(Clone, Debug)]
pub struct ProcessConfig {
    /// `master` (default on).
    pub master: bool,
    /// `processes` / `workers`
    pub workers: usize,
    /// How many of them there are at a time.
    pub scaling: Scaling,
    /// `uid`: whom the server becomes once its sockets are bound.
    pub uid: Option<Principal>,
    /// `gid`
    pub gid: Option<Principal>,
    /// `umask`
    pub umask: Option<u32>,
    /// `pidfile` and its like, in the order in which they are written.
    pub pidfiles: Vec<Pidfile>,
    /// `daemonize`: the log file, absolute, unless `logto` names another.
    pub daemonize: Option<PathBuf>,
    /// `die-on-term` (default on): TERM stops; off: TERM reloads at once, as uWSGI does.
    pub die_on_term: bool,
    /// `worker-reload-mercy`: how long a leaving worker may take before it is killed.
    pub worker_reload_mercy: Duration,
    /// `cpu-affinity`: on how many processors each worker is kept; `None`: on all.
    pub cpu_affinity: Option<usize>,
    /// `boot-timeout`: how long a generation may take until all its workers are ready.
    pub boot_timeout: Duration,
    /// When a worker is replaced although it serves.
    pub worker_limits: WorkerLimits,
    /// `max-fd`: how many descriptors each process may have open; `None`: as many as it was started with.
    pub max_fd: Option<u64>,
    /// Process titles.
    pub procname: ProcnameConfig,
    /// `touch-reload` and its like: files that the master keeps an eye on.
    pub touches: Vec<Touch>,
    /// `master-fifo`: pipes that the master takes commands from, of which it reads one. At most 10.
    pub fifos: Vec<PathBuf>,
}

impl Default for ProcessConfig {
    fn default() -> Self {
        Self {
            master: true,
            workers: 1,
            scaling: Scaling::default(),
            uid: None,
            gid: None,
            umask: None,
            pidfiles: Vec::new(),
            daemonize: None,
            die_on_term: true,
            worker_reload_mercy: Duration::from_secs(60),
            cpu_affinity: None,
            boot_timeout: Duration::from_secs(600),
            worker_limits: WorkerLimits::default(),
            max_fd: None,
            procname: ProcnameConfig::default(),
            touches: Vec::new(),
            fifos: Vec::new(),
        }
    }
}

/// A file whose change asks the master for something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touch {
    /// Absolute; it need not exist.
    pub path: PathBuf,
    /// What is asked for.
    pub wish: TouchWish,
}

/// What the change of a file asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TouchWish {
    /// `touch-reload`
    Reload,
    /// `touch-workers-reload`
    RenewWorkers,
    /// `touch-chain-reload`
    ChainReload,
    /// `touch-logreopen`
    ReopenLog,
    /// `touch-logrotate`
    RotateLog,
}

impl TouchWish {
    /// All there are.
    pub const ALL: [Self; 5] = [
        Self::Reload,
        Self::RenewWorkers,
        Self::ChainReload,
        Self::ReopenLog,
        Self::RotateLog,
    ];

    /// The option that says so.
    pub fn option(self) -> &'static str {
        match self {
            Self::Reload => "touch-reload",
            Self::RenewWorkers => "touch-workers-reload",
            Self::ChainReload => "touch-chain-reload",
            Self::ReopenLog => "touch-logreopen",
            Self::RotateLog => "touch-logrotate",
        }
    }
}

/// When a worker is replaced although it serves. `None`: never for that reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerLimits {
    /// `max-requests`: of worker 1.
    pub requests: Option<u64>,
    /// `max-requests-delta`: how many more each worker has than the one before it.
    pub requests_delta: u64,
    /// `max-worker-lifetime`: of worker 1.
    pub lifetime: Option<Duration>,
    /// `max-worker-lifetime-delta`: how much more each worker has than the one before it.
    pub lifetime_delta: Duration,
    /// `min-worker-lifetime`: sooner nothing but [`WorkerLimits::lifetime`] and what is deadly counts.
    pub least_lifetime: Duration,
    /// `reload-on-rss`: bytes.
    pub resident: Option<u64>,
    /// `reload-on-as`: bytes.
    pub address_space: Option<u64>,
    /// `reload-on-exception`: an exception that the application does not catch.
    pub exceptions: bool,
    /// `evil-reload-on-rss`: bytes at which it is killed.
    pub deadly_resident: Option<u64>,
    /// `evil-reload-on-as`: bytes at which it is killed.
    pub deadly_address_space: Option<u64>,
}

/// A user or a group, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Name or number.
    pub name: String,
    /// Where it was said.
    pub origin: String,
}

/// Process titles.
#[derive(Clone, Debug, Default)]
pub struct ProcnameConfig {
    /// `auto-procname`: `uwrs master`, `uwrs worker 1`.
    pub auto: bool,
    /// `procname`: of every process.
    pub name: Option<String>,
    /// `procname-master`
    pub master: Option<String>,
    /// `procname-prefix` (with `procname-prefix-spaced`, followed by a blank).
    pub prefix: String,
    /// `procname-append`
    pub append: String,
}

/// What a client may send and how long it may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// `buffer-size`: bytes of a request's head. Default 65536.
    pub head_bytes: usize,
    /// Header fields of a request, or variables of a uwsgi one (twice `max-vars`). Default 128.
    pub fields: usize,
    /// `limit-post`: bytes of a request's body; `None`: no limit.
    pub body_bytes: Option<u64>,
    /// `post-buffering`: bytes of a body kept in memory before it goes to a temporary file. Default 262144.
    pub body_memory: usize,
    /// `http-headers-timeout`: from a connection's start, or a request's first byte, to the end of its head.
    pub head_timeout: Duration,
    /// `body-timeout`: for another KiB of a body, or its end.
    pub body_timeout: Duration,
    /// `so-send-timeout`: between two parts of an answer that the client takes.
    pub send_timeout: Duration,
    /// `http-keepalive`: between two requests of a connection; zero: each is its connection's last.
    pub keep_alive: Duration,
    /// How long a request may keep the application busy.
    pub harakiri: Harakiri,
    /// `slow-callback`: how long the loop of an ASGI application may be blocked before the log tells; `None`: it does not.
    pub slow_callback: Option<Duration>,
    /// `limit-concurrency`: requests that a worker has in hand before more are answered with 503; `None`: no limit.
    pub concurrency: Option<usize>,
    /// `backpressure`: requests that an ASGI worker has in hand before it accepts no connections; `None`: no limit.
    pub backpressure: Option<usize>,
    /// `max-connections`: of a worker; `None`: as many as it has descriptors for.
    pub max_connections: Option<usize>,
}

/// How long a request may keep a thread in the application: for its call, and for each piece of its answer. The time for
/// which a client is waited for does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Harakiri {
    /// `harakiri`; `None`: as long as it likes.
    pub limit: Option<Duration>,
    /// `harakiri-graceful-timeout`: how long a worker, once it is replaced, may take to finish what else it has.
    pub grace: Duration,
    /// `harakiri-verbose`: the log tells what the kernel knows of its threads.
    pub verbose: bool,
}

impl Default for Harakiri {
    fn default() -> Self {
        Self {
            limit: None,
            grace: Duration::from_secs(10),
            verbose: false,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 64 * 1024,
            fields: 128,
            body_bytes: None,
            body_memory: 256 * 1024,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            send_timeout: Duration::from_secs(60),
            keep_alive: Duration::from_secs(65),
            harakiri: Harakiri::default(),
            slow_callback: Some(Duration::from_secs(1)),
            concurrency: None,
            backpressure: None,
            max_connections: None,
        }
    }
}

/// Where the log goes and what is in it.
#[derive(Clone, Debug, Default)]
pub struct LoggingConfig {
    /// `logto`; `None`: standard error.
    pub file: Option<PathBuf>,
    /// Access log: everything, or only what the others select (`disable-logging`).
    pub requests: bool,
    /// `log-4xx`
    pub client_errors: bool,
    /// `log-5xx`
    pub server_errors: bool,
    /// `log-slow`: from this time on.
    pub slow: Option<Duration>,
}
