//! Streams of WSGI applications: readers that take their time, and what the application has written down of the threads
//! that ran it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use super::client::Connection;
use super::server::{Running, Server};
use super::{eventually, packet, soon};

/// The application: `/stream/NAME?pieces=…&size=…&pause=…&fails=…&stuck=…&close=raises`, `/empty/NAME`, `/lockstep/NAME`, and `/who`,
/// which answers its process, its thread, that one's name, and `wsgi.multithread`.
const APP: &str = include_str!("streams.py");

/// More than the kernel keeps for a client that reads nothing: 8 MiB.
pub(crate) const LARGE: Shape = Shape {
    pieces: 128,
    size: 65536,
};

/// The same in pieces that leave in batches.
pub(crate) const SMALL: Shape = Shape {
    pieces: 2000,
    size: 4096,
};

/// So many pieces of so many bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) pieces: usize,
    pub(crate) size: usize,
}

/// A server of that application, over HTTP and `uwsgi.sock`.
pub(crate) fn serving(lines: &str) -> Running {
    // Tells which one it was, where a test that fails has tried several.
    println!("serving with {lines:?}");
    Server::new()
        .app(APP)
        .ini(&format!(
            "http = 127.0.0.1:0\nsocket = %duwsgi.sock\nmodule = app\ndisable-logging = true\n{lines}\n"
        ))
        .start()
}

/// Who answers `/who`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Who {
    pub(crate) process: i32,
    /// As the kernel numbers it: the first one of a process has the process's own number.
    pub(crate) thread: i32,
    pub(crate) name: String,
    pub(crate) multithread: bool,
}

impl Who {
    /// Asks for it over that connection.
    pub(crate) fn ask(connection: &mut Connection) -> Self {
        let response = connection.get("/who");
        let words: Vec<&str> = response.text().split(' ').collect();
        let [process, thread, name, multithread] = words[..] else {
            panic!("{words:?}")
        };
        Self {
            process: process.parse().unwrap(),
            thread: thread.parse().unwrap(),
            name: name.to_owned(),
            multithread: multithread == "True",
        }
    }
}

/// A client of a stream, which has read nothing yet.
pub(crate) struct Reader {
    pub(crate) connection: Connection,
    pub(crate) name: String,
    shape: Shape,
}

impl Reader {
    /// Asks for it over HTTP, with little room for what comes.
    pub(crate) fn http(server: &Running, name: &str, shape: Shape, more: &str) -> Self {
        Self::http_at(server, name, &target(name, shape, more), shape)
    }

    /// Asks for it over uwsgi.
    pub(crate) fn uwsgi(server: &Running, name: &str, shape: Shape, more: &str) -> Self {
        Self::uwsgi_at(server, name, &target(name, shape, more), shape)
    }

    /// Asks another application than the one here, over HTTP, with little room for what comes.
    pub(crate) fn http_at(server: &Running, name: &str, target: &str, shape: Shape) -> Self {
        let mut connection = Connection::narrow(server.port());
        connection.send(format!(
            "GET {target} HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n"
        ));
        let name = name.to_owned();
        Self {
            connection,
            name,
            shape,
        }
    }

    /// Asks another application than the one here, over uwsgi.
    pub(crate) fn uwsgi_at(server: &Running, name: &str, target: &str, shape: Shape) -> Self {
        let mut connection = server.connect_unix("uwsgi.sock");
        connection.send(packet::request("GET", target, &[]));
        let name = name.to_owned();
        Self {
            connection,
            name,
            shape,
        }
    }

    /// So many readers, over either protocol in turn, of large pieces and of small ones.
    pub(crate) fn crowd(server: &Running, names: &str, count: usize) -> Vec<Self> {
        let reader = |number| {
            let open = if number % 2 == 0 { Self::http } else { Self::uwsgi };
            let shape = if number % 4 < 2 { LARGE } else { SMALL };
            open(server, &format!("{names}{number}"), shape, "")
        };
        (0..count).map(reader).collect()
    }

