//! Iterables that give their pieces quickly, which leave together, and those that then take their time, of which no piece
//! is to wait (PEP 3333, "Buffering and Streaming").

use std::fs;
use std::time::{Duration, Instant};

use crate::support::{Connection, HTTP, Running, Server, TOOLBOX, packet, soon};

const BURSTS: &str = "
import ctypes

def until(name):
    while not os.path.exists(name):
        time.sleep(0.005)

class Pieces:
    '''Says how many were asked for when it is closed.'''
    def __init__(self, pieces):
        self.pieces, self.count = iter(pieces), 0
    def __iter__(self):
        return self
    def __next__(self):
        self.count += 1
        return next(self.pieces)
    def close(self):
        print('closed after', self.count, file=sys.stderr, flush=True)

def bursts(count, wait):
    for burst in range(count):
        for piece in range(20):
            yield b'%d.%d ' % (burst, piece)
        wait(burst)
    yield b'end'

def files(environ, start_response, rest):
    '''After every burst waits for a file, with the interpreter let go of.'''
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return bursts(3, lambda burst: until('%s-%d' % (rest, burst)))

def stubborn(environ, start_response, rest):
    '''After a burst keeps the interpreter for a second.'''
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return bursts(1, lambda burst: ctypes.PyDLL(None).usleep(1000000))

def numbers(environ, start_response, rest):
    '''Numbers up to one, as long as they are short, perhaps with a length that is too short by some bytes.'''
    count, *less = map(int, rest.split('/'))
    headers = [('Content-Type', 'text/plain')]
    if less:
        headers.append(('Content-Length', str(sum(len(b'%d,' % number) for number in range(count)) - less[0])))
    start_response('200 OK', headers)
    return Pieces(b'%d,' % number * (number % 3 > 0) for number in range(count))

def sizes(environ, start_response, rest):
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return (bytes([number]) * (number * number * 7 % 40000) for number in range(200))

def fails(environ, start_response, rest):
    start_response('200 OK', [('Content-Type', 'text/plain')])
    def pieces():
        for number in range(20):
            yield b'%d,' % number
        raise LookupError('failed in a row')
    return pieces()

def stops(environ, start_response, rest):
    '''Gives pieces until the file `stop` is there, writes down how many bytes there are, and then waits for `go`.'''
    start_response('200 OK', [('Content-Type', 'text/plain')])
    def pieces():
        total = 0
        while not os.path.exists('stop'):
            yield b'x' * 1000
            total += 1000
            if total % 100000 == 0:
                open('total', 'w').write(str(total))
        yield b'last'
        until('go')
        yield b'end'
    return pieces()

TOOLS.update(files=files, stubborn=stubborn, numbers=numbers, sizes=sizes, fails=fails, stops=stops)
";

/// Every kind of worker: the loop's thread calls the application in its turn; several threads do; one that can leave the
/// loop to a minder; one between two turns of asyncio's loop.
const WORKERS: [&str; 4] = [
    "",
    "threads = 3\n",
    "processes = 2\n",
    "harakiri = 60\nmanage-script-name = true\nmount = /beside=beside:application\n",
];

const BESIDE: &str = "async def application(scope, receive, send): ...";

fn serving(workers: &str) -> Running {
    let ini = format!("{HTTP}socket = %duwsgi.sock\n{workers}");
    let app = format!("{TOOLBOX}{BURSTS}");
    Server::new()
        .app(&app)
        .file("beside.py", BESIDE)
        .ini(&ini)
        .start()
}

fn ask(server: &Running, target: &str) -> Connection {
    let mut connection = server.ask(target);
    assert_eq!(connection.head().unwrap().status, 200);
    connection
}

/// What comes of a chunked body until it ends in `end`.
fn read_until(connection: &mut Connection, end: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(end) {
        let chunk = connection.chunk().unwrap();
        text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
    }
    text
}

fn burst(number: usize) -> String {
    (0..20).map(|piece| format!("{number}.{piece} ")).collect()
}

