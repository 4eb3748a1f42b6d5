//! A worker with several threads (`threads`): they share one loop, one at a time, and run applications side by side.
//!
//! There is no thread that only minds the loop. The one that waits for events runs what they bring; while it does,
//! the loop can be taken by another, by the rules of [`Roster`]. Measured with "hello world", four threads, 64
//! connections, CPU for a request: 1.07 times that of one thread; where the loop is handed on before every request,
//! as a loop thread with a pool behind it must, 1.40 times.
//!
//! While all threads are in the application the [`minder`] has the loop.
//!
//! A thread whose answer is streamed stays with it: between two pieces it runs nothing else. While such an answer waits, for
//! its client or for its turn, *spare* threads (`spare-threads`) stand in for its thread, so that never more
//! applications are at work than there are `threads`, and none of them is kept by a client.
//!
//! Two locks, one rule: no thread waits for the loop while it holds the interpreter. It tries, and lets go of the
//! interpreter where that fails. So whoever has the loop may wait for the interpreter, though nothing here does.

mod member;
mod sharing;
mod shift;

use std::mem;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use uwrs_api::{ExchangeId, Gateway, Runtime};

use crate::server::{Flusher, Sending, call_in_person, employ};
use crate::sys::{self, EpollEvents};

use super::roster::{Beacon, Call, OVERDUE, Roster};
use super::{Departure, STACK_BYTES, Worker, minder};
use member::{End, Member};
pub(super) use shift::Shift;

/// Events taken from the kernel at once.
pub(super) const EVENTS: usize = 256;
/// The minder runs no application.
const MINDER_STACK_BYTES: usize = 512 * 1024;

/// How often a thread that waits for its client looks whether that is still there.
const LOOK: Duration = Duration::from_secs(1);

/// Serves with one thread more than there are `siblings`, each with its own gateway, and spare ones when they are needed;
/// the calling one is number 0.
pub(super) fn serve(
    worker: Worker,
    gateway: &dyn Gateway,
    siblings: Vec<Box<dyn Gateway>>,
    runtime: &dyn Runtime,
) -> Departure {
    let count = siblings.len() + 1;
    let most = count + worker.seat.config.application.spare_threads;
    let pool = Pool::new(worker, count, most);
    // Nobody has the loop until all have entered the interpreter: an application may hold on to that, and others must be
    // able to have the loop meanwhile.
    let shift = pool.lock();
    let (enter, entered) = mpsc::channel();
    for (index, sibling) in siblings.into_iter().enumerate() {
        spawn(&pool, index + 1, sibling, Some(enter.clone()));
    }
    drop(enter);
    let minder = spawn_minder(&pool, most);
    if count > 1 {
        gateway.enter_thread(0);
    }
    gateway.rest();
    for () in entered {}
    drop(shift);
    pool.serve(0, gateway, Some(runtime));
    gateway.rest();
    let shift = pool.lock();
    let departure = shift.ended.unwrap_or(Departure::Failed);
    let is_idle = shift.roster.busy() == 0;
    drop(shift);
    // Threads that are still in an application, because nothing was to be waited for, end with the process.
    if is_idle {
        for thread in pool.take_threads().into_iter().chain(minder) {
            if thread.join().is_err() {
                log::error!("a thread of the pool panicked");
            }
        }
    }
    departure
}

/// `enter` is dropped when the thread has entered the interpreter. `false`: there is no such thread.
fn spawn(pool: &Arc<Pool>, number: usize, gateway: Box<dyn Gateway>, enter: Option<Sender<()>>) -> bool {
    let of_thread = Arc::clone(pool);
    let thread = thread::Builder::new()
        .name(format!("core {number}"))
        .stack_size(STACK_BYTES)
        .spawn(move || {
            gateway.enter_thread(number);
            gateway.rest();
            drop(enter);
            of_thread.serve(number, &*gateway, None);
            gateway.leave_thread();
        });
    match thread {
        Ok(thread) => pool.keep_thread(thread),
        Err(error) => {
            log::error!("threads: number {number} could not be started: {error}");
            return false;
        }
    }
    true
}

