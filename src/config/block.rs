//! Blocks: `if-env` … `else` … `endif` and `for` … `endfor`, decided while the configuration is read. They nest.

use super::glob;
use super::host::FileKind;
use super::placeholder::split_balanced;
use super::plugins;
use super::reader::{Reader, Said};

/// Blocks may stand in blocks this often.
const DEEPEST: usize = 32;

/// Takes in `lines`, in blocks as their conditions and loops say. `item` is what `%(_)` stands for.
pub(super) fn run(reader: &mut Reader<'_>, lines: &[Said], item: Option<&str>) {
    run_at(reader, lines, item, 0);
}

fn run_at(reader: &mut Reader<'_>, lines: &[Said], item: Option<&str>, depth: usize) {
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        at += 1;
        if !reader.has_room(1, &line.origin) {
            return;
        }
        let line = with_item(line, item);
        if !opens(&line.name) {
            reader.take(line);
            continue;
        }
        if depth == DEEPEST {
            let reason = format!("more than {DEEPEST} blocks in each other");
            reader.problems.error(&line.origin, &line.name, reason);
            return;
        }
        let block = Block::find(&lines[at..]);
        at += block.length;
        if !block.is_closed {
            let reason = "has no end: what follows up to the end of the section belongs to it";
            reader.problems.warn(&line.origin, &line.name, reason);
        }
        run_block(reader, &line, &block, item, depth);
    }
}

fn run_block(reader: &mut Reader<'_>, line: &Said, block: &Block<'_>, item: Option<&str>, depth: usize) {
    if line.name.starts_with("for") {
        let items = items(reader, line);
        if !reader.has_room(items.len(), &line.origin) {
            return;
        }
        for item in items {
            run_at(reader, block.body, Some(&item), depth + 1);
        }
        return;
    }
    match condition(reader, line) {
        Decision::Holds(own) => {
            let item = own.as_deref().or(item);
            run_at(reader, block.body, item, depth + 1);
        }
        Decision::Fails => run_at(reader, block.otherwise, item, depth + 1),
        Decision::Unknown => {}
    }
}

/// What stands between the opening of a block and its end.
struct Block<'a> {
    body: &'a [Said],
    otherwise: &'a [Said],
    length: usize,
    is_closed: bool,
}

impl<'a> Block<'a> {
    fn find(lines: &'a [Said]) -> Self {
        let mut depth = 0;
        let mut split = None;
        for (at, line) in lines.iter().enumerate() {
            match line.name.as_str() {
                name if opens(name) => depth += 1,
                name if closes(name) && depth == 0 => {
                    return Self::new(&lines[..at], split, at + 1, true);
                }
                name if closes(name) => depth -= 1,
                "else" if depth == 0 && split.is_none() => split = Some(at),
                _ => {}
            }
        }
        Self::new(lines, split, lines.len(), false)
    }

    fn new(lines: &'a [Said], split: Option<usize>, length: usize, is_closed: bool) -> Self {
        let (body, otherwise) = match split {
            Some(at) => (&lines[..at], &lines[at + 1..]),
            None => (lines, &lines[..0]),
        };
        Self {
            body,
            otherwise,
            length,
            is_closed,
        }
    }
}

fn opens(name: &str) -> bool {
    let is_loop = name == "for" || name.starts_with("for-");
    is_loop || name.starts_with("if-") || is_short_if(name)
}

fn is_short_if(name: &str) -> bool {
    matches!(name, "ifenv" | "ifexists" | "ifdir" | "ifplugin")
}

fn closes(name: &str) -> bool {
    matches!(name, "endif" | "end-if" | "endfor" | "end-for" | "end")
}

enum Decision {
    /// And what `%(_)` stands for in the block.
    Holds(Option<String>),
    Fails,
    /// It cannot be told: neither branch is taken.
    Unknown,
}

