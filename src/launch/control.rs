//! The socket by which a master is asked something that it answers: `--reload PIDFILE --wait`. Both ends of the talk are
//! here; what a reload is and how it goes is the master's business.
//!
//! The socket is in Linux's abstract namespace, named after the master's pid, so that no folder need be writable and
//! nothing is left behind. Whoever takes that name cannot pose as the master: the client asks the kernel whose process
//! listens. The master answers root and its own user.
//!
//! The talk is two lines: `reload`, and in time `serves GENERATION` or `failed REASON`.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::time::Duration;

use nix::sys::socket::{getsockopt, sockopt};

use crate::sys::{self, Pid};

/// What a client says.
const RELOAD: &str = "reload";
/// Clients that are served at a time.
const MOST_CLIENTS: usize = 16;
/// Bytes of a line, either way.
const LONGEST_LINE: usize = 4096;

/// Who waits for an answer.
pub(crate) type ClientId = u32;

/// A master's end.
#[derive(Debug)]
pub(crate) struct Control {
    listener: UnixListener,
    clients: Vec<Client>,
    last_id: ClientId,
}

#[derive(Debug)]
struct Client {
    id: ClientId,
    stream: UnixStream,
    said: Vec<u8>,
    has_asked: bool,
}

impl Control {
    /// Listens in the name of this process.
    pub(crate) fn open() -> io::Result<Self> {
        let listener = UnixListener::bind_addr(&address_of(std::process::id() as Pid)?)?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            clients: Vec::new(),
            last_id: 0,
        })
    }

    /// What becomes readable when there is something to [`Control::hear`]; all of it is this process's alone.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let clients = self.clients.iter().map(|client| client.stream.as_fd());
        std::iter::once(self.listener.as_fd()).chain(clients)
    }

    /// Takes note of who came, who left, and gives those who now ask for a reload.
    pub(crate) fn hear(&mut self) -> Vec<ClientId> {
        // The rest of a crowd is heard next time: the master has other things to do.
        for _ in 0..MOST_CLIENTS {
            match self.listener.accept() {
                Ok((stream, _)) => self.welcome(stream),
                Err(_) => break,
            }
        }
        let mut asking = Vec::new();
        self.clients.retain_mut(|client| client.hear(&mut asking));
        asking
    }

    /// Says how the reload went: which generation serves, or why it is not a new one.
    pub(crate) fn answer(&mut self, id: ClientId, outcome: &Result<u64, String>) {
        let Some(index) = self.clients.iter().position(|client| client.id == id) else {
            return;
        };
        let client = self.clients.swap_remove(index);
        client.tell(&match outcome {
            Ok(generation) => format!("serves {generation}"),
            Err(reason) => format!("failed {}", reason.replace(['\n', '\r'], " ")),
        });
    }

    fn welcome(&mut self, stream: UnixStream) {
        self.last_id = self.last_id.wrapping_add(1);
        let client = Client {
            id: self.last_id,
            stream,
            said: Vec::new(),
            has_asked: false,
        };
        let peer = getsockopt(&client.stream, sockopt::PeerCredentials);
        let is_trusted = peer.is_ok_and(|peer| peer.uid() == 0 || peer.uid() == sys::effective_user());
        if !is_trusted {
            client.tell("failed only root and the server's own user may ask for a reload");
        } else if self.clients.len() >= MOST_CLIENTS || client.stream.set_nonblocking(true).is_err() {
            client.tell("failed too many wait for a reload already");
        } else {
            self.clients.push(client);
        }
    }
}

impl Client {
    /// Is it still there? If it has asked for a reload, that is noted.
    fn hear(&mut self, asking: &mut Vec<ClientId>) -> bool {
        let mut bytes = [0; 64];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => return false,
                Ok(count) => self.said.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => return false,
            }
            if self.said.len() > LONGEST_LINE {
                return false;
            }
        }
        let line = self.said.strip_suffix(b"\n");
        match line {
            Some(line) if line == RELOAD.as_bytes() && !self.has_asked => {
                self.has_asked = true;
                asking.push(self.id);
                true
            }
            Some(_) if !self.has_asked => {
                self.tell("failed this server does not understand the question: it is of another version");
                false
            }
            _ => true,
        }
    }

    /// There is room for a line in a socket that nothing was written to; a client that is gone wants to know nothing.
    fn tell(&self, line: &str) {
        let _ = (&self.stream).write_all(format!("{line}\n").as_bytes());
    }
}

