//! What a master leaves to the program that it becomes (USR2): descriptors and processes, in a variable of
//! the environment.
//!
//! The two may be of different versions: unknown lines are skipped, and where the scoreboard or the mold
//! can't be used, the server goes on without.

use std::fmt::Write;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::sockets::{FileId, Inherited};
use crate::config::{ListenAddress, ProtocolKind, Scaling};
use crate::master::{BOOT_LIMIT, Handover, Settings, WorkerView};
use crate::server::Ferry;
use crate::sys;

/// The variable. It does not begin with `UWRS_`: those are options.
pub(crate) const VARIABLE: &str = "_UWRS_HANDOVER";

/// First line.
const HEADING: &str = "uwrs-handover 1";

/// Everything, as numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Read end, write end.
    pub(crate) lifeline: (RawFd, RawFd),
    pub(crate) scoreboard: RawFd,
    /// To the mold.
    pub(crate) channel: Option<RawFd>,
    pub(crate) sockets: Vec<SocketRecord>,
    /// Which of the pipes is read, and that.
    pub(crate) fifo: Option<(usize, RawFd)>,
    /// Where connections between workers are sent, and where they are taken.
    pub(crate) ferry: Option<(RawFd, RawFd)>,
    pub(crate) server: Handover,
}

/// A listening socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SocketRecord {
    pub(crate) fd: RawFd,
    pub(crate) asked: ListenAddress,
    pub(crate) protocol: ProtocolKind,
    pub(crate) file: Option<FileId>,
}

/// Everything, taken over.
#[derive(Debug)]
pub(crate) struct Handed {
    pub(crate) lifeline: (OwnedFd, OwnedFd),
    pub(crate) scoreboard: OwnedFd,
    pub(crate) channel: Option<OwnedFd>,
    pub(crate) sockets: Vec<Inherited>,
    pub(crate) fifo: Option<(usize, OwnedFd)>,
    pub(crate) ferry: Option<(OwnedFd, OwnedFd)>,
    pub(crate) server: Handover,
}

impl Handed {
    /// What took connections from worker to worker, as far as it was there.
    pub(crate) fn take_ferry(&mut self) -> Option<Arc<Ferry>> {
        let (departures, arrivals) = self.ferry.take()?;
        Some(Arc::new(Ferry::from_ends(departures, arrivals)))
    }

    /// Takes over what a record in the environment names. Once.
    pub(super) fn decode(text: &str) -> Result<Self, String> {
        let record = Record::decode(text)?;
        let adopt = |fd| sys::adopt_descriptor(fd).map_err(|error| format!("descriptor {fd}: {error}"));
        let sockets = record.sockets.into_iter().map(|socket| {
            let fd = adopt(socket.fd)?;
            Ok(Inherited {
                fd,
                asked: socket.asked,
                protocol: socket.protocol,
                file: socket.file,
            })
        });
        Ok(Self {
            sockets: sockets.collect::<Result<_, String>>()?,
            lifeline: (adopt(record.lifeline.0)?, adopt(record.lifeline.1)?),
            scoreboard: adopt(record.scoreboard)?,
            channel: record.channel.map(adopt).transpose()?,
            fifo: match record.fifo {
                Some((slot, fd)) => Some((slot, adopt(fd)?)),
                None => None,
            },
            ferry: match record.ferry {
                Some((departures, arrivals)) => Some((adopt(departures)?, adopt(arrivals)?)),
                None => None,
            },
            server: record.server,
        })
    }
}

