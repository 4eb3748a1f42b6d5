//! Local time as text.

use std::time::{SystemTime, UNIX_EPOCH};

use nix::libc;

/// Seconds since 1970.
pub fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map(|since| since.as_secs())
        .unwrap_or_default()
}

/// A second since 1970 as ctime(3) writes it, in local time: `Sat Nov 21 01:22:08 2026`.
pub fn local_ctime(second: u64) -> String {
    local_format(second, c"%a %b %e %H:%M:%S %Y")
}

/// A second since 1970 in local time, by a strftime(3) format; cut at 128 bytes.
pub fn local_format(second: u64, format: &std::ffi::CStr) -> String {
    let second = second as libc::time_t;
    let mut parts = std::mem::MaybeUninit::<libc::tm>::zeroed();
    let mut text = [0_u8; 128];
    // SAFETY: localtime_r and strftime read `second`, `parts` and `format` and write `parts` and at most
    // `text.len()` bytes of `text`; all live across the calls. A zeroed tm is valid should localtime_r fail.
    let length = unsafe {
        libc::localtime_r(&raw const second, parts.as_mut_ptr());
        libc::strftime(
            text.as_mut_ptr().cast(),
            text.len(),
            format.as_ptr(),
            parts.as_ptr(),
        )
    };
    String::from_utf8_lossy(&text[..length]).into_owned()
}
