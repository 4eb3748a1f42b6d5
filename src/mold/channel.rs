//! What a master and the processes of one generation tell each other: requests one way, reports the other,
//! each a short message on a socket that keeps their bounds. The mold's end is shared by the workers it forks
//! until they are ready.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::sys::{self, Pid, Received};

/// Longest text of a message, bytes; more is cut.
const TEXT_BYTES: usize = 1024;
const MESSAGE_BYTES: usize = TEXT_BYTES + 64;

/// What a master asks of a mold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Fork a worker.
    Fork {
        /// To be named in the reports about it.
        ticket: u32,
        /// The worker's number.
        number: u32,
        /// The worker's place in the scoreboard.
        slot: u32,
    },
    /// Open the log anew.
    ReopenLog,
    /// Run what the application registered for its end, and end.
    Leave,
}

/// What molds and starting workers say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// The application is loaded: workers may be asked for.
    MoldReady,
    /// The application could not be loaded; the reason is in the log, the mold ends.
    MoldFailed {
        /// What the server should end with.
        status: i32,
        /// One sentence.
        reason: String,
    },
    /// A worker was forked.
    Forked {
        /// By this request.
        ticket: u32,
        /// Its process.
        pid: Pid,
    },
    /// A worker could not be forked.
    NotForked {
        /// By this request.
        ticket: u32,
        /// Why.
        reason: String,
    },
    /// A worker serves.
    WorkerReady {
        /// The request that made it.
        ticket: u32,
        /// Its process: this may arrive before [`Report::Forked`].
        pid: Pid,
    },
    /// A worker could not get the application ready; the reason is in the log, the worker ends.
    WorkerFailed {
        /// The request that made it.
        ticket: u32,
        /// What the server should end with.
        status: i32,
        /// One sentence.
        reason: String,
    },
}

/// One end of the socket.
#[derive(Debug)]
pub struct Channel(OwnedFd);

