//! Wear: which limit a worker has reached, by what is seen of it. What becomes of the worker is the supervisor's business.

use std::time::Duration;

use super::supervisor::seconds;
use crate::config::WorkerLimits;
use crate::sys::ProcessMemory;

/// What is seen of a worker.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sight {
    /// 1, 2, …
    pub(super) number: usize,
    /// Requests finished.
    pub(super) requests: u64,
    /// Exceptions that the application did not catch.
    pub(super) exceptions: u64,
    /// Since it was started.
    pub(super) age: Duration,
    /// What it occupies; `None` where nobody looked, or it is gone.
    pub(super) memory: Option<ProcessMemory>,
}

/// What was found, with what and which limit: `has served 1004 requests (max-requests = 1000)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// Another is to take its place.
    Worn(String),
    /// It is to be killed.
    Deadly(String),
}

/// Is there something to look for?
pub(super) fn is_wanted(limits: &WorkerLimits) -> bool {
    limits.requests.is_some() || limits.lifetime.is_some() || limits.exceptions || wants_memory(limits)
}

/// Is it about memory?
pub(super) fn wants_memory(limits: &WorkerLimits) -> bool {
    let sizes = [
        limits.resident,
        limits.address_space,
        limits.deadly_resident,
        limits.deadly_address_space,
    ];
    sizes.iter().any(Option::is_some)
}

/// The limit, if any, that a worker has reached. What is deadly comes first.
pub(super) fn judge(limits: &WorkerLimits, sight: &Sight) -> Option<Finding> {
    if let Some(reason) = too_large(
        sight,
        ("evil-reload-on-rss", limits.deadly_resident),
        ("evil-reload-on-as", limits.deadly_address_space),
    ) {
        return Some(Finding::Deadly(reason));
    }
    if let Some(reason) = too_old(limits, sight) {
        return Some(Finding::Worn(reason));
    }
    if sight.age < limits.least_lifetime {
        return None;
    }
    too_busy(limits, sight)
        .or_else(|| {
            too_large(
                sight,
                ("reload-on-rss", limits.resident),
                ("reload-on-as", limits.address_space),
            )
        })
        .or_else(|| too_wild(limits, sight))
        .map(Finding::Worn)
}

fn too_wild(limits: &WorkerLimits, sight: &Sight) -> Option<String> {
    let exceptions = match sight.exceptions {
        0 => return None,
        1 => "an exception".to_owned(),
        count => format!("{count} exceptions"),
    };
    limits
        .exceptions
        .then(|| format!("has let {exceptions} through (reload-on-exception)"))
}

fn too_busy(limits: &WorkerLimits, sight: &Sight) -> Option<String> {
    let steps = sight.number.saturating_sub(1) as u64;
    let limit = limits
        .requests?
        .saturating_add(limits.requests_delta.saturating_mul(steps));
    let requests = sight.requests;
    let with = with_delta("max-requests", limits.requests_delta != 0 && steps != 0);
    (requests >= limit).then(|| format!("has served {requests} requests ({with} = {limit})"))
}

fn too_old(limits: &WorkerLimits, sight: &Sight) -> Option<String> {
    let steps = u32::try_from(sight.number.saturating_sub(1)).unwrap_or(u32::MAX);
    let limit = limits
        .lifetime?
        .saturating_add(limits.lifetime_delta.saturating_mul(steps));
    let with = with_delta(
        "max-worker-lifetime",
        !limits.lifetime_delta.is_zero() && steps != 0,
    );
    (sight.age >= limit).then(|| format!("is {} old ({with} = {})", seconds(sight.age), limit.as_secs()))
}

fn with_delta(name: &str, has_delta: bool) -> String {
    let delta = if has_delta { " with its delta" } else { "" };
    format!("{name}{delta}")
}

fn too_large(
    sight: &Sight,
    resident: (&str, Option<u64>),
    address_space: (&str, Option<u64>),
) -> Option<String> {
    let memory = sight.memory?;
    let is_over = |limit: Option<u64>, bytes: u64| limit.filter(|limit| bytes >= *limit);
    if let Some(limit) = is_over(resident.1, memory.resident) {
        let (has, name) = (megabytes(memory.resident), resident.0);
        return Some(format!(
            "has {has} MB of memory resident ({name} = {})",
            limit >> 20
        ));
    }
    let limit = is_over(address_space.1, memory.address_space)?;
    let (has, name) = (megabytes(memory.address_space), address_space.0);
    Some(format!(
        "has an address space of {has} MB ({name} = {})",
        limit >> 20
    ))
}

