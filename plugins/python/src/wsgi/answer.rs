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

/// How far an answer has come.
#[derive(Debug, Default)]
enum Stage {
    /// `start_response` was not called.
    #[default]
    Silent,
    /// It was called. Nothing has left: the head can still be replaced when the application says why.
    Started(StartedHead),
    /// `write` was called: the head counts as sent, though both wait for what the application returns.
    Written(StartedHead, Vec<u8>),
    /// The head has gone to the server.
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
            Stage::Written(..) | Stage::Sent if replaces => return Err(Misstep::HeadGone),
            Stage::Written(..) | Stage::Sent => return Err(Misstep::StartedTwice),
            Stage::Over => return Err(Misstep::Over),
            Stage::Silent | Stage::Started(_) => {}
        }
        *stage = Stage::Started(head);
        Ok(())
    }

    /// Has the head gone, so that an exception cannot be answered any more?
    pub(super) fn is_head_gone(&self) -> bool {
        matches!(*self.stage(), Stage::Written(..) | Stage::Sent)
    }

    /// Takes what the application writes. Nothing is written by writing nothing (PEP 3333: the head waits for the
    /// first byte).
    pub(super) fn write(&self, data: &[u8]) -> Result<(), Misstep> {
        let mut stage = self.stage();
        match &mut *stage {
            Stage::Silent => Err(Misstep::NotStarted),
            Stage::Sent => Err(Misstep::Returned),
            Stage::Over => Err(Misstep::Over),
            Stage::Written(_, written) => {
                written.extend_from_slice(data);
                Ok(())
            }
            Stage::Started(_) if data.is_empty() => Ok(()),
            started @ Stage::Started(_) => {
                let Stage::Started(head) = std::mem::take(started) else {
                    return Ok(());
                };
                *started = Stage::Written(head, data.to_vec());
                Ok(())
            }
        }
    }

    /// Gives the head and what was written away to be sent; `None` when `start_response` was not called.
    pub(super) fn send(&self) -> Option<(StartedHead, Vec<u8>)> {
        let mut stage = self.stage();
        match std::mem::replace(&mut *stage, Stage::Sent) {
            Stage::Started(head) => Some((head, Vec::new())),
            Stage::Written(head, written) => Some((head, written)),
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

    fn sent(answer: &Answer) -> Option<(u16, Vec<u8>)> {
        answer
            .send()
            .map(|(started, written)| (started.head.status, written))
    }

    #[test]
    fn a_second_start_needs_a_reason() {
        let answer = Answer::default();
        assert_eq!(answer.start(head(200), false), Ok(()));
        assert_eq!(answer.start(head(201), false), Err(Misstep::StartedTwice));
        assert_eq!(answer.start(head(500), true), Ok(()));
        assert_eq!(sent(&answer), Some((500, Vec::new())));
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
    fn what_was_written_comes_with_the_head_and_commits_it() {
        let answer = Answer::default();
        assert_eq!(answer.write(b"early"), Err(Misstep::NotStarted));
        answer.start(head(200), false).unwrap();
        answer.write(b"").unwrap();
        assert!(!answer.is_head_gone());
        answer.write(b"one ").unwrap();
        answer.write(b"two").unwrap();
        assert!(answer.is_head_gone());
        assert_eq!(answer.start(head(500), true), Err(Misstep::HeadGone));
        assert_eq!(sent(&answer), Some((200, b"one two".to_vec())));
        assert_eq!(answer.write(b"late"), Err(Misstep::Returned));
    }

    #[test]
    fn after_the_end_nothing_is_taken() {
        let answer = Answer::default();
        answer.end();
        assert_eq!(answer.start(head(200), false), Err(Misstep::Over));
        assert_eq!(answer.write(b"x"), Err(Misstep::Over));
        assert_eq!(sent(&answer), None);
    }
}
