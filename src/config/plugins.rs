//! Which plug-ins are built in, by the names that uWSGI's configurations use.

/// Is what `plugin = name` asks for part of this program? Versions of Python are one plug-in, `python3` and
/// `python311`; a path counts by its last part; what routes requests between processes is not needed.
pub(super) fn is_built_in(name: &str) -> bool {
    let name = name.trim().rsplit('/').next().unwrap_or_default();
    // `0:python` loads a plug-in for a modifier.
    let name = name.rsplit(':').next().unwrap_or_default();
    let name = name.trim_end_matches("_plugin.so");
    if let Some(version) = name.strip_prefix("python") {
        return cfg!(feature = "python") && version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    }
    matches!(name, "http" | "corerouter" | "uwsgi" | "ping") || name.starts_with("router_")
}
