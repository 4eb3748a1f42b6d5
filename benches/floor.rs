//! The floor that benchmarks measure against: the least a server on mio can do. It reads, and writes a constant of the
//! size of the real answer, for every read; it neither parses nor calls anything, and counts on clients that send one
//! request at a time.
//!
//! `floor [--close] PORT`: with `--close` it closes after every answer.
//! `floor --uwsgi PATH`: behind a front, by the uwsgi protocol on a unix socket, one request a connection.

use std::fs::{self, Permissions};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use mio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

/// What `benches/apps.py`'s `hello` answers through uwrs.
const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\nServer: uwrs\r\n\
    Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\nHello, World!";
const ANSWER_AND_CLOSE: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\nServer: uwrs\r\n\
    Date: Thu, 01 Jan 1970 00:00:00 GMT\r\nConnection: close\r\n\r\nHello, World!";

/// The same by the uwsgi protocol: connection and framing are the front's.
const ANSWER_TO_UWSGI: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!";

const LISTENER: Token = Token(usize::MAX);

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (close, port) = match words.as_slice() {
        [flag, path] if flag == "--uwsgi" => return serve_uwsgi(Path::new(path)),
        [port] => (false, port),
        [flag, port] if flag == "--close" => (true, port),
        _ => {
            return Err(io::Error::other(
                "usage: floor [--close] PORT | floor --uwsgi PATH",
            ));
        }
    };
    let port = port.parse().map_err(|_| io::Error::other("PORT is not a port"))?;
    serve(([127, 0, 0, 1], port).into(), close)
}

fn serve(address: SocketAddr, close: bool) -> io::Result<()> {
    let mut listener = TcpListener::bind(address)?;
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(256);
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut streams: Slab<TcpStream> = Slab::new();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                accept(&listener, &poll, &mut streams)?;
                continue;
            }
            let Token(key) = event.token();
            if !answer(&mut streams[key], &mut buffer, close) {
                streams.remove(key);
            }
        }
    }
}

/// Takes every connection that waits.
fn accept(listener: &TcpListener, poll: &Poll, streams: &mut Slab<TcpStream>) -> io::Result<()> {
    while let Ok((mut stream, _)) = listener.accept() {
        stream.set_nodelay(true)?;
        let entry = streams.vacant_entry();
        poll.registry()
            .register(&mut stream, Token(entry.key()), Interest::READABLE)?;
        entry.insert(stream);
    }
    Ok(())
}

/// Answers what came. `false`: the connection is done with.
fn answer(stream: &mut TcpStream, buffer: &mut [u8], close: bool) -> bool {
    match stream.read(buffer) {
        Ok(0) => false,
        Ok(_) if close => {
            let _ = stream.write(ANSWER_AND_CLOSE);
            false
        }
        Ok(_) => stream.write(ANSWER).is_ok(),
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    }
}

/// Accepts, reads, writes, closes: no more calls than these for a request that comes with its connection.
fn serve_uwsgi(path: &Path) -> io::Result<()> {
    let mut listener = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o666))?;
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(256);
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut late: Slab<UnixStream> = Slab::new();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() != LISTENER {
                answer_uwsgi(&mut late.remove(event.token().0), &mut buffer);
                continue;
            }
            while let Ok((mut stream, _)) = listener.accept() {
                if answer_uwsgi(&mut stream, &mut buffer) {
                    continue;
                }
                let entry = late.vacant_entry();
                poll.registry()
                    .register(&mut stream, Token(entry.key()), Interest::READABLE)?;
                entry.insert(stream);
            }
        }
    }
}

/// Answers what came. `false`: nothing has come yet.
fn answer_uwsgi(stream: &mut UnixStream, buffer: &mut [u8]) -> bool {
    match stream.read(buffer) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
        _ => {
            let _ = stream.write(ANSWER_TO_UWSGI);
            true
        }
    }
}
