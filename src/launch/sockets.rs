//! [`Sockets`]: the listening sockets of a server. Made once, kept over reloads and re-executions, closed
//! when no generation serves them any more; here it is decided which of those that are there serve what is
//! asked for. How one is made is [`bind`](super::bind)'s business.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use socket2::SockRef;

use super::bind::{self, resolve};
use super::handover::SocketRecord;
use super::leftover::{self, Leftover};
use crate::config::{Config, ListenAddress, ListenerConfig, ProtocolKind};
use crate::sys::{self, Identity};
use crate::worker::BoundListener;

/// A socket that a master before us made.
#[derive(Debug)]
pub(crate) struct Inherited {
    pub(super) fd: OwnedFd,
    pub(super) asked: ListenAddress,
    pub(super) protocol: ProtocolKind,
    /// The file that was made for it.
    pub(super) file: Option<FileId>,
}

/// Which file a name stood for: another one may have taken the name since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileId {
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

impl FileId {
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::symlink_metadata(path).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }
}

/// A unix socket's file that this server made.
#[derive(Clone, Debug)]
struct MadeFile {
    asked: PathBuf,
    /// The same, absolute: a single process changes its directory.
    path: PathBuf,
    id: FileId,
}

impl MadeFile {
    fn new(asked: &Path, id: FileId) -> Self {
        let path = std::path::absolute(asked).unwrap_or_else(|_| asked.to_owned());
        Self {
            asked: asked.to_owned(),
            path,
            id,
        }
    }
}

/// All the server knows of its sockets.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    /// From systemd, not asked for yet.
    passed: Vec<OwnedFd>,
    made: Vec<MadeFile>,
}

impl Sockets {
    /// With those that systemd passed.
    pub(crate) fn new(passed: Vec<OwnedFd>) -> Self {
        Self {
            passed,
            made: Vec::new(),
        }
    }

    /// Takes over what a master before us served.
    pub(crate) fn adopt(&mut self, inherited: Vec<Inherited>) -> Vec<Arc<BoundListener>> {
        let adopt = |inherited: Inherited| {
            let Inherited {
                fd,
                asked,
                protocol,
                file,
            } = inherited;
            if let (Some(id), Some(path)) = (file, path_of(&asked)) {
                self.made.push(MadeFile::new(path, id));
            }
            let origin = "the former master".to_owned();
            let config = ListenerConfig {
                address: asked,
                protocol,
                origin,
            };
            Arc::new(describe(fd, &config))
        };
        inherited.into_iter().map(adopt).collect()
    }

    /// The sockets that `config` asks for: those of `before` where they are the same, inherited ones, new
    /// ones. Where one can't be had, none is, and nothing has changed; gives one error each.
    pub(crate) fn open(
        &mut self,
        config: &Config,
        before: &[Arc<BoundListener>],
    ) -> Result<Vec<Arc<BoundListener>>, Vec<String>> {
        let mut kept: Vec<&Arc<BoundListener>> = before.iter().collect();
        let mut made = Vec::new();
        let mut errors = Vec::new();
        let mut listeners = Vec::new();
        for asked in &config.listeners {
            let opened = match take_matching(&mut kept, asked) {
                Some(listener) => keep(listener, asked),
                None => self.take_passed(asked).unwrap_or_else(|| {
                    let socket = bind::bind(asked, &config.sockets)?;
                    made.extend(file_of(&asked.address));
                    Ok(Arc::new(describe(socket, asked)))
                }),
            };
            match opened {
                Ok(listener) => listeners.push(listener),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() {
            self.made.extend(made);
            return Ok(listeners);
        }
        let left: Vec<Leftover> = made.iter().filter_map(remove_file).collect();
        leftover::tell("sockets of no use", &left);
        Err(errors)
    }

    /// Gives the files of unix sockets that were made to whom the server becomes: who may use them would
    /// otherwise be decided by root's rights, not by those of the server, as it is where it makes them
    /// itself.
    pub(crate) fn give_to(&self, identity: &Identity) -> Result<(), String> {
        let uid = identity.user.as_ref().map(|user| user.uid);
        self.made.iter().try_for_each(|file| {
            let given = sys::change_owner(&file.path, uid, identity.gid);
            given.map_err(|error| format!("{}: cannot be given to uid and gid: {error}", file.path.display()))
        })
    }

    /// Closes the sockets from systemd that nothing asked for; gives a line about each.
    pub(crate) fn close_unused(&mut self) -> Vec<String> {
        let line = |fd| {
            format!(
                "a socket from systemd is not used, no listener has its address: {}",
                name_of(&fd)
            )
        };
        self.passed.drain(..).map(line).collect()
    }

    /// Forgets, and with `vacuum` removes, the files of sockets which are not among those in use. Gives what stays.
    pub(crate) fn release_unused<'a>(
        &mut self,
        in_use: impl Iterator<Item = &'a Arc<BoundListener>>,
        vacuum: bool,
    ) -> Vec<Leftover> {
        let mut left = Vec::new();
        let paths: Vec<&Path> = in_use
            .filter_map(|listener| path_of(&listener.config.address))
            .collect();
        self.made.retain(|file| {
            let is_used = paths.contains(&file.asked.as_path());
            if !is_used && vacuum {
                left.extend(remove_file(file));
            }
            is_used
        });
        left
    }

    /// What the program that this one becomes must know of its sockets.
    pub(crate) fn records(&self, listeners: &[Arc<BoundListener>]) -> Vec<SocketRecord> {
        let record = |listener: &Arc<BoundListener>| {
            let asked = listener.config.address.clone();
            let path = path_of(&asked);
            let file = self
                .made
                .iter()
                .find(|file| Some(file.asked.as_path()) == path)
                .map(|file| file.id);
            SocketRecord {
                fd: listener.fd.as_raw_fd(),
                asked,
                protocol: listener.config.protocol,
                file,
            }
        };
        listeners.iter().map(record).collect()
    }

    fn take_passed(&mut self, asked: &ListenerConfig) -> Option<Result<Arc<BoundListener>, String>> {
        let index = self
            .passed
            .iter()
            .position(|fd| is_bound_to(fd, &asked.address))?;
        let fd = self.passed.swap_remove(index);
        let prepared = bind::prepare(&fd).map_err(|error| {
            format!(
                "{}: {}: the socket from systemd: {error}",
                asked.origin,
                name_of(&fd)
            )
        });
        Some(prepared.map(|()| Arc::new(describe(fd, asked))))
    }
}

/// A socket of ours, for the same address; each once.
fn take_matching<'a>(
    kept: &mut Vec<&'a Arc<BoundListener>>,
    asked: &ListenerConfig,
) -> Option<&'a Arc<BoundListener>> {
    let index = kept
        .iter()
        .position(|listener| listener.config.address == asked.address)?;
    Some(kept.swap_remove(index))
}

