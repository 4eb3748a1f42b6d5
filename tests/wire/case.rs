//! Wire cases: files that say what goes in and what must come of it.
//!
//! A file holds any number of cases. Every case is run with its bytes at once, one by one, and in pieces of
//! 2, 3 and 7. Lines are:
//!
//! ```text
//! == a sentence            a case begins; its name
//! # anything               a comment; so are empty lines
//! limit head_bytes 100     a limit of this case: head_bytes, fields, body_bytes
//! > bytes                  what the peer sends; nothing is added, so say \r\n
//! modifier 30              (uwsgi) modifier1 of the packet that follows
//! $ NAME=value             (uwsgi) a variable; consecutive ones make a packet
//! < request GET /a HTTP/1.1    a request: method, target, version
//! <   path /a                  … whose path is this; also: raw_path, query, script_name, scheme,
//!                              remote, server (address, blank, port), body (none, chunked or a number)
//! <   field name: value        … which has this field; `<   no field name`: has none of that name
//! <   variable NAME=value      … which has this variable; `<   no variable NAME`
//! < invited                100 Continue is sent
//! < body bytes             so much of a body comes, in however many parts
//! < end                    the body ends
//! < answered bytes         the protocol answers by itself
//! < refused 400 words      the request is refused with this status; its reason has these words (may be left out)
//! < close words            the connection is closed without an answer
//! < state idle             where the protocol is in the end: idle, head, body, closed
//! ```
//!
//! The events must be all that happen, in this order. In bytes, `\r \n \t \0 \\ \xNN` are what they are in
//! Rust, and `\*70000{a}` is `a` 70000 times.

use std::fs;
use std::path::{Path, PathBuf};

use uwrs::protocol::{HeadLimits, Http1, Http1Options, Uwsgi};
use uwrs_api::{BodyFraming, ProtocolState};

use crate::client;
use crate::drive::{Head, Run, Seen, drive};

#[test]
fn every_http1_case_goes_as_its_file_says() {
    run_all("http1", |limits, pieces| {
        drive(Http1::new(limits, Http1Options::default()), pieces)
    });
}

#[test]
fn every_uwsgi_case_goes_as_its_file_says() {
    run_all("uwsgi", |limits, pieces| drive(Uwsgi::new(limits), pieces));
}

/// One case of a file.
#[derive(Default)]
struct Case {
    place: String,
    limits: HeadLimits,
    bytes: Vec<u8>,
    events: Vec<Expected>,
    state: Option<ProtocolState>,
}

/// An event that a case expects.
#[derive(Debug)]
enum Expected {
    Request { line: String, details: Vec<Detail> },
    Seen(Seen),
    Answered(Vec<u8>),
    Refused(u16, String),
    Close(String),
}

/// Something that a case expects of a request.
#[derive(Debug)]
struct Detail {
    /// What: `path`, `field`, `no field`, …
    what: String,
    /// What it is.
    is: Vec<u8>,
}

fn run_all(folder: &str, run: impl Fn(HeadLimits, Vec<&[u8]>) -> Run) {
    let mut count = 0;
    let mut failures = Vec::new();
    for file in files(folder) {
        for case in read(&file) {
            count += 1;
            for size in [usize::MAX, 1, 2, 3, 7] {
                let pieces = case.bytes.chunks(size.min(case.bytes.len())).collect();
                let got = run(case.limits, pieces);
                if let Err(why) = case.check(&got) {
                    let seen = format!("{:?}", got.seen);
                    failures.push(format!(
                        "{} (pieces of {size}): {why:.500}\n  seen: {seen:.500}",
                        case.place
                    ));
                    break;
                }
            }
        }
    }
    assert!(count > 0, "no cases in {folder}");
    assert!(
        failures.is_empty(),
        "{} of {count} cases:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/wire")
        .join(folder);
    let entries = fs::read_dir(&folder).expect("the folder is there");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("readable").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "wire"));
    files.sort();
    files
}

impl Case {
    fn check(&self, run: &Run) -> Result<(), String> {
        if self.events.len() != run.seen.len() {
            return Err(format!(
                "{} events expected, {} seen",
                self.events.len(),
                run.seen.len()
            ));
        }
        for (expected, seen) in self.events.iter().zip(&run.seen) {
            check_event(expected, seen, run, self.bytes.starts_with(b"HEAD "))
                .map_err(|why| format!("{expected:?}: {why}"))?;
        }
        match self.state {
            Some(state) if state != run.state => Err(format!("{state:?} expected, {:?} seen", run.state)),
            _ => Ok(()),
        }
    }
}