fn spawn_minder(pool: &Arc<Pool>, number: usize) -> Option<JoinHandle<()>> {
    let pool = Arc::clone(pool);
    let thread = thread::Builder::new()
        .name("minder".to_owned())
        .stack_size(MINDER_STACK_BYTES)
        .spawn(move || minder::serve(&pool, number));
    thread
        .inspect_err(|error| log::error!("the thread that minds the loop could not be started: {error}"))
        .ok()
}

/// What the threads share.
pub(super) struct Pool {
    shift: Mutex<Shift>,
    stations: Vec<Station>,
    /// All but the main one and the minder.
    threads: Mutex<Vec<JoinHandle<()>>>,
    beacon: Arc<Beacon>,
    /// The loop's epoll, which lives as long as the shift.
    epoll: RawFd,
    /// Threads that run applications, as the roster has it: a guess at whether the interpreter is wanted by others.
    busy: AtomicUsize,
    /// Sends pieces of bodies that wait for the next ones, when those take long.
    flusher: Flusher,
}

fn flusher(pool: Weak<Pool>) -> Flusher {
    Flusher::new(move |now| {
        let pool = pool.upgrade()?;
        let mut shift = pool.lock();
        shift.worker.event_loop.flush_held(now)
    })
}

/// Where a thread stands by.
#[derive(Default)]
struct Station {
    thread: Mutex<Option<Thread>>,
    /// What it was called for: 0, or a [`Call`] by its place.
    call: AtomicU8,
}

impl Station {
    fn call(&self, call: Call) {
        let code = match call {
            Call::Act => 1,
            Call::Watch => 2,
        };
        // A call to act is not undone by a later one to watch.
        self.call.fetch_or(code, Ordering::Release);
        if let Some(thread) = &*self.thread() {
            thread.unpark();
        }
    }

    fn thread(&self) -> MutexGuard<'_, Option<Thread>> {
        // It is set by one statement.
        self.thread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn heard(&self) -> Option<Call> {
        match self.call.swap(0, Ordering::Acquire) {
            0 => None,
            2 => Some(Call::Watch),
            _ => Some(Call::Act),
        }
    }
}

impl Pool {
    fn new(worker: Worker, places: usize, most: usize) -> Arc<Self> {
        let roster = Roster::new(places, most, Instant::now());
        Arc::new_cyclic(|pool: &Weak<Self>| Self {
            flusher: flusher(pool.clone()),
            stations: (0..=most).map(|_| Station::default()).collect(),
            threads: Mutex::default(),
            beacon: roster.beacon(),
            epoll: worker.event_loop.as_raw_fd(),
            busy: AtomicUsize::new(0),
            shift: Mutex::new(Shift {
                worker,
                roster,
                ended: None,
                is_short: None,
            }),
        })
    }

    /// What a thread does from beginning to end. `runtime`: the main thread's.
    fn serve(self: &Arc<Self>, number: usize, gateway: &dyn Gateway, runtime: Option<&dyn Runtime>) {
        call_in_person();
        let pool = Arc::downgrade(self);
        employ(Box::new(move |id| {
            pool.upgrade().is_some_and(|pool| pool.send_now(id))
        }));
        self.arrive(number, thread::current());
        let ending = Ending(self);
        gateway.rest();
        let member = Member {
            pool: self,
            number,
            gateway,
            runtime,
            has_rested: false,
            worked: Instant::now(),
            events: EpollEvents::with_capacity(EVENTS),
        };
        match member.serve() {
            Ok(End::Over) => {}
            // The others go on.
            Ok(End::Dismissed) => mem::forget(ending),
            Err(error) => log::error!("the event loop broke: {error}"),
        }
    }

    fn keep_thread(&self, thread: JoinHandle<()>) {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.retain(|thread| !thread.is_finished());
        threads.push(thread);
    }

