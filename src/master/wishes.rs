//! What operators say to a master, by signals, by bytes of its FIFO and by files that they touch, as [`Command`]s; and
//! how the master comes to hear it.

use std::time::Instant;

use super::Master;
use super::supervisor::{Command, Input};
use crate::config::TouchWish;
use crate::launch::{Control, Fifo};
use crate::sys::Signal;

/// What a signal asks for.
pub(super) fn of_signal(signal: Signal) -> Option<Command> {
    match signal {
        Signal::SIGHUP => Some(Command::Reload),
        Signal::SIGINT => Some(Command::Interrupt),
        Signal::SIGTERM => Some(Command::Terminate),
        Signal::SIGQUIT => Some(Command::Quit),
        Signal::SIGUSR1 => Some(Command::Report),
        Signal::SIGUSR2 => Some(Command::Reexecute),
        Signal::SIGTTIN => Some(Command::MoreWorkers),
        Signal::SIGTTOU => Some(Command::FewerWorkers),
        Signal::SIGTSTP => Some(Command::TogglePause),
        _ => None,
    }
}

/// What the change of a file asks for.
pub(super) fn of_touch(wish: TouchWish) -> Command {
    match wish {
        TouchWish::Reload => Command::Reload,
        TouchWish::RenewWorkers => Command::RenewWorkers,
        TouchWish::ChainReload => Command::ChainReload,
        TouchWish::ReopenLog => Command::ReopenLogs,
        TouchWish::RotateLog => Command::RotateLogs,
    }
}

/// What a byte of the FIFO asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FifoWish {
    /// The supervisor is to see to it.
    Command(Command),
    /// To read another of the pipes.
    Select(usize),
    /// Nothing, and the reason.
    Nothing(&'static str),
    /// Nothing: it ends the line of whoever wrote with `echo`.
    Blank,
}

/// What a byte of the FIFO asks for: uWSGI's bytes.
pub(super) fn of_byte(byte: u8) -> FifoWish {
    FifoWish::Command(match byte {
        b'0'..=b'9' => return FifoWish::Select(usize::from(byte - b'0')),
        b'+' => Command::MoreWorkers,
        b'-' => Command::FewerWorkers,
        b'c' => Command::ChainReload,
        b'C' => Command::GoCheap,
        b'f' => Command::Reexecute,
        b'l' => Command::ReopenLogs,
        b'L' => Command::RotateLogs,
        b'p' => Command::TogglePause,
        b'P' => Command::WritePidfiles,
        b'q' => Command::Stop,
        b'Q' => Command::StopAtOnce,
        b'r' => Command::Reload,
        b'R' => Command::BrutalReload,
        b's' => Command::ShowState,
        b'w' => Command::RenewWorkers,
        b'W' => Command::RenewWorkersBrutally,
        b'B' | b'E' => return FifoWish::Nothing("there is no emperor"),
        b'S' => return FifoWish::Nothing("there are no subscriptions"),
        b'\n' | b'\r' | b' ' | b'\t' => return FifoWish::Blank,
        _ => return FifoWish::Nothing("it is no command"),
    })
}

impl Master<'_> {
    pub(super) fn hear_questions(&mut self) {
        let asking = self.control.as_mut().map(Control::hear).unwrap_or_default();
        for client in asking {
            self.handle(Input::ReloadFor(client));
        }
    }

    pub(super) fn read_fifo(&mut self) {
        let bytes = self.fifo.as_ref().map(Fifo::take).unwrap_or_default();
        for byte in bytes {
            let shown = byte.escape_ascii();
            match of_byte(byte) {
                FifoWish::Command(command) => {
                    log::info!("master-fifo: {shown}");
                    self.handle(Input::Command(command));
                }
                FifoWish::Select(slot) => {
                    let selected = self.fifo.as_mut().map_or(Ok(()), |fifo| fifo.select(slot));
                    match (selected, &self.fifo) {
                        (Ok(()), Some(fifo)) => {
                            log::info!("master-fifo: {} from now on", fifo.path().display());
                        }
                        (Ok(()), None) => {}
                        (Err(error), _) => log::error!("{error}"),
                    }
                }
                FifoWish::Nothing(why) => log::warn!("master-fifo: nothing is done on \"{shown}\": {why}"),
                FifoWish::Blank => {}
            }
        }
    }

    pub(super) fn look_at_files(&mut self) {
        for touch in self.touches.look(Instant::now()) {
            log::info!("{} = {} was touched", touch.wish.option(), touch.path.display());
            self.handle(Input::Command(of_touch(touch.wish)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_that_uwsgi_knows_is_answered_and_no_other_does_anything() {
        for byte in b"0123456789+-cCflLpPqQrRswW" {
            assert!(!matches!(of_byte(*byte), FifoWish::Nothing(_)), "{byte}");
        }
        for byte in 0..=255 {
            let known = b"0123456789+-BCcEflLpPQqrRsSwW\n\r \t".contains(&byte);
            let is_unknown = of_byte(byte) == FifoWish::Nothing("it is no command");
            assert_eq!(is_unknown, !known, "{byte}");
        }
        assert_eq!(of_byte(b'7'), FifoWish::Select(7));
    }
}
