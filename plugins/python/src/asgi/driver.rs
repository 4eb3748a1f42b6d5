//! [`AsyncioDriver`]: asyncio's loop, or uvloop's, turns the server's. The server's loop is one descriptor that it watches,
//! and one timer.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pyo3::exceptions::PyModuleNotFoundError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use uwrs_api::{Driver, LoadError, Observer, Turned, Turns};

use super::lifespan::Lifespans;
use super::{cancellation, registry};
pub(super) use crate::turning::deliver;
use crate::turning::{self, Clock};
use crate::{LoopChoice, apart, failure, raw};

/// How exactly deadlines of WebSockets are kept.
const TICK: Duration = Duration::from_secs(1);

/// After so many seconds it is told for which tasks a worker that leaves waits: for so many of them.
const TOLD_AFTER: u32 = 2;
const TOLD: usize = 3;

/// Makes the loop that was asked for, and makes it this thread's.
///
/// # Errors
/// `loop = uvloop`, and it is not installed.
pub(super) fn make_loop<'py>(py: Python<'py>, choice: LoopChoice) -> Result<Bound<'py, PyAny>, LoadError> {
    let made = match choice {
        LoopChoice::Asyncio => new_loop(py, "asyncio"),
        LoopChoice::Uvloop => new_loop(py, "uvloop"),
        LoopChoice::Auto => match new_loop(py, "uvloop") {
            Err(error) if error.is_instance_of::<PyModuleNotFoundError>(py) => new_loop(py, "asyncio"),
            made => made,
        },
    };
    let event_loop = made.map_err(|error| match error.is_instance_of::<PyModuleNotFoundError>(py) {
        true => failure::plain(
            "loop = uvloop: it is not installed in this Python: pip install uvloop, or say loop = asyncio"
                .to_owned(),
        ),
        false => failure::load_error(py, "loop", &error, None),
    })?;
    let set = py
        .import("asyncio")
        .and_then(|asyncio| asyncio.call_method1("set_event_loop", (&event_loop,)));
    set.map_err(|error| failure::load_error(py, "loop", &error, None))?;
    Ok(event_loop)
}

fn new_loop<'py>(py: Python<'py>, module: &str) -> PyResult<Bound<'py, PyAny>> {
    py.import(module)?.call_method0("new_event_loop")
}

/// Turns the server's loop for as long as the worker lives.
pub(super) struct AsyncioDriver {
    event_loop: Py<PyAny>,
    lifespans: Lifespans,
}

impl AsyncioDriver {
    /// With a loop that does not run yet.
    pub(super) fn new(event_loop: Py<PyAny>, lifespans: Lifespans) -> Self {
        Self {
            event_loop,
            lifespans,
        }
    }

    fn run(&self, py: Python<'_>, descriptor: i32) -> PyResult<()> {
        let event_loop = self.event_loop.bind(py);
        let clock = Arc::new(Clock::default());
        let turn = Bound::new(
            py,
            Turn {
                event_loop: self.event_loop.clone_ref(py),
                clock: Arc::clone(&clock),
            },
        )?;
        event_loop.call_method1("add_reader", (descriptor, &turn))?;
        event_loop.call_method1("call_soon", (&turn,))?;
        while !clock.is_stopped() {
            // What an application raises to end the process (SystemExit, KeyboardInterrupt) comes out here.
            if let Err(error) = event_loop.call_method0("run_forever") {
                log::error!(
                    "the loop was left by an exception and goes on\n{}",
                    failure::traceback(py, &error)
                );
            }
        }
        event_loop.call_method1("remove_reader", (descriptor,)).map(drop)
    }

    /// Lets what is under way come to its end.
    fn end(&mut self, py: Python<'_>) -> PyResult<()> {
        let event_loop = self.event_loop.bind(py);
        let asyncio = py.import("asyncio")?;
        let run = |coroutine: Bound<'_, PyAny>| -> PyResult<()> {
            event_loop
                .call_method1("run_until_complete", (coroutine,))
                .map(drop)
        };
        let tasks = registry::tasks(py);
        if !tasks.is_empty() {
            log::info!("waiting for {} of the applications' tasks", tasks.len());
            let timeout = PyDict::new(py);
            timeout.set_item("timeout", TOLD_AFTER)?;
            run(asyncio.call_method("wait", (&tasks,), Some(&timeout))?)?;
            tell_what_goes_on(py);
            run(asyncio.call_method1("wait", (tasks,))?)?;
        }
        self.lifespans.stop(py);
        let rest = asyncio.call_method1("all_tasks", (event_loop,))?;
        let rest: Vec<Bound<'_, PyAny>> = rest.try_iter()?.collect::<PyResult<_>>()?;
        if !rest.is_empty() {
            for task in &rest {
                task.call_method0("cancel")?;
            }
            run(asyncio.call_method1("wait", (rest,))?)?;
        }
        run(event_loop.call_method0("shutdown_asyncgens")?)?;
        run(event_loop.call_method0("shutdown_default_executor")?)?;
        event_loop.call_method0("close").map(drop)
    }
}

