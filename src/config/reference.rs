//! `docs/options.md`: the reference of options, made from their table.

use std::fmt::Write;

use super::definition::{Definition, Kind, Status, Theme};
use super::table;

/// The text of `docs/options.md`, which `uwrs --help=markdown` prints.
pub(super) fn markdown() -> String {
    let mut text = String::from(INTRODUCTION);
    for theme in Theme::ALL {
        let works = |known: &&Definition| {
            known.theme == theme
                && matches!(
                    known.status,
                    Status::Works | Status::Directive | Status::Command | Status::Always(_)
                )
        };
        let rows: Vec<String> = table::options().filter(works).map(row).collect();
        if rows.is_empty() {
            continue;
        }
        let _ = write!(
            text,
            "\n## {theme}\n\n| option | value | default | |\n| --- | --- | --- | --- |\n"
        );
        text.extend(rows);
    }
    text.push_str(UNNEEDED);
    for known in table::options() {
        if let Status::Unneeded(why) = known.status {
            let _ = writeln!(text, "| {} | {} |", names(known), cell(why));
        }
    }
    text.push_str(REFUSED);
    for known in table::options() {
        if let Status::Refused(way_out) = known.status {
            let _ = writeln!(text, "| {} | {} |", names(known), cell(way_out));
        }
    }
    text.push_str(LATER);
    for theme in Theme::ALL {
        let rows = later(theme);
        if !rows.is_empty() {
            let _ = write!(text, "\n**{theme}**\n\n| option | meanwhile |\n| --- | --- |\n");
            text.extend(rows);
        }
    }
    text
}

/// A row for each way out, with all the options that share it; those without one come last.
fn later(theme: Theme) -> Vec<String> {
    let mut rows: Vec<(&str, Vec<String>)> = Vec::new();
    for known in table::options().filter(|known| known.theme == theme) {
        let Status::NotYet(meanwhile) = known.status else {
            continue;
        };
        match rows.iter_mut().find(|(other, _)| *other == meanwhile) {
            Some((_, options)) => options.push(names(known)),
            None => rows.push((meanwhile, vec![names(known)])),
        }
    }
    rows.sort_by_key(|(meanwhile, _)| meanwhile.is_empty());
    rows.iter()
        .map(|(meanwhile, options)| format!("| {} | {} |\n", options.join(", "), cell(meanwhile)))
        .collect()
}

const INTRODUCTION: &str = "# Options

<!-- Made from the table in src/config/table by `uwrs --help=markdown`; a test compares it. -->

Every option is a key of an INI file, below `[uwsgi]`, and a long flag of the command line: `http = :8000` and
`--http :8000` are one. Names are uWSGI's where uWSGI has the option. How files are read is told in [ini.md](ini.md).

An option marked *adds up* may be given several times, and each counts; of the others the last one counts: what
the environment says (`UWSGI_HTTP`, `UWRS_HTTP`) gives way to files, and files to flags.
";

const UNNEEDED: &str = "
## Not needed

These are accepted and ignored; nothing is lost by that. A line of the log, or of `--check`, says so.

| option | because |
| --- | --- |
";

const REFUSED: &str = "
## Refused

Without these nothing would work as it was meant, so they are errors.

| option | the way out |
| --- | --- |
";

const LATER: &str = "
## Not supported yet

These are accepted and ignored, with a warning that names the line and what to do meanwhile. All other options of uWSGI are
known by name and ignored in the same way, so that they can be told from typing errors.
";

fn row(known: &Definition) -> String {
    let value = match (known.kind, known.kind.value_name()) {
        (Kind::Flag, _) => "true, false".to_owned(),
        (_, "") => String::new(),
        (_, name) => format!("`{}`", cell(name)),
    };
    let default = match (known.default, known.unlike) {
        ("", _) => String::new(),
        (default, None) => format!("`{default}`"),
        (default, Some(unlike)) => format!("`{default}` (uWSGI: `{unlike}`)"),
    };
    let repeats = known.repeats && known.status == Status::Works;
    let adds_up = if repeats { "; *adds up*" } else { "" };
    let always = match known.status {
        Status::Always(_) => "; always so",
        _ => "",
    };
    format!(
        "| {} | {value} | {default} | {}{adds_up}{always} |\n",
        names(known),
        cell(known.help)
    )
}

fn names(known: &Definition) -> String {
    let mut names: Vec<String> = known.names().map(|name| format!("`{name}`")).collect();
    names.extend(known.short.map(|short| format!("`-{short}`")));
    names.join(", ")
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_in_docs_is_what_the_table_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/options.md");
        if std::env::var_os("UWRS_WRITE_DOCS").is_some() {
            std::fs::write(path, markdown()).expect("docs/ can be written");
        }
        let page = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            page == markdown(),
            "docs/options.md is out of date: run `UWRS_WRITE_DOCS=1 cargo test --lib reference` to write it anew"
        );
    }
}
