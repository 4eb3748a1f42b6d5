//! The process table, read from /proc: who belongs to a server, what they hold.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// One process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) parent: i32,
    /// Its process group.
    pub(crate) group: i32,
    /// One letter: `R`, `S`, `Z`, …
    pub(crate) state: char,
}

/// Every process there is.
pub(crate) fn all() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(find)
        .collect()
}

/// One process, if it is there.
pub(crate) fn find(pid: i32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name is in parentheses and may hold anything, parentheses too.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    Some(Process {
        pid,
        state: fields.next()?.chars().next()?,
        parent: fields.next()?.parse().ok()?,
        group: fields.next()?.parse().ok()?,
    })
}

/// Is it running: there, and no zombie that waits for its parent?
pub(crate) fn is_alive(pid: i32) -> bool {
    find(pid).is_some_and(|process| process.state != 'Z')
}

/// The living processes that `belongs` is true of.
fn living(belongs: impl Fn(&Process) -> bool) -> Vec<Process> {
    let mut found: Vec<Process> = all()
        .into_iter()
        .filter(|process| process.state != 'Z' && belongs(process))
        .collect();
    found.sort_by_key(|process| process.pid);
    found
}

/// The living processes of a process group.
pub(crate) fn group(group: i32) -> Vec<Process> {
    living(|process| process.group == group)
}

/// The living children of a process.
pub(crate) fn children(parent: i32) -> Vec<Process> {
    living(|process| process.parent == parent)
}

/// Sends a signal; that the process may be gone is not an error.
pub(crate) fn signal(pid: i32, signal: Signal) {
    let _ = kill(Pid::from_raw(pid), signal);
}

/// Its resident memory, bytes.
pub(crate) fn resident_bytes(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kilobytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().split(' ').next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// Its memory that is no one else's, bytes.
pub(crate) fn private_bytes(pid: i32) -> u64 {
    let pages = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let private = pages.lines().filter(|line| line.starts_with("Private_"));
    let kilobytes = private.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kilobytes.sum::<u64>() * 1024
}

/// What a process has open: paths, `socket:[…]`, `/tmp/#1234 (deleted)`, ….
pub(crate) fn open_files(pid: i32) -> Vec<String> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return Vec::new();
    };
    let lead = |entry: fs::DirEntry| fs::read_link(entry.path()).ok();
    let paths = entries.flatten().filter_map(lead);
    paths.map(|path| path.to_string_lossy().into_owned()).collect()
}

/// How many sockets a process has open.
pub(crate) fn open_sockets(pid: i32) -> usize {
    let files = open_files(pid);
    files.iter().filter(|path| path.starts_with("socket:")).count()
}

/// The TCP ports that a process listens on, in the order in which it holds the sockets.
pub(crate) fn listening_ports(pid: i32) -> Vec<u16> {
    let mut ports = HashMap::new();
    for table in ["tcp", "tcp6"] {
        let rows = fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        for row in rows.lines().skip(1) {
            let fields: Vec<&str> = row.split_whitespace().collect();
            let (Some(local), Some(&"0A"), Some(inode)) = (fields.get(1), fields.get(3), fields.get(9))
            else {
                continue;
            };
            let port = local
                .rsplit(':')
                .next()
                .and_then(|hex| u16::from_str_radix(hex, 16).ok());
            if let (Some(port), Ok(inode)) = (port, inode.parse::<u64>()) {
                ports.insert(inode, port);
            }
        }
    }
    let mut held: Vec<(u32, u16)> = descriptors(pid)
        .into_iter()
        .filter_map(|(fd, inode)| Some((fd, *ports.get(&inode)?)))
        .collect();
    held.sort_unstable();
    held.into_iter().map(|(_, port)| port).collect()
}

/// Does it wait with epoll?
pub(crate) fn has_event_loop(pid: i32) -> bool {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    let mut targets = entries
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok());
    targets.any(|target| target.as_os_str() == "anon_inode:[eventpoll]")
}

/// Descriptors of a process with the inodes they refer to.
fn descriptors(pid: i32) -> Vec<(u32, u64)> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let fd = entry.file_name().to_str()?.parse().ok()?;
            Some((fd, fs::metadata(entry.path()).ok()?.ino()))
        })
        .collect()
}
