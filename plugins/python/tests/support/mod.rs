//! A gateway to try applications on: one interpreter in a thread of its own, requests made by hand, replies collected.
//!
//! One interpreter is all that a process can have, so the tests of a file share it.

#![allow(dead_code, reason = "each test file uses its part")]

use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, OnceLock};

use uwrs_api::{
    Body, BodyFraming, BodySource, ConnectionInfo, Exchange, ExchangeId, FilePart, Gateway, Peer, Post, Pull,
    Reply, ReplyBody, Request, Responder, ResponseHead, Version, WorkerFacts,
};
use uwrs_python::{AppSpec, AppTarget, Settings};

/// Where the applications of the tests are.
pub(crate) fn apps() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/apps")
}

/// Settings for these mounts: pairs of mountpoint and `module:callable`.
pub(crate) fn settings(mounts: &[(&str, &str)]) -> Settings {
    Settings {
        pythonpath: vec![apps()],
        manage_script_name: true,
        workers: 1,
        apps: mounts
            .iter()
            .map(|(mountpoint, target)| AppSpec {
                mountpoint: (*mountpoint).to_owned(),
                target: AppTarget::Module((*target).to_owned()),
            })
            .collect(),
        ..Settings::default()
    }
}

type Job = Box<dyn FnOnce(&mut Server) + Send>;

/// A gateway, in the thread that owns it.
pub(crate) struct Server {
    pub(crate) gateway: Box<dyn Gateway>,
}

/// Runs `work` in the interpreter's thread; the first call starts it with `settings`.
pub(crate) fn with_server<R: Send + 'static>(
    settings: fn() -> Settings,
    work: impl FnOnce(&mut Server) -> R + Send + 'static,
) -> R {
    static JOBS: OnceLock<Mutex<Sender<Job>>> = OnceLock::new();
    let jobs = JOBS.get_or_init(|| {
        let (sender, jobs) = mpsc::channel::<Job>();
        std::thread::spawn(move || {
            capture_log();
            let mut runtime = uwrs_python::start(settings()).expect("Python starts");
            runtime
                .load()
                .unwrap_or_else(|error| panic!("{}\n{:?}", error.message, error.traceback));
            let facts = WorkerFacts {
                number: 1,
                master: None,
            };
            let gateway = runtime.enter_worker(facts).expect("a gateway");
            let mut server = Server { gateway };
            for job in jobs {
                job(&mut server);
                server.gateway.rest();
            }
        });
        Mutex::new(sender)
    });
    let (result, wait) = mpsc::channel();
    let job: Job = Box::new(move |server| {
        // A failed assertion is the test's, not the end of the thread that the other tests need.
        let _ = result.send(catch_unwind(AssertUnwindSafe(|| work(server))));
    });
    jobs.lock()
        .expect("no test panics here")
        .send(job)
        .expect("the interpreter's thread lives");
    match wait.recv().expect("the interpreter's thread lives") {
        Ok(result) => result,
        Err(panic) => resume_unwind(panic),
    }
}

/// From now on the log can be asked for with [`logged`].
pub(crate) fn capture_log() {
    log::set_logger(&Log).expect("the first logger");
    log::set_max_level(log::LevelFilter::Info);
}

/// What was logged, one string a record.
static LOGGED: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Log;

impl log::Log for Log {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = format!("{} {}", record.level(), record.args());
        LOGGED.lock().expect("no panic while logging").push(line);
    }

    fn flush(&self) {}
}

/// The records that mention `text`.
pub(crate) fn logged(text: &str) -> Vec<String> {
    let records = LOGGED.lock().expect("no panic while logging");
    records
        .iter()
        .filter(|record| record.contains(text))
        .cloned()
        .collect()
}

/// Takes replies in.
#[derive(Default)]
pub(crate) struct Mailbox(Mutex<Vec<Reply>>);

impl Post for Mailbox {
    fn post(&self, _: ExchangeId, reply: Reply) {
        self.0.lock().expect("no panic while posting").push(reply);
    }
}

impl Mailbox {
    pub(crate) fn take(&self) -> Vec<Reply> {
        std::mem::take(&mut self.0.lock().expect("no panic while posting"))
    }
}

/// A request in the making.
pub(crate) struct Ask {
    pub(crate) request: Request,
    pub(crate) body: Body,
    pub(crate) connection: ConnectionInfo,
    /// Pull that many pieces, then drop the source as if the client had gone.
    pub(crate) pulls: usize,
}

impl Ask {
    /// As HTTP/1.1 would give it; what follows `?` is the query.
    pub(crate) fn new(method: &str, target: &str) -> Self {
        let mut request = Request::default();
        request.method = request.text.push(method.as_bytes());
        request.target = request.text.push(target.as_bytes());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        request.path = request.text.push(path.as_bytes());
        request.raw_path = request.path;
        request.query = request.text.push(query.as_bytes());
        Self {
            request,
            body: Body::Empty,
            connection: ConnectionInfo {
                peer: Peer::Inet(([192, 0, 2, 7], 50123).into()),
                server_name: "server.example".into(),
                socket_path: None,
                server_port: "8000".into(),
                tls: false,
            },
            pulls: usize::MAX,
        }
    }

