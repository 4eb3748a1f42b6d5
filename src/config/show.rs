//! `--show-config`: what was said, where it came from, what it became.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::definition::Status;
use super::said::{Options, Origin, Setting};
use super::table;

/// The text of `--show-config`. `became` holds what settings became, by their place.
pub(super) fn show(options: &Options, became: &BTreeMap<usize, String>) -> String {
    let mut text = String::new();
    let rows: Vec<[String; 3]> = options
        .settings()
        .iter()
        .map(|setting| row(options, setting, became))
        .collect();
    let width = |column: usize, most: usize| {
        let longest = rows.iter().map(|row| row[column].chars().count()).max();
        longest.unwrap_or_default().min(most)
    };
    let (origins, said) = (width(0, 40), width(1, 60));
    for [origin, said_text, became] in &rows {
        let line = format!("{origin:origins$}  {said_text:said$}  {became}");
        let _ = writeln!(text, "{}", line.trim_end());
    }
    if rows.is_empty() {
        text.push_str("nothing was said\n");
    }
    show_defaults(&mut text, options);
    text
}

fn row(options: &Options, setting: &Setting, became: &BTreeMap<usize, String>) -> [String; 3] {
    let written = match setting.written.as_str() {
        "" => setting.name.clone(),
        value => format!("{} = {value}", setting.name),
    };
    let origin = match &setting.origin {
        Origin::Flag(_) => "command line".to_owned(),
        origin => origin.to_string(),
    };
    let meaning = meaning(options, setting, became);
    let arrow = if meaning.is_empty() || meaning == setting.written {
        ""
    } else {
        "→ "
    };
    let meaning = if arrow.is_empty() { String::new() } else { meaning };
    [origin, written, format!("{arrow}{meaning}")]
}

fn meaning(options: &Options, setting: &Setting, became: &BTreeMap<usize, String>) -> String {
    let Some(definition) = setting.definition else {
        let ignored = table::foreign(&setting.name).is_some();
        return if ignored {
            "ignored: uwrs does not have it".to_owned()
        } else {
            format!("{} (a placeholder)", setting.value)
        };
    };
    match definition.status {
        Status::NotYet("") => return "ignored: not supported yet".to_owned(),
        Status::NotYet(meanwhile) => return format!("ignored: not supported yet: {meanwhile}"),
        Status::Unneeded(why) => return format!("ignored: {why}"),
        Status::Refused(way_out) => return format!("refused: {way_out}"),
        _ => {}
    }
    let winner = options.last(definition.name).filter(|_| !definition.repeats);
    if let Some(winner) = winner.filter(|winner| winner.place != setting.place) {
        return format!("overridden by {}", winner.origin);
    }
    became
        .get(&setting.place)
        .cloned()
        .unwrap_or_else(|| setting.value.clone())
}

fn show_defaults(text: &mut String, options: &Options) {
    let silent =
        table::options().filter(|known| known.unlike.is_some() && options.last(known.name).is_none());
    let defaults: Vec<String> = silent
        .map(|known| {
            let unlike = known.unlike.unwrap_or_default();
            format!("{} = {}  (uWSGI: {unlike})", known.name, known.default)
        })
        .collect();
    if !defaults.is_empty() {
        text.push_str("\ndefaults that are not uWSGI's:\n");
        for default in defaults {
            let _ = writeln!(text, "  {default}");
        }
    }
}
