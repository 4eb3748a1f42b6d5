//! Sends every message back, on a thread for each connection: what a server does around a WebSocket, as short as it can
//! be. `cargo run -p uwrs-websocket --example echo 127.0.0.1:9001`, for other WebSocket libraries and test suites to
//! talk to. Heads are not looked at closely: that is an HTTP server's business.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, thread};

use uwrs_api::{Inbound, Outbound, Request};
use uwrs_websocket::{DeflateSettings, Event, Handshake, Lapse, Settings, State, WebSocket};

fn main() -> io::Result<()> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let listener = TcpListener::bind(&address)?;
    let settings = Arc::new(Settings {
        deflate: Some(DeflateSettings {
            min_bytes: 16,
            ..DeflateSettings::default()
        }),
        ..Settings::default()
    });
    println!("listening on {}", listener.local_addr()?);
    for stream in listener.incoming() {
        let (stream, settings) = (stream?, Arc::clone(&settings));
        thread::spawn(move || {
            if let Err(error) = serve(stream, &settings) {
                eprintln!("{error}");
            }
        });
    }
    Ok(())
}

fn serve(mut stream: TcpStream, settings: &Arc<Settings>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut pending = Vec::new();
    let request = read_head(&mut stream, &mut pending)?;
    let head = match Handshake::find(&request, settings) {
        None => return stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
        Some(Err(rejection)) => {
            let head = write_head(&rejection.head());
            stream.write_all(&head)?;
            return stream.write_all(rejection.reason.as_bytes());
        }
        Some(Ok(handshake)) => {
            let subprotocol = handshake.subprotocols().first().cloned();
            let head = handshake
                .head(subprotocol.as_deref(), [])
                .map_err(io::Error::other)?;
            stream.write_all(&write_head(&head))?;
            handshake
        }
    };
    echo(&mut stream, head.open(Instant::now()), pending)
}

/// Until the end of the connection. `pending` came behind the handshake.
fn echo(stream: &mut TcpStream, mut socket: WebSocket, mut pending: Vec<u8>) -> io::Result<()> {
    let mut output = Outbound::default();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let mut input = Inbound::new(&pending);
        loop {
            match socket.receive(&mut input, &mut output) {
                Event::Starved => break,
                // What comes while it closes is not answered.
                Event::Text(text) => drop(socket.send_text(text.as_str(), &mut output)),
                Event::Binary(bytes) => drop(socket.send_binary(&bytes, &mut output)),
                Event::Ping | Event::Pong | Event::Closed(_) => {}
                Event::Failed(violation) => eprintln!("{}: {}", violation.code, violation.reason),
            }
        }
        let consumed = input.consumed();
        pending.drain(..consumed);
        flush(stream, &mut output)?;
        if socket.state() == State::Closed {
            return linger(stream);
        }
        let deadline = socket.next_deadline();
        let timeout = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        stream.set_read_timeout(timeout.map(|timeout| timeout.max(Duration::from_millis(1))))?;
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => pending.extend_from_slice(&buffer[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                match socket.on_deadline(Instant::now(), &mut output) {
                    Lapse::Nothing | Lapse::Pinged => {}
                    Lapse::Lost | Lapse::Expired => return Ok(()),
                }
            }
            Err(error) => return Err(error),
        }
    }
}

fn flush(stream: &mut TcpStream, output: &mut Outbound) -> io::Result<()> {
    for slice in output.slices(usize::MAX) {
        stream.write_all(slice)?;
    }
    output.reset(64 * 1024);
    Ok(())
}

/// Closes so that the last bytes arrive: a close with unread bytes would be a reset, which takes them away.
fn linger(stream: &mut TcpStream) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    let end = Instant::now() + Duration::from_secs(1);
    let mut rest = [0; 4096];
    while Instant::now() < end && stream.read(&mut rest).is_ok_and(|count| count > 0) {}
    Ok(())
}

/// A request's head; what follows it stays in `pending`.
fn read_head(stream: &mut TcpStream, pending: &mut Vec<u8>) -> io::Result<Request> {
    let mut buffer = [0; 4096];
    let end = loop {
        if let Some(end) = pending.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        match stream.read(&mut buffer)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            count => pending.extend_from_slice(&buffer[..count]),
        }
    };
    let head = String::from_utf8_lossy(&pending[..end]).into_owned();
    pending.drain(..end + 4);
    let mut lines = head.split("\r\n");
    let mut request = Request::default();
    let method = lines.next().and_then(|line| line.split(' ').next());
    request.method = request.text.push(method.unwrap_or_default().as_bytes());
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let name = request.text.push(name.to_ascii_lowercase().as_bytes());
        let value = request.text.push(value.trim().as_bytes());
        request.fields.push((name, value));
    }
    Ok(request)
}

fn write_head(head: &uwrs_api::ResponseHead) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {} \r\n", head.status).into_bytes();
    for (name, value) in head.fields() {
        bytes.extend([name, b": ", value, b"\r\n"].concat());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}