    pub(crate) fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    pub(crate) fn path(mut self, path: &[u8]) -> Self {
        self.request.path = self.request.text.push(path);
        self
    }

    pub(crate) fn field(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let pair = (
            self.request.text.push(name.as_bytes()),
            self.request.text.push(value.as_ref()),
        );
        self.request.fields.push(pair);
        self
    }

    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        let pair = (
            self.request.text.push(name.as_bytes()),
            self.request.text.push(value.as_bytes()),
        );
        self.request.variables.push(pair);
        self
    }

    pub(crate) fn version(mut self, version: Version) -> Self {
        self.request.version = version;
        self
    }

    pub(crate) fn body(mut self, body: &[u8]) -> Self {
        self.request.framing = BodyFraming::Length(body.len() as u64);
        self.body = Body::Memory(body.to_vec());
        self
    }

    pub(crate) fn pulls(mut self, pulls: usize) -> Self {
        self.pulls = pulls;
        self
    }

    /// Handles it, pulls the answer to its end, and gives what came.
    pub(crate) fn send(self, server: &Server) -> Answer {
        let mailbox = Arc::new(Mailbox::default());
        let pulls = self.pulls;
        server.gateway.handle(self.exchange(&mailbox));
        let mut replies = mailbox.take().into_iter();
        let mut answer = Answer::collect(replies.next().expect("an answer"), pulls);
        for reply in replies {
            answer.go_on(reply, pulls);
        }
        answer
    }

    pub(crate) fn exchange(self, mailbox: &Arc<Mailbox>) -> Exchange {
        let id = ExchangeId { slot: 0, serial: 0 };
        let post: Arc<dyn Post> = Arc::clone(mailbox) as Arc<dyn Post>;
        Exchange {
            request: Arc::new(self.request),
            body: self.body,
            connection: Arc::new(self.connection),
            responder: Responder::new(id, post),
        }
    }
}

/// What the server answers in the place of a gateway that did not.
fn aborted() -> (ResponseHead, ReplyBody) {
    let text = uwrs_api::Bytes::from_static(b"Internal Server Error\n");
    (ResponseHead::new(500), ReplyBody::Full(text))
}

/// An answer, collected.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: ResponseHead,
    /// Pieces in the order in which they came; the one with the head first.
    pub(crate) pieces: Vec<Vec<u8>>,
    /// Was it pulled piece by piece?
    pub(crate) is_streamed: bool,
    /// Is a part of it a file that was not read?
    pub(crate) has_file: bool,
    /// How many replies came after the first, because something was written.
    pub(crate) written: usize,
    /// Did it break off?
    pub(crate) has_failed: bool,
}

impl Answer {
    fn collect(reply: Reply, pulls: usize) -> Self {
        let (head, body) = match reply {
            Reply::Response { head, body } => (head, body),
            Reply::Abort => aborted(),
            _ => panic!("not answered"),
        };
        let mut answer = Self {
            head,
            pieces: Vec::new(),
            is_streamed: false,
            has_file: false,
            written: 0,
            has_failed: false,
        };
        answer.take_body(body, pulls);
        answer
    }

    /// What follows where something was written.
    fn go_on(&mut self, reply: Reply, pulls: usize) {
        self.written += 1;
        match reply {
            Reply::Piece(bytes) => self.pieces.push(bytes.to_vec()),
            Reply::Rest(body) => self.take_body(body, pulls),
            Reply::Break => self.has_failed = true,
            _ => panic!("one answer"),
        }
    }

    fn take_body(&mut self, body: ReplyBody, pulls: usize) {
        match body {
            ReplyBody::Empty => {}
            ReplyBody::Full(bytes) | ReplyBody::Pushed(bytes) => self.pieces.push(bytes.to_vec()),
            ReplyBody::File { part, owner } => {
                self.take_file(&part);
                owner.into_iter().for_each(|owner| self.pull(owner, pulls));
            }
            ReplyBody::Source { first, rest } => {
                self.is_streamed = true;
                self.pieces.push(first.to_vec());
                self.pull(rest, pulls);
            }
        }
    }

    fn pull(&mut self, mut source: Box<dyn BodySource>, pulls: usize) {
        for _ in 0..pulls {
            match source.pull() {
                Pull::Data(bytes) => self.pieces.push(bytes.to_vec()),
                Pull::File(part) => self.take_file(&part),
                Pull::End => return,
                Pull::Failed => {
                    self.has_failed = true;
                    return;
                }
            }
        }
    }

    fn take_file(&mut self, part: &FilePart) {
        let mut bytes = vec![0; part.len() as usize];
        let read = part.file().read_exact_at(&mut bytes, part.offset());
        read.expect("the file is as long as it was");
        self.pieces.push(bytes);
        self.has_file = true;
    }

    pub(crate) fn status(&self) -> u16 {
        self.head.status
    }

    pub(crate) fn reason(&self) -> &str {
        std::str::from_utf8(self.head.reason()).expect("a reason in ASCII")
    }

    pub(crate) fn body(&self) -> Vec<u8> {
        self.pieces.concat()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body()).expect("a body in UTF-8")
    }

    pub(crate) fn field(&self, name: &str) -> Option<Vec<u8>> {
        let mut fields = self.head.fields();
        fields
            .find(|(have, _)| have.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value.to_vec())
    }
}
