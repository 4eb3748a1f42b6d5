//! The loader: from `module`, `wsgi-file` and `mount` to callables. What is wrong with them is said in one sentence with
//! the way out, the traceback beside it.

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pyo3::exceptions::PyModuleNotFoundError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyModule};
use uwrs_api::LoadError;

use crate::failure;
use crate::interface::{self, Interface};
use crate::target::{CallablePath, ModuleTarget};
use crate::{AppSpec, AppTarget, Settings};

/// The name that WSGI applications go by.
const DEFAULT_CALLABLE: &str = "application";

/// A dictionary of this name in the module is several applications: mountpoint → callable, or its name.
const SEVERAL: &str = "applications";

/// Names that people give their application when they do not call it `application`.
const OTHER_NAMES: [&str; 9] = [
    "app",
    "wsgi",
    "wsgi_app",
    "wsgi_application",
    "flask_app",
    "api",
    "server",
    "create_app",
    "make_app",
];

/// An application, loaded.
#[derive(Debug)]
pub(crate) struct Application {
    pub(crate) mountpoint: String,
    /// `config.wsgi:application`
    pub(crate) target: String,
    pub(crate) callable: Py<PyAny>,
    pub(crate) interface: Interface,
    pub(crate) took: Duration,
}

/// Imports what `import` names; a failure is logged and no more.
pub(crate) fn import_extras(py: Python<'_>, modules: &[String]) {
    for module in modules {
        if let Err(error) = py.import(module.as_str()) {
            let error = import_error(py, module, &error);
            log::error!("import = {}", error.in_full());
        }
    }
}

/// Loads all applications of `settings`, in order.
pub(crate) fn load(py: Python<'_>, settings: &Settings) -> Result<Vec<Application>, LoadError> {
    let mut applications = Vec::new();
    for spec in &settings.apps {
        applications.extend(load_one(py, spec, settings.callable.as_deref())?);
    }
    if let Some(said) = settings.interface {
        for application in &mut applications {
            application.interface = said;
        }
    }
    for application in &applications {
        let callable = application.callable.bind(py);
        let is_said = settings.interface.is_some();
        if let Some(reason) = interface::misfit(callable, &application.target, application.interface, is_said)
        {
            return Err(failure::plain(reason));
        }
    }
    Ok(applications)
}

fn load_one(py: Python<'_>, spec: &AppSpec, default: Option<&str>) -> Result<Vec<Application>, LoadError> {
    let started = Instant::now();
    let default = default
        .map(CallablePath::parse)
        .transpose()
        .map_err(|reason| callable_error(&reason))?;
    let source = Source::open(py, &spec.target)?;
    let Some(path) = source.callable.as_ref().or(default.as_ref()) else {
        if let Some(several) = several(&source.module) {
            return load_several(&source, &several, &spec.mountpoint, started);
        }
        let path = CallablePath {
            names: vec![DEFAULT_CALLABLE.to_owned()],
            is_factory: false,
        };
        return Ok(vec![source.application(
            &path,
            spec.mountpoint.clone(),
            started,
        )?]);
    };
    Ok(vec![source.application(
        path,
        spec.mountpoint.clone(),
        started,
    )?])
}

fn callable_error(reason: &str) -> LoadError {
    failure::plain(format!("callable: {reason}"))
}

fn several<'py>(module: &Bound<'py, PyModule>) -> Option<Bound<'py, PyDict>> {
    if module.hasattr(DEFAULT_CALLABLE).unwrap_or(false) {
        return None;
    }
    module.getattr(SEVERAL).ok()?.cast_into().ok()
}

