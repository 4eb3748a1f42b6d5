//! Listening sockets.

use std::path::Path;

use super::Resolver;
use crate::config::resolved::{ListenAddress, ListenerConfig, Owner, ProtocolKind, SocketOptions};
use crate::config::said::Setting;
use crate::config::value;

impl<'a> Resolver<'a> {
    /// The listeners in the order in which they were said. Relative paths of unix sockets start in `directory`.
    pub(super) fn listeners(&mut self, directory: &Path) -> Vec<ListenerConfig> {
        let default = self.default_protocol();
        let options = self.options;
        let mut listeners: Vec<ListenerConfig> = Vec::new();
        let mut asked = false;
        for setting in options.settings() {
            let protocol = match setting.definition.map(|known| known.name) {
                Some("http" | "http-socket") => ProtocolKind::Http,
                Some("uwsgi-socket") => ProtocolKind::Uwsgi,
                Some("socket") => default,
                _ => continue,
            };
            asked = true;
            if let Some(address) = self.address(setting, directory) {
                self.add(&mut listeners, address, protocol, setting);
            }
        }
        if !asked {
            listeners = self.passed_on(default);
        }
        if !asked && listeners.is_empty() && !self.is_emperor() {
            self.problems.missing(
                "nothing to listen on: say where, e.g. http = :8000 in the file or --http :8000, \
                 or socket = /run/app.sock for a web server in front",
            );
        }
        listeners
    }

    /// Sockets that systemd opened for this process, as sd_listen_fds(3) has it: descriptors from 3 on.
    fn passed_on(&self, protocol: ProtocolKind) -> Vec<ListenerConfig> {
        let environment = self.host.environment();
        let number = |name: &str| {
            let (_, value) = environment.iter().find(|(variable, _)| variable == name)?;
            value.parse::<u32>().ok()
        };
        if number("LISTEN_PID") != Some(self.host.facts().pid) {
            return Vec::new();
        }
        // More than this no unit has.
        let count = number("LISTEN_FDS").unwrap_or(0).min(1024) as i32;
        (3..3 + count)
            .map(|fd| ListenerConfig {
                address: ListenAddress::Inherited(fd),
                protocol,
                origin: "LISTEN_FDS".to_owned(),
            })
            .collect()
    }

    fn add(
        &mut self,
        listeners: &mut Vec<ListenerConfig>,
        address: ListenAddress,
        protocol: ProtocolKind,
        setting: &Setting,
    ) {
        if let Some(other) = listeners
            .iter()
            .find(|known| known.address.collides_with(&address))
        {
            let reason = format!("{address} is taken by {} already: drop one of them", other.origin);
            self.problems.error(&setting.origin, &setting.name, reason);
            return;
        }
        self.became(setting, format!("{} on {address}", protocol.name()));
        listeners.push(ListenerConfig {
            address,
            protocol,
            origin: setting.origin.to_string(),
        });
    }

    fn address(&mut self, setting: &'a Setting, directory: &Path) -> Option<ListenAddress> {
        if !self.is_filled(setting) {
            return None;
        }
        let (text, comment_cut) = value::without_comment(&setting.value);
        if comment_cut {
            self.problems.comment_cut(setting);
        }
        ListenAddress::parse(text, directory)
            .map_err(|reason| self.problems.error(&setting.origin, &setting.name, reason))
            .ok()
    }

    fn default_protocol(&mut self) -> ProtocolKind {
        let Some(setting) = self.options.last("protocol") else {
            return ProtocolKind::Uwsgi;
        };
        let (text, comment_cut) = value::without_comment(&setting.value);
        if comment_cut {
            self.problems.comment_cut(setting);
        }
        match text {
            "uwsgi" => ProtocolKind::Uwsgi,
            "http" | "http11" => ProtocolKind::Http,
            other => {
                let reason = format!("neither uwsgi nor http: \"{other}\"");
                self.problems.error(&setting.origin, &setting.name, reason);
                ProtocolKind::Uwsgi
            }
        }
    }

    /// How listening sockets are made.
    pub(super) fn socket_options(&mut self) -> Option<SocketOptions> {
        let backlog = self.backlog();
        let mode = match self.options.last("chmod-socket") {
            Some(setting) => {
                let mode = self.read(setting, value::socket_mode);
                if let Some(mode) = mode {
                    self.became(setting, format!("{mode:03o}"));
                }
                mode
            }
            None => None,
        };
        Some(SocketOptions {
            backlog: backlog?,
            keep_alive: self.flag("so-keepalive"),
            reuse_port: self.flag("reuse-port"),
            free_bind: self.flag("freebind"),
            mode,
            owner: self.owner(),
            vacuum: self.flag("vacuum"),
        })
    }

    /// The backlog, no larger than the system allows: past that the kernel would cut it without a word, and uWSGI
    /// would not start.
    fn backlog(&mut self) -> Option<u32> {
        let asked = u32::try_from(self.number("listen")?).ok()?;
        let allowed = self.host.facts().somaxconn.unwrap_or(u32::MAX).max(1);
        if asked <= allowed {
            return Some(asked);
        }
        if let Some(setting) = self.options.last("listen") {
            let reason = format!(
                "{asked} is more than the system allows, {allowed} is used; to allow it: sysctl net.core.somaxconn={asked}"
            );
            self.problems.warn_about(setting, reason);
            self.became(setting, allowed);
        }
        Some(allowed)
    }

    fn owner(&mut self) -> Option<Owner> {
        let setting = self.text("chown-socket")?;
        let (user, group) = match setting.value.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (setting.value.as_str(), None),
        };
        if user.is_empty() || group.is_some_and(str::is_empty) {
            let reason = format!("not USER or USER:GROUP: \"{}\"", setting.value);
            self.problems.error(&setting.origin, &setting.name, reason);
            return None;
        }
        Some(Owner {
            user: user.to_owned(),
            group: group.map(str::to_owned),
        })
    }
}
