//! [`Interface`]: which way a callable wants to be called: WSGI (PEP 3333), ASGI 3 or ASGI 2.

use std::fmt;

use pyo3::prelude::*;
use pyo3::types::{PyFunction, PyType};

/// How an application is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    /// `application(environ, start_response)`
    Wsgi,
    /// `await application(scope, receive, send)`
    Asgi,
    /// `await application(scope)(receive, send)`
    Asgi2,
}

impl Interface {
    /// Its name in logs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Wsgi => "WSGI",
            Self::Asgi => "ASGI",
            Self::Asgi2 => "ASGI 2",
        }
    }

    /// How many arguments it calls an application with.
    fn arguments(self) -> usize {
        match self {
            Self::Wsgi => 2,
            Self::Asgi => 3,
            Self::Asgi2 => 1,
        }
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Tells by the callable's kind and by how many arguments it takes. Where neither says anything, it is WSGI.
pub(crate) fn detect(callable: &Bound<'_, PyAny>) -> Interface {
    if callable.is_instance_of::<PyType>() {
        return detect_class(callable);
    }
    if let Some(kind) = by_code(callable) {
        return kind;
    }
    let kind = callable.get_type();
    // Not every object's `func` is what it calls.
    if kind.qualname().is_ok_and(|name| name == "partial")
        && let Ok(inner) = callable.getattr("func")
    {
        return match is_asynchronous(&inner) {
            true => Interface::Asgi,
            false => Interface::Wsgi,
        };
    }
    callable
        .getattr("__call__")
        .ok()
        .and_then(|call| by_code(&call))
        .unwrap_or(Interface::Wsgi)
}

/// Why every call of the application, in that way, would raise; `None`: it would not, for all that can be told.
pub(crate) fn misfit(
    callable: &Bound<'_, PyAny>,
    target: &str,
    interface: Interface,
    is_said: bool,
) -> Option<String> {
    let function = function(callable)?;
    let least = arguments(&function)?;
    let is_bound = function.getattr("__self__").is_ok();
    let most: usize = code(&function)?.getattr("co_argcount").ok()?.extract().ok()?;
    let most = most.saturating_sub(usize::from(is_bound));
    let given = interface.arguments();
    if (least..=most).contains(&given) {
        return None;
    }
    let takes = match (least, most) {
        (_, 0) => "no arguments".to_owned(),
        (1, 1) => "1 argument".to_owned(),
        (least, most) if least == most => format!("{most} arguments"),
        (least, most) => format!("{least} to {most} arguments"),
    };
    let way_out = match most {
        0 if is_asynchronous(&function) => {
            format!("if it makes the application, make it a plain function and say {target}()")
        }
        0 => format!("if it makes the application, say {target}()"),
        _ if is_said => format!(
            "leave interface = {} out",
            interface.name().to_lowercase().replace(' ', "")
        ),
        _ => "is it the application?".to_owned(),
    };
    let calls = format!("{interface} calls its applications with {given}");
    Some(format!("{target} takes {takes}, and {calls}: {way_out}"))
}

/// What is called when the application is, where that is written in Python and no class.
fn function<'py>(callable: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    let is_function = |it: &Bound<'py, PyAny>| {
        let inner = it.getattr("__func__").unwrap_or_else(|_| it.clone());
        inner.is_exact_instance_of::<PyFunction>()
    };
    if callable.is_instance_of::<PyType>() {
        return None;
    }
    let call = callable.getattr("__call__").ok();
    [Some(callable.clone()), call]
        .into_iter()
        .flatten()
        .find(is_function)
}

/// A class: its instances are what is awaited, or called.
fn detect_class(class: &Bound<'_, PyAny>) -> Interface {
    let has = |name: &str| class.hasattr(name).unwrap_or(false);
    if has("__await__") {
        return Interface::Asgi;
    }
    match class.getattr("__call__") {
        Ok(call) if is_asynchronous(&call) => Interface::Asgi2,
        _ => Interface::Wsgi,
    }
}

/// A function or a method, by what it is and what it takes.
fn by_code(function: &Bound<'_, PyAny>) -> Option<Interface> {
    if is_asynchronous(function) {
        return Some(Interface::Asgi);
    }
    match arguments(function)? {
        1 => Some(Interface::Asgi2),
        3 => Some(Interface::Asgi),
        _ => Some(Interface::Wsgi),
    }
}

/// Is it a coroutine function, or marked as one?
fn is_asynchronous(function: &Bound<'_, PyAny>) -> bool {
    // CO_COROUTINE | CO_ASYNC_GENERATOR, as `inspect` has them: importing that takes longer than all of this.
    const ASYNCHRONOUS: u32 = 0x80 | 0x200;
    let is_marked = |name: &str| {
        let mark = function.getattr(name);
        mark.is_ok_and(|mark| !mark.is_none())
    };
    let flags: Option<u32> = code(function).and_then(|code| code.getattr("co_flags").ok()?.extract().ok());
    flags.is_some_and(|flags| flags & ASYNCHRONOUS != 0)
        || flags.is_some() && (is_marked("_is_coroutine_mark") || is_marked("_is_coroutine"))
}

/// Positional arguments that a caller has to give; `None` where it takes any number, or where that cannot be told.
fn arguments(function: &Bound<'_, PyAny>) -> Option<usize> {
    const VARIADIC: u32 = 0x04;
    let code = code(function)?;
    let flags: u32 = code.getattr("co_flags").ok()?.extract().ok()?;
    if flags & VARIADIC != 0 {
        return None;
    }
    let count: usize = code.getattr("co_argcount").ok()?.extract().ok()?;
    let is_bound = function.getattr("__self__").is_ok_and(|own| !own.is_none());
    let defaults = function.getattr("__defaults__").ok();
    let defaults = defaults
        .filter(|defaults| !defaults.is_none())
        .and_then(|defaults| defaults.len().ok());
    Some(
        count
            .saturating_sub(usize::from(is_bound))
            .saturating_sub(defaults.unwrap_or(0)),
    )
}

