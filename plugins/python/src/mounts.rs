//! [`Mounts`]: which application answers a request, and what of the path it is told.

/// Applications by mountpoint.
#[derive(Debug)]
pub(crate) struct Mounts<T> {
    /// Mountpoints without a final slash, the longest first; the default application's is empty.
    entries: Vec<(String, T)>,
    manage_script_name: bool,
}

/// An application, and SCRIPT_NAME and PATH_INFO as it shall see them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place<'a, T> {
    pub(crate) app: &'a T,
    pub(crate) script_name: &'a [u8],
    pub(crate) path_info: &'a [u8],
}

impl<T> Mounts<T> {
    /// From pairs of mountpoint and application; of two with one mountpoint the later wins.
    pub(crate) fn new(apps: impl IntoIterator<Item = (String, T)>, manage_script_name: bool) -> Self {
        let mut entries: Vec<(String, T)> = Vec::new();
        for (mountpoint, app) in apps {
            let mountpoint = mountpoint.trim_end_matches('/').to_owned();
            entries.retain(|(have, _)| *have != mountpoint);
            entries.push((mountpoint, app));
        }
        entries.sort_by_key(|(mountpoint, _)| std::cmp::Reverse(mountpoint.len()));
        Self {
            entries,
            manage_script_name,
        }
    }

    /// Is nothing mounted?
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Chooses the application for a request.
    ///
    /// With `manage-script-name` the longest mountpoint that the path begins with is taken off it and becomes
    /// SCRIPT_NAME, whatever the front said. Without, path and SCRIPT_NAME stay as they came: an application mounted
    /// at the SCRIPT_NAME that the front gives is taken, else the one that the path leads to.
    pub(crate) fn choose<'a>(&'a self, script_name: &'a [u8], path_info: &'a [u8]) -> Option<Place<'a, T>> {
        if !self.manage_script_name {
            let named = self.entries.iter().find(|(mountpoint, _)| {
                !script_name.is_empty() && mountpoint.as_bytes() == trim_slash(script_name)
            });
            let (_, app) = named.or_else(|| self.by_path(path_info))?;
            return Some(Place {
                app,
                script_name,
                path_info,
            });
        }
        let (mountpoint, app) = self.by_path(path_info)?;
        if mountpoint.is_empty() {
            return Some(Place {
                app,
                script_name,
                path_info,
            });
        }
        Some(Place {
            app,
            script_name: mountpoint.as_bytes(),
            path_info: &path_info[mountpoint.len()..],
        })
    }

    fn by_path(&self, path: &[u8]) -> Option<&(String, T)> {
        self.entries
            .iter()
            .find(|(mountpoint, _)| is_below(path, mountpoint.as_bytes()))
    }
}

/// Does `path` lie at or below `mountpoint`? `/api` and `/api/x` do below `/api`, `/apis` does not.
fn is_below(path: &[u8], mountpoint: &[u8]) -> bool {
    mountpoint.is_empty()
        || path
            .strip_prefix(mountpoint)
            .is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

fn trim_slash(path: &[u8]) -> &[u8] {
    path.strip_suffix(b"/").unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mounts(points: &[&str], manage_script_name: bool) -> Mounts<String> {
        let apps = points
            .iter()
            .map(|point| ((*point).to_owned(), format!("app{point}")));
        Mounts::new(apps, manage_script_name)
    }

    fn choose(mounts: &Mounts<String>, script_name: &str, path: &str) -> Option<(String, String, String)> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let place = mounts.choose(script_name.as_bytes(), path.as_bytes())?;
        Some((place.app.clone(), text(place.script_name), text(place.path_info)))
    }

    fn expected(app: &str, script_name: &str, path: &str) -> Option<(String, String, String)> {
        Some((app.to_owned(), script_name.to_owned(), path.to_owned()))
    }

    #[test]
    fn the_longest_mountpoint_on_a_boundary_wins_and_becomes_script_name() {
        let mounts = mounts(&["", "/api", "/api/v2/"], true);
        assert_eq!(choose(&mounts, "", "/api/x"), expected("app/api", "/api", "/x"));
        assert_eq!(choose(&mounts, "", "/api"), expected("app/api", "/api", ""));
        assert_eq!(
            choose(&mounts, "", "/api/v2/y"),
            expected("app/api/v2/", "/api/v2", "/y")
        );
        assert_eq!(choose(&mounts, "", "/apis"), expected("app", "", "/apis"));
        assert_eq!(
            choose(&mounts, "/api", "/api/x"),
            expected("app/api", "/api", "/x")
        );
        assert_eq!(choose(&mounts, "/base", "/x"), expected("app", "/base", "/x"));
    }

    #[test]
    fn without_manage_script_name_nothing_is_moved() {
        let mounts = mounts(&["", "/api"], false);
        assert_eq!(choose(&mounts, "", "/api/x"), expected("app/api", "", "/api/x"));
        assert_eq!(choose(&mounts, "/api", "/x"), expected("app/api", "/api", "/x"));
        assert_eq!(choose(&mounts, "/api/", "/x"), expected("app/api", "/api/", "/x"));
        assert_eq!(choose(&mounts, "/other", "/x"), expected("app", "/other", "/x"));
    }

    #[test]
    fn a_path_that_leads_nowhere_has_no_application() {
        let mounts = mounts(&["/api"], true);
        assert_eq!(choose(&mounts, "", "/"), None);
        assert_eq!(choose(&mounts, "", "/apis"), None);
    }

    #[test]
    fn a_target_without_a_path_reaches_the_default_application() {
        assert_eq!(choose(&mounts(&[""], true), "", "*"), expected("app", "", "*"));
    }
}
