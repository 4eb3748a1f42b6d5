//! Making a listening socket. Errors begin with where it was asked for and end with the way out.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;

use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use super::occupant::{self, Occupant};
use super::privileges::{find_group, find_user};
use crate::config::{ListenAddress, ListenerConfig, Owner, SocketOptions};
use crate::sys;

/// Seconds that the kernel keeps a TCP connection to itself until the client has sent something.
const DEFER_ACCEPT: u32 = 1;

/// Makes the socket that is asked for: listening, non-blocking, close-on-exec.
pub(super) fn bind(asked: &ListenerConfig, options: &SocketOptions) -> Result<OwnedFd, String> {
    let at = |reason: String| format!("{}: {}: {reason}", asked.origin, shown(&asked.address));
    let socket = match &asked.address {
        ListenAddress::Inet { host, port } => bind_inet(host, *port, options),
        ListenAddress::Unix(path) => bind_unix(path, options),
        ListenAddress::Abstract(name) => bind_abstract(name),
        ListenAddress::Inherited(number) => return take_inherited(*number).map_err(at),
    };
    let socket = socket.map_err(at)?;
    socket
        .listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))
        .map_err(|error| at(format!("cannot listen: {}", sys::reason_of(&error))))?;
    Ok(socket.into())
}

/// Makes an inherited socket fit: it must listen, and must not block.
pub(super) fn prepare(fd: &OwnedFd) -> io::Result<()> {
    let socket = SockRef::from(fd);
    if !socket.is_listener()? || socket.r#type()? != Type::STREAM {
        return Err(io::Error::new(
            ErrorKind::InvalidInput,
            "not a listening stream socket",
        ));
    }
    socket.set_nonblocking(true)?;
    if matches!(socket.domain()?, Domain::IPV4 | Domain::IPV6) {
        socket.set_tcp_nodelay(true)?;
    }
    Ok(())
}

fn take_inherited(number: i32) -> Result<OwnedFd, String> {
    let fd = sys::adopt_descriptor(number).map_err(|_| {
        "nothing is open there: whoever starts the server must pass a listening socket".to_owned()
    })?;
    match prepare(&fd) {
        Ok(()) => Ok(fd),
        Err(error) => {
            // It is not ours to close.
            std::mem::forget(fd);
            Err(error.to_string())
        }
    }
}

/// The addresses of a name, IPv4 first: what answers on `localhost` is looked for at 127.0.0.1 by most.
/// Empty: all of IPv4.
pub(super) fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if host.is_empty() || host == "*" {
        return Ok(vec![SocketAddr::from(([0, 0, 0, 0], port))]);
    }
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let mut addresses: Vec<SocketAddr> = (bare, port).to_socket_addrs()?.collect();
    addresses.sort_by_key(SocketAddr::is_ipv6);
    Ok(addresses)
}

fn bind_inet(host: &str, port: u16, options: &SocketOptions) -> Result<Socket, String> {
    let addresses =
        resolve(host, port).map_err(|error| format!("cannot resolve the name {host:?}: {error}"))?;
    let mut last = Err(format!("the name {host:?} has no address"));
    for address in addresses {
        last = bind_address(address, options).map_err(|error| why_not_inet(&error, address));
        if last.is_ok() {
            break;
        }
    }
    last
}