/// The same socket, whatever is spoken there from now on.
fn keep(listener: &Arc<BoundListener>, asked: &ListenerConfig) -> Result<Arc<BoundListener>, String> {
    if listener.config == *asked {
        return Ok(Arc::clone(listener));
    }
    let fd = listener
        .fd
        .try_clone()
        .map_err(|error| format!("{}: {}: {error}", asked.origin, listener.address))?;
    let port = listener.port;
    Ok(Arc::new(BoundListener {
        fd,
        config: asked.clone(),
        address: listener.address.clone(),
        port,
    }))
}

/// Does a socket that was made elsewhere listen where it is asked to?
fn is_bound_to(fd: &OwnedFd, address: &ListenAddress) -> bool {
    let Ok(bound) = SockRef::from(fd).local_addr() else {
        return false;
    };
    match address {
        ListenAddress::Inet { host, port } => {
            let bound = bound.as_socket();
            resolve(host, *port)
                .is_ok_and(|addresses| addresses.into_iter().any(|address| Some(address) == bound))
        }
        ListenAddress::Unix(path) => bound.as_pathname() == Some(path.as_path()),
        ListenAddress::Abstract(name) => bound.as_abstract_namespace() == Some(name.as_slice()),
        ListenAddress::Inherited(number) => fd.as_raw_fd() == *number,
    }
}

fn describe(fd: OwnedFd, asked: &ListenerConfig) -> BoundListener {
    let bound = SockRef::from(&fd).local_addr().ok();
    let port = bound
        .and_then(|bound| bound.as_socket())
        .map(|address| address.port());
    let address = name_of(&fd);
    BoundListener {
        fd,
        config: asked.clone(),
        address,
        port,
    }
}

/// Where a socket is bound, for people: `127.0.0.1:8000`, `/run/app.sock`, `@name`.
fn name_of(fd: impl AsFd) -> String {
    let Ok(bound) = SockRef::from(&fd).local_addr() else {
        return "nowhere".to_owned();
    };
    if let Some(address) = bound.as_socket() {
        return address.to_string();
    }
    if let Some(name) = bound.as_abstract_namespace() {
        return format!("@{}", name.escape_ascii());
    }
    bound
        .as_pathname()
        .map_or_else(|| "a unix socket".to_owned(), |path| path.display().to_string())
}

fn path_of(address: &ListenAddress) -> Option<&Path> {
    match address {
        ListenAddress::Unix(path) => Some(path),
        _ => None,
    }
}

fn file_of(address: &ListenAddress) -> Option<MadeFile> {
    let path = path_of(address)?;
    Some(MadeFile::new(path, FileId::of(path)?))
}

/// Removes a socket's file, unless the name stands for another one by now. `Some`: it stays.
fn remove_file(file: &MadeFile) -> Option<Leftover> {
    let is_ours = FileId::of(&file.path) == Some(file.id);
    is_ours.then(|| leftover::remove(&file.path)).flatten()
}
