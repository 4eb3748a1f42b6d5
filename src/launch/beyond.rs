//! What a configuration asks for and this machine does not have: said at the start and after a reload, and no reason not to
//! serve.

use crate::config::Config;
use crate::server::{RESERVE, connections_within};
use crate::sys;

/// Each is one sentence.
pub(crate) fn beyond(config: &Config) -> Vec<String> {
    let processors = sys::allowed_processors().map_or(usize::MAX, |allowed| allowed.len());
    let connections = too_many(config.limits.max_connections, sys::descriptor_limit());
    let affinity = too_wide(config.processes.cpu_affinity, processors);
    connections.into_iter().chain(affinity).collect()
}

fn too_many(connections: Option<usize>, descriptors: usize) -> Option<String> {
    let room = connections_within(descriptors);
    let asked = connections.filter(|asked| *asked > room)?;
    Some(format!(
        "max-connections = {asked}: a worker may have {descriptors} descriptors open (ulimit -n), so it holds about \
             {room} connections; max-fd = {} allows more",
        asked.saturating_add(RESERVE),
    ))
}

fn too_wide(each: Option<usize>, processors: usize) -> Option<String> {
    let each = each.filter(|each| *each > processors)?;
    let all = match processors {
        1 => "there is 1 processor".to_owned(),
        many => format!("there are {many} processors"),
    };
    Some(format!(
        "cpu-affinity = {each}: {all}, so every worker runs on all of them"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_machine_does_not_have_is_said() {
        assert_eq!(too_many(None, 1024), None);
        assert_eq!(too_many(Some(896), 1024), None);
        let said = "max-connections = 897: a worker may have 1024 descriptors open (ulimit -n), so it holds about 896 \
                    connections; max-fd = 1153 allows more";
        assert_eq!(too_many(Some(897), 1024).as_deref(), Some(said));
        assert_eq!(too_many(Some(897), 1153), None, "what is advised is enough");
        assert_eq!(too_wide(None, 1), None);
        assert_eq!(too_wide(Some(2), 2), None);
        let said = "cpu-affinity = 2: there is 1 processor, so every worker runs on all of them";
        assert_eq!(too_wide(Some(2), 1).as_deref(), Some(said));
    }
}
