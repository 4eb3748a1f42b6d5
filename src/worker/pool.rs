//! A worker with several threads (`threads`): they share one loop, one at a time, and run applications side by side.
//!
//! There is no thread that only minds the loop. The one that waits for events runs what they bring; while it does,
//! the loop can be taken by another, by the rules of [`Roster`]. Measured with "hello world", four threads, 64
//! connections, CPU for a request: 1.07 times that of one thread; where the loop is handed on before every request,
//! as a loop thread with a pool behind it must, 1.40 times.
//!
//! While all threads are in the application the [`minder`] has the loop.
//!
//! Two locks, one rule: no thread waits for the loop while it holds the interpreter. It tries, and lets go of the
//! interpreter where that fails. So whoever has the loop may wait for the interpreter, though nothing here does.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use uwrs_api::{ExchangeId, Gateway, Runtime};

use crate::server::{Flusher, Sending, Work, call_in_person, employ};
use crate::sys::{self, EpollEvents};

use super::roster::{Beacon, Call, OVERDUE, Role, Roster};
use super::{Departure, STACK_BYTES, Worker, minder};

/// Events taken from the kernel at once.
pub(super) const EVENTS: usize = 256;
/// The minder runs no application.
const MINDER_STACK_BYTES: usize = 512 * 1024;

/// How often a thread that waits for its client looks whether that is still there.
const LOOK: Duration = Duration::from_secs(1);

/// Serves with one thread more than there are `siblings`, each with its own gateway; the calling one is number 0.
pub(super) fn serve(
    worker: Worker,
    gateway: &dyn Gateway,
    siblings: Vec<Box<dyn Gateway>>,
    runtime: &dyn Runtime,
) -> Departure {
    let count = siblings.len() + 1;
    let pool = Pool::new(worker, count);
    // Nobody has the loop until all have entered the interpreter: an application may hold on to that, and others must be
    // able to have the loop meanwhile.
    let shift = pool.lock();
    let (enter, entered) = mpsc::channel();
    let mut threads: Vec<JoinHandle<()>> = siblings
        .into_iter()
        .enumerate()
        .filter_map(|(index, sibling)| spawn(&pool, index + 1, sibling, enter.clone()))
        .collect();
    drop(enter);
    threads.extend(spawn_minder(&pool, count));
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
        for thread in threads {
            if thread.join().is_err() {
                log::error!("a thread of the pool panicked");
            }
        }
    }
    departure
}

