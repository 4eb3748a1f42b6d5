//! Options from the environment: `UWSGI_HTTP` and `UWRS_HTTP` are `http`.

use super::{Reader, Said};
use crate::config::said::Origin;

impl Reader<'_> {
    /// Takes in every option that the environment sets.
    pub(super) fn read_environment(&mut self) {
        let mut variables: Vec<(String, String)> = self.environment.clone().into_iter().collect();
        // Our own prefix counts for more than uWSGI's; beyond that an environment has no order.
        variables.sort_by_cached_key(|(variable, _)| (variable.starts_with("UWRS_"), variable.clone()));
        for (variable, value) in variables {
            if let Some(name) = option_of(&variable) {
                let origin = Origin::Environment(variable);
                self.take(Said { name, value, origin });
            }
        }
    }
}

/// Variables with uWSGI's prefix that are messages between its processes.
const NOT_OPTIONS: [&str; 8] = [
    "UWSGI_RELOADS",
    "UWSGI_VASSALS_DIR",
    "UWSGI_EMPEROR_FD",
    "UWSGI_EMPEROR_FD_CONFIG",
    "UWSGI_EMPEROR_PROXY",
    "UWSGI_BROODLORD_NUM",
    "UWSGI_JAIL_PID",
    "UWSGI_ORIGINAL_PROC_NAME",
];

/// The option that a variable of the environment sets. `UWRS__…` is for messages between uwrs's own processes.
fn option_of(variable: &str) -> Option<String> {
    if NOT_OPTIONS.contains(&variable) {
        return None;
    }
    let name = variable
        .strip_prefix("UWSGI_")
        .or_else(|| variable.strip_prefix("UWRS_"))?;
    if name.is_empty() || name.starts_with('_') {
        return None;
    }
    Some(name.to_lowercase().replace('_', "-"))
}
