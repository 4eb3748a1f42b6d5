//! [`PythonRuntime`]: the interpreter as the process model drives it.
//!
//! Between two calls the interpreter is let go of, so that threads which the application started at import can
//! come to rest and hold no lock when a worker is forked. From `ForkStage::Before` to the stage after it the
//! calling thread keeps hold.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use uwrs_api::{ForkStage, Gateway, LoadError, LoadedApp, Runtime, WorkerFacts};

use crate::asgi::{AsgiGateway, Cast};
use crate::inheritance::{Found, Inheritance};
use crate::interface::Interface;
use crate::loader::{self, Application};
use crate::mounts::Mounts;
use crate::wsgi::{GeventGateway, WsgiGateway};
use crate::{Settings, failure, gevent, interpreter, raw, uwsgi_module};

/// What to do with what does not survive a fork.
const WAY_OUT: &str = "start it in uwsgi.post_fork_hook, or set lazy-apps = true";

/// Python, started.
pub(crate) struct PythonRuntime {
    settings: Settings,
    applications: Vec<Application>,
    /// Made before the first fork, for each worker to take its copy.
    gateway: Option<WsgiGateway>,
    is_forking: bool,
    /// What there was before the application was loaded; `None` once it was told what has come since.
    before: Option<Inheritance>,
}

impl PythonRuntime {
    /// Starts the interpreter.
    pub(crate) fn start(settings: Settings) -> Result<Self, LoadError> {
        interpreter::start(&settings)?;
        let installed = raw::with_interpreter(|py| {
            if let Some(signal) = settings.traceback_signal
                && let Err(error) = trace_on(py, signal)
            {
                log::warn!(
                    "there will be no tracebacks of what is stuck: {}",
                    failure::traceback(py, &error).trim_end()
                );
            }
            uwsgi_module::install(py, &settings)
                .map_err(|error| failure::load_error(py, "python", &error, None))
        });
        raw::park();
        installed?;
        Ok(Self {
            settings,
            applications: Vec::new(),
            gateway: None,
            is_forking: false,
            before: None,
        })
    }

    /// Runs `work` with the interpreter, and lets go of it.
    fn attached<R>(&mut self, work: impl FnOnce(Python<'_>, &mut Self) -> R) -> R {
        let result = raw::with_interpreter(|py| work(py, self));
        if !self.is_forking {
            raw::park();
        }
        result
    }

    fn speaks_wsgi_only(&self) -> bool {
        let mut applications = self.applications.iter();
        applications.all(|app| app.interface == Interface::Wsgi)
    }

    /// A gateway to what is loaded and speaks WSGI.
    fn make_gateway(&self, py: Python<'_>) -> PyResult<WsgiGateway> {
        let applications = self.applications.iter();
        let applications = applications.filter(|app| app.interface == Interface::Wsgi);
        let applications = applications.map(|app| (app.mountpoint.clone(), app.callable.clone_ref(py)));
        let mounts = Mounts::new(applications, self.settings.manage_script_name);
        WsgiGateway::new(py, mounts, &self.settings)
    }

    /// A gateway to all that is loaded, where some of it speaks ASGI.
    fn start_asgi(&self, py: Python<'_>, wsgi: WsgiGateway) -> Result<AsgiGateway, LoadError> {
        let is_parallel = interpreter::is_parallel(py);
        if self.settings.multithread && !is_parallel {
            log::warn!(
                "threads: an ASGI application has one loop in one thread, where Python has a global lock; processes = N \
                 is what makes more of them"
            );
        }
        let applications = self.applications.iter();
        let cast = Cast {
            applications: applications
                .map(|app| (app.mountpoint.clone(), app.callable.clone_ref(py), app.interface))
                .collect(),
            settings: self.settings.clone(),
            is_parallel,
        };
        AsgiGateway::start(py, Arc::new(cast), wsgi)
    }

    /// Tells, once, of what workers inherit and can't use.
    fn warn_of_inheritance(&mut self, py: Python<'_>) {
        let Some(before) = self.before.take() else { return };
        let Found {
            connections,
            mut event_loops,
            mut threads,
        } = before.compare();
        if self.settings.greenlets.is_some()
            && let Some(of_hub) = gevent::hub_threads(py)
        {
            // Every worker makes the hub its own.
            event_loops = event_loops.saturating_sub(1);
            threads = threads.saturating_sub(of_hub);
        }
        let names = match gevent::is_threading_patched(py) {
            // They are greenlets, which do live on.
            true => Vec::new(),
            false => other_threads(py).unwrap_or_default(),
        };
        let mut told = names.clone();
        match threads.saturating_sub(names.len()) {
            0 => {}
            1 => told.push("one of an extension module".to_owned()),
            more => told.push(format!("{more} of extension modules")),
        }
        if !told.is_empty() {
            log::warn!(
                "threads that were started while the application was loaded do not live on in the workers: {}; {WAY_OUT}",
                told.join(", ")
            );
        }
        if !connections.is_empty() {
            log::warn!(
                "connections that were made while the application was loaded are shared by all workers, whose words get \
                 mixed up on them unless they open their own: {}; {WAY_OUT}",
                connections.join(", ")
            );
        }
        if event_loops > 0 {
            log::warn!(
                "an event loop (epoll) that was made while the application was loaded is shared by all workers, which take \
                 events from one another; {WAY_OUT}"
            );
        }
    }
}

impl Runtime for PythonRuntime {
    fn describe(&self) -> String {
        let description = raw::with_interpreter(interpreter::describe);
        raw::park();
        description
    }

