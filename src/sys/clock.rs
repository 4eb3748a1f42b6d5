//! Clocks: the monotonic one, which all processes of the machine share, and the wall's as people read it.

use std::mem::MaybeUninit;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

/// Milliseconds of CLOCK_MONOTONIC: the same in every process, so that they may be compared through shared
/// memory. Costs some 20 ns; no system call.
pub fn monotonic_milliseconds() -> u64 {
    monotonic_microseconds() / 1000
}

/// Microseconds of CLOCK_MONOTONIC.
pub fn monotonic_microseconds() -> u64 {
    // The clock exists since Linux 2.6 and the pointer is nix's own: the call cannot fail.
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("CLOCK_MONOTONIC exists on every Linux");
    now.tv_sec() as u64 * 1_000_000 + now.tv_nsec() as u64 / 1000
}

/// A moment as a local clock on the wall shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalTime {
    /// 2026
    pub year: i32,
    /// 1 to 12
    pub month: u32,
    /// 1 to 31
    pub day: u32,
    /// 0 to 23
    pub hour: u32,
    /// 0 to 59
    pub minute: u32,
    /// 0 to 60
    pub second: u32,
    /// 0 to 999
    pub millisecond: u32,
    /// Seconds east of UTC.
    pub offset: i64,
    /// 0 is Sunday.
    pub weekday: u32,
}

/// `moment` in the local time zone (`TZ`, `/etc/localtime`).
pub fn local_time(moment: SystemTime) -> LocalTime {
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = since.as_secs() as libc::time_t;
    let mut parts = MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are to live locals of the right types. localtime_r fills `parts`, or returns null
    // for a year that does not fit, and then the zeroes stand, which are a valid `tm`.
    let parts = unsafe {
        libc::localtime_r(&raw const seconds, parts.as_mut_ptr());
        parts.assume_init()
    };
    LocalTime {
        year: parts.tm_year + 1900,
        month: parts.tm_mon as u32 + 1,
        day: parts.tm_mday as u32,
        hour: parts.tm_hour as u32,
        minute: parts.tm_min as u32,
        second: parts.tm_sec as u32,
        millisecond: since.subsec_millis(),
        offset: parts.tm_gmtoff,
        weekday: parts.tm_wday as u32,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_known_moment_has_its_known_date() {
        // Noon UTC of 2001-09-09 is the 9th of September in every zone of the world but UTC+12 and beyond.
        let local = local_time(UNIX_EPOCH + Duration::from_secs(1_000_036_800) - Duration::from_millis(1));
        assert_eq!((local.year, local.month, local.millisecond), (2001, 9, 999));
    }

    #[test]
    fn the_monotonic_clock_never_goes_back() {
        let first = monotonic_microseconds();
        assert!(monotonic_microseconds() >= first);
    }
}