fn load_several(
    source: &Source<'_>,
    several: &Bound<'_, PyDict>,
    below: &str,
    started: Instant,
) -> Result<Vec<Application>, LoadError> {
    let mut applications = Vec::new();
    for (mountpoint, callable) in several.iter() {
        let Ok(mountpoint) = mountpoint.extract::<String>() else {
            return Err(failure::plain(format!(
                "{}:{SEVERAL}: a mountpoint must be a str, not {mountpoint}",
                source.name
            )));
        };
        let target = format!("{}:{SEVERAL}[\"{mountpoint}\"]", source.name);
        let mountpoint = format!(
            "{}{}",
            below.trim_end_matches('/'),
            mountpoint.trim_end_matches('/')
        );
        applications.push(match callable.extract::<String>() {
            Ok(name) => {
                let path = CallablePath::parse(&name)
                    .map_err(|reason| failure::plain(format!("{target}: {reason}")))?;
                source.application(&path, mountpoint, started)?
            }
            Err(_) => Application {
                mountpoint,
                interface: interface::detect(&callable),
                callable: accept(&callable, &target)?,
                target,
                took: started.elapsed(),
            },
        });
    }
    Ok(applications)
}

/// A module that was run, and what was said about the callable in it.
struct Source<'py> {
    /// As the user wrote it: `config.wsgi`, `app.py`.
    name: String,
    /// The option by which it is named.
    option: &'static str,
    module: Bound<'py, PyModule>,
    callable: Option<CallablePath>,
}

impl<'py> Source<'py> {
    fn open(py: Python<'py>, target: &AppTarget) -> Result<Self, LoadError> {
        match target {
            AppTarget::Module(text) => {
                let target = ModuleTarget::parse(text)
                    .map_err(|reason| failure::plain(format!("module: {reason}")))?;
                let module = py
                    .import(target.module.as_str())
                    .map_err(|error| import_error(py, &target.module, &error))?;
                Ok(Self {
                    name: target.module,
                    option: "module",
                    module,
                    callable: target.callable,
                })
            }
            AppTarget::File(path, callable) => {
                let callable = callable.as_deref().map(CallablePath::parse).transpose();
                let callable = callable.map_err(|reason| callable_error(&reason))?;
                let module = run_file(py, path)?;
                Ok(Self {
                    name: path.display().to_string(),
                    option: "wsgi-file",
                    module,
                    callable,
                })
            }
        }
    }

    /// The application that `path` leads to.
    fn application(
        &self,
        path: &CallablePath,
        mountpoint: String,
        started: Instant,
    ) -> Result<Application, LoadError> {
        let target = format!("{}:{}", self.name, path.text());
        let found = self.find(path)?;
        let callable = accept(&found, &target)?;
        Ok(Application {
            mountpoint,
            interface: interface::detect(&found),
            target,
            callable,
            took: started.elapsed(),
        })
    }

    fn find(&self, path: &CallablePath) -> Result<Bound<'py, PyAny>, LoadError> {
        let py = self.module.py();
        let mut found = self.module.clone().into_any();
        for (depth, name) in path.names.iter().enumerate() {
            found = match found.getattr(name.as_str()) {
                Ok(next) => next,
                Err(_) if depth == 0 => return Err(self.nothing_named(name)),
                Err(error) => {
                    let place = format!("{}:{}", self.name, path.text());
                    return Err(failure::load_error(py, &place, &error, None));
                }
            };
        }
        if !path.is_factory {
            return Ok(found);
        }
        found
            .call0()
            .map_err(|error| failure::load_error(py, &format!("{}:{}", self.name, path.text()), &error, None))
    }

    fn nothing_named(&self, name: &str) -> LoadError {
        let missing = format!("module \"{}\" has no attribute \"{name}\"", self.name);
        let Some(other) = self.another_callable(name) else {
            return failure::plain(format!(
                "{missing}: say which callable is the application with callable"
            ));
        };
        let other = if other.starts_with("create_") || other.starts_with("make_") {
            format!("{other}()")
        } else {
            other.to_owned()
        };
        failure::plain(format!(
            "{missing}; it has \"{other}\": say {} = {}:{other} or callable = {other}",
            self.option, self.name
        ))
    }

    fn another_callable(&self, name: &str) -> Option<&'static str> {
        let is_callable = |other: &str| self.module.getattr(other).is_ok_and(|found| found.is_callable());
        [DEFAULT_CALLABLE]
            .into_iter()
            .chain(OTHER_NAMES)
            .find(|other| *other != name && is_callable(other))
    }
}