fn code<'py>(function: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    function.getattr("__code__").ok()
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;

    use super::*;
    use crate::loader::tests::with_python;

    /// What `application` is in `source`.
    fn interface(source: &str) -> Interface {
        with_python(|py| {
            let code = CString::new(source).unwrap();
            let module = PyModule::from_code(py, &code, c"app.py", c"app").unwrap();
            detect(&module.getattr("application").unwrap())
        })
    }

    #[test]
    fn what_cannot_be_called_that_way_is_told_with_the_way_out() {
        let misfit = |source: &str, interface, is_said| {
            with_python(|py| {
                let code = CString::new(source).unwrap();
                let module = PyModule::from_code(py, &code, c"app.py", c"app").unwrap();
                misfit(
                    &module.getattr("application").unwrap(),
                    "app:application",
                    interface,
                    is_said,
                )
            })
        };
        let wsgi = "def application(environ, start_response): pass";
        for (source, interface, is_said, expected) in [
            (
                "def application(): pass",
                Interface::Wsgi,
                false,
                "app:application takes no arguments, and WSGI calls its applications with 2: if it makes the application, \
                 say app:application()",
            ),
            (
                "async def application(): pass",
                Interface::Asgi,
                false,
                "app:application takes no arguments, and ASGI calls its applications with 3: if it makes the application, \
                 make it a plain function and say app:application()",
            ),
            (
                wsgi,
                Interface::Asgi,
                true,
                "app:application takes 2 arguments, and ASGI calls its applications with 3: leave interface = asgi out",
            ),
            (
                wsgi,
                Interface::Asgi2,
                true,
                "app:application takes 2 arguments, and ASGI 2 calls its applications with 1: leave interface = asgi2 out",
            ),
            (
                "class C:\n def __call__(self, a, b, c=1): pass\napplication = C()",
                Interface::Asgi2,
                true,
                "app:application takes 2 to 3 arguments, and ASGI 2 calls its applications with 1: leave interface = asgi2 \
                 out",
            ),
            (
                "async def application(a, b): pass",
                Interface::Asgi,
                false,
                "app:application takes 2 arguments, and ASGI calls its applications with 3: is it the application?",
            ),
        ] {
            assert_eq!(
                misfit(source, interface, is_said).as_deref(),
                Some(expected),
                "{source}"
            );
        }
        for (source, interface) in [
            (wsgi, Interface::Wsgi),
            ("def application(*anything): pass", Interface::Asgi),
            (
                "def application(scope, receive=None, send=None): pass",
                Interface::Asgi2,
            ),
            (
                "def application(scope, receive=None, send=None): pass",
                Interface::Asgi,
            ),
            (
                "class application:\n def __init__(self, scope): pass",
                Interface::Asgi2,
            ),
            (
                "class C:\n async def asgi(self, a, b, c): pass\napplication = C().asgi",
                Interface::Asgi,
            ),
            (
                "class C:\n @staticmethod\n def __call__(a, b): pass\napplication = C()",
                Interface::Wsgi,
            ),
            (
                "class C:\n @classmethod\n def call(cls, a, b): pass\napplication = C.call",
                Interface::Wsgi,
            ),
            (
                "import functools\napplication = functools.partial(print, 1)",
                Interface::Wsgi,
            ),
            ("application = print", Interface::Asgi),
        ] {
            assert_eq!(misfit(source, interface, true), None, "{source}");
        }
    }

    #[test]
    fn functions_tell_by_their_kind_and_their_arguments() {
        for (source, expected) in [
            ("def application(environ, start_response): pass", Interface::Wsgi),
            (
                "async def application(scope, receive, send): pass",
                Interface::Asgi,
            ),
            (
                "def application(scope, receive, send): return x(scope, receive, send)",
                Interface::Asgi,
            ),
            (
                "def application(scope):\n  async def run(receive, send): pass\n  return run",
                Interface::Asgi2,
            ),
            ("def application(*args): pass", Interface::Wsgi),
            ("application = print", Interface::Wsgi),
        ] {
            assert_eq!(interface(source), expected, "{source}");
        }
    }

    #[test]
    fn objects_and_classes_tell_by_their_methods() {
        for (source, expected) in [
            (
                "class A:\n  async def __call__(self, scope, receive, send): pass\napplication = A()",
                Interface::Asgi,
            ),
            (
                "class A:\n  def __call__(self, environ, start_response): pass\napplication = A()",
                Interface::Wsgi,
            ),
            (
                "class A:\n  def __call__(self, environ, start_response, x=1): pass\napplication = A()",
                Interface::Wsgi,
            ),
            (
                "class A:\n  async def run(self, scope, receive, send): pass\napplication = A().run",
                Interface::Asgi,
            ),
            (
                "class application:\n  def __init__(self, scope): pass\n  async def __call__(self, receive, send): pass",
                Interface::Asgi2,
            ),
            (
                "class application:\n  def __init__(self, scope, receive, send): pass\n  def __await__(self): yield",
                Interface::Asgi,
            ),
            (
                "class application:\n  def __init__(self, environ, start_response): pass\n  def __iter__(self): yield b''",
                Interface::Wsgi,
            ),
            (
                "import functools\nasync def run(x, scope, receive, send): pass\napplication = functools.partial(run, 1)",
                Interface::Asgi,
            ),
        ] {
            assert_eq!(interface(source), expected, "{source}");
        }
    }
}
