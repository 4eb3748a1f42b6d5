//! A client that speaks in bytes: what is sent is exactly what the test wrote, and an answer is taken apart with nothing
//! forgiven.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

use super::wait::PATIENCE;

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) version: String,
    pub(crate) status: u16,
    pub(crate) reason: String,
    /// Names as sent.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Fields behind a chunked body, names as sent.
    pub(crate) trailers: Vec<(String, String)>,
}

impl Response {
    /// The value of a header which must not be there twice.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers(name);
        let first = values.next();
        assert!(
            values.next().is_none(),
            "{name} is there twice: {:?}",
            self.headers
        );
        first
    }

    /// The values of a header.
    pub(crate) fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        let name = name.to_owned();
        self.headers
            .iter()
            .filter(move |(have, _)| have.eq_ignore_ascii_case(&name))
            .map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// Does it end its connection?
    pub(crate) fn says_close(&self) -> bool {
        self.header("Connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// A stream of either kind.
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Read for &Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => (&*stream).read(buffer),
            Stream::Unix(stream) => (&*stream).read(buffer),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }
}

/// A connection to a server.
pub(crate) struct Connection(BufReader<Stream>);

impl Connection {
    /// To a TCP port of this machine.
    pub(crate) fn tcp(port: u16) -> Self {
        Self::try_tcp(([127, 0, 0, 1], port).into()).unwrap()
    }

    /// To an address.
    pub(crate) fn try_tcp(address: SocketAddr) -> io::Result<Self> {
        Self::of_tcp(TcpStream::connect_timeout(&address, PATIENCE)?)
    }