    fn load(&mut self) -> Result<Vec<LoadedApp>, LoadError> {
        self.before = Some(Inheritance::take_stock());
        let applications = self.attached(|py, runtime| {
            // What `freeze` made before knows nothing of what is loaded now (lazy-apps).
            runtime.gateway = None;
            let _quiet = QuietCollector::new(py);
            if let Some(greenlets) = &runtime.settings.greenlets {
                gevent::prepare(py, greenlets)?;
            }
            loader::import_extras(py, &runtime.settings.imports);
            let applications = loader::load(py, &runtime.settings)?;
            if runtime.settings.greenlets.is_some() {
                gevent::check(&applications)?;
            }
            Ok(applications)
        })?;
        let loaded = applications.iter().map(|application| LoadedApp {
            mountpoint: application.mountpoint.clone(),
            target: application.target.clone(),
            interface: application.interface.name(),
            took: application.took,
        });
        let loaded = loaded.collect();
        self.applications = applications;
        Ok(loaded)
    }

    fn freeze(&mut self, warm_up: &mut dyn FnMut(&dyn Gateway)) {
        let made = self.attached(|py, runtime| {
            // What every worker would make for itself is made here, and shared.
            runtime.gateway = Some(runtime.make_gateway(py)?);
            raw::forget_lookups(py);
            Ok::<_, PyErr>(())
        });
        if let Some(gateway) = &self.gateway
            && self.speaks_wsgi_only()
        {
            warm_up(gateway);
            gateway.rest();
        }
        let frozen =
            made.and_then(|()| self.attached(|py, _| py.import("gc")?.call_method0("freeze").map(drop)));
        if let Err(error) = frozen {
            log::debug!("gc.freeze: {error}");
        }
    }

    fn fork(&mut self, stage: ForkStage) {
        match stage {
            ForkStage::Before => {
                self.is_forking = true;
                self.attached(|py, runtime| {
                    runtime.warn_of_inheritance(py);
                    // What the streams hold back would come out of every child once more.
                    interpreter::flush_streams(py);
                });
                raw::before_fork();
            }
            ForkStage::Parent if self.is_forking => {
                raw::after_fork_in_parent();
                self.is_forking = false;
                raw::park();
            }
            ForkStage::Child if self.is_forking => {
                raw::after_fork_in_child();
                self.is_forking = false;
                raw::park();
            }
            ForkStage::Parent | ForkStage::Child => {}
        }
    }

    fn enter_worker(&mut self, facts: WorkerFacts) -> Result<Box<dyn Gateway>, LoadError> {
        if let Some(directory) = &self.settings.chdir2 {
            std::env::set_current_dir(directory)
                .map_err(|error| failure::plain(format!("chdir2: {}: {error}", directory.display())))?;
        }
        self.attached(|py, runtime| {
            if runtime.settings.greenlets.is_some() {
                gevent::adopt_hub(py);
            }
            uwsgi_module::enter_worker(py, facts);
            let gateway = match runtime.gateway.take() {
                Some(gateway) => gateway,
                None => runtime
                    .make_gateway(py)
                    .map_err(|error| failure::load_error(py, "python", &error, None))?,
            };
            if let Some(greenlets) = &runtime.settings.greenlets {
                let gateway = GeventGateway::start(py, gateway, greenlets, &runtime.settings);
                return gateway
                    .map(|gateway| Box::new(gateway) as Box<dyn Gateway>)
                    .map_err(|error| failure::load_error(py, "gevent", &error, None));
            }
            if runtime.speaks_wsgi_only() {
                return Ok(Box::new(gateway) as Box<dyn Gateway>);
            }
            Ok(Box::new(runtime.start_asgi(py, gateway)?))
        })
    }

