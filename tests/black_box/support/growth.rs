//! Whether a process has grown by what it did.

use std::fs;

use super::soon;

/// KiB by which a process may grow that does the same again and again.
pub(crate) const LEEWAY: u64 = 1024;

/// The number in an environment variable; `otherwise` where it is not set.
pub(crate) fn number(variable: &str, otherwise: usize) -> usize {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

/// Memory of a process in KiB, and how many descriptors it has.
pub(crate) fn measure(pid: i32) -> (u64, usize) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let resident = status.split("VmRSS:").nth(1).unwrap();
    let resident = resident.split_whitespace().next().unwrap().parse().unwrap();
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    (resident, descriptors)
}

/// What is told of one thing after the other that a worker does.
pub(crate) struct Growth {
    worker: i32,
    told: String,
}

impl Growth {
    /// Of that worker.
    pub(crate) fn of(worker: i32) -> Self {
        let told = String::new();
        Self { worker, told }
    }

    /// Has `work` done `first` times, for what comes up once (caches, arenas, the stacks of threads), and `count` times
    /// more, by which neither memory nor descriptors may grow.
    pub(crate) fn assert_none(&mut self, what: &str, first: usize, count: usize, work: impl Fn(usize)) {
        work(first);
        let (before, descriptors) = measure(self.worker);
        work(count);
        soon("all descriptors are given back", || {
            measure(self.worker).1 <= descriptors
        });
        let (after, _) = measure(self.worker);
        self.told += &format!("{what}: {before} KiB, then {after} KiB\n");
        assert!(after < before + LEEWAY, "{}", self.told);
    }

    /// Prints it all.
    pub(crate) fn tell(&self) {
        println!("{}", self.told);
    }
}