    /// Reads it to its end, at any speed, and asserts that it is whole.
    pub(crate) fn finish(mut self) {
        self.connection.widen();
        let response = self.connection.try_response();
        let response = response.unwrap_or_else(|error| panic!("{}: {error}", self.name));
        assert_eq!(response.status, 200, "{}", self.name);
        let Shape { pieces, size } = self.shape;
        assert_eq!(response.body.len(), pieces * size, "{}", self.name);
        for (number, piece) in response.body.chunks(size).enumerate() {
            assert!(
                piece.starts_with(format!("{number:08}").as_bytes()),
                "{}: piece {number}",
                self.name
            );
        }
    }
}

fn target(name: &str, Shape { pieces, size }: Shape, more: &str) -> String {
    format!("/stream/{name}?pieces={pieces}&size={size}{more}")
}

/// Has all of them read to their ends side by side.
pub(crate) fn finish_all(readers: Vec<Reader>) {
    let reading: Vec<_> = readers
        .into_iter()
        .map(|reader| thread::spawn(|| reader.finish()))
        .collect();
    for reader in reading {
        reader.join().unwrap();
    }
}

/// Something that an application has written down.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Event {
    /// `+`: it enters the code of the application; `-`: it leaves it; `!`: it found another's thread-locals.
    mark: char,
    process: i32,
    thread: i32,
    name: String,
    /// `call`, `iter`, `next` or `close`.
    what: String,
}

impl Event {
    fn parse(line: &str) -> Self {
        let words: Vec<&str> = line.split(' ').collect();
        let [mark, process, thread, name, what] = words[..] else {
            panic!("{line}")
        };
        Self {
            mark: mark.chars().next().unwrap(),
            process: process.parse().unwrap(),
            thread: thread.parse().unwrap(),
            name: name.to_owned(),
            what: what.to_owned(),
        }
    }
}

/// All that it has written down so far.
pub(crate) struct Events(Vec<Event>);

