//! Starting the interpreter from a [`Launch`]: `PyConfig`, as <https://docs.python.org/3/c-api/init_config.html>.

use std::ffi::{CStr, CString, OsStr, c_char};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use pyo3::ffi;

use super::attach;

/// How the interpreter is started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Launch {
    /// What `sys.executable` will be, and where `pyvenv.cfg` is looked for; `None`: Python finds out.
    pub(crate) executable: Option<PathBuf>,
    /// Where the standard library lies, for an installation that is no virtualenv (`PYTHONHOME`).
    pub(crate) home: Option<PathBuf>,
    /// `sys.argv`
    pub(crate) argv: Vec<String>,
}

/// Starts the interpreter; the calling thread holds it then. An error says what Python said.
pub(crate) fn launch(launch: &Launch) -> Result<(), String> {
    let executable = launch.executable.as_deref().map(|path| text(path.as_os_str()));
    let home = launch.home.as_deref().map(|path| text(path.as_os_str()));
    let argv: Vec<CString> = launch
        .argv
        .iter()
        .map(|argument| text(OsStr::new(argument)))
        .collect::<Result<_, _>>()?;
    let (executable, home) = (executable.transpose()?, home.transpose()?);

    let mut config = Config::new();
    // Signals are the server's; options of the `python` command are not ours to read.
    config.0.install_signal_handlers = 0;
    config.0.parse_argv = 0;
    config.set_argv(&argv)?;
    if let Some(executable) = &executable {
        config.set(|config| &raw mut config.program_name, executable)?;
    }
    if let Some(home) = &home {
        config.set(|config| &raw mut config.home, home)?;
    }
    // A print that cannot be encoded must not be an exception in a server's log.
    config.set(|config| &raw mut config.stdio_errors, c"backslashreplace")?;
    // SAFETY: `config` was initialised by PyConfig_InitPythonConfig and filled by its own setters.
    check(unsafe { ffi::Py_InitializeFromConfig(&raw const *config.0) })?;
    attach::adopt();
    Ok(())
}

/// A `PyConfig` that is cleared at its end. Boxed: it has pointers into itself for CPython's use.
struct Config(Box<ffi::PyConfig>);

impl Config {
    fn new() -> Self {
        let mut config = Box::<ffi::PyConfig>::new_uninit();
        // SAFETY: PyConfig_InitPythonConfig fills the whole struct; it is plain data to Rust.
        let config = unsafe {
            std::ptr::write_bytes(config.as_mut_ptr(), 0, 1);
            ffi::PyConfig_InitPythonConfig(config.as_mut_ptr());
            config.assume_init()
        };
        Self(config)
    }

    fn set(
        &mut self,
        field: impl FnOnce(&mut ffi::PyConfig) -> *mut *mut libc::wchar_t,
        value: &CStr,
    ) -> Result<(), String> {
        let field = field(&mut self.0);
        // SAFETY: `field` is one of this config's own strings; the value is copied.
        check(unsafe { ffi::PyConfig_SetBytesString(&raw mut *self.0, field, value.as_ptr()) })
    }

    fn set_argv(&mut self, argv: &[CString]) -> Result<(), String> {
        let mut pointers: Vec<*const c_char> = argv.iter().map(|argument| argument.as_ptr()).collect();
        let count = pointers.len() as ffi::Py_ssize_t;
        // SAFETY: `count` pointers to strings that outlive the call; CPython copies them.
        check(unsafe { ffi::PyConfig_SetBytesArgv(&raw mut *self.0, count, pointers.as_mut_ptr()) })
    }
}

impl Drop for Config {
    fn drop(&mut self) {
        // SAFETY: initialised in `new`, cleared once.
        unsafe { ffi::PyConfig_Clear(&raw mut *self.0) };
    }
}

fn text(value: &OsStr) -> Result<CString, String> {
    CString::new(value.as_bytes()).map_err(|_| format!("a NUL byte in {}", value.to_string_lossy()))
}

/// What a status says when it is not the good one.
fn check(status: ffi::PyStatus) -> Result<(), String> {
    // SAFETY: plain predicates on a value.
    let (is_exit, is_bad) = unsafe {
        (
            ffi::PyStatus_IsExit(status) != 0,
            ffi::PyStatus_Exception(status) != 0,
        )
    };
    if !is_bad {
        return Ok(());
    }
    if is_exit {
        return Err(format!("it asked to end with status {}", status.exitcode));
    }
    if status.err_msg.is_null() {
        return Err("it does not say why".to_owned());
    }
    // SAFETY: not null, and a static string of CPython's.
    let message = unsafe { CStr::from_ptr(status.err_msg) };
    Err(message.to_string_lossy().into_owned())
}
