//! Load for a server that echoes WebSocket messages: each client sends a message, waits for its echo, compares every byte
//! of it, and sends the next, which differs from it in its first bytes.
//!
//! `echoes PORT CLIENTS BYTES SECONDS [--text]`: messages of so many bytes, binary or text. Prints how many were echoed,
//! in how many seconds, and the 99th percentile of the time from a message to the end of its echo, in milliseconds. A wrong
//! echo ends it with status 1 and the reason.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream as Blocking};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

/// With the key and the answer to it of RFC 6455 §1.3.
const REQUEST: &[u8] =
    b"GET / HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
/// Digits at the beginning of a message, by which it differs from the one before.
const SERIAL: usize = 8;
const READ: usize = 256 * 1024;

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let usage = || io::Error::other("usage: echoes PORT CLIENTS BYTES SECONDS [--text]");
    let (numbers, is_text) = match words.split_last() {
        Some((flag, numbers)) if flag == "--text" => (numbers, true),
        _ => (words.as_slice(), false),
    };
    let numbers: Vec<usize> = numbers.iter().filter_map(|word| word.parse().ok()).collect();
    let &[port, clients, bytes, seconds] = numbers.as_slice() else {
        return Err(usage());
    };
    let port = u16::try_from(port).map_err(|_| usage())?;
    let address = ([127, 0, 0, 1], port).into();
    let clients = (0..clients)
        .map(|_| Client::connect(address, bytes.max(SERIAL), is_text))
        .collect::<io::Result<_>>()?;
    run(clients, Duration::from_secs(seconds as u64))
}

/// Lets all of them speak for that long.
fn run(mut clients: Vec<Client>, duration: Duration) -> io::Result<()> {
    let mut poll = Poll::new()?;
    for (at, client) in clients.iter_mut().enumerate() {
        let both = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut client.stream, Token(at), both)?;
    }
    let mut events = Events::with_capacity(256);
    let mut scratch = vec![0; READ];
    let mut taken: Vec<u32> = Vec::new();
    let begin = Instant::now();
    while begin.elapsed() < duration {
        poll.poll(&mut events, Some(Duration::from_millis(100)))?;
        for event in &events {
            let Token(at) = event.token();
            clients[at].go_on(&mut scratch, &mut taken)?;
        }
    }
    let seconds = begin.elapsed().as_secs_f64();
    taken.sort_unstable();
    let last = taken.len().saturating_sub(1);
    let p99 = taken.get(last * 99 / 100).copied().unwrap_or_default();
    println!(
        "{} messages in {seconds:.3} s, 99% {:.3} ms",
        taken.len(),
        f64::from(p99) / 1000.0
    );
    Ok(())
}

/// One connection, with one message under way.
struct Client {
    stream: TcpStream,
    /// Bytes of a message.
    bytes: usize,
    /// What the present message's echo must be, with its frame's header.
    echo: Vec<u8>,
    /// Bytes of `echo` that have come.
    heard: usize,
    /// The present message, masked, with its frame's header.
    frame: Vec<u8>,
    sent: usize,
    serial: u32,
    since: Instant,
}

impl Client {
    fn connect(address: SocketAddr, bytes: usize, is_text: bool) -> io::Result<Self> {
        let mut stream = Blocking::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(REQUEST)?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            answer.extend(byte);
        }
        let answer = String::from_utf8_lossy(&answer);
        if !answer.starts_with("HTTP/1.1 101 ") || !answer.contains(ACCEPT) {
            return Err(io::Error::other(format!("no WebSocket: {answer}")));
        }
        stream.set_nonblocking(true)?;
        let payload = vec![b'e'; bytes];
        let (mut echo, mut frame) = (header(is_text, 0, bytes), header(is_text, 0x80, bytes));
        echo.extend(&payload);
        frame.extend(MASK);
        frame.extend(
            payload
                .iter()
                .zip(MASK.iter().cycle())
                .map(|(byte, key)| byte ^ key),
        );
        Ok(Self {
            stream: TcpStream::from_std(stream),
            bytes,
            echo,
            heard: 0,
            frame,
            sent: 0,
            serial: 0,
            since: Instant::now(),
        })
    }

    /// Sends and hears what it can.
    fn go_on(&mut self, scratch: &mut [u8], taken: &mut Vec<u32>) -> io::Result<()> {
        loop {
            self.send()?;
            let count = match self.stream.read(scratch) {
                Ok(0) => return Err(io::Error::other("the server closed a connection")),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let expected = self.echo.get(self.heard..self.heard + count);
            if self.sent < self.frame.len() || expected != Some(&scratch[..count]) {
                return Err(io::Error::other("a wrong echo"));
            }
            self.heard += count;
            if self.heard == self.echo.len() {
                taken.push(self.since.elapsed().as_micros() as u32);
                self.begin_next();
            }
        }
    }

    fn send(&mut self) -> io::Result<()> {
        while self.sent < self.frame.len() {
            match self.stream.write(&self.frame[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn begin_next(&mut self) {
        self.serial += 1;
        let serial = format!("{:08x}", self.serial);
        let (plain, masked) = (self.echo.len() - self.bytes, self.frame.len() - self.bytes);
        for (at, byte) in serial.bytes().enumerate() {
            self.echo[plain + at] = byte;
            self.frame[masked + at] = byte ^ MASK[at % MASK.len()];
        }
        (self.heard, self.sent, self.since) = (0, 0, Instant::now());
    }
}

/// A frame's header but for the key, for a whole message; `mask`: the bit that says there is one.
fn header(is_text: bool, mask: u8, bytes: usize) -> Vec<u8> {
    let mut header = vec![if is_text { 0x81 } else { 0x82 }];
    match bytes {
        0..=125 => header.push(mask | bytes as u8),
        126..=0xffff => {
            header.push(mask | 126);
            header.extend((bytes as u16).to_be_bytes());
        }
        _ => {
            header.push(mask | 127);
            header.extend((bytes as u64).to_be_bytes());
        }
    }
    header
}
