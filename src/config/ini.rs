//! The text of an INI file: sections, and in them keys with values, each with its line's number, in order.
//!
//! Splitting the text is the `configparser` crate's work. Its map forgets the order of keys and all but the last of
//! repeated ones, and a uWSGI configuration lives by both; so each key goes in tagged with its line (`12|env`), and
//! comes out unique and with its place. Here is also the place where text that the crate would read in another way
//! than uWSGI is straightened. What keys mean is not known here, placeholders are not either.

use configparser::ini::{Ini, IniDefault};

/// A key and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Its number in the file, from 1.
    pub number: usize,
    /// The key.
    pub key: String,
    /// The value; empty for a key without `=`.
    pub value: String,
}

/// Something in the text that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// The line's number, from 1.
    pub line: usize,
    /// What is wrong, and the way out.
    pub reason: &'static str,
}

/// A file that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Document {
    sections: Vec<Section>,
    /// Lines that are wrong although they may work: to be told, not refused.
    pub remarks: Vec<Fault>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Section {
    name: String,
    lines: Vec<Line>,
    faults: Vec<Fault>,
}

impl Document {
    /// Reads the bytes of a file.
    pub(super) fn read(bytes: &[u8]) -> Self {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let mut document = Self::default();
        let tagged = document.tag(bytes);
        document.collect(tagged);
        document
    }

    /// The names of its sections, in order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.sections.iter().map(|section| section.name.as_str())
    }

    /// The lines of a section in the file's order, those of its repetitions behind it; `None`: there is no such
    /// section.
    pub(super) fn section(&self, name: &str) -> Option<(&[Line], &[Fault])> {
        let section = self.sections.iter().find(|section| section.name == name)?;
        Some((&section.lines, &section.faults))
    }

    /// Makes of the file a text which the crate reads as uWSGI would. Names of sections are replaced by their
    /// place in `self.sections`, so that whatever they hold cannot be misread; lines that cannot be read go to the
    /// faults of their section.
    fn tag(&mut self, bytes: &[u8]) -> String {
        let mut tagged = String::with_capacity(bytes.len() + bytes.len() / 4);
        let mut current = None;
        for (line, bytes) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
            let bytes = bytes.trim_ascii();
            if bytes.is_empty() || matches!(bytes[0], b';' | b'#') {
                continue;
            }
            if bytes[0] == b'[' {
                let (name, faults) = section_name(bytes, line);
                self.remarks.extend(faults);
                let index = self.index_of(name);
                tagged.push_str(&format!("[{index}]\n"));
                current = Some(index);
                continue;
            }
            let Some(index) = current else {
                // A file of another kind has many of them.
                if self.remarks.is_empty() {
                    let reason = "what stands before the first section is ignored: put [uwsgi] above it";
                    self.remarks.push(Fault { line, reason });
                }
                continue;
            };
            match readable(bytes) {
                Ok(text) => tagged.push_str(&format!("{line}|{text}\n")),
                Err(reason) => self.sections[index].faults.push(Fault { line, reason }),
            }
        }
        tagged
    }

    fn index_of(&mut self, name: String) -> usize {
        if let Some(index) = self.sections.iter().position(|section| section.name == name) {
            return index;
        }
        self.sections.push(Section {
            name,
            ..Section::default()
        });
        self.sections.len() - 1
    }

    /// Has the crate read the text, and puts the lines back in their order.
    fn collect(&mut self, tagged: String) {
        let map = parser()
            .read(tagged)
            .expect("every section has its bracket and every key its tag");
        for (index, keys) in map {
            let index: usize = index.parse().expect("sections are named by their place");
            let lines = keys.into_iter().map(|(tagged, value)| {
                let (number, key) = tagged.split_once('|').expect("every key has its tag");
                Line {
                    number: number.parse().expect("the tag is a line's number"),
                    key: key.trim_start().to_owned(),
                    value: value.unwrap_or_default(),
                }
            });
            let section = &mut self.sections[index];
            section.lines = lines.collect();
            section.lines.sort_by_key(|line| line.number);
        }
    }
}

/// The crate as uWSGI's dialect wants it: names in their own case, `=` alone splits, no comments behind values, no
/// values over several lines.
fn parser() -> Ini {
    let mut dialect = IniDefault::default();
    dialect.case_sensitive = true;
    dialect.multiline = false;
    dialect.enable_inline_comments = false;
    dialect.delimiters = vec!['='];
    dialect.comment_symbols = Vec::new();
    Ini::new_from_defaults(dialect)
}

/// What is between the brackets, and what is wrong with the line.
fn section_name(bytes: &[u8], line: usize) -> (String, Option<Fault>) {
    let inside = &bytes[1..];
    let (name, reason) = match inside.iter().position(|byte| *byte == b']') {
        Some(end) => {
            let behind = inside[end + 1..].trim_ascii();
            let is_plain = behind.is_empty() || matches!(behind[0], b';' | b'#');
            let reason = "what is behind the section's ] is ignored";
            (&inside[..end], (!is_plain).then_some(reason))
        }
        None => (inside, Some("the section's name has no ] at its end")),
    };
    let name = String::from_utf8_lossy(name.trim_ascii()).into_owned();
    (name, reason.map(|reason| Fault { line, reason }))
}

/// A line's text, if it can be a key and a value.
fn readable(bytes: &[u8]) -> Result<&str, &'static str> {
    if bytes.contains(&0) {
        return Err("holds a NUL byte");
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|_| "is not UTF-8: save the file as UTF-8 (iconv -f latin1 -t utf-8)")?;
    let key = text.split_once('=').map_or(text, |(key, _)| key);
    if key.trim().is_empty() {
        return Err("has no name in front of its value");
    }
    Ok(text)
}
