//! [`Definition`]: one option, told once. The command line, the INI keys, `--help`, `docs/options.md` and the tests
//! all come out of it.
//!
//! What an option does when it is set is not here: that is [`resolve`](super::resolve)'s business.

use std::fmt;

/// One option.
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    /// Its name, as in uWSGI where uWSGI has it.
    pub name: &'static str,
    /// Other names that mean the same.
    pub aliases: &'static [&'static str],
    /// Short flag on the command line.
    pub short: Option<char>,
    /// What its value is.
    pub kind: Kind,
    /// Its value when nothing is said, in the words of an INI file; empty: none.
    pub default: &'static str,
    /// uWSGI's default, where it is another one.
    pub unlike: Option<&'static str>,
    /// May it be given several times, each adding to the others?
    pub repeats: bool,
    /// The heading it is listed under.
    pub theme: Theme,
    /// What it does, in a sentence without a full stop.
    pub help: &'static str,
    /// Does it work?
    pub status: Status,
}

/// What the value of an option is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Yes or no; the name alone is yes.
    Flag,
    /// A whole number between these two.
    Number {
        /// The smallest.
        least: u64,
        /// The largest.
        most: u64,
        /// Of what: `BYTES`, `SECONDS`, `N`.
        unit: &'static str,
    },
    /// Yes or no, or a whole number of at most `most`: yes, 1 and the name alone are the default; no and 0 are 0.
    Amount {
        /// The largest.
        most: u64,
        /// Of what.
        unit: &'static str,
    },
    /// An octal mode.
    Octal,
    /// An octal mode; the name alone is 666.
    SocketMode,
    /// An address to listen on.
    Address,
    /// A file.
    File,
    /// A directory.
    Directory,
    /// Any text, with a word for it.
    Text(&'static str),
    /// Any text or none.
    OptionalText(&'static str),
}

impl Kind {
    /// A word for the value, for `--help` and the reference; empty for a flag.
    pub fn value_name(self) -> &'static str {
        match self {
            Self::Flag => "",
            Self::Number { unit, .. } | Self::Amount { unit, .. } => unit,
            Self::Octal | Self::SocketMode => "MODE",
            Self::Address => "ADDRESS",
            Self::File => "FILE",
            Self::Directory => "DIR",
            Self::Text(name) | Self::OptionalText(name) => name,
        }
    }

    /// How many values its command line flag takes.
    pub fn arity(self) -> Arity {
        match self {
            Self::Flag | Self::Amount { .. } | Self::SocketMode | Self::OptionalText(_) => Arity::Optional,
            _ => Arity::Required,
        }
    }
}

/// How many values a command line flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    /// None, or one behind `=`.
    Optional,
    /// One.
    Required,
}

/// The headings of `--help` and of the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Theme {
    /// What to do instead of serving.
    Commands,
    /// Where the configuration comes from.
    Files,
    /// Listening sockets and what they speak.
    Sockets,
    /// The application and its interpreter.
    Application,
    /// Processes, privileges, signals.
    Processes,
    /// What a client may send, how long things may take.
    Limits,
    /// Logs.
    Logging,
    /// Help while developing.
    Development,
    /// Parts of uWSGI beside the main job.
    More,
}

impl Theme {
    /// All, in the order in which they are listed.
    pub const ALL: [Self; 9] = [
        Self::Commands,
        Self::Files,
        Self::Sockets,
        Self::Application,
        Self::Processes,
        Self::Limits,
        Self::Logging,
        Self::Development,
        Self::More,
    ];
}

impl fmt::Display for Theme {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Commands => "Commands",
            Self::Files => "Configuration",
            Self::Sockets => "Sockets and protocols",
            Self::Application => "Application",
            Self::Processes => "Processes",
            Self::Limits => "Limits and timeouts",
            Self::Logging => "Logging",
            Self::Development => "Development",
            Self::More => "More",
        })
    }
}

/// Does an option work?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It does what its help says.
    Works,
    /// It steers the reading of the configuration; it has done its work once everything is read.
    Directive,
    /// A command: on the command line only.
    Command,
    /// What it asks for is always so. Nothing is said about it unless it asks for the opposite.
    Always(&'static str),
    /// Accepted and ignored, and the reason why nothing is lost by that.
    Unneeded(&'static str),
    /// Accepted and ignored: uWSGI has it, uwrs does not have it yet. What to do meanwhile; empty: nothing helps.
    NotYet(&'static str),
    /// Refused, and the way out: uwrs does not have it, and nothing would work as it was meant without it.
    Refused(&'static str),
}

impl Definition {
    /// An option that works.
    pub const fn new(name: &'static str, kind: Kind, theme: Theme, help: &'static str) -> Self {
        Self {
            name,
            aliases: &[],
            short: None,
            kind,
            default: "",
            unlike: None,
            repeats: false,
            theme,
            help,
            status: Status::Works,
        }
    }

    /// An option of uWSGI that is not built yet, and what to do meanwhile.
    pub const fn later(name: &'static str, kind: Kind, theme: Theme, meanwhile: &'static str) -> Self {
        let mut definition = Self::new(name, kind, theme, "");
        definition.status = Status::NotYet(meanwhile);
        definition
    }

    /// An option of uWSGI that nothing is lost without.
    pub const fn unneeded(name: &'static str, kind: Kind, theme: Theme, reason: &'static str) -> Self {
        let mut definition = Self::new(name, kind, theme, "");
        definition.status = Status::Unneeded(reason);
        definition
    }

    /// With these other names.
    pub const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    /// With this short flag.
    pub const fn short(mut self, short: char) -> Self {
        self.short = Some(short);
        self
    }

    /// With this default.
    pub const fn default(mut self, default: &'static str) -> Self {
        self.default = default;
        self
    }

    /// With this default in uWSGI.
    pub const fn unlike(mut self, default: &'static str) -> Self {
        self.unlike = Some(default);
        self
    }

    /// May be given several times.
    pub const fn repeats(mut self) -> Self {
        self.repeats = true;
        self
    }

    /// With this status.
    pub const fn status(mut self, status: Status) -> Self {
        self.status = status;
        self
    }

    /// All its names, the first one first.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }
}
