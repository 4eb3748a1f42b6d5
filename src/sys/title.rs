//! [`ProcessTitle`]: what `ps` shows in place of the command line.

use std::env;
use std::ffi::OsString;
use std::fs;

/// The memory where the kernel looks for the command line: the arguments' and, behind it, the environment's
/// of the time when the program was started.
#[derive(Clone, Copy, Debug)]
pub struct ProcessTitle {
    start: usize,
    bytes: usize,
}

impl ProcessTitle {
    /// Takes the memory over. Moves the environment out of it first, and gives the arguments, since
    /// [`std::env::args_os`] is of no use from then on. Once, early, while the process has one thread. `None`
    /// where `/proc` does not tell where the memory is.
    pub fn take() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let (start, bytes) = title_area(&stat)?;
        let environment: Vec<(OsString, OsString)> = env::vars_os().collect();
        for (name, value) in environment {
            // setenv copies to new memory, also where the value is the same.
            // SAFETY: the process has one thread, by this function's contract.
            unsafe { env::set_var(name, value) };
        }
        Some(Self { start, bytes })
    }

    /// Shows `title`, cut to the room there is.
    pub fn set(&self, title: &str) {
        let shown = title.len().min(self.bytes - 1);
        let start = std::ptr::with_exposed_provenance_mut::<u8>(self.start);
        // SAFETY: `start..start + bytes` is the initial stack's strings, writable all the process's life;
        // `take` moved the environment away and by its contract nobody reads the arguments there any more.
        // `shown` is less than `bytes`, so that a NUL ends the title.
        unsafe {
            std::ptr::copy_nonoverlapping(title.as_ptr(), start, shown);
            std::ptr::write_bytes(start.add(shown), 0, self.bytes - shown);
        }
    }
}

/// Where arguments and environment lie, from `/proc/self/stat` (proc_pid_stat(5), fields 48 to 51): start and
/// length.
fn title_area(stat: &str) -> Option<(usize, usize)> {
    // The second field is the name in brackets and may hold blanks and brackets itself.
    let (_, rest) = stat.rsplit_once(')')?;
    let field = |number: usize| rest.split_whitespace().nth(number - 3)?.parse::<usize>().ok();
    let (arguments, arguments_end) = (field(48)?, field(49)?);
    let (environment, environment_end) = (field(50)?, field(51)?);
    if arguments == 0 || arguments_end <= arguments {
        return None;
    }
    // The environment follows at once, unless someone moved it.
    let end = if environment == arguments_end && environment_end > environment {
        environment_end
    } else {
        arguments_end
    };
    Some((arguments, end - arguments))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(tail: &str) -> String {
        let middle = "S 1 ".to_owned() + &"0 ".repeat(43);
        format!("77 (a ) b) {middle}{tail} 0")
    }

    #[test]
    fn the_area_is_arguments_and_environment_where_they_touch() {
        assert_eq!(title_area(&stat("1000 1030 1030 1500")), Some((1000, 500)));
        assert_eq!(title_area(&stat("1000 1030 4000 5000")), Some((1000, 30)));
    }

    #[test]
    fn nothing_is_taken_where_the_kernel_does_not_tell() {
        assert_eq!(title_area(&stat("0 0 0 0")), None);
        assert_eq!(title_area("garbage"), None);
        assert_eq!(title_area("1 (x) S 1"), None);
    }

    #[test]
    fn the_kernel_tells_of_this_process() {
        let stat = fs::read_to_string("/proc/self/stat").unwrap();
        assert!(title_area(&stat).is_some());
    }
}
