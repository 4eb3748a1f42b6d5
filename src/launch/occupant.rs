//! Who listens at an address that is taken, as far as `/proc` tells this user.

use std::fs;
use std::net::{IpAddr, SocketAddr};

use crate::sys::{self, Pid};

/// State of a listening socket in `/proc/net/tcp`.
const LISTENING: &str = "0A";

/// Who it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Occupant {
    /// Another socket of this process.
    Ourselves,
    /// `nginx (pid 812)`.
    Another(String),
}

/// `None` where it can't be known.
pub(super) fn of(address: SocketAddr) -> Option<Occupant> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
        .into_iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .find_map(|table| listening_inode(&table, address))?;
    let pid = owner_of_socket(&inode)?;
    if u32::try_from(pid) == Ok(std::process::id()) {
        return Some(Occupant::Ourselves);
    }
    let name = sys::process_name(pid)?;
    Some(Occupant::Another(format!("{name} (pid {pid})")))
}

/// The inode of the socket that listens there, or on all addresses.
fn listening_inode(table: &str, address: SocketAddr) -> Option<String> {
    let is_meant = |local: &str| {
        let (ip, port) = local.split_once(':')?;
        let is_port = u16::from_str_radix(port, 16) == Ok(address.port());
        let is_ip = ip == hex_of(address.ip())
            || ip.bytes().all(|digit| digit == b'0')
            || address.ip().is_unspecified();
        (is_port && is_ip).then_some(())
    };
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        is_meant(local).filter(|()| *state == LISTENING)?;
        Some((*inode).to_owned())
    })
}

/// An address as the kernel prints it there: words of four bytes, each in this machine's order.
fn hex_of(ip: IpAddr) -> String {
    let bytes = match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let (words, _) = bytes.as_chunks::<4>();
    words
        .iter()
        .map(|word| format!("{:08X}", u32::from_ne_bytes(*word)))
        .collect()
}

/// The first process that has a socket open.
fn owner_of_socket(inode: &str) -> Option<Pid> {
    let wanted = format!("socket:[{inode}]");
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid: Pid = entry.file_name().to_str()?.parse().ok()?;
        let descriptors = fs::read_dir(entry.path().join("fd")).ok()?;
        let leads_there = |target: std::path::PathBuf| target.as_os_str() == wanted.as_str();
        descriptors
            .flatten()
            .any(|descriptor| fs::read_link(descriptor.path()).is_ok_and(leads_there))
            .then_some(pid)
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn this_process_is_found_by_what_it_listens_on() {
        for address in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else {
                // A machine without IPv6.
                continue;
            };
            let found = of(listener.local_addr().unwrap());
            assert_eq!(found, Some(Occupant::Ourselves), "{address}");
        }
    }

    #[test]
    fn whoever_listens_on_all_addresses_is_in_the_way_of_one() {
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(of(SocketAddr::from(([127, 0, 0, 1], port))).is_some());
    }

    #[test]
    fn a_table_that_makes_no_sense_names_nobody() {
        let address = SocketAddr::from(([127, 0, 0, 1], 80));
        for table in [
            "",
            "heading\n",
            "heading\nx y z\n",
            "heading\n0: nonsense 0 0A 0 0 0 0 0 77\n",
        ] {
            assert_eq!(listening_inode(table, address), None);
        }
    }
}
