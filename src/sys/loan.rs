//! A loan: what a function has borrowed, for use by code that it calls and that cannot be given it.

use std::cell::Cell;
use std::ptr::NonNull;

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

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

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
}