impl Record {
    /// One line a fact.
    pub(crate) fn encode(&self) -> String {
        let mut text = format!("{HEADING}\nlifeline {} {}\n", self.lifeline.0, self.lifeline.1);
        let Handover {
            generation,
            settings,
            mold,
            workers,
            closed,
            paused,
        } = &self.server;
        let mercy = settings.mercy.as_millis();
        let (die, paused) = (u8::from(settings.die_on_term), u8::from(*paused));
        // Writing to a String does not fail.
        let _ = writeln!(text, "scoreboard {}", self.scoreboard);
        let _ = writeln!(
            text,
            "server {generation} {} {mercy} {die} {paused}",
            settings.workers
        );
        if let Some(channel) = self.channel {
            let _ = writeln!(text, "channel {channel}");
        }
        if let Some((id, pid)) = mold {
            let _ = writeln!(text, "mold {id} {pid}");
        }
        for number in closed {
            let _ = writeln!(text, "closed {number}");
        }
        if let Some((slot, fd)) = self.fifo {
            let _ = writeln!(text, "fifo {slot} {fd}");
        }
        if let Some((departures, arrivals)) = self.ferry {
            let _ = writeln!(text, "ferry {departures} {arrivals}");
        }
        for socket in &self.sockets {
            let FileId { device, inode } = socket.file.unwrap_or(FileId { device: 0, inode: 0 });
            let (protocol, address) = (socket.protocol.name(), encode_address(&socket.asked));
            let _ = writeln!(text, "socket {} {device} {inode} {protocol} {address}", socket.fd);
        }
        for WorkerView {
            pid,
            number,
            generation,
            slot,
            leaving,
        } in workers
        {
            let slot = slot.map_or(-1, |slot| slot as i64);
            let _ = writeln!(
                text,
                "worker {pid} {number} {generation} {slot} {}",
                u8::from(*leaving)
            );
        }
        text
    }

    fn decode(text: &str) -> Result<Self, String> {
        let mut lines = text.lines();
        if lines.next() != Some(HEADING) {
            return Err("it was left by another version".to_owned());
        }
        let (mut lifeline, mut scoreboard, mut channel, mut server, mut mold) =
            (None, None, None, None, None);
        let (mut fifo, mut ferry, mut closed) = (None, None, Vec::new());
        let (mut sockets, mut workers) = (Vec::new(), Vec::new());
        for line in lines {
            let mut words = Words(line.split(' '));
            match words.0.next() {
                Some("lifeline") => lifeline = Some((words.number()?, words.number()?)),
                Some("scoreboard") => scoreboard = Some(words.number()?),
                Some("channel") => channel = Some(words.number()?),
                Some("closed") => closed.push(words.number()?),
                Some("fifo") => fifo = Some((words.number()?, words.number()?)),
                Some("ferry") => ferry = Some((words.number()?, words.number()?)),
                Some("mold") => mold = Some((words.number()?, words.number()?)),
                Some("socket") => sockets.push(decode_socket(&mut words)?),
                Some("worker") => workers.push(decode_worker(&mut words)?),
                Some("server") => server = Some(decode_server(&mut words)?),
                _ => {}
            }
        }
        let (Some(lifeline), Some(scoreboard), Some(server)) = (lifeline, scoreboard, server) else {
            return Err("it is not complete".to_owned());
        };
        Ok(Self {
            lifeline,
            scoreboard,
            channel,
            sockets,
            fifo,
            ferry,
            server: Handover {
                mold,
                workers,
                closed,
                ..server
            },
        })
    }
}

/// The words of a line.
struct Words<'a>(std::str::Split<'a, char>);

impl Words<'_> {
    fn number<T: std::str::FromStr>(&mut self) -> Result<T, String> {
        let word = self.0.next().unwrap_or_default();
        word.parse().map_err(|_| format!("not a number: {word:?}"))
    }

    fn flag(&mut self) -> Result<bool, String> {
        Ok(self.number::<u8>()? != 0)
    }

    fn bytes(&mut self) -> Result<Vec<u8>, String> {
        let word = self.0.next().unwrap_or_default();
        let byte = |pair: &[u8]| {
            let pair = std::str::from_utf8(pair).ok()?;
            u8::from_str_radix(pair, 16).ok()
        };
        let bytes: Option<Vec<u8>> = word.as_bytes().chunks(2).map(byte).collect();
        bytes.ok_or_else(|| format!("not a name: {word:?}"))
    }
}

fn decode_server(words: &mut Words<'_>) -> Result<Handover, String> {
    let generation = words.number()?;
    let workers = words.number::<usize>()?.max(1);
    let mercy = Duration::from_millis(words.number()?);
    let settings = Settings {
        workers,
        scaling: Scaling::default(),
        mercy,
        // What is handed over is ready.
        boot_limit: BOOT_LIMIT,
        die_on_term: words.flag()?,
    };
    Ok(Handover {
        generation,
        settings,
        mold: None,
        workers: Vec::new(),
        closed: Vec::new(),
        paused: words.flag()?,
    })
}

fn decode_worker(words: &mut Words<'_>) -> Result<WorkerView, String> {
    Ok(WorkerView {
        pid: words.number()?,
        number: words.number()?,
        generation: words.number()?,
        slot: usize::try_from(words.number::<i64>()?).ok(),
        leaving: words.flag()?,
    })
}