/// Takes what was found, if it can be called.
fn accept(found: &Bound<'_, PyAny>, target: &str) -> Result<Py<PyAny>, LoadError> {
    if !found.is_callable() {
        let kind = found
            .get_type()
            .qualname()
            .map_or_else(|_| "object".to_owned(), |name| name.to_string());
        let way_out = match kind.as_str() {
            "coroutine" => "; make its factory a plain function, nothing can be awaited here",
            _ => "",
        };
        return Err(failure::plain(format!(
            "{target} is not callable: it is of type {kind}{way_out}"
        )));
    }
    Ok(found.clone().unbind())
}

/// Runs a file as a module of its own name, as uWSGI names it: `uwsgi_file_` and its path.
fn run_file<'py>(py: Python<'py>, path: &Path) -> Result<Bound<'py, PyModule>, LoadError> {
    let shown = path.display();
    let file = if path.is_dir() {
        path.join("__init__.py")
    } else {
        path.to_owned()
    };
    let source = fs::read(&file).map_err(|error| {
        let directory = std::env::current_dir().unwrap_or_default();
        failure::plain(format!(
            "wsgi-file: {shown}: {error} (looked from {})",
            directory.display()
        ))
    })?;
    let Ok(code) = CString::new(source) else {
        return Err(failure::plain(format!(
            "wsgi-file: {shown}: it has a NUL byte: is it Python source?"
        )));
    };
    let name: String = shown.to_string().replace(['/', '.'], "_");
    let file = std::path::absolute(&file).unwrap_or(file);
    let (Ok(file), Ok(name)) = (
        CString::new(file.as_os_str().as_bytes()),
        CString::new(format!("uwsgi_file_{name}")),
    ) else {
        return Err(failure::plain(format!(
            "wsgi-file: {shown}: its name has a NUL byte"
        )));
    };
    PyModule::from_code(py, &code, &file, &name)
        .map_err(|error| failure::load_error(py, &shown.to_string(), &error, None))
}

/// The error of importing `module`, with advice where the module itself, or one it needs, was not found.
fn import_error(py: Python<'_>, module: &str, error: &PyErr) -> LoadError {
    failure::load_error(py, module, error, advice(py, module, error))
}

fn advice(py: Python<'_>, module: &str, error: &PyErr) -> Option<String> {
    if !error.is_instance_of::<PyModuleNotFoundError>(py) {
        return None;
    }
    let missing: String = error.value(py).getattr("name").ok()?.extract().ok()?;
    if missing == "uwsgidecorators" {
        return Some(
            "uWSGI's timers, cron and spoolers are not supported yet: run them in a process of their own"
                .to_owned(),
        );
    }
    let is_ours = module == missing || module.starts_with(&format!("{missing}."));
    if is_ours {
        let sys_path: Vec<PathBuf> = py.import("sys").ok()?.getattr("path").ok()?.extract().ok()?;
        let library: PathBuf = py.import("os").ok()?.getattr("__file__").ok()?.extract().ok()?;
        // Python's own library is no place for an application.
        let is_pythons = |path: &Path| {
            Some(path) == library.parent()
                || path.ends_with("lib-dynload")
                || path.extension().is_some_and(|extension| extension == "zip")
        };
        let places = sys_path.iter().filter(|path| !is_pythons(path));
        let places: Vec<String> = places.map(|path| path.display().to_string()).collect();
        return Some(format!("is chdir right? looked in {}", places.join(", ")));
    }
    let prefix = py.import("sys").ok()?.getattr("prefix").ok()?.to_string();
    Some(format!(
        "is it installed in {prefix} (home says which Python or virtualenv)? are chdir and pythonpath right?"
    ))
}

#[cfg(test)]
pub(crate) mod tests;
