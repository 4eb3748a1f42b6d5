//! [`Titles`]: what `ps` shows for each process (`procname` and its kin). The short name that `killall` goes
//! by stays `uwrs` whatever is set here.

use std::fmt;

use crate::config::ProcnameConfig;
use crate::sys::ProcessTitle;

/// What a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessRole {
    /// The master.
    Master,
    /// The mold of a generation.
    Mold(u64),
    /// A worker, by its number.
    Worker(usize),
    /// The one process of a server without a master.
    Single,
}

impl fmt::Display for ProcessRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Master => f.write_str("master"),
            Self::Mold(generation) => write!(f, "mold {generation}"),
            Self::Worker(number) => write!(f, "worker {number}"),
            Self::Single => f.write_str("single"),
        }
    }
}

/// The titles of a server's processes.
#[derive(Clone, Debug, Default)]
pub struct Titles {
    area: Option<ProcessTitle>,
    config: ProcnameConfig,
}

impl Titles {
    /// Takes over the memory that `ps` reads, where a title is asked for at all. After this the program's
    /// arguments can't be read from the system any more.
    pub fn take(config: &ProcnameConfig) -> Self {
        let is_wanted =
            title(config, ProcessRole::Master).is_some() || title(config, ProcessRole::Single).is_some();
        let area = if is_wanted { ProcessTitle::take() } else { None };
        Self {
            area,
            config: config.clone(),
        }
    }

    /// Shows what this process is.
    pub fn show(&self, role: ProcessRole) {
        if let (Some(area), Some(title)) = (&self.area, title(&self.config, role)) {
            area.set(&title);
        }
    }
}

/// The title of a process; `None`: its command line stays.
fn title(config: &ProcnameConfig, role: ProcessRole) -> Option<String> {
    let own = match role {
        ProcessRole::Master => config.master.as_ref().or(config.name.as_ref()),
        _ => config.name.as_ref(),
    };
    let name = match own {
        Some(name) => name.clone(),
        None if config.auto || !config.prefix.is_empty() || !config.append.is_empty() => {
            format!("uwrs {role}")
        }
        None => return None,
    };
    Some(format!("{}{name}{}", config.prefix, config.append))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(name: Option<&str>, master: Option<&str>, auto: bool, prefix: &str) -> ProcnameConfig {
        ProcnameConfig {
            auto,
            name: name.map(str::to_owned),
            master: master.map(str::to_owned),
            prefix: prefix.to_owned(),
            append: String::new(),
        }
    }

    #[test]
    fn titles_are_made_of_what_was_asked_for() {
        let worker = ProcessRole::Worker(2);
        let cases = [
            (config(None, None, false, ""), worker, None),
            (config(None, None, true, ""), worker, Some("uwrs worker 2")),
            (
                config(None, None, true, ""),
                ProcessRole::Mold(3),
                Some("uwrs mold 3"),
            ),
            (
                config(None, None, true, "shop "),
                ProcessRole::Master,
                Some("shop uwrs master"),
            ),
            (
                config(None, None, false, "shop "),
                worker,
                Some("shop uwrs worker 2"),
            ),
            (config(Some("app"), None, true, ""), worker, Some("app")),
            (
                config(Some("app"), Some("boss"), false, ""),
                ProcessRole::Master,
                Some("boss"),
            ),
            (config(None, Some("boss"), false, ""), worker, None),
        ];
        for (config, role, expected) in cases {
            assert_eq!(title(&config, role).as_deref(), expected, "{config:?} {role}");
        }
    }
}
