//! Placeholders: `$(ENVIRONMENT)`, `@(file)` and `%(name)`, filled in once everything is read.
//!
//! uWSGI fills them in in three passes over all values, and leaves what a placeholder brings in half filled. Here
//! each is filled in to the end, and one that leads back to itself is refused.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use super::host::Host;
use super::problem::cannot_read;

/// A value may grow to this many bytes by its placeholders; past it something repeats itself.
const LARGEST_VALUE: usize = 128 << 10;

/// Placeholders may lead to others this often.
const DEEPEST: usize = 64;

/// The first value that was given for each name.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    /// By flags: what is said on the command line goes before everything else here too.
    pub flags: HashMap<String, String>,
    /// By the environment.
    pub environment: HashMap<String, String>,
    /// By files.
    pub files: HashMap<String, String>,
}

impl Names {
    /// The value that `%(name)` stands for, placeholders in it not filled in.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        [&self.flags, &self.environment, &self.files]
            .into_iter()
            .find_map(|values| values.get(name))
            .map(String::as_str)
    }
}

/// Fills in placeholders, and keeps book of what it met.
pub(super) struct Expander<'a> {
    host: &'a dyn Host,
    environment: &'a HashMap<String, String>,
    names: &'a Names,
    done: HashMap<String, String>,
    active: Vec<String>,
    /// Names that were asked for, known or not: of placeholders and of environment variables.
    pub referenced: BTreeSet<String>,
    /// What stands for nothing and was left as it is, since this was last emptied.
    pub unknown: Vec<String>,
}

impl<'a> Expander<'a> {
    /// An expander over these names.
    pub(super) fn new(
        host: &'a dyn Host,
        environment: &'a HashMap<String, String>,
        names: &'a Names,
    ) -> Self {
        Self {
            host,
            environment,
            names,
            done: HashMap::new(),
            active: Vec::new(),
            referenced: BTreeSet::new(),
            unknown: Vec::new(),
        }
    }

    /// Fills in the placeholders of a value. Fails with the reason when a file cannot be read, when a placeholder
    /// leads back to itself, or when the value grows without end.
    pub(super) fn expand(&mut self, text: &str) -> Result<String, String> {
        let text = self.fill_environment(text);
        let text = self.fill_files(&text)?;
        self.fill_names(&text, 0)
    }

    fn fill_environment(&mut self, text: &str) -> String {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, name, after)) = split_group(rest, "$(") {
            filled.push_str(before);
            self.referenced.insert(name.to_owned());
            match self.environment.get(name) {
                Some(value) => filled.push_str(value),
                None => {
                    let left = format!("$({name})");
                    filled.push_str(&left);
                    self.unknown.push(left);
                }
            }
            rest = after;
        }
        filled.push_str(rest);
        filled
    }

    fn fill_files(&mut self, text: &str) -> Result<String, String> {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, name, after)) = split_group(rest, "@(") {
            filled.push_str(before);
            filled.push_str(&self.file(name)?);
            rest = after;
            too_large(&filled)?;
        }
        filled.push_str(rest);
        Ok(filled)
    }

    fn file(&self, name: &str) -> Result<String, String> {
        if name.contains("://") {
            return Err(format!("@({name}): only files can be read"));
        }
        let path = self.host.facts().directory.join(Path::new(name));
        let bytes = self
            .host
            .read(&path)
            .map_err(|error| cannot_read(name, &path, &error))?;
        let mut text = String::from_utf8(bytes).map_err(|_| format!("@({name}): not UTF-8"))?;
        if text.ends_with('\n') {
            text.pop();
        }
        if text.contains('\0') {
            return Err(format!("@({name}): holds a NUL byte"));
        }
        Ok(text)
    }

    fn fill_names(&mut self, text: &str, depth: usize) -> Result<String, String> {
        if depth > DEEPEST {
            return Err("placeholders lead to placeholders without end".to_owned());
        }
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, inside, after)) = split_balanced(rest) {
            filled.push_str(before);
            let inside = self.fill_names(inside, depth + 1)?;
            match self.evaluate(&inside, depth)? {
                Some(value) => filled.push_str(&value),
                None => {
                    let left = format!("%({inside})");
                    filled.push_str(&left);
                    self.unknown.push(left);
                }
            }
            rest = after;
            too_large(&filled)?;
        }
        filled.push_str(rest);
        Ok(filled)
    }

    /// What `%(inside)` stands for; `None`: for nothing.
    fn evaluate(&mut self, inside: &str, depth: usize) -> Result<Option<String>, String> {
        if let Some(value) = self.named(inside, depth)? {
            return Ok(Some(value));
        }
        let tokens = tokens(inside);
        if tokens.len() < 2 {
            return Ok(None);
        }
        let mut sum = Sum::default();
        for token in tokens {
            match token {
                "(" => sum.open(),
                ")" => sum.close(),
                "+" | "-" | "*" | "/" | "++" | "--" => sum.operate(token),
                _ if is_number(token) => sum.take(token.to_owned()),
                name => match self.named(name, depth)? {
                    Some(value) => sum.take(value),
                    None => self.unknown.push(format!("%({name})")),
                },
            }
        }
        Ok(Some(sum.total()))
    }

    /// The value of a name, filled in.
    fn named(&mut self, name: &str, depth: usize) -> Result<Option<String>, String> {
        self.referenced.insert(name.to_owned());
        if let Some(value) = self.done.get(name) {
            return Ok(Some(value.clone()));
        }
        let Some(value) = self.names.value(name) else {
            return Ok(None);
        };
        if self.active.iter().any(|active| active == name) {
            let mut chain = self.active.join(") → %(");
            chain.push_str(") → %(");
            chain.push_str(name);
            return Err(format!("leads back to itself: %({chain})"));
        }
        self.active.push(name.to_owned());
        let text = self.fill_environment(value);
        let filled = self
            .fill_files(&text)
            .and_then(|text| self.fill_names(&text, depth + 1));
        self.active.pop();
        let filled = filled?;
        self.done.insert(name.to_owned(), filled.clone());
        Ok(Some(filled))
    }
}