    fn of_tcp(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self(BufReader::new(Stream::Tcp(stream))))
    }

    /// To a TCP port of this machine, by a client that has room for few bytes that it has not read.
    pub(crate) fn narrow(port: u16) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        socket.connect_timeout(&address.into(), PATIENCE).unwrap();
        Self::of_tcp(socket.into()).unwrap()
    }

    /// Has room for more from now on.
    pub(crate) fn widen(&self) {
        if let Stream::Tcp(stream) = self.0.get_ref() {
            SockRef::from(stream).set_recv_buffer_size(1 << 20).unwrap();
        }
    }

    /// To a unix socket.
    pub(crate) fn unix(path: &Path) -> Self {
        Self::over(UnixStream::connect(path).unwrap())
    }

    /// To a socket of Linux's abstract namespace.
    pub(crate) fn abstract_name(name: &str) -> Self {
        let address = std::os::unix::net::SocketAddr::from_abstract_name(name).unwrap();
        Self::over(UnixStream::connect_addr(&address).unwrap())
    }

    fn over(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self(BufReader::new(Stream::Unix(stream)))
    }

    /// Sends bytes.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).unwrap();
    }

    /// Sends bytes; the server may have closed.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        match self.0.get_mut() {
            Stream::Tcp(stream) => stream.write_all(bytes.as_ref()),
            Stream::Unix(stream) => stream.write_all(bytes.as_ref()),
        }
    }

    /// Says that nothing more will be sent. A server that has reset the connection does not hear it.
    pub(crate) fn half_close(&mut self) {
        let said = match self.0.get_ref() {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
        };
        match said {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => {}
            other => other.unwrap(),
        }
    }

    /// GETs, and leaves the connection open.
    pub(crate) fn get(&mut self, target: &str) -> Response {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: example.org\r\n\r\n"));
        self.response()
    }

    /// POSTs, and leaves the connection open.
    pub(crate) fn post(&mut self, target: &str, body: impl AsRef<[u8]>) -> Response {
        let body = body.as_ref();
        let length = body.len();
        self.send(format!(
            "POST {target} HTTP/1.1\r\nHost: example.org\r\nContent-Length: {length}\r\n\r\n"
        ));
        self.send(body);
        self.response()
    }

    /// The next answer.
    pub(crate) fn response(&mut self) -> Response {
        self.try_response().unwrap()
    }

    /// The next answer, if there is one that is whole.
    pub(crate) fn try_response(&mut self) -> io::Result<Response> {
        let mut response = self.head()?;
        if matches!(response.status, 100..=199 | 204 | 304) {
            return Ok(response);
        }
        if response.header("Transfer-Encoding").is_some() {
            while let Some(chunk) = self.chunk_or(&mut response.trailers)? {
                response.body.extend_from_slice(&chunk);
            }
        } else if let Some(length) = response.header("Content-Length") {
            response.body = vec![0; length.parse().map_err(|_| broken("Content-Length"))?];
            self.0.read_exact(&mut response.body)?;
        } else {
            self.0.read_to_end(&mut response.body)?;
        }
        Ok(response)
    }

    /// The head of the next answer; the body is left.
    pub(crate) fn head(&mut self) -> io::Result<Response> {
        let status_line = self.line()?;
        let mut parts = status_line.splitn(3, ' ');
        let version = parts.next().unwrap_or_default().to_owned();
        if !version.starts_with("HTTP/") {
            return Err(broken("status line"));
        }
        let status = parts.next().and_then(|status| status.parse().ok());
        let mut response = Response {
            version,
            status: status.ok_or_else(|| broken("status line"))?,
            reason: parts.next().unwrap_or_default().to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            trailers: Vec::new(),
        };
        self.fields(&mut response.headers)?;
        Ok(response)
    }

    /// Field lines, up to the empty line that ends them.
    fn fields(&mut self, fields: &mut Vec<(String, String)>) -> io::Result<()> {
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(());
            }
            let (name, value) = line.split_once(':').ok_or_else(|| broken("header line"))?;
            fields.push((name.to_owned(), value.trim().to_owned()));
        }
    }

    /// The next chunk of a chunked body; `None`: that was all, and no field follows.
    pub(crate) fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut trailers = Vec::new();
        let chunk = self.chunk_or(&mut trailers)?;
        match trailers.is_empty() {
            true => Ok(chunk),
            false => Err(broken("end of chunks")),
        }
    }

    /// The next chunk of a chunked body; `None`: that was all, but for the fields that follow.
    fn chunk_or(&mut self, trailers: &mut Vec<(String, String)>) -> io::Result<Option<Vec<u8>>> {
        let size = usize::from_str_radix(&self.line()?, 16).map_err(|_| broken("chunk size"))?;
        if size == 0 {
            self.fields(trailers)?;
            return Ok(None);
        }
        let mut chunk = vec![0; size];
        self.0.read_exact(&mut chunk)?;
        match self.line()?.is_empty() {
            true => Ok(Some(chunk)),
            false => Err(broken("end of chunk")),
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.0.read_until(b'\n', &mut line)?;
        let Some(text) = line.strip_suffix(b"\r\n") else {
            return Err(match line.is_empty() {
                true => io::ErrorKind::UnexpectedEof.into(),
                false => broken("line end"),
            });
        };
        // Values are latin-1 on the wire (PEP 3333).
        Ok(text.iter().map(|&byte| char::from(byte)).collect())
    }

    /// As many bytes as there is room for.
    pub(crate) fn read_exact(&mut self, bytes: &mut [u8]) {
        self.try_read_exact(bytes).unwrap();
    }

    /// As many bytes as there is room for, if so many come.
    pub(crate) fn try_read_exact(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.0.read_exact(bytes)
    }

    /// What comes before the connection is cut.
    pub(crate) fn rest_until_cut(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut piece = [0; 4096];
        while let Ok(count @ 1..) = self.0.read(&mut piece) {
            bytes.extend_from_slice(&piece[..count]);
        }
        bytes
    }

    /// Breaks the connection off, so that the server sees a reset.
    pub(crate) fn reset(self) {
        if let Stream::Tcp(stream) = self.0.get_ref() {
            SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
        }
    }

    /// Waits no longer than that for the server to take what is sent.
    pub(crate) fn set_write_patience(&self, patience: Duration) {
        match self.0.get_ref() {
            Stream::Tcp(stream) => stream.set_write_timeout(Some(patience)).unwrap(),
            Stream::Unix(stream) => stream.set_write_timeout(Some(patience)).unwrap(),
        }
    }

    /// Has the server sent something, or closed, within the patience that was set?
    pub(crate) fn has_more(&mut self) -> bool {
        match self.0.fill_buf() {
            Ok(_) => true,
            Err(error) => !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
        }
    }

    /// Waits no longer than that for each part of an answer.
    pub(crate) fn set_patience(&self, patience: Duration) {
        match self.0.get_ref() {
            Stream::Tcp(stream) => stream.set_read_timeout(Some(patience)).unwrap(),
            Stream::Unix(stream) => stream.set_read_timeout(Some(patience)).unwrap(),
        }
    }

    /// All there is until the server closes.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        self.rest_until_end().unwrap()
    }

    /// All there is until the server closes; an error where it resets the connection.
    pub(crate) fn rest_until_end(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.0.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Asserts that the server closes, having sent nothing more. A reset is a close as well where the server did not
    /// want what it was sent.
    pub(crate) fn assert_closed(&mut self) {
        let mut bytes = Vec::new();
        if let Err(error) = self.0.read_to_end(&mut bytes) {
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
        }
        assert_eq!(String::from_utf8_lossy(&bytes), "");
    }
}

pub(super) fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("broken {what} in the answer"))
}
