//! When a worker is replaced although it serves.

use std::time::Duration;

use super::Resolver;
use crate::config::resolved::{Harakiri, WorkerLimits};

/// Options that the master goes by.
const OPTIONS: [&str; 9] = [
    "reload-on-exception",
    "boot-timeout",
    "harakiri",
    "max-requests",
    "max-worker-lifetime",
    "reload-on-rss",
    "reload-on-as",
    "evil-reload-on-rss",
    "evil-reload-on-as",
];

impl Resolver<'_> {
    /// What workers live by.
    pub(super) fn worker_limits(&mut self, master: bool) -> Option<WorkerLimits> {
        for name in OPTIONS {
            self.warn_without_master(master, name);
        }
        let requests = self.number("max-requests");
        let requests_delta = self.number("max-requests-delta");
        let lifetime = self.time("max-worker-lifetime");
        let lifetime_delta = self.time("max-worker-lifetime-delta");
        let least_lifetime = self.time("min-worker-lifetime");
        let resident = self.megabytes("reload-on-rss");
        let address_space = self.megabytes("reload-on-as");
        let deadly_resident = self.megabytes("evil-reload-on-rss");
        let deadly_address_space = self.megabytes("evil-reload-on-as");
        Some(WorkerLimits {
            requests: Some(requests?).filter(|requests| *requests > 0),
            requests_delta: requests_delta?,
            lifetime: Some(lifetime?).filter(|lifetime| !lifetime.is_zero()),
            lifetime_delta: lifetime_delta?,
            least_lifetime: least_lifetime?,
            resident: Some(resident?).filter(|bytes| *bytes > 0),
            address_space: Some(address_space?).filter(|bytes| *bytes > 0),
            exceptions: self.flag("reload-on-exception"),
            deadly_resident: Some(deadly_resident?).filter(|bytes| *bytes > 0),
            deadly_address_space: Some(deadly_address_space?).filter(|bytes| *bytes > 0),
        })
    }

    /// How long a request may keep the application busy.
    pub(super) fn harakiri(&mut self) -> Option<Harakiri> {
        let limit = self.time("harakiri");
        let grace = self.time("harakiri-graceful-timeout");
        let verbose = self.flag("harakiri-verbose");
        Some(Harakiri {
            limit: Some(limit?).filter(|limit| !limit.is_zero()),
            grace: grace?,
            verbose,
        })
    }

    fn time(&mut self, name: &str) -> Option<Duration> {
        self.number(name).map(Duration::from_secs)
    }

    /// Bytes of a number of mebibytes.
    fn megabytes(&mut self, name: &str) -> Option<u64> {
        self.number(name).map(|megabytes| megabytes << 20)
    }
}
