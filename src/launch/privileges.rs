//! `uid` and `gid`: whom the server becomes once its sockets are bound.

use crate::config::{Principal, ProcessConfig};
use crate::sys::{self, Account, Identity};

/// Finds whom to become; names that nobody has are errors. The group is the user's own where none is given.
/// `None`: nobody else.
pub(super) fn find_identity(config: &ProcessConfig) -> Result<Option<Identity>, String> {
    let at = |principal: &Principal, error| format!("{}: {error}", principal.origin);
    let find = |uid: &Principal| find_user(&uid.name).map_err(|error| at(uid, error));
    let user = config.uid.as_ref().map(find).transpose()?;
    let gid = match (&config.gid, &user) {
        (Some(gid), _) => Some(find_group("gid", &gid.name).map_err(|error| at(gid, error))?),
        (None, Some(user)) => user.gid,
        (None, None) => return Ok(None),
    };
    Ok(Some(Identity { user, gid }))
}

/// Becomes `identity`. Gives warnings.
pub(super) fn assume(identity: Option<&Identity>) -> Result<Vec<String>, String> {
    let is_root = sys::effective_user() == 0;
    let Some(identity) = identity else {
        let warning = "running as root, and the application with it: give uid = and gid =";
        return Ok(is_root.then(|| warning.to_owned()).into_iter().collect());
    };
    if !is_root {
        let wanted = identity.user.as_ref().map(|user| user.uid);
        let is_already = wanted.is_none_or(|uid| uid == sys::effective_user());
        let warning = format!(
            "uid and gid are left alone: only root can change them, this is user {}",
            sys::effective_user()
        );
        return Ok((!is_already).then_some(warning).into_iter().collect());
    }
    let becomes_root = identity.user.as_ref().is_none_or(|user| user.uid == 0);
    identity
        .assume()
        .map_err(|error| format!("uid, gid: cannot give up root: {error}"))?;
    let warning = "the application runs as root";
    Ok(becomes_root.then(|| warning.to_owned()).into_iter().collect())
}

/// A user that must exist.
pub(super) fn find_user(text: &str) -> Result<Account, String> {
    match sys::find_user(text) {
        Ok(Some(account)) => Ok(account),
        Ok(None) => Err(format!("uid = {text}: no such user")),
        Err(error) => Err(format!("uid = {text}: {error}")),
    }
}

/// A group that must exist. `option`: who asks.
pub(super) fn find_group(option: &str, text: &str) -> Result<u32, String> {
    match sys::find_group(text) {
        Ok(Some(gid)) => Ok(gid),
        Ok(None) => Err(format!("{option} = {text}: no such group")),
        Err(error) => Err(format!("{option} = {text}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_nobody_has_are_refused() {
        let user = find_user("no-such-user-anywhere").unwrap_err();
        assert_eq!(user, "uid = no-such-user-anywhere: no such user");
        let group = find_group("gid", "no-such-group-anywhere").unwrap_err();
        assert_eq!(group, "gid = no-such-group-anywhere: no such group");
    }
}
