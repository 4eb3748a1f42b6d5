//! [`Answer`]: what an application has said so far of its answer, shared by `start_response`, `write` and the gateway.

use std::sync::{Mutex, MutexGuard, PoisonError};

use uwrs_api::ResponseHead;

/// The head that an application gave.
#[derive(Debug)]
pub(super) struct StartedHead {
    pub(super) head: ResponseHead,
    /// Its Content-Length, bytes.
    pub(super) content_length: Option<u64>,
}

/// What has gone of an answer before its application returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written {
    /// Its Content-Length, bytes.
    content_length: Option<u64>,
    /// Bytes of the body.
    bytes: u64,
    /// The client was gone when the last of it was written.
    is_lost: bool,
}

/// An answer when its application has returned.
#[derive(Debug)]
pub(super) enum Begun {
    /// Nothing of it has gone.
    Head(StartedHead),
    /// Its head, and a part of its body.
    Written(Written),
}

impl Begun {
    /// How many bytes are left to send up to its Content-Length.
    pub(super) fn left(&self) -> Option<u64> {
        match self {
            Self::Head(started) => started.content_length,
            Self::Written(written) => Some(written.content_length?.saturating_sub(written.bytes)),
        }
    }
}

/// How far an answer has come.
#[derive(Debug, Default)]
enum Stage {
    /// `start_response` was not called.
    #[default]
    Silent,
    /// It was called. Nothing has left: the head can still be replaced when the application says why.
    Started(StartedHead),
    /// `write` was called: the head has gone, and so much of the body.
    Written(Written),
    /// All of it has gone to the server, or is pulled by it.
    Sent,
    /// The exchange is over; whoever still holds `start_response` comes too late.
    Over,
}

/// What can be wrong with the order of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Misstep {
    /// `start_response` a second time, without an exception to report.
    StartedTwice,
    /// `start_response` with an exception to report, but the head has gone: the exception is to be raised.
    HeadGone,
    /// `write` before `start_response`.
    NotStarted,
    /// `write` after the iterable was returned.
    Returned,
    /// Anything after the end.
    Over,
}

/// Head and body, as far as they are known.
#[derive(Debug, Default)]
pub(super) struct Answer(Mutex<Stage>);

impl Answer {
    /// Takes the head. `replaces`: an exception is reported with it.
    pub(super) fn start(&self, head: StartedHead, replaces: bool) -> Result<(), Misstep> {
        let mut stage = self.stage();
        match &*stage {
            Stage::Started(_) if !replaces => return Err(Misstep::StartedTwice),
            Stage::Written(_) | Stage::Sent if replaces => return Err(Misstep::HeadGone),
            Stage::Written(_) | Stage::Sent => return Err(Misstep::StartedTwice),
            Stage::Over => return Err(Misstep::Over),
            Stage::Silent | Stage::Started(_) => {}
        }
        *stage = Stage::Started(head);
        Ok(())
    }

    /// Has the head gone, so that an exception cannot be answered any more?
    pub(super) fn is_head_gone(&self) -> bool {
        matches!(*self.stage(), Stage::Written(_) | Stage::Sent)
    }

    /// The application writes so many bytes. Gives the head where that has to go before them. `None` where nothing is to
    /// be sent: nothing is written by writing nothing (PEP 3333: the head waits for the first byte).
    pub(super) fn write(&self, count: usize) -> Result<Option<Option<ResponseHead>>, Misstep> {
        let mut stage = self.stage();
        match &mut *stage {
            Stage::Silent => Err(Misstep::NotStarted),
            Stage::Sent => Err(Misstep::Returned),
            Stage::Over => Err(Misstep::Over),
            Stage::Started(_) | Stage::Written(_) if count == 0 => Ok(None),
            Stage::Written(written) => {
                written.bytes += count as u64;
                Ok(Some(None))
            }
            Stage::Started(started) => {
                let head = std::mem::take(&mut started.head);
                let content_length = started.content_length;
                let bytes = count as u64;
                *stage = Stage::Written(Written {
                    content_length,
                    bytes,
                    is_lost: false,
                });
                Ok(Some(Some(head)))
            }
        }
    }