fn condition(reader: &mut Reader<'_>, line: &Said) -> Decision {
    let Some(value) = reader.expand(line) else {
        return Decision::Unknown;
    };
    let (name, is_negated) = match line.name.strip_prefix("if-not-") {
        Some(name) => (name, true),
        None => (line.name.trim_start_matches("if").trim_start_matches('-'), false),
    };
    let kind = reader.host.kind(&reader.locate(&value));
    let holds = match name {
        "env" => environment(reader, &value),
        "opt" => option(reader, &value),
        "exists" => kind.is_some().then_some(value),
        "file" => (kind == Some(FileKind::File)).then_some(value),
        "dir" | "directory" => (kind == Some(FileKind::Directory)).then_some(value),
        "hostname" => (reader.host.facts().hostname == value).then_some(value),
        "plugin" => plugins::is_built_in(&value).then_some(value),
        "reload" => reader.host.facts().reload.then_some(value),
        _ => {
            let reason = "this condition is not supported yet: the whole block is skipped";
            reader.problems.warn(&line.origin, &line.name, reason);
            return Decision::Unknown;
        }
    };
    match (holds, is_negated) {
        (Some(item), false) => Decision::Holds(Some(item)),
        (None, true) => Decision::Holds(None),
        _ => Decision::Fails,
    }
}

fn environment(reader: &mut Reader<'_>, asked: &str) -> Option<String> {
    let (name, wanted) = name_and_value(asked);
    reader.refer(name);
    let value = reader.environment.get(name)?;
    wanted.is_none_or(|wanted| wanted == value).then(|| value.clone())
}

fn option(reader: &mut Reader<'_>, asked: &str) -> Option<String> {
    let (name, wanted) = name_and_value(asked);
    reader.refer(name);
    let value = reader.names.value(name)?;
    wanted
        .is_none_or(|wanted| wanted == value)
        .then(|| value.to_owned())
}

fn name_and_value(asked: &str) -> (&str, Option<&str>) {
    match asked.split_once('=') {
        Some((name, value)) => (name.trim(), Some(value.trim())),
        None => (asked, None),
    }
}

fn items(reader: &mut Reader<'_>, line: &Said) -> Vec<String> {
    let Some(value) = reader.expand(line) else {
        return Vec::new();
    };
    match line.name.as_str() {
        "for" => value.split_whitespace().map(str::to_owned).collect(),
        "for-glob" => {
            let pattern = reader.locate(&value);
            let paths = glob::expand(&pattern.to_string_lossy(), reader.host);
            paths.iter().map(|path| path.display().to_string()).collect()
        }
        "for-readline" => lines_of(reader, line, &value),
        "for-times" => match value.trim().parse::<usize>() {
            // A loop past this has run away, and is told where it runs.
            Ok(times) => (1..=times.min(30_000)).map(|count| count.to_string()).collect(),
            Err(_) => {
                let reason = format!("not a number: \"{value}\"");
                reader.problems.error(&line.origin, &line.name, reason);
                Vec::new()
            }
        },
        _ => {
            let reason = "this loop is not supported yet: the whole block is skipped";
            reader.problems.warn(&line.origin, &line.name, reason);
            Vec::new()
        }
    }
}

fn lines_of(reader: &mut Reader<'_>, line: &Said, file: &str) -> Vec<String> {
    let path = reader.locate(file);
    match reader.host.read(&path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes)
            .lines()
            .map(|line| line.trim().to_owned())
            .filter(|line| !line.is_empty())
            .collect(),
        Err(error) => {
            let reason = super::problem::cannot_read(file, &path, &error);
            reader.problems.error(&line.origin, &line.name, reason);
            Vec::new()
        }
    }
}

/// The line with `%(_)` replaced: the item changes with the next turn, so it cannot wait for the other placeholders.
fn with_item(line: &Said, item: Option<&str>) -> Said {
    let Some(item) = item.filter(|_| line.value.contains("%(")) else {
        return line.clone();
    };
    Said {
        value: replace_item(&line.value, item),
        ..line.clone()
    }
}

fn replace_item(text: &str, item: &str) -> String {
    let mut replaced = String::with_capacity(text.len() + item.len());
    let mut rest = text;
    while let Some((before, inside, after)) = split_balanced(rest) {
        replaced.push_str(before);
        if inside == "_" {
            replaced.push_str(item);
        } else {
            let words = inside.split(' ');
            let words: Vec<&str> = words.map(|word| if word == "_" { item } else { word }).collect();
            replaced.push_str(&format!("%({})", words.join(" ")));
        }
        rest = after;
    }
    replaced.push_str(rest);
    replaced
}