fn check_event(expected: &Expected, seen: &Seen, run: &Run, is_head: bool) -> Result<(), String> {
    match (expected, seen) {
        (Expected::Request { line, details }, Seen::Request(head)) => {
            let got = [
                &head.method,
                &b" "[..],
                &head.target,
                b" ",
                head.version.as_bytes(),
            ]
            .concat();
            let got = got.escape_ascii().to_string();
            if *line != got {
                return Err(format!("{got:?} seen"));
            }
            details.iter().try_for_each(|detail| detail.check(head))
        }
        (Expected::Answered(bytes), Seen::Answered) if run.output.ends_with(bytes) => Ok(()),
        (Expected::Seen(expected), seen) if expected == seen => Ok(()),
        (Expected::Close(words), Seen::Close(reason)) if reason.contains(words) => Ok(()),
        (Expected::Refused(status, words), Seen::Refused(got, reason)) => {
            if status != got || !reason.contains(words) {
                return Err(format!("refused {got} {reason:?}"));
            }
            check_refusal(*status, reason, run, is_head)
        }
        (_, seen) => Err(format!("{seen:?} seen")),
    }
}

/// The refusal is the last thing that was sent, and a client understands it.
fn check_refusal(status: u16, reason: &str, run: &Run, is_head: bool) -> Result<(), String> {
    let start = run
        .output
        .windows(12)
        .rposition(|window| window.starts_with(b"HTTP/") && window.ends_with(status.to_string().as_bytes()))
        .ok_or("no such answer")?;
    let (answer, rest) = client::read(&run.output[start..], is_head, true)?;
    if answer.status != status || !rest.is_empty() || run.state != ProtocolState::Closed {
        return Err(format!("answered by {answer:?}, then {rest:?}"));
    }
    if !is_head && !String::from_utf8_lossy(&answer.body).contains(reason) {
        return Err("the answer does not say why".into());
    }
    Ok(())
}

impl Detail {
    fn check(&self, head: &Head) -> Result<(), String> {
        let is = &self.is[..];
        let has = |pairs: &[(Vec<u8>, Vec<u8>)], separator: &[u8]| {
            pairs
                .iter()
                .any(|(name, value)| [name, separator, value].concat() == is)
        };
        let has_name = |pairs: &[(Vec<u8>, Vec<u8>)]| pairs.iter().any(|(name, _)| name == is);
        let pair = |(first, second): &(Vec<u8>, Vec<u8>)| [first, &b" "[..], second].concat();
        let good = match self.what.as_str() {
            "path" => head.path == is,
            "raw_path" => head.raw_path == is,
            "query" => head.query == is,
            "script_name" => head.script_name == is,
            "scheme" => head.scheme == is,
            "remote" => pair(&head.remote) == is,
            "server" => pair(&head.server) == is,
            "body" => match head.framing {
                BodyFraming::None => is == b"none",
                BodyFraming::Chunked => is == b"chunked",
                BodyFraming::Length(length) => is == length.to_string().as_bytes(),
            },
            "field" => has(&head.fields, b": "),
            "no field" => !has_name(&head.fields),
            "variable" => has(&head.variables, b"="),
            "no variable" => !has_name(&head.variables),
            other => return Err(format!("unknown detail {other:?}")),
        };
        good.then_some(()).ok_or_else(|| {
            format!(
                "{} is not {:?} in {head:?}",
                self.what,
                is.escape_ascii().to_string()
            )
        })
    }
}