impl Driver for AsyncioDriver {
    fn drive(&mut self, turns: Rc<dyn Turns>) {
        let descriptor = turns.descriptor();
        let _driven = turning::drive(turns);
        raw::with_interpreter(|py| {
            apart::enter_loop(self.event_loop.clone_ref(py));
            if let Err(error) = self.run(py, descriptor) {
                log::error!("the loop broke\n{}", failure::traceback(py, &error));
            }
            apart::leave_loop(py);
        });
    }

    fn observer(&self) -> Option<Box<dyn Observer>> {
        turning::observer()
    }

    fn finish(&mut self) {
        raw::with_interpreter(|py| {
            if let Err(error) = self.end(py) {
                log::error!("the loop did not end well\n{}", failure::traceback(py, &error));
            }
        });
    }
}

/// What asyncio calls when the server's loop has something to do.
#[pyclass(frozen, module = "uwrs")]
struct Turn {
    event_loop: Py<PyAny>,
    clock: Arc<Clock>,
}

#[pymethods]
impl Turn {
    fn __call__(slf: &Bound<'_, Self>) -> PyResult<()> {
        let Some(turns) = turning::turns() else {
            return Ok(());
        };
        let this = slf.get();
        let py = slf.py();
        if this.clock.is_stopped() {
            // To stop uvloop twice is to stop it the next time that it runs, too.
            return Ok(());
        }
        match turns.turn() {
            Turned::Again => {
                this.event_loop
                    .bind(py)
                    .call_method1(intern!(py, "call_soon"), (slf,))?;
            }
            Turned::Wait(None) => {}
            Turned::Wait(Some(wait)) => this.ring_after(slf, wait)?,
            Turned::Stop => {
                this.clock.stop();
                this.event_loop.bind(py).call_method0(intern!(py, "stop"))?;
            }
        }
        Ok(())
    }
}

impl Turn {
    fn ring_after(&self, turn: &Bound<'_, Self>, wait: Duration) -> PyResult<()> {
        let py = turn.py();
        if self.clock.needs(Instant::now() + wait) {
            let alarm = Bound::new(py, Alarm(turn.clone().unbind()))?;
            let arguments = (wait.as_secs_f64(), alarm);
            self.event_loop
                .bind(py)
                .call_method1(intern!(py, "call_later"), arguments)?;
        }
        Ok(())
    }
}

thread_local! {
    /// Is a tick on its way?
    static TICKS: Cell<bool> = const { Cell::new(false) };
}

/// Lets exchanges that outlive their task know that time passes, about once a second, as long as there are any.
pub(super) fn tick_soon(py: Python<'_>, event_loop: &Py<PyAny>) {
    if TICKS.replace(true) {
        return;
    }
    let tick = Bound::new(py, Tick(event_loop.clone_ref(py)));
    let told = tick.and_then(|tick| {
        event_loop
            .bind(py)
            .call_method1(intern!(py, "call_later"), (TICK.as_secs_f64(), tick))
    });
    if let Err(error) = told {
        TICKS.set(false);
        log::error!("asyncio keeps no time: {error}");
    }
}

/// Says for what a worker that has answered everything does not leave.
fn tell_what_goes_on(py: Python<'_>) {
    let tasks = registry::tasks(py);
    for task in tasks.iter().take(TOLD) {
        let task = task.bind(py);
        let Some(talk) = registry::exchange_of(task).and_then(registry::talk) else {
            continue;
        };
        log::warn!(
            "\"{}\": its task goes on, and the worker waits for it; it is here (most recent call last):\n{}",
            talk.request().line(),
            cancellation::place(task)
        );
    }
    if tasks.len() > TOLD {
        log::warn!("and {} other tasks go on", tasks.len() - TOLD);
    }
}

/// What asyncio calls about once a second.
#[pyclass(frozen, module = "uwrs")]
struct Tick(Py<PyAny>);

#[pymethods]
impl Tick {
    fn __call__(&self, py: Python<'_>) {
        TICKS.set(false);
        let mut goes_on = false;
        for talk in registry::all() {
            talk.tick(py);
            goes_on |= !talk.ends_with_its_task();
        }
        goes_on |= raw::tend_heap();
        if goes_on {
            tick_soon(py, &self.0);
        }
    }
}

/// What asyncio calls when a turn is due by time.
#[pyclass(frozen, module = "uwrs")]
struct Alarm(Py<Turn>);

#[pymethods]
impl Alarm {
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        let turn = self.0.bind(py);
        turn.get().clock.ring();
        Turn::__call__(turn)
    }
}
