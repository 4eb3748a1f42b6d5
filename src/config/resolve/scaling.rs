//! How many workers there are at a time.

use std::time::Duration;

use super::Resolver;
use crate::config::scaling::{Algorithm, Busyness, Cheaper, Scaling};

/// What `cheaper-algo` may be.
const ALGORITHMS: &str = "spare, spare2, backlog, busyness or manual";

/// What means something beside `cheaper` only.
const PARTS: [&str; 14] = [
    "cheaper-algo",
    "cheaper-initial",
    "cheaper-step",
    "cheaper-overload",
    "cheaper-idle",
    "cheaper-rss-limit-soft",
    "cheaper-rss-limit-hard",
    "cheaper-busyness-max",
    "cheaper-busyness-min",
    "cheaper-busyness-multiplier",
    "cheaper-busyness-penalty",
    "cheaper-busyness-backlog-alert",
    "cheaper-busyness-backlog-step",
    "cheaper-busyness-backlog-nonzero",
];

impl Resolver<'_> {
    pub(super) fn scaling(&mut self, master: bool, workers: Option<usize>) -> Option<Scaling> {
        for name in ["cheaper", "idle", "cheap", "die-on-idle"] {
            self.warn_without_master(master, name);
        }
        let cheaper = match self.options.last("cheaper") {
            Some(_) => Some(self.cheaper(workers)?),
            None => {
                self.warn_without_cheaper();
                None
            }
        };
        let idle = self.number("idle").filter(|seconds| *seconds > 0);
        let die_on_idle = self.flag("die-on-idle");
        if die_on_idle
            && idle.is_none()
            && let Some(setting) = self.options.last("die-on-idle")
        {
            self.problems
                .warn_about(setting, "does nothing without idle = SECONDS");
        }
        Some(Scaling {
            cheaper,
            idle: idle.map(Duration::from_secs),
            die_on_idle,
            cheap: self.flag("cheap"),
        })
    }

    fn cheaper(&mut self, workers: Option<usize>) -> Option<Cheaper> {
        let least = self.count("cheaper")?;
        let initial = self.count("cheaper-initial");
        let (step, algorithm) = (self.count("cheaper-step"), self.algorithm());
        let (soft_memory, hard_memory) = (
            self.memory("cheaper-rss-limit-soft"),
            self.memory("cheaper-rss-limit-hard"),
        );
        let workers = workers?;
        if least >= workers {
            let reason = format!("must be less than processes, which is {workers}: it is the fewest of them");
            self.refuse("cheaper", reason);
        }
        if initial.is_some_and(|initial| initial < least || initial > workers) {
            let reason = format!("must be between cheaper, {least}, and processes, {workers}");
            self.refuse("cheaper-initial", reason);
        }
        if let (Some(soft), Some(hard)) = (soft_memory, hard_memory)
            && soft > hard
        {
            let reason = format!("must not be more than cheaper-rss-limit-hard, {hard}");
            self.refuse("cheaper-rss-limit-soft", reason);
        }
        Some(Cheaper {
            least,
            initial: initial.unwrap_or(least),
            step: step?,
            algorithm: algorithm?,
            soft_memory,
            hard_memory,
        })
    }

    fn algorithm(&mut self) -> Option<Algorithm> {
        let (overload, idle) = (self.small("cheaper-overload"), self.small("cheaper-idle"));
        let busyness = self.busyness();
        let setting = self.text("cheaper-algo");
        let (overload, idle) = (overload?, idle?);
        match setting.map_or("spare", |setting| setting.value.as_str()) {
            "spare" => Some(Algorithm::Spare { overload }),
            "spare2" => Some(Algorithm::Spare2 { idle }),
            "backlog" => Some(Algorithm::Backlog { overload, idle }),
            "busyness" => busyness.map(Algorithm::Busyness),
            "manual" => Some(Algorithm::Manual),
            other => {
                let reason = format!("no such algorithm: \"{other}\", but {ALGORITHMS}");
                self.refuse("cheaper-algo", reason);
                None
            }
        }
    }

    fn busyness(&mut self) -> Option<Busyness> {
        let (most, least) = (
            self.small("cheaper-busyness-max"),
            self.small("cheaper-busyness-min"),
        );
        if let (Some(most), Some(least)) = (most, least)
            && least >= most
        {
            let reason = format!("must be less than cheaper-busyness-max, {most}");
            let name = match self.options.last("cheaper-busyness-min") {
                Some(_) => "cheaper-busyness-min",
                None => "cheaper-busyness-max",
            };
            let reason = match name {
                "cheaper-busyness-min" => reason,
                _ => format!("must be more than cheaper-busyness-min, {least}"),
            };
            self.refuse(name, reason);
        }
        let window = self.small("cheaper-overload");
        let multiplier = self.small("cheaper-busyness-multiplier");
        let penalty = self.small("cheaper-busyness-penalty");
        let backlog_alert = self.small("cheaper-busyness-backlog-alert");
        let backlog_step = self.count("cheaper-busyness-backlog-step");
        let backlog_multiplier = self.small("cheaper-busyness-backlog-multiplier");
        let backlog_nonzero = self.small("cheaper-busyness-backlog-nonzero");
        Some(Busyness {
            window: window?,
            most: most?,
            least: least?,
            multiplier: multiplier?,
            penalty: penalty?,
            backlog_alert: backlog_alert?,
            backlog_step: backlog_step?,
            backlog_multiplier: backlog_multiplier?,
            backlog_nonzero: backlog_nonzero?,
            verbose: self.flag("cheaper-busyness-verbose"),
        })
    }

    fn small(&mut self, name: &str) -> Option<u32> {
        self.number(name).and_then(|number| u32::try_from(number).ok())
    }

    /// A number of bytes; 0 is none.
    fn memory(&mut self, name: &str) -> Option<u64> {
        self.number(name).filter(|bytes| *bytes > 0)
    }

    fn refuse(&mut self, name: &str, reason: String) {
        if let Some(setting) = self.options.last(name) {
            self.problems.error(&setting.origin, &setting.name, reason);
        }
    }

    fn warn_without_cheaper(&mut self) {
        for name in PARTS {
            if let Some(setting) = self.options.last(name) {
                self.problems.warn_about(
                    setting,
                    "does nothing without cheaper, the fewest workers to keep",
                );
            }
        }
    }
}
