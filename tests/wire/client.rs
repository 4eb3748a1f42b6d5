//! A small HTTP client that reads answers by the letter of RFC 9112 and knows nothing of the code it tests.

/// An answer as a client understands it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) line: String,
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// May another request follow?
    pub(crate) persistent: bool,
}

impl Answer {
    /// All values of a field.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let matching = self.fields.iter().filter(|(have, _)| have == name);
        matching.map(|(_, value)| value.as_str()).collect()
    }

    /// Has it this field?
    pub(crate) fn has(&self, name: &str) -> bool {
        !self.all(name).is_empty()
    }
}

/// Reads one answer from the front of `bytes`; gives what follows it. `closed`: no more will come.
pub(crate) fn read(bytes: &[u8], is_head: bool, closed: bool) -> Result<(Answer, &[u8]), String> {
    let head_end = find(bytes, b"\r\n\r\n").ok_or("a head without an end")?;
    let head = std::str::from_utf8(&bytes[..head_end]).map_err(|error| error.to_string())?;
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap_or_default().to_owned();
    let mut words = line.splitn(3, ' ');
    let version = words.next().unwrap_or_default();
    let status: u16 = words
        .next()
        .and_then(|word| word.parse().ok())
        .ok_or("a status line without a status")?;
    words.next().ok_or("a status line without a second space")?;
    if !version.starts_with("HTTP/") || head.contains('\n') && head.replace("\r\n", "").contains(['\r', '\n'])
    {
        return Err(format!("a malformed head: {head:?}"));
    }
    let mut fields = Vec::new();
    for field in lines {
        let (name, value) = field.split_once(": ").ok_or("a field without a colon")?;
        fields.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let mut answer = Answer {
        line,
        status,
        fields,
        body: Vec::new(),
        persistent: true,
    };
    let connection = answer.all("connection").join(",").to_ascii_lowercase();
    answer.persistent = !connection.contains("close");
    let rest = &bytes[head_end + 4..];
    let lengths = answer.all("content-length");
    let codings = answer.all("transfer-encoding");
    if !lengths.is_empty() && !codings.is_empty() || lengths.len() > 1 || codings.len() > 1 {
        return Err("ambiguous framing".into());
    }
    let length = lengths
        .first()
        .map(|length| length.parse::<usize>().expect("a number"));
    if is_head || status < 200 || status == 204 || status == 304 {
        return Ok((answer, rest));
    }
    if codings == ["chunked"] {
        let (body, rest) = chunks(rest)?;
        answer.body = body;
        return Ok((answer, rest));
    }
    if let Some(length) = length {
        let body = rest
            .get(..length)
            .ok_or("a body shorter than its Content-Length")?;
        answer.body = body.to_vec();
        return Ok((answer, &rest[length..]));
    }
    if !closed {
        return Err("a body that never ends".into());
    }
    answer.persistent = false;
    answer.body = rest.to_vec();
    Ok((answer, b""))
}

fn chunks(mut rest: &[u8]) -> Result<(Vec<u8>, &[u8]), String> {
    let mut body = Vec::new();
    loop {
        let line_end = find(rest, b"\r\n").ok_or("a chunk without a size")?;
        let size = std::str::from_utf8(&rest[..line_end]).map_err(|error| error.to_string())?;
        let size = usize::from_str_radix(size, 16).map_err(|error| error.to_string())?;
        rest = &rest[line_end + 2..];
        let data = rest.get(..size).ok_or("a chunk that is cut short")?;
        rest = rest[size..]
            .strip_prefix(b"\r\n")
            .ok_or("a chunk without an end")?;
        if size == 0 {
            return Ok((body, rest));
        }
        body.extend_from_slice(data);
    }
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}