    fn may_set_deadlines(&self) -> bool {
        let may = raw::with_interpreter(uwsgi_module::is_imported);
        raw::park();
        self.settings.master.is_some() && may
    }

    fn source_files(&self) -> Vec<PathBuf> {
        let files = raw::with_interpreter(|py| source_files(py).unwrap_or_default());
        raw::park();
        files
    }

    /// Runs `atexit` and flushes the streams. The interpreter is not taken down: Py_FinalizeEx waits for threads that
    /// may never end and frees what the kernel frees faster.
    fn leave(&mut self) {
        self.attached(|py, _| {
            let exit = py
                .import("atexit")
                .and_then(|atexit| atexit.call_method0("_run_exitfuncs"));
            if let Err(error) = exit {
                log::error!("atexit: {}", failure::traceback(py, &error));
            }
            interpreter::flush_streams(py);
        });
    }
}

/// Keeps the collector from running while it lives: what an import makes stays, and walking it again and again
/// takes a tenth of a large application's start. By the threshold, not by `gc.disable()`: an application that calls
/// that, or sets a threshold of its own, means it.
struct QuietCollector<'py> {
    py: Python<'py>,
    thresholds: Option<(i64, i64, i64)>,
}

impl<'py> QuietCollector<'py> {
    fn new(py: Python<'py>) -> Self {
        let quiet = || -> PyResult<_> {
            let gc = py.import("gc")?;
            let before: (i64, i64, i64) = gc.call_method0("get_threshold")?.extract()?;
            gc.call_method1("set_threshold", (0, before.1, before.2))?;
            Ok(before)
        };
        Self {
            py,
            thresholds: quiet().ok(),
        }
    }

    fn restore(&self) -> PyResult<()> {
        let Some(before) = self.thresholds else {
            return Ok(());
        };
        let gc = self.py.import("gc")?;
        let now: (i64, i64, i64) = gc.call_method0("get_threshold")?.extract()?;
        if now == (0, before.1, before.2) {
            // What was imported is set aside first: the collector would else begin with a walk over all of it. Without a
            // collection before: what that frees leaves holes all over the memory that workers share, and each worker
            // that fills them gets pages of its own (documentation of gc.freeze).
            gc.call_method0("freeze")?;
            gc.call_method1("set_threshold", before)?;
        }
        Ok(())
    }
}

impl Drop for QuietCollector<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.restore() {
            log::debug!("gc.set_threshold: {error}");
        }
    }
}

/// Has the interpreter write tracebacks at a signal, in this process and in those forked from it. What an application does with faulthandler is about other signals,
/// and its own files.
fn trace_on(py: Python<'_>, signal: i32) -> PyResult<()> {
    let arguments = PyDict::new(py);
    arguments.set_item("file", libc::STDERR_FILENO)?;
    arguments.set_item("all_threads", true)?;
    arguments.set_item("chain", false)?;
    py.import("faulthandler")?
        .call_method("register", (signal,), Some(&arguments))
        .map(drop)
}

/// Names of the threads beside the calling one, as `threading` knows them. Without importing it: who did not
/// has no threads.
fn other_threads(py: Python<'_>) -> PyResult<Vec<String>> {
    let modules = interpreter::modules(py)?;
    let Some(threading) = modules.get_item("threading")? else {
        return Ok(Vec::new());
    };
    let own = threading.call_method0("main_thread")?;
    let mut names = Vec::new();
    for thread in threading.call_method0("enumerate")?.try_iter()? {
        let thread = thread?;
        if !thread.is(&own) {
            names.push(format!("\"{}\"", thread.getattr("name")?));
        }
    }
    Ok(names)
}

/// Sources of all modules but the standard library's.
fn source_files(py: Python<'_>) -> PyResult<Vec<PathBuf>> {
    let library: PathBuf = py.import("os")?.getattr("__file__")?.extract()?;
    let library = library.parent().map(PathBuf::from).unwrap_or_default();
    let modules = interpreter::modules(py)?;
    let mut files = Vec::new();
    for module in modules.copy()?.values() {
        let Ok(file) = module
            .getattr("__file__")
            .and_then(|file| file.extract::<PathBuf>())
        else {
            continue;
        };
        let is_source = file
            .extension()
            .is_some_and(|extension| extension != "so" && extension != "pyc");
        let is_installed = file
            .components()
            .any(|part| matches!(part.as_os_str().to_str(), Some("site-packages" | "dist-packages")));
        if is_source && (is_installed || !file.starts_with(&library)) {
            files.push(std::path::absolute(&file).unwrap_or(file));
        }
    }
    files.sort();
    files.dedup();
    Ok(files)
}
