//! Users and groups: looking them up, and becoming one for good.

use std::ffi::CString;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

use nix::unistd::{self, Gid, Group, Uid, User};

use super::to_io;

/// A user as the system knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Number.
    pub uid: u32,
    /// Its primary group; `None` for a number that no account has.
    pub gid: Option<u32>,
    /// Name; `None` for a number that no account has.
    pub name: Option<String>,
}

/// Finds a user by name, or by number where no name matches. `None`: there is no such user.
pub fn find_user(text: &str) -> io::Result<Option<Account>> {
    let to_account = |user: User| Account {
        uid: user.uid.as_raw(),
        gid: Some(user.gid.as_raw()),
        name: Some(user.name),
    };
    if let Some(user) = User::from_name(text).map_err(to_io)? {
        return Ok(Some(to_account(user)));
    }
    let Ok(uid) = text.parse() else {
        return Ok(None);
    };
    let nameless = Account {
        uid,
        gid: None,
        name: None,
    };
    let known = User::from_uid(Uid::from_raw(uid)).map_err(to_io)?;
    Ok(Some(known.map_or(nameless, to_account)))
}

/// Finds a group's number by name, or takes a number as it is. `None`: there is no such group.
pub fn find_group(text: &str) -> io::Result<Option<u32>> {
    let group = Group::from_name(text).map_err(to_io)?;
    Ok(group
        .map(|group| group.gid.as_raw())
        .or_else(|| text.parse().ok()))
}

/// The effective user's number.
pub fn effective_user() -> u32 {
    unistd::geteuid().as_raw()
}

/// Changes who owns a file.
pub fn change_owner(path: &Path, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
    unistd::chown(path, uid.map(Uid::from_raw), gid.map(Gid::from_raw)).map_err(to_io)
}

/// Changes who owns an open file.
pub fn change_owner_of(fd: BorrowedFd<'_>, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
    unistd::fchown(fd, uid.map(Uid::from_raw), gid.map(Gid::from_raw)).map_err(to_io)
}

/// Whom a process becomes when it gives up root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// User; `None`: stays.
    pub user: Option<Account>,
    /// Group; `None`: stays.
    pub gid: Option<u32>,
}

impl Identity {
    /// Becomes it, for good: supplementary groups first, then the group, then the user, as each needs the
    /// rights that the next gives up.
    pub fn assume(&self) -> io::Result<()> {
        if let Some(gid) = self.gid {
            let gid = Gid::from_raw(gid);
            let name = self.user.as_ref().and_then(|user| user.name.as_ref());
            match name {
                Some(name) => unistd::initgroups(&CString::new(name.as_str())?, gid),
                None => unistd::setgroups(&[gid]),
            }
            .map_err(to_io)?;
            unistd::setgid(gid).map_err(to_io)?;
        }
        if let Some(user) = &self.user {
            unistd::setuid(Uid::from_raw(user.uid)).map_err(to_io)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_found_by_name_and_by_number() {
        let by_name = find_user("root").unwrap().unwrap();
        assert_eq!(by_name, find_user("0").unwrap().unwrap());
        assert_eq!((by_name.uid, by_name.gid), (0, Some(0)));
    }

    #[test]
    fn a_name_that_nobody_has_is_not_found() {
        assert_eq!(find_user("no-such-user-anywhere").unwrap(), None);
        assert_eq!(find_group("no-such-group-anywhere").unwrap(), None);
    }

    #[test]
    fn a_number_without_account_is_a_user_without_a_name() {
        let account = find_user("4000123").unwrap().unwrap();
        assert_eq!((account.uid, account.gid, account.name), (4_000_123, None, None));
    }
}
