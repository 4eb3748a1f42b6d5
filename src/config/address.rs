//! [`ListenAddress`] from the text of `http` and `socket`.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::resolved::ListenAddress;

/// Linux keeps 108 bytes for the path of a unix socket, the last of them a NUL.
const LONGEST_PATH: usize = 107;

impl ListenAddress {
    /// Reads `host:port`, `:port`, `[::1]:port`, `/path`, `@name` or `fd://N`. A relative path starts at
    /// `directory`. Fails with the reason.
    pub fn parse(text: &str, directory: &Path) -> Result<Self, String> {
        if text.is_empty() {
            return Err("an address is needed, like :8000, 127.0.0.1:8000 or /run/app.sock".to_owned());
        }
        if let Some(fd) = text.strip_prefix("fd://") {
            let fd = fd.parse().ok().filter(|fd| *fd >= 0);
            return fd
                .map(Self::Inherited)
                .ok_or_else(|| format!("not a descriptor's number: \"{text}\""));
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            return Err(format!("say the address without {scheme}://: {rest}"));
        }
        if let Some(path) = text.strip_prefix("unix:") {
            return Err(format!("say the path without unix: {path}"));
        }
        if text.starts_with('=') {
            return Err(format!(
                "\"{text}\" is one of shared-socket, which is not supported yet: name the address itself, as in http = :80"
            ));
        }
        if let Some(name) = text.strip_prefix('@').or_else(|| text.strip_prefix("\\0")) {
            return abstract_name(name);
        }
        if text.starts_with('[') || (text.contains(':') && !text.contains('/')) {
            return inet(text);
        }
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(format!(
                "\"{text}\" is neither host:port nor a path: say :{text} for a port on all addresses"
            ));
        }
        if text.parse::<IpAddr>().is_ok() || text == "localhost" {
            return Err(format!(
                "\"{text}\" has no port: say {text}:8000, or ./{text} for a path"
            ));
        }
        unix(text, directory)
    }

    /// Are these one and the same place? `:8000` and `0.0.0.0:8000` are.
    pub fn collides_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Inet { port: 0, .. }, _) => false,
            (
                Self::Inet { host, port },
                Self::Inet {
                    host: other_host,
                    port: other_port,
                },
            ) => port == other_port && any_ipv4(host) == any_ipv4(other_host),
            _ => self == other,
        }
    }
}

impl fmt::Display for ListenAddress {
    /// As it may be written in a configuration.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet { host, port } if host.contains(':') => write!(formatter, "[{host}]:{port}"),
            Self::Inet { host, port } => write!(formatter, "{host}:{port}"),
            Self::Unix(path) => write!(formatter, "{}", path.display()),
            Self::Abstract(name) => write!(formatter, "@{}", String::from_utf8_lossy(name)),
            Self::Inherited(fd) => write!(formatter, "fd://{fd}"),
        }
    }
}

fn any_ipv4(host: &str) -> &str {
    if host.is_empty() { "0.0.0.0" } else { host }
}

fn inet(text: &str) -> Result<ListenAddress, String> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => rest
            .split_once("]:")
            .ok_or_else(|| format!("not an address like [::]:8000: \"{text}\""))?,
        None => text
            .rsplit_once(':')
            .ok_or_else(|| format!("has no port: \"{text}\""))?,
    };
    let is_bracketed = text.starts_with('[');
    if is_bracketed && host.parse::<std::net::Ipv6Addr>().is_err() {
        return Err(format!("not an IPv6 address: \"{host}\""));
    }
    if !is_bracketed && host.contains(':') {
        return Err(format!("an IPv6 address needs brackets: [{host}]:{port}"));
    }
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if !is_bracketed && host.contains('*') {
        return Err(format!("patterns of addresses are not supported yet: \"{host}\""));
    }
    if !is_bracketed && !host.bytes().all(is_name) {
        return Err(format!("not a host's name or address: \"{host}\""));
    }
    if port.is_empty() {
        return Err(format!("has no port: \"{text}\""));
    }
    // A leading + is no part of a port, whatever Rust says.
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    let number = port.parse().ok().filter(|_| digits);
    let port = number.ok_or_else(|| format!("not a port between 0 and 65535: \"{port}\""))?;
    let host = host.to_owned();
    Ok(ListenAddress::Inet { host, port })
}

fn abstract_name(name: &str) -> Result<ListenAddress, String> {
    if name.is_empty() {
        return Err("an abstract socket needs a name behind the @".to_owned());
    }
    fits(name.len(), name)?;
    Ok(ListenAddress::Abstract(name.as_bytes().to_vec()))
}

fn unix(text: &str, directory: &Path) -> Result<ListenAddress, String> {
    if text.ends_with('/') {
        return Err(format!("not the path of a socket: \"{text}\""));
    }
    // What `.` adds to a path would hide that two are the same.
    let path: PathBuf = directory.join(text).components().collect();
    fits(path.as_os_str().len(), &path.to_string_lossy())?;
    Ok(ListenAddress::Unix(path))
}

fn fits(length: usize, name: &str) -> Result<(), String> {
    if length > LONGEST_PATH {
        return Err(format!(
            "too long for a unix socket, {length} bytes where {LONGEST_PATH} fit: \"{name}\""
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inet(host: &str, port: u16) -> Option<ListenAddress> {
        let host = host.to_owned();
        Some(ListenAddress::Inet { host, port })
    }

    #[test]
    fn every_form_of_address_is_read() {
        let unix = |path: &str| Some(ListenAddress::Unix(PathBuf::from(path)));
        for (text, expected) in [
            (":8000", inet("", 8000)),
            ("127.0.0.1:8000", inet("127.0.0.1", 8000)),
            ("localhost:8000", inet("localhost", 8000)),
            ("[::]:8000", inet("::", 8000)),
            ("[::1]:0", inet("::1", 0)),
            ("/run/app.sock", unix("/run/app.sock")),
            ("app.sock", unix("/srv/app.sock")),
            ("./app.sock", unix("/srv/app.sock")),
            ("run/a:b.sock", unix("/srv/run/a:b.sock")),
            ("@app", Some(ListenAddress::Abstract(b"app".to_vec()))),
            ("\\0app", Some(ListenAddress::Abstract(b"app".to_vec()))),
            ("fd://3", Some(ListenAddress::Inherited(3))),
            ("", None),
            ("8000", None),
            (":", None),
            (":http", None),
            (":65536", None),
            (":+80", None),
            ("::1:8000", None),
            ("[::1]", None),
            ("[localhost]:80", None),
            ("http://0.0.0.0:8000", None),
            ("unix:/run/app.sock", None),
            ("fd://x", None),
            ("fd://-1", None),
            ("=0", None),
            ("127.0.0.1", None),
            ("::1", None),
            ("localhost", None),
            ("./localhost", unix("/srv/localhost")),
            ("@", None),
            ("192.168.*:80", None),
            ("a b:80", None),
            ("/run/", None),
        ] {
            let read = ListenAddress::parse(text, Path::new("/srv"));
            assert_eq!(read.clone().ok(), expected, "{text}: {read:?}");
        }
    }

    #[test]
    fn a_path_that_the_kernel_cannot_hold_is_refused() {
        let path = format!("/{}", "x".repeat(107));
        assert!(ListenAddress::parse(&path, Path::new("/")).is_err());
        assert!(ListenAddress::parse(&path[..107], Path::new("/")).is_ok());
    }
}
