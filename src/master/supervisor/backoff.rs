//! [`Backoff`]: how long to wait before a process that keeps dying is started again.

use std::time::Duration;

/// Who lived as long as this is forgiven everything.
const GROWN_UP: Duration = Duration::from_secs(10);
/// Who did not live as long as this died at once: the next one waits longer. In between nothing changes: a
/// worker that is killed now and then is replaced without delay, and one that lives a second cannot make the
/// master spin.
const AT_ONCE: Duration = Duration::from_secs(1);
const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(5);

/// Deaths in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Backoff {
    early_deaths: u32,
}

impl Backoff {
    /// Notes a death after a life of `lived`, and gives how long to wait: 0, then 0.1 s, doubled up to 5 s.
    pub(super) fn note_death(&mut self, lived: Duration) -> Duration {
        if lived >= GROWN_UP {
            self.early_deaths = 0;
        } else if lived < AT_ONCE {
            self.early_deaths = self.early_deaths.saturating_add(1);
        }
        self.delay()
    }

    /// How long to wait now.
    fn delay(self) -> Duration {
        match self.early_deaths {
            0 | 1 => Duration::ZERO,
            deaths => (FIRST_DELAY * 2u32.pow((deaths - 2).min(10))).min(LONGEST_DELAY),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(lives: &[u64]) -> Vec<u128> {
        let mut backoff = Backoff::default();
        let note = |&lived: &u64| backoff.note_death(Duration::from_millis(lived)).as_millis();
        lives.iter().map(note).collect()
    }

    #[test]
    fn who_keeps_dying_at_once_waits_longer_and_longer() {
        assert_eq!(delays(&[5; 9]), [0, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    }

    #[test]
    fn who_lived_long_is_replaced_without_delay() {
        assert_eq!(delays(&[5, 5, 5, 10_000, 5]), [0, 100, 200, 0, 0]);
    }

    #[test]
    fn dying_now_and_then_does_not_lengthen_the_wait() {
        assert_eq!(
            delays(&[2000, 2000, 2000, 5, 2000, 5, 2000]),
            [0, 0, 0, 0, 0, 100, 100]
        );
    }

    #[test]
    fn a_thousand_deaths_do_not_overflow() {
        assert_eq!(delays(&[0; 1000]).last(), Some(&5000));
    }
}