fn too_large(text: &str) -> Result<(), String> {
    if text.len() > LARGEST_VALUE {
        return Err("grows past 128 KiB by its placeholders".to_owned());
    }
    Ok(())
}

/// What is in front of the first `opening…)`, in it, and behind it.
fn split_group<'a>(text: &'a str, opening: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let (before, rest) = text.split_once(opening)?;
    let (inside, after) = rest.split_once(')')?;
    Some((before, inside, after))
}

/// What is in front of the first `%(…)`, in it, and behind it; parentheses inside it in pairs, where they are.
pub(super) fn split_balanced(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once("%(")?;
    let mut depth = 0;
    for (at, byte) in rest.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' if depth == 0 => return Some((before, &rest[..at], &rest[at + 1..])),
            b')' => depth -= 1,
            _ => {}
        }
    }
    let (inside, after) = rest.split_once(')')?;
    Some((before, inside, after))
}

/// Words, and parentheses where they are in pairs: a name may hold one, and then they are part of it.
fn tokens(inside: &str) -> Vec<&str> {
    if !inside.contains(' ') {
        return vec![inside];
    }
    let opened = inside.matches('(').count();
    if opened != inside.matches(')').count() {
        return inside.split_whitespace().collect();
    }
    inside
        .split_whitespace()
        .flat_map(|word| word.split_inclusive(['(', ')']))
        .flat_map(|piece| match piece.char_indices().last() {
            Some((at, '(' | ')')) => [&piece[..at], &piece[at..]],
            _ => [piece, ""],
        })
        .filter(|token| !token.is_empty())
        .collect()
}

fn is_number(token: &str) -> bool {
    token.bytes().all(|byte| byte.is_ascii_digit())
}

/// uWSGI's arithmetic: strictly from left to right, values side by side are joined as text, whatever is no number
/// is 0, and so is what is divided by 0.
#[derive(Default)]
struct Sum {
    value: String,
    operator: Option<char>,
    outer: Vec<(String, Option<char>)>,
}

impl Sum {
    fn take(&mut self, value: String) {
        let Some(operator) = self.operator.take() else {
            // What is too large is refused in the end; until then it need not grow.
            if self.value.len() <= LARGEST_VALUE {
                self.value.push_str(&value);
            }
            return;
        };
        let (left, right) = (leading_number(&self.value), leading_number(&value));
        let result = match operator {
            '+' => left.wrapping_add(right),
            '-' => left.wrapping_sub(right),
            '*' => left.wrapping_mul(right),
            _ => left.checked_div(right).unwrap_or(0),
        };
        self.value = result.to_string();
    }

    fn operate(&mut self, token: &str) {
        match token {
            "++" => self.value = leading_number(&self.value).wrapping_add(1).to_string(),
            "--" => self.value = leading_number(&self.value).wrapping_sub(1).to_string(),
            _ => self.operator = token.chars().next(),
        }
    }

    fn open(&mut self) {
        let value = std::mem::take(&mut self.value);
        self.outer.push((value, self.operator.take()));
    }

    fn close(&mut self) {
        let Some((value, operator)) = self.outer.pop() else {
            return;
        };
        let inner = std::mem::replace(&mut self.value, value);
        self.operator = operator;
        self.take(inner);
    }

    fn total(mut self) -> String {
        while !self.outer.is_empty() {
            self.close();
        }
        self.value
    }
}

/// The number a text begins with, as C's `atoi` reads it; 0 without one.
fn leading_number(text: &str) -> i64 {
    let text = text.trim_start();
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let number = digits
        .bytes()
        .take_while(u8::is_ascii_digit)
        .fold(0i64, |sum, digit| {
            sum.saturating_mul(10).saturating_add(i64::from(digit - b'0'))
        });
    if negative { -number } else { number }
}