fn decode_socket(words: &mut Words<'_>) -> Result<SocketRecord, String> {
    let fd = words.number()?;
    let file = FileId {
        device: words.number()?,
        inode: words.number()?,
    };
    let protocol = match words.0.next() {
        Some("http") => ProtocolKind::Http,
        Some("uwsgi") => ProtocolKind::Uwsgi,
        other => return Err(format!("not a protocol: {other:?}")),
    };
    let asked = match words.0.next() {
        Some("inet") => ListenAddress::Inet {
            port: words.number()?,
            host: String::from_utf8_lossy(&words.bytes()?).into_owned(),
        },
        Some("unix") => ListenAddress::Unix(PathBuf::from(std::ffi::OsString::from_vec(words.bytes()?))),
        Some("abstract") => ListenAddress::Abstract(words.bytes()?),
        Some("inherited") => ListenAddress::Inherited(words.number()?),
        other => return Err(format!("not a kind of address: {other:?}")),
    };
    Ok(SocketRecord {
        fd,
        asked,
        protocol,
        file: (file.inode != 0).then_some(file),
    })
}

fn encode_address(address: &ListenAddress) -> String {
    match address {
        ListenAddress::Inet { host, port } => format!("inet {port} {}", hex(host.as_bytes())),
        ListenAddress::Unix(path) => format!("unix {}", hex(path.as_os_str().as_bytes())),
        ListenAddress::Abstract(name) => format!("abstract {}", hex(name)),
        ListenAddress::Inherited(number) => format!("inherited {number}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let socket = |fd, asked| SocketRecord {
            fd,
            asked,
            protocol: ProtocolKind::Http,
            file: None,
        };
        let file = Some(FileId { device: 3, inode: 77 });
        Record {
            lifeline: (5, 6),
            scoreboard: 7,
            channel: Some(8),
            sockets: vec![
                socket(
                    9,
                    ListenAddress::Inet {
                        host: String::new(),
                        port: 0,
                    },
                ),
                socket(
                    10,
                    ListenAddress::Inet {
                        host: "::1".into(),
                        port: 65535,
                    },
                ),
                SocketRecord {
                    fd: 11,
                    asked: ListenAddress::Unix("/run/a b\n.sock".into()),
                    protocol: ProtocolKind::Uwsgi,
                    file,
                },
                socket(12, ListenAddress::Abstract(vec![0, 255, b' '])),
                socket(13, ListenAddress::Inherited(13)),
            ],
            fifo: Some((1, 14)),
            ferry: Some((15, 16)),
            server: Handover {
                generation: 4,
                settings: Settings {
                    workers: 2,
                    scaling: Scaling::default(),
                    mercy: Duration::from_millis(1500),
                    boot_limit: BOOT_LIMIT,
                    die_on_term: true,
                },
                mold: Some((3, 99)),
                workers: vec![
                    WorkerView {
                        pid: 100,
                        number: 1,
                        generation: 4,
                        slot: Some(0),
                        leaving: false,
                    },
                    WorkerView {
                        pid: 101,
                        number: 2,
                        generation: 3,
                        slot: None,
                        leaving: true,
                    },
                ],
                closed: vec![3, 4],
                paused: true,
            },
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        assert_eq!(Record::decode(&record().encode()), Ok(record()));
        let bare = Record {
            channel: None,
            sockets: Vec::new(),
            fifo: None,
            ferry: None,
            ..record()
        };
        assert_eq!(Record::decode(&bare.encode()), Ok(bare));
    }

    #[test]
    fn what_a_later_version_adds_is_skipped() {
        let text = record().encode() + "weather fine\n";
        assert_eq!(Record::decode(&text), Ok(record()));
    }

    #[test]
    fn a_record_that_is_cut_anywhere_is_an_error_or_shorter_but_never_a_panic() {
        let text = record().encode();
        for end in 0..text.len() {
            let _ = Record::decode(&text[..end]);
        }
        assert!(Record::decode("").is_err());
        assert!(Record::decode("uwrs-handover 2\n").is_err());
        assert!(Record::decode("uwrs-handover 1\nlifeline 5\n").is_err());
        assert!(Record::decode("uwrs-handover 1\n").is_err());
    }
}
