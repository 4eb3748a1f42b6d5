//! Clients that ask without a pause, each in a thread of its own, and count what they lose.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::client::{Connection, Response};

/// A request that was answered with 200 and a number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answered {
    pub(crate) sent: Instant,
    pub(crate) received: Instant,
    /// The body.
    pub(crate) value: u64,
}

/// A request that was not.
#[derive(Debug)]
pub(crate) struct Lost {
    pub(crate) sent: Instant,
    pub(crate) noticed: Instant,
    #[expect(dead_code, reason = "shown by the tests that fail")]
    pub(crate) why: io::Error,
    /// What the connection answered before, if it was used before.
    pub(crate) previous: Option<u64>,
}

/// What became of all requests.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) answered: Vec<Answered>,
    pub(crate) lost: Vec<Lost>,
}

/// Clients at work.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<Report>>,
}

impl Load {
    /// `fresh` clients with a new connection for every request and `kept` ones that keep theirs until an answer says
    /// `Connection: close`. Each GETs `/`, which must answer a number.
    pub(crate) fn start(port: u16, fresh: usize, kept: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let count = Arc::new(AtomicUsize::new(0));
        let client = |keep_alive| {
            let client = Client {
                address: ([127, 0, 0, 1], port).into(),
                keep_alive,
                connection: None,
                previous: None,
            };
            let (stop, count) = (Arc::clone(&stop), Arc::clone(&count));
            thread::spawn(move || client.work(&stop, &count))
        };
        let kinds = [vec![false; fresh], vec![true; kept]].concat();
        let clients = kinds.into_iter().map(client).collect();
        Self { stop, count, clients }
    }

    /// How many requests have been answered or lost?
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Waits until `more` further requests have been answered or lost.
    pub(crate) fn wait_for(&self, more: usize) {
        let goal = self.count() + more;
        super::soon("requests are answered", || self.count() >= goal);
    }

    /// Lets every client finish what it does, and says how it went.
    pub(crate) fn finish(self) -> Report {
        self.stop.store(true, Ordering::Relaxed);
        let mut whole = Report::default();
        for client in self.clients {
            let report = client.join().unwrap();
            whole.answered.extend(report.answered);
            whole.lost.extend(report.lost);
        }
        whole
    }
}

/// One client.
struct Client {
    address: SocketAddr,
    keep_alive: bool,
    connection: Option<Connection>,
    previous: Option<u64>,
}

impl Client {
    fn work(mut self, stop: &AtomicBool, count: &AtomicUsize) -> Report {
        let mut report = Report::default();
        while !stop.load(Ordering::Relaxed) {
            let sent = Instant::now();
            match self.ask() {
                Ok(value) => {
                    self.previous = Some(value);
                    let received = Instant::now();
                    report.answered.push(Answered {
                        sent,
                        received,
                        value,
                    });
                }
                Err(error) => {
                    let (noticed, previous) = (Instant::now(), self.previous.take());
                    report.lost.push(Lost {
                        sent,
                        noticed,
                        why: error,
                        previous,
                    });
                    self.connection = None;
                }
            }
            if self.connection.is_none() {
                self.previous = None;
            }
            count.fetch_add(1, Ordering::Relaxed);
            // Leaves the server some of the processor: eight clients that spin would measure the scheduler.
            thread::sleep(Duration::from_millis(1));
        }
        report
    }

    fn ask(&mut self) -> io::Result<u64> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::try_tcp(self.address)?,
        };
        let wish = if self.keep_alive { "keep-alive" } else { "close" };
        connection.try_send(format!(
            "GET / HTTP/1.1\r\nHost: example.org\r\nConnection: {wish}\r\n\r\n"
        ))?;
        let response = connection.try_response()?;
        if self.keep_alive && !response.says_close() {
            self.connection = Some(connection);
        }
        number(&response)
    }
}

fn number(response: &Response) -> io::Result<u64> {
    let number =
        (response.status == 200).then(|| std::str::from_utf8(&response.body).ok()?.trim().parse().ok());
    number
        .flatten()
        .ok_or_else(|| io::Error::other(format!("{} {:?}", response.status, response.body)))
}