impl Channel {
    /// Both ends: the master's, the mold's.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (here, there) = sys::message_pair()?;
        Ok((Self(here), Self(there)))
    }

    /// An end that was inherited.
    pub fn from_descriptor(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Sends a request, without waiting: [`io::ErrorKind::WouldBlock`] where the mold has to read others first.
    pub fn ask(&self, request: Request) -> io::Result<()> {
        sys::send_message(self.as_fd(), &request.encode())
    }

    /// Sends a report, when there is room: hundreds of workers report at once, and none may be lost. The master never
    /// waits for a mold, so this can't be for long.
    pub fn report(&self, report: &Report) -> io::Result<()> {
        sys::send_message_waiting(self.as_fd(), &report.encode())
    }

    /// The next report, at the master's end.
    pub fn next_report(&self) -> io::Result<Next<Report>> {
        self.receive(Report::decode)
    }

    /// The next request, at the mold's end.
    pub fn next_request(&self) -> io::Result<Next<Request>> {
        self.receive(Request::decode)
    }

    fn receive<T>(&self, decode: impl Fn(&[u8]) -> Option<T>) -> io::Result<Next<T>> {
        let mut buffer = [0; MESSAGE_BYTES];
        match sys::receive_message(self.as_fd(), &mut buffer)? {
            Received::Message(bytes) => match decode(&buffer[..bytes]) {
                Some(message) => Ok(Next::Message(message)),
                None => Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "a message that makes no sense",
                )),
            },
            Received::Nothing => Ok(Next::Nothing),
            Received::End => Ok(Next::End),
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next<T> {
    /// A message.
    Message(T),
    /// Nothing yet.
    Nothing,
    /// Nothing ever again.
    End,
}

/// First bytes of messages.
mod tag {
    pub(super) const FORK: u8 = 1;
    pub(super) const REOPEN_LOG: u8 = 2;
    pub(super) const LEAVE: u8 = 3;
    pub(super) const MOLD_READY: u8 = 11;
    pub(super) const MOLD_FAILED: u8 = 12;
    pub(super) const FORKED: u8 = 13;
    pub(super) const NOT_FORKED: u8 = 14;
    pub(super) const WORKER_READY: u8 = 15;
    pub(super) const WORKER_FAILED: u8 = 16;
}

/// A tag, numbers of four bytes each, a text.
fn message(tag: u8, numbers: &[u32], text: &str) -> Vec<u8> {
    let mut bytes = vec![tag];
    for number in numbers {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    let mut end = text.len().min(TEXT_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    bytes.extend_from_slice(&text.as_bytes()[..end]);
    bytes
}

/// Takes `N` numbers; what is behind them is the text.
fn numbers<const N: usize>(mut bytes: &[u8]) -> Option<([u32; N], String)> {
    let mut numbers = [0; N];
    for number in &mut numbers {
        let (first, rest) = bytes.split_first_chunk()?;
        *number = u32::from_le_bytes(*first);
        bytes = rest;
    }
    Some((numbers, String::from_utf8_lossy(bytes).into_owned()))
}

impl Request {
    fn encode(self) -> Vec<u8> {
        match self {
            Self::Fork { ticket, number, slot } => message(tag::FORK, &[ticket, number, slot], ""),
            Self::ReopenLog => message(tag::REOPEN_LOG, &[], ""),
            Self::Leave => message(tag::LEAVE, &[], ""),
        }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (tag, rest) = bytes.split_first()?;
        match *tag {
            tag::FORK => {
                let ([ticket, number, slot], _) = numbers(rest)?;
                Some(Self::Fork { ticket, number, slot })
            }
            tag::REOPEN_LOG => Some(Self::ReopenLog),
            tag::LEAVE => Some(Self::Leave),
            _ => None,
        }
    }
}

impl Report {
    fn encode(&self) -> Vec<u8> {
        match self {
            Self::MoldReady => message(tag::MOLD_READY, &[], ""),
            Self::MoldFailed { status, reason } => message(tag::MOLD_FAILED, &[*status as u32], reason),
            Self::Forked { ticket, pid } => message(tag::FORKED, &[*ticket, *pid as u32], ""),
            Self::NotForked { ticket, reason } => message(tag::NOT_FORKED, &[*ticket], reason),
            Self::WorkerReady { ticket, pid } => message(tag::WORKER_READY, &[*ticket, *pid as u32], ""),
            Self::WorkerFailed {
                ticket,
                status,
                reason,
            } => message(tag::WORKER_FAILED, &[*ticket, *status as u32], reason),
        }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (tag, rest) = bytes.split_first()?;
        match *tag {
            tag::MOLD_READY => Some(Self::MoldReady),
            tag::MOLD_FAILED => {
                let ([status], reason) = numbers(rest)?;
                Some(Self::MoldFailed {
                    status: status as i32,
                    reason,
                })
            }
            tag::FORKED => {
                let ([ticket, pid], _) = numbers(rest)?;
                Some(Self::Forked {
                    ticket,
                    pid: pid as Pid,
                })
            }
            tag::NOT_FORKED => {
                let ([ticket], reason) = numbers(rest)?;
                Some(Self::NotForked { ticket, reason })
            }
            tag::WORKER_READY => {
                let ([ticket, pid], _) = numbers(rest)?;
                Some(Self::WorkerReady {
                    ticket,
                    pid: pid as Pid,
                })
            }
            tag::WORKER_FAILED => {
                let ([ticket, status], reason) = numbers(rest)?;
                Some(Self::WorkerFailed {
                    ticket,
                    status: status as i32,
                    reason,
                })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_arrives_as_it_was_sent() {
        let requests = [
            Request::Fork {
                ticket: 7,
                number: 2,
                slot: 513,
            },
            Request::ReopenLog,
            Request::Leave,
        ];
        let reports = [
            Report::MoldReady,
            Report::MoldFailed {
                status: -1,
                reason: "naïve".into(),
            },
            Report::Forked {
                ticket: u32::MAX,
                pid: i32::MAX,
            },
            Report::NotForked {
                ticket: 0,
                reason: String::new(),
            },
            Report::WorkerReady { ticket: 1, pid: 2 },
            Report::WorkerFailed {
                ticket: 1,
                status: 22,
                reason: "no".into(),
            },
        ];
        let (master, mold) = Channel::pair().unwrap();
        for request in requests {
            master.ask(request).unwrap();
            assert_eq!(mold.next_request().unwrap(), Next::Message(request));
        }
        for report in reports {
            mold.report(&report).unwrap();
            assert_eq!(master.next_report().unwrap(), Next::Message(report));
        }
        assert_eq!(master.next_report().unwrap(), Next::Nothing);
        drop(mold);
        assert_eq!(master.next_report().unwrap(), Next::End);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let reason = "é".repeat(TEXT_BYTES);
        let bytes = Report::MoldFailed { status: 1, reason }.encode();
        let Some(Report::MoldFailed { reason, .. }) = Report::decode(&bytes) else {
            panic!("not the message that was sent");
        };
        assert_eq!(reason, "é".repeat(TEXT_BYTES / 2));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for bytes in [
            &[][..],
            &[0],
            &[99],
            &[tag::FORK, 1, 2],
            &[tag::FORKED, 0, 0, 0, 0, 1],
        ] {
            assert_eq!(Report::decode(bytes), None);
            assert_eq!(Request::decode(bytes), None);
        }
    }
}