/// `enter` is dropped when the thread has entered the interpreter.
fn spawn(
    pool: &Arc<Pool>,
    number: usize,
    gateway: Box<dyn Gateway>,
    enter: Sender<()>,
) -> Option<JoinHandle<()>> {
    let pool = Arc::clone(pool);
    let thread = thread::Builder::new()
        .name(format!("core {number}"))
        .stack_size(STACK_BYTES)
        .spawn(move || {
            gateway.enter_thread(number);
            gateway.rest();
            drop(enter);
            pool.serve(number, &*gateway, None);
            gateway.leave_thread();
        });
    thread
        .inspect_err(|error| log::error!("threads: number {number} could not be started: {error}"))
        .ok()
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

/// The loop, and who does what.
pub(super) struct Shift {
    pub(super) worker: Worker,
    pub(super) roster: Roster,
    /// Set when everything is over.
    ended: Option<Departure>,
}

/// What a thread does next.
enum Duty {
    Run(Work, Option<(usize, Call)>),
    Wait(Option<Duration>),
    StandBy,
    /// Ask the runtime for the files that are imported.
    LookAtSources,
}

/// Where a thread stands by.
#[derive(Default)]
struct Station {
    thread: OnceLock<Thread>,
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
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
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
    fn new(worker: Worker, threads: usize) -> Arc<Self> {
        let roster = Roster::new(threads, Instant::now());
        Arc::new_cyclic(|pool: &Weak<Self>| Self {
            flusher: flusher(pool.clone()),
            stations: (0..=threads).map(|_| Station::default()).collect(),
            beacon: roster.beacon(),
            epoll: worker.event_loop.as_raw_fd(),
            busy: AtomicUsize::new(0),
            shift: Mutex::new(Shift {
                worker,
                roster,
                ended: None,
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
        let _ending = Ending(self);
        gateway.rest();
        let member = Member {
            pool: self,
            number,
            gateway,
            runtime,
            has_rested: false,
            events: EpollEvents::with_capacity(EVENTS),
        };
        if let Err(error) = member.serve() {
            log::error!("the event loop broke: {error}");
        }
    }

    /// That thread is number `number`.
    pub(super) fn arrive(&self, number: usize, thread: Thread) {
        // It does so once.
        let _ = self.stations[number].thread.set(thread);
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
        while let Some(called) = shift.roster.call() {
            self.stations[called].call(Call::Act);
        }
        if let Some(minder) = self.stations.last() {
            minder.call(Call::Act);
        }
        if shift.roster.is_awaited() {
            shift.worker.event_loop.rouse();
        }
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
        loop {
            let patience = watches.then_some(OVERDUE);
            match [patience, errand].into_iter().flatten().min() {
                Some(patience) => thread::park_timeout(patience),
                None => thread::park(),
            }
            match station.heard() {
                Some(Call::Act) => return self.step_forward(number),
                Some(Call::Watch) => watches = true,
                None => {}
            }
            let seen = self.beacon.look();
            if watches && self.beacon.is_overdue(seen, Instant::now()) || errand.is_some() {
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

impl Shift {
    /// What a thread, which has nothing in hand, is to do. `None`: everything is over.
    fn next_duty(&mut self, member: &Member<'_>) -> io::Result<Option<Duty>> {
        loop {
            if self.is_over() {
                return Ok(None);
            }
            if member.runtime.is_some() && self.worker.wants_sources() {
                return Ok(Some(Duty::LookAtSources));
            }
            let now = self.worker.event_loop.now();
            if self.roster.is_minded() && self.roster.is_stale(now) {
                self.look_around(member.number)?;
                self.worker.event_loop.glance_outside();
                self.worker.event_loop.send_across();
                continue;
            }
            self.take_over_from_minder();
            let has_work = self.worker.event_loop.has_work();
            match self.roster.role(member.number, has_work, now) {
                Role::StandBy => return Ok(Some(Duty::StandBy)),
                Role::Lead if has_work && self.roster.is_stale(now) => {
                    self.look_around(member.number)?;
                    continue;
                }
                Role::Lead | Role::Help => {}
            }
            if let Some(work) = self.worker.event_loop.take_work() {
                let has_more = self.worker.event_loop.has_work();
                let called = self.roster.begin_work(member.number, has_more);
                return Ok(Some(Duty::Run(work, called)));
            }
            if self.roster.is_polling() {
                return Ok(Some(Duty::StandBy));
            }
            let timeout = self.worker.timeout(member.runtime.is_some());
            return Ok(Some(Duty::Wait(timeout)));
        }
    }

    /// Asks the kernel for events, without waiting for any.
    fn look_around(&mut self, number: usize) -> io::Result<()> {
        let heard = self.worker.event_loop.turn(Some(Duration::ZERO))?;
        self.roster.attended(number, self.worker.event_loop.now());
        self.worker.hear(&heard);
        Ok(())
    }

    /// Is everything over?
    pub(super) fn is_over(&mut self) -> bool {
        let is_idle = self.roster.busy() == 0 && !self.worker.event_loop.has_work();
        self.ended = self.ended.or_else(|| self.worker.departure(is_idle));
        self.ended.is_some()
    }

    /// A thread is back from the application: the loop is no longer the minder's, unless slow ones wait in a row.
    fn take_over_from_minder(&mut self) {
        if !self.roster.is_minded() {
            return;
        }
        let event_loop = &mut self.worker.event_loop;
        if self.roster.is_awaited() {
            event_loop.glance_outside();
        }
        if self.roster.leaves_minder(event_loop.has_work()) {
            return;
        }
        event_loop.unburden();
        if self.roster.is_awaited() {
            event_loop.rouse();
        }
        self.roster.end_minding();
    }
}

/// One of the threads.
struct Member<'a> {
    pool: &'a Pool,
    number: usize,
    gateway: &'a dyn Gateway,
    runtime: Option<&'a dyn Runtime>,
    /// It has let go of the interpreter, and has done nothing since.
    has_rested: bool,
    events: EpollEvents,
}

impl<'a> Member<'a> {
    /// One duty after the other, until everything is over.
    fn serve(mut self) -> io::Result<()> {
        let mut shift = self.pool.lock();
        while let Some(duty) = shift.next_duty(&self)? {
            // What it does when it has rested may be something else: it took a moment.
            let is_idle = matches!(duty, Duty::Wait(_) | Duty::StandBy);
            if is_idle && !self.has_rested {
                drop(shift);
                self.gateway.rest();
                self.has_rested = true;
                shift = self.pool.lock();
                continue;
            }
            shift = self.perform(duty, shift)?;
            self.has_rested = false;
        }
        Ok(())
    }

    /// Does its duty, without the loop in hand; has it again afterwards.
    fn perform(&mut self, duty: Duty, shift: MutexGuard<'a, Shift>) -> io::Result<MutexGuard<'a, Shift>> {
        match duty {
            Duty::Run(work, called) => Ok(self.run(work, called, shift)),
            Duty::Wait(timeout) => self.wait(timeout, shift),
            Duty::StandBy => Ok(self.stand_by(shift)),
            Duty::LookAtSources => {
                drop(shift);
                let files = self.runtime.map(Runtime::source_files).unwrap_or_default();
                let mut shift = self.pool.lock();
                shift.worker.look_at(files);
                Ok(shift)
            }
        }
    }

    fn run(
        &mut self,
        work: Work,
        called: Option<(usize, Call)>,
        shift: MutexGuard<'a, Shift>,
    ) -> MutexGuard<'a, Shift> {
        self.pool.busy.store(shift.roster.busy(), Ordering::Relaxed);
        let is_alone = shift.roster.busy() == 1;
        // Where the interpreter is nobody else's, the work begins at once.
        let began = is_alone.then(|| shift.worker.event_loop.now());
        drop(shift);
        if let Some((number, call)) = called {
            self.pool.stations[number].call(call);
        }
        self.gateway.rouse();
        let exchange = work.exchange();
        let began = began.unwrap_or_else(Instant::now);
        let pulled = work.run(self.gateway, &self.pool.flusher);
        let ended = Instant::now();
        let mut shift = self.take_again();
        shift.worker.event_loop.take_back(exchange, pulled, ended);
        shift.roster.end_work(began, ended);
        self.pool.busy.store(shift.roster.busy(), Ordering::Relaxed);
        shift
    }

    /// The loop, after an application. Alone, the thread keeps hold of the interpreter: it is about to run the next.
    fn take_again(&mut self) -> MutexGuard<'a, Shift> {
        if self.pool.busy.load(Ordering::Relaxed) <= 1
            && let Ok(shift) = self.pool.shift.try_lock()
        {
            return shift;
        }
        self.gateway.rest();
        self.pool.lock()
    }

    fn wait(
        &mut self,
        timeout: Option<Duration>,
        mut shift: MutexGuard<'a, Shift>,
    ) -> io::Result<MutexGuard<'a, Shift>> {
        let timeout = shift.worker.event_loop.begin_wait(timeout);
        let now = shift.worker.event_loop.now();
        shift.roster.begin_wait(self.number, timeout, now);
        drop(shift);
        let waited = sys::epoll_wait(self.pool.epoll, &mut self.events, timeout);
        let mut shift = self.pool.lock();
        let heard = shift.worker.event_loop.end_wait(&self.events);
        let now = shift.worker.event_loop.now();
        shift.roster.end_wait(self.number, now);
        shift.worker.hear(&heard);
        waited.map(|()| shift)
    }

    fn stand_by(&self, shift: MutexGuard<'a, Shift>) -> MutexGuard<'a, Shift> {
        let errand = self.runtime.and_then(|_| shift.worker.next_look());
        self.pool.stand_by(self.number, errand, shift)
    }
}
