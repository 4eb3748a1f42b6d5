//! [`GeventDriver`]: gevent's hub turns the server's loop, which is one descriptor that it watches, and one timer.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pyo3::intern;
use pyo3::prelude::*;
use uwrs_api::{Driver, Observer, Turned, Turns};

use super::crew::Crew;
use crate::turning::{self, Clock};
use crate::{failure, raw};

/// Turns the server's loop for as long as the worker lives.
pub(super) struct GeventDriver {
    crew: Arc<Crew>,
    waits_for_hub: bool,
}

impl GeventDriver {
    /// For that crew. `waits_for_hub`: at its end, until everything that the hub knows of is over.
    pub(super) fn new(crew: Arc<Crew>, waits_for_hub: bool) -> Self {
        Self { crew, waits_for_hub }
    }

    fn run(&self, py: Python<'_>, descriptor: i32) -> PyResult<()> {
        let hub = self.crew.hub();
        let clock = Arc::new(Clock::default());
        let turn = Turn {
            crew: Arc::clone(&self.crew),
            clock: Arc::clone(&clock),
            main: hub.current(py)?.unbind(),
        };
        let turn = Bound::new(py, turn)?.into_any();
        let watcher = hub.watch(descriptor, &turn)?;
        hub.call_soon(py, (&turn,))?;
        while !clock.is_stopped() && !hub.is_dead(py) {
            // What an application raises to end the process (SystemExit, KeyboardInterrupt) comes out here.
            if let Err(error) = hub.switch(py) {
                log::error!(
                    "the hub was left by an exception and goes on\n{}",
                    failure::traceback(py, &error)
                );
            }
        }
        watcher.call_method0(intern!(py, "close")).map(drop)
    }
}

impl Driver for GeventDriver {
    fn drive(&mut self, turns: Rc<dyn Turns>) {
        let descriptor = turns.descriptor();
        let _driven = turning::drive(turns);
        raw::with_interpreter(|py| {
            if let Err(error) = self.run(py, descriptor) {
                log::error!("the hub broke\n{}", failure::traceback(py, &error));
            }
        });
    }

    fn observer(&self) -> Option<Box<dyn Observer>> {
        turning::observer()
    }

    fn finish(&mut self) {
        if !self.waits_for_hub {
            return;
        }
        raw::with_interpreter(|py| {
            if let Err(error) = self.crew.hub().join(py) {
                log::error!("the hub did not end well\n{}", failure::traceback(py, &error));
            }
        });
    }
}

/// What the hub calls when the server's loop has something to do.
#[pyclass(frozen, module = "uwrs")]
struct Turn {
    crew: Arc<Crew>,
    clock: Arc<Clock>,
    /// Who waits for the end.
    main: Py<PyAny>,
}

#[pymethods]
impl Turn {
    fn __call__(slf: &Bound<'_, Self>) -> PyResult<()> {
        let Some(turns) = turning::turns() else {
            return Ok(());
        };
        let (this, py) = (slf.get(), slf.py());
        // The hub may come by once more before it switches to who waits for the end. A turn then could take on something
        // new.
        if this.clock.is_stopped() {
            return Ok(());
        }
        let turned = turns.turn();
        this.crew.set_to_work(py);
        match turned {
            Turned::Again => this.crew.hub().call_soon(py, (slf,)),
            Turned::Wait(None) => Ok(()),
            Turned::Wait(Some(wait)) => this.ring_after(slf, wait),
            Turned::Stop => {
                this.clock.stop();
                let switch = this.main.bind(py).getattr(intern!(py, "switch"))?;
                this.crew.hub().call_soon(py, (switch,))
            }
        }
    }
}

impl Turn {
    fn ring_after(&self, turn: &Bound<'_, Self>, wait: Duration) -> PyResult<()> {
        if !self.clock.needs(Instant::now() + wait) {
            return Ok(());
        }
        let alarm = Bound::new(turn.py(), Alarm(turn.clone().unbind()))?;
        self.crew.hub().call_later(wait, alarm.as_any())
    }
}

/// What the hub calls when a turn is due by time.
#[pyclass(frozen, module = "uwrs")]
struct Alarm(Py<Turn>);

#[pymethods]
impl Alarm {
    fn __call__(&self, timer: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = timer.py();
        timer.call_method0(intern!(py, "close"))?;
        let turn = self.0.bind(py);
        turn.get().clock.ring();
        Turn::__call__(turn)
    }
}