/// Reads the cases of a file.
fn read(file: &Path) -> Vec<Case> {
    let text = fs::read_to_string(file).expect("readable");
    let name = file.file_name().expect("a file").to_string_lossy();
    let mut cases: Vec<Case> = Vec::new();
    let mut modifier = 0;
    let mut packet = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let place = format!("{name}:{}", number + 1);
        if let Some(title) = line.strip_prefix("== ") {
            cases.push(Case {
                place: format!("{place}: {title}"),
                ..Case::default()
            });
            continue;
        }
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let case = cases
            .last_mut()
            .unwrap_or_else(|| panic!("{place}: no case has begun"));
        let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
        if kind == "$" {
            put_variable(rest, &mut packet);
            continue;
        }
        if !packet.is_empty() {
            put_packet(modifier, &packet, &mut case.bytes);
            packet.clear();
        }
        match kind {
            "limit" => set_limit(rest, &mut case.limits),
            "modifier" => modifier = rest.parse().expect("a number"),
            ">" => case.bytes.extend(unescape(rest)),
            "<" => expect(rest, case).unwrap_or_else(|| panic!("{place}: not understood: {line}")),
            _ => panic!("{place}: not understood: {line}"),
        }
        if kind == "<" {
            modifier = 0;
        }
    }
    cases
}

fn set_limit(text: &str, limits: &mut HeadLimits) {
    let (name, value) = text.split_once(' ').expect("a name and a number");
    match name {
        "head_bytes" => limits.head_bytes = value.parse().expect("a number"),
        "fields" => limits.fields = value.parse().expect("a number"),
        "body_bytes" => limits.body_bytes = Some(value.parse().expect("a number")),
        _ => panic!("unknown limit {name}"),
    }
}

fn put_variable(text: &str, packet: &mut Vec<u8>) {
    let (name, value) = text.split_once('=').expect("NAME=value");
    for part in [unescape(name), unescape(value)] {
        packet.extend_from_slice(&u16::try_from(part.len()).expect("64 KiB").to_le_bytes());
        packet.extend_from_slice(&part);
    }
}

fn put_packet(modifier: u8, packet: &[u8], bytes: &mut Vec<u8>) {
    let size = u16::try_from(packet.len()).expect("64 KiB").to_le_bytes();
    bytes.extend_from_slice(&[modifier, size[0], size[1], 0]);
    bytes.extend_from_slice(packet);
}

/// Adds what a `<` line says to the case; `None`: it isn't understood.
fn expect(text: &str, case: &mut Case) -> Option<()> {
    if let Some(detail) = text.strip_prefix("  ") {
        let Some(Expected::Request { details, .. }) = case.events.last_mut() else {
            return None;
        };
        let words = if detail.starts_with("no ") { 2 } else { 1 };
        let split = detail
            .match_indices(' ')
            .nth(words - 1)
            .map_or(detail.len(), |(at, _)| at);
        details.push(Detail {
            what: detail[..split].to_owned(),
            is: unescape(detail.get(split + 1..).unwrap_or_default()),
        });
        return Some(());
    }
    let (what, rest) = text.split_once(' ').unwrap_or((text, ""));
    let event = match what {
        "request" => Expected::Request {
            line: unescape(rest).escape_ascii().to_string(),
            details: Vec::new(),
        },
        "invited" => Expected::Seen(Seen::Invited),
        "body" => Expected::Seen(Seen::Body(unescape(rest))),
        "end" => Expected::Seen(Seen::BodyEnd),
        "answered" => Expected::Answered(unescape(rest)),
        "refused" => {
            let (status, words) = rest.split_once(' ').unwrap_or((rest, ""));
            Expected::Refused(status.parse().ok()?, words.to_owned())
        }
        "close" => Expected::Close(rest.to_owned()),
        "state" => {
            case.state = Some(match rest {
                "idle" => ProtocolState::Idle,
                "head" => ProtocolState::Head,
                "body" => ProtocolState::Body,
                "closed" => ProtocolState::Closed,
                _ => return None,
            });
            return Some(());
        }
        _ => return None,
    };
    case.events.push(event);
    Some(())
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let escape = &rest[at + 1..];
        let (byte, length) = match escape.as_bytes().first() {
            Some(b'r') => (b'\r', 1),
            Some(b'n') => (b'\n', 1),
            Some(b't') => (b'\t', 1),
            Some(b'0') => (0, 1),
            Some(b'\\') => (b'\\', 1),
            Some(b'x') => (u8::from_str_radix(&escape[1..3], 16).expect("two hex digits"), 3),
            Some(b'*') => {
                let (count, after) = escape[1..].split_once('{').expect("a count and {");
                let (what, after) = after.split_once('}').expect("a closing }");
                let count = count.parse().expect("a number");
                bytes.extend(unescape(what).repeat(count));
                rest = after;
                continue;
            }
            _ => panic!("unknown escape: {text}"),
        };
        bytes.push(byte);
        rest = &escape[length..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}
