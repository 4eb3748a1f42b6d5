//! What is told about options that change nothing, and about those that only speak.

use std::collections::BTreeMap;

use super::Resolver;
use crate::config::definition::Status;
use crate::config::said::Setting;
use crate::config::{plugins, value};

/// What uWSGI's users write to make TERM stop gracefully.
const GRACEFUL_TERM: &str = "unix_signal:15 gracefully_kill_them_all";

impl Resolver<'_> {
    /// Tells of options that are ignored, each once, and of plug-ins that are not built in.
    pub(super) fn remark(&mut self) {
        let options = self.options;
        let mut by_name: BTreeMap<&str, Vec<&Setting>> = BTreeMap::new();
        let mut unneeded: BTreeMap<&str, Vec<&Setting>> = BTreeMap::new();
        for setting in options.settings() {
            if let Some(known) = setting.definition {
                by_name.entry(known.name).or_default().push(setting);
            }
        }
        for (name, settings) in by_name {
            let (first, others) = (settings[0], settings.len() - 1);
            let again = match others {
                0 => String::new(),
                _ => format!(" (said {} times)", others + 1),
            };
            match first.definition.map(|known| known.status) {
                Some(Status::Refused(way_out)) => {
                    self.problems.error(&first.origin, &first.name, way_out);
                }
                Some(Status::NotYet(_)) if self.is_graceful_term(first) && others == 0 => {
                    unneeded
                        .entry("TERM stops gracefully anyway")
                        .or_default()
                        .push(first);
                }
                Some(Status::NotYet(meanwhile)) => {
                    let colon = if meanwhile.is_empty() { "" } else { ": " };
                    let reason =
                        format!("{name} is not supported yet, it is ignored{again}{colon}{meanwhile}");
                    self.problems.warn(&first.origin, "", reason);
                }
                Some(Status::Unneeded(why)) => unneeded.entry(why).or_default().push(first),
                Some(Status::Always(why)) => self.remark_on_always(name, why),
                _ => {}
            }
        }
        self.note_unneeded(unneeded);
        self.remark_on_plugins();
        for setting in options.all("print") {
            self.problems.note(&setting.origin, &setting.value);
        }
    }

    /// One line for all that nothing is lost without for the same reason.
    fn note_unneeded(&mut self, unneeded: BTreeMap<&str, Vec<&Setting>>) {
        for (why, mut settings) in unneeded {
            settings.sort_by_key(|setting| setting.place);
            let names: Vec<&str> = settings
                .iter()
                .filter_map(|setting| setting.definition)
                .map(|known| known.name)
                .collect();
            let are = if names.len() == 1 { "is" } else { "are" };
            let text = format!("{} {are} not needed and ignored: {why}", names.join(", "));
            self.problems.note(&settings[0].origin, text);
        }
    }

    /// Is this the configuration of an emperor? It has neither an application nor a socket, and to be told so twice
    /// would hide why it cannot work.
    pub(super) fn is_emperor(&self) -> bool {
        self.options.last("emperor").is_some()
    }

    fn is_graceful_term(&self, setting: &Setting) -> bool {
        let (text, _) = value::without_comment(&setting.value);
        text == GRACEFUL_TERM
    }

    fn remark_on_always(&mut self, name: &str, why: &str) {
        if !self.flag(name)
            && let Some(setting) = self.options.last(name)
        {
            self.problems
                .warn_about(setting, format!("cannot be turned off: {why}"));
            self.became(setting, "true");
        }
    }

    fn remark_on_plugins(&mut self) {
        let options = self.options;
        for setting in options.all("plugin") {
            let (names, _) = value::without_comment(&setting.value);
            let missing: Vec<&str> = names
                .split(',')
                .map(str::trim)
                .filter(|name| !name.is_empty() && !plugins::is_built_in(name))
                .collect();
            if !missing.is_empty() {
                let reason = format!("not built in, it is ignored: {}", missing.join(", "));
                self.problems.warn_about(setting, reason);
            }
        }
    }
}