impl Events {
    /// Reads them.
    pub(crate) fn of(server: &Running) -> Self {
        Self::parse(&fs::read_to_string(server.file("events")).unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        // The last line may be on its way.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        Self(whole.lines().map(Event::parse).collect())
    }

    /// How often has that begun for the stream?
    pub(crate) fn count(&self, name: &str, what: &str) -> usize {
        let begun = |event: &&Event| event.mark == '+' && event.name == name && event.what == what;
        self.0.iter().filter(begun).count()
    }

    /// How many streams whose name begins so have been called, and how many of these were closed?
    pub(crate) fn called_and_closed(&self, names: &str) -> (usize, usize) {
        let count = |mark: char, what: &str| {
            let of_it =
                |event: &&Event| event.mark == mark && event.what == what && event.name.starts_with(names);
            self.0.iter().filter(of_it).count()
        };
        (count('+', "call"), count('-', "close"))
    }

    /// The threads that have run anything, with their processes.
    pub(crate) fn threads(&self) -> BTreeSet<(i32, i32)> {
        self.0.iter().map(|event| (event.process, event.thread)).collect()
    }

    /// Asserts what holds of every stream: one thread runs all of it, from the call to `close()`, and nothing else meanwhile;
    /// `close()` comes once, and is the last; of each process no more than `places` threads are in the application at once.
    pub(crate) fn assert_each_has_its_thread(&self, places: usize) {
        let wrong = self.wrong(places);
        assert!(
            wrong.is_empty(),
            "{} things are wrong, first of all:\n{}",
            wrong.len(),
            wrong[..wrong.len().min(8)].join("\n")
        );
    }

    fn wrong(&self, places: usize) -> Vec<String> {
        let streams: BTreeSet<&str> = self
            .0
            .iter()
            .filter(|event| event.what == "next")
            .map(|event| event.name.as_str())
            .collect();
        // Where each stream that is open has its home, who is at home there, and who is in the application.
        let mut homes: HashMap<&str, i32> = HashMap::new();
        let mut tenants: HashMap<i32, &str> = HashMap::new();
        let mut inside: BTreeMap<i32, BTreeSet<i32>> = BTreeMap::new();
        let mut over: BTreeSet<&str> = BTreeSet::new();
        let mut wrong = Vec::new();
        for event in &self.0 {
            let name = event.name.as_str();
            if event.mark == '!' {
                wrong.push(format!("{event:?} found thread-locals that are not its own"));
                continue;
            }
            if over.contains(name) {
                wrong.push(format!("{event:?} comes after close()"));
            }
            let tenant = tenants.get(&event.thread).copied();
            if let Some(tenant) = tenant.filter(|&tenant| tenant != name) {
                wrong.push(format!("{event:?} is on the thread of {tenant}, which is open"));
            }
            if streams.contains(name) {
                let home = *homes.entry(name).or_insert(event.thread);
                if home != event.thread {
                    wrong.push(format!("{event:?} is not on the thread of its call, {home}"));
                }
                if event.mark == '-' && event.what == "close" {
                    over.insert(name);
                    tenants.retain(|_, tenant| *tenant != name);
                } else if home == event.thread {
                    tenants.entry(home).or_insert(name);
                }
            }
            let inside = inside.entry(event.process).or_default();
            match event.mark {
                '+' => inside.insert(event.thread),
                _ => inside.remove(&event.thread),
            };
            if inside.len() > places {
                wrong.push(format!("{event:?} makes {} in the application", inside.len()));
            }
        }
        wrong
    }
}

/// Waits until every one of these streams waits for its client, which reads nothing: no piece was asked for any more.
pub(crate) fn wait_until_shut(server: &Running, names: &[&str]) {
    let every_one_has_begun = || {
        let events = Events::of(server);
        names.iter().all(|name| events.count(name, "next") > 0)
    };
    soon("every stream has begun", every_one_has_begun);
    wait_until_quiet(server);
}

/// Waits until the application is asked for nothing any more.
pub(crate) fn wait_until_quiet(server: &Running) {
    let length = || fs::metadata(server.file("events")).map_or(0, |file| file.len());
    let mut seen = (0, Instant::now());
    soon("the application is left alone", || {
        let now = length();
        if now != seen.0 {
            seen = (now, Instant::now());
        }
        seen.1.elapsed() > Duration::from_millis(300)
    });
}

/// Waits until so many streams whose names begin so were called and closed.
pub(crate) fn wait_until_closed(server: &Running, names: &str, count: usize) -> Events {
    eventually("all streams are closed", || {
        let events = Events::of(server);
        (events.called_and_closed(names) == (count, count)).then_some(events)
    })
}

/// What two streams and a request on three threads of process 1 may write down.
const GOOD: &str = "\
+ 1 7 a call
- 1 7 a call
+ 1 8 b call
- 1 8 b call
+ 1 7 a next
- 1 7 a next
+ 1 9 who call
- 1 9 who call
+ 1 8 b next
- 1 8 b next
+ 1 7 a close
- 1 7 a close
+ 1 7 who call
- 1 7 who call
+ 1 8 b close
- 1 8 b close
";

#[test]
fn what_breaks_the_rule_of_threads_is_found() {
    assert_eq!(Events::parse(GOOD).wrong(1), [""; 0]);
    for (good, bad, found) in [
        ("+ 1 8 b next", "+ 1 9 b next", "not on the thread of its call"),
        ("+ 1 8 b close", "+ 1 9 b close", "not on the thread of its call"),
        (
            "1 9 who call",
            "1 8 who call",
            "on the thread of b, which is open",
        ),
        ("- 1 9 who call\n", "", "makes 2 in the application"),
        (
            "+ 1 8 b next",
            "+ 1 7 a next\n- 1 7 a next\n+ 1 8 b next\n! 1 8 b next",
            "not its own",
        ),
        (
            "- 1 7 a close",
            "- 1 7 a close\n+ 1 7 a next\n- 1 7 a next",
            "after close()",
        ),
    ] {
        let wrong = Events::parse(&GOOD.replace(good, bad)).wrong(1);
        assert!(wrong.iter().any(|line| line.contains(found)), "{bad}: {wrong:?}");
    }
}