fn bind_address(address: SocketAddr, options: &SocketOptions) -> io::Result<Socket> {
    let socket = new_socket(Domain::for_address(address))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // `[::]` is IPv6 only, as with nginx: whoever wants both says so with two listeners.
        socket.set_only_v6(true)?;
    }
    if options.reuse_port {
        socket.set_reuse_port(true)?;
    }
    if options.free_bind {
        match address {
            SocketAddr::V4(_) => socket.set_freebind_v4(true)?,
            SocketAddr::V6(_) => socket.set_freebind_v6(true)?,
        }
    }
    // Accepted sockets have what their listener has: one call here saves one a connection.
    socket.set_tcp_nodelay(true)?;
    socket.set_keepalive(options.keep_alive)?;
    if let Err(error) = sys::defer_accept(socket.as_fd(), DEFER_ACCEPT) {
        log::debug!("{address}: TCP_DEFER_ACCEPT: {error}");
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

fn why_not_inet(error: &io::Error, address: SocketAddr) -> String {
    let port = address.port();
    match error.kind() {
        ErrorKind::PermissionDenied if port < 1024 => {
            "permission denied: ports below 1024 need root or CAP_NET_BIND_SERVICE".to_owned()
        }
        ErrorKind::AddrInUse => match occupant::of(address) {
            Some(Occupant::Another(who)) => {
                format!("address already in use by {who}: stop it or choose another port")
            }
            Some(Occupant::Ourselves) => {
                "address already in use by another one of this server: drop one of them or choose another port"
                    .to_owned()
            }
            None => "address already in use: stop the process that listens there or choose another port"
                .to_owned(),
        },
        ErrorKind::AddrNotAvailable => {
            format!("no interface of this machine has the address {}", address.ip())
        }
        _ => sys::reason_of(error),
    }
}

fn bind_unix(path: &Path, options: &SocketOptions) -> Result<Socket, String> {
    remove_stale(path)?;
    let address = SockAddr::unix(path).map_err(|error| format!("not a path for a socket: {error}"))?;
    let socket = new_socket(Domain::UNIX).map_err(|error| sys::reason_of(&error))?;
    socket.bind(&address).map_err(|error| sys::why_not_made(&error))?;
    let dressed = dress(path, options);
    if dressed.is_err() {
        // It is seconds old and nobody knows it.
        let _ = fs::remove_file(path);
    }
    dressed.map(|()| socket)
}

/// `chmod-socket` and `chown-socket`.
fn dress(path: &Path, options: &SocketOptions) -> Result<(), String> {
    if let Some(mode) = options.mode {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
            .map_err(|error| format!("chmod-socket = {mode:o}: {}", sys::reason_of(&error)))?;
    }
    let Some(owner) = &options.owner else {
        return Ok(());
    };
    let (user, group) = find_owner(owner)?;
    sys::change_owner(path, Some(user), group).map_err(|error| {
        format!(
            "chown-socket: {}: only root may give files away",
            sys::reason_of(&error)
        )
    })
}

/// The numbers of `chown-socket`'s user and group, who must exist.
pub(super) fn find_owner(owner: &Owner) -> Result<(u32, Option<u32>), String> {
    let at = |error| format!("chown-socket: {error}");
    let user = find_user(&owner.user).map_err(at)?;
    let group = owner.group.as_deref().map(|group| find_group("group", group));
    Ok((user.uid, group.transpose().map_err(at)?))
}

/// Makes room for a unix socket: the file of one that nobody listens on goes; anything else stays.
fn remove_stale(path: &Path) -> Result<(), String> {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !metadata.file_type().is_socket() {
        return Err("the file is there and is not a socket: remove it or choose another name".to_owned());
    }
    match UnixStream::connect(path) {
        Ok(_) => Err("another process listens there: stop it or choose another name".to_owned()),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|error| {
                format!(
                    "a stale socket that cannot be removed: {}",
                    sys::reason_of(&error)
                )
            })
        }
        // A full backlog, a datagram socket, one that we may not use: someone has it.
        Err(error) => Err(format!(
            "another process seems to listen there: {}",
            sys::reason_of(&error)
        )),
    }
}

fn bind_abstract(name: &[u8]) -> Result<Socket, String> {
    use std::os::unix::ffi::OsStrExt;
    let mut path = vec![0];
    path.extend_from_slice(name);
    let address = SockAddr::unix(std::ffi::OsStr::from_bytes(&path));
    let address = address.map_err(|error| format!("not a name for a socket: {error}"))?;
    let socket = new_socket(Domain::UNIX).map_err(|error| sys::reason_of(&error))?;
    match socket.bind(&address) {
        Ok(()) => Ok(socket),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            Err("another process listens there: stop it or choose another name".to_owned())
        }
        Err(error) => Err(sys::reason_of(&error)),
    }
}

fn new_socket(domain: Domain) -> io::Result<Socket> {
    Socket::new(domain, Type::STREAM.cloexec().nonblocking(), None)
}

/// As it was asked for.
fn shown(address: &ListenAddress) -> String {
    match address {
        ListenAddress::Inet { host, port } => format!("{host}:{port}"),
        ListenAddress::Unix(path) => path.display().to_string(),
        ListenAddress::Abstract(name) => format!("@{}", name.escape_ascii()),
        ListenAddress::Inherited(number) => format!("fd://{number}"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;
    use crate::config::ProtocolKind;

    /// A connection accepted from a socket that was made so.
    fn accepted(keep_alive: bool) -> Socket {
        let asked = ListenerConfig {
            address: ListenAddress::Inet {
                host: "127.0.0.1".to_owned(),
                port: 0,
            },
            protocol: ProtocolKind::Http,
            origin: String::new(),
        };
        let options = SocketOptions {
            backlog: 1,
            keep_alive,
            reuse_port: false,
            free_bind: false,
            mode: None,
            owner: None,
            vacuum: false,
        };
        let listener = Socket::from(bind(&asked, &options).unwrap());
        listener.set_nonblocking(false).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let client = TcpStream::connect(address).unwrap();
        // The kernel keeps it to itself until something comes.
        io::Write::write_all(&mut &client, b"x").unwrap();
        listener.accept().unwrap().0
    }

    #[test]
    fn connections_have_what_their_listener_was_given() {
        for keep_alive in [false, true] {
            let socket = accepted(keep_alive);
            assert_eq!(socket.keepalive().unwrap(), keep_alive);
            assert!(socket.tcp_nodelay().unwrap());
        }
    }
}
