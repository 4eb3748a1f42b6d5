//! The command line, read by `clap` from the table of options.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Command as Parser};

use super::definition::{Arity, Definition, Kind, Status, Theme};
use super::reader::Said;
use super::said::Origin;
use super::table;

/// The name of the argument that collects what is no flag.
const FILES: &str = "FILE[:SECTION]";

/// What the command line says, in its order.
#[derive(Clone, Debug, Default)]
pub(super) struct CommandLine {
    /// A command and its value, if one was given.
    pub commands: Vec<(&'static str, String)>,
    /// Files and options.
    pub said: Vec<Said>,
}

/// Reads the arguments behind the program's name. Fails with the reason.
pub(super) fn read(arguments: impl Iterator<Item = OsString>) -> Result<CommandLine, String> {
    let arguments = arguments
        .map(|argument| {
            argument
                .into_string()
                .map(with_equals_sign)
                .map_err(|argument| format!("{}: not UTF-8", argument.to_string_lossy()))
        })
        .collect::<Result<Vec<String>, String>>()?;
    let matches = parser(&arguments)
        .try_get_matches_from(&arguments)
        .map_err(|error| reason(&error))?;
    let mut found = Vec::new();
    for id in matches.ids() {
        let name = id.as_str();
        let values = matches.get_many::<String>(name).into_iter().flatten();
        let indices = matches.indices_of(name).into_iter().flatten();
        found.extend(
            values
                .zip(indices)
                .map(|(value, index)| (index, name, value.clone())),
        );
    }
    found.sort_by_key(|(index, ..)| *index);
    let mut line = CommandLine::default();
    for (_, name, value) in found {
        line.add(name, value)?;
    }
    Ok(line)
}

/// `-C660` as `-C=660`: clap takes what is behind a flag whose value may be left out for more flags.
fn with_equals_sign(argument: String) -> String {
    let mode = argument.strip_prefix("-C").unwrap_or_default();
    let is_mode = !mode.is_empty() && mode.bytes().all(|byte| byte.is_ascii_digit());
    if is_mode { format!("-C={mode}") } else { argument }
}

/// The text of `--help`.
pub(super) fn help() -> String {
    let mut parser = table::options()
        .filter(|known| is_shown(known))
        .fold(parser(&[]), |parser, known| match known.kind {
            // `--vacuum[=<BOOL>]` is what it is, and hard to read.
            Kind::Flag => parser.mut_arg(known.name, |argument| {
                argument.num_args(0).require_equals(false).value_name("")
            }),
            _ => parser,
        });
    parser.render_help().to_string()
}

impl CommandLine {
    fn add(&mut self, name: &str, value: String) -> Result<(), String> {
        if name == FILES {
            // The emperor of uWSGI shows where a vassal's configuration is in such words.
            if value.starts_with('[') {
                return Ok(());
            }
            self.said.push(file(value)?);
            return Ok(());
        }
        let definition = table::find(name);
        let flag = value.strip_prefix("--").and_then(table::find);
        if flag.is_some() && name != "pyargv" {
            return Err(format!("--{name}: needs a value, and {value} is a flag"));
        }
        match definition.filter(|known| known.status == Status::Command) {
            Some(command) => self.commands.push((command.name, value)),
            None => self.said.push(Said {
                name: name.to_owned(),
                value,
                origin: Origin::Flag(format!("--{name}")),
            }),
        }
        Ok(())
    }
}

/// A file that was named without a flag. Its name must look like that of an INI file, so that a mistyped flag or a
/// module does not end up here.
fn file(given: String) -> Result<Said, String> {
    let name = given
        .rsplit_once(':')
        .filter(|(_, section)| !section.contains('/'));
    let name = name.map_or(given.as_str(), |(name, _)| name);
    let extension = name.rsplit('/').next().and_then(|last| last.rsplit_once('.'));
    match extension.map(|(_, extension)| extension) {
        Some("ini") => {}
        // `-` is standard input, `:section` a section of the file before.
        None if name == "-" || name.is_empty() => {}
        Some("py" | "wsgi") => {
            return Err(format!(
                "{given}: not a configuration file; to serve it say --wsgi-file {given}"
            ));
        }
        Some("xml" | "yaml" | "yml" | "json" | "js") => {
            return Err(format!("{given}: only INI files are read: say the same in one"));
        }
        _ if given.bytes().all(|byte| byte.is_ascii_digit()) => {
            return Err(format!(
                "{given}: not the name of an INI file; an option that needs no value takes one behind =, as in \
                 --post-buffering={given}"
            ));
        }
        _ => {
            return Err(format!(
                "{given}: not the name of an INI file; if it is one, say --ini {given}"
            ));
        }
    }
    Ok(Said {
        name: "ini".to_owned(),
        origin: Origin::Argument(given.clone()),
        value: given,
    })
}

/// A parser of all options that are shown or have a short flag, and of the others that are used: there are more than
/// a thousand, and to tell the parser of them takes longer than all else that is done here.
fn parser(arguments: &[String]) -> Parser {
    let mut parser = Parser::new("uwrs")
        .no_binary_name(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .infer_long_args(true)
        .override_usage("uwrs [OPTIONS] [FILE.ini[:SECTION]]...")
        .about("An application server for Python, driven by an INI file")
        .after_help(
            "Every option is a key of an INI file too: `--http :8000` is `http = :8000` below [uwsgi].\n\
             An option without a value is yes or no: `--vacuum` is yes, `--vacuum=false` is no.\n\
             Other options of uWSGI are accepted, and told to be ignored.\n\n\
             Examples:\n  \
             uwrs .config/uwsgi.ini\n  \
             uwrs --http :8000 --chdir app --module config.wsgi\n  \
             uwrs --check uwsgi.ini",
        );
    let used = long_flags(arguments);
    let is_used = |definition: &Definition| definition.names().any(|name| used.contains(&name));
    for definition in table::options() {
        if !is_shown(definition) && definition.short.is_none() && !is_used(definition) {
            continue;
        }
        parser = parser.arg(argument(definition));
        for alias in definition.aliases {
            parser = parser.arg(hidden(alias, definition.kind.arity()));
        }
    }
    for name in foreign_flags(arguments) {
        let arity = table::foreign(name).unwrap_or(Arity::Optional);
        parser = parser.arg(hidden(name, arity));
    }
    parser.arg(
        Arg::new(FILES)
            .action(ArgAction::Append)
            .help("configuration files, read in this order")
            .help_heading(Theme::Files.to_string()),
    )
}

/// The long flags among the arguments, as they are written.
fn long_flags(arguments: &[String]) -> Vec<&str> {
    arguments
        .iter()
        .filter_map(|argument| argument.strip_prefix("--"))
        .map(|flag| flag.split_once('=').map_or(flag, |(name, _)| name))
        .collect()
}

/// The flags among them that are known by name only.
fn foreign_flags(arguments: &[String]) -> Vec<&str> {
    let mut names = long_flags(arguments);
    names.retain(|name| table::foreign(name).is_some());
    names.sort_unstable();
    names.dedup();
    names
}

/// Is it listed by `--help`? What steers the reading of files is of little use elsewhere.
fn is_shown(definition: &Definition) -> bool {
    let works = matches!(
        definition.status,
        Status::Works | Status::Command | Status::Always(_)
    );
    works || matches!(definition.name, "ini" | "set" | "set-placeholder" | "include")
}

fn argument(definition: &'static Definition) -> Arg {
    let argument = hidden(definition.name, definition.kind.arity())
        .hide(!is_shown(definition))
        .help(described(definition))
        .help_heading(definition.theme.to_string());
    let argument = match definition.short {
        Some(short) => argument.short(short),
        None => argument,
    };
    match definition.kind.value_name() {
        "" => argument,
        name => argument.value_name(name),
    }
}

fn hidden(name: &str, arity: Arity) -> Arg {
    let argument = Arg::new(name.to_owned())
        .long(name.to_owned())
        .action(ArgAction::Append)
        .hide(true);
    match arity {
        Arity::Required => argument.num_args(1).allow_hyphen_values(true),
        Arity::Optional => argument
            .num_args(0..=1)
            .require_equals(true)
            .value_name("BOOL")
            .default_missing_value(""),
    }
}

fn described(definition: &Definition) -> String {
    let mut text = definition.help.to_owned();
    if !definition.default.is_empty() {
        text.push_str(&format!(" [default: {}]", definition.default));
    }
    if !definition.aliases.is_empty() {
        text.push_str(&format!(" [also: {}]", definition.aliases.join(", ")));
    }
    text
}

/// What clap found wrong, in one line.
fn reason(error: &clap::Error) -> String {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let invalid = context(ContextKind::InvalidArg).unwrap_or_default();
    match error.kind() {
        ErrorKind::UnknownArgument => {
            let name = invalid.trim_start_matches('-');
            match table::nearest(name).filter(|_| invalid.starts_with("--")) {
                Some(near) => format!("{invalid}: unknown option, did you mean --{near}?"),
                None => format!("{invalid}: unknown option, see --help"),
            }
        }
        ErrorKind::InvalidValue | ErrorKind::WrongNumberOfValues | ErrorKind::TooFewValues => {
            let flag = invalid.split(' ').next().unwrap_or_default();
            format!("{flag}: needs a value")
        }
        _ => {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            line.trim_start_matches("error: ").to_owned()
        }
    }
}