    fn take_threads(&self) -> Vec<JoinHandle<()>> {
        mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// That thread is number `number`.
    pub(super) fn arrive(&self, number: usize, thread: Thread) {
        *self.stations[number].thread() = Some(thread);
    }

    /// The loop's epoll.
    pub(super) fn epoll(&self) -> RawFd {
        self.epoll
    }

    /// Calls a thread that stands by to act.
    pub(super) fn call(&self, number: usize) {
        self.stations[number].call(Call::Act);
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Shift> {
        // A thread that panicked with the loop in hand has ended the shift: see `Ending`.
        self.shift.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what an application of the calling thread, which has let go of the interpreter, wants to be sent at once.
    /// Waits until the kernel has it. `false`: the client is gone.
    fn send_now(&self, id: ExchangeId) -> bool {
        let mut is_writable = false;
        let mut since = Instant::now();
        loop {
            let mut shift = self.lock();
            let event_loop = &mut shift.worker.event_loop;
            let patience = event_loop.patience_of_sending();
            let sending = event_loop.send_now(id, is_writable);
            drop(shift);
            let client = match sending {
                Sending::Done => return true,
                Sending::Gone => return false,
                Sending::Waits(client) => client,
            };
            let left = patience.saturating_sub(since.elapsed());
            if left.is_zero() {
                return false;
            }
            is_writable = sys::wait_writable(client.as_fd(), left.min(LOOK)).unwrap_or(true);
            if is_writable {
                since = Instant::now();
            }
        }
    }

    /// Everything is over: whoever waits is to notice.
    fn call_everyone(&self, shift: &mut Shift) {
        for called in shift.roster.call_all() {
            self.stations[called].call(Call::Act);
        }
        if let Some(minder) = self.stations.last() {
            minder.call(Call::Act);
        }
        // Whoever is supposed to wait for events: another may have taken what was to end the wait of one who has given the
        // loop back since. Each who ends passes it on.
        shift.worker.event_loop.rouse();
    }

    /// Waits, without the loop in hand, until something calls for that thread, or for at most `errand`.
    pub(super) fn stand_by<'a>(
        &'a self,
        number: usize,
        errand: Option<Duration>,
        mut shift: MutexGuard<'a, Shift>,
    ) -> MutexGuard<'a, Shift> {
        let station = &self.stations[number];
        let mut watches = shift.roster.stand_by(number);
        drop(shift);
        let mut sight = self.beacon.look();
        let due = errand.map(|errand| Instant::now() + errand);
        loop {
            let patience = watches.then_some(OVERDUE);
            let left = due.map(|due| due.saturating_duration_since(Instant::now()));
            match [patience, left].into_iter().flatten().min() {
                Some(patience) => thread::park_timeout(patience),
                None => thread::park(),
            }
            match station.heard() {
                Some(Call::Act) => return self.step_forward(number),
                Some(Call::Watch) => watches = true,
                None => {}
            }
            let seen = self.beacon.look();
            let now = Instant::now();
            if watches && self.beacon.is_overdue(seen, now) || due.is_some_and(|due| due <= now) {
                return self.step_forward(number);
            }
            if watches && seen == sight {
                watches = !self.lock().roster.stop_watching(number, seen);
            }
            sight = seen;
        }
    }

    fn step_forward(&self, number: usize) -> MutexGuard<'_, Shift> {
        let mut shift = self.lock();
        shift.worker.event_loop.update_clock();
        // A call, which may have come too late, has crossed it off the list already.
        shift.roster.step_forward(number);
        shift
    }
}

/// When one thread ends, so do all: it was the end, or it went wrong, by an error or a panic.
pub(super) struct Ending<'a>(pub(super) &'a Pool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let mut shift = self.0.lock();
        if shift.ended.is_none() {
            shift.ended = Some(Departure::Failed);
        }
        self.0.call_everyone(&mut shift);
    }
}
