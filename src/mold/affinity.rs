//! Which processors a worker runs on (`cpu-affinity`).

use crate::sys;

/// Keeps this process, the worker of that number, on `each` processors: worker 1 has the first of those that the server
/// may use, worker 2 the next, and so on, in rounds.
pub(super) fn apply(worker: usize, each: usize) {
    let chosen = sys::allowed_processors().map(|allowed| share(worker, each, &allowed));
    match chosen.and_then(|chosen| sys::run_on(&chosen).map(|()| chosen)) {
        Ok(chosen) => log::debug!("cpu-affinity: runs on {chosen:?}"),
        Err(error) => log::warn!("cpu-affinity: {error}"),
    }
}

fn share(worker: usize, each: usize, allowed: &[usize]) -> Vec<usize> {
    let first = worker.saturating_sub(1).saturating_mul(each);
    let round = allowed.iter().cycle().skip(first % allowed.len().max(1));
    let mut share: Vec<usize> = round.take(each.min(allowed.len())).copied().collect();
    share.sort_unstable();
    share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_share_the_processors_in_rounds() {
        let allowed = [0, 1, 4, 5];
        let shares = |each: usize| {
            (1..=3)
                .map(|worker| share(worker, each, &allowed))
                .collect::<Vec<_>>()
        };
        assert_eq!(shares(1), [[0], [1], [4]]);
        assert_eq!(shares(2), [[0, 1], [4, 5], [0, 1]]);
        assert_eq!(shares(3), [[0, 1, 4], [0, 1, 5], [0, 4, 5]]);
        assert_eq!(shares(9), [[0, 1, 4, 5], [0, 1, 4, 5], [0, 1, 4, 5]]);
        assert_eq!(share(1, 1, &[]), [0; 0]);
    }
}
