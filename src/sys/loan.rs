//! A loan: what a function has borrowed, for use by code that it calls and that cannot be given it, or by another thread.

use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

type Lent = NonNull<dyn FnMut() -> bool>;

thread_local! {
    static LENT: Cell<Option<Lent>> = const { Cell::new(None) };
}

/// Runs `work`, which can call `thing` by [`call_lent`] meanwhile, on this thread, from however deep below.
pub fn lend<R>(thing: &mut dyn FnMut() -> bool, work: impl FnOnce() -> R) -> R {
    let pointer: NonNull<dyn FnMut() -> bool + '_> = NonNull::from(thing);
    // SAFETY: only the lifetime changes. `thing` is borrowed until this function returns or unwinds, and by then
    // `_restore` has taken the pointer out of LENT, where alone it is.
    let pointer: Lent = unsafe { std::mem::transmute(pointer) };
    let _restore = Restore(LENT.replace(Some(pointer)));
    work()
}

/// Calls what is lent. `None`: nothing is, or it is being called.
pub fn call_lent() -> Option<bool> {
    let mut pointer = LENT.take()?;
    let _restore = Restore(Some(pointer));
    // SAFETY: what is in LENT is alive, see `lend`, whose caller cannot use it meanwhile; taken out of LENT it is not
    // called a second time before this call ends.
    let thing = unsafe { pointer.as_mut() };
    Some(thing())
}

struct Restore(Option<Lent>);

impl Drop for Restore {
    fn drop(&mut self) {
        LENT.set(self.0);
    }
}

/// What one thread lends to another: to be called with the time, it says when to call again.
pub type Handed<'a> = dyn FnMut(Instant) -> Option<Instant> + Send + 'a;

/// Where a thread leaves what it has borrowed, so that another can use it meanwhile.
#[derive(Debug, Default)]
pub struct Handover(Mutex<Option<OnHandover>>);

#[derive(Debug)]
struct OnHandover(NonNull<Handed<'static>>);

// SAFETY: it stands for a `&mut` to something that is `Send`.
unsafe impl Send for OnHandover {}

impl Handover {
    /// Runs `work`; other threads can call `thing` by [`Handover::call`] meanwhile. When this returns none does any more.
    pub fn lend<R>(&self, thing: &mut Handed<'_>, work: impl FnOnce() -> R) -> R {
        let pointer: NonNull<Handed<'_>> = NonNull::from(thing);
        // SAFETY: only the lifetime changes. `thing` is borrowed until this function returns or unwinds, and by then
        // `_restore` has taken the pointer off the handover, where alone it is, or waited until it could.
        let pointer: NonNull<Handed<'static>> = unsafe { std::mem::transmute(pointer) };
        let _restore = TakeBack {
            handover: self,
            before: self.lock().replace(OnHandover(pointer)),
        };
        work()
    }

    /// Calls what is lent, if anything is.
    pub fn call(&self, now: Instant) -> Option<Instant> {
        let mut lent = self.lock();
        let OnHandover(pointer) = lent.as_mut()?;
        // SAFETY: what is on the handover is alive and used by no one else, see `lend`; no two threads have the lock.
        let thing = unsafe { pointer.as_mut() };
        thing(now)
    }

    fn lock(&self) -> MutexGuard<'_, Option<OnHandover>> {
        // Something is lent or not, whatever panicked when it was called.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct TakeBack<'a> {
    handover: &'a Handover,
    before: Option<OnHandover>,
}

impl Drop for TakeBack<'_> {
    fn drop(&mut self) {
        *self.handover.lock() = self.before.take();
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_lent_can_be_called_while_it_is_and_not_from_within() {
        let mut calls = 0;
        let result = lend(
            &mut || {
                calls += 1;
                assert_eq!(call_lent(), None);
                calls == 1
            },
            || [call_lent(), call_lent()],
        );
        assert_eq!((result, calls), ([Some(true), Some(false)], 2));
        assert_eq!(call_lent(), None);
    }

    #[test]
    fn a_loan_ends_with_a_panic_and_the_one_around_it_goes_on() {
        let result = lend(&mut || true, || {
            let panicked = catch_unwind(AssertUnwindSafe(|| {
                lend(&mut || false, || {
                    assert_eq!(call_lent(), Some(false));
                    std::panic::resume_unwind(Box::new(()))
                })
            }));
            panicked.is_err() && call_lent() == Some(true)
        });
        assert!(result);
        assert_eq!(call_lent(), None);
    }

    #[test]
    fn another_thread_can_call_what_is_on_the_handover_and_only_while_it_is() {
        let handover = Handover::default();
        let now = Instant::now();
        let again = now + Duration::from_secs(1);
        let mut calls = 0;
        let mut thing = |at| {
            calls += 1;
            (at == now).then_some(again)
        };
        let called = handover.lend(&mut thing, || {
            thread::scope(|scope| scope.spawn(|| [handover.call(now), handover.call(again)]).join())
        });
        assert_eq!(called.ok(), Some([Some(again), None]));
        assert_eq!(calls, 2);
        assert_eq!(handover.call(now), None);
    }

    #[test]
    fn what_is_on_the_handover_is_taken_back_after_a_panic() {
        let handover = Handover::default();
        let now = Instant::now();
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            handover.lend(&mut |_| Some(now), || std::panic::resume_unwind(Box::new(())))
        }));
        assert!(panicked.is_err());
        assert_eq!(handover.call(now), None);
    }
}