/// Asks the master of that pid to reload, and waits for the outcome for at most `limit`: the generation that serves.
pub(super) fn reload(pid: Pid, limit: Duration) -> Result<u64, String> {
    let silent = |error: io::Error| {
        format!(
            "process {pid} cannot say how a reload goes ({error}): it has no master, is of another version, or has a network \
             of its own, as in a container; without --wait it can be asked to reload all the same"
        )
    };
    let stream = address_of(pid)
        .and_then(|address| UnixStream::connect_addr(&address))
        .map_err(silent)?;
    let peer = getsockopt(&stream, sockopt::PeerCredentials).map_err(|error| error.to_string())?;
    if peer.pid() != pid {
        return Err(format!(
            "process {} answers in the name of process {pid}: it is not asked",
            peer.pid()
        ));
    }
    let asked = stream
        .set_read_timeout(Some(limit))
        .and_then(|()| (&stream).write_all(format!("{RELOAD}\n").as_bytes()));
    asked.map_err(silent)?;
    let mut line = String::new();
    let read = BufReader::new(stream.take(LONGEST_LINE as u64)).read_line(&mut line);
    match (read, line.trim_end().split_once(' ')) {
        (Ok(_), Some(("serves", generation))) => generation
            .parse()
            .map_err(|_| format!("not a generation: {generation:?}")),
        (Ok(_), Some(("failed", reason))) => Err(format!("not reloaded: {reason}")),
        (Ok(0), _) => Err("the server went away before it could say how the reload went".to_owned()),
        (Ok(_), _) => Err(format!("not an answer: {line:?}")),
        (Err(error), _) if error.kind() == io::ErrorKind::WouldBlock => Err(format!(
            "nothing heard for {} s: the reload may still be under way, see the server's log",
            limit.as_secs()
        )),
        (Err(error), _) => Err(format!("nothing more is heard of the reload: {error}")),
    }
}

/// Processes of different pid namespaces may have one number, and share the names of sockets.
fn address_of(pid: Pid) -> io::Result<SocketAddr> {
    let namespace = std::fs::metadata("/proc/self/ns/pid").map_or(0, |metadata| metadata.ino());
    SocketAddr::from_abstract_name(format!("uwrs/{namespace}/{pid}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A master that answers the first who asks.
    fn answer_once(mut control: Control, outcome: Result<u64, String>) -> Control {
        loop {
            let descriptors: Vec<_> = control.descriptors().collect();
            sys::wait_readable(&descriptors, Some(Duration::from_secs(10))).unwrap();
            if let Some(&id) = control.hear().first() {
                control.answer(id, &outcome);
                return control;
            }
        }
    }

    // One test: the name is the process's.
    #[test]
    fn a_question_is_answered_and_a_client_that_leaves_or_babbles_is_forgotten() {
        let pid = std::process::id() as Pid;
        let error = reload(pid, Duration::from_secs(10)).unwrap_err();
        assert!(error.contains("without --wait"), "{error}");

        let mut control = Control::open().unwrap();
        assert!(Control::open().is_err());
        for outcome in [Ok(7), Err("ImportError:\nno module".to_owned())] {
            let expected = outcome
                .clone()
                .map_err(|_| "not reloaded: ImportError: no module".to_owned());
            let master = std::thread::spawn(|| answer_once(control, outcome));
            assert_eq!(reload(pid, Duration::from_secs(10)), expected);
            control = master.join().unwrap();
        }

        let error = reload(pid, Duration::from_millis(20)).unwrap_err();
        assert!(error.starts_with("nothing heard for 0 s"), "{error}");
        // It asked, and is gone.
        assert!(control.hear().is_empty());
        assert_eq!(control.clients.len(), 0);

        let address = address_of(pid).unwrap();
        let mut babbler = UnixStream::connect_addr(&address).unwrap();
        babbler.write_all(b"rel").unwrap();
        assert!(control.hear().is_empty());
        babbler.write_all(b"ax\n").unwrap();
        assert!(control.hear().is_empty());
        let mut answer = String::new();
        babbler.read_to_string(&mut answer).unwrap();
        assert!(
            answer.starts_with("failed this server does not understand"),
            "{answer}"
        );

        let crowd: Vec<_> = (0..MOST_CLIENTS)
            .map(|_| UnixStream::connect_addr(&address).unwrap())
            .collect();
        control.hear();
        assert_eq!(control.clients.len(), MOST_CLIENTS);
        let asking = std::thread::spawn(move || reload(pid, Duration::from_secs(10)));
        while control.hear().is_empty() && !asking.is_finished() {
            std::thread::yield_now();
        }
        let error = asking.join().unwrap().unwrap_err();
        assert!(error.contains("too many wait"), "{error}");
        drop(crowd);
    }
}
