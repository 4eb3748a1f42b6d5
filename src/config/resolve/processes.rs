//! Processes, privileges, titles.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Resolver, absolute};
use crate::config::resolved::{
    Pidfile, PidfileMoment, Principal, ProcessConfig, ProcnameConfig, Touch, TouchWish,
};
use crate::config::value;

/// Pipes for commands: a digit chooses among them.
const MOST_FIFOS: usize = 10;

impl Resolver<'_> {
    /// Processes. What is written once the process has gone to `directory` starts there, the rest where the program
    /// was started.
    pub(super) fn processes(&mut self, directory: &Path) -> Option<ProcessConfig> {
        let start = self.start_directory();
        let master = self.flag("master");
        let workers = self.count("processes");
        self.refuse_workers_without_master(master, workers);
        let umask = self.umask();
        let mercy = self.mercy();
        let cpu_affinity = self.count("cpu-affinity");
        let boot_timeout = self.number("boot-timeout");
        let worker_limits = self.worker_limits(master);
        let scaling = self.scaling(master, workers);
        let max_fd = self.said_number("max-fd")?;
        Some(ProcessConfig {
            master,
            uid: self.principal("uid"),
            gid: self.principal("gid"),
            umask,
            pidfiles: self.pidfiles(&start, directory),
            daemonize: self.written_file("daemonize", &start),
            die_on_term: self.flag("die-on-term"),
            procname: self.procname(),
            touches: self.touches(master, directory),
            fifos: self.fifos(master, directory),
            workers: workers?,
            scaling: scaling?,
            worker_reload_mercy: Duration::from_secs(mercy?),
            cpu_affinity: Some(cpu_affinity?).filter(|each| *each > 0),
            boot_timeout: Duration::from_secs(boot_timeout?),
            worker_limits: worker_limits?,
            max_fd,
        })
    }

    fn pidfiles(&mut self, start: &Path, directory: &Path) -> Vec<Pidfile> {
        [
            ("pidfile", PidfileMoment::Start, start),
            ("pidfile2", PidfileMoment::Assumed, directory),
            ("safe-pidfile", PidfileMoment::Up, directory),
            ("safe-pidfile2", PidfileMoment::Up, directory),
        ]
        .into_iter()
        .filter_map(|(option, moment, base)| {
            let path = self.written_file(option, base)?;
            Some(Pidfile { option, path, moment })
        })
        .collect()
    }

    fn mercy(&mut self) -> Option<u64> {
        let general = self.options.last("reload-mercy").is_some();
        let general = general.then(|| self.number("reload-mercy"));
        match (self.options.last("worker-reload-mercy"), general) {
            (None, Some(general)) => general,
            _ => self.number("worker-reload-mercy"),
        }
    }

    fn principal(&mut self, name: &str) -> Option<Principal> {
        let setting = self.text(name)?;
        Some(Principal {
            name: setting.value.clone(),
            origin: setting.origin.to_string(),
        })
    }

    fn refuse_workers_without_master(&mut self, master: bool, workers: Option<usize>) {
        let many = workers.filter(|workers| *workers > 1 && !master);
        let (Some(workers), Some(setting)) = (many, self.options.last("processes")) else {
            return;
        };
        let off = self
            .options
            .last("master")
            .map(|setting| setting.origin.to_string());
        let reason = format!(
            "{workers} workers need a master, and {} turns it off: drop that, or say processes = 1",
            off.unwrap_or_default()
        );
        self.problems.error(&setting.origin, &setting.name, reason);
    }

    fn touches(&mut self, master: bool, directory: &Path) -> Vec<Touch> {
        let mut touches = Vec::new();
        for wish in TouchWish::ALL {
            for setting in self.texts(wish.option()) {
                let path = absolute(directory, &setting.value);
                self.became(setting, path.display());
                touches.push(Touch { path, wish });
            }
            self.warn_without_master(master, wish.option());
        }
        touches
    }

    fn fifos(&mut self, master: bool, directory: &Path) -> Vec<PathBuf> {
        let mut fifos = Vec::new();
        for setting in self.texts("master-fifo") {
            let path = absolute(directory, &setting.value);
            self.became(setting, path.display());
            if fifos.len() == MOST_FIFOS {
                let reason = format!("one too many: there are {MOST_FIFOS}, chosen by a digit");
                self.problems.error(&setting.origin, &setting.name, reason);
            }
            fifos.push(path);
        }
        self.warn_without_master(master, "master-fifo");
        fifos
    }

    /// What the master does, nobody does where there is none.
    pub(super) fn warn_without_master(&mut self, master: bool, name: &str) {
        if let Some(setting) = self.options.last(name).filter(|_| !master) {
            self.problems.warn_about(
                setting,
                "does nothing: the master looks after that, and there is none",
            );
        }
    }

    fn umask(&mut self) -> Option<u32> {
        let setting = self.options.last("umask")?;
        let mask = self.read(setting, value::octal)?;
        self.became(setting, format!("{mask:03o}"));
        Some(mask)
    }

    fn procname(&mut self) -> ProcnameConfig {
        let mut text = |name| self.text(name).map(|setting| setting.value.clone());
        let (name, master) = (text("procname"), text("procname-master"));
        let (plain, spaced) = (text("procname-prefix"), text("procname-prefix-spaced"));
        let append = text("procname-append").unwrap_or_default();
        let prefix = match (spaced, plain) {
            (Some(spaced), _) => format!("{spaced} "),
            (None, plain) => plain.unwrap_or_default(),
        };
        ProcnameConfig {
            auto: self.flag("auto-procname"),
            name,
            master,
            prefix,
            append,
        }
    }
}