fn megabytes(bytes: u64) -> u64 {
    bytes >> 20
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGHT: Sight = Sight {
        number: 1,
        requests: 500,
        exceptions: 3,
        age: Duration::from_secs(100),
        memory: Some(ProcessMemory {
            resident: 200 << 20,
            address_space: 900 << 20,
        }),
    };

    fn limits() -> WorkerLimits {
        WorkerLimits {
            least_lifetime: Duration::from_secs(10),
            ..WorkerLimits::default()
        }
    }

    /// `worn …`, `deadly …` or nothing.
    fn found(limits: &WorkerLimits, sight: &Sight) -> String {
        match judge(limits, sight) {
            None => String::new(),
            Some(Finding::Worn(reason)) => format!("worn: {reason}"),
            Some(Finding::Deadly(reason)) => format!("deadly: {reason}"),
        }
    }

    #[test]
    fn without_limits_nothing_is_found_nor_looked_for() {
        assert_eq!(found(&limits(), &SIGHT), "");
        assert!(!is_wanted(&limits()));
    }

    #[test]
    fn each_limit_is_found_and_said() {
        let cases: [(WorkerLimits, &str); 7] = [
            (
                WorkerLimits {
                    exceptions: true,
                    ..limits()
                },
                "worn: has let 3 exceptions through (reload-on-exception)",
            ),
            (
                WorkerLimits {
                    requests: Some(500),
                    ..limits()
                },
                "worn: has served 500 requests (max-requests = 500)",
            ),
            (
                WorkerLimits {
                    lifetime: Some(Duration::from_secs(100)),
                    ..limits()
                },
                "worn: is 100 s old (max-worker-lifetime = 100)",
            ),
            (
                WorkerLimits {
                    resident: Some(200 << 20),
                    ..limits()
                },
                "worn: has 200 MB of memory resident (reload-on-rss = 200)",
            ),
            (
                WorkerLimits {
                    address_space: Some(512 << 20),
                    ..limits()
                },
                "worn: has an address space of 900 MB (reload-on-as = 512)",
            ),
            (
                WorkerLimits {
                    deadly_resident: Some(128 << 20),
                    requests: Some(1),
                    ..limits()
                },
                "deadly: has 200 MB of memory resident (evil-reload-on-rss = 128)",
            ),
            (
                WorkerLimits {
                    deadly_address_space: Some(128 << 20),
                    ..limits()
                },
                "deadly: has an address space of 900 MB (evil-reload-on-as = 128)",
            ),
        ];
        for (limits, expected) in cases {
            assert!(is_wanted(&limits));
            assert_eq!(found(&limits, &SIGHT), expected);
        }
    }

    #[test]
    fn what_is_below_its_limit_stays() {
        let limits = WorkerLimits {
            requests: Some(501),
            lifetime: Some(Duration::from_secs(101)),
            resident: Some(201 << 20),
            address_space: Some(901 << 20),
            deadly_resident: Some(201 << 20),
            deadly_address_space: Some(901 << 20),
            ..limits()
        };
        assert_eq!(found(&limits, &SIGHT), "");
    }

    #[test]
    fn every_worker_has_a_limit_of_its_own() {
        let limits = WorkerLimits {
            requests: Some(400),
            requests_delta: 100,
            lifetime: Some(Duration::from_secs(1000)),
            lifetime_delta: Duration::from_secs(500),
            ..limits()
        };
        let second = Sight { number: 2, ..SIGHT };
        let third = Sight { number: 3, ..SIGHT };
        assert_eq!(
            found(&limits, &SIGHT),
            "worn: has served 500 requests (max-requests = 400)"
        );
        assert_eq!(
            found(&limits, &second),
            "worn: has served 500 requests (max-requests with its delta = 500)"
        );
        assert_eq!(found(&limits, &third), "");
        let old = Sight {
            age: Duration::from_secs(2000),
            ..third
        };
        assert_eq!(
            found(&limits, &old),
            "worn: is 2000 s old (max-worker-lifetime with its delta = 2000)"
        );
    }

    #[test]
    fn who_is_young_is_left_alone_unless_it_is_deadly_or_meant() {
        let limits = WorkerLimits {
            requests: Some(1),
            resident: Some(1),
            ..limits()
        };
        let young = Sight {
            age: Duration::from_secs(9),
            ..SIGHT
        };
        assert_eq!(found(&limits, &young), "");
        let meant = WorkerLimits {
            lifetime: Some(Duration::from_secs(9)),
            ..limits.clone()
        };
        assert_ne!(found(&meant, &young), "");
        let deadly = WorkerLimits {
            deadly_resident: Some(1),
            ..limits
        };
        assert!(found(&deadly, &young).starts_with("deadly: "));
    }

    #[test]
    fn who_is_gone_is_not_too_large() {
        let limits = WorkerLimits {
            resident: Some(1),
            ..limits()
        };
        let gone = Sight {
            memory: None,
            ..SIGHT
        };
        assert_eq!(found(&limits, &gone), "");
    }
}