#[test]
fn every_piece_arrives_while_the_application_waits_before_the_next() {
    for workers in WORKERS {
        let server = serving(workers);
        for round in 0..3 {
            let mut connection = ask(&server, &format!("/files/{round}"));
            for number in 0..3 {
                let text = read_until(&mut connection, &format!("{number}.19 "));
                assert_eq!(text, burst(number), "{workers}");
                // Only now the application goes on.
                server.write(&format!("{round}-{number}"), "");
            }
            assert_eq!(read_until(&mut connection, "end"), "end");
            assert_eq!(connection.chunk().unwrap(), None);
        }
    }
}

#[test]
fn every_piece_arrives_while_the_application_keeps_the_interpreter() {
    for workers in WORKERS {
        let server = serving(workers);
        let mut connection = ask(&server, "/stubborn");
        assert_eq!(read_until(&mut connection, "0.19 "), burst(0), "{workers}");
        let before = Instant::now();
        assert_eq!(read_until(&mut connection, "end"), "end");
        assert!(before.elapsed() > Duration::from_millis(500), "{workers}");
    }
}

#[test]
fn pieces_that_come_quickly_are_joined_and_nothing_of_them_is_lost() {
    let expected: String = (0..2000)
        .filter(|number| number % 3 > 0)
        .map(|number| format!("{number},"))
        .collect();
    for workers in WORKERS {
        let server = serving(workers);
        let mut connection = ask(&server, "/numbers/2000");
        let (mut text, mut chunks) = (Vec::new(), 0);
        while let Some(chunk) = connection.chunk().unwrap() {
            text.extend(chunk);
            chunks += 1;
        }
        assert_eq!(String::from_utf8(text).unwrap(), expected, "{workers}");
        assert!(chunks < 1000, "{workers}: {chunks} chunks");
        connection.send("GET /numbers/2000 HTTP/1.0\r\n\r\n");
        assert_eq!(connection.response().text(), expected, "{workers}");
        let mut front = server.connect_unix("uwsgi.sock");
        front.send(packet::request("GET", "/numbers/2000", &[]));
        assert_eq!(front.response().text(), expected, "{workers}");
        let sizes: Vec<u8> = (0..200_usize)
            .flat_map(|number| vec![number as u8; number * number * 7 % 40_000])
            .collect();
        assert!(server.get("/sizes").body == sizes, "{workers}");
    }
}

#[test]
fn no_more_pieces_are_asked_for_than_the_content_length_has_room_for() {
    for workers in WORKERS {
        let server = serving(workers);
        // The pieces of 0, 3 and 6 are empty: with `5,` there are ten bytes less than all would have, and it is enough.
        let mut connection = server.connect();
        assert_eq!(connection.get("/numbers/8/8").text(), "1,2,4,5,");
        server.wait_for_log(&["closed after 6"]);
        connection.send("HEAD /numbers/2000 HTTP/1.1\r\nHost: x\r\n\r\n");
        connection.head().unwrap();
        server.wait_for_log(&["closed after 2"]);
        assert_eq!(connection.get("/").text(), "hello\n", "{workers}");
    }
}

#[test]
fn what_came_before_an_exception_arrives_and_then_the_answer_is_cut() {
    for workers in WORKERS {
        let server = serving(workers);
        let mut connection = ask(&server, "/fails");
        let text = read_until(&mut connection, ",19,");
        assert!(text.starts_with("0,1,2,3,"), "{workers}: {text}");
        assert!(connection.chunk().is_err(), "{workers}");
        server.wait_for_log(&["LookupError: failed in a row"]);
    }
}

#[test]
fn a_client_that_takes_its_time_gets_the_rest_while_the_application_waits() {
    for workers in WORKERS {
        let server = serving(workers);
        let mut connection = ask(&server, "/stops");
        // It is asked for no more when the client takes nothing.
        let read = |name: &str| fs::read_to_string(server.file(name)).ok();
        let mut seen = (String::new(), Instant::now());
        soon("it is not asked for more", || {
            let total = read("total").unwrap_or_default();
            if total != seen.0 {
                seen = (total, Instant::now());
            }
            !seen.0.is_empty() && seen.1.elapsed() > Duration::from_millis(300)
        });
        server.write("stop", "");
        let text = read_until(&mut connection, "last");
        assert!(text.len() > seen.0.parse().unwrap(), "{workers}");
        server.write("go", "");
        assert_eq!(read_until(&mut connection, "end"), "end");
        assert_eq!(connection.chunk().unwrap(), None);
    }
}