    /// What was written last has not reached the client, which is gone.
    pub(super) fn lose(&self) {
        if let Stage::Written(written) = &mut *self.stage() {
            written.is_lost = true;
        }
    }

    /// Was something written that has not reached the client?
    pub(super) fn is_lost(&self) -> bool {
        matches!(&*self.stage(), Stage::Written(written) if written.is_lost)
    }

    /// The application has returned: gives the head away to be sent, or tells what has gone; `None` when
    /// `start_response` was not called.
    pub(super) fn send(&self) -> Option<Begun> {
        let mut stage = self.stage();
        match std::mem::replace(&mut *stage, Stage::Sent) {
            Stage::Started(head) => Some(Begun::Head(head)),
            Stage::Written(written) => Some(Begun::Written(written)),
            other => {
                *stage = other;
                None
            }
        }
    }

    /// Nothing counts any more.
    pub(super) fn end(&self) {
        *self.stage() = Stage::Over;
    }

    /// Ready for another exchange. Only when no one else holds it.
    pub(super) fn reset(&self) {
        *self.stage() = Stage::Silent;
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        // A stage is whole after every statement; what panicked beside it does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(status: u16) -> StartedHead {
        StartedHead {
            head: ResponseHead::new(status),
            content_length: None,
        }
    }

    /// The status of a head that had not gone, or how much was written.
    fn sent(answer: &Answer) -> Option<(u16, u64)> {
        Some(match answer.send()? {
            Begun::Head(started) => (started.head.status, 0),
            Begun::Written(written) => (0, written.bytes),
        })
    }

    #[test]
    fn a_second_start_needs_a_reason() {
        let answer = Answer::default();
        assert_eq!(answer.start(head(200), false), Ok(()));
        assert_eq!(answer.start(head(201), false), Err(Misstep::StartedTwice));
        assert_eq!(answer.start(head(500), true), Ok(()));
        assert_eq!(sent(&answer), Some((500, 0)));
    }

    #[test]
    fn a_head_that_has_gone_cannot_be_replaced() {
        let answer = Answer::default();
        answer.start(head(200), false).unwrap();
        assert!(sent(&answer).is_some());
        assert!(answer.is_head_gone());
        assert_eq!(answer.start(head(500), true), Err(Misstep::HeadGone));
        assert_eq!(answer.start(head(500), false), Err(Misstep::StartedTwice));
    }

    #[test]
    fn the_first_byte_takes_the_head_along_and_commits_it() {
        let answer = Answer::default();
        assert_eq!(answer.write(5).unwrap_err(), Misstep::NotStarted);
        answer.start(head(200), false).unwrap();
        assert!(answer.write(0).unwrap().is_none());
        assert!(!answer.is_head_gone());
        let first = answer.write(4).unwrap().unwrap();
        assert_eq!(first.map(|head| head.status), Some(200));
        assert!(answer.write(3).unwrap().unwrap().is_none());
        assert!(answer.is_head_gone());
        assert_eq!(answer.start(head(500), true), Err(Misstep::HeadGone));
        assert_eq!(sent(&answer), Some((0, 7)));
        assert_eq!(answer.write(4).unwrap_err(), Misstep::Returned);
    }

    #[test]
    fn what_was_written_counts_towards_the_content_length() {
        let answer = Answer::default();
        let started = StartedHead {
            content_length: Some(10),
            ..head(200)
        };
        answer.start(started, false).unwrap();
        answer.write(4).unwrap();
        assert_eq!(answer.send().unwrap().left(), Some(6));
    }

    #[test]
    fn after_the_end_nothing_is_taken() {
        let answer = Answer::default();
        answer.end();
        assert_eq!(answer.start(head(200), false), Err(Misstep::Over));
        assert_eq!(answer.write(1).unwrap_err(), Misstep::Over);
        assert_eq!(sent(&answer), None);
    }
}
